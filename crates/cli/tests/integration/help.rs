//! The help of every command, as it is printed.

use crate::support::Home;

/// Every command, also those below another.
const COMMANDS: [&str; 81] = [
    "",
    "start",
    "run",
    "submit",
    "get",
    "list",
    "list runs",
    "list tasks",
    "list children",
    "list agents",
    "list workers",
    "list workflows",
    "cancel",
    "pause",
    "resume",
    "retry",
    "unpark",
    "resolve",
    "scale",
    "deploy",
    "fork",
    "diff",
    "prioritize",
    "schedule",
    "schedule add",
    "schedule list",
    "schedule get",
    "schedule pause",
    "schedule resume",
    "schedule delete",
    "schedule run",
    "signal",
    "escalations",
    "escalations list",
    "escalations show",
    "escalations answer",
    "emergency",
    "emergency freeze",
    "emergency quarantine",
    "emergency mode",
    "emergency list",
    "emergency lift",
    "logs",
    "message",
    "message send",
    "message ask",
    "message tail",
    "trace",
    "graph",
    "monitor",
    "shutdown",
    "doctor",
    "config",
    "config show",
    "config reload",
    "ledger",
    "ledger verify",
    "ledger checkpoint",
    "views",
    "views rebuild",
    "backup",
    "restore",
    "workers",
    "workers conformance",
    "orchestrator-sim",
    "sim",
    "compat",
    "compat check",
    "compat export",
    "sandbox",
    "sandbox run",
    "sandbox probe",
    "completions",
    "man",
    "noa",
    "noa validate",
    "noa normalize",
    "noa diff",
    "noa import",
    "noa schema",
    "bench",
];

#[test]
fn the_help_of_every_command_is_as_it_was() {
    let home = Home::new();
    let mut all = String::new();
    for command in COMMANDS {
        let mut args: Vec<_> = command.split_whitespace().collect();
        args.push("--help");
        let help = home.call(&args).expect(0);
        assert_eq!(help.err, "");
        all.push_str(&format!("$ ark-os {}\n{}\n", args.join(" "), help.out));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_command_of_the_help_is_in_the_snapshot() {
    let help = Home::new().call(&["--help"]).expect(0);
    let listed = help.out.split_once("Commands:\n").unwrap().1;
    let listed = listed.split_once("\n\n").unwrap().0;
    for line in listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        assert!(name == "help" || COMMANDS.contains(&name), "{name}");
    }
}

#[test]
fn bad_usage_ends_with_2_and_json_if_asked_for() {
    let home = Home::new();
    let plain = home.call(&["start", "--agentz", "5"]).expect(2);
    assert!(plain.err.contains("--agentz"), "{}", plain.err);
    let json = home.call(&["--json", "start", "--agentz", "5"]).expect(2);
    let problem = json.problem();
    assert_eq!((&problem["code"], &problem["exit_code"]), (&"usage".into(), &2.into()));
    home.call(&["run"]).expect(2);
    home.call(&["--version"]).expect(0);
}

#[test]
fn completions_and_manual_pages_are_made() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.call(&["completions", shell]).expect(0).out;
        assert!(script.contains("ark-os") && script.contains("submit"), "{shell}");
    }
    assert!(home.call(&["man"]).expect(0).out.contains(".TH"));
    home.call(&["man", "--out", "man"]).expect(0);
    let page = std::fs::read_to_string(home.path().join("man/ark-os-run.1")).unwrap();
    assert!(page.contains("attach"), "{page}");
}

#[test]
fn the_openapi_document_is_printed() {
    let document = Home::new().call(&["openapi"]).expect(0).json();
    assert!(document["paths"]["/api/v1/runs"].is_object());
}
