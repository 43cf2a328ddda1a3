//! The crash sweep over what declared agents do: the node is killed just before every kind of
//! mutating call of the threads that write intents and outcomes, start jails and call services, and
//! of the processes that make a jail and run in it. Every effect happens as often as its class
//! allows, everything that was accepted comes to its right end, and nothing is left in a jail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::declared::Declared;
use super::held::{Log, Made, Spot, tracer};
use super::node::PATIENCE;
use super::points::{COMMITTER, MUTATING, Point, evenly};
use super::script::doubts;
use super::support::{await_some, is_wide};
use super::sweep::live;

/// Calls that make a jail, start what runs in it, or reach a service.
const OF_EFFECTS: [&str; 33] = [
    "rmdir",
    "socket",
    "socketpair",
    "connect",
    "pipe2",
    "clone",
    "clone3",
    "execve",
    "kill",
    "memfd_create",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "move_mount",
    "mount_setattr",
    "symlinkat",
    "fchmodat",
    "pivot_root",
    "umount2",
    "sethostname",
    "setgroups",
    "setresgid",
    "setresuid",
    "setsid",
    "keyctl",
    "close_range",
    "capset",
    "prctl",
    "seccomp",
    "landlock_add_rule",
    "landlock_restrict_self",
    "dup2",
];
/// Threads and processes that have effects. The committer is swept as in the sweep of native work,
/// with what it has not synced taken away.
const ROLES: [&str; 6] = ["ark-loop", "ark-external", "ark-http", "launcher", "first", "program"];
/// Of which a session has several, so that the node is killed at another of them each time.
const MANY: [&str; 4] = ["ark-http", "launcher", "first", "program"];
/// How long a call is held: until the node is killed, which takes a moment.
const HOLD_MS: u64 = 100;
/// Rounds that a life plays at most, waiting for its end.
const SESSIONS_MAX: usize = 2;
/// Kills of one data directory.
const LIVES: usize = 8;
/// Scripts that are played at one time: they mostly wait.
const AT_ONCE: usize = 3;
/// Kills for one call of one role, and for one call of the committer.
const SPOTS_MAX: usize = 2;
const COMMITS_MAX: usize = 8;
/// The same where time does not matter.
const WIDE: usize = 8;
/// Times that a call which was not reached is tried again.
const TRIES_MAX: usize = 3;

/// Where one life ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    /// In the committer: what was written and not synced is lost.
    Commit(Point),
    Effect(Spot),
}

impl Death {
    /// What has to be covered.
    fn kind(&self) -> (String, String) {
        match self {
            Death::Commit(point) => (COMMITTER.to_owned(), point.call.clone()),
            Death::Effect(spot) => (spot.role.clone(), spot.call.clone()),
        }
    }
}

#[test]
fn killed_at_any_mutating_call_no_declared_effect_happens_more_often_than_it_may() {
    let mut wanted = deaths(&recorded());
    let kinds: BTreeSet<_> = wanted.iter().map(Death::kind).collect();
    let mut planned = 0;
    let mut died = BTreeMap::new();
    let mut again = BTreeMap::new();
    for _ in 0..TRIES_MAX {
        planned += wanted.len();
        let plans: Vec<_> = wanted.chunks(LIVES).map(<[Death]>::to_vec).collect();
        let (reached, repeated) = play(&plans);
        for death in reached {
            *died.entry(death.kind()).or_insert(0) += 1;
        }
        repeated.into_iter().for_each(|(class, times)| *again.entry(class).or_insert(0) += times);
        wanted.retain(|death| !died.contains_key(&death.kind()));
    }
    let kills: usize = died.values().sum();
    eprintln!("{kills} kills of {planned} planned, {} kinds; {} in doubt", died.len(), doubts());
    eprintln!("keys that came to the service again: {again:?}");
    for ((role, call), kills) in &died {
        eprintln!("{kills:5} in {role}: {call}");
    }
    let missing: Vec<_> = kinds.iter().filter(|kind| !died.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "never killed at {missing:?}");
    assert!(doubts() > 0, "no kill hit an effect that cannot be repeated");
    assert!(again.contains_key("idempotent"), "no call was ever repeated: {again:?}");
}

/// Every mutating call of a start and of two rounds.
fn recorded() -> Vec<Made> {
    let mut declared = Declared::new(0);
    let log = declared.script.home.file("recording");
    let calls: Vec<_> = MUTATING.into_iter().chain(OF_EFFECTS).collect();
    let mut node = declared.script.home.start(&tracer(&calls, &log));
    let client = declared.script.ready(&mut node);
    declared.script.play(&client, SESSIONS_MAX).expect("the node stays");
    node.kill();
    declared.conclude();
    let made = Log::default().more(&log);
    made.into_iter().filter(mutates).collect()
}

