//! Pieces of work that a client gives to the node, and what must become of each, whatever happens
//! to the node meanwhile. Every call may be made again after a crash.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Answer, Client, Gone, is_goodbye};
use super::node::PATIENCE;
use super::sink::Sink;
use super::support::await_some;

/// A crash ends a wait; otherwise nothing here takes a second.
const WAIT: &str = "wait=30s";
/// Until a skill is asked for again that nobody has yet.
const UNKNOWN: Duration = Duration::from_millis(50);
/// Every crash can make one more of these necessary.
const ROUNDS_MAX: usize = 100;
/// Every crash takes one of a task's attempts.
const ATTEMPTS: usize = 10;
/// SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// Lines of a batch, and the bytes of each: just below what is kept inside the record.
const BATCH_LINES: usize = 12;
const INLINE_BYTES: usize = 15 * 1024;
/// More than is kept inside the record: becomes a blob.
const BLOB_BYTES: usize = 20 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo {
        bytes: usize,
    },
    Hash,
    Batch,
    MapReduce,
    Steps {
        class: &'static str,
        steps: u32,
    },
    /// A map whose children have effects.
    Fan {
        class: &'static str,
        children: u32,
    },
    Cancel,
    Retry,
    /// One effect of an agent of the manifest.
    Declared {
        skill: &'static str,
        class: &'static str,
    },
    /// One effect of a remote worker.
    Remote {
        skill: &'static str,
        class: &'static str,
    },
}

/// A session's work in the order in which it is given.
pub(crate) const SESSION: [Kind; 13] = [
    Kind::Steps { class: "effectful", steps: 2 },
    Kind::Echo { bytes: 10 },
    Kind::Batch,
    Kind::Steps { class: "idempotent", steps: 2 },
    Kind::Fan { class: "effectful", children: 2 },
    Kind::MapReduce,
    Kind::Echo { bytes: BLOB_BYTES },
    Kind::Cancel,
    Kind::Steps { class: "read", steps: 2 },
    Kind::Hash,
    Kind::Retry,
    Kind::Fan { class: "idempotent", children: 2 },
    Kind::Echo { bytes: INLINE_BYTES },
];

pub(crate) struct Work {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    /// The run behind each key that the node has acknowledged.
    pub(crate) runs: BTreeMap<String, String>,
    /// How each run ended, once that was told.
    ends: BTreeMap<String, Value>,
    /// The node has acknowledged the cancel.
    is_cancelled: bool,
}

impl Work {
    pub(crate) fn new(kind: Kind, label: String) -> Self {
        Work { kind, label, runs: BTreeMap::new(), ends: BTreeMap::new(), is_cancelled: false }
    }

    fn has_effects(&self) -> bool {
        matches!(self.kind, Kind::Steps { .. } | Kind::Fan { .. }) || self.skill().is_some()
    }

