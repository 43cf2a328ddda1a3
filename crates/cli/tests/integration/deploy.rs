//! Deployments from the command line: what would change, what changed, and what was taken back.

use std::net::TcpListener;

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
