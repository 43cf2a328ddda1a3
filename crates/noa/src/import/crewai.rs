//! Crews of CrewAI: `agents.yaml` and `tasks.yaml`.
//!
//! Each agent becomes a remote worker with one skill, `crew.NAME`; the tasks become one workflow. A task
//! passes what the crew's would: its description and expected output as text, the outputs of the
//! tasks in its context as data.

use serde_json::{Map, Value, json};

use super::{Imported, Names, Remark, slug};
use crate::text::{Document, member};
use ark_os_core::manifest::DESCRIPTION_BYTES_MAX;

/// The annotation under which what has no counterpart is kept.
const ANNOTATION: &str = "x-crewai";
/// The workflow that a crew's tasks become.
const WORKFLOW: &str = "crew";
/// Agents or tasks of a crew.
const ENTRIES_MAX: usize = ark_os_core::limits::PLAN_TASKS_MAX;

/// Reads a crew: the agents' file, and the tasks' if there is one.
#[must_use]
pub fn crew(agents: &Document, tasks: Option<&Document>) -> Imported {
    let mut importing = Importing { file: 0, ..Importing::default() };
    let mut manifest = Map::new();
    manifest.insert("agents".into(), Value::Array(importing.agents(agents)));
    if let Some(tasks) = tasks {
        importing.file = 1;
        if let Some(workflow) = importing.workflow(tasks) {
            manifest.insert("workflows".into(), json!([workflow]));
        }
    }
    let Importing { faults, notes, .. } = importing;
    Imported { manifest: Value::Object(manifest), faults, notes }
}

#[derive(Default)]
struct Importing {
    file: usize,
    agents: Names,
    tasks: Names,
    /// What is filled into texts: `{topic}`.
    inputs: std::collections::BTreeSet<String>,
    faults: Vec<Remark>,
    notes: Vec<Remark>,
}

/// An entry of a file, with its place.
struct Entry<'a> {
    key: String,
    name: String,
    line: usize,
    fields: &'a Map<String, Value>,
}

impl Importing {
    fn fault(&mut self, line: usize, message: impl Into<String>) {
        self.faults.push(Remark { file: self.file, line, message: message.into() });
    }

    fn note(&mut self, line: usize, message: impl Into<String>) {
        self.notes.push(Remark { file: self.file, line, message: message.into() });
    }

