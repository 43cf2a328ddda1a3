//! How long a jailed `true` takes from call to answer, beside what else starts one on this machine, and what many
//! jails at one time take of its memory; prints JSON.
//!
//! `cargo run --release -p ark-os-sandbox --example jail_bench [-- ROUNDS [AT_ONCE]]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench reads clocks, starts things and prints"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ark_os_sandbox::{Exit, Jail, Job, Profile, Settings, launcher_main_if_asked};
use serde_json::{Value, json};

/// Enough for a median that does not move.
const ROUNDS: usize = 200;
/// As many as an instance may be asked to run together.
const AT_ONCE: usize = 200;
/// What a jailed `true` is to take.
const AIM_US: u64 = 8_000;

fn main() {
    if let Some(code) = launcher_main_if_asked() {
        std::process::exit(code);
    }
    let mut counts = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let rounds = counts.next().unwrap_or(ROUNDS);
    let at_once = counts.next().unwrap_or(AT_ONCE);
    let opening = Instant::now();
    let jail = Jail::open(Settings::default()).expect("the launcher starts");
    let opened = us(opening.elapsed());
    assert!(jail.probe().available, "{:#?}", jail.probe());
    let job = Job::new(Profile::default(), ["/usr/bin/true"]);
    let document = json!({
        "rounds": rounds,
        "open_and_probe_us": opened,
        "jailed_true": times(rounds, || run(&jail, &job)),
        "aim_median_us": AIM_US,
        "raw": {
            "fork_and_exec": times(rounds, || quiet(&mut Command::new("/usr/bin/true"))),
            "bwrap_unshare_all_true": bwrap(rounds),
        },
        "at_once": many(&jail, at_once),
    });
    println!("{document:#}");
}

fn run(jail: &Jail, job: &Job) {
    let finished = jail.run(job, &|| false).expect("it runs");
    assert_eq!(finished.exit, Exit::Code(0));
}

fn quiet(command: &mut Command) {
    assert!(command.stdin(Stdio::null()).status().expect("it starts").success());
}

/// The same by bubblewrap; null where there is none.
fn bwrap(rounds: usize) -> Value {
    let words = ["--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"];
    let more = ["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"];
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Value::Null;
    }
    times(rounds, || quiet(Command::new("bwrap").args(words).args(more).arg("/usr/bin/true")))
}

fn times(rounds: usize, work: impl Fn()) -> Value {
    let mut times: Vec<u64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            us(start.elapsed())
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    json!({ "median_us": at(50), "least_us": at(0), "p95_us": at(95) })
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

/// Many jobs that all live at the same time, and what they take of the machine's memory.
fn many(jail: &Jail, count: usize) -> Value {
    let free = available_kib();
    let start = Instant::now();
    let taken = std::thread::scope(|scope| {
        let job = Job::new(Profile::default(), ["/usr/bin/sleep", "3"]);
        let jobs: Vec<_> = (0..count).map(|_| job.clone()).collect();
        for job in jobs {
            scope.spawn(move || run(jail, &job));
        }
        std::thread::sleep(Duration::from_secs(2));
        free.saturating_sub(available_kib())
    });
    json!({
        "jobs": count,
        "each_sleeps_ms": 3_000,
        "all_over_after_ms": us(start.elapsed()) / 1_000,
        "machine_kib_more": taken,
        "machine_kib_each": taken / u64::try_from(count).unwrap(),
        "machine_kib_more_afterwards": free.saturating_sub(available_kib()),
    })
}

fn available_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
