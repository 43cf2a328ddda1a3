//! From the options of `run` and `submit` to a run's submission: file, workflow, input, limits.

mod inputs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ark_os_api::{Budget, Json, RunAccepted, RunSubmission, TaskSpec};
use ark_os_core::manifest::{
    self, Findings, Manifest, SkillCatalogue, SkillShape, parse_duration_ms,
};
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_runtime::agents::DeclaredAgent;
use ark_os_runtime::data::{Catalogue, Schemas, Violation};
use ark_os_runtime::skills::SkillSet;
use serde_json::{Value, json};

use crate::agents::base_of;
use crate::client::Client;
use crate::failure::{Failure, Finding};
use crate::manifest_file::ManifestFile;
use crate::output::{field, field_text};

/// What to run, and how.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Submission {
    /// Workflow file (YAML, JSON or TOML), or the name of a workflow that is deployed; `-` reads
    /// standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run a single task that needs this skill, instead of a file
    #[arg(long, value_name = "SKILL", conflicts_with_all = ["file", "workflow"])]
    task: Option<String>,
    /// Which workflow of the file, if it has several
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Input, repeatable: `key=text`, `key:=JSON`, or `@FILE` with a whole object
    ///
    /// The text of `key=text` is read as a number or a boolean where the workflow's input schema
    /// has one at that key; of a workflow that is deployed it stays a text. Later inputs replace earlier ones of the same key. Relative paths in an
    /// input mean what they mean to the instance: an instance that `run` starts itself works in
    /// the caller's directory; one that runs already works in the directory where it was started,
    /// and a warning says so where the two differ.
    #[arg(long = "input", short = 'i', value_name = "KEY=VALUE")]
    inputs: Vec<String>,
    /// emergency, critical, high, normal, low or maintenance
    #[arg(long)]
    priority: Option<String>,
    /// Time for the whole run, such as `30s`
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Begin no sooner than this moment, such as `2027-01-31T09:00:00+01:00`
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    start_at: Option<String>,
    /// Begin so much later, such as `2h`; deadlines count from then
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
    /// What the run may use up: `0.50usd`, or `calls=100,cpu=30s,cost=0.50usd`
    #[arg(long, value_name = "AMOUNTS")]
    budget: Option<String>,
    /// Idempotency key: the same key and request give the same run
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// A submission that passed the checks that can be made here.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What is sent.
    body: RunSubmission,
    key: Option<String>,
    /// The file, for the places of what the instance finds.
    source: Option<Source>,
    /// The input, to warn about relative paths.
    input: Value,
}

/// A workflow of a file, with all that it runs.
#[derive(Debug)]
pub(crate) struct Source {
    file: ManifestFile,
    /// The file's own agents.
    agents: Vec<DeclaredAgent>,
    /// Which of its workflows was taken.
    index: usize,
    closure: Closure,
}

impl Submission {
    /// The file that is to be run.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads what has to be read and checks it. What only the skills of another instance could
    /// tell is left to that instance, unless `is_ours`.
    ///
    /// # Errors
    /// Everything that is wrong, with its places.
    pub(crate) fn prepare(&self, skills: &SkillSet, is_ours: bool) -> Result<Prepared, Failure> {
        let mut body = RunSubmission {
            priority: self.priority.clone(),
            deadline: self.deadline.clone(),
            start_at: self.start_at.clone(),
            delay: self.delay.clone(),
            budget: self.budget.as_deref().map(budget_of).transpose()?,
            ..RunSubmission::default()
        };
        check_deadline(self.deadline.as_deref())?;
        let deployed = self.file.as_deref().and_then(deployed_name);
        if let (Some(name), Some(_)) = (deployed, &self.workflow) {
            return Err(Failure::usage(format!(
                "`{name}` is no file that --workflow could choose from"
            ))
            .with_hint("name the deployed workflow alone, or a file that exists"));
        }
        let source = match (&self.file, &self.task) {
            _ if deployed.is_some() => {
                body.workflow = Some(raw(&json!(deployed))?);
                None
            }
            (Some(path), _) => Some(Source::read(path, self.workflow.as_deref(), skills, is_ours)?),
            (None, Some(skill)) => {
                body.task = Some(TaskSpec { skill: skill.clone(), ..TaskSpec::default() });
                None
            }
            (None, None) => {
                return Err(Failure::usage("nothing to run")
                    .with_hint("name a workflow file, or a skill with --task"));
            }
        };
        let schema = match &source {
            Some(source) => {
                body.workflow = Some(source.manifest()?);
                source.schema().cloned()
            }
            None => self.task.as_deref().and_then(|skill| schema_of(skills, skill)),
        };
        let input = inputs::read(&self.inputs, schema.as_ref())?;
        if !self.inputs.is_empty() || self.task.is_none() {
            body.input = Some(raw(&input)?);
        }
        Ok(Prepared { body, key: self.key.clone(), source, input })
    }
}

