//! Each limit, by a program that would pass it.

use std::time::Duration;

use ark_os_sandbox::{Exit, Job, Profile, Strength};

use crate::support::{also_as_ordinary_user, is_root, jail, printed, run_with, sh_with, stderr};

const MIB: u64 = 1024 * 1024;

fn python(profile: Profile, code: &str) -> ark_os_sandbox::Finished {
    run_with(profile, &["/usr/bin/python3", "-c", code]).expect("it runs")
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let profile = Profile { wall_time: Duration::from_millis(300), ..Profile::default() };
    let finished = sh_with(profile, "trap '' TERM INT HUP; sleep 1000");
    assert_eq!(finished.exit, Exit::WallTime);
    assert!(finished.usage.wall >= Duration::from_millis(300));
    also_as_ordinary_user("limits::a_job_that_takes_too_long_is_ended");
}

#[test]
fn a_job_that_computes_too_long_is_ended() {
    let profile = Profile { cpu_time: Duration::from_secs(1), ..Profile::default() };
    let finished = sh_with(profile, "while :; do :; done");
    assert_eq!(finished.exit, Exit::CpuTime);
    // Without a group the kernel guesses by its ticks.
    let least = Duration::from_millis(if is_root() { 1000 } else { 500 });
    assert!(finished.usage.cpu >= least, "{:?}", finished.usage);
    also_as_ordinary_user("limits::a_job_that_computes_too_long_is_ended");
}

#[test]
fn a_job_that_wants_too_much_memory_gets_none() {
    let profile = Profile { memory_bytes: 64 * MIB, ..Profile::default() };
    let greedy = "b = bytearray(200 << 20); print(len(b))";
    let finished = python(profile.clone(), greedy);
    // With a control group the kernel ends it; without one the allocation itself fails.
    if is_root() {
        assert_eq!(finished.exit, Exit::Memory);
        assert!(finished.usage.memory_peak.unwrap() <= 64 * MIB);
    } else {
        assert_eq!(finished.exit, Exit::Code(1));
        assert!(stderr(&finished).contains("MemoryError"), "{}", stderr(&finished));
    }
    // Memory that is shared instead: counted by the group, refused without one.
    let shared = "import mmap; m = mmap.mmap(-1, 200 << 20)\n\
        for i in range(0, 200 << 20, 4096): m[i] = 1\nprint('has it')";
    let finished = python(profile.clone(), shared);
    assert_ne!(finished.exit, Exit::Code(0), "{finished:?}");
    let file = "import os; f = os.memfd_create('x'); b = b'x' * (1 << 20)\n\
        for i in range(200): os.write(f, b)\nprint('has it')";
    assert_ne!(python(profile, file).exit, Exit::Code(0));
    also_as_ordinary_user("limits::a_job_that_wants_too_much_memory_gets_none");
}

#[test]
fn processes_together_do_not_get_more_memory_where_a_group_counts_it() {
    if !is_root() {
        return;
    }
    let profile = Profile { memory_bytes: 64 * MIB, ..Profile::default() };
    let many = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        \
        b = bytearray(20 << 20); time.sleep(20); os._exit(0)\ntime.sleep(20)";
    assert_eq!(python(profile, many).exit, Exit::Memory);
}

#[test]
fn a_fork_bomb_stays_within_the_limit_of_processes() {
    let profile =
        Profile { processes: 10, wall_time: Duration::from_secs(20), ..Profile::default() };
    let count = "import os, time\nn = 0\nwhile True:\n    try:\n        pid = os.fork()\n    \
        except OSError as error:\n        print(n, error.errno); break\n    \
        if pid == 0:\n        time.sleep(60); os._exit(0)\n    n += 1";
    // Itself and nine more; then EAGAIN.
    assert_eq!(printed(&python(profile.clone(), count)), "9 11\n");
    let threads = "import threading, time\nn = 0\ntry:\n    while True:\n        \
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); n += 1\n\
        except RuntimeError:\n    print(n)\n    import os; os._exit(0)";
    let finished = python(
        profile,
        &format!("import sys; sys.stdout.reconfigure(line_buffering=True)\n{threads}"),
    );
    assert_eq!(printed(&finished), "9\n");
    also_as_ordinary_user("limits::a_fork_bomb_stays_within_the_limit_of_processes");
}

