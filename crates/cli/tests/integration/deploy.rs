//! Deployments from the command line: what would change, what changed, and what was taken back.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Home;

const HELLO: &str =
    "workflows:\n  - name: hello\n    tasks:\n      - { name: say, skill: echo, input: hello }\n";

/// Two agents alike of a service at this address.
fn callers(url: &str) -> String {
    format!(
        "groups:\n  - name: callers\n    count: 2\n    skills: [call.it]\n    behaviour:\n      http: \
         {{ url: \"{url}\", allow_private: true, effect: idempotent }}\n{HELLO}"
    )
}

#[test]
fn a_manifest_is_deployed_from_the_command_line_and_says_first_what_changes() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let file = home.file("hello.yaml", HELLO);
    let deploy = ["deploy", "--manifest", file.to_str().unwrap()];
    let dry = home.call(&[&deploy[..], &["--dry-run"]].concat()).expect(0).out;
    assert!(dry.starts_with("+ workflow hello\n") && !dry.contains("version 1"), "{dry}");
    assert_eq!(home.call(&["run", "hello"]).expect(5).out, "", "nothing was changed");
    let first = home.call(&[&deploy[..], &["--wait"]].concat()).expect(0).out;
    assert!(first.ends_with("version 1 is deployed\n"), "{first}");
    home.call(&["run", "hello"]).expect(0);
    let again = home.call(&[&deploy[..], &["--wait"]].concat()).expect(0).out;
    assert_eq!(again, "no difference\nversion 1 is deployed\n");

    // A group whose service is there, and then one whose is not.
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", service.local_addr().unwrap());
    home.file("hello.yaml", &callers(&url));
    let wait = ["--json", "deploy", "--manifest", "hello.yaml", "--wait", "--timeout", "30s"];
    let grown = home.call(&wait).expect(0).json();
    assert_eq!(grown["deployment"]["groups"], serde_json::json!(["callers"]));
    assert_eq!(grown["changes"][0]["name"], "callers");
    let agents = home.call(&["list", "agents"]).expect(0).out;
    assert!(agents.contains("callers-00001"), "{agents}");
    drop(service);
    home.file("hello.yaml", &callers(&url).replace("callers", "others"));
    let refused = home.call(&wait).expect(1).json();
    assert_eq!(refused["deployment"]["state"], "rolled_back");

    // What only the instance can tell has its place in the file, too.
    let wrong = HELLO.replace("echo", "no.such");
    home.file("hello.yaml", &wrong);
    let problem = home.call(&wait).expect(2).problem();
    assert_eq!(problem["code"], "manifest_invalid");
    assert!(problem.to_string().contains("hello.yaml:4"), "{problem}");
    home.call(&["deploy", "--manifest", "hello.yaml", "--timeout", "soon"]).expect(2);
}

/// The address of a service that takes no connection and refuses none: whoever connects waits. It is one as long as
/// what is returned is kept.
fn silent() -> (String, Box<dyn std::any::Any>) {
    // More than any queue of connections that nobody accepts.
    const CONNECTIONS_MAX: usize = 10_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            Ok(stream) => waiting.push(stream),
            Err(_) => return (format!("http://{address}/"), Box::new((listener, waiting))),
        }
    }
    panic!("the queue of {address} does not fill");
}

fn state(home: &Home) -> Value {
    home.call(&["--json", "list", "deployments"]).expect(0).json()
}

#[test]
fn one_group_of_a_lower_layer_that_is_not_healthy_takes_all_of_them_back() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("http://{}/", service.local_addr().unwrap());
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let behaviour = |url: &str| {
        format!("{{ http: {{ url: \"{url}\", allow_private: true, effect: idempotent }} }}")
    };
    let manifest = format!(
        "fleet: {{ agents: 20 }}\nagents:\n  - {{ name: chief, layer: stack-chief }}\n  - {{ name: upper, layer: \
         specialist, skills: [upper.do], behaviour: {} }}\n  - {{ name: lower, layer: micro, skills: [lower.do], \
         behaviour: {} }}\nworkflows:\n  - name: hello\n    tasks:\n      - {{ name: say, skill: echo, input: hello \
         }}\nschedules:\n  - {{ name: daily, cron: 0 6 * * *, workflow: hello }}\n",
        behaviour(&there),
        behaviour(&format!("http://{gone}/")),
    );
    home.file("m.yaml", &manifest);
    let deploy = ["--json", "deploy", "--manifest", "m.yaml", "--wait"];
    let done = home.call(&deploy).expect(1).json();
    assert_eq!(done["deployment"]["state"], "rolled_back");
    let why = done["deployment"]["rolled_back"].as_str().unwrap();
    assert!(why.contains("`lower` is not healthy"), "{why}");
    let agents = home.call(&["list", "agents"]).expect(0).out;
    assert!(!agents.contains("upper") || agents.contains("retired"), "{agents}");
    home.call(&["run", "hello"]).expect(5);
    assert_eq!(home.call(&["schedule", "list", "--json"]).expect(0).json()["items"], json!([]));
    let export = home.call(&["--json", "noa", "export"]).expect(0).json();
    assert_eq!(export, json!({"fleet": {"agents": 8}}));
}

