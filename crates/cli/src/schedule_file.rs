//! A file with schedules: everything that can be found wrong with it without the instance is told before any
//! of them is sent, each with its place.

use std::collections::BTreeSet;
use std::path::Path;

use ark_os_api::ScheduleView;
use ark_os_core::manifest::{self, Findings};
use ark_os_core::time::Time;
use ark_os_runtime::calendar::Calendar;
use ark_os_runtime::data::Schemas;
use ark_os_runtime::skills::SkillSet;
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::{Failure, Finding};
use crate::manifest_file::ManifestFile;
use crate::output::{field, field_text};
use crate::submission::{AnySkill, Closure, raw};

/// Stands for a workflow that the file does not have, where the reader of manifests wants one.
const STAND_IN: &str = "_";
/// What only a manifest has: such a file is not one schedule.
const SECTIONS: [&str; 5] = ["workflows", "agents", "groups", "skills", "fleet"];

/// A file that is one schedule, or a manifest with some.
pub(crate) struct ScheduleFile {
    file: ManifestFile,
    schedules: Vec<Value>,
    is_one: bool,
}

/// A schedule as it is sent.
pub(crate) struct Ready {
    index: usize,
    body: Value,
    /// The file's own workflow that it runs, if it is one.
    own: Option<Closure>,
}

