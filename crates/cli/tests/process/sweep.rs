//! The crash sweep: the node is killed at more than 200 of its mutating system calls, in first
//! starts, recoveries and sessions, and everything that it accepted comes to its right end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::points::{Point, Points, evenly, lose_unsynced, record};
use super::script::{Script, doubts};
use super::work::Kind;

/// What the sweep has to reach.
const KILLS_MIN: usize = 200;
/// Kills of one data directory, so that crashes meet what earlier ones left.
const LIVES: usize = 12;
/// Every so many lives the node is killed while it starts.
const RESTART_EVERY: usize = 3;
/// Data directories of a sweep.
const SCRIPTS: usize = 30;
/// Sessions that a life plays at most, waiting for its end.
const SESSIONS_MAX: usize = 6;
/// Scripts that are played at one time.
const AT_ONCE: usize = 2;

#[test]
fn killed_at_any_mutating_call_the_node_loses_no_task_and_repeats_no_effect() {
    let plans = plans(record());
    let next = AtomicUsize::new(0);
    let killed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let kills = play(plan);
                    killed.lock().unwrap().extend(kills);
                }
            });
        }
    });
    let killed = killed.into_inner().unwrap();
    let places: BTreeSet<_> = killed.iter().collect();
    let planned = plans.iter().flatten().count();
    eprintln!(
        "{} kills of {planned} planned, at {} different places; {} steps were in doubt",
        killed.len(),
        places.len(),
        doubts()
    );
    let mut by_call: BTreeMap<_, usize> = BTreeMap::new();
    for Point { threads, call, .. } in &killed {
        *by_call.entry((threads.unwrap_or("a start"), call)).or_default() += 1;
    }
    for ((threads, call), kills) in by_call {
        eprintln!("{kills:5} in {threads}: {call}");
    }
    assert!(killed.len() >= KILLS_MIN, "only {} kills", killed.len());
    assert!(doubts() > 0, "no kill hit an effect that cannot be repeated");
}

/// For every data directory the points of its lives: the first start, then sessions, and now and
/// then a start after a crash.
fn plans(points: Points) -> Vec<Vec<Point>> {
    let restarts = SCRIPTS * (LIVES / RESTART_EVERY - 1);
    let sessions = SCRIPTS * LIVES - SCRIPTS - restarts;
    let mut first = evenly(points.first_start, SCRIPTS).into_iter().cycle_few(SCRIPTS);
    let mut restart = evenly(points.restart, restarts).into_iter().cycle_few(restarts);
    let mut session = evenly(points.session, sessions).into_iter().cycle_few(sessions);
    let mut plans: Vec<Vec<Point>> = vec![Vec::new(); SCRIPTS];
    for life in 0..LIVES {
        for plan in &mut plans {
            plan.extend(match life {
                0 => first.next(),
                life if life % RESTART_EVERY == 0 => restart.next(),
                _ => session.next(),
            });
        }
    }
    plans
}

/// A few points more often than once, where there are not enough of them.
trait CycleFew: Iterator + Sized {
    fn cycle_few(self, count: usize) -> std::vec::IntoIter<Self::Item>
    where
        Self::Item: Clone,
    {
        let items: Vec<_> = self.collect();
        assert!(!items.is_empty(), "the recording shows no such calls");
        items.iter().cycle().take(count).cloned().collect::<Vec<_>>().into_iter()
    }
}

impl<I: Iterator> CycleFew for I {}

/// Plays a script over all its lives; the points at which the node was really killed.
fn play(plan: &[Point]) -> Vec<Point> {
    let mut script = Script::new();
    let mut killed = Vec::new();
    for point in plan {
        if live(&mut script, point) {
            killed.push(point.clone());
        }
        script.verify_after_crash();
    }
    script.conclude();
    killed
}

/// One life. Whether it ended at its point; else it is killed wherever it is.
pub(crate) fn live(script: &mut Script, point: &Point) -> bool {
    let tracer = match point.threads {
        Some(_) => Vec::new(),
        None => {
            let mut tracer = vec!["strace".to_owned(), "-f".into(), "-qq".into()];
            tracer.extend(["-o", "/dev/null"].map(str::to_owned));
            tracer.extend(point.options());
            tracer
        }
    };
    let log = script.home.file("watched");
    let mut node = script.home.start(&tracer);
    if let Some(client) = node.ready(&script.home) {
        if let Some(threads) = point.threads {
            node.watch(threads, &point.options(), &log);
        }
        if script.play(&client, SESSIONS_MAX).is_ok() {
            node.kill();
            return false;
        }
    }
    let status = node.ended();
    assert!(
        std::os::unix::process::ExitStatusExt::signal(&status) == Some(9),
        "at {point:?} it ended by itself: {status}\n{}",
        script.home.log()
    );
    if point.is_sync() {
        lose_unsynced(&log);
    }
    true
}

#[test]
fn an_effect_that_is_repeated_is_seen_by_the_sink() {
    let mut script = Script::new();
    let mut node = script.home.start(&[]);
    let client = script.ready(&mut node);
    // The sink has written, and the node does not know it yet.
    let point = Point { threads: Some("ark-worker"), call: "fsync".to_owned(), count: 1 };
    node.watch("ark-worker", &point.options(), &script.home.file("watched"));
    script.plan(&[Kind::Steps { class: "careless", steps: 1 }]);
    assert!(script.settle(&client).is_err());
    node.ended();
    let mut node = script.home.start(&[]);
    let client = script.ready(&mut node);
    let work = &mut script.works[0];
    work.submit(&client, &script.sink).expect("the node stays");
    client
        .get(&format!("/runs/{}?wait=30s", work.runs[&work.label]))
        .expect("the node stays")
        .good();
    let sink = std::fs::read_to_string(&script.sink.path).unwrap();
    let lines: Vec<_> = sink.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{sink}");
}