#[test]
fn a_skill_that_a_run_needs_is_not_taken_away() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    // It accepts connections and answers nobody.
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", service.local_addr().unwrap());
    let asks = "  - name: ask\n    tasks:\n      - { name: only, skill: call.it }\n";
    home.file("with.yaml", &format!("{}{asks}", callers(&url)));
    home.call(&["deploy", "--manifest", "with.yaml", "--wait"]).expect(0);
    let run = home.call(&["submit", "ask"]).expect(0).out.trim().to_owned();
    home.file("without.yaml", HELLO);
    for more in [&["--dry-run"][..], &["--wait"]] {
        let deploy = [&["--json", "deploy", "--manifest", "without.yaml"][..], more].concat();
        let refused = home.call(&deploy).expect(5).problem();
        assert_eq!(refused["code"], "skill_orphaned");
        assert!(refused["detail"].as_str().unwrap().contains("`call.it`"), "{refused}");
    }
    home.call(&["cancel", &run]).expect(0);
    home.call(&["deploy", "--manifest", "without.yaml", "--wait"]).expect(0);
}

#[test]
fn runs_in_flight_keep_their_version_and_new_ones_take_the_new() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let version = |text: &str| {
        format!(
            "workflows:\n  - name: hello\n    tasks:\n      - {{ name: gate, wait: {{ signal: go }} }}\n      - {{ \
             name: say, skill: echo, input: {text}, after: [gate] }}\n    output: \"${{tasks.say.output}}\"\n"
        )
    };
    let deploy = ["deploy", "--manifest", "m.yaml", "--wait"];
    home.file("m.yaml", &version("one"));
    home.call(&deploy).expect(0);
    let old = home.call(&["submit", "hello"]).expect(0).out.trim().to_owned();
    home.file("m.yaml", &version("two"));
    home.call(&deploy).expect(0);
    let new = home.call(&["submit", "hello"]).expect(0).out.trim().to_owned();
    for (run, output) in [(old, "one"), (new, "two")] {
        home.call(&["signal", &run, "go"]).expect(0);
        home.call(&["run", "--attach", &run]).expect(0);
        let run = home.call(&["--json", "get", &run]).expect(0).json();
        assert_eq!(run["output"], output, "{run}");
    }
}

#[test]
fn a_deployment_that_a_crash_cuts_off_is_taken_back_and_what_was_there_works() {
    let home = Home::new();
    let node = home.start(&["--agents", "8"]);
    home.file("hello.yaml", HELLO);
    home.call(&["deploy", "--manifest", "hello.yaml", "--wait"]).expect(0);
    let (url, _kept) = silent();
    let slow = callers(&url)
        .replace("effect: idempotent", "effect: idempotent, connect_timeout: 60s")
        .replace("input: hello", "input: other");
    let schedules = "schedules:\n  - { name: daily, cron: 0 6 * * *, workflow: hello }\n";
    home.file("slow.yaml", &format!("fleet: {{ agents: 30 }}\n{slow}{schedules}"));
    let begun = home.call(&["--json", "deploy", "--manifest", "slow.yaml"]).expect(0).json();
    assert_eq!(begun["deployment"]["state"], "deploying", "{begun}");
    let twice = home.call(&["--json", "deploy", "--manifest", "hello.yaml"]).expect(5).problem();
    assert_eq!(twice["code"], "deployment_under_way");
    node.signal(rustix::process::Signal::KILL);
    node.wait();
    let _node = home.start(&["--agents", "8"]);
    let known = state(&home);
    assert_eq!(known["version"], 1);
    let last = &known["deployments"][0];
    assert_eq!((&last["version"], &last["state"]), (&json!(2), &json!("rolled_back")));
    assert!(last["rolled_back"].as_str().unwrap().contains("restarted"), "{last}");
    let run = home.call(&["--json", "run", "hello"]).expect(0);
    assert!(run.out.contains("hello") && !run.out.contains("other"), "{run:?}");
    let export = home.call(&["--json", "noa", "export"]).expect(0).json();
    assert_eq!((&export["fleet"]["agents"], export.get("schedules")), (&json!(8), None));
    let again = home.call(&["deploy", "--manifest", "hello.yaml", "--dry-run"]).expect(0).out;
    assert_eq!(again, "no difference\n");
}