/// What is no file, and could be the name of a workflow that is deployed.
pub(crate) fn deployed_name(path: &Path) -> Option<&str> {
    path.to_str().filter(|name| is_workflow_name(name) && !path.exists())
}

/// What could be the name of a workflow, and is not that of a file, whatever there is on this disk.
pub(crate) fn is_workflow_name(name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let extension = Path::new(name).extension();
    let is_file = ["yaml", "yml", "json", "toml"].iter().any(|it| extension == Some(it.as_ref()));
    !matches!(name, "" | "-") && name.chars().all(is_name) && !is_file
}

/// Which workflow of a file is meant.
fn chosen(file: &ManifestFile, name: Option<&str>) -> Result<usize, Failure> {
    let workflows = field(file.value(), "workflows").as_array();
    let names = workflows.into_iter().flatten().map(|it| field_text(it, "name"));
    let names: Vec<String> = names.collect();
    let all = workflows.map_or(&[][..], Vec::as_slice);
    let run: Vec<&str> = all.iter().flat_map(manifest::children_of).collect();
    let mut tops =
        (0..names.len()).filter(|i| names.get(*i).is_some_and(|it| !run.contains(&&**it)));
    let index = match (name, tops.next(), tops.next()) {
        (Some(name), ..) => names.iter().position(|it| it == name),
        (None, Some(top), None) => Some(top),
        (None, ..) => None,
    };
    index.ok_or_else(|| {
        let there = format!("it has {}", names.join(", "));
        let message = match name {
            Some(name) => format!("`{}` has no workflow `{name}`", file.name()),
            None => format!("`{}` has {} workflows", file.name(), names.len()),
        };
        Failure::new("workflow_ambiguous", message)
            .with_hint(format!("name one with --workflow: {there}"))
    })
}

/// The input of a fork; none: as it was. `schema` is that of another workflow's.
///
/// # Errors
/// One of the inputs is none.
pub(crate) fn fork_input(
    given: &[String],
    schema: Option<&Value>,
) -> Result<Option<Json>, Failure> {
    if given.is_empty() {
        return Ok(None);
    }
    raw(&inputs::read(given, schema)?).map(Some)
}

/// That a deadline is one.
///
/// # Errors
/// It is no duration.
pub(crate) fn check_deadline(deadline: Option<&str>) -> Result<(), Failure> {
    match deadline.filter(|text| parse_duration_ms(text).is_none()) {
        Some(text) => Err(Failure::usage(format!("`{text}` is no duration"))
            .with_hint("write it like `30s`, `5m` or `1h30m`")),
        None => Ok(()),
    }
}

/// The plan of a workflow file, whoever has the skills that it needs.
///
/// # Errors
/// Everything that is wrong with the file, with its places.
pub(crate) fn plan_of_file(
    path: &Path,
    workflow: Option<&str>,
    skills: &SkillSet,
) -> Result<Arc<Workflow>, Failure> {
    let file = ManifestFile::read(path)?;
    let parsed = parse_for_anybody(&file, skills)?;
    let index = chosen(&file, workflow)?;
    parsed.workflows.get(index).cloned().ok_or_else(|| Failure::usage("the file has no workflow"))
}

