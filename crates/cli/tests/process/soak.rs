//! The soak: clients that give work and follow it, while the process is killed and agents are taken out and let in
//! again at random. In the end every run that was acknowledged is over, once, with its right result; nothing
//! else was recorded; and the ledger verifies.
//!
//! `SOAK_SECONDS=600` is the long one; `SOAK_SEED` chooses what fails when.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::client::{Client, Gone};
use super::declared::Declared;
use super::node::{Node, PATIENCE};
use super::script::Script;
use super::sink::Sink;
use super::support::{await_some, now, number};
use super::work::{Kind, Work};

/// What the check has time for; it meets a handful of kills.
const SECONDS: u64 = 15;
const CLIENTS: usize = 6;
/// Between two pieces of work of one client: ten minutes come to about ten thousand.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two things that fail, in milliseconds.
const BETWEEN: Range<u64> = 100..1_500;
/// One in so many of them is the whole process.
const KILL_EVERY: u64 = 3;
/// The micros of the home's fleet, which work.
const AGENTS: u64 = 5;

const SESSION: [Kind; 13] = [
    Kind::Declared { skill: "command.effectful", class: "effectful" },
    Kind::Echo { bytes: 10 },
    Kind::Declared { skill: "http.idempotent", class: "idempotent" },
    Kind::MapReduce,
    Kind::Declared { skill: "http.probed", class: "probed" },
    Kind::Batch,
    Kind::Declared { skill: "command.read", class: "read" },
    Kind::Cancel,
    Kind::Declared { skill: "http.effectful", class: "effectful" },
    Kind::Echo { bytes: 20 * 1024 },
    Kind::Declared { skill: "command.probed", class: "probed" },
    Kind::Hash,
    Kind::Declared { skill: "command.idempotent", class: "idempotent" },
];

/// The node as it is now, for whoever wants something of it.
type Current = Mutex<Option<Arc<Client>>>;

#[test]
fn every_run_is_accounted_for_after_a_soak() {
    let (seconds, seed) = (number("SOAK_SECONDS").unwrap_or(SECONDS), number("SOAK_SEED"));
    let mut soak = Declared::new(0);
    let (current, over, kills) = (Current::default(), AtomicBool::new(false), AtomicUsize::new(0));
    let sink = Sink::new(&soak.script.sink.path);
    let works = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (current, over, sink) = (&current, &over, &sink);
                    move || work(client, current, over, sink)
                })
            })
            .collect();
        let seed = seed.unwrap_or(1);
        torment(&soak.script, &current, Duration::from_secs(seconds), seed, &kills);
        over.store(true, Ordering::Release);
        clients.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    let runs: usize = works.iter().map(|work| work.runs.len()).sum();
    soak.script.works = works;
    let tally = soak.conclude();
    let kills = kills.load(Ordering::Relaxed);
    eprintln!("{runs} runs, {kills} kills of the process, {tally:?}");
    assert!(kills > 0 && runs > CLIENTS, "nothing was shown: {runs} runs, {kills} kills");
}

/// One client: gives work, follows it, comes back when the node does.
fn work(client: usize, current: &Current, over: &AtomicBool, sink: &Sink) -> Vec<Work> {
    let mut works = Vec::new();
    for (n, kind) in (0..).zip(SESSION.into_iter().cycle().skip(client * 2)) {
        if over.load(Ordering::Acquire) {
            break;
        }
        let mut work = Work::new(kind, format!("c{client}n{n}"));
        let mut known: Option<Arc<Client>> = None;
        while !work.is_over() && !over.load(Ordering::Acquire) {
            let Some(node) = newer(current, known.as_ref(), over) else { break };
            let done: Result<(), Gone> =
                work.submit(&node, sink).and_then(|()| work.finish(&node, sink));
            known = done.is_err().then_some(node);
        }
        works.push(work);
        std::thread::park_timeout(PAUSE);
    }
    works
}

/// The node of now that is another than the one that has gone; none: the soak is over.
fn newer(current: &Current, gone: Option<&Arc<Client>>, over: &AtomicBool) -> Option<Arc<Client>> {
    let look = || {
        let node = current.lock().unwrap().clone();
        match node.filter(|it| gone.is_none_or(|gone| !Arc::ptr_eq(it, gone))) {
            Some(node) => Some(Some(node)),
            None => over.load(Ordering::Acquire).then_some(None),
        }
    };
    await_some(PATIENCE, look).expect("the node comes back in time")
}

/// Lets things fail for so long; the node is killed in the end.
fn torment(script: &Script, current: &Current, time: Duration, seed: u64, kills: &AtomicUsize) {
    let (begun, mut chance) = (now(), Chance(seed));
    while now().duration_since(begun) < time {
        let (node, client) = born(script);
        *current.lock().unwrap() = Some(client.clone());
        while now().duration_since(begun) < time {
            let pause = BETWEEN.start + chance.below(BETWEEN.end - BETWEEN.start);
            std::thread::park_timeout(Duration::from_millis(pause));
            if chance.below(KILL_EVERY) == 0 {
                break;
            }
            let verb = if chance.below(2) == 0 { "offline" } else { "online" };
            let agent = format!("micro-{:05}", chance.below(AGENTS));
            let answer = client.post(&format!("/agents/{agent}/{verb}"), &json!({}), None);
            let answer = answer.expect("nobody else kills the node");
            assert!(matches!(answer.status, 200 | 409), "{} {}", answer.status, answer.text);
        }
        *current.lock().unwrap() = None;
        node.kill();
        kills.fetch_add(1, Ordering::Relaxed);
    }
}

fn born(script: &Script) -> (Node, Arc<Client>) {
    let mut node = script.home.start(&[]);
    let client = node.ready(&script.home).expect("the node starts");
    (node, Arc::new(client))
}

/// Numbers that only the seed decides.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end.max(1)
    }
}
