//! `ark-os sim`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ark_os_api::Exit;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::plan::{Shape, WaitOn, Workflow};
use ark_os_core::text::Text;
use ark_os_sim::{
    FaultKinds, Options, Outcome, PROMISES, RunReport, SUBJECT_RUNS, Subject, Sweep,
    referred_outputs, run_seed, sweep,
};
use clap::value_parser;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::output::field;
use crate::session::Session;
use crate::simulation::{fault_kinds, injected_lines};
use crate::submission::{Trial, trial_of_file};
use crate::terminal::{Terminal, Tone};

/// Names that a refusal lists.
const NAMES_MAX: usize = 20;

/// Try a workflow against simulated faults, from a seed
///
/// No instance is needed and nothing happens for real: the very code that decides, records and
/// recovers runs the workflow in a simulated world, where processes are killed, the power goes, disks
/// fail, clocks jump, and agents fail, hang, come late and answer twice. Each seed is a world of its own,
/// the same every time. Then every promise is checked: nothing accepted is lost, no effect happens
/// twice, every run comes to its end. Native skills that only compute do so; for every other task an
/// agent is simulated, whose answer comes from --output, else from the task's or skill's output schema, else
/// from what the workflow itself refers to. Signals that a run waits for are sent, steps in doubt are
/// resolved. A run that fails is no broken promise: the report says how many did, and why the first. Ends
/// with 1 if a promise was broken or a run did not come to its end.
#[derive(Debug, clap::Args)]
pub(crate) struct Sim {
    /// Workflow file (YAML, JSON or TOML; `-` reads standard input)
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    /// Which workflow of the file, if it has several
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Input, repeatable: `key=text`, `key:=JSON`, or `@FILE` with a whole object
    #[arg(long = "input", short = 'i', value_name = "KEY=VALUE")]
    inputs: Vec<String>,
    /// What a task, a skill or a signal of this name answers, repeatable: `NAME=JSON`, or `NAME=@FILE`
    #[arg(long = "output", value_name = "NAME=JSON")]
    outputs: Vec<String>,
    /// What breaks: `all`, `none`, or some of crash, power, disk, clock, agent, slow, zombie, duplicate
    #[arg(long, value_name = "KINDS", default_value = "all")]
    faults: String,
    /// Live through this one, and print its last steps
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds
    #[arg(long, value_name = "M", default_value_t = 50, value_parser = value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// How many of the last steps of one seed to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    steps: usize,
}

impl Sim {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let faults = fault_kinds(&self.faults)?;
        let subject = self.subject(session)?;
        let name = subject.workflow.name.to_string();
        let mut options =
            Options { faults, subject: Some(Arc::new(subject)), ..Options::default() };
        let (report, is_whole) = match self.seed {
            Some(seed) => {
                options.notes = self.steps;
                let outcome = run_seed(seed, &options);
                let is_whole = is_whole(&outcome.violation, &outcome.runs);
                (self.of_one(&name, &outcome, faults), is_whole)
            }
            None => {
                let found = sweep(self.from, self.seeds, &options, false);
                let is_whole = found.broken.is_empty() && !found.ends.contains_key("open");
                (self.of_many(&name, &found, faults), is_whole)
            }
        };
        session.output.answer(&report, |terminal| lines(&report, terminal))?;
        Ok(if is_whole { Exit::Done } else { Exit::Failed })
    }

    fn subject(&self, session: &Session) -> Result<Subject, Failure> {
        let skills = &session.components.skills;
        let trial = trial_of_file(&self.file, self.workflow.as_deref(), &self.inputs, skills)?;
        let Trial { manifest, file, workflow, input } = trial;
        let declared = manifest.fleet_spec().skills;
        let mut names = BTreeSet::new();
        needed(&workflow, &mut names);
        let info = |name: Text| {
            let known = declared.iter().find(|skill| skill.name == name).cloned();
            let native = skills.find(&name).map(|skill| skill.spec());
            known.unwrap_or_else(|| SkillInfo {
                class: native.map(|spec| spec.class).unwrap_or_default(),
                concurrency_max: native.and_then(|spec| spec.concurrency_max),
                name,
            })
        };
        let answers: BTreeMap<String, Value> =
            self.outputs.iter().map(|it| answer(it)).collect::<Result<_, _>>()?;
        check_names(&answers, &workflow)?;
        Ok(Subject {
            input: input.to_string().into_bytes(),
            skills: names.into_iter().map(info).collect(),
            answers,
            schemas: Arc::default(),
            expected: referred_outputs(file.value()),
            natives: skills.clone(),
            workflow,
        })
    }

    /// The command that lives through a seed again.
    fn again(&self, seed: u64, faults: FaultKinds) -> String {
        let mut words = vec!["ark-os".to_owned(), "sim".to_owned()];
        words.push(self.file.display().to_string());
        words.extend(self.workflow.iter().flat_map(|it| ["--workflow".to_owned(), it.clone()]));
        words.extend(self.inputs.iter().flat_map(|it| ["--input".to_owned(), it.clone()]));
        words.extend(self.outputs.iter().flat_map(|it| ["--output".to_owned(), it.clone()]));
        words.extend(["--faults".to_owned(), faults.to_string()]);
        words.extend(["--seed".to_owned(), seed.to_string()]);
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    fn of_one(&self, workflow: &str, outcome: &Outcome, faults: FaultKinds) -> Value {
        json!({
            "workflow": workflow, "faults": faults.to_string(), "seed": outcome.seed,
            "again": self.again(outcome.seed, faults), "fingerprint": format!("{:016x}", outcome.fingerprint),
            "simulated_ms": outcome.micros / 1_000, "injected": outcome.injected,
            "checked": PROMISES, "runs": outcome.runs, "violation": outcome.violation,
            "steps": outcome.notes,
        })
    }

    fn of_many(&self, workflow: &str, found: &Sweep, faults: FaultKinds) -> Value {
        let broken = found.broken.iter().map(|outcome| {
            json!({
                "seed": outcome.seed, "violation": outcome.violation,
                "again": self.again(outcome.seed, faults),
            })
        });
        let failed = found.first_failed.as_ref().map(|(seed, run)| {
            json!({ "seed": seed, "failure": run.failure, "again": self.again(*seed, faults) })
        });
        json!({
            "workflow": workflow, "faults": faults.to_string(), "from": self.from,
            "seeds": found.seeds, "injected": found.injected, "checked": PROMISES,
            "ends": found.ends, "first_failed": failed, "broken": broken.collect::<Vec<_>>(),
        })
    }
}