/// A file whose skills somebody else may have. What it declares itself counts before what nobody knows.
fn parse_for_anybody(file: &ManifestFile, skills: &SkillSet) -> Result<Manifest, Failure> {
    let parsed = match manifest::parse(file.value(), &Catalogue::new(skills)) {
        Err(findings) if are_only_unknown_skills(&findings) => {
            manifest::parse(file.value(), &AnySkill::of(skills))
        }
        parsed => parsed,
    };
    parsed.map_err(|findings| file.findings(&findings))
}

/// A workflow file that is to be tried without an instance.
pub(crate) struct Trial {
    /// Everything in the file.
    pub(crate) manifest: Manifest,
    /// As it is written.
    pub(crate) file: ManifestFile,
    /// Which of its workflows is meant.
    pub(crate) workflow: Arc<Workflow>,
    /// Its input, with the defaults of its schema, which it fits.
    pub(crate) input: Value,
}

/// Reads a workflow file and its input.
///
/// # Errors
/// Everything that is wrong with one of them, with its places.
pub(crate) fn trial_of_file(
    path: &Path,
    workflow: Option<&str>,
    inputs: &[String],
    skills: &SkillSet,
) -> Result<Trial, Failure> {
    let file = ManifestFile::read(path)?;
    let manifest = parse_for_anybody(&file, skills)?;
    let index = chosen(&file, workflow)?;
    let workflow = manifest.workflows.get(index).cloned();
    let workflow = workflow.ok_or_else(|| Failure::usage("the file has no workflow"))?;
    let schema: Option<Value> =
        workflow.input_schema.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let mut input = inputs::read(inputs, schema.as_ref())?;
    if let (Some(schema), Some(text)) = (&schema, &workflow.input_schema) {
        input = manifest::with_defaults(schema, input);
        Schemas::new().validate(text, input.to_string().as_bytes()).map_err(|violations| {
            let finding = |it: Violation| Finding {
                pointer: Some(format!("/input{}", it.pointer)),
                message: it.message,
                ..Finding::default()
            };
            Failure::new("input_invalid", "the input does not fit the workflow's schema")
                .with_findings(violations.into_iter().map(finding).collect())
        })?;
    }
    Ok(Trial { manifest, file, workflow, input })
}

/// A catalogue in which no skill is unknown: of those that are not ours nothing is known.
pub(crate) struct AnySkill(Catalogue);

impl AnySkill {
    pub(crate) fn of(skills: &SkillSet) -> Self {
        AnySkill(Catalogue::new(skills))
    }
}

impl SkillCatalogue for AnySkill {
    fn skill(&self, name: &str) -> Option<SkillShape> {
        let unknown = || SkillShape {
            class: EffectClass::default(),
            input_schema: None,
            output_schema: None,
        };
        Some(self.0.skill(name).unwrap_or_else(unknown))
    }

    fn builtin(&self, name: &str) -> Option<SkillShape> {
        self.0.skill(name)
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn check_condition(&self, cel: &str) -> Result<(), String> {
        self.0.check_condition(cel)
    }

    fn check_schema(&self, schema: &Value) -> Result<(), String> {
        self.0.check_schema(schema)
    }
}

/// A workflow of a file with all that it runs, as an instance is given them.
#[derive(Debug)]
pub(crate) struct Closure {
    /// Where they stand in the file, the workflow itself first.
    places: Vec<usize>,
}

impl Closure {
    /// Of the workflow at this place of a file.
    pub(crate) fn of(file: &ManifestFile, index: usize) -> Self {
        let all = field(file.value(), "workflows").as_array().map_or(&[][..], Vec::as_slice);
        let mut places = vec![index];
        let mut next = 0;
        while let Some(workflow) = places.get(next).and_then(|place| all.get(*place)) {
            let run = manifest::children_of(workflow);
            let is_run = |place: &usize| {
                all.get(*place).is_some_and(|it| run.contains(&&*field_text(it, "name")))
            };
            let more = (0..all.len()).filter(is_run);
            let more: Vec<usize> = more.filter(|place| !places.contains(place)).collect();
            places.extend(more);
            next += 1;
        }
        Closure { places }
    }

