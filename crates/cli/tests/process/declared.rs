//! Agents of a manifest whose effects can be counted: commands that write into a directory which
//! they may write to, and calls of a service. One of each for every class of effect.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::client::{Client, Gone};
use super::node::Home;
use super::script::Script;
use super::service::{EFFECT, SENT, Service};
use super::support::groups_of;
use super::work::{Kind, Work};

/// Which may be written to from inside the jail.
const OUT: &str = "out";
/// The sink of commands and of the service.
const SINK: &str = "out/sink";
/// Where commands write the keys with which they were called.
const ARRIVED: &str = "out/arrived";
/// Longer than a service or command of the test is at work when the node is gone.
const SETTLE_AFTER: &str = "300ms";

/// A round of work, each with one effect.
const EFFECTS: [Kind; 8] = [
    Kind::Declared { skill: "command.effectful", class: "effectful" },
    Kind::Declared { skill: "http.effectful", class: "effectful" },
    Kind::Declared { skill: "command.probed", class: "probed" },
    Kind::Declared { skill: "http.probed", class: "probed" },
    Kind::Declared { skill: "command.idempotent", class: "idempotent" },
    Kind::Declared { skill: "http.idempotent", class: "idempotent" },
    Kind::Declared { skill: "command.read", class: "read" },
    Kind::Declared { skill: "http.read", class: "read" },
];
const CLASSES: [&str; 4] = ["read", "idempotent", "probed", "effectful"];

/// Takes the label out of its input and does what comes then.
const LABEL: &str = r#"read -r input; line="${input##*:\"}"; line="${line%%\"*}-0"; "#;
/// Every line in one write; a key that is honoured is looked for before.
const HONOUR: &str = r#"grep -qs "^$ARK_OS_STEP_KEY " /out/sink || "#;
const WRITE: &str = r#"echo "$ARK_OS_STEP_KEY $line" >>/out/sink; echo "{\"line\":\"$line\"}""#;
/// Keys that came, also those that were known already.
const ARRIVE: &str = r#"echo "$ARK_OS_STEP_KEY $line" >>/out/arrived; "#;
const PROBE: &str = r#"found=$(grep -s "^$ARK_OS_STEP_KEY " /out/sink) || exit 3; echo "{\"line\":\"${found#* }\"}""#;

/// How often something came of crashes.
pub(crate) type Tally = BTreeMap<String, usize>;

/// A script over the effects of declared agents, whose rounds begin with another of them each time.
pub(crate) struct Declared {
    pub(crate) script: Script,
    pub(crate) service: Service,
}

impl Declared {
    pub(crate) fn new(turn: usize) -> Self {
        let mut service = None;
        let home = Home::with_manifest(|dir| {
            std::fs::create_dir(dir.join(OUT)).unwrap();
            let started = Service::start(&dir.join(SINK));
            let manifest = manifest(dir, &started);
            service = Some(started);
            manifest
        });
        let mut session = EFFECTS.to_vec();
        session.rotate_left(turn % EFFECTS.len());
        let script = Script::of(home, SINK, session);
        Declared { script, service: service.unwrap() }
    }

    /// Everything comes to its right end, each thing is recorded once, and nothing is left of any
    /// jail. What the crashes came to, and how often.
    pub(crate) fn conclude(&mut self) -> Tally {
        let mut tally = Tally::new();
        self.script.conclude_with(|script, client| {
            script.works.iter().try_for_each(|work| recorded_once(client, work, &mut tally))
        });
        for (class, times) in self.service.check() {
            *tally.entry(format!("http.{class} came again")).or_default() += times;
        }
        self.check_arrived(&mut tally);
        for node in &*self.script.home.nodes.borrow() {
            let left = groups_of(*node);
            assert!(left.is_empty(), "left of jails: {left:?}");
        }
        tally
    }

    /// A command got the same key each time.
    fn check_arrived(&self, tally: &mut Tally) {
        let text = std::fs::read_to_string(self.script.home.file(ARRIVED)).unwrap_or_default();
        let mut key_of = BTreeMap::new();
        for line in text.lines() {
            let (key, line) = line.split_once(' ').unwrap();
            match key_of.insert(line.to_owned(), key) {
                None => {}
                Some(known) => {
                    assert_eq!(known, key, "{line}: came under more than one key");
                    *tally.entry("a command came again".to_owned()).or_default() += 1;
                }
            }
        }
    }
}

/// A run with one effect was accepted once, had its step settled once, and ended once.
fn recorded_once(client: &Client, work: &Work, tally: &mut Tally) -> Result<(), Gone> {
    let Some(skill) = work.skill() else { return Ok(()) };
    for run in work.runs.values() {
        let events = client.get(&format!("/runs/{run}/events?limit=500"))?.good();
        let events = events["items"].as_array().unwrap();
        let count = |kind: &str, field: Option<&str>| {
            let is_it = |event: &&Value| {
                event["type"] == kind && field.is_none_or(|field| event.get(field).is_some())
            };
            events.iter().filter(is_it).count()
        };
        let settled = ["step_settled", "step_probed", "step_resolved"];
        let fields = [None, Some("happened"), Some("happened")];
        let times: usize = settled.iter().zip(fields).map(|(kind, field)| count(kind, field)).sum();
        assert_eq!(times, 1, "{}: its step was settled {times} times: {events:?}", work.label);
        for kind in ["run_accepted", "task_succeeded", "run_ended"] {
            assert_eq!(count(kind, None), 1, "{}: {kind}: {events:?}", work.label);
        }
        for event in events.iter().filter(|event| event["type"] == "attempt_ended") {
            let end = event["end"].as_str().unwrap_or_default();
            *tally.entry(format!("{skill} again: {end}")).or_default() += 1;
        }
        for (kind, word) in [("step_probed", "asked"), ("step_resolved", "resolved")] {
            for field in ["happened", "not_happened"] {
                let times = count(kind, Some(field));
                if times > 0 {
                    *tally.entry(format!("{skill} {word}: {field}")).or_default() += times;
                }
            }
        }
    }
    Ok(())
}

fn manifest(dir: &Path, service: &Service) -> Value {
    let mut agents = Vec::new();
    for class in CLASSES {
        let honour = if class == "idempotent" { HONOUR } else { "" };
        let script = format!("{LABEL}{ARRIVE}{honour}{WRITE}");
        let mut command = json!({
            "argv": ["/bin/sh", "-c", script, dir],
            "mounts": [{"source": OUT, "target": "/out", "access": "write"}],
            "effect": class,
        });
        let mut http = json!({
            "url": service.url(&format!("{EFFECT}{class}")),
            "allow_private": true, "effect": class, "timeout": "10s",
        });
        if class == "probed" {
            let argv = ["/bin/sh", "-c", PROBE];
            command["probe"] = json!({"argv": argv, "settle_after": SETTLE_AFTER});
            let url = service.url(&format!("{SENT}{{key}}"));
            http["probe"] = json!({"url": url, "settle_after": SETTLE_AFTER});
        }
        for (how, behaviour) in [("command", command), ("http", http)] {
            agents.push(json!({
                "name": format!("{how}-{class}"),
                "concurrency": 8,
                "skills": [format!("{how}.{class}")],
                "behaviour": {how: behaviour},
            }));
        }
    }
    json!({ "agents": agents })
}