impl ScheduleFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or has no schedules.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        ScheduleFile::of(ManifestFile::read(path)?)
    }

    fn of(file: ManifestFile) -> Result<Self, Failure> {
        let listed = file.value().get("schedules").cloned();
        let is_manifest = SECTIONS.iter().any(|section| file.value().get(section).is_some());
        let none = |pointer: &str, message: &str| {
            let hint = "list them under `schedules`, each with `name`, `cron` and `workflow`, or give a file \
                        that is one schedule";
            let finding = Finding {
                place: Some(file.place(pointer)),
                pointer: Some(pointer.to_owned()),
                message: message.to_owned(),
                hint: Some(hint.to_owned()),
            };
            refused(&file, vec![finding])
        };
        let is_one = listed.is_none();
        let schedules = match listed {
            None if is_manifest => return Err(none("", "the manifest has no `schedules`")),
            None => vec![file.value().clone()],
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(_) => return Err(none("/schedules", "it is no list of at least one schedule")),
        };
        Ok(ScheduleFile { file, schedules, is_one })
    }

    /// Whether the whole file is one schedule.
    pub(crate) fn is_one(&self) -> bool {
        self.is_one
    }

    /// Whether a schedule names a workflow that is not of the file.
    pub(crate) fn names_others(&self) -> bool {
        let mut named = self.schedules.iter().filter_map(|it| it.get("workflow")?.as_str());
        named.any(|name| self.own(name).is_none())
    }

    fn workflows(&self) -> &[Value] {
        field(self.file.value(), "workflows").as_array().map_or(&[][..], Vec::as_slice)
    }

    fn own(&self, name: &str) -> Option<usize> {
        self.workflows().iter().position(|it| field_text(it, "name") == name)
    }

    fn at(&self, index: usize) -> String {
        if self.is_one { String::new() } else { format!("/schedules/{index}") }
    }

    /// Looks for everything that is wrong; these workflows are deployed besides.
    ///
    /// # Errors
    /// Something is, with every place.
    pub(crate) fn check(&self, skills: &SkillSet, deployed: &[String]) -> Result<(), Failure> {
        let skills = AnySkill::of(skills);
        let mut found = self.shapes(&skills, deployed);
        // What is no pattern at all was told already.
        let told: BTreeSet<String> = found.iter().filter_map(|it| it.pointer.clone()).collect();
        found.extend(
            self.calendars()
                .into_iter()
                .filter(|it| it.pointer.as_ref().is_none_or(|pointer| !told.contains(pointer))),
        );
        for (index, schedule) in self.schedules.iter().enumerate() {
            found.extend(self.inline(index, schedule, &skills));
        }
        found.extend(self.inputs(&skills));
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_cached_key(|it| {
            it.pointer.as_deref().map(|pointer| self.file.line_column(pointer))
        });
        Err(refused(&self.file, found))
    }

    /// What the reader of manifests says to the schedules and the workflows beside them.
    fn shapes(&self, skills: &AnySkill, deployed: &[String]) -> Vec<Finding> {
        let mut workflows = self.workflows().to_vec();
        let others = deployed.iter().filter(|name| self.own(name).is_none());
        workflows.extend(others.map(String::as_str).chain([STAND_IN]).map(stand_in));
        let schedules: Vec<Value> = self.schedules.iter().map(bare).collect();
        let workflows = match self.file.value().get("workflows") {
            Some(written) if !written.is_array() => written.clone(),
            _ => Value::Array(workflows),
        };
        let document = json!({ "workflows": workflows, "schedules": schedules });
        let Err(findings) = manifest::parse(&document, skills) else { return Vec::new() };
        let place = |pointer: &str| match self.is_one {
            true => pointer.strip_prefix("/schedules/0").unwrap_or(pointer).to_owned(),
            false => pointer.to_owned(),
        };
        let mut found = self.placed(&findings, place);
        // One of the file that cannot be read is told where it stands.
        let is_own = |finding: &Finding| {
            let named = finding.pointer.as_deref().and_then(|it| self.file.value().pointer(it));
            named.and_then(Value::as_str).is_some_and(|name| self.own(name).is_some())
        };
        let mut unknown = findings.as_slice().iter().map(|it| it.code == "unknown_workflow");
        found.retain_mut(|finding| {
            if !unknown.next().unwrap_or(false) {
                return true;
            }
            finding.message = finding
                .message
                .replace(" in this manifest", " in this file, and none of that name is deployed");
            finding.hint = finding.hint.take().or_else(|| {
                Some("`ark-os list workflows` shows those that are deployed".to_owned())
            });
            !is_own(finding)
        });
        found
    }

    /// Patterns and zones that no calendar knows.
    fn calendars(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for (index, schedule) in self.schedules.iter().enumerate() {
            let text = |name| schedule.get(name).and_then(Value::as_str);
            let Some(cron) = text("cron") else { continue };
            match Calendar::parse(cron, text("zone").unwrap_or("UTC")) {
                // A pattern has no year: one that is due is due after any moment.
                Ok(calendar) if calendar.next(Time(0)).is_none() => found.push(self.finding(
                    format!("{}/cron", self.at(index)),
                    "it is never due: no day has all that the pattern asks for",
                )),
                Ok(_) => {}
                Err(error) => found.extend(error.places().iter().map(|place| Finding {
                    hint: place.hint.clone(),
                    ..self.finding(format!("{}{}", self.at(index), place.pointer), &place.message)
                })),
            }
        }
        found
    }

    /// A workflow that stands in the schedule itself.
    fn inline(&self, index: usize, schedule: &Value, skills: &AnySkill) -> Vec<Finding> {
        let Some(workflow) = schedule.get("workflow").filter(|it| it.is_object()) else {
            return Vec::new();
        };
        let is_manifest = workflow.get("workflows").is_some();
        let document =
            if is_manifest { workflow.clone() } else { json!({ "workflows": [workflow] }) };
        let Err(findings) = manifest::parse(&document, skills) else { return Vec::new() };
        let at = format!("{}/workflow", self.at(index));
        self.placed(&findings, |pointer| {
            let inside = if is_manifest { None } else { pointer.strip_prefix("/workflows/0") };
            format!("{at}{}", inside.unwrap_or(pointer))
        })
    }

    /// Inputs that the file's own workflows do not take.
    fn inputs(&self, skills: &AnySkill) -> Vec<Finding> {
        let Ok(parsed) = manifest::parse(&json!({ "workflows": self.workflows() }), skills) else {
            return Vec::new();
        };
        let schemas = Schemas::new();
        let mut found = Vec::new();
        for (index, schedule) in self.schedules.iter().enumerate() {
            let workflow = schedule.get("workflow").and_then(Value::as_str);
            let workflow = parsed.workflows.iter().find(|it| Some(&*it.name) == workflow);
            let Some(text) = workflow.and_then(|it| it.input_schema.as_deref()) else { continue };
            let schema: Value = serde_json::from_str(text).unwrap_or_default();
            let input = schedule.get("input").cloned().unwrap_or_default();
            let input = manifest::with_defaults(&schema, input).to_string();
            let Err(violations) = schemas.validate(text, input.as_bytes()) else { continue };
            found.extend(violations.into_iter().map(|it| {
                self.finding(format!("{}/input{}", self.at(index), it.pointer), &it.message)
            }));
        }
        found
    }

    fn placed(&self, findings: &Findings, place: impl Fn(&str) -> String) -> Vec<Finding> {
        let placed = findings.as_slice().iter().map(|it| Finding {
            hint: it.hint.clone(),
            ..self.finding(place(&it.pointer), &it.message)
        });
        let more = Some(findings.more()).filter(|more| *more > 0);
        let more =
            more.map(|more| Finding { message: format!("and {more} more"), ..Finding::default() });
        placed.chain(more).collect()
    }

    fn finding(&self, pointer: String, message: &str) -> Finding {
        let place = Some(self.file.place(&pointer));
        Finding { place, pointer: Some(pointer), message: message.to_owned(), hint: None }
    }

    /// The schedules, with the file's own workflows in place of their names.
    pub(crate) fn schedules(&self, namespace: &str) -> impl Iterator<Item = Ready> {
        self.schedules.iter().enumerate().map(move |(index, schedule)| {
            let name = schedule.get("workflow").and_then(Value::as_str);
            let own = name.and_then(|name| self.own(name));
            let own = own.map(|place| Closure::of(&self.file, place));
            let mut body = schedule.clone();
            if let Value::Object(fields) = &mut body {
                // For people: the instance does not keep it.
                fields.remove("description");
                fields.entry("namespace").or_insert_with(|| json!(namespace));
                if let Some(own) = &own {
                    fields.insert("workflow".to_owned(), own.manifest(&self.file));
                }
            }
            Ready { index, body, own }
        })
    }

    /// Has a schedule.
    ///
    /// # Errors
    /// The instance refuses it, with the places in the file.
    pub(crate) fn put(&self, client: &Client, ready: &Ready) -> Result<ScheduleView, Failure> {
        client.post("/schedules", &raw(&ready.body)?, None).map_err(|failure| {
            failure.with_places(|pointer| {
                let own = ready.own.as_ref().and_then(|own| own.place(&self.file, pointer));
                own.or_else(|| Some(self.file.place(&format!("{}{pointer}", self.at(ready.index)))))
            })
        })
    }
}