fn mutates(made: &Made) -> bool {
    let is_told = ROLES.contains(&made.role.as_str()) || made.role == COMMITTER;
    is_told
        && match made.call.as_str() {
            "openat" => made.arguments.contains("O_CREAT"),
            // Eight bytes are threads that wake each other.
            "write" => !made.arguments.contains("\\0\", 8"),
            _ => true,
        }
}

/// A few of the calls of every kind, evenly.
fn deaths(made: &[Made]) -> Vec<Death> {
    let mut counts: BTreeMap<(&str, &str), BTreeSet<usize>> = BTreeMap::new();
    for made in made {
        counts.entry((&made.role, &made.call)).or_default().insert(made.count);
    }
    let mut deaths = Vec::new();
    for ((role, call), counts) in counts {
        let narrow = if role == COMMITTER { COMMITS_MAX } else { SPOTS_MAX };
        let most = if is_wide() { narrow * WIDE } else { narrow };
        for count in evenly(counts.into_iter().collect(), most) {
            let call = call.to_owned();
            // The first jail is only a trial.
            let passes = if MANY.contains(&role) { deaths.len() % 4 } else { 0 };
            deaths.push(match role {
                COMMITTER => Death::Commit(Point { threads: Some(COMMITTER), call, count }),
                _ => Death::Effect(Spot { role: role.to_owned(), call, count, passes }),
            });
        }
    }
    // Lives of one directory are of different kinds.
    let step = deaths.len() / LIVES + 1;
    let order = (0..step).flat_map(|from| (from..deaths.len()).step_by(step));
    order.map(|at| deaths[at].clone()).collect()
}

/// Plays them all; where nodes were killed, and what came to the service again.
fn play(plans: &[Vec<Death>]) -> (Vec<Death>, BTreeMap<String, usize>) {
    let next = AtomicUsize::new(0);
    let all = Mutex::new((Vec::new(), BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(plan) = plans.get(turn) else { break };
                    let (died, again) = play_one(turn, plan);
                    let mut all = all.lock().unwrap();
                    all.0.extend(died);
                    for (class, times) in again {
                        *all.1.entry(class).or_insert(0) += times;
                    }
                }
            });
        }
    });
    all.into_inner().unwrap()
}

fn play_one(turn: usize, plan: &[Death]) -> (Vec<Death>, BTreeMap<String, usize>) {
    let mut declared = Declared::new(turn);
    let mut died = Vec::new();
    for death in plan {
        let is_reached = match death {
            Death::Commit(point) => live(&mut declared.script, point),
            Death::Effect(spot) => live_held(&mut declared, spot),
        };
        if is_reached {
            died.push(death.clone());
        }
        declared.script.verify_after_crash();
    }
    declared.conclude();
    (died, declared.service.check())
}

/// One life. Whether it ended at its spot; else it is killed wherever it is.
fn live_held(declared: &mut Declared, spot: &Spot) -> bool {
    let script = &mut declared.script;
    let log = script.home.file("held");
    // The log of the life before.
    let _ = std::fs::remove_file(&log);
    let mut node = script.home.start(&spot.tracer(&log, HOLD_MS));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let striker = scope.spawn(|| strike(spot, &log, &is_over));
        let played = node.ready(&script.home).map(|client| script.play(&client, SESSIONS_MAX));
        is_over.store(true, Ordering::Release);
        let is_struck = striker.join().unwrap();
        if let Some(Ok(())) = played {
            node.signal(Signal::KILL);
        }
        // The tracer ends when all have ended that it watches: nobody is left in a jail.
        node.died_of_kill(&script.home);
        is_struck
    })
}

/// Kills the node when somebody is about to make the call.
fn strike(spot: &Spot, path: &std::path::Path, is_over: &AtomicBool) -> bool {
    let mut log = Log::default();
    let mut passes = spot.passes;
    let struck = await_some(PATIENCE, || {
        let over = is_over.load(Ordering::Acquire);
        for made in log.more(path) {
            if !spot.is_made(&made) {
                continue;
            }
            if passes == 0 {
                let node = log.first.and_then(Pid::from_raw).unwrap();
                // It may have been killed otherwise.
                let _ = kill_process(node, Signal::KILL);
                return Some(true);
            }
            passes -= 1;
        }
        over.then_some(false)
    });
    struck.expect("a life ends")
}
