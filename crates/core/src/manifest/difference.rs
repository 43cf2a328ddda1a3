//! What would change if a manifest were deployed: a pure comparison of what is with what is wanted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{CatchUpRule, Manifest, ScheduleEntry};
use crate::fleet::spec::{FleetSpec, GroupSpec};
use crate::hash::Hash;
use crate::layer::Layer;
use crate::plan::Workflow;
use crate::text::Text;

/// All that a deployment is about.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Declared {
    /// Agents of the built-in profile; none of the wanted ones: as many as there are.
    pub profile: Option<u32>,
    /// The declared agents and what they can do.
    pub fleet: FleetSpec,
    /// The workflows that can be run by name.
    pub workflows: Vec<WorkflowVersion>,
    /// Runs that begin by the calendar.
    pub schedules: Vec<ScheduleEntry>,
}

/// A workflow that can be run by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WorkflowVersion {
    /// Its name.
    pub name: Text,
    /// The author's version.
    pub version: Text,
    /// What names the version for certain.
    pub hash: Hash,
}

impl From<&Workflow> for WorkflowVersion {
    fn from(workflow: &Workflow) -> Self {
        let Workflow { name, version, hash, .. } = workflow;
        WorkflowVersion { name: name.clone(), version: version.clone(), hash: *hash }
    }
}

impl From<&Manifest> for Declared {
    fn from(manifest: &Manifest) -> Self {
        Declared {
            profile: manifest.profile,
            fleet: manifest.fleet_spec(),
            workflows: manifest.workflows.iter().map(|it| (&**it).into()).collect(),
            schedules: manifest.schedules.clone(),
        }
    }
}

/// What a change is about, in the order in which changes are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The built-in profile.
    Profile,
    /// An agent or a group of agents.
    Agents,
    /// A skill of theirs.
    Skill,
    /// A workflow.
    Workflow,
    /// A schedule.
    Schedule,
}

impl Subject {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Subject::Profile => "profile",
            Subject::Agents => "agents",
            Subject::Skill => "skill",
            Subject::Workflow => "workflow",
            Subject::Schedule => "schedule",
        }
    }
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// It was not there before.
    Added,
    /// It is another one.
    Changed,
    /// It is not there afterwards.
    Removed,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub becomes: Becomes,
    /// The layer, of agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// What is different; of something added or removed, what it is.
    pub fields: Vec<FieldChange>,
}

/// A field that is different.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FieldChange {
    /// Its name.
    pub field: &'static str,
    /// What stands there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What stands there afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A thing to compare: its layer, and its fields as texts.
struct Row {
    layer: Option<Layer>,
    fields: BTreeMap<&'static str, String>,
}

type Rows = BTreeMap<(Subject, String), Row>;

/// What is different, agents in the order of their layers, highest first. Nothing is different
/// exactly if deploying what is wanted would change nothing.
pub fn difference(current: &Declared, wanted: &Declared) -> Vec<Change> {
    let (mut before, after) = (rows(current), rows(wanted));
    if wanted.profile.is_none() {
        before.retain(|(subject, _), _| *subject != Subject::Profile);
    }
    let mut changes: Vec<Change> = Vec::new();
    for (key, row) in &after {
        let fields = changed_fields(before.get(key), Some(row));
        let becomes = if before.contains_key(key) { Becomes::Changed } else { Becomes::Added };
        if becomes == Becomes::Added || !fields.is_empty() {
            changes.push(change(key, becomes, row.layer, fields));
        }
    }
    for (key, row) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        changes.push(change(key, Becomes::Removed, row.layer, changed_fields(Some(row), None)));
    }
    changes.sort_by(|a, b| (a.subject, a.layer, &a.name).cmp(&(b.subject, b.layer, &b.name)));
    changes
}

fn change(
    (subject, name): &(Subject, String),
    becomes: Becomes,
    layer: Option<Layer>,
    fields: Vec<FieldChange>,
) -> Change {
    Change { subject: *subject, name: name.clone(), becomes, layer, fields }
}

