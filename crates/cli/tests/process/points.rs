//! Where the node is to be killed: the mutating system calls of a start and of a session, found by
//! recording one of each, thread by thread.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::script::Script;

/// Calls that change files or tell somebody something.
pub(crate) const MUTATING: [&str; 17] = [
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "sendto",
    "fsync",
    "fdatasync",
    "fallocate",
    "ftruncate",
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat2",
    "unlink",
    "unlinkat",
    "linkat",
];
/// The thread that writes the journal.
pub(crate) const COMMITTER: &str = "ark-committer";
/// Begins the names of the threads that write: the committer, the views, the workers of agents,
/// those that answer clients and store what they sent, and the loop, which stores outputs.
const THREADS: [&str; 5] = [COMMITTER, "ark-views", "ark-worker", "ark-io", "ark-loop"];
/// Sessions in a recording: long enough for checkpoints and a new segment.
const RECORDED: usize = 4;
/// Points for one call of one thread: they are spread over the recording.
const POINTS_MAX: usize = 24;

/// Calls of a thread that are rare: beginning a segment, storing a blob.
const RARE: usize = 4;
const RARE_TIMES: usize = 3;

/// A system call at which the node is killed: it does not happen any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    /// Begins the names of the threads that are counted, each on its own; none: all of them, from
    /// the first instruction of the process.
    pub(crate) threads: Option<&'static str>,
    pub(crate) call: String,
    /// From 1.
    pub(crate) count: usize,
}

impl Point {
    /// What tells strace so.
    pub(crate) fn options(&self) -> Vec<String> {
        self.options_with("signal=KILL")
    }

    /// Whether what the committer has just written is not synced at this point.
    pub(crate) fn is_sync(&self) -> bool {
        self.threads == Some(COMMITTER) && self.call == "fdatasync"
    }

    pub(crate) fn options_with(&self, fault: &str) -> Vec<String> {
        let Point { call, count, .. } = self;
        // The committer's writes and syncs are looked at afterwards.
        let also = if self.is_sync() { ",pwrite64" } else { "" };
        let trace = format!("trace={call}{also}");
        vec!["-e".into(), trace, "-e".into(), format!("inject={call}:{fault}:when={count}")]
    }
}

/// Takes away what was written and not synced, as a power cut may: zeroes, where space was reserved.
pub(crate) fn lose_unsynced(log: &Path) {
    for (file, offset, bytes) in unsynced(&std::fs::read_to_string(log).unwrap()) {
        // A file that is gone lost more than that.
        let Ok(file) = std::fs::File::options().write(true).open(file) else { continue };
        file.write_all_at(&vec![0; bytes], offset).unwrap();
    }
}

/// File, offset and length of the writes since the last sync that came to its end.
fn unsynced(log: &str) -> Vec<(String, u64, usize)> {
    let mut writes = Vec::new();
    for line in log.lines() {
        // `pwrite64(9</…/segment-1.ark>, ""..., 512, 4096) = 512`, `fdatasync(9</…>) = 0`
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        if call.starts_with("fdatasync(") && result == "0" {
            writes.clear();
        }
        let file = call.strip_prefix("pwrite64(").and_then(|it| it.split(['<', '>']).nth(1));
        let place = call.trim_end().trim_end_matches(')').rsplit_once(", ");
        if let (Some(file), Some((_, offset)), Ok(bytes)) = (file, place, result.parse()) {
            writes.push((file.to_owned(), offset.parse().unwrap(), bytes));
        }
    }
    writes
}

/// The points of first starts, of starts after a crash, and of sessions.
pub(crate) struct Points {
    pub(crate) first_start: Vec<Point>,
    pub(crate) restart: Vec<Point>,
    pub(crate) session: Vec<Point>,
}

fn trace() -> Vec<String> {
    vec!["-e".into(), format!("trace={}", MUTATING.join(","))]
}

/// Records a first start, a session, and a start after a crash.
pub(crate) fn record() -> Points {
    let mut script = Script::new();
    let first = script.home.file("first");
    let session = script.home.file("session");
    let again = script.home.file("again");
    let mut node = script.home.start(&from_the_start(&first));
    script.ready(&mut node);
    node.kill();
    let mut node = script.home.start(&[]);
    let client = script.ready(&mut node);
    node.record(&trace(), &session);
    script.play(&client, RECORDED).expect("the node stays");
    node.kill();
    let mut node = script.home.start(&from_the_start(&again));
    script.ready(&mut node);
    node.kill();
    script.conclude();
    let starting = |log| spread(calls(log, None));
    let working = THREADS.into_iter().flat_map(|threads| spread(calls(&session, Some(threads))));
    Points { first_start: starting(&first), restart: starting(&again), session: working.collect() }
}

fn from_the_start(log: &Path) -> Vec<String> {
    let mut tracer = vec!["strace".to_owned()];
    tracer.extend(trace());
    tracer.extend(["-f", "-Y", "-qq", "-o"].map(str::to_owned));
    tracer.push(log.display().to_string());
    tracer
}

/// The mutating calls of the threads of this name. strace counts them thread by thread.
fn calls(log: &Path, threads: Option<&'static str>) -> BTreeSet<Point> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut points = BTreeSet::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        // `123<ark-committer> pwrite64(7, …`
        let Some((who, what)) = line.split_once("> ") else { continue };
        let (pid, name) = who.split_once('<').unwrap_or(("", who));
        let Some((call, arguments)) = what.trim_start().split_once('(') else { continue };
        if !MUTATING.contains(&call) || threads.is_some_and(|begin| !name.starts_with(begin)) {
            continue;
        }
        let count = counts.entry((pid.to_owned(), call.to_owned())).or_default();
        *count += 1;
        let mutates = match call {
            "openat" => arguments.contains("O_CREAT"),
            // Eight bytes are threads that wake each other.
            "write" => !arguments.contains("\\0\", 8"),
            _ => true,
        };
        if mutates {
            points.insert(Point { threads, call: call.to_owned(), count: *count });
        }
    }
    points
}

/// At most `POINTS_MAX` a call, evenly; rare ones more than once, because each life is another.
fn spread(points: BTreeSet<Point>) -> Vec<Point> {
    let mut by_call: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for point in points {
        by_call.entry(point.call.clone()).or_default().push(point);
    }
    let chosen = by_call.into_values().flat_map(|points| {
        let times = if points.len() <= RARE { RARE_TIMES } else { 1 };
        let count = points.len() * times;
        evenly(points.into_iter().cycle().take(count).collect(), POINTS_MAX)
    });
    chosen.collect()
}

/// So many of them, the first and the last among them.
pub(crate) fn evenly<T>(items: Vec<T>, most: usize) -> Vec<T> {
    let (count, most) = (items.len(), most.max(2));
    if count <= most {
        return items;
    }
    let chosen: BTreeSet<_> = (0..most).map(|at| at * (count - 1) / (most - 1)).collect();
    let numbered = items.into_iter().enumerate();
    numbered.filter(|(at, _)| chosen.contains(at)).map(|(_, item)| item).collect()
}
