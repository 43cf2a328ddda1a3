//! Programs in a jail, from the command line.

use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use crate::support::{Home, PATIENCE, done};

#[test]
fn a_program_runs_in_a_jail_and_its_end_is_told() {
    let home = Home::new();
    let well = home.call(&["sandbox", "run", "--", "sh", "-c", "id -un; pwd; ls /home"]).expect(1);
    assert_eq!(well.out, "agent\n/tmp\n");
    assert!(well.err.contains("/home") && well.err.contains("ended with 2"), "{}", well.err);
    let args = ["--json", "sandbox", "run", "--env", "A=b", "--", "sh", "-c", "echo $A; exit 3"];
    let told = home.call(&args).expect(1).json();
    assert_eq!((&told["exit"]["code"], &told["stdout"]), (&3.into(), &"b\n".into()));
    home.call(&["sandbox", "run", "--", "true"]).expect(0);
}

#[test]
fn input_mounts_and_profiles_are_taken_from_the_command_line() {
    let home = Home::new();
    home.file("in.txt", "seen");
    let profile = home.file("small.json", r#"{"stdout_bytes": 4, "wall_time": "30s"}"#);
    let mount = format!("{}:/in:ro", home.path().display());
    let mut command = home.command(&[
        "sandbox",
        "run",
        "--profile",
        profile.to_str().unwrap(),
        "--mount",
        &mount,
        "--workdir",
        "/in",
        "--",
        "cat",
        "in.txt",
        "-",
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"too much").unwrap();
    let call = done(child.wait_with_output().unwrap()).expect(1);
    assert_eq!(call.out, "seen");
    assert!(call.err.contains("stdout_bytes"), "{}", call.err);
}

#[test]
fn what_cannot_be_run_is_refused_with_its_code() {
    let home = Home::new();
    let code = |args: &[&str], exit: i32| {
        let args = [&["--json", "sandbox", "run"], args].concat();
        home.call(&args).expect(exit).problem()["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(&["--", "no-such-program"], 1), "program_not_found");
    assert_eq!(code(&["--mount", "/proc:/p", "--", "true"], 2), "sandbox_invalid");
    assert_eq!(code(&["--profile", "lax", "--", "true"], 2), "usage");
    assert_eq!(code(&["--mount", "/usr", "--", "true"], 2), "usage");
}

#[test]
fn the_probe_names_every_mechanism() {
    let home = Home::new();
    let probe = home.call(&["--json", "sandbox", "probe"]).expect(0).json();
    assert_eq!(probe["available"], true);
    let names: Vec<_> = probe["mechanisms"].as_array().unwrap().iter().collect();
    for name in ["user namespace", "seccomp", "Landlock", "control group memory", "AppArmor"] {
        assert!(names.iter().any(|it| it["name"] == name), "{name}: {probe}");
    }
    assert!(home.call(&["sandbox", "probe"]).expect(0).out.contains("programs can be jailed"));
}

#[test]
fn what_is_jailed_dies_with_a_call_that_is_killed() {
    let home = Home::new();
    let mark = format!("{}.125", 70_000 + std::process::id());
    let script = format!("trap '' TERM INT HUP; setsid sleep {mark} & sleep {mark}");
    let mut command = home.command(&["sandbox", "run", "--", "sh", "-c", &script]);
    let mut call = command.spawn().unwrap();
    await_that(|| sleepers(&mark) == 2);
    call.kill().unwrap();
    call.wait().unwrap();
    await_that(|| sleepers(&mark) == 0);
    // The groups of the dead are removed by whoever comes next.
    home.call(&["sandbox", "probe"]).expect(0);
    let left = format!("/sys/fs/cgroup/pids/ark-os-jail-{}-", call.id());
    let groups = std::fs::read_dir("/sys/fs/cgroup/pids").into_iter().flatten().flatten();
    let left = groups.filter(|it| it.path().to_string_lossy().starts_with(&left)).count();
    assert_eq!(left, 0);
}

/// Processes anywhere on the machine that sleep for exactly this long.
fn sleepers(mark: &str) -> usize {
    let wanted = format!("sleep\0{mark}\0");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let words = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    words.filter(|words| words == wanted.as_bytes()).count()
}

fn await_that(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not in time");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}
