//! How long a jailed `true` takes from call to answer, beside what else starts one on this machine.
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

/// Enough for a median that does not move.
const ROUNDS: usize = 200;
/// As many as an instance may be asked to run together.
const AT_ONCE: usize = 200;

fn main() {
    if let Some(code) = launcher_main_if_asked() {
        std::process::exit(code);
    }
    let mut counts = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let rounds = counts.next().unwrap_or(ROUNDS);
    let at_once = counts.next().unwrap_or(AT_ONCE);
    let opening = Instant::now();
    let jail = Jail::open(Settings::default()).expect("the launcher starts");
    println!("open and probe: {}", shown(opening.elapsed()));
    assert!(jail.probe().available, "{:#?}", jail.probe());
    let job = Job::new(Profile::default(), ["/usr/bin/true"]);
    let jailed = median(rounds, || run(&jail, &job));
    println!("jailed true: {}", told(&jailed));
    let bare = median(rounds, || quiet(&mut Command::new("/usr/bin/true")));
    println!("fork and exec: {}", told(&bare));
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let words = ["--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"];
        let more = ["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"];
        let bwrap = || quiet(Command::new("bwrap").args(words).args(more).arg("/usr/bin/true"));
        println!("bwrap --unshare-all true: {}", told(&median(rounds, bwrap)));
    }
    many(&jail, at_once);
}

fn run(jail: &Jail, job: &Job) {
    let finished = jail.run(job, &|| false).expect("it runs");
    assert_eq!(finished.exit, Exit::Code(0));
}

fn quiet(command: &mut Command) {
    assert!(command.stdin(Stdio::null()).status().expect("it starts").success());
}

fn median(rounds: usize, work: impl Fn()) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn told(times: &[Duration]) -> String {
    let at = |percent: usize| shown(times[(times.len() - 1) * percent / 100]);
    format!("median {}, least {}, p95 {}", at(50), at(0), at(95))
}

fn shown(time: Duration) -> String {
    format!("{}.{:02} ms", time.as_micros() / 1000, time.as_micros() % 1000 / 10)
}

/// Many jobs that all live at the same time, and what they take of the machine's memory.
fn many(jail: &Jail, count: usize) {
    let free = available_kib();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let job = Job::new(Profile::default(), ["/usr/bin/sleep", "3"]);
                run(jail, &job);
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        let taken = free.saturating_sub(available_kib());
        println!("{count} at once: {} KiB each", taken / u64::try_from(count).unwrap());
    });
    println!("{count} at once: all over after {}", shown(start.elapsed()));
}

fn available_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
