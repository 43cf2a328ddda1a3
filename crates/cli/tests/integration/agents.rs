//! Agents of manifests: commands in the jail, from the file to the resolved doubt.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, await_that};

/// Counts words, and says which attempt it is.
const COUNT: &str = r#"
import json, os, sys
text = json.load(sys.stdin)["text"]
print(json.dumps({"words": len(text.split()), "attempt": int(os.environ["ARK_OS_ATTEMPT"]),
                  "key": len(os.environ["ARK_OS_STEP_KEY"]), "home": os.environ.get("HOME")}))
"#;

const WORDCOUNT: &str = r#"
agents:
  - name: wordcount
    concurrency: 8
    skills:
      - name: text.wordcount
        input: { type: object, required: [text], properties: { text: { type: string } } }
        output: { type: object, required: [words] }
    behaviour:
      command:
        argv: [/usr/bin/python3, /work/count.py]
        limits: { memory: 128MiB, wall_time: 20s }
        mounts: [{ source: count.py, target: /work/count.py, access: read }]
        env: { LANG: C }
workflows:
  - name: count
    tasks:
      - { name: count, skill: text.wordcount, input: { text: "${input.text}" } }
"#;

/// An agent of a shell script, with more of its command.
pub(crate) fn script(script: &str, more: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!(
        "agents:\n  - name: shell\n    skills: [run.script]\n    behaviour:\n      command:\n        \
         argv: [/bin/sh, -c, {script}]\n{more}workflows:\n  - name: w\n    tasks:\n      - name: t\n        \
         skill: run.script\n        retry: {{ attempts: 3, backoff: 1ms, max: 1ms }}\n"
    )
}

fn out_of(home: &Home, file: &str, text: &str, args: &[&str], code: i32) -> Value {
    let file = home.file(file, text);
    let mut all = vec!["--json", "run", file.to_str().unwrap()];
    all.extend(args);
    home.call(&all).expect(code).json_lines()[1].clone()
}

#[test]
fn a_command_reads_its_input_and_its_answer_is_the_output() {
    let home = Home::new();
    home.file("count.py", COUNT);
    let view = out_of(&home, "w.yaml", WORDCOUNT, &["--input", "text=a b  c"], 0);
    // Nothing of the instance's own environment is there.
    let want = json!({"words": 3, "attempt": 1, "key": 64, "home": null});
    assert_eq!(view["output"], want);
    let wrong = home.call(&["run", "w.yaml", "--input", "txt=a"]).expect(1);
    assert!(wrong.out.contains("failed"), "{}", wrong.out);
}

#[test]
fn an_exit_code_says_whether_another_attempt_may_do() {
    let home = Home::new();
    let again = script(
        "cat >/dev/null; [ $ARK_OS_ATTEMPT = 2 ] && echo '{}' || { echo 'not yet' >&2; exit 75; }",
        "        exit: { retryable: [75] }\n",
    );
    let view = out_of(&home, "again.yaml", &again, &[], 0);
    assert_eq!(view["state"], "succeeded");
    let fails = script("cat >/dev/null; printf 'no \\033[31mway\\n' >&2; exit 4", "");
    let view = out_of(&home, "fails.yaml", &fails, &[], 1);
    let failure = &view["failure"];
    assert_eq!(failure["code"], "command.failed");
    let message = failure["message"].as_str().unwrap();
    assert!(message.ends_with("run `/bin/sh`: exit code 4: no  [31mway"), "{message}");
    assert_eq!(failure["causes"].as_array().map(Vec::len), None, "it was tried once");
    let chatty = script("cat >/dev/null; echo hello", "");
    let view = out_of(&home, "chatty.yaml", &chatty, &[], 1);
    assert_eq!(view["failure"]["code"], "command.output_invalid");
}

#[test]
fn an_effect_whose_output_is_unusable_is_in_doubt_and_takes_its_result_from_a_person() {
    let home = with_sink();
    let script = script("cat >/dev/null; echo $ARK_OS_STEP_KEY >>/out/sink; echo hello", WRITES);
    home.file("w.yaml", &script);
    let config = config(&home, "w.yaml");
    let _node = home.start(&["--agents", "12", "--config", &config]);
    let run = home.call(&["submit", "w.yaml"]).expect(0).out.trim().to_owned();
    home.call(&["run", "--attach", &run]).expect(7);
    let shown = home.call(&["get", &run]).expect(0).out + &home.call(&["logs", &run]).expect(0).out;
    assert!(shown.contains("not one JSON value (`hello`)"), "{shown}");
    let refused = home.call(&["--json", "retry", &run]).expect(5).problem();
    assert_eq!(refused["code"], "run_not_over");
    let key = sink(&home)[0].clone();
    let resolve = ["resolve", &key, "--happened", "{\"by\":\"person\"}", "--reason", "looked"];
    home.call(&resolve).expect(0);
    let done = home.call(&["--json", "run", "--attach", &run]).expect(0);
    assert_eq!(done.json_lines()[1]["output"], json!({"by": "person"}));
    assert_eq!(sink(&home), [key]);
}

