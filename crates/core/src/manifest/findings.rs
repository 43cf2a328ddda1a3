//! Findings: what is wrong with a manifest, where, and what to do; all of it in one answer.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::child_run::Known;
use super::limits::{DOCUMENT_DEPTH_MAX, FINDINGS_MAX, NAME_CHARS_MAX, SUGGESTIONS_MAX};
use super::{SkillCatalogue, SkillShape};
use crate::error::Kind;
use crate::hash::Hash;
use crate::text::Text;

/// The stable codes of findings.
pub(super) mod code {
    pub(in crate::manifest) const CAPACITY_EXCEEDED: &str = "capacity_exceeded";
    pub(in crate::manifest) const CONFLICTING_FIELDS: &str = "conflicting_fields";
    pub(in crate::manifest) const CYCLE: &str = "cycle";
    pub(in crate::manifest) const DEPENDS_ON_FALLBACK: &str = "depends_on_fallback";
    pub(in crate::manifest) const DUPLICATE_NAME: &str = "duplicate_name";
    pub(in crate::manifest) const EFFECT_ABOVE_CONTRACT: &str = "effect_above_contract";
    pub(in crate::manifest) const INVALID_CONDITION: &str = "invalid_condition";
    pub(in crate::manifest) const INVALID_FALLBACK: &str = "invalid_fallback";
    pub(in crate::manifest) const INVALID_NAME: &str = "invalid_name";
    pub(in crate::manifest) const INVALID_SCHEMA: &str = "invalid_schema";
    pub(in crate::manifest) const INVALID_TEMPLATE: &str = "invalid_template";
    pub(in crate::manifest) const INVALID_VALUE: &str = "invalid_value";
    pub(in crate::manifest) const LAYER_DOES_NOT_WORK: &str = "layer_does_not_work";
    pub(in crate::manifest) const LAYER_NOT_ABOVE: &str = "layer_not_above";
    pub(in crate::manifest) const MISSING_FIELD: &str = "missing_field";
    pub(in crate::manifest) const MISSING_INPUT: &str = "missing_input";
    pub(in crate::manifest) const NO_ITEM: &str = "no_item";
    pub(in crate::manifest) const NOT_A_MAP: &str = "not_a_map";
    pub(in crate::manifest) const NOT_COLLECTED: &str = "not_collected";
    pub(in crate::manifest) const NOT_IN_ENUM: &str = "not_in_enum";
    pub(in crate::manifest) const OUT_OF_RANGE: &str = "out_of_range";
    pub(in crate::manifest) const SELF_DEPENDENCY: &str = "self_dependency";
    pub(in crate::manifest) const TOO_DEEP: &str = "too_deep";
    pub(in crate::manifest) const TOO_LONG: &str = "too_long";
    pub(in crate::manifest) const TYPE_MISMATCH: &str = "type_mismatch";
    pub(in crate::manifest) const UNKNOWN_AGENT: &str = "unknown_agent";
    pub(in crate::manifest) const UNKNOWN_FIELD: &str = "unknown_field";
    pub(in crate::manifest) const UNKNOWN_PROPERTY: &str = "unknown_property";
    pub(in crate::manifest) const UNKNOWN_SKILL: &str = "unknown_skill";
    pub(in crate::manifest) const UNKNOWN_TASK: &str = "unknown_task";
    pub(in crate::manifest) const UNKNOWN_WORKFLOW: &str = "unknown_workflow";
    pub(in crate::manifest) const UNSUPPORTED_SECTION: &str = "unsupported_section";
    pub(in crate::manifest) const WRONG_TYPE: &str = "wrong_type";
}

