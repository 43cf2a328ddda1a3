//! The soak: clients that give work and follow it, while the process and remote workers are killed, workers
//! stall until their leases are over and come back late, and agents are taken out and let in again, at random. In
//! the end every run that was acknowledged is over, once, with its right result and its effects as often as their
//! class allows; nothing else was recorded; and the ledger verifies.
//!
//! `SOAK_SECONDS=600` is the long one; `SOAK_SEED` chooses what fails when.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::client::{Client, Gone};
use super::crew::{Crew, Harm, LEASE, SEATS_COUNT};
use super::declared::Declared;
use super::node::PATIENCE;
use super::script::Script;
use super::sink::Sink;
use super::support::{await_some, now, number};
use super::work::{Kind, Work};

/// What the check has time for; it meets a handful of kills.
const SECONDS: u64 = 15;
/// More, where something has not happened yet that has to.
const SECONDS_MORE: u64 = 45;
const CLIENTS: usize = 6;
/// Between two pieces of work of one client: ten minutes come to about ten thousand.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two things that fail, in milliseconds.
const BETWEEN: Range<u64> = 100..1_500;
/// For how long a worker stands still, in milliseconds: longer than a lease.
const STALL: Range<u64> = 3_000..5_000;
/// The micros of the home's fleet, which work.
const AGENTS: u64 = 5;

const SESSION: [Kind; 18] = [
    Kind::Declared { skill: "command.effectful", class: "effectful" },
    Kind::Echo { bytes: 10 },
    Kind::Remote { skill: "remote.effectful", class: "effectful" },
    Kind::Declared { skill: "http.idempotent", class: "idempotent" },
    Kind::Remote { skill: "own-0.idempotent", class: "idempotent" },
    Kind::MapReduce,
    Kind::Remote { skill: "remote.read", class: "read" },
    Kind::Declared { skill: "http.probed", class: "probed" },
    Kind::Batch,
    Kind::Declared { skill: "command.read", class: "read" },
    Kind::Remote { skill: "own-1.effectful", class: "effectful" },
    Kind::Cancel,
    Kind::Declared { skill: "http.effectful", class: "effectful" },
    Kind::Echo { bytes: 20 * 1024 },
    Kind::Remote { skill: "remote.idempotent", class: "idempotent" },
    Kind::Declared { skill: "command.probed", class: "probed" },
    Kind::Hash,
    Kind::Declared { skill: "command.idempotent", class: "idempotent" },
];

/// The node as it is now, for whoever wants something of it.
type Current = Mutex<Option<Arc<Client>>>;

/// What was done.
#[derive(Debug, Default)]
struct Kills {
    /// Of the process.
    process: usize,
    /// Agents taken out.
    agents: usize,
    workers: Harm,
}

impl Kills {
    fn has_all(&self) -> bool {
        self.process > 0 && self.workers.killed > 0 && self.workers.late > 0
    }
}

#[test]
fn every_run_is_accounted_for_after_a_soak() {
    let (seconds, seed) = (number("SOAK_SECONDS").unwrap_or(SECONDS), number("SOAK_SEED"));
    let mut soak = Declared::new(0);
    let home = &mut soak.script.home;
    let ms = format!("{}ms", LEASE.as_millis());
    home.settings = vec![("ARK_OS_LEASE", ms.clone()), ("ARK_OS_HEARTBEAT_INTERVAL", ms)];
    let crew = Arc::new(Crew::new(&home.file(""), home.data(), soak.script.sink.path.clone()));
    soak.script.sink.crew = Some(crew.clone());
    let (current, over) = (Current::default(), AtomicBool::new(false));
    let sink = &soak.script.sink;
    let (works, kills) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (current, over) = (&current, &over);
                    move || work(client, current, over, sink)
                })
            })
            .collect();
        let torment = Torment { script: &soak.script, crew: &crew, current: &current };
        let kills = torment.torment(Duration::from_secs(seconds), seed.unwrap_or(1));
        over.store(true, Ordering::Release);
        (clients.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<_>>(), kills)
    });
    let runs: usize = works.iter().map(|work| work.runs.len()).sum();
    soak.script.works = works;
    crew.mend();
    let tally = soak.conclude();
    let kills = Kills { workers: crew.harm(), ..kills };
    eprintln!("{runs} runs, {kills:?}");
    tally.iter().for_each(|(what, times)| eprintln!("{times:5} times {what}"));
    assert!(kills.has_all() && runs > CLIENTS, "nothing was shown: {runs} runs, {kills:?}");
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