#[test]
fn a_command_that_is_killed_or_not_there_is_told_so() {
    let home = Home::new();
    let slow = script("cat >/dev/null; sleep 60", "        limits: { wall_time: 300ms }\n");
    let view = out_of(&home, "slow.yaml", &slow, &[], 1);
    assert_eq!(view["failure"]["code"], "command.killed");
    let missing = script("true", "").replace("/bin/sh", "/no/such/program");
    let view = out_of(&home, "missing.yaml", &missing, &[], 1);
    assert_eq!(view["failure"]["code"], "program_not_found");
}

#[test]
fn what_is_wrong_with_a_manifest_is_told_with_its_place_before_anything_starts() {
    let home = Home::new();
    let bad = WORDCOUNT.replace("argv: [/usr/bin/python3", "argv: [python3").replace("8\n", "0\n");
    home.file("bad.yaml", &bad);
    let start = ["start", "--manifest", "bad.yaml", "--listen", "127.0.0.1:0"];
    for args in [&["run", "bad.yaml"][..], &start] {
        let done = home.call(args).expect(2);
        assert!(done.err.contains("bad.yaml:4:18: "), "{}", done.err);
        assert!(done.err.contains("bad.yaml:11:16: "), "{}", done.err);
    }
    home.file("taken.yaml", &WORDCOUNT.replace("text.wordcount", "echo"));
    let done = home.call(&["run", "taken.yaml"]).expect(2);
    assert!(done.err.contains("built-in skills cannot be replaced"), "{}", done.err);
    let secret = "agents:\n  - name: a\n    skills: [a.b]\n    behaviour:\n      http:\n        url: \
                  https://example.org/x\n        secret_headers: { Authorization: env:NOT_SET }\n";
    home.file("secret.yaml", secret);
    let done = home.call(&["start", "--manifest", "secret.yaml"]).expect(2);
    assert!(done.err.contains("`NOT_SET` is not set"), "{}", done.err);
    home.file("loose.yaml", &script("true", "        limits: { memory: 100GiB }\n"));
    let done = home.call(&["start", "--manifest", "loose.yaml"]).expect(2);
    assert!(done.err.contains("`memory` is more than its profile gives: 512MiB"), "{}", done.err);
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn what_the_jail_would_refuse_is_told_with_its_place_before_anything_starts() {
    let home = Home::new();
    let table = [
        ("        limits: { memory: 1MiB, tmp: 0 }\n", [":7:27: ", ":7:38: "]),
        (
            "        limits: { memory: 1MiB, tmp: 0 }\n",
            [
                "`memory` is less than the jail takes: 16MiB",
                "`tmp` is less than the jail takes: 4KiB",
            ],
        ),
        ("        mounts: [{ source: ., target: /proc/x }]\n", [":7:18: ", "jail's own"]),
        (
            "        mounts: [{ source: w.yaml, target: /usr/no/such }]\n",
            [":7:44: ", "cannot be made"],
        ),
        ("        mounts: [{ source: nothing, target: /x }]\n", [":7:28: ", "cannot mount"]),
    ];
    for (more, said) in table {
        // Away from the data directory.
        std::fs::create_dir_all(home.path().join("at")).unwrap();
        home.file("at/w.yaml", &script("true", more));
        for args in [&["start", "--manifest", "at/w.yaml"][..], &["run", "at/w.yaml"]] {
            let done = home.call(args).expect(2);
            assert!(said.iter().all(|it| done.err.contains(it)), "{more}: {}", done.err);
        }
    }
    assert!(!home.data().exists(), "nothing was started");
}

/// Three agents of which none can be used, and one that can.
const UNUSABLE: &str = r#"agents:
  - name: reader
    skills: [a.read]
    behaviour:
      command:
        argv: [/bin/true]
        limits: { memory: 1MiB, wall_time: 10h }
        mounts:
          - { source: nothing, target: /x }
          - { source: count.py, target: /proc/x }
  - name: fine
    skills: [a.fine]
    behaviour: { command: { argv: [/bin/true] } }
  - name: caller
    skills: [a.call]
    behaviour:
      http:
        url: https://example.org/x
        secret_headers: { Authorization: env:NOT_SET, X-Key: file:no-such }
        ca_file: no-such.pem
  - name: other
    skills: [a.other]
    behaviour: { command: { argv: [/bin/true], profile: loose } }
workflows:
  - { name: w, tasks: [{ name: t, skill: a.fine }] }
"#;

#[test]
fn everything_that_the_agents_of_a_manifest_cannot_use_is_told_in_one_answer() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().join("at")).unwrap();
    home.file("at/count.py", COUNT);
    home.file("at/w.yaml", UNUSABLE);
    let want = [
        ("/agents/0/behaviour/command/limits/memory", 7, "16MiB at least"),
        ("/agents/0/behaviour/command/limits/wall_time", 7, "profile gives: 60s"),
        ("/agents/0/behaviour/command/mounts/0/source", 9, "cannot mount"),
        ("/agents/0/behaviour/command/mounts/1", 10, "jail's own"),
        ("/agents/2/behaviour/http/secret_headers/Authorization", 19, "`NOT_SET` is not set"),
        ("/agents/2/behaviour/http/secret_headers/X-Key", 19, "no-such"),
        ("/agents/2/behaviour/http/ca_file", 20, "no-such.pem"),
        ("/agents/3/behaviour/command/profile", 23, "there is no profile `loose`"),
    ];
    for args in
        [&["--json", "start", "--manifest", "at/w.yaml"][..], &["--json", "run", "at/w.yaml"]]
    {
        let problem = home.call(args).expect(2).problem();
        assert_eq!(problem["code"], "agent_unusable");
        assert_eq!(problem["detail"], "set up the agents `reader`, `caller`, `other`");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), want.len(), "{errors:#?}");
        for (error, (pointer, line, said)) in errors.iter().zip(want) {
            assert_eq!(error["pointer"], pointer);
            let place = error["place"].as_str().unwrap();
            assert!(place.contains(&format!("at/w.yaml:{line}:")), "{place}");
            assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        }
    }
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn agents_of_several_manifests_that_cannot_be_used_are_told_in_one_answer() {
    let home = Home::new();
    home.file("one.yaml", &script("true", "        limits: { tmp: 0 }\n"));
    let two = script("true", "        profile: loose\n").replace("shell", "other");
    home.file("two.yaml", &two.replace("run.script", "other.script"));
    let args = ["--json", "start", "--manifest", "one.yaml", "--manifest", "two.yaml"];
    let problem = home.call(&args).expect(2).problem();
    assert_eq!(problem["code"], "agent_unusable");
    assert_eq!(problem["detail"], "set up the agent `shell`; set up the agent `other`");
    let places: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["place"].as_str().unwrap())
        .collect();
    assert!(places[0].contains("one.yaml:7:") && places[1].contains("two.yaml:7:"), "{places:?}");
    // Whoever lacks a skill of an agent that cannot be set up is not told of that first.
    home.file("two.yaml", "workflows: [{ name: w, tasks: [{ name: t, skill: run.script }] }]\n");
    assert_eq!(home.call(&args).expect(2).problem()["code"], "agent_unusable");
}

