//! Messages from the command line: sent, looked at, taken, asked and answered.

use crate::support::{Home, done};

#[test]
fn messages_are_sent_seen_taken_asked_and_answered() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    let micro = "agent:micro-00000";
    let send = ["message", "send", micro, r#"{"build":17}"#, "--type", "build.done"];
    let sent = home.call(&send).expect(0).out;
    assert!(sent.ends_with("delivered to 1 of 1\n"), "{sent}");
    let seen = home.call(&["message", "tail", "micro-00000", "--once"]).expect(0).out;
    assert!(seen.contains("build.done {\"build\":17}"), "{seen}");
    let taken = home.call(&["--json", "message", "tail", "micro-00000", "--take", "--once"]);
    assert_eq!(taken.expect(0).json()["data"]["build"], 17);
    assert_eq!(home.call(&["message", "tail", "micro-00000", "--once"]).expect(0).out, "");

    // Nobody answers a whole layer; one who is asked alone does not answer either.
    let asked = ["message", "ask", "layer:micro", "--within", "20ms"];
    assert!(home.call(&asked).expect(7).out.contains("micro-00000 timed out"));
    let problem = home.call(&["--json", "message", "ask", micro, "--within", "20ms"]).expect(7);
    assert_eq!(problem.problem()["code"], "message_unanswered");
    home.call(&["message", "tail", "micro-00000", "--take", "--once"]).expect(0);

    // Its text is no JSON, and so is the answer.
    let asking = home.command(&["message", "ask", micro, "how far?", "--within", "30s"]);
    let asking = std::thread::spawn(move || done({ asking }.output().unwrap()));
    let request = loop {
        let seen = home.call(&["--json", "message", "tail", "micro-00000", "--once"]).expect(0);
        if !seen.out.is_empty() {
            break seen.json();
        }
    };
    assert_eq!((&request["kind"], &request["data"]), (&"request".into(), &"how far?".into()));
    let id = request["id"].as_str().unwrap();
    let answer = ["message", "send", "outside:local-operator", "half way"];
    home.call(&[&answer[..], &["--as", "micro-00000", "--answers", id]].concat()).expect(0);
    assert_eq!(asking.join().unwrap().expect(0).out, "micro-00000 \"half way\"\n");

    let denied = ["--json", "message", "send", "fleet", "--as", "micro-00000"];
    assert_eq!(home.call(&denied).expect(4).problem()["code"], "message_denied");
    let nobody = home.call(&["--json", "message", "send", "agent:nobody"]).expect(5);
    assert_eq!(nobody.problem()["code"], "addressee_not_found");
}
