//! `audit.diff`: reads the JSON reports of two audits and tells what changed between them.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::comparison::{self, Comparison};
use super::report::{FORMAT, Report};
use super::{changes, html, markdown};
use crate::skills::wire;
use crate::skills::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// The longest report that is read: an audit does not write longer ones.
const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A summary and three references.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Compares two audits.
#[derive(Debug)]
pub(in crate::skills) struct DiffSkill;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    before: String,
    after: String,
}

#[derive(Serialize)]
struct Output {
    summary: Summary,
    diff_blob: String,
    markdown_blob: String,
    html_blob: String,
}

/// How many of each.
#[derive(Serialize)]
struct Summary {
    files_added: u64,
    files_removed: u64,
    files_changed: u64,
    files_moved: u64,
    code: i64,
    bytes: i64,
    dependencies_added: u64,
    dependencies_removed: u64,
    dependencies_updated: u64,
    licences_changed: u64,
    secrets_new: u64,
    secrets_gone: u64,
    todos_new: u64,
    todos_gone: u64,
    /// Lists that are cut in one of the reports, so that their comparison is not complete.
    incomplete: Vec<&'static str>,
}

impl Skill for DiffSkill {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("audit.diff"),
            summary: Cow::Borrowed("compares the JSON reports of two audits"),
            class: EffectClass::Read,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["before","after"],
                "additionalProperties":false,"properties":{
                "before":{"type":"string","minLength":1,"maxLength":4096},
                "after":{"type":"string","minLength":1,"maxLength":4096}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["summary","diff_blob","markdown_blob",
                "html_blob"],"properties":{"summary":{"type":"object"},
                "diff_blob":{"type":"string"},"markdown_blob":{"type":"string"},
                "html_blob":{"type":"string"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let Input { before, after } = wire::read(input)?;
        let mut reports = Vec::with_capacity(2);
        for (done, path) in (0..).zip([&before, &after]) {
            if host.is_cancelled() {
                return Err(SkillError::cancelled());
            }
            host.progress(done, 3);
            reports.push(report(path)?);
        }
        let [before, after] = reports.as_slice() else {
            return Err(SkillError::invalid_input("compare the reports: there are not two"));
        };
        host.progress(2, 3);
        let found = comparison::compare(before, after);
        let page = changes::of_comparison(&found);
        let mut text = serde_json::to_vec_pretty(&found)
            .map_err(|error| SkillError::permanent("audit.unwritable", error.to_string()))?;
        text.push(b'\n');
        wire::answer(&Output {
            summary: summary(&found),
            diff_blob: host.save(&text)?,
            markdown_blob: host.save(markdown::render(&page).as_bytes())?,
            html_blob: host.save(html::render(&page).as_bytes())?,
        })
    }
}

/// Reads a report; what it says is not quoted, it may be any file.
fn report(path: &str) -> Result<Report, SkillError> {
    let failed = |problem: String| {
        SkillError::permanent("audit.no_report", format!("read report `{path}`: {problem}"))
            .with_hint("give the path of an `audit.json` that an audit of this version wrote")
    };
    let io = |error: std::io::Error| failed(error.kind().to_string());
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(failed("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > REPORT_BYTES_MAX {
        return Err(failed(format!("it is over {} MiB", REPORT_BYTES_MAX >> 20)));
    }
    let version: Version = serde_json::from_slice(&bytes)
        .map_err(|error| failed(format!("it is no report in JSON (line {})", error.line())))?;
    if version.format != FORMAT {
        return Err(failed(format!("its format is {}, and not {FORMAT}", version.format)));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| failed(format!("it is no report of an audit (line {})", error.line())))
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn summary(found: &Comparison) -> Summary {
    let change = |name: &str| found.totals.get(name).map_or(0, |delta| delta.change);
    Summary {
        files_added: found.files.added.total,
        files_removed: found.files.removed.total,
        files_changed: found.files.changed.total,
        files_moved: found.files.moved.total,
        code: change("code"),
        bytes: change("bytes"),
        dependencies_added: found.dependencies.added.total,
        dependencies_removed: found.dependencies.removed.total,
        dependencies_updated: found.dependencies.updated.total,
        licences_changed: found.dependencies.licence_changed.total,
        secrets_new: found.secrets.new.total,
        secrets_gone: found.secrets.gone.total,
        todos_new: found.todos.new.total,
        todos_gone: found.todos.gone.total,
        incomplete: found.incomplete.clone(),
    }
}