    /// Of work with one effect: whose it is.
    pub(crate) fn skill(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Declared { skill, .. } | Kind::Remote { skill, .. } => Some(skill),
            _ => None,
        }
    }

    fn keys(&self) -> usize {
        if self.kind == Kind::Batch { BATCH_LINES } else { 1 }
    }

    pub(crate) fn is_acknowledged(&self) -> bool {
        self.runs.len() == self.keys()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ends.len() == self.keys()
    }

    /// Gives it to the node, once or again.
    pub(crate) fn submit(&mut self, client: &Client, sink: &Sink) -> Result<(), Gone> {
        if self.kind == Kind::Batch {
            return self.submit_batch(client);
        }
        let body = self.body(sink);
        let answer = await_some(PATIENCE, || {
            let answer = client.post(self.path(), &body, Some(&self.label));
            let is_known = !answer.as_ref().is_ok_and(|it| self.awaits_worker(it));
            if !is_known {
                std::thread::park_timeout(UNKNOWN);
            }
            is_known.then_some(answer)
        });
        let answer = answer.unwrap_or_else(|| panic!("{}: nobody offers its skill", self.label))?;
        self.acknowledged(self.label.clone(), &answer.good());
        Ok(())
    }

    /// Whether this is the answer of a node that has just started, and does not know its workers yet.
    fn awaits_worker(&self, answer: &Answer) -> bool {
        let is_unknown = answer.status == 400 && answer.text.contains("no agent has the skill");
        is_unknown && matches!(self.kind, Kind::Remote { .. })
    }

    fn submit_batch(&mut self, client: &Client) -> Result<(), Gone> {
        let line = |index| {
            let input = filler(&self.label, index, INLINE_BYTES);
            json!({"key": self.key(index), "skill": "echo", "input": input}).to_string()
        };
        let lines: Vec<_> = (0..BATCH_LINES).map(line).collect();
        let answer = client.post_text("/tasks/batch", &lines.join("\n"), None)?;
        // A line that came whole is an acknowledgement, also if the rest never comes.
        let whole = answer.text.rfind('\n').map_or("", |end| &answer.text[..end]);
        for text in whole.lines() {
            let line: Value = serde_json::from_str(text).unwrap();
            if line["status"].as_u64() == Some(503) && is_goodbye(503, text) {
                return Err(Gone);
            }
            assert_eq!(line["status"], 202, "{line}");
            self.acknowledged(line["key"].as_str().unwrap().to_owned(), &line);
        }
        if answer.is_whole { Ok(()) } else { Err(Gone) }
    }

    fn acknowledged(&mut self, key: String, answer: &Value) {
        let run = answer["run"].as_str().unwrap_or_else(|| panic!("{key}: {answer}")).to_owned();
        if let Some(before) = self.runs.get(&key) {
            assert_eq!((before, &answer["existing"]), (&run, &json!(true)), "{key}: another run");
        }
        self.runs.insert(key, run);
    }

    fn key(&self, index: usize) -> String {
        format!("{}-{index}", self.label)
    }

    fn gate(&self, sink: &Sink) -> PathBuf {
        sink.path.with_file_name(format!("gate-{}", self.label))
    }

    fn path(&self) -> &'static str {
        match self.kind {
            Kind::MapReduce | Kind::Fan { .. } => "/runs",
            _ => "/tasks",
        }
    }

    fn body(&self, sink: &Sink) -> Value {
        let steps = |label: &str, steps: Value, class: &str| json!({"sink": sink.path, "label": label, "steps": steps, "class": class});
        match self.kind {
            Kind::Echo { bytes } => {
                json!({"skill": "echo", "input": filler(&self.label, 0, bytes)})
            }
            Kind::Hash => json!({"skill": "hash", "input": {"text": "abc"}}),
            Kind::Steps { class, steps: count } => {
                json!({"skill": "test.sink", "input": steps(&self.label, count.into(), class)})
            }
            Kind::Cancel => json!({"skill": "sleep", "input": {"ms": 600_000}, "timeout": "20m"}),
            Kind::Retry => {
                json!({"skill": "test.gate", "input": {"gate": self.gate(sink)}})
            }
            Kind::Declared { skill, .. } | Kind::Remote { skill, .. } => {
                json!({"skill": skill, "input": {"label": self.label}, "retry": {"attempts": ATTEMPTS, "backoff": "1ms", "max": "1ms"}})
            }
            Kind::MapReduce => map_reduce(),
            Kind::Fan { class, children } => {
                let labels: Vec<_> = (0..children).map(|it| self.key(it as usize)).collect();
                json!({"workflow": {"name": "fan", "version": class, "tasks": [
                    {"name": "each", "skill": "test.sink", "map": {"over": "${input.labels}"},
                     "input": steps("${item}", 1.into(), class)},
                    {"name": "count", "skill": "list.count", "reduce": "each", "input": null}
                ], "output": "${tasks.count.output}"}, "input": {"labels": labels}})
            }
            Kind::Batch => unreachable!("a batch has a body of its own"),
        }
    }

    /// Follows it to its end and checks that.
    pub(crate) fn finish(&mut self, client: &Client, sink: &Sink) -> Result<(), Gone> {
        for (key, run) in self.runs.clone() {
            if self.ends.contains_key(&key) {
                continue;
            }
            let end = self.end_of(client, sink, &run)?;
            self.check(&key, &end, sink);
            self.ends.insert(key, end);
        }
        Ok(())
    }

    /// Asks again how it ended: an end that was told never changes.
    pub(crate) fn check_again(&self, client: &Client) -> Result<(), Gone> {
        for (key, end) in &self.ends {
            let now = shown(client, &self.runs[key])?;
            assert_eq!(&now, end, "{key}: its end has changed");
        }
        Ok(())
    }

    fn end_of(&mut self, client: &Client, sink: &Sink, run: &str) -> Result<Value, Gone> {
        let mut last = Value::Null;
        for _ in 0..ROUNDS_MAX {
            if self.kind == Kind::Cancel && !self.is_cancelled {
                self.cancel(client, run)?;
            }
            let view = client.get(&format!("/runs/{run}?{WAIT}"))?.good();
            match view["state"].as_str().unwrap() {
                "succeeded" | "cancelled" => return shown(client, run),
                "parked" => self.resolve(client, sink, run)?,
                "failed" if self.kind == Kind::Retry => {
                    assert_eq!(view["failure"]["code"], "test.gate_closed", "{view}");
                    std::fs::write(self.gate(sink), "").unwrap();
                    let answer = client.post(&format!("/runs/{run}/retry"), &json!({}), None)?;
                    answer.good();
                }
                state => panic!("{}: {state} {view}", self.label),
            }
            last = view;
        }
        panic!("{}: goes on for ever: {last}", self.label);
    }

    /// Says of every step in doubt what the sink knows.
    fn resolve(&self, client: &Client, sink: &Sink, run: &str) -> Result<(), Gone> {
        let tasks = client.get(&format!("/runs/{run}/tasks"))?.good();
        let mut doubts = 0;
        for task in tasks["items"].as_array().unwrap() {
            if task["state"] != "parked" {
                continue;
            }
            assert_eq!(task["parked"]["reason"], "in_doubt", "{task}");
            let steps = task["steps"].as_array().unwrap();
            for step in steps.iter().filter(|step| step["state"] == "in_doubt") {
                doubts += 1;
                assert_eq!(step["class"], "effectful", "only such a step may be in doubt: {task}");
                let key = step["key"].as_str().unwrap();
                let line = match self.kind {
                    Kind::Remote { .. } => sink.last_line_of(key, &last_worker(client, run)?),
                    _ => sink.line_of(key),
                };
                self.say(client, run, key, line)?;
            }
        }
        assert!(doubts > 0, "parked without a doubt: {tasks}");
        super::script::count_doubts(doubts);
        Ok(())
    }

    /// What the sink knows of a step: its line, if it happened.
    fn say(&self, client: &Client, run: &str, key: &str, line: Option<String>) -> Result<(), Gone> {
        let happened = line.map(|line| json!({ "line": line }));
        if self.skill().is_some() {
            return client.resolve(run, key, happened.as_ref());
        }
        let mut word = json!({"reason": "looked into the sink"});
        match happened {
            Some(result) => word["happened"] = result,
            None => word["not_happened"] = json!(true),
        }
        client.post(&format!("/runs/{run}/steps/{key}/resolve"), &word, None)?.good();
        Ok(())
    }

    fn cancel(&mut self, client: &Client, run: &str) -> Result<(), Gone> {
        let answer = client.post(&format!("/runs/{run}/cancel"), &json!({}), None)?;
        // The answer to an earlier one may have been lost: then it is over already.
        assert!(answer.status == 200 || answer.status == 409, "{} {}", answer.status, answer.text);
        self.is_cancelled = true;
        Ok(())
    }

    fn check(&self, key: &str, end: &Value, sink: &Sink) {
        let expected = match self.kind {
            Kind::Cancel => {
                assert_eq!(end["state"], "cancelled", "{key}: {end}");
                return;
            }
            Kind::Echo { bytes } => json!(filler(&self.label, 0, bytes)),
            Kind::Batch => {
                let index = (0..BATCH_LINES).find(|index| self.key(*index) == key).unwrap();
                json!(filler(&self.label, index, INLINE_BYTES))
            }
            Kind::Hash => json!({"sha256": ABC}),
            Kind::Retry => json!("open"),
            Kind::MapReduce => json!({"sum": 15, "count": 5}),
            Kind::Steps { steps, class } => {
                sink.check(&self.label, steps, class);
                json!({"lines": steps})
            }
            Kind::Declared { class, .. } | Kind::Remote { class, .. } => {
                sink.check(&self.label, 1, class);
                json!({"line": format!("{}-0", self.label)})
            }
            Kind::Fan { class, children } => {
                for child in 0..children {
                    sink.check(&self.key(child as usize), 1, class);
                }
                json!({"count": children})
            }
        };
        assert_eq!(end["state"], "succeeded", "{key}: {end}");
        assert_eq!(end["output"], expected, "{key}");
    }

    /// Its effects, when all is over: none came late.
    pub(crate) fn check_sink(&self, sink: &Sink) {
        for (key, end) in &self.ends {
            if self.has_effects() {
                self.check(key, end, sink);
            }
        }
    }
}

