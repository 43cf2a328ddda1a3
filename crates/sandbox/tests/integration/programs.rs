//! Programs run as they would outside.

use std::cell::Cell;
use std::time::Duration;

use ark_os_sandbox::{Exit, Job, Kind, Profile};

use crate::support::{also_as_ordinary_user, is_alive, jail, printed, run_with, sh, stderr};

#[test]
fn a_shell_python_and_git_run() {
    assert_eq!(printed(&sh("echo $((6*7)) | cat; ls / | grep -c tmp")), "42\n1\n");
    let words = [
        "/usr/bin/python3",
        "-c",
        "import threading, tempfile, json, sys; \
        t = threading.Thread(target=lambda: print(json.dumps({'a': 1}))); t.start(); t.join(); \
        tempfile.NamedTemporaryFile().write(b'x')",
    ];
    assert_eq!(printed(&run_with(Profile::default(), &words).unwrap()), "{\"a\": 1}\n");
    let git = "export HOME=/tmp; git init -q r && cd r && git config user.name a && \
        git config user.email a@b && echo x > f && git add f && git commit -qm one && \
        git log --format=%s";
    assert_eq!(printed(&sh(git)), "one\n");
    also_as_ordinary_user("programs::a_shell_python_and_git_run");
}

#[test]
fn standard_input_and_output_are_passed_byte_for_byte() {
    let mut job = Job::new(Profile::default(), ["cat"]);
    job.stdin = (0..=255_u8).cycle().take(300_000).collect();
    let finished = jail().run(&job, &|| false).unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    assert!(finished.stdout == job.stdin);
    also_as_ordinary_user("programs::standard_input_and_output_are_passed_byte_for_byte");
}

#[test]
fn the_environment_is_what_was_given_and_nothing_else() {
    let mut job = Job::new(Profile::default(), ["env"]);
    job.env = vec![("A".into(), "1 2".into()), ("PATH".into(), "/usr/bin".into())];
    let finished = jail().run(&job, &|| false).unwrap();
    assert_eq!(printed(&finished), "A=1 2\nPATH=/usr/bin\n");
    let none = run_with(Profile::default(), &["/usr/bin/env"]).unwrap();
    assert_eq!(printed(&none), "");
}

#[test]
fn codes_and_signals_are_told_as_they_were() {
    assert_eq!(sh("exit 3").exit, Exit::Code(3));
    assert_eq!(sh("kill -TERM $$").exit, Exit::Signal(15));
    // A broken pipe ends a program, as it does outside.
    assert_eq!(printed(&sh("(yes; echo $? >&2) | head -1")), "y\n");
    assert!(stderr(&sh("(yes; echo $? >&2) | head -1")).contains("141"));
    also_as_ordinary_user("programs::codes_and_signals_are_told_as_they_were");
}

#[test]
fn what_is_not_there_is_refused_before_anything_runs() {
    let refused = run_with(Profile::default(), &["no-such-program"]).unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::NotFound, "program_not_found"));
    let refused = run_with(Profile::default(), &["/etc/passwd"]).unwrap_err();
    assert_eq!(refused.code(), "program_not_found");
    let mut job = Job::new(Profile::default(), ["true"]);
    job.workdir = "/nowhere".into();
    let refused = jail().run(&job, &|| false).unwrap_err();
    assert_eq!(refused.code(), "sandbox_invalid", "{refused}");
    also_as_ordinary_user("programs::what_is_not_there_is_refused_before_anything_runs");
}

#[test]
fn a_job_that_is_stopped_ends_with_everything_it_started() {
    let asked = Cell::new(0);
    let mark = format!("{}.25", 80_000 + std::process::id());
    let script = format!("setsid sleep {mark} & nohup sleep {mark} & sleep {mark}");
    let job = Job::new(Profile::default(), ["sh", "-c", &script]);
    let finished = jail()
        .run(&job, &|| {
            // The third time: by then its children are there.
            asked.set(asked.get() + 1);
            asked.get() > 3 && is_alive(&mark)
        })
        .unwrap();
    assert_eq!(finished.exit, Exit::Stopped);
    assert!(!is_alive(&mark));
    also_as_ordinary_user("programs::a_job_that_is_stopped_ends_with_everything_it_started");
}

#[test]
fn what_a_job_leaves_running_ends_with_it() {
    let mark = format!("{}.75", 90_000 + std::process::id());
    let finished = sh(&format!("setsid sleep {mark} >/dev/null 2>&1 & exit 7"));
    assert_eq!(finished.exit, Exit::Code(7));
    assert!(!is_alive(&mark));
    assert!(finished.usage.wall < Duration::from_secs(20));
    also_as_ordinary_user("programs::what_a_job_leaves_running_ends_with_it");
}

#[test]
fn jobs_run_side_by_side_from_many_threads() {
    let jail = jail();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..24)
            .map(|number| {
                let jail = jail.clone();
                scope.spawn(move || {
                    let words = ["sh".to_owned(), "-c".to_owned(), format!("echo {number}")];
                    jail.run(&Job::new(Profile::default(), words), &|| false).unwrap()
                })
            })
            .collect();
        for (number, job) in started.into_iter().enumerate() {
            assert_eq!(printed(&job.join().unwrap()), format!("{number}\n"));
        }
    });
    assert_eq!(jail.reap().processes, 0);
}

#[test]
fn jobs_run_where_ended_children_were_ignored() {
    const IGNORED: &str = "ARK_OS_TEST_CHILDREN_IGNORED";
    if std::env::var_os(IGNORED).is_some() {
        assert_eq!(printed(&sh("(exit 3) || echo $?")), "3\n");
        return;
    }
    // What is ignored stays so over the start of another program.
    let again = "trap '' CHLD; exec \"$0\" --exact \"$1\" --nocapture";
    let output = std::process::Command::new("sh")
        .args(["-c", again])
        .arg(std::env::current_exe().unwrap())
        .arg("programs::jobs_run_where_ended_children_were_ignored")
        .env(IGNORED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