    /// The entries of a file in the order in which they are written, which means something there.
    fn entries<'a>(&mut self, document: &'a Document, what: &str) -> Vec<Entry<'a>> {
        let Some(map) = document.value.as_object() else {
            self.fault(1, format!("the file is an object of {what}s by their names"));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for key in document.keys_as_written("").into_iter().take(ENTRIES_MAX) {
            let (line, _) = document.line_column(&member("", &key));
            let Some(fields) = map.get(&key).and_then(Value::as_object) else {
                self.fault(line, format!("the {what} `{key}` is not an object"));
                continue;
            };
            let names = if what == "agent" { &mut self.agents } else { &mut self.tasks };
            match names.take(&key) {
                Ok(name) => entries.push(Entry { key, name, line, fields }),
                Err(message) => self.fault(line, message),
            }
        }
        if map.len() > ENTRIES_MAX {
            self.fault(1, format!("the file has more than {ENTRIES_MAX} {what}s"));
        }
        entries
    }

    fn agents(&mut self, document: &Document) -> Vec<Value> {
        let entries = self.entries(document, "agent");
        let mut agents = Vec::with_capacity(entries.len());
        for entry in entries {
            let Entry { key, name, line, fields } = &entry;
            let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::trim);
            let about: Vec<&str> = ["role", "goal"].into_iter().filter_map(text).collect();
            let mut about = about.join(": ");
            if about.len() > DESCRIPTION_BYTES_MAX {
                about = format!("the agent `{key}` of a crew");
            }
            let mut agent = Map::new();
            agent.insert("name".into(), name.as_str().into());
            if !about.is_empty() {
                agent.insert("description".into(), about.into());
            }
            agent.insert("skills".into(), json!([skill_of(name)]));
            agent.insert("behaviour".into(), "worker".into());
            // All of it: a worker that plays the agent needs every word.
            agent.insert(ANNOTATION.into(), Value::Object((*fields).clone()));
            agents.push(Value::Object(agent));
            self.remark_agent(key, *line, fields);
        }
        if !agents.is_empty() {
            let message = "this version runs no language models: the agents are remote workers, to be \
                           played by a program that pulls their tasks";
            self.notes.insert(0, Remark { file: self.file, line: 1, message: message.into() });
        }
        agents
    }

    fn remark_agent(&mut self, key: &str, line: usize, fields: &Map<String, Value>) {
        let is_on = |field: &str| {
            fields.get(field).is_some_and(|it| match it {
                Value::Null | Value::Bool(false) => false,
                Value::Array(list) => !list.is_empty(),
                _ => true,
            })
        };
        let told = [
            ("llm", "its language model"),
            ("function_calling_llm", "its language model for calls"),
            ("tools", "its tools"),
            ("allow_delegation", "that it may delegate: work goes where the workflow says"),
            ("allow_code_execution", "that it may run code"),
            ("knowledge_sources", "its knowledge"),
        ];
        for (field, what) in told.into_iter().filter(|(field, _)| is_on(field)) {
            let kept = format!("kept as `{ANNOTATION}.{field}` and not carried out");
            self.note(line, format!("the agent `{key}` says {what}: {kept}"));
        }
    }

    fn workflow(&mut self, document: &Document) -> Option<Value> {
        let entries = self.entries(document, "task");
        let mut tasks = Vec::with_capacity(entries.len());
        let mut before: Option<String> = None;
        for entry in &entries {
            tasks.push(self.task(entry, before.as_deref()));
            before = Some(entry.name.clone());
        }
        if tasks.is_empty() {
            return None;
        }
        let mut workflow = Map::new();
        workflow.insert("name".into(), WORKFLOW.into());
        if !self.inputs.is_empty() {
            let properties = self.inputs.iter().map(|it| (it.clone(), json!({ "type": "string" })));
            let properties: Map<String, Value> = properties.collect();
            workflow.insert(
                "input".into(),
                json!({ "type": "object", "required": self.inputs, "properties": properties }),
            );
        }
        workflow.insert("tasks".into(), Value::Array(tasks));
        Some(Value::Object(workflow))
    }

    /// Fields without a counterpart are kept; `description`, `expected_output` go to whoever works.
    fn task(&mut self, entry: &Entry<'_>, before: Option<&str>) -> Value {
        let Entry { key, name, line, fields } = entry;
        let mut task = Map::new();
        task.insert("name".into(), name.as_str().into());
        match fields.get("agent").and_then(Value::as_str) {
            Some(agent) => match self.agents.find(agent) {
                Some(agent) => {
                    task.insert("skill".into(), skill_of(agent).into());
                }
                None => {
                    self.fault(
                        *line,
                        format!("the task `{key}` names the agent `{agent}`, who is not there"),
                    );
                }
            },
            None => {
                self.fault(
                    *line,
                    format!("the task `{key}` has no agent: add the `skill` that it needs"),
                );
            }
        }
        let mut input = Map::new();
        for field in ["description", "expected_output"] {
            if let Some(text) = fields.get(field).and_then(Value::as_str) {
                input.insert(field.into(), self.template(text).into());
            }
        }
        let context = self.context(entry, before);
        if !context.is_empty() {
            input.insert("context".into(), Value::Object(context));
        }
        task.insert("input".into(), Value::Object(input));
        let known = ["description", "expected_output", "agent", "context"];
        let rest = fields.iter().filter(|(field, _)| !known.contains(&field.as_str()));
        let rest: Map<String, Value> = rest.map(|(key, it)| (key.clone(), it.clone())).collect();
        if !rest.is_empty() {
            let names: Vec<String> = rest.keys().map(|it| format!("`{it}`")).collect();
            let names = names.join(", ");
            let message = format!(
                "of the task `{key}` is kept as `{ANNOTATION}` and not carried out: {names}"
            );
            self.note(*line, message);
            task.insert(ANNOTATION.into(), Value::Object(rest));
        }
        Value::Object(task)
    }

    /// The outputs that a task sees: those that it names, else that of the task before it, as in a
    /// crew whose tasks go one after the other.
    fn context(&mut self, entry: &Entry<'_>, before: Option<&str>) -> Map<String, Value> {
        let Entry { key, name, line, fields } = entry;
        let output = |task: &str| Value::from(format!("${{tasks.{task}.output}}"));
        let mut context = Map::new();
        match fields.get("context") {
            Some(Value::Array(list)) => {
                for value in list {
                    let original = value.as_str().unwrap_or_default();
                    match self.tasks.find(original).cloned() {
                        Some(task) if task != *name => {
                            context.insert(task.clone(), output(&task));
                        }
                        _ => {
                            let message = format!(
                                "the context of `{key}` names `{original}`, which is no other task"
                            );
                            self.fault(*line, message);
                        }
                    }
                }
            }
            None | Some(Value::Null) => {
                if let Some(task) = before {
                    context.insert(task.to_owned(), output(task));
                    self.note(
                        *line,
                        format!("`{key}` names no context: it sees the output of `{task}`"),
                    );
                }
            }
            Some(_) => self.fault(*line, format!("the context of `{key}` is a list of tasks")),
        }
        context
    }

    /// `{topic}` is what the crew is given for it.
    fn template(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '$']) {
            let (plain, found) = rest.split_at(at);
            out.push_str(plain);
            if let Some(after) = found.strip_prefix("${") {
                out.push_str("$${");
                rest = after;
                continue;
            }
            let name = found.strip_prefix('{').and_then(|it| {
                // As far as a name goes: who looked for the end of the text looked once for each brace.
                let (name, after) = it.split_at(it.find(|c| !is_of_name(c))?);
                Some((name, after.strip_prefix('}')?))
            });
            match name.filter(|(name, _)| is_variable(name)) {
                Some((name, after)) => {
                    self.inputs.insert(name.to_owned());
                    out.push_str(&format!("${{input.{name}}}"));
                    rest = after;
                }
                None => {
                    let first = found.chars().next().map_or(0, char::len_utf8);
                    let (sign, after) = found.split_at(first);
                    out.push_str(sign);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

fn is_variable(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(is_of_name)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn skill_of(agent: &str) -> String {
    // Names have at most as many letters as skills: what a prefix is too many for is cut.
    slug(&format!("crew.{agent}"), true)
}
