//! The crash sweep over what declared agents do: the node is killed just before every kind of
//! mutating call of the threads that write intents and outcomes, start jails and call services, and
//! of the processes that make a jail and run in it. Every effect happens as often as its class
//! allows, everything that was accepted comes to its right end, and nothing is left in a jail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::declared::{Declared, Tally};
use super::held::{Log, Made, Spot, tracer};
use super::node::{Node, PATIENCE};
use super::points::{COMMITTER, MUTATING, Point, evenly};
use super::support::{await_some, groups_of, is_alive, is_wide};
use super::sweep::live;

/// Calls that are not mutating themselves, but something has happened before them that the node does
/// not know yet.
const TELLING: [(&str, &str); 2] = [("ark-http", "recvfrom"), ("program", "exit_group")];
/// Calls that make a jail, start what runs in it, or reach a service.
const OF_EFFECTS: [&str; 32] = [
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
];
/// Threads and processes that have effects. The committer is swept as in the sweep of native work,
/// with what it has not synced taken away.
const ROLES: [&str; 6] = ["ark-loop", "ark-external", "ark-http", "launcher", "first", "program"];
/// Commands in a session, and calls of services.
const EFFECTS_MAX: usize = 4;
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

/// What the crashes have to come to, or nothing has been shown.
const MET: [&str; 9] = [
    "command.effectful resolved: happened",
    "command.effectful resolved: not_happened",
    "http.effectful resolved: happened",
    "http.effectful resolved: not_happened",
    "command.probed asked: happened",
    "command.probed asked: not_happened",
    "http.probed asked: happened",
    "http.probed asked: not_happened",
    "http.idempotent came again",
];

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
    let mut tally = Tally::new();
    for _ in 0..TRIES_MAX {
        planned += wanted.len();
        let plans: Vec<_> = wanted.chunks(LIVES).map(<[Death]>::to_vec).collect();
        for (deaths, more) in play(&plans) {
            deaths.iter().for_each(|death| *died.entry(death.kind()).or_insert(0) += 1);
            more.into_iter().for_each(|(what, times)| *tally.entry(what).or_default() += times);
        }
        wanted.retain(|death| !died.contains_key(&death.kind()));
    }
    let kills: usize = died.values().sum();
    eprintln!("{kills} kills of {planned} planned, at {} kinds of calls", died.len());
    died.iter().for_each(|((role, call), kills)| eprintln!("{kills:5} in {role}: {call}"));
    tally.iter().for_each(|(what, times)| eprintln!("{times:5} times {what}"));
    let missing: Vec<_> = kinds.iter().filter(|kind| !died.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "never killed at {missing:?}");
    let missing: Vec<_> = MET.iter().filter(|what| !tally.contains_key(**what)).collect();
    assert!(missing.is_empty(), "no crash was met in which {missing:?}: {tally:?}");
}

/// Every mutating call of a start and of two rounds.
fn recorded() -> Vec<Made> {
    let mut declared = Declared::new(0);
    let log = declared.script.home.file("recording");
    let calls: Vec<_> =
        MUTATING.into_iter().chain(OF_EFFECTS).chain(TELLING.map(|(_, call)| call)).collect();
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
            "recvfrom" | "exit_group" => TELLING.contains(&(&*made.role, &*made.call)),
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
            let (role, call) = (role.to_owned(), call.to_owned());
            if role == COMMITTER {
                deaths.push(Death::Commit(Point { threads: Some(COMMITTER), call, count }));
                continue;
            }
            let turn = deaths.len() % EFFECTS_MAX;
            let (from, times) = match (role.as_str(), call.as_str()) {
                // An effect of every class.
                ("ark-http", _) | ("program", "execve" | "exit_group") => (0, EFFECTS_MAX),
                // The first jail is only a trial.
                ("launcher" | "first" | "program", _) => (turn, 1),
                _ => (0, 1),
            };
            let spot = |passes| Spot { role: role.clone(), call: call.clone(), count, passes };
            deaths.extend((from..from + times).map(|passes| Death::Effect(spot(passes))));
        }
    }
    // Lives of one directory are of different kinds.
    let step = deaths.len() / LIVES + 1;
    let order = (0..step).flat_map(|from| (from..deaths.len()).step_by(step));
    order.map(|at| deaths[at].clone()).collect()
}