fn is_whole(violation: &Option<ark_os_sim::Violation>, runs: &[RunReport]) -> bool {
    violation.is_none() && runs.len() == SUBJECT_RUNS && runs.iter().all(|run| run.end.is_some())
}

/// The skills of a workflow and of those that it runs.
fn needed(workflow: &Workflow, names: &mut BTreeSet<Text>) {
    for task in &workflow.tasks {
        if task.is_work() {
            names.insert(task.skill.clone());
        }
        if let Some(child) = task.child().and_then(|child| child.workflow()) {
            needed(&child, names);
        }
    }
}

/// Whoever answers has to be somebody.
fn check_names(answers: &BTreeMap<String, Value>, workflow: &Workflow) -> Result<(), Failure> {
    let mut known = BTreeSet::new();
    who_answers(workflow, &mut known);
    let Some(unknown) = answers.keys().find(|name| !known.contains(name.as_str())) else {
        return Ok(());
    };
    let mut names: Vec<&str> = known.iter().map(|name| &**name).collect();
    names.truncate(NAMES_MAX);
    let message = format!("the workflow has no task, skill or signal `{unknown}` that answers");
    Err(Failure::usage(message).with_hint(format!("use one of {}", names.join(", "))))
}

/// The tasks, skills and signals of a workflow and of those that it runs.
fn who_answers(workflow: &Workflow, names: &mut BTreeSet<Text>) {
    needed(workflow, names);
    for task in &workflow.tasks {
        names.insert(task.name.clone());
        if let Shape::Wait(wait) = &task.shape
            && let WaitOn::Signal(signal) = &wait.on
        {
            names.insert(signal.clone());
        }
        if let Some(child) = task.child().and_then(|child| child.workflow()) {
            who_answers(&child, names);
        }
    }
}

/// `NAME=JSON`, or `NAME=@FILE`.
fn answer(text: &str) -> Result<(String, Value), Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("`{text}` is no output: {why}"))
            .with_hint("write it like `fetch={\"items\": [1, 2]}` or `fetch=@answer.json`")
    };
    let (name, said) = text.split_once('=').ok_or_else(|| wrong("it names nothing".to_owned()))?;
    let value = match said.strip_prefix('@') {
        Some(path) => ManifestFile::read(std::path::Path::new(path))?.value().clone(),
        None => serde_json::from_str(said).map_err(|error| wrong(error.to_string()))?,
    };
    Ok((name.to_owned(), value))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn lines(report: &Value, terminal: &Terminal) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| field(report, name).as_array().cloned().unwrap_or_default();
    let mut lines: Vec<String> = list("steps").iter().map(text).collect();
    let counted: BTreeMap<String, u64> =
        serde_json::from_value(field(report, "injected").clone()).unwrap_or_default();
    lines.extend(injected_lines(&counted));
    for run in list("runs") {
        let end = field(&run, "end").as_str().unwrap_or("did not come to its end");
        let (id, attempts, parked) =
            (text(field(&run, "id")), field(&run, "attempts"), field(&run, "parked"));
        lines.push(format!("{id} {end}: {attempts} attempts, {parked} times parked"));
        lines.extend(field(&run, "failure").as_str().map(|why| format!("  {why}")));
    }
    if let Some(ends) = field(report, "ends").as_object() {
        let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
        lines.push(format!("{} seeds, runs: {}", field(report, "seeds"), ends.join(", ")));
    }
    if let Some(why) = field(field(report, "first_failed"), "failure").as_str() {
        lines.push(format!(
            "first failed in seed {}: {why}",
            field(field(report, "first_failed"), "seed")
        ));
        lines.push(format!("  look: {}", text(field(field(report, "first_failed"), "again"))));
    }
    let names: Vec<_> = PROMISES.iter().map(|promise| promise.invariant).collect();
    lines.push(format!("checked: {}", names.join(" ")));
    let told = |violation: &Value| {
        format!(
            "broken: {}: {}",
            text(field(violation, "invariant")),
            text(field(violation, "message"))
        )
    };
    let mut broken: Vec<String> = Vec::new();
    broken.extend(field(report, "violation").is_object().then(|| told(field(report, "violation"))));
    for outcome in list("broken") {
        broken.push(format!(
            "seed {}: {}",
            field(&outcome, "seed"),
            told(field(&outcome, "violation"))
        ));
        broken.push(format!("  again: {}", text(field(&outcome, "again"))));
    }
    if broken.is_empty() {
        lines.push(terminal.out(Tone::Good, "every promise was kept"));
    }
    lines.extend(broken.iter().map(|line| terminal.out(Tone::Bad, line)));
    lines.extend(field(report, "again").as_str().map(|again| format!("again: {again}")));
    lines
}