/// A workflow of which nothing but the name matters.
fn stand_in(name: &str) -> Value {
    json!({ "name": name, "tasks": [{ "name": "t", "skill": "echo" }] })
}

/// A schedule as a manifest has it: in a file of its own it may say a little more.
fn bare(schedule: &Value) -> Value {
    let mut schedule = schedule.clone();
    if let Some(fields) = schedule.as_object_mut() {
        if fields.get("namespace").is_some_and(Value::is_string) {
            fields.remove("namespace");
        }
        if fields.get("workflow").is_some_and(Value::is_object) {
            fields.insert("workflow".to_owned(), json!(STAND_IN));
        }
    }
    schedule
}

fn refused(file: &ManifestFile, findings: Vec<Finding>) -> Failure {
    let count = findings.len();
    let errors = if count == 1 { "error" } else { "errors" };
    let message = format!("the schedules of `{}` have {count} {errors}", file.name());
    Failure::new("manifest_invalid", message).with_findings(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScheduleFile, Failure> {
        ScheduleFile::of(ManifestFile::parse("s.yaml", "yaml", text).unwrap())
    }

    /// The lines that somebody is told.
    fn told(text: &str, deployed: &[&str]) -> Vec<String> {
        let deployed: Vec<String> = deployed.iter().map(|name| (*name).to_owned()).collect();
        let checked = read(text).and_then(|file| file.check(&SkillSet::builtin(), &deployed));
        let findings = checked.err().map(|it| it.findings().to_vec()).unwrap_or_default();
        findings.iter().map(ToString::to_string).collect()
    }

    const MANY: &str = "schedules:
  - { name: one, cron: \"61 * * * *\", zone: Mars/Olympus, workflow: nowhere }
  - { name: two, cron: x, workflow: slow, input: { n: five } }
  - { name: bad name, cron: \"0 0 30 2 *\", workflow: there, foo: 1 }
  - { name: four, cron: \"* * * * *\", workflow: { name: w, tasks: [{ name: t, skill: echo, after: [u] }] } }
workflows:
  - name: slow
    input: { type: object, properties: { n: { type: integer } } }
    tasks: [{ name: t, skill: echo, oops: 1 }]
  - name: fine
    tasks: [{ name: t, skill: far.off }]
";

    #[test]
    fn all_faults_of_a_file_are_told_at_once_each_with_line_and_pointer() {
        let lines = told(MANY, &["there"]);
        let places: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| {
                let place = line.strip_prefix("s.yaml:").unwrap();
                let pointer = line.rsplit_once('(').unwrap().1.trim_end_matches(')');
                (place.split(':').next().unwrap(), pointer)
            })
            .collect();
        let expected = [
            ("2", "/schedules/0/cron"),
            ("2", "/schedules/0/zone"),
            ("2", "/schedules/0/workflow"),
            ("3", "/schedules/1/cron"),
            ("4", "/schedules/2/name"),
            ("4", "/schedules/2/cron"),
            ("4", "/schedules/2/foo"),
            ("5", "/schedules/3/workflow/tasks/0/after/0"),
            ("9", "/workflows/0/tasks/0/oops"),
        ];
        assert_eq!(places, expected, "{lines:#?}");
        assert!(lines[2].contains("none of that name is deployed"), "{lines:#?}");
        let mended = MANY.replace(", oops: 1", "");
        assert!(told(&mended, &["there"]).iter().any(|it| it.contains("/schedules/1/input/n")));
    }

    #[test]
    fn a_file_that_is_one_schedule_is_told_by_its_own_pointers() {
        let text = "name: one\ncron: 61 * * * *\nworkflow: nowhere\nnamespace: theirs\nzoom: 1\n";
        let lines = told(text, &[]);
        assert!(lines[0].starts_with("s.yaml:2:7: ") && lines[0].ends_with("(/cron)"), "{lines:?}");
        assert!(
            lines[1].starts_with("s.yaml:3:11: ") && lines[1].ends_with("(/workflow)"),
            "{lines:?}"
        );
        assert!(lines[2].starts_with("s.yaml:5:") && lines[2].ends_with("(/zoom)"), "{lines:?}");
        let right = text.replace("61", "6").replace("zoom: 1\n", "description: nightly\n");
        assert_eq!(told(&right, &["nowhere"]), Vec::<String>::new());
    }

    #[test]
    fn a_manifest_without_schedules_is_told_with_its_place_and_what_to_do() {
        for (text, place) in [
            ("workflows: []\n", "s.yaml:1:1: "),
            ("# nothing\nschedules: []\n", "s.yaml:2:"),
            ("schedules: daily\n", "s.yaml:1:12: "),
        ] {
            let failure = read(text).err().unwrap();
            let finding = &failure.findings()[0];
            assert!(finding.to_string().starts_with(place), "{finding}");
            assert!(finding.hint.as_deref().unwrap().contains("`cron`"), "{finding:?}");
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
