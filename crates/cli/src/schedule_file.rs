//! A file with schedules: everything that can be found wrong with it without the instance is told before any
//! of them is sent, each with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ark_os_api::ScheduleView;
use ark_os_core::manifest::{self, Findings, WORKFLOWS_PER_MANIFEST_MAX};
use ark_os_core::time::Time;
use ark_os_runtime::calendar::Calendar;
use ark_os_runtime::data::Schemas;
use ark_os_runtime::skills::SkillSet;
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::{Failure, Finding};
use crate::manifest_file::ManifestFile;
use crate::output::{counted, field, field_text};
use crate::submission::{AnySkill, Closure, is_workflow_name, raw};

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
        let mut found = self.written_workflows(&skills);
        found.extend(self.shapes(&skills, deployed));
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

    /// What the reader of manifests says to the file's own workflows.
    fn written_workflows(&self, skills: &AnySkill) -> Vec<Finding> {
        let written = self.file.value().get("workflows");
        let written = written.filter(|it| it.as_array().is_none_or(|list| !list.is_empty()));
        let Some(written) = written else { return Vec::new() };
        match manifest::parse(&json!({ "workflows": written }), skills) {
            Ok(_) => Vec::new(),
            Err(findings) => self.placed(&findings, str::to_owned),
        }
    }

    /// What it says to the schedules. One workflow stands there for all that are, of which a manifest has not
    /// room for all; the names of the others, as many as it takes, are for its suggestions.
    fn shapes(&self, skills: &AnySkill, deployed: &[String]) -> Vec<Finding> {
        let own = self.workflows().iter().filter_map(|it| it.get("name")?.as_str());
        let there: BTreeSet<&str> = own.chain(deployed.iter().map(String::as_str)).collect();
        let named = self.schedules.iter().filter_map(|it| it.get("workflow")?.as_str());
        let named: BTreeSet<&str> = named.collect();
        let mut free = (0..).map(|number| format!("stands-in-{number}"));
        let free = free.find(|it| !named.contains(&**it) && !there.contains(&**it));
        let stand_in_name = free.unwrap_or_default();
        let others = there.iter().copied().filter(|name| is_workflow_name(name));
        let workflows = std::iter::once(stand_in_name.as_str()).chain(others);
        let workflows: Vec<Value> =
            workflows.take(WORKFLOWS_PER_MANIFEST_MAX).map(stand_in).collect();
        let schedules = self.schedules.iter();
        let schedules: Vec<Value> =
            schedules.map(|it| bare(it, |name| there.contains(name), &stand_in_name)).collect();
        let document = json!({ "workflows": workflows, "schedules": schedules });
        let Err(findings) = manifest::parse(&document, skills) else { return Vec::new() };
        let place = |pointer: &str| match self.is_one {
            true => pointer.strip_prefix("/schedules/0").unwrap_or(pointer).to_owned(),
            false => pointer.to_owned(),
        };
        let placed = self.placed(&findings, place).into_iter().zip(findings.as_slice());
        // What is wrong with the names of the file's own workflows is told with them.
        let placed = placed.filter(|(_, it)| it.pointer.starts_with("/schedules"));
        let found = placed.map(|(mut finding, it)| {
            if it.code == "unknown_workflow" {
                let name = document.pointer(&it.pointer).and_then(Value::as_str);
                finding.message = format!(
                    "there is no workflow `{}` in this file, and none of that name is deployed",
                    name.unwrap_or_default()
                );
                finding.hint.get_or_insert_with(|| {
                    "`ark-os list workflows` shows those that are deployed".to_owned()
                });
            }
            finding
        });
        found.collect()
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

    /// Inputs that the file's own workflows do not take, as far as those can be read.
    fn inputs(&self, skills: &AnySkill) -> Vec<Finding> {
        let schemas = Schemas::new();
        let (mut found, mut wanted) = (Vec::new(), BTreeMap::new());
        for (index, schedule) in self.schedules.iter().enumerate() {
            let workflow = schedule.get("workflow").and_then(Value::as_str);
            let Some(own) = workflow.and_then(|name| self.own(name)) else { continue };
            let text = wanted.entry(own).or_insert_with(|| self.input_schema(own, skills));
            let Some(text) = text else { continue };
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

    /// What one of its workflows takes, whatever is wrong with those that it does not run.
    fn input_schema(&self, own: usize, skills: &AnySkill) -> Option<String> {
        let sent = Closure::of(&self.file, own).manifest(&self.file);
        // The first is the workflow itself.
        let parsed = manifest::parse(&sent, skills).ok()?;
        Some(parsed.workflows.first()?.input_schema.as_deref()?.to_owned())
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

/// A schedule as a manifest has it: in a file of its own it may say a little more. A workflow that is there, and
/// one that stands in the schedule itself, has the name of the stand-in.
fn bare(schedule: &Value, is_there: impl Fn(&str) -> bool, stand_in: &str) -> Value {
    let mut schedule = schedule.clone();
    if let Some(fields) = schedule.as_object_mut() {
        if fields.get("namespace").is_some_and(Value::is_string) {
            fields.remove("namespace");
        }
        let workflow = fields.get("workflow");
        if workflow.is_some_and(|it| it.is_object() || it.as_str().is_some_and(is_there)) {
            fields.insert("workflow".to_owned(), json!(stand_in));
        }
    }
    schedule
}

fn refused(file: &ManifestFile, findings: Vec<Finding>) -> Failure {
    let errors = counted(findings.len(), "error");
    let message = format!("the schedules of `{}` have {errors}", file.name());
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
    fn as_many_workflows_may_be_deployed_or_in_the_file_as_there_are() {
        let one = "name: one\ncron: 6 * * * *\nworkflow: w100\n";
        let names: Vec<String> = (0..150).map(|number| format!("w{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(told(one, &names), Vec::<String>::new());
        let lines = told(&one.replace("w100", "w1000"), &names);
        assert!(
            lines.len() == 1 && lines[0].contains("no workflow `w1000` in this file"),
            "{lines:?}"
        );
        let mut text =
            "schedules: [{ name: one, cron: 6 * * * *, workflow: w7 }]\nworkflows:\n".to_owned();
        for number in 0..100 {
            text += &format!("  - {{ name: w{number}, tasks: [{{ name: t, skill: echo }}] }}\n");
        }
        assert_eq!(told(&text, &names), Vec::<String>::new());
    }

    #[test]
    fn a_file_may_call_its_workflows_as_it_likes() {
        for name in ["_", "stands-in-0"] {
            let text = format!(
                "schedules: [{{ name: one, cron: 6 * * * *, workflow: \"{name}\" }}]\n\
                 workflows: [{{ name: \"{name}\", tasks: [{{ name: t, skill: echo }}] }}]\n"
            );
            assert_eq!(told(&text, &["there"]), Vec::<String>::new());
            let without = text.split("workflows:").next().unwrap();
            let lines = told(without, &["there"]);
            assert!(lines.len() == 1 && lines[0].contains("/schedules/0/workflow"), "{lines:?}");
        }
    }

    #[test]
    fn an_input_is_checked_whatever_is_wrong_with_the_workflows_beside() {
        let text =
            MANY.replace(", oops: 1", "").replace("skill: far.off }", "skill: far.off, oops: 1 }");
        let lines = told(&text, &["there"]);
        for pointer in ["(/schedules/1/input/n)", "(/workflows/1/tasks/0/oops)"] {
            assert!(lines.iter().any(|it| it.ends_with(pointer)), "{lines:#?}");
        }
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
