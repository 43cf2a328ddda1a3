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
use super::held::{Log, Made, Spot, is_held, tracer};
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
/// How long a call is held, in each try: until the node is killed, which takes a moment, and longer on a
/// busy machine.
const HOLDS_MS: [u64; 3] = [100, 400, 1_600];
/// The same where a next node waits for the dead: nobody dies before the tracer lets him go on, and it waits for half
/// a second.
const HOLD_SHORT_MS: u64 = 200;
/// Times that this is tried on a busy machine.
const TRIES_MAX: usize = 8;
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
/// What threads say of their own name and memory: the allocator asks for more when chance wants it, and
/// nothing comes of it.
const PRCTL_OF_ITSELF: [&str; 5] =
    ["PR_GET_", "PR_SET_NAME", "PR_SET_THP_DISABLE", "PR_SET_VMA", "0x53564d41"];

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
    fn kind(&self) -> DeathKind {
        match self {
            Death::Commit(point) => (COMMITTER.to_owned(), point.call.clone()),
            Death::Effect(spot) => (spot.role.clone(), spot.call.clone()),
        }
    }
}

/// What has to be covered: a role and a call.
type DeathKind = (String, String);

#[test]
fn killed_at_any_mutating_call_no_declared_effect_happens_more_often_than_it_may() {
    let mut wanted = deaths(&recorded());
    let mut missing = kinds(&wanted);
    let mut sweep = Sweep::default();
    let mut unmet: Vec<_> = MET.to_vec();
    let mut holds_ms = HOLDS_MS.into_iter();
    let mut hold_ms = 0;
    for _ in 0..TRIES_MAX {
        // Longer where a call was missed.
        hold_ms = match missing.is_empty() {
            true => HOLDS_MS[0],
            false => holds_ms.next().unwrap_or(hold_ms),
        };
        sweep.play(&wanted, hold_ms);
        missing.retain(|kind| !sweep.died.contains_key(kind));
        unmet.retain(|what| !sweep.tally.contains_key(*what));
        if missing.is_empty() && unmet.is_empty() {
            break;
        }
        // What only one recording has came by chance. What every life does is in each of them.
        wanted = deaths(&recorded());
        let shown = kinds(&wanted);
        missing
            .iter()
            .filter(|it| !shown.contains(it))
            .for_each(|it| eprintln!("by chance: {it:?}"));
        missing.retain(|kind| shown.contains(kind));
        // Whose effect a crash cuts off is chance, too: then more of them are cut off.
        let has_effects = |(role, _): &DeathKind| role == "ark-http" || role == "program";
        wanted.retain(|death| {
            let kind = death.kind();
            missing.contains(&kind) || !unmet.is_empty() && has_effects(&kind)
        });
    }
    let Sweep { planned, died, tally } = sweep;
    let kills: usize = died.values().sum();
    eprintln!("{kills} kills of {planned} planned, at {} kinds of calls", died.len());
    died.iter().for_each(|((role, call), kills)| eprintln!("{kills:5} in {role}: {call}"));
    tally.iter().for_each(|(what, times)| eprintln!("{times:5} times {what}"));
    assert!(missing.is_empty(), "never killed at {missing:?}");
    for role in ROLES.into_iter().chain([COMMITTER]) {
        assert!(died.keys().any(|(it, _)| it == role), "no recording shows {role}");
    }
    assert!(unmet.is_empty(), "no crash was met in which {unmet:?}: {tally:?}");
}

/// What has been played.
#[derive(Default)]
struct Sweep {
    planned: usize,
    died: BTreeMap<DeathKind, usize>,
    tally: Tally,
}

impl Sweep {
    fn play(&mut self, wanted: &[Death], hold_ms: u64) {
        self.planned += wanted.len();
        let plans: Vec<_> = wanted.chunks(LIVES).map(<[Death]>::to_vec).collect();
        for (deaths, more) in play(&plans, hold_ms) {
            deaths.iter().for_each(|death| *self.died.entry(death.kind()).or_default() += 1);
            for (what, times) in more {
                *self.tally.entry(what).or_default() += times;
            }
        }
    }
}

fn kinds(deaths: &[Death]) -> BTreeSet<DeathKind> {
    deaths.iter().map(Death::kind).collect()
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
            "prctl" => !PRCTL_OF_ITSELF.iter().any(|it| made.arguments.starts_with(it)),
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
fn play(plans: &[Vec<Death>], hold_ms: u64) -> Vec<(Vec<Death>, Tally)> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(plan) = plans.get(turn) else { break };
                    let one = play_one(turn, plan, hold_ms);
                    played.lock().unwrap().push(one);
                }
            });
        }
    });
    played.into_inner().unwrap()
}

fn play_one(turn: usize, plan: &[Death], hold_ms: u64) -> (Vec<Death>, Tally) {
    let mut declared = Declared::new(turn);
    let mut died = Vec::new();
    for death in plan {
        let is_reached = match death {
            Death::Commit(point) => live(&mut declared.script, point),
            Death::Effect(spot) => live_held(&mut declared, spot, hold_ms),
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
fn live_held(declared: &mut Declared, spot: &Spot, hold_ms: u64) -> bool {
    let (node, struck) = struck(declared, spot, hold_ms, Fate::GoesOn);
    node.signal(Signal::KILL);
    // The tracer ends when all have ended that it watches: nobody is left in a jail.
    node.died_of_kill(&declared.script.home);
    struck.is_some()
}

/// A node that was killed at a spot, if it came there and was killed in time.
fn struck(declared: &mut Declared, spot: &Spot, hold_ms: u64, fate: Fate) -> (Node, Option<Made>) {
    let script = &mut declared.script;
    let log = script.home.file("held");
    // The log of the life before.
    let _ = std::fs::remove_file(&log);
    let mut node = script.home.start(&spot.tracer(&log, hold_ms));
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

/// Kills the node when somebody is about to make the call; none: nobody was, or made it before that.
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
                    // Who has ended was not held: that is seen below.
                    let _ = kill_process(Pid::from_raw(made.pid).unwrap(), Signal::STOP);
                }
                let node = log.first.and_then(Pid::from_raw).unwrap();
                // It may have been killed otherwise.
                let _ = kill_process(node, Signal::KILL);
                if is_held(path, &made) {
                    return Some(Some(made));
                }
                if fate == Fate::Stays {
                    let _ = kill_process(Pid::from_raw(made.pid).unwrap(), Signal::CONT);
                }
                return Some(None);
            }
            passes -= 1;
        }
        over.then_some(None)
    });
    struck.expect("a life ends")
}

/// One command, and a node that is killed while its first process makes the jail.
fn killed_in_the_making(fate: Fate) -> (Declared, Node, Made) {
    let spot = Spot { role: "first".into(), call: "pivot_root".into(), count: 1, passes: 1 };
    for _ in 0..TRIES_MAX {
        let mut declared = Declared::new(0);
        declared.script.session.truncate(1);
        let (node, struck) = struck(&mut declared, &spot, HOLD_SHORT_MS, fate);
        if let Some(made) = struck {
            return (declared, node, made);
        }
        node.died_of_kill(&declared.script.home);
    }
    panic!("no node was killed in time");
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