    /// The manifest that is sent.
    pub(crate) fn manifest(&self, file: &ManifestFile) -> Value {
        let all = field(file.value(), "workflows");
        let sent: Vec<&Value> = self.places.iter().filter_map(|place| all.get(*place)).collect();
        json!({ "workflows": sent })
    }

    /// The place in the file of what the instance says about what was sent as `workflow`.
    pub(crate) fn place(&self, file: &ManifestFile, pointer: &str) -> Option<String> {
        let inside = pointer.strip_prefix("/workflow")?;
        let sent = inside.strip_prefix("/workflows/").and_then(|rest| {
            let (number, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            Some((self.places.get(number.parse::<usize>().ok()?)?, rest))
        });
        let (index, inside) = sent.or_else(|| Some((self.places.first()?, inside)))?;
        Some(file.place(&format!("/workflows/{index}{inside}")))
    }
}

impl Source {
    /// Reads a file and checks it: which of its workflows is meant, and all that can be told here. What
    /// only the skills of another instance could tell is left to that instance, unless `is_ours`.
    ///
    /// # Errors
    /// Everything that is wrong, with its places.
    pub(crate) fn read(
        path: &Path,
        workflow: Option<&str>,
        skills: &SkillSet,
        is_ours: bool,
    ) -> Result<Self, Failure> {
        let file = ManifestFile::read(path)?;
        let agents: Vec<_> = match manifest::parse(file.value(), &Catalogue::new(skills)) {
            Ok(manifest) => manifest.members().map(|(at, it)| (at, it.clone())).collect(),
            Err(findings) if is_ours || !are_only_unknown_skills(&findings) => {
                return Err(file.findings(&findings));
            }
            Err(_) => Vec::new(),
        };
        let base = base_of(path);
        let agents = agents.into_iter();
        let agents = agents.map(|(at, agent)| DeclaredAgent { agent, at, base: base.clone() });
        let agents = agents.collect();
        let index = chosen(&file, workflow)?;
        let closure = Closure::of(&file, index);
        Ok(Source { file, agents, index, closure })
    }

    /// The manifest that is sent as `workflow`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn manifest(&self) -> Result<Json, Failure> {
        raw(&self.closure.manifest(&self.file))
    }

    /// The schema of its input.
    pub(crate) fn schema(&self) -> Option<&Value> {
        field(self.file.value(), "workflows").get(self.index)?.get("input")
    }

    /// What the instance refuses about it, with the places of the file.
    pub(crate) fn placed(&self, failure: Failure) -> Failure {
        let failure = failure.with_places(|pointer| self.closure.place(&self.file, pointer));
        if failure.code() != "manifest_invalid" || self.agents.is_empty() {
            return failure;
        }
        failure.with_hint(
            "an instance has the agents that it was started with (`ark-os start --manifest FILE`) and those that \
             were deployed to it (`ark-os deploy --manifest FILE`)",
        )
    }
}

impl Prepared {
    /// Submits it.
    pub(crate) fn submit(&self, client: &Client) -> Result<RunAccepted, Failure> {
        client.post("/runs", &self.body, self.key.as_deref()).map_err(|failure| {
            match &self.source {
                Some(source) => source.placed(failure),
                None => failure,
            }
        })
    }

    /// The agents that the file itself declares.
    pub(crate) fn agents(&self) -> &[DeclaredAgent] {
        self.source.as_ref().map_or(&[], |source| &source.agents)
    }

    /// The file.
    pub(crate) fn source(&self) -> Option<&ManifestFile> {
        self.source.as_ref().map(|source| &source.file)
    }