fn changed_fields(before: Option<&Row>, after: Option<&Row>) -> Vec<FieldChange> {
    let of = |row: Option<&Row>, field: &str| row.and_then(|row| row.fields.get(field)).cloned();
    let names = before.into_iter().chain(after).flat_map(|row| row.fields.keys().copied());
    let names: std::collections::BTreeSet<&'static str> = names.collect();
    let fields = names.into_iter().map(|field| FieldChange {
        field,
        from: of(before, field),
        to: of(after, field),
    });
    fields.filter(|it| it.from != it.to).collect()
}

fn rows(declared: &Declared) -> Rows {
    let mut rows = Rows::new();
    if let Some(agents) = declared.profile {
        let fields = BTreeMap::from([("agents", agents.to_string())]);
        rows.insert((Subject::Profile, "built-in".to_owned()), Row { layer: None, fields });
    }
    for group in &declared.fleet.groups {
        let row = Row { layer: Some(group.layer), fields: group_fields(group) };
        rows.insert((Subject::Agents, group.name.to_string()), row);
    }
    for skill in &declared.fleet.skills {
        let mut fields = BTreeMap::from([("effect", skill.class.as_str().to_owned())]);
        fields.extend(skill.concurrency_max.map(|max| ("concurrency", max.to_string())));
        rows.insert((Subject::Skill, skill.name.to_string()), Row { layer: None, fields });
    }
    let mut versions: BTreeMap<&Text, Vec<String>> = BTreeMap::new();
    let mut workflows: Vec<&WorkflowVersion> = declared.workflows.iter().collect();
    workflows.sort_unstable();
    for WorkflowVersion { name, version, hash } in workflows {
        let hash = hash.to_string();
        let short = hash.get(..12).unwrap_or(&hash);
        versions.entry(name).or_default().push(format!("{version} ({short})"));
    }
    for (name, versions) in versions {
        let fields = BTreeMap::from([("version", versions.join(", "))]);
        rows.insert((Subject::Workflow, name.to_string()), Row { layer: None, fields });
    }
    for entry in &declared.schedules {
        let row = Row { layer: None, fields: schedule_fields(entry) };
        rows.insert((Subject::Schedule, entry.name.to_string()), row);
    }
    rows
}

fn group_fields(group: &GroupSpec) -> BTreeMap<&'static str, String> {
    let mut skills: Vec<&str> = group.skills.iter().map(Text::as_str).collect();
    skills.sort_unstable();
    let mut fields =
        BTreeMap::from([("layer", group.layer.to_string()), ("count", group.count.to_string())]);
    let optional = [
        ("skills", (!skills.is_empty()).then(|| skills.join(", "))),
        ("supervisor", group.supervisor.as_ref().map(Text::to_string)),
        ("concurrency", group.concurrency.map(|it| it.to_string())),
        ("behaviour", group.behaviour.map(|it| it.to_string().chars().take(12).collect())),
    ];
    fields.extend(optional.into_iter().filter_map(|(name, text)| Some((name, text?))));
    fields
}

fn schedule_fields(entry: &ScheduleEntry) -> BTreeMap<&'static str, String> {
    let catch_up = match entry.catch_up {
        CatchUpRule::Skip => "skip".to_owned(),
        CatchUpRule::One => "one".to_owned(),
        CatchUpRule::All(max) => format!("all: {max}"),
    };
    let mut fields = BTreeMap::from([
        ("cron", entry.cron.to_string()),
        ("zone", entry.zone.to_string()),
        ("catch_up", catch_up),
        ("overlap", entry.overlap.as_str().to_owned()),
        ("workflow", entry.workflow.to_string()),
        ("priority", entry.priority.as_str().to_owned()),
        ("input", entry.input.to_string()),
        ("paused", entry.is_paused.to_string()),
    ]);
    fields.extend(entry.deadline_ms.map(|ms| ("deadline", format!("{ms}ms"))));
    fields.extend(entry.jitter_ms.map(|ms| ("jitter", format!("{ms}ms"))));
    fields.extend(entry.budget.map(|budget| ("budget", format!("{budget:?}"))));
    fields
}
