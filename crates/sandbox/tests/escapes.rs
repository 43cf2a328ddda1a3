//! Every way out of the jail that we know of is tried, as root and as an ordinary user. Each is
//! refused, and what was put up outside is as before. The same ways succeed without a jail, so a
//! refusal means something.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ark_os_sandbox::{Access, Exit, Finished, Jail, Job, Mount, Profile, Settings};

#[path = "escapes/canaries.rs"]
mod canaries;

use canaries::Canaries;

const ATTACKER: &str = env!("CARGO_BIN_EXE_ark-os-attacker");
const LAUNCHER: &str = env!("CARGO_BIN_EXE_ark-os-jail");
/// The status with which the attacker says that it got out.
const ESCAPED: i32 = 42;
/// What the issue of escapes asks for at least.
const WAYS_MIN: usize = 60;
/// Who nobody is, on every Linux.
const NOBODY: u32 = 65_534;
/// Jobs at a time: more would only wait for the same processors.
const AT_ONCE: usize = 4;
const MIB: u64 = 1 << 20;

/// Ways that do no harm when they succeed, and do succeed on any machine for anybody.
const OPEN_OUTSIDE: &[&str] = &[
    "tcp4",
    "udp4",
    "listen",
    "unix-socket-of-the-host",
    "abstract-socket-of-the-host",
    "read-the-canary",
    "read-through-proc-self-root",
    "read-by-dots",
    "list-sys",
    "write-shown",
    "hard-link-to-the-canary",
    "hard-link-to-shown",
    "see-host-process",
    "allow-new-privileges",
    "shared-memory-of-the-host",
    "inherited-environment",
    "add-key",
    "datagram-to-the-host",
    "raw-datagram-to-the-host",
    "descriptor-to-the-host",
    "hide-a-file-in-a-socket",
    "lease-on-shown",
    "sync-a-file-system",
    "all-watches-of-the-user",
];
/// The same for root.
const OPEN_OUTSIDE_TO_ROOT: &[&str] = &[
    "read-shadow",
    "raw-socket",
    "packet-socket",
    "netlink-socket",
    "hold-capabilities",
    "open-tree",
    "fsopen",
    "unshare-network",
    "raise-limits",
    "raise-priority",
];

/// Ways to memory that only a look at the processes finds where no control group counts it: between two
/// looks it grows.
const FOUND_LATE: &[&str] = &["bomb-sealed-memory", "bomb-stretched-stack"];

#[test]
fn every_way_out_is_refused_to_a_job_of_root() {
    if is_root() {
        try_everything();
    } else {
        // Who is not root starts no job as root; the other test is theirs.
        eprintln!("not run by root: only the jobs of an ordinary user were tried");
    }
}

#[test]
fn every_way_out_is_refused_to_a_job_of_an_ordinary_user() {
    if !is_root() {
        return try_everything();
    }
    let name = "every_way_out_is_refused_to_a_job_of_an_ordinary_user";
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me)
        .args(["--exact", name, "--nocapture"])
        .env("TMPDIR", "/tmp")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn try_everything() {
    let jail = Jail::open(Settings { launcher: LAUNCHER.into() }).unwrap();
    let listed = Command::new(ATTACKER).arg("list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let ways: Vec<&str> = listed.lines().collect();
    assert!(ways.len() >= WAYS_MIN, "only {} ways are known", ways.len());
    they_succeed_without_a_jail();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(way) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let failed = refusal(&jail, way).err().map(|why| format!("{way}: {why}"));
                    failures.lock().unwrap().extend(failed);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "of {} ways:\n{}", ways.len(), failures.join("\n"));
}

fn they_succeed_without_a_jail() {
    let more = if is_root() { OPEN_OUTSIDE_TO_ROOT } else { &[] };
    for way in OPEN_OUTSIDE.iter().chain(more) {
        let canaries = Canaries::put_up();
        let mut bare = Command::new(ATTACKER);
        bare.args(["try", way]).env("NOT_GIVEN", "1");
        bare.envs(canaries.environment(&canaries.out(), &canaries.shown()));
        let output = bare.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(ESCAPED), "`{way}` fails without a jail: {said}");
    }
}

/// One way, with canaries of its own: why it was not refused, or what it did outside.
fn refusal(jail: &Jail, way: &str) -> Result<(), String> {
    let canaries = Canaries::put_up();
    let finished = jail.run(&job(way, &canaries), &|| false).map_err(|error| error.to_string())?;
    ended_as_refused(way, &finished)?;
    canaries.are_unharmed()
}

fn job(way: &str, canaries: &Canaries) -> Job {
    let profile = Profile {
        memory_bytes: 96 * MIB,
        processes: 32,
        cpu_time: std::time::Duration::from_secs(1),
        wall_time: std::time::Duration::from_secs(4),
        tmp_bytes: 8 * MIB,
        tmp_inodes: 500,
        file_bytes: 4 * MIB,
        open_files: 64,
        ..Profile::default()
    };
    let (out, shown) = (Path::new("/work/out"), Path::new("/work/shown"));
    let attacker = Path::new(ATTACKER);
    let mut job = Job::new(profile, ["/work/attacker", "try", way]);
    let mount = |source: &Path, target: &Path, access| Mount::new(source, target, access).unwrap();
    job.mounts = vec![
        mount(attacker, Path::new("/work/attacker"), Access::Read),
        mount(&canaries.shown(), shown, Access::Read),
        mount(&canaries.out(), out, Access::Write),
    ];
    job.env = canaries
        .environment(out, shown)
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    job
}

fn ended_as_refused(way: &str, finished: &Finished) -> Result<(), String> {
    let said = String::from_utf8_lossy(&finished.stdout);
    let said = said.lines().last().unwrap_or("");
    let is_bomb = way.starts_with("bomb-");
    let is_refused = match finished.exit {
        // The filter kills those who come by another entry, and one way kills everybody inside.
        Exit::Signal(_) => true,
        Exit::Code(0) => said.starts_with("refused: "),
        Exit::WallTime | Exit::CpuTime | Exit::Memory | Exit::Output | Exit::Files => is_bomb,
        Exit::Code(_) => is_bomb && !said.contains("ESCAPED"),
        Exit::Stopped => false,
    };
    if !is_refused {
        let errors = String::from_utf8_lossy(&finished.stderr);
        return Err(format!("ended with {:?}, saying `{said}` {errors}", finished.exit));
    }
    let peak = finished.usage.memory_peak.unwrap_or(0);
    let peak_max = if FOUND_LATE.contains(&way) { 1024 * MIB } else { 128 * MIB };
    if peak > peak_max {
        return Err(format!("used {peak} bytes of memory"));
    }
    if finished.usage.wall > std::time::Duration::from_secs(20) {
        return Err(format!("took {:?}", finished.usage.wall));
    }
    Ok(())
}
