//! Agents of a manifest whose effects can be counted: commands that write into a directory which
//! they may write to, and calls of a service. One of each for every class of effect.

use std::path::Path;

use serde_json::{Value, json};

use super::node::Home;
use super::script::Script;
use super::service::{EFFECT, SENT, Service};
use super::work::Kind;

/// Which may be written to from inside the jail.
const OUT: &str = "out";
/// The sink of commands and of the service.
const SINK: &str = "out/sink";
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

    /// Everything comes to its right end, and each thing is recorded once.
    pub(crate) fn conclude(&mut self) {
        self.script.conclude();
        self.service.check();
        self.check_arrived();
    }

    /// A command that honours keys got the same one each time.
    fn check_arrived(&self) {
        let text = std::fs::read_to_string(self.script.home.file("out/arrived"));
        let mut key_of = std::collections::BTreeMap::new();
        for line in text.unwrap_or_default().lines() {
            let (key, line) = line.split_once(' ').unwrap();
            let known = key_of.entry(line.to_owned()).or_insert_with(|| key.to_owned());
            assert_eq!(known, key, "{line}: came under more than one key");
        }
    }
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
