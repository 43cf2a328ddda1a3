//! `audit.report`: gathers what the chunks found into one report, as JSON, Markdown and HTML. Chunks
//! are loaded one at a time, and every list has an end, so memory does not follow the tree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::duplicates::{Index, Place};
use super::history::{History, Present};
use super::listed::{Keep, Listed, one_a_line};
use super::packages::{Dependencies, Packages};
use super::records::{
    ChunkDetail, ChunkSummary, Declared, HistorySummary, Inventory, LicenceFile, Lines, Link,
    Problem, Secret, SizeClass, Skipped, Todo, Totals,
};
use super::spdx::LicenceKind;
use super::{contents, html, markdown};
use crate::skills::wire;
use crate::skills::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// Raised when a reader of the JSON report would have to change.
pub(super) const FORMAT: u32 = 2;
/// A summary and three references.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// What the report lists of to-dos, secrets, licences and problems, each; all are counted.
const KEEP: Keep = Keep { items: 5000, bytes: 2 * 1024 * 1024 };
/// Files that are listed for comparisons: as many as the largest projects have.
const KEEP_FILES: Keep = Keep { items: 100_000, bytes: 24 * 1024 * 1024 };
/// Different SPDX expressions.
const TAGS_MAX: usize = 1000;
/// The largest files that are listed.
const LARGEST_MAX: usize = 50;
/// Groups of duplicates, and files of one group, that are listed.
const GROUPS_MAX: usize = 500;
const GROUP_PATHS_MAX: usize = 20;
/// Languages of the summary.
const SUMMARY_LANGUAGES_MAX: usize = 10;

/// Everything the audit found.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Report {
    pub(super) format: u32,
    pub(super) root: String,
    pub(super) totals: Totals,
    pub(super) directories: u64,
    pub(super) languages: BTreeMap<String, Lines>,
    pub(super) sizes: Vec<SizeClass>,
    pub(super) licences: Licences,
    pub(super) dependencies: Dependencies,
    pub(super) todos_by_mark: BTreeMap<String, u64>,
    pub(super) todos: Listed<Todo>,
    pub(super) secrets_by_kind: BTreeMap<String, u64>,
    pub(super) secrets: Listed<Secret>,
    pub(super) largest: Vec<Sized>,
    pub(super) duplicates: DuplicateFiles,
    pub(super) history: History,
    pub(super) links: Listed<Link>,
    pub(super) special: Listed<String>,
    pub(super) skipped: Listed<Skipped>,
    pub(super) problems: Listed<Problem>,
    /// In the order of the walk, for comparisons with another audit.
    #[serde(serialize_with = "one_a_line")]
    pub(super) files: Listed<FileRow>,
}