/// Every code that a finding can carry, for the page that documents them.
pub const CODES: [&str; 33] = [
    code::CAPACITY_EXCEEDED,
    code::CONFLICTING_FIELDS,
    code::CYCLE,
    code::DEPENDS_ON_FALLBACK,
    code::DUPLICATE_NAME,
    code::EFFECT_ABOVE_CONTRACT,
    code::INVALID_CONDITION,
    code::INVALID_FALLBACK,
    code::INVALID_NAME,
    code::INVALID_SCHEMA,
    code::INVALID_TEMPLATE,
    code::INVALID_VALUE,
    code::LAYER_DOES_NOT_WORK,
    code::LAYER_NOT_ABOVE,
    code::MISSING_FIELD,
    code::MISSING_INPUT,
    code::NO_ITEM,
    code::NOT_A_MAP,
    code::NOT_COLLECTED,
    code::NOT_IN_ENUM,
    code::OUT_OF_RANGE,
    code::SELF_DEPENDENCY,
    code::TOO_DEEP,
    code::TOO_LONG,
    code::TYPE_MISMATCH,
    code::UNKNOWN_AGENT,
    code::UNKNOWN_FIELD,
    code::UNKNOWN_PROPERTY,
    code::UNKNOWN_SKILL,
    code::UNKNOWN_TASK,
    code::UNKNOWN_WORKFLOW,
    code::UNSUPPORTED_SECTION,
    code::WRONG_TYPE,
];

/// What a finding is about: a manifest is looked at in these stages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Whether everything is of the form that belongs there.
    Schema,
    /// Whether what is named exists and fits together.
    References,
    /// Whether there is room for it.
    Capacity,
    /// Whether nobody has more authority than who stands above.
    Authority,
}