#[test]
fn output_beyond_the_limit_ends_the_job_and_errors_beyond_it_are_cut() {
    let profile = Profile { stdout_bytes: 1000, stderr_bytes: 100, ..Profile::default() };
    let finished = sh_with(profile.clone(), "yes");
    assert_eq!((finished.exit, finished.stdout.len()), (Exit::Output, 1000));
    let finished = sh_with(profile.clone(), "head -c 1000 /dev/zero; head -c 101 /dev/zero >&2");
    assert_eq!((finished.exit, finished.stdout.len()), (Exit::Code(0), 1000));
    assert_eq!((finished.stderr.len(), finished.stderr_cut), (100, true));
    let finished = sh_with(profile, "head -c 1001 /dev/zero");
    assert_eq!((finished.exit, finished.stdout.len()), (Exit::Output, 1000));
    also_as_ordinary_user(
        "limits::output_beyond_the_limit_ends_the_job_and_errors_beyond_it_are_cut",
    );
}

#[test]
fn the_private_tmp_has_its_bytes_and_files_and_no_more() {
    let profile =
        Profile { tmp_bytes: 8 * MIB, tmp_inodes: 100, file_bytes: 64 * MIB, ..Profile::default() };
    let fill = "head -c 20000000 /dev/zero > /tmp/x; stat -c %s /tmp/x";
    let size: u64 = printed(&sh_with(profile.clone(), fill)).trim().parse().unwrap();
    assert!((8 * MIB..=8 * MIB + 128 * 1024).contains(&size), "{size}");
    let files = "i=0; while [ $i -lt 5000 ]; do true > /tmp/f$i || break; i=$((i+1)); done 2>/dev/null\n\
        ls /tmp | wc -l";
    let count: u64 = printed(&sh_with(profile, files)).trim().parse().unwrap();
    assert!((100..1000).contains(&count), "{count}");
    also_as_ordinary_user("limits::the_private_tmp_has_its_bytes_and_files_and_no_more");
}

#[test]
fn a_file_and_a_table_of_files_have_their_limits() {
    let profile = Profile { file_bytes: 100_000, open_files: 20, ..Profile::default() };
    let finished = sh_with(profile.clone(), "head -c 200000 /dev/zero > /tmp/x");
    // 128 + SIGXFSZ, as the shell tells it.
    assert_eq!(finished.exit, Exit::Code(153));
    let open = "import os\nn = 0\ntry:\n    while True: os.dup(0); n += 1\n\
        except OSError as error: print(n < 20, error.errno)";
    assert_eq!(printed(&python(profile, open)), "True 24\n");
    also_as_ordinary_user("limits::a_file_and_a_table_of_files_have_their_limits");
}

#[test]
fn a_share_of_a_processor_is_all_a_job_gets() {
    let profile = Profile { cpu_milli: 500, ..Profile::default() };
    let jail = jail();
    let held = jail.check(&profile).unwrap();
    // Two busy processes for a second of real time.
    let busy = "import os, time\npid = os.fork()\nend = time.monotonic() + 1.0\n\
        while time.monotonic() < end: pass\nif pid: os.wait()";
    let finished =
        jail.run(&Job::new(profile, ["/usr/bin/python3", "-c", busy]), &|| false).unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    let wall = u32::try_from(finished.usage.wall.as_millis()).unwrap();
    let cpu = u32::try_from(finished.usage.cpu.as_millis()).unwrap();
    // One period of 50 ms may be used up before the first pause.
    assert!(cpu <= wall * held.cpu_milli / 1000 + 60, "{cpu} of {wall} ms, {held:?}");
    also_as_ordinary_user("limits::a_share_of_a_processor_is_all_a_job_gets");
}

#[test]
fn a_strength_that_cannot_be_held_is_refused_and_nothing_runs() {
    let strict = Profile::named("strict").unwrap();
    let jail = jail();
    if is_root() {
        let held = jail.check(&strict).unwrap();
        assert_eq!((held.memory, held.cpu), (Strength::Tree, Strength::Tree));
    } else {
        let job = Job::new(strict, ["sh", "-c", "echo ran"]);
        let refused = jail.run(&job, &|| false).unwrap_err();
        assert_eq!(refused.code(), "sandbox_unavailable");
        assert!(refused.to_string().contains("control group"), "{refused}");
    }
    also_as_ordinary_user("limits::a_strength_that_cannot_be_held_is_refused_and_nothing_runs");
}