/// Path, size and digest of a file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct FileRow(pub(super) String, pub(super) u64, pub(super) String);

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Licences {
    pub(super) files: Listed<LicenceFile>,
    pub(super) tags: BTreeMap<String, u64>,
    pub(super) declared: Listed<Declared>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Sized {
    pub(super) path: String,
    pub(super) bytes: u64,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct DuplicateFiles {
    pub(super) groups: u64,
    pub(super) spare_files: u64,
    pub(super) spare_bytes: u64,
    /// The groups that waste most.
    pub(super) listed: Vec<SameFiles>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct SameFiles {
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) paths: Vec<String>,
}

/// What a person wants to know at once.
#[derive(Debug, Serialize)]
struct Summary {
    root: String,
    files: u64,
    bytes: u64,
    lines: u64,
    code: u64,
    languages: Vec<LanguageCode>,
    licences: Vec<String>,
    dependencies: BTreeMap<String, u64>,
    dependency_licences: BTreeMap<LicenceKind, u64>,
    commits: u64,
    todos: u64,
    secrets: u64,
    duplicate_files: u64,
    duplicate_bytes: u64,
    problems: u64,
}

#[derive(Debug, Serialize)]
struct LanguageCode {
    language: String,
    code: u64,
}

/// Gathers chunks into a report.
#[derive(Debug)]
pub(in crate::skills) struct ReportSkill;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    inventory: Inventory,
    history: Option<HistorySummary>,
}

#[derive(Serialize)]
struct Output {
    summary: Summary,
    report_blob: String,
    markdown_blob: String,
    html_blob: String,
}

impl Skill for ReportSkill {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("audit.report"),
            summary: Cow::Borrowed(
                "gathers the findings of all chunks into a report in JSON, Markdown and HTML",
            ),
            class: EffectClass::Pure,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["inventory"],
                "additionalProperties":false,"properties":{"inventory":{"type":"object"},
                "history":{"type":["object","null"]}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["summary","report_blob","markdown_blob",
                "html_blob"],"properties":{"summary":{"type":"object"},
                "report_blob":{"type":"string"},"markdown_blob":{"type":"string"},
                "html_blob":{"type":"string"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let Input { inventory, history } = wire::read(input)?;
        let mut gathering = Gathering::new(inventory, Present::load(host, history)?);
        let count = host.item_count();
        for index in 0..count {
            if host.is_cancelled() {
                return Err(SkillError::cancelled());
            }
            host.progress(index as u64, count as u64);
            let summary: ChunkSummary = wire::read(&host.item(index)?)?;
            let detail: ChunkDetail = wire::read(&host.load(&summary.detail)?)?;
            gathering.chunk(summary, detail);
        }
        let report = gathering.finish(host)?;
        let mut text = serde_json::to_vec_pretty(&report)
            .map_err(|error| SkillError::permanent("audit.unwritable", error.to_string()))?;
        text.push(b'\n');
        let page = contents::of_report(&report);
        let output = Output {
            summary: summary(&report),
            report_blob: host.save(&text)?,
            markdown_blob: host.save(markdown::render(&page).as_bytes())?,
            html_blob: host.save(html::render(&page).as_bytes())?,
        };
        wire::answer(&output)
    }
}

struct Gathering {
    report: Report,
    packages: Packages,
    history: Present,
    digests: Index,
    /// The detail blob of every chunk, to find the names of duplicates.
    details: Vec<String>,
}

impl Gathering {
    fn new(inventory: Inventory, history: Present) -> Self {
        let mut report = Report {
            format: FORMAT,
            root: inventory.root,
            directories: inventory.directories,
            sizes: inventory.sizes,
            links: inventory.links,
            special: inventory.special,
            skipped: inventory.skipped,
            ..Report::default()
        };
        report.totals.problems = inventory.problems.total;
        report.problems.absorb(inventory.problems, KEEP);
        Self {
            report,
            packages: Packages::default(),
            history,
            digests: Index::default(),
            details: Vec::new(),
        }
    }

    fn chunk(&mut self, summary: ChunkSummary, detail: ChunkDetail) {
        self.report.totals.add(&summary.totals);
        for (language, lines) in summary.languages {
            self.report.languages.entry(language).or_default().add(&lines);
        }
        // INVARIANT: an inventory has fewer chunks, and a chunk fewer files, than u32::MAX.
        let chunk = u32::try_from(self.details.len()).unwrap_or(u32::MAX);
        self.details.push(summary.detail);
        for (file, record) in (0..).zip(&detail.files) {
            self.digests.add(&record.digest, record.bytes, Place { chunk, file });
        }
        for file in &detail.files {
            self.history.saw(&file.path);
            let row = FileRow(file.path.clone(), file.bytes, file.digest.clone());
            self.report.files.add(row, KEEP_FILES);
        }
        let files = detail.files.into_iter();
        self.largest(files.map(|file| Sized { path: file.path, bytes: file.bytes }));
        let report = &mut self.report;
        report.todos.absorb(detail.todos, KEEP);
        report.secrets.absorb(detail.secrets, KEEP);
        report.problems.absorb(detail.problems, KEEP);
        report.licences.files.absorb(detail.licence_files, KEEP);
        report.licences.declared.absorb(detail.declared, KEEP);
        for (mark, count) in detail.todos_by_mark {
            *report.todos_by_mark.entry(mark).or_default() += count;
        }
        for (kind, count) in detail.secrets_by_kind {
            *report.secrets_by_kind.entry(kind).or_default() += count;
        }
        for (tag, count) in detail.licence_tags {
            let tags = &mut report.licences.tags;
            if tags.len() < TAGS_MAX || tags.contains_key(&tag) {
                *tags.entry(tag).or_default() += count;
            }
        }
        self.packages.chunk(detail.dependencies);
    }

    fn largest(&mut self, files: impl Iterator<Item = Sized>) {
        let largest = &mut self.report.largest;
        largest.extend(files.filter(|file| file.bytes > 0));
        largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        largest.truncate(LARGEST_MAX);
    }

    fn finish(mut self, host: &dyn Host) -> Result<Report, SkillError> {
        self.report.dependencies = self.packages.finish();
        self.report.history = self.history.finish(self.report.totals.files);
        self.report.duplicates = duplicates(host, self.digests, &self.details)?;
        Ok(self.report)
    }
}

/// Groups the digests, and loads the chunks that hold the names of what is listed.
fn duplicates(
    host: &dyn Host,
    digests: Index,
    details: &[String],
) -> Result<DuplicateFiles, SkillError> {
    let found = digests.find(GROUPS_MAX, GROUP_PATHS_MAX);
    let mut wanted: Vec<(Place, usize)> = Vec::new();
    let mut listed = Vec::with_capacity(found.largest.len());
    for (group, same) in found.largest.into_iter().enumerate() {
        wanted.extend(same.places.into_iter().map(|place| (place, group)));
        listed.push(SameFiles { bytes: same.bytes, files: same.files, paths: Vec::new() });
    }
    wanted.sort_unstable();
    for places in wanted.chunk_by(|(a, _), (b, _)| a.chunk == b.chunk) {
        if host.is_cancelled() {
            return Err(SkillError::cancelled());
        }
        host.progress(details.len() as u64, details.len() as u64);
        let blob = places.first().and_then(|(place, _)| details.get(place.chunk as usize));
        let Some(blob) = blob else { continue };
        let detail: ChunkDetail = wire::read(&host.load(blob)?)?;
        for (place, group) in places {
            let file = detail.files.get(place.file as usize);
            if let (Some(file), Some(same)) = (file, listed.get_mut(*group)) {
                same.paths.push(file.path.clone());
            }
        }
    }
    let (groups, spare_files, spare_bytes) = (found.groups, found.spare_files, found.spare_bytes);
    Ok(DuplicateFiles { groups, spare_files, spare_bytes, listed })
}

/// Languages by code, most first.
pub(super) fn by_code(languages: &BTreeMap<String, Lines>) -> Vec<(&str, &Lines)> {
    let mut sorted: Vec<_> = languages.iter().map(|(name, lines)| (name.as_str(), lines)).collect();
    sorted.sort_by_key(|(name, lines)| (std::cmp::Reverse(lines.code), *name));
    sorted
}

fn summary(report: &Report) -> Summary {
    let totals = &report.totals;
    let languages = by_code(&report.languages)
        .into_iter()
        .take(SUMMARY_LANGUAGES_MAX)
        .map(|(language, lines)| LanguageCode { language: language.to_owned(), code: lines.code });
    let mut licences: Vec<String> =
        report.licences.files.listed.iter().flat_map(|file| file.licences.clone()).collect();
    licences.sort_unstable();
    licences.dedup();
    Summary {
        root: report.root.clone(),
        files: totals.files,
        bytes: totals.bytes,
        lines: totals.code + totals.comments + totals.blank,
        code: totals.code,
        languages: languages.collect(),
        licences,
        dependencies: report.dependencies.by_ecosystem.clone(),
        dependency_licences: report.dependencies.by_kind.clone(),
        commits: report.history.commits,
        todos: totals.todos,
        secrets: totals.secrets,
        duplicate_files: report.duplicates.spare_files,
        duplicate_bytes: report.duplicates.spare_bytes,
        problems: totals.problems,
    }
}
