//! An instance as a process: start, second start, signals, shutdown, doctor.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::{Home, await_that, done};

#[test]
fn a_started_instance_tells_its_address_and_keeps_its_token_private() {
    let home = Home::new();
    let node = home.start(&["--agents", "50"]);
    assert!(node.ready.starts_with("ready at http://127.0.0.1:"), "{}", node.ready);
    let mode = |name: &str| {
        std::fs::metadata(home.data().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("token"), mode(".")), (0o600, 0o700));
    let page = home.call(&["--json", "list", "agents", "--limit", "500"]).expect(0).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 50);
    let agent = home.call(&["--json", "get", "cecca-00000"]).expect(0).json();
    assert_eq!(agent["layer"], "cecca");
}

#[test]
fn a_data_directory_that_others_could_look_into_is_closed() {
    let home = Home::new();
    let open = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(home.data().join(name), mode).unwrap();
    };
    let mode = |name: &str| {
        std::fs::metadata(home.data().join(name)).unwrap().permissions().mode() & 0o777
    };
    std::fs::create_dir(home.data()).unwrap();
    open(".", 0o755);
    home.call(&["run", "--task", "echo"]).expect(0);
    assert_eq!((mode("."), mode("views.db")), (0o700, 0o600));
    open(".", 0o750);
    open("views.db", 0o644);
    let done = home.call(&["run", "--task", "echo"]).expect(0);
    assert!(done.err.contains("could look into"), "{}", done.err);
    assert_eq!((mode("."), mode("views.db")), (0o700, 0o600));
}

#[test]
fn a_second_start_is_refused_and_names_the_process() {
    let home = Home::new();
    let node = home.start(&["--mode", "supervised", "--agents", "100"]);
    let second = home.call(&["start", "--listen", "127.0.0.1:0"]).expect(5);
    assert!(second.err.contains(&format!("process {}", node.pid())), "{}", second.err);
    assert!(second.err.contains("hint: "), "{}", second.err);
    let second = home.call(&["--json", "start"]).expect(5).problem();
    assert_eq!(second["code"], "data_directory_in_use");
}

#[test]
fn sigterm_lets_what_runs_come_to_its_end() {
    let home = Home::new();
    let node = home.start(&["--agents", "10"]);
    let run = home.call(&["submit", "--task", "sleep", "-i", "ms=700"]).expect(0).out;
    let run = run.trim();
    await_that("the task runs", || {
        home.call(&["--json", "get", run]).json()["tasks"]["running"] == 1
    });
    node.signal(Signal::TERM);
    let (code, err) = node.wait();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("all that was worked on came to its end"), "{err}");
    let _node = home.start(&[]);
    let view = home.call(&["--json", "get", run]).expect(0).json();
    assert_eq!((&view["state"], &view["tasks"]["succeeded"]), (&"succeeded".into(), &1.into()));
}

#[test]
fn shutdown_waits_until_the_process_is_gone() {
    let home = Home::new();
    let node = home.start(&["--agents", "10"]);
    home.call(&["submit", "--task", "sleep", "-i", "ms=60000"]).expect(0);
    home.call(&["shutdown", "--drain-timeout", "x"]).expect(2);
    let stopped = home.call(&["shutdown", "--now"]).expect(0);
    assert_eq!(stopped.out, "stopped\n");
    assert_eq!(node.wait().0, Some(0));
    assert!(!home.data().join("instance.json").exists());
    home.call(&["shutdown"]).expect(3);
}

#[test]
fn an_instance_that_is_not_there_cannot_be_reached() {
    let home = Home::new();
    let done = home.call(&["--json", "list", "runs"]).expect(3);
    assert_eq!(done.problem()["code"], "instance_unreachable");
    let done = home.call(&["--endpoint", "http://127.0.0.1:1", "list", "runs"]).expect(3);
    assert!(done.err.contains("http://127.0.0.1:1"), "{}", done.err);
    home.call(&["--endpoint", "https://127.0.0.1:1", "list", "runs"]).expect(2);
}

#[test]
fn a_wrong_token_is_denied() {
    let home = Home::new();
    let node = home.start(&["--agents", "6"]);
    let endpoint = node.ready.trim().trim_start_matches("ready at ").to_owned();
    let wrong = home.file("wrong", "0123456789abcdef0123456789abcdef\n");
    let wrong = wrong.to_str().unwrap();
    let args = ["--endpoint", &endpoint, "--token-file", wrong, "list", "runs"];
    let denied = home.call(&args).expect(4);
    assert!(denied.err.contains("--token-file"), "{}", denied.err);
    let right = home.data().join("token");
    let args = ["--endpoint", &endpoint, "--token-file", right.to_str().unwrap(), "list", "runs"];
    home.call(&args).expect(0);
}

