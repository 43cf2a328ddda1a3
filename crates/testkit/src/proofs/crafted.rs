//! Bundles that no run made, signed by a key of their own: a large one that is good, and such as are made to cost
//! whoever verifies them more than they are.

use ark_os_core::fleet::profile::{FleetPlan, agent_name};
use ark_os_core::ids::AgentIx;
use ark_os_store::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::document::Document;
use super::forge::sign_anew;

/// Children of a map, at most.
const CHILDREN: u64 = 10_000;
/// Tasks in a record.
const TASKS_A_RECORD: u64 = 100;
/// A fleet, and the last of its agents.
const AGENTS: u32 = 200;

/// What both verifiers are given.
#[derive(Debug, Clone)]
pub struct Crafted {
    /// What it is made of.
    pub name: &'static str,
    /// The file.
    pub bundle: Vec<u8>,
    /// What both must say of it, without a line.
    pub verdict: &'static str,
}

/// A good bundle of so many tasks, and others about as long that are not.
///
/// # Errors
/// One of them cannot be signed.
pub fn crafted(tasks: u64) -> Result<Vec<Crafted>, &'static str> {
    let log = |events: Vec<Vec<u8>>| [begun(tasks), in_records(&events)].concat();
    let stepped = (0..tasks).map(intended);
    let steps = [vec![attempt(&task(0, None), 1)], stepped.collect()].concat();
    let outside: Vec<_> = (0..tasks).map(|node| task(node + tasks, None)).collect();
    let retried = (0..tasks / 2).flat_map(|_| [ended(), event(18, &[(1, list(&[]))])]);
    let again = [all_over(tasks), retried.collect(), vec![ended()]].concat();
    let long = "1".repeat(tasks as usize * 10);
    let digits = |bundle: Vec<u8>| {
        let text = String::from_utf8(bundle).unwrap_or_default();
        text.replacen("{\"record\":1,", &format!("{{\"record\":{long},"), 1).into_bytes()
    };
    let small = signed(&log(Vec::new()), tasks, 0);
    Ok(vec![
        Crafted {
            name: "tasks",
            bundle: signed(&worked(tasks, true), tasks, tasks)?,
            verdict: "ok",
        },
        Crafted { name: "retries", bundle: signed(&log(again), tasks, 0)?, verdict: "ok" },
        Crafted {
            name: "attempts that do not end",
            bundle: signed(&worked(tasks, false), tasks, tasks)?,
            verdict: "history",
        },
        Crafted { name: "steps", bundle: signed(&log(steps), tasks, 1)?, verdict: "history" },
        Crafted {
            name: "children that are skipped",
            bundle: signed(&skipped(tasks), tasks, 0)?,
            verdict: "history",
        },
        Crafted {
            name: "tasks outside the plan",
            bundle: signed(&log(vec![event(29, &[(0, list(&outside))])]), tasks, 0)?,
            verdict: "history",
        },
        Crafted {
            name: "events",
            bundle: signed(&log(vec![event(16, &[]); tasks as usize * 4]), tasks, 0)?,
            verdict: "history",
        },
        Crafted { name: "digits", bundle: digits(small?), verdict: "format" },
    ])
}

fn head(major: u8, number: u64) -> Vec<u8> {
    let (short, width) = match number {
        0..24 => (number as u8, 0),
        24..256 => (24, 1),
        256..65_536 => (25, 2),
        65_536..4_294_967_296 => (26, 4),
        _ => (27, 8),
    };
    let bytes = number.to_be_bytes();
    [&[major << 5 | short], bytes.get(8 - width..).unwrap_or_default()].concat()
}