impl Stage {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Stage; 4] =
        [Stage::Schema, Stage::References, Stage::Capacity, Stage::Authority];

    /// The stage that finds what has this code.
    pub fn of_code(code: &str) -> Stage {
        match code {
            code::CAPACITY_EXCEEDED => Stage::Capacity,
            code::EFFECT_ABOVE_CONTRACT | code::LAYER_DOES_NOT_WORK | code::LAYER_NOT_ABOVE => {
                Stage::Authority
            }
            code::CYCLE
            | code::DEPENDS_ON_FALLBACK
            | code::DUPLICATE_NAME
            | code::INVALID_FALLBACK
            | code::MISSING_INPUT
            | code::NO_ITEM
            | code::NOT_A_MAP
            | code::NOT_COLLECTED
            | code::NOT_IN_ENUM
            | code::SELF_DEPENDENCY
            | code::TYPE_MISMATCH
            | code::UNKNOWN_AGENT
            | code::UNKNOWN_PROPERTY
            | code::UNKNOWN_SKILL
            | code::UNKNOWN_TASK
            | code::UNKNOWN_WORKFLOW => Stage::References,
            _ => Stage::Schema,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Schema => "schema",
            Stage::References => "references",
            Stage::Capacity => "capacity",
            Stage::Authority => "authority",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// JSON Pointer (RFC 6901) to a value that is there: the wrong one, or the one that lacks
    /// something.
    pub pointer: String,
    /// Stable code in `snake_case`, one of [`CODES`].
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Everything that is wrong with one manifest, in the order of the document: the first
/// [`FINDINGS_MAX`], and how many more there are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
pub struct Findings {
    findings: Vec<Finding>,
    more: usize,
}

impl Finding {
    /// The stage that found it.
    pub fn stage(&self) -> Stage {
        Stage::of_code(self.code)
    }
}

impl Findings {
    /// The findings, never empty.
    pub fn as_slice(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings there are besides these.
    pub fn more(&self) -> usize {
        self.more
    }

    /// What the caller would do differently: always mend the manifest.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.findings.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{}: {}", finding.pointer, finding.message)?;
            if let Some(hint) = &finding.hint {
                write!(f, " ({hint})")?;
            }
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// A JSON Pointer under construction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pointer(String);

impl Pointer {
    pub(super) fn root() -> Self {
        Pointer(String::new())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        Pointer(format!("{}/{}", self.0, key.replace('~', "~0").replace('/', "~1")))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        Pointer(format!("{}/{index}", self.0))
    }

    /// Goes on with a pointer that starts here.
    pub(super) fn join(&self, below: &str) -> Self {
        Pointer(format!("{}{below}", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first place that is nested too deep to be read by recursion. Does not recurse itself.
pub(super) fn too_deep(value: &Value) -> Option<Pointer> {
    let mut open = vec![(value, Pointer::root(), 0)];
    while let Some((value, at, depth)) = open.pop() {
        if depth > DOCUMENT_DEPTH_MAX {
            return Some(at);
        }
        // Leaves need no pointer of their own: only what can hold more is pushed.
        let holds = |value: &Value| value.is_array() || value.is_object();
        match value {
            Value::Array(list) => {
                let items = list.iter().enumerate().filter(|(_, item)| holds(item));
                open.extend(items.map(|(i, item)| (item, at.index(i), depth + 1)));
            }
            Value::Object(map) => {
                let items = map.iter().filter(|(_, item)| holds(item));
                open.extend(items.map(|(key, item)| (item, at.key(key), depth + 1)));
            }
            _ => {}
        }
    }
    None
}

/// The findings while they are being collected, and what checking needs everywhere.
pub(super) struct Report<'a> {
    skills: &'a dyn SkillCatalogue,
    /// Each skill is asked for once: the answer holds schemas.
    shapes: BTreeMap<String, Option<SkillShape>>,
    findings: Vec<Finding>,
    more: usize,
    suggestions_left: usize,
    /// Workflows of this manifest that others may run.
    workflows: BTreeMap<Text, Vec<Known>>,
    /// Names of all its workflows.
    names: BTreeSet<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(skills: &'a dyn SkillCatalogue) -> Self {
        Report {
            skills,
            shapes: BTreeMap::new(),
            findings: Vec::new(),
            more: 0,
            suggestions_left: SUGGESTIONS_MAX,
            workflows: BTreeMap::new(),
            names: BTreeSet::new(),
        }
    }

    /// Workflows of this manifest, by name, whatever their version.
    pub(super) fn workflows(&self, name: &str) -> &[Known] {
        self.workflows.get(&Text::from(name)).map_or(&[], Vec::as_slice)
    }

    /// The workflow of this digest.
    pub(super) fn workflow(&self, hash: &Hash) -> Option<&Known> {
        self.workflows.values().flatten().find(|known| known.workflow().hash == *hash)
    }

    /// Names of workflows that may be run.
    pub(super) fn workflow_names(&self) -> Vec<Text> {
        self.workflows.keys().cloned().collect()
    }

    /// Whether a workflow of this manifest has this name.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The manifest has workflows of these names.
    pub(super) fn name_workflows(&mut self, names: impl Iterator<Item = String>) {
        self.names.extend(names);
    }

    /// Others may run a workflow from here on.
    pub(super) fn know(&mut self, known: Known) {
        let name = known.workflow().name.clone();
        self.workflows.entry(name).or_default().push(known);
    }

    pub(super) fn skills(&self) -> &'a dyn SkillCatalogue {
        self.skills
    }

    /// The skill with this name, asked for once.
    pub(super) fn shape(&mut self, name: &str) -> Option<SkillShape> {
        if let Some(shape) = self.shapes.get(name) {
            return shape.clone();
        }
        let shape = self.skills.skill(name);
        self.shapes.insert(name.to_owned(), shape.clone());
        shape
    }

    /// Makes a skill of this manifest known; whether its name was free.
    pub(super) fn offer(&mut self, name: &str, shape: SkillShape) -> bool {
        let is_taken = self.shapes.get(name).is_some_and(Option::is_some)
            || self.skills.builtin(name).is_some();
        if is_taken {
            return false;
        }
        self.shapes.insert(name.to_owned(), Some(shape));
        true
    }

    /// The skill of this name among those that are there without this manifest.
    pub(super) fn builtin(&self, name: &str) -> Option<SkillShape> {
        self.skills.builtin(name)
    }

    /// What is known of a skill of this manifest is something else now.
    pub(super) fn widen(&mut self, name: &str, shape: SkillShape) {
        self.shapes.insert(name.to_owned(), Some(shape));
    }

    /// The skills that this manifest itself offers, or that were asked for.
    pub(super) fn known_skills(&self) -> Vec<String> {
        let known = self.shapes.iter().filter(|(_, shape)| shape.is_some());
        known.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn add(&mut self, at: &Pointer, code: &'static str, message: impl Into<String>) {
        self.push(Finding {
            pointer: at.as_str().to_owned(),
            code,
            message: message.into(),
            hint: None,
        });
    }

    pub(super) fn add_hint(
        &mut self,
        at: &Pointer,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Finding {
            pointer: at.as_str().to_owned(),
            code,
            message: message.into(),
            hint: Some(hint.into()),
        });
    }

    /// A value of the wrong type; `rule` says what belongs there.
    pub(super) fn wrong_type(&mut self, at: &Pointer, rule: &str, found: &Value) {
        self.add(at, code::WRONG_TYPE, format!("{rule}, not {}", type_of(found)));
    }

    /// A name that nobody knows; the nearest known one is the hint.
    pub(super) fn unknown(
        &mut self,
        at: &Pointer,
        code: &'static str,
        message: String,
        name: &str,
        known: impl IntoIterator<Item = impl AsRef<str>>,
    ) {
        let hint = match self.suggestions_left {
            0 => None,
            _ => nearest(name, known).map(|near| format!("did you mean `{near}`?")),
        };
        self.suggestions_left = self.suggestions_left.saturating_sub(1);
        self.push(Finding { pointer: at.as_str().to_owned(), code, message, hint });
    }

    /// What was made while collecting, unless something is wrong.
    pub(super) fn into_result<T>(mut self, made: T) -> Result<T, Findings> {
        if self.findings.is_empty() {
            return Ok(made);
        }
        self.cut();
        Err(Findings { findings: self.findings, more: self.more })
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
        // Cutting at twice the limit keeps the first ones in document order at little cost.
        if self.findings.len() >= 2 * FINDINGS_MAX {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.findings.sort_by(|a, b| in_document_order(&a.pointer, &b.pointer));
        self.more += self.findings.len().saturating_sub(FINDINGS_MAX);
        self.findings.truncate(FINDINGS_MAX);
    }
}

fn in_document_order(a: &str, b: &str) -> Ordering {
    let mut left = a.split('/');
    let mut right = b.split('/');
    loop {
        let (a, b) = match (left.next(), right.next()) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        };
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The JSON type of a value, with its article.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// At most the first characters of foreign text, for a message.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn nearest(name: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    if name.len() > NAME_CHARS_MAX {
        return None;
    }
    // A third of the letters wrong is still a slip; more is another word.
    let far = name.chars().count() / 3 + 1;
    let near = known.into_iter().filter_map(|other| {
        let other = other.as_ref();
        let is_close = other.len() <= NAME_CHARS_MAX && other.len().abs_diff(name.len()) <= far;
        let edits = is_close.then(|| edits(name, other)).filter(|edits| *edits <= far)?;
        Some((edits, other.to_owned()))
    });
    near.min().map(|(_, other)| other)
}

/// The number of letters to add, drop or change to make one word of the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut before = i;
        let mut last = i + 1;
        for (right, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let here = if left.eq_ignore_ascii_case(right) {
                before
            } else {
                1 + before.min(last).min(*above)
            };
            before = *above;
            *above = here;
            last = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_letters() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "abc", 3),
            ("after", "afer", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edits(a, b), want, "{a} {b}");
            assert_eq!(edits(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_name_is_a_slip_away() {
        let known = ["timeout", "deadline", "retry"];
        assert_eq!(nearest("timout", known).as_deref(), Some("timeout"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn document_order_counts_list_places_as_numbers() {
        assert_eq!(in_document_order("/a/2", "/a/10"), Ordering::Less);
        assert_eq!(in_document_order("/a", "/a/0"), Ordering::Less);
        assert_eq!(in_document_order("/b", "/a/0"), Ordering::Greater);
    }
}