#[test]
fn the_instances_own_data_cannot_be_mounted() {
    let home = Home::new();
    std::os::unix::fs::symlink(".", home.path().join("link")).unwrap();
    for is_there in [false, true] {
        for source in [".", "data", "link/data"] {
            if source.ends_with("data") && !is_there {
                continue;
            }
            let more = format!("        mounts: [{{ source: {source}, target: /d }}]\n");
            home.file("w.yaml", &script("true", &more));
            let failure = home.call(&["--json", "run", "w.yaml"]).expect(2).problem();
            assert_eq!(failure["code"], "agent_unusable", "{source}");
            let place = &failure["errors"][0];
            assert_eq!(place["pointer"], "/agents/0/behaviour/command/mounts/0/source");
            assert!(place["message"].as_str().unwrap().contains("own directory"), "{place}");
            assert!(place["place"].as_str().unwrap().contains("w.yaml:7:"), "{place}");
        }
        std::fs::create_dir_all(home.data().join("journal")).unwrap();
    }
    let own = "        mounts: [{ source: data/journal, target: /d, access: write }]\n";
    home.file("w.yaml", &script("true", own));
    home.call(&["run", "w.yaml"]).expect(2);
}

#[test]
fn who_attaches_without_the_agents_of_a_run_is_told_which_are_missing() {
    let home = with_sink();
    home.file("w.yaml", &script(APPENDS, WRITES));
    let config = config(&home, "w.yaml");
    let node = home.start(&["--agents", "12", "--config", &config]);
    let run = home.call(&["submit", "w.yaml"]).expect(0).out.trim().to_owned();
    await_that("the command has taken effect", || sink(&home).len() == 1);
    node.signal(Signal::KILL);
    node.wait();
    // The step is in doubt, so it ends without the agent too.
    let told = home.call(&["run", "--attach", &run]).expect(7).err;
    assert!(told.contains("no agent here has the skill `run.script`"), "{told}");
}

