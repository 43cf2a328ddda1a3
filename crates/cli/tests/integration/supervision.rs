//! What the fleet could not mend is told to people, who answer; and emergency measures.

use crate::agents::{WRITES, config, script, sink, with_sink};
use crate::support::Home;

#[test]
fn what_the_fleet_cannot_mend_is_escalated_shown_and_answered() {
    let home = with_sink();
    let doubtful = script("cat >/dev/null; echo $ARK_OS_STEP_KEY >>/out/sink; echo hello", WRITES);
    home.file("w.yaml", &doubtful);
    let config = config(&home, "w.yaml");
    let _node = home.start(&["--agents", "12", "--config", &config]);
    let run = home.call(&["submit", "w.yaml"]).expect(0).out.trim().to_owned();
    home.call(&["run", "--attach", &run]).expect(7);
    let listed = home.call(&["--json", "escalations", "list"]).expect(0).json();
    let first = &listed["items"][0];
    let task = format!("task_{}_0", run.trim_start_matches("run_"));
    assert_eq!((&first["class"], &first["task"]), (&"in_doubt".into(), &task.into()));
    assert_eq!((&first["state"], &first["by"]), (&"open".into(), &"specialist-00000".into()));
    assert!(first["deadline"].is_string() || first["to"] == "human", "{first}");
    let id = first["id"].to_string();
    let shown = home.call(&["escalations", "show", &id]).expect(0).out;
    assert!(shown.contains("in_doubt") && shown.contains("observe by the runtime"), "{shown}");
    assert!(home.call(&["escalations", "list"]).expect(0).out.contains("in_doubt"));
    let watched = home.call(&["monitor", "--once", "--json"]).expect(0).json();
    assert_eq!(watched["escalations"], listed["items"]);

    let answer = |action| {
        let args = ["--json", "escalations", "answer", &id, "--action", action, "--reason", "seen"];
        home.call(&args)
    };
    assert_eq!(answer("offline").expect(2).problem()["code"], "request_invalid");
    assert_eq!(answer("unpark").expect(5).problem()["code"], "step_in_doubt");
    let key = sink(&home)[0].clone();
    let resolve = ["resolve", &key, "--happened", "{\"by\":\"person\"}", "--reason", "looked"];
    home.call(&resolve).expect(0);
    home.call(&["run", "--attach", &run]).expect(0);
    // What it was about is over, and so is the escalation.
    assert_eq!(answer("dismiss").expect(5).problem()["code"], "escalation_over");
    assert_eq!(home.call(&["escalations", "list"]).expect(0).out.lines().count(), 1);
    let closed =
        home.call(&["--json", "escalations", "list", "--state", "closed"]).expect(0).json();
    assert_eq!(closed["items"][0]["action"], "cleared");

    // One that a person answers by hand.
    let run = home.call(&["submit", "w.yaml"]).expect(0).out.trim().to_owned();
    home.call(&["run", "--attach", &run]).expect(7);
    let open = home.call(&["--json", "escalations", "list"]).expect(0).json();
    let id = open["items"][0]["id"].to_string();
    let args = ["--json", "escalations", "answer", &id, "--action", "cancel", "--reason", "no use"];
    let answered = home.call(&args).expect(0).json();
    assert_eq!((&answered["state"], &answered["action"]), (&"closed".into(), &"cancel".into()));
    assert_eq!(home.call(&["--json", "get", &run]).expect(0).json()["state"], "cancelled");
    let unknown = home.call(&["--json", "escalations", "show", "99"]).expect(5).problem();
    assert_eq!(unknown["code"], "escalation_not_found");
}

#[test]
fn emergency_measures_are_taken_with_a_reason_and_an_end_and_lifted_by_who_may() {
    let home = Home::new();
    let _node = home.start(&["--agents", "12"]);
    let task = ["--json", "submit", "--task", "echo", "-i", "text=x"];
    let freeze = ["--json", "emergency", "freeze", "--reason", "the bill explodes", "--for", "1h"];
    let taken = home.call(&freeze).expect(0).json();
    assert_eq!(taken["reason"], "the bill explodes");
    assert_eq!(home.call(&task).expect(5).problem()["code"], "intake_frozen");
    assert_eq!(home.call(&freeze).expect(5).problem()["code"], "measure_in_force");
    let shown = home.call(&["monitor", "--once", "--json"]).expect(0).out;
    assert!(shown.contains("measure_in_force"), "{shown}");
    let screen = home.call(&["monitor", "--once"]).expect(0).out;
    assert!(screen.lines().next().unwrap().contains("frozen"), "{screen}");
    let checked = home.call(&["doctor"]).out;
    let line = checked.lines().find(|line| line.contains(" instance ")).unwrap_or_default();
    assert!(line.contains("degraded") && line.contains("frozen"), "{checked}");
    let id = taken["id"].to_string();
    let lift = |seat| {
        let args = ["--json", "emergency", "lift", &id, "--reason", "paid", "--as", seat];
        home.call(&args)
    };
    assert_eq!(lift("micro-00000").expect(4).problem()["code"], "layer_exceeded");
    // The only seat of CECCA is its majority.
    assert_eq!(lift("cecca-00000").expect(0).json()["items"], serde_json::json!([]));
    home.call(&task).expect(0);

    let agent = "micro-00000";
    let quarantine = ["emergency", "quarantine", agent, "--reason", "odd", "--for", "30m"];
    home.call(&quarantine).expect(0);
    let standing = || home.call(&["--json", "get", agent]).expect(0).json()["standing"].clone();
    assert_eq!(standing(), "quarantined");
    let mode = ["--json", "emergency", "mode", "interactive", "--reason", "audit", "--for", "2h"];
    assert_eq!(home.call(&mode).expect(0).json()["mode"], "interactive");
    let listed = home.call(&["emergency", "list"]).expect(0).out;
    assert!(listed.contains("quarantine micro-00000") && listed.contains("audit"), "{listed}");
    let measures = home.call(&["--json", "emergency", "list"]).expect(0).json();
    let id = measures["items"][0]["id"].to_string();
    home.call(&["emergency", "lift", &id, "--reason", "checked"]).expect(0);
    assert_eq!(standing(), "ready");

    let nobody = ["--json", "emergency", "quarantine", "nobody", "--reason", "odd"];
    assert_eq!(home.call(&nobody).expect(5).problem()["code"], "agent_not_found");
    let endless = ["--json", "emergency", "freeze", "--reason", "odd", "--for", "31d"];
    assert_eq!(home.call(&endless).expect(2).problem()["code"], "measure_invalid");
    home.call(&["emergency", "freeze", "--reason", ""]).expect(2);
    home.call(&["emergency", "freeze"]).expect(2);
}