#[test]
fn doctor_finds_what_is_wrong() {
    let home = Home::new();
    let fresh = home.call(&["--json", "doctor"]).expect(0).json();
    assert_eq!(fresh["healthy"], true);
    home.call(&["run", "--task", "echo"]).expect(0);
    std::fs::set_permissions(home.data().join("token"), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let sick = home.call(&["--json", "doctor"]).expect(5).json();
    let checks = sick["checks"].as_array().unwrap();
    let of = |name: &str| checks.iter().find(|it| it["name"] == name).unwrap()["health"].clone();
    assert_eq!((of("token file"), of("journal")), ("problem".into(), "ok".into()));
    for plane in ["execution plane", "orchestrator plane", "sandbox plane"] {
        assert!(checks.iter().any(|check| check["name"] == plane), "{plane}");
    }
}

#[test]
fn doctor_and_the_log_of_a_start_tell_that_the_archive_is_another_journals() {
    let (home, other) = (Home::new(), Home::new());
    home.call(&["run", "--task", "echo"]).expect(0);
    other.call(&["run", "--task", "echo"]).expect(0);
    let archive = home.path().join("elsewhere");
    let call = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("ARK_OS_STORE_ARCHIVE_DIR", &archive);
        done(command.output().unwrap())
    };
    let checked = || {
        let told = call(&["--json", "doctor"]).expect(0).json();
        let checks = told["checks"].as_array().unwrap();
        checks.iter().find(|it| it["name"] == "archive").unwrap().clone()
    };
    assert_eq!(checked()["health"], "degraded", "it is not mounted");
    std::fs::create_dir(&archive).unwrap();
    assert_eq!(checked()["health"], "ok");
    std::fs::copy(other.data().join("ledger.pub"), archive.join("archive.owner")).unwrap();
    let told = checked();
    assert_eq!(told["health"], "degraded");
    assert!(told["found"].as_str().unwrap().contains("another journal's"), "{told}");
    let config = home.file("archive.toml", &format!("[store]\narchive_dir = {archive:?}\n"));
    let node = home.start(&["--config", config.to_str().unwrap()]);
    node.signal(Signal::INT);
    let (code, log) = node.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("nothing is archived before that is mended"), "{log}");
}

#[test]
fn log_lines_are_json_with_the_promised_fields() {
    let home = Home::new();
    let node = home.start(&["--agents", "6", "--log-level", "info"]);
    node.signal(Signal::INT);
    let (code, err) = node.wait();
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<serde_json::Value> =
        err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(!lines.is_empty(), "{err}");
    for line in lines {
        for field in ["timestamp", "agent_id", "level", "message", "trace_id", "task_id"] {
            assert!(line.as_object().unwrap().contains_key(field), "{field}: {line}");
        }
    }
}

/// The status of a request that names a host.
fn status_for(address: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET /api/v1/health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn an_instance_that_listens_everywhere_serves_the_hosts_it_was_told_and_says_so() {
    let home = Home::new();
    let hosts = ["--host", "ark.test", "--host", "2001:db8::1", "--log-level", "info"];
    let node = home.start_at("0.0.0.0:0", &hosts);
    let address = node.ready.trim().trim_start_matches("ready at http://").to_owned();
    assert!(address.starts_with("127.0.0.1:"), "callers on this machine go there: {address}");
    home.call(&["list", "runs"]).expect(0);
    for (host, status) in [
        ("ark.test", "200"),
        ("ARK.TEST:80", "200"),
        ("[2001:db8::1]:7341", "200"),
        ("localhost", "200"),
        ("0.0.0.0", "421"),
        ("evil.test", "421"),
    ] {
        assert_eq!(status_for(&address, host), status, "{host}");
    }
    node.signal(Signal::TERM);
    let (_, err) = node.wait();
    assert_eq!(err.matches("no TLS yet").count(), 1, "{err}");
}

#[test]
fn a_request_that_changes_something_is_logged_with_its_run_and_without_its_payload() {
    let home = Home::new();
    let node = home.start(&["--agents", "10", "--log-level", "warn,ark_os_server=debug"]);
    let run = home.call(&["submit", "--task", "echo", "-i", "secret=hush"]).expect(0).out;
    let run = ark_os_core::ids::RunId::parse(run.trim()).unwrap();
    node.signal(Signal::TERM);
    let (_, err) = node.wait();
    assert!(!err.contains("hush"), "{err}");
    let lines = err.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let changes: Vec<_> = lines.filter(|it| it["message"] == "a change was asked for").collect();
    assert_eq!(changes.len(), 1, "{err}");
    assert_eq!(changes[0]["trace_id"], format!("{:032x}", run.0));
    assert_eq!((&changes[0]["method"], &changes[0]["status"]), (&"POST".into(), &202.into()));
}