#[test]
fn an_instance_has_the_agents_that_it_was_started_with() {
    let home = Home::new();
    home.file("count.py", COUNT);
    home.file("w.yaml", WORDCOUNT);
    let node = home.start(&["--agents", "12"]);
    let run = ["run", "w.yaml", "--input", "text=a b"];
    let done = home.call(&run).expect(2);
    assert!(done.err.contains("start --manifest"), "{}", done.err);
    node.signal(Signal::TERM);
    node.wait();
    let _node = home.start(&["--agents", "12", "--manifest", "w.yaml"]);
    let done = home.call(&run).expect(0);
    assert!(done.out.contains("words: 2"), "{}", done.out);
    let task = ["--json", "run", "--task", "text.wordcount", "-i", "text=x"];
    assert_eq!(home.call(&task).expect(0).json_lines()[1]["output"]["words"], 1);
    let shown = home.call(&["config", "show", "--json"]).expect(0).json();
    assert!(shown["values"].to_string().contains("system.manifests"), "{shown}");
}

pub(crate) const WRITES: &str = "        mounts: [{ source: out, target: /out, access: write }]\n";
/// Says that it is at work, takes effect once, and waits for somebody to go on.
const APPENDS: &str = "cat >/dev/null; echo $ARK_OS_STEP_KEY >>/out/sink; \
                       while [ ! -e /out/go ]; do sleep 0.05; done; echo '{\"by\":\"command\"}'";

/// A home with a directory that a command may write to.
pub(crate) fn with_sink() -> Home {
    let home = Home::new();
    std::fs::create_dir(home.path().join("out")).unwrap();
    home
}