/// What lets things fail.
struct Torment<'a> {
    script: &'a Script,
    crew: &'a Crew,
    current: &'a Current,
}

impl Torment<'_> {
    /// For so long, and until everything has failed once; the node is killed in the end.
    fn torment(&self, time: Duration, seed: u64) -> Kills {
        let (begun, mut chance) = (now(), Chance(seed));
        let mut kills = Kills::default();
        let time_max = time + Duration::from_secs(SECONDS_MORE);
        loop {
            let mut node = self.script.home.start(&[]);
            let client = Arc::new(node.ready(&self.script.home).expect("the node starts"));
            if kills.process == 0 {
                self.gather(&client);
            }
            *self.current.lock().unwrap() = Some(client.clone());
            let is_over = |kills: &Kills| {
                let so_far = now().duration_since(begun);
                so_far > time_max || (so_far > time && kills.has_all())
            };
            while !is_over(&kills) {
                let pause = BETWEEN.start + chance.below(BETWEEN.end - BETWEEN.start);
                std::thread::park_timeout(Duration::from_millis(pause));
                self.crew.tend();
                match chance.below(4) {
                    0 => break,
                    1 => kills.agents += self.take_out_or_let_in(&client, &mut chance),
                    2 => self.crew.kill(at_work(&client, &mut chance)),
                    _ => {
                        let pause = STALL.start + chance.below(STALL.end - STALL.start);
                        let pause = Duration::from_millis(pause);
                        let seat = at_work(&client, &mut chance);
                        self.crew.stop(seat, pause, chance.below(2) == 0);
                    }
                }
                kills.workers = self.crew.harm();
            }
            *self.current.lock().unwrap() = None;
            node.kill();
            kills.process += 1;
            if is_over(&kills) {
                return kills;
            }
        }
    }

    /// Waits until every worker is known, and so is every skill.
    fn gather(&self, client: &Client) {
        let all = await_some(PATIENCE, || {
            self.crew.tend();
            let known = client.get("/workers").expect("the node stays").good();
            (known["items"].as_array().unwrap().len() == SEATS_COUNT).then_some(())
        });
        all.expect("every worker registers");
    }

    /// How many were taken out.
    fn take_out_or_let_in(&self, client: &Client, chance: &mut Chance) -> usize {
        let is_out = chance.below(2) == 0;
        let verb = if is_out { "offline" } else { "online" };
        let agent = format!("micro-{:05}", chance.below(AGENTS));
        let answer = client.post(&format!("/agents/{agent}/{verb}"), &json!({}), None);
        let answer = answer.expect("nobody else kills the node");
        assert!(matches!(answer.status, 200 | 409), "{} {}", answer.status, answer.text);
        usize::from(is_out && answer.status == 200)
    }
}

/// The seat of a worker that has something in hand, if one has.
fn at_work(client: &Client, chance: &mut Chance) -> usize {
    let known = client.get("/workers").expect("nobody else kills the node").good();
    let known = known["items"].as_array().unwrap().iter();
    let busy = known.filter(|it| it["under_way"].as_u64().is_some_and(|it| it > 0));
    let busy: Vec<_> = busy.filter_map(|it| Crew::seat_of(it["worker"].as_str()?)).collect();
    let any = |count: usize, chance: &mut Chance| chance.below(count as u64) as usize;
    match busy.len() {
        0 => any(SEATS_COUNT, chance),
        count => busy[any(count, chance)],
    }
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