/// Plays them all; where nodes were killed, and what that came to.
fn play(plans: &[Vec<Death>]) -> Vec<(Vec<Death>, Tally)> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(plan) = plans.get(turn) else { break };
                    let one = play_one(turn, plan);
                    played.lock().unwrap().push(one);
                }
            });
        }
    });
    played.into_inner().unwrap()
}

fn play_one(turn: usize, plan: &[Death]) -> (Vec<Death>, Tally) {
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
    (died, declared.conclude())
}

/// What becomes of who was held, when the node is dead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    GoesOn,
    /// It neither goes on nor ends by itself.
    Stays,
}

/// One life. Whether it ended at its spot; else it is killed wherever it is.
fn live_held(declared: &mut Declared, spot: &Spot) -> bool {
    let (node, struck) = struck(declared, spot, Fate::GoesOn);
    node.signal(Signal::KILL);
    // The tracer ends when all have ended that it watches: nobody is left in a jail.
    node.died_of_kill(&declared.script.home);
    struck.is_some()
}

/// A node that was killed at a spot, if it came there.
fn struck(declared: &mut Declared, spot: &Spot, fate: Fate) -> (Node, Option<Made>) {
    let script = &mut declared.script;
    let log = script.home.file("held");
    // The log of the life before.
    let _ = std::fs::remove_file(&log);
    let mut node = script.home.start(&spot.tracer(&log, HOLD_MS));
    let is_over = AtomicBool::new(false);
    let struck = std::thread::scope(|scope| {
        let striker = scope.spawn(|| strike(spot, fate, &log, &is_over));
        if let Some(client) = node.ready(&script.home) {
            // How far it came is seen by the striker.
            let _ = script.play(&client, SESSIONS_MAX);
        }
        is_over.store(true, Ordering::Release);
        striker.join().unwrap()
    });
    (node, struck)
}

/// Kills the node when somebody is about to make the call.
fn strike(spot: &Spot, fate: Fate, path: &Path, is_over: &AtomicBool) -> Option<Made> {
    let mut log = Log::default();
    let mut passes = spot.passes;
    let struck = await_some(PATIENCE, || {
        let over = is_over.load(Ordering::Acquire);
        for made in log.more(path) {
            if !spot.is_made(&made) {
                continue;
            }
            if passes == 0 {
                if fate == Fate::Stays {
                    kill_process(Pid::from_raw(made.pid).unwrap(), Signal::STOP).unwrap();
                }
                let node = log.first.and_then(Pid::from_raw).unwrap();
                // It may have been killed otherwise.
                let _ = kill_process(node, Signal::KILL);
                return Some(Some(made));
            }
            passes -= 1;
        }
        over.then_some(None)
    });
    struck.expect("a life ends")
}

/// One command, and a node that is killed while its first process makes the jail.
fn killed_in_the_making(fate: Fate) -> (Declared, Node, Made) {
    let mut declared = Declared::new(0);
    declared.script.session.truncate(1);
    let spot = Spot { role: "first".into(), call: "pivot_root".into(), count: 1, passes: 1 };
    let (node, struck) = struck(&mut declared, &spot, fate);
    (declared, node, struck.expect("a command needs a jail"))
}

#[test]
fn nothing_is_started_in_a_jail_whose_node_has_gone() {
    let (mut declared, node, _) = killed_in_the_making(Fate::GoesOn);
    node.died_of_kill(&declared.script.home);
    let sink = std::fs::read_to_string(&declared.script.sink.path).unwrap_or_default();
    assert_eq!(sink, "", "it happened after the node was gone");
    declared.conclude();
}

#[test]
fn what_a_killed_node_left_in_a_jail_is_gone_before_the_next_one_is_ready() {
    let (mut declared, node, held) = killed_in_the_making(Fate::Stays);
    let (home, pid) = (&declared.script.home, node.pid());
    // It holds its directory until its last thread has ended.
    let node_dir = PathBuf::from(format!("/proc/{pid}"));
    await_some(PATIENCE, || (!node_dir.exists()).then_some(())).expect("it was killed");
    // Where there are no control groups nobody can be found who was left behind.
    let has_groups = !groups_of(pid).is_empty();
    let mut next = home.start(&[]);
    declared.script.ready(&mut next);
    if has_groups {
        assert!(!is_alive(held.pid), "the first process of a jail outlives its node");
        assert_eq!(groups_of(pid), Vec::<PathBuf>::new());
    }
    next.kill();
    drop(node);
    declared.conclude();
}