pub(crate) fn sink(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string(home.path().join("out/sink")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const SCOPES: (&str, &str) = ("ARK_OS_OPERATOR_SCOPES", "*,effect:effectful");

/// Starts an instance whose operator may have effects that cannot be repeated.
pub(crate) fn config(home: &Home, manifest: &str) -> String {
    let text = format!(
        "[system]\nmanifests = [\"{manifest}\"]\n[security]\noperator_scopes = [\"*\", \
         \"effect:effectful\"]\n"
    );
    home.file("ark.toml", &text).display().to_string()
}

/// A run whose instance was killed when its command, which has `more`, had taken effect and not answered;
/// with the configuration to start the instance again.
fn killed_after_its_effect(home: &Home, more: &str) -> (String, String) {
    home.file("w.yaml", &script(APPENDS, more));
    let config = config(home, "w.yaml");
    let node = home.start(&["--agents", "12", "--config", &config]);
    let run = home.call(&["submit", "w.yaml"]).expect(0).out.trim().to_owned();
    await_that("the command has taken effect", || sink(home).len() == 1);
    node.signal(Signal::KILL);
    node.wait();
    (run, config)
}

#[test]
fn a_command_that_can_write_is_effectful_and_needs_a_scope() {
    let home = with_sink();
    std::fs::write(home.path().join("out/go"), "").unwrap();
    let file = home.file("w.yaml", &script(APPENDS, WRITES));
    let args = ["--json", "run", file.to_str().unwrap()];
    let denied = home.call(&args).expect(4).problem();
    assert_eq!(denied["code"], "approval_unavailable");
    assert_eq!(sink(&home).len(), 0);
    let mut command = home.command(&args);
    let done = crate::support::done(command.env(SCOPES.0, SCOPES.1).output().unwrap()).expect(0);
    assert_eq!(done.json_lines()[1]["output"], json!({"by": "command"}));
    assert_eq!(sink(&home).len(), 1);
}

#[test]
fn an_effect_that_a_kill_cut_off_is_in_doubt_until_it_is_resolved() {
    let home = with_sink();
    let (run, config) = killed_after_its_effect(&home, WRITES);
    let _node = home.start(&["--agents", "12", "--config", &config]);
    home.call(&["run", "--attach", &run]).expect(7);
    assert_eq!(sink(&home).len(), 1, "nothing is repeated by guessing");
    let key = sink(&home)[0].clone();
    // Wherever somebody looks, the command stands that ends the doubt.
    let shown = home.call(&["get", &run]).expect(0).out;
    assert!(shown.contains("nobody knows whether"), "{shown}");
    assert!(shown.contains(&format!("ark-os resolve {key} --happened")), "{shown}");
    let escalated = home.call(&["escalations", "show", "1"]).expect(0).out;
    let task = run.replace("run_", "task_");
    assert!(escalated.contains(&format!("ark-os resolve {task}_0 --happened")), "{escalated}");
    let resolve =
        ["resolve", &key[..12], "--happened", "{\"by\":\"person\"}", "--reason", "looked"];
    home.call(&resolve).expect(0);
    let done = home.call(&["--json", "run", "--attach", &run]).expect(0);
    assert_eq!(done.json_lines()[1]["output"], json!({"by": "person"}));
    assert_eq!(sink(&home).len(), 1);
    let told = home.call(&["run", "--attach", &run]).expect(0).err;
    let (parked, over) = (told.find("parked").unwrap(), told.rfind("succeeded").unwrap());
    assert!(told[parked..over].contains("resolved"), "all that happened is told: {told}");
    // The attempt that the kill cut off, and that was parked, does not count in the proof either.
    home.call(&["ledger", "prove", &run]).expect(0);
    home.call(&["ledger", "verify", &format!("{run}.proof.json")]).expect(0);
}

#[test]
fn an_effect_that_a_kill_cut_off_is_asked_about_where_it_can_be() {
    for happened in [true, false] {
        let home = with_sink();
        let probe = match happened {
            true => {
                "grep -q $ARK_OS_STEP_KEY /out/sink && echo '{\\\"by\\\":\\\"probe\\\"}' || exit 3"
            }
            false => "exit 3",
        };
        let more = format!(
            "{WRITES}        effect: probed\n        probe: {{ argv: [/bin/sh, -c, \"{probe}\"], settle_after: \
             0s }}\n"
        );
        let (run, config) = killed_after_its_effect(&home, &more);
        std::fs::write(home.path().join("out/go"), "").unwrap();
        let _node = home.start(&["--agents", "12", "--config", &config]);
        let done = home.call(&["--json", "run", "--attach", &run]).expect(0);
        let by = if happened { "probe" } else { "command" };
        assert_eq!(done.json_lines()[1]["output"], json!({ "by": by }));
        let keys = sink(&home);
        assert_eq!(keys.len(), if happened { 1 } else { 2 });
        assert!(keys.iter().all(|key| *key == keys[0]), "one key");
        let events = home.call(&["logs", &run]).expect(0).out;
        assert!(events.contains("was asked about"), "{events}");
    }
}

#[test]
fn the_examples_work_as_they_are_written() {
    let home = Home::new();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agents");
    // Beside the data directory, not around it.
    std::fs::create_dir_all(home.path().join("ex/outbox")).unwrap();
    for name in ["count.py", "wordcount.yaml", "deliver.sh", "deliver.yaml"] {
        std::fs::copy(examples.join(name), home.path().join("ex").join(name)).unwrap();
    }
    let words = ["--json", "run", "ex/wordcount.yaml", "--input", "text=to be or not to be"];
    let output = home.call(&words).expect(0).json_lines()[1]["output"].clone();
    assert_eq!(output, json!({"words": 6, "longest": "not"}));
    // Nobody waits here for the slow way back.
    let quick = std::fs::read_to_string(home.path().join("ex/deliver.sh")).unwrap();
    home.file("ex/deliver.sh", &quick.replace(":-10", ":-0"));
    let mut command = home.command(&["--json", "run", "ex/deliver.yaml", "--input", "to=Ada"]);
    let done = crate::support::done(command.env(SCOPES.0, SCOPES.1).output().unwrap()).expect(0);
    assert_eq!(done.json_lines()[1]["output"], json!({"delivered": true}));
    let delivered = std::fs::read_to_string(home.path().join("ex/outbox/delivered")).unwrap();
    assert!(delivered.trim_end().ends_with("{\"to\":\"Ada\"}"), "{delivered}");
}