fn uint(number: u64) -> Vec<u8> {
    head(0, number)
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

fn map(fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut all = head(5, fields.len() as u64);
    for (number, value) in fields {
        all.extend(uint(*number));
        all.extend(value);
    }
    all
}

fn event(number: u64, fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    list(&[uint(number), map(fields)])
}

fn inline() -> Vec<u8> {
    list(&[uint(0), list(&[bytes(b"")])])
}

fn task(node: u64, child: Option<u64>) -> Vec<u8> {
    let numbers: Vec<_> = [Some(node), child].into_iter().flatten().map(uint).collect();
    list(&numbers)
}

fn maps(tasks: u64) -> u64 {
    tasks.div_ceil(CHILDREN).max(1)
}

fn plan(tasks: u64) -> (Vec<u8>, Hash) {
    let with = |digest: &[u8; 32]| {
        let nodes = vec![uint(0); maps(tasks) as usize];
        map(&[(0, text("crafted")), (1, text("1")), (3, list(&nodes)), (5, bytes(digest))])
    };
    let digest = Hash::of(&with(&[0; 32]));
    (with(&digest.0), digest)
}

fn record(is_own: bool, events: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![(0, uint(1)), (1, text("default"))];
    if is_own {
        header.push((2, bytes(&[0; 16])));
    }
    header.push((6, uint(1)));
    [map(&header), list(events)].concat()
}

fn in_records(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    events.chunks(10_000).map(|events| record(true, events)).collect()
}

/// The start of an instance, and a run's acceptance.
fn begun(tasks: u64) -> Vec<Vec<u8>> {
    let started = event(0, &[(0, map(&[(2, uint(u64::from(AGENTS)))]))]);
    let pending = map(&[(1, plan(tasks).0)]);
    let accepted = event(10, &[(0, map(&[(1, pending), (2, inline())]))]);
    vec![record(false, &[started]), record(true, &[accepted])]
}

fn attempt(task: &[u8], fence: u64) -> Vec<u8> {
    let agent = uint(u64::from(AGENTS) - 1);
    event(23, &[(0, map(&[(0, task.to_vec()), (1, uint(1)), (2, agent), (3, uint(fence))]))])
}

fn intended(number: u64) -> Vec<u8> {
    let arguments = Hash([0; 32]);
    let mut key = Vec::new();
    let digits = (number as u32).to_le_bytes();
    let child = u64::MAX.to_le_bytes();
    for part in [&[0; 16][..], &[0; 4], &child, &[0; 4], &digits, b"t", &arguments.0] {
        key.extend((part.len() as u64).to_le_bytes());
        key.extend(part);
    }
    let key = Hash::of(&key);
    let fields = [
        (0, task(0, None)),
        (1, bytes(&key.0)),
        (2, uint(number)),
        (3, text("t")),
        (4, bytes(&arguments.0)),
        (7, uint(1)),
    ];
    event(40, &[(0, map(&fields))])
}

fn ended() -> Vec<u8> {
    event(17, &[(0, map(&[(0, uint(0))]))])
}

fn all_over(tasks: u64) -> Vec<Vec<u8>> {
    (0..maps(tasks)).map(|node| event(28, &[(0, task(node, None))])).collect()
}

fn expanded(node: u64) -> Vec<u8> {
    event(21, &[(0, task(node, None)), (1, uint(CHILDREN)), (2, inline())])
}

/// Every child of some maps is worked on once.
fn worked(tasks: u64, ends: bool) -> Vec<Vec<u8>> {
    let mut records = begun(tasks);
    let mut fence = 0;
    for node in 0..maps(tasks) {
        records.push(record(true, &[expanded(node)]));
        let children = CHILDREN.min(tasks - node * CHILDREN);
        for first in (0..children).step_by(TASKS_A_RECORD as usize) {
            let mut events = Vec::new();
            let mut over = Vec::new();
            for child in first..children.min(first + TASKS_A_RECORD) {
                fence += 1;
                let task = task(node, Some(child));
                events.push(attempt(&task, fence));
                let end = [(0, task.clone()), (1, uint(fence)), (2, uint(0))];
                events.extend(ends.then(|| event(26, &[(0, map(&end))])));
                over.push(task);
            }
            events.extend(ends.then(|| event(29, &[(0, list(&over))])));
            records.push(record(true, &events));
        }
        let done = ends.then(|| record(true, &[event(33, &[(0, task(node, None))])]));
        records.extend(done);
    }
    records.extend(ends.then(|| record(true, &[ended()])));
    records
}

/// Children are over that never began.
fn skipped(tasks: u64) -> Vec<Vec<u8>> {
    let mut records = begun(tasks);
    for node in 0..maps(tasks) {
        let over: Vec<_> = (0..CHILDREN.min(tasks - node * CHILDREN))
            .map(|child| task(node, Some(child)))
            .collect();
        records.push(record(true, &[expanded(node), event(29, &[(0, list(&over))])]));
    }
    records
}

/// The whole file; the summary is that of a run with so many attempts.
fn signed(records: &[Vec<u8>], tasks: u64, attempts: u64) -> Result<Vec<u8>, &'static str> {
    let entry =
        |(at, bytes): (usize, &Vec<u8>)| json!({"record": at + 1, "leaf": STANDARD.encode(bytes)});
    let fleet = FleetPlan::for_agents(AGENTS);
    let seat = fleet.seat(AgentIx(AGENTS - 1)).ok_or("the fleet has no such agent")?;
    let agents: Vec<Value> = match attempts {
        0 => Vec::new(),
        _ => vec![json!({
            "name": agent_name(seat.layer, seat.ordinal), "layer": seat.layer.as_str(),
            "stack": seat.stack.map(|stack| stack.0), "attempts": attempts,
        })],
    };
    let zero = Hash([0; 32]).to_string();
    let mut document = Document {
        head: json!({
            "format": "ark-os/proof-bundle/v1", "run": format!("run_{}", "0".repeat(26)),
            "namespace": "default", "origin": "crafted", "key": "", "checkpoint": "", "kept": null,
            "embeds": false,
        }),
        log: records.iter().enumerate().map(entry).collect(),
        summary: json!({
            "records": records.len() - 1, "others": 1,
            "workflow": {"name": "crafted", "version": "1", "digest": plan(tasks).1.to_string()},
            "accepted_ms": 1, "input": Hash::of(b"").to_string(),
            "ended": {"state": "succeeded", "ms": 1, "output": null, "seals": false},
            "proofs": 0, "head": zero, "admissions": [], "agents": agents,
        }),
        payloads: Vec::new(),
    };
    sign_anew(&mut document).ok_or("the bundle cannot be signed")?;
    Ok(document.write())
}