#[test]
fn the_default_deployment_works_and_what_is_exported_changes_nothing() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for (file, schedules) in
        [("config/default-deployment.json", 0), ("examples/manifests/newsroom.yaml", 1)]
    {
        let file = format!("{tree}{file}");
        home.call(&["deploy", "--manifest", &file, "--wait"]).expect(0);
        let version = state(&home)["version"].clone();
        let listed = home.call(&["--json", "schedule", "list"]).expect(0).json();
        assert_eq!(listed["items"].as_array().unwrap().len(), schedules);
        for (format, name) in [("yaml", "out.yaml"), ("json", "out.json"), ("toml", "out.toml")] {
            let text = home.call(&["noa", "export", "--format", format]).expect(0).out;
            home.file(name, &text);
            let dry = home.call(&["deploy", "--manifest", name, "--dry-run"]).expect(0).out;
            assert_eq!(dry, "no difference\n", "{text}");
            home.call(&["deploy", "--manifest", name, "--wait"]).expect(0);
            assert_eq!(state(&home)["version"], version, "nothing was deployed");
        }
        let dry = home.call(&["deploy", "--manifest", &file, "--dry-run"]).expect(0).out;
        assert_eq!(dry, "no difference\n");
    }
    // Nobody has registered as a reporter: they wait, and so does what needs them.
    let agents = home.call(&["list", "agents"]).expect(0).out;
    assert!(agents.contains("reporters-00011"), "{agents}");
    let greeted = home.call(&["run", "greet"]).expect(5);
    assert!(greeted.err.contains("none of that name is deployed"), "{greeted:?}");
}

#[test]
fn what_is_done_by_hand_is_different_from_the_manifest_and_deploying_puts_it_right() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let schedules =
        "fleet: { agents: 8 }\nschedules:\n  - { name: daily, cron: 0 6 * * *, workflow: hello }\n";
    home.file("m.yaml", &format!("{HELLO}{schedules}"));
    let deploy = ["deploy", "--manifest", "m.yaml", "--wait"];
    home.call(&deploy).expect(0);
    home.call(&["schedule", "pause", "daily"]).expect(0);
    home.call(&["scale", "12"]).expect(0);
    let dry = home.call(&["deploy", "--manifest", "m.yaml", "--dry-run"]).expect(0).out;
    assert_eq!(
        dry,
        "~ profile built-in\n    agents: 12 → 8\n~ schedule daily\n    paused: true → false\n"
    );
    home.call(&deploy).expect(0);
    let dry = home.call(&["deploy", "--manifest", "m.yaml", "--dry-run"]).expect(0).out;
    assert_eq!(dry, "no difference\n");
    // One that was made by hand stays, whatever is deployed.
    home.call(&["schedule", "delete", "daily"]).expect(0);
    home.file("by-hand.yaml", &format!("{HELLO}{schedules}").replace("fleet: { agents: 8 }\n", ""));
    home.call(&["schedule", "add", "by-hand.yaml"]).expect(0);
    let taken = home.call(&["--json", "deploy", "--manifest", "m.yaml"]).expect(5).problem();
    assert_eq!(taken["code"], "schedule_taken");
    home.file("hello.yaml", HELLO);
    home.call(&["deploy", "--manifest", "hello.yaml", "--wait"]).expect(0);
    home.call(&["schedule", "get", "daily"]).expect(0);
}

#[test]
fn a_schedule_that_cannot_be_kept_is_refused_at_its_place() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let of = |cron: &str| {
        format!("{HELLO}schedules:\n  - {{ name: daily, cron: {cron}, workflow: hello }}\n")
    };
    for cron in ["0 25 * * *", "0 0 30 2 *"] {
        home.file("m.yaml", &of(cron));
        let refused = home.call(&["--json", "deploy", "--manifest", "m.yaml"]).expect(2).problem();
        assert_eq!(refused["code"], "manifest_invalid");
        assert!(refused.to_string().contains("m.yaml:6"), "{refused}");
    }
    home.file("m.yaml", &of("0 25 * * *"));
    let found = home.call(&["--json", "noa", "validate", "m.yaml"]).expect(2).json();
    assert_eq!(found["findings"][0]["pointer"], "/schedules/0/cron", "{found}");
}

#[test]
fn validate_compares_with_the_fleet_that_runs() {
    let home = Home::new();
    home.file("m.yaml", HELLO);
    home.call(&["noa", "validate", "m.yaml", "--attach"]).expect(3);
    let _node = home.start(&["--agents", "8"]);
    let found = home.call(&["--json", "noa", "validate", "m.yaml", "--attach"]).expect(0).json();
    assert_eq!((&found["valid"], &found["fleet"]["version"]), (&json!(true), &json!(0)));
    let change = &found["fleet"]["changes"][0];
    assert_eq!((&change["pointer"], &change["line"]), (&json!("/workflows/0"), &json!(2)));
    home.call(&["deploy", "--manifest", "m.yaml", "--wait"]).expect(0);
    let same = home.call(&["noa", "validate", "m.yaml", "--attach"]).expect(0).out;
    assert!(same.contains("difference  none\n"), "{same}");
    // What only the instance can tell has its place, too.
    home.file("m.yaml", &HELLO.replace("echo", "no.such"));
    let found = home.call(&["--json", "noa", "validate", "m.yaml", "--attach"]).expect(2).json();
    let finding = &found["findings"][0];
    assert_eq!((&finding["stage"], &finding["line"]), (&json!("difference"), &json!(4)), "{found}");
    let lines = home.call(&["noa", "validate", "m.yaml", "--attach"]).expect(2).out;
    assert!(lines.contains("difference  refused\n"), "{lines}");
}