/// Who had the task of a run last. Its history knows that also of before a restart.
fn last_worker(client: &Client, run: &str) -> Result<String, Gone> {
    let events = client.get(&format!("/runs/{run}/events?limit=500"))?.good();
    let mut events = events["items"].as_array().unwrap().iter().rev();
    let started = events.find(|event| event["type"] == "attempt_started");
    Ok(started.and_then(|event| event["agent"].as_str()).unwrap().to_owned())
}

fn map_reduce() -> Value {
    json!({"workflow": {"name": "sum", "version": "1", "tasks": [
        {"name": "list", "skill": "echo", "input": "${input}"},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"}, "input": "${item}"},
        {"name": "sum", "skill": "list.sum", "reduce": "each"}
    ], "output": "${tasks.sum.output}"}, "input": [1, 2, 3, 4, 5]})
}

/// What never changes about a run that is over.
fn shown(client: &Client, run: &str) -> Result<Value, Gone> {
    let view = client.get(&format!("/runs/{run}"))?.good();
    let output = match &view["output_blob"] {
        Value::Null => view["output"].clone(),
        _ => client.get(&format!("/runs/{run}/output"))?.good(),
    };
    Ok(json!({"state": view["state"], "ended": view["ended"], "output": output,
        "failure": view["failure"]["code"]}))
}

/// Text of this length that nobody else has.
fn filler(label: &str, index: usize, bytes: usize) -> String {
    let begin = format!("{label}.{index}.");
    begin.chars().cycle().take(bytes).collect()
}