    /// The texts of the input that name something here, by a path relative to this directory.
    pub(crate) fn relative_paths(&self) -> Vec<String> {
        let entries = self.input.as_object().into_iter().flatten();
        let texts = entries.filter_map(|(_, value)| value.as_str());
        let is_relative = |text: &&str| {
            let path = Path::new(text);
            !text.is_empty() && path.is_relative() && path.exists()
        };
        texts.filter(is_relative).map(str::to_owned).collect()
    }
}

pub(crate) fn raw(value: &Value) -> Result<Json, Failure> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Failure::usage(format!("cannot write the request: {error}")))
}

fn schema_of(skills: &SkillSet, skill: &str) -> Option<Value> {
    serde_json::from_str(&skills.find(skill)?.spec().input_schema).ok()
}

fn are_only_unknown_skills(findings: &Findings) -> bool {
    findings.more() == 0 && findings.as_slice().iter().all(|it| it.code == "unknown_skill")
}

/// `0.50usd`, or `calls=100,cpu=30s`.
///
/// # Errors
/// It is no budget.
pub(crate) fn budget_of(text: &str) -> Result<Budget, Failure> {
    let wrong = |part: &str| {
        Failure::usage(format!("`{part}` is no budget"))
            .with_hint("write it like `0.50usd`, or `calls=100,cpu=30s,cost=0.50usd,tokens=5000`")
    };
    let mut budget = Budget::default();
    for part in text.split(',') {
        let (name, amount) = part.split_once('=').unwrap_or(("cost", part));
        let count = || amount.parse().map(Some).map_err(|_| wrong(part));
        match name {
            "cost" if amount.ends_with("usd") => budget.cost = Some(amount.to_owned()),
            "cpu" if parse_duration_ms(amount).is_some() => budget.cpu = Some(amount.to_owned()),
            "tokens" => budget.tokens = count()?,
            "bytes" => budget.bytes = count()?,
            "calls" => budget.calls = count()?,
            "steps" => budget.steps = count()?,
            _ => return Err(wrong(part)),
        }
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(text: &str) -> (tempfile::TempDir, Submission) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.yaml");
        std::fs::write(&path, text).unwrap();
        (dir, Submission { file: Some(path), ..Submission::default() })
    }

    const TWO: &str = "workflows:\n  - name: a\n    tasks:\n      - {name: t, skill: echo}\n  \
                       - name: b\n    tasks:\n      - {name: t, skill: ecko}\n";

    #[test]
    fn a_finding_has_the_line_of_the_file() {
        let (dir, submission) = submission(TWO);
        let failure = submission.prepare(&SkillSet::builtin(), true).unwrap_err();
        let lines: Vec<_> = failure.lines().into_iter().map(|(_, line)| line).collect();
        let text = lines.join("\n").replace(&dir.path().display().to_string(), "D");
        assert!(text.contains("D/w.yaml:7:26: "), "{text}");
        assert!(text.contains("(/workflows/1/tasks/0/skill)"), "{text}");
    }

    #[test]
    fn skills_of_another_instance_are_its_own_to_judge() {
        let (_dir, mut submission) = submission(TWO);
        submission.workflow = Some("b".to_owned());
        let prepared = submission.prepare(&SkillSet::builtin(), false).unwrap();
        let source = prepared.source.as_ref().unwrap();
        let place = source.closure.place(&source.file, "/workflow/workflows/0/tasks/0/skill");
        assert!(place.unwrap().ends_with("w.yaml:7:26"));
        submission.workflow = None;
        let failure = submission.prepare(&SkillSet::builtin(), false).unwrap_err();
        assert_eq!(failure.code(), "workflow_ambiguous");
    }

    #[test]
    fn budgets_read_as_written() {
        assert_eq!(budget_of("0.50usd").unwrap().cost.as_deref(), Some("0.50usd"));
        let budget = budget_of("calls=3,cpu=30s,tokens=7").unwrap();
        assert_eq!((budget.calls, budget.tokens), (Some(3), Some(7)));
        for text in ["", "5", "calls=x", "gold=1", "cpu=5"] {
            assert!(budget_of(text).is_err(), "{text}");
        }
    }
}
