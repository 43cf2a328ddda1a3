//! `audit.chunk`: reads every file of one chunk and records what it finds. Nothing a file holds
//! can fail the chunk: what cannot be read or understood becomes a problem in the record.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::content::{self, Content, Kind};
use super::dependencies::Found;
use super::installed::Installed;
use super::inventory::describe;
use super::listed::Keep;
use super::records::{
    ChunkDetail, ChunkList, ChunkRef, ChunkSummary, Declared, Dependency, FileRecord, Licence,
    LicenceFile, Lines, Problem, Secret, Todo,
};
use super::secrets::Findings;
use super::{dependencies, languages, licences, lines, paths, secrets, todos};
use crate::skills::wire;
use crate::skills::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// Languages, totals and one reference: far below this.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// What a chunk keeps of to-dos, secrets, licences and problems, each; all are counted.
const KEEP: Keep = Keep { items: 2000, bytes: 1024 * 1024 };
/// What a chunk keeps of dependencies: lock files name many.
const KEEP_DEPENDENCIES: Keep = Keep { items: 50_000, bytes: 8 * 1024 * 1024 };
/// Marks and secrets kept of one file, so that a generated one does not crowd out the rest.
const PER_FILE_MAX: usize = 50;
/// Places outside the root that may be asked for licences.
const SOURCES_MAX: usize = 16;
/// Packages between two renewals of the lease: each may take several reads.
const PACKAGES_PER_PROGRESS: usize = 64;
/// Different SPDX expressions of one chunk.
const TAGS_MAX: usize = 200;
/// Settings files, in which values stand without quotes.
const BARE_EXTENSIONS: &[&str] =
    &["env", "properties", "ini", "cfg", "conf", "yaml", "yml", "toml", "npmrc", "pypirc", "netrc"];

/// Reads the files of one chunk.
#[derive(Debug)]
pub(in crate::skills) struct ChunkSkill;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    root: String,
    chunk: ChunkRef,
    /// Directories outside the root in which the licences of dependencies may be looked up.
    #[serde(default)]
    dependency_sources: Vec<PathBuf>,
}

impl Skill for ChunkSkill {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("audit.chunk"),
            summary: Cow::Borrowed(
                "reads the files of one chunk: lines, licences, dependencies, marks, secrets",
            ),
            class: EffectClass::Read,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["root","chunk"],
                "additionalProperties":false,"properties":{"root":{"type":"string"},
                "chunk":{"type":"object","required":["blob","files","bytes"]},
                "dependency_sources":{"type":"array","maxItems":16,
                "items":{"type":"string","minLength":1,"maxLength":4096}}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["totals","languages","detail"],
                "properties":{"totals":{"type":"object"},"languages":{"type":"object"},
                "detail":{"type":"string"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input: Input = wire::read(input)?;
        let root = paths::path_of(&input.root).ok_or_else(|| {
            SkillError::invalid_input("read `root`: it is not the text of a path")
        })?;
        if input.dependency_sources.len() > SOURCES_MAX {
            let message = format!("use `dependency_sources`: at most {SOURCES_MAX}");
            return Err(SkillError::limit(message));
        }
        let list: ChunkList = wire::read(&host.load(&input.chunk.blob)?)?;
        let installed = Installed::new(&root, &input.dependency_sources);
        let mut record = Record::new(root, installed, host);
        let total = list.files.len() as u64;
        for (done, (path, bytes)) in (0_u64..).zip(list.files) {
            if host.is_cancelled() {
                return Err(SkillError::cancelled());
            }
            host.progress(done, total);
            record.done = (done, total);
            record.file(path, bytes);
        }
        if host.is_cancelled() {
            return Err(SkillError::cancelled());
        }
        host.progress(total, total);
        wire::answer(&record.finish()?)
    }
}

struct Record<'a> {
    root: PathBuf,
    installed: Installed,
    host: &'a dyn Host,
    /// Files that are done, of how many.
    done: (u64, u64),
    /// Holds one text at a time.
    buffer: Vec<u8>,
    summary: ChunkSummary,
    detail: ChunkDetail,
}

impl<'a> Record<'a> {
    fn new(root: PathBuf, installed: Installed, host: &'a dyn Host) -> Self {
        let (summary, detail) = (ChunkSummary::default(), ChunkDetail::default());
        Self { root, installed, host, done: (0, 0), buffer: Vec::new(), summary, detail }
    }

    fn file(&mut self, path: String, listed_bytes: u64) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = match paths::relative_path_of(&path) {
            Some(relative) => content::read(&self.root.join(relative), &mut buffer)
                .map_err(|error| describe(&error)),
            None => Err("is not a path below the root".to_owned()),
        };
        match read {
            Ok(content) => self.content(path, &content, &buffer),
            Err(problem) => {
                self.summary.totals.files += 1;
                self.summary.totals.bytes += listed_bytes;
                self.problem(&path, problem);
                let digest = String::new();
                self.detail.files.push(FileRecord { path, bytes: listed_bytes, digest });
            }
        }
        self.buffer = buffer;
    }

    fn content(&mut self, path: String, content: &Content, text: &[u8]) {
        let totals = &mut self.summary.totals;
        totals.files += 1;
        totals.bytes = totals.bytes.saturating_add(content.bytes);
        match content.kind {
            Kind::Empty => totals.empty_files += 1,
            Kind::Binary => totals.binary_files += 1,
            Kind::Text | Kind::LargeText => totals.text_files += 1,
        }
        if content.digest.is_none() && content.kind != Kind::Empty {
            totals.unhashed_files += 1;
        }
        match content.kind {
            Kind::Text => self.text(&path, text),
            Kind::LargeText => {
                totals.uncounted_files += 1;
                let limit = content::TEXT_BYTES_MAX >> 20;
                self.problem(&path, format!("is a text over {limit} MiB: its lines were not read"));
            }
            Kind::Empty | Kind::Binary => {}
        }
        let digest = content.digest.clone().unwrap_or_default();
        self.detail.files.push(FileRecord { path, bytes: content.bytes, digest });
    }

    fn text(&mut self, path: &str, text: &[u8]) {
        let file_name = path.rsplit('/').next().unwrap_or(path);
        let findings = secrets::find(text, has_bare_values(file_name));
        self.lines(path, file_name, text, &findings);
        self.secrets(path, text, &findings);
        self.licences(path, file_name, text);
        self.dependencies(path, file_name, text);
    }

    fn lines(&mut self, path: &str, file_name: &str, text: &[u8], findings: &Findings) {
        let language = languages::detect(file_name, text);
        let candidates = todos::candidates(text);
        let mut comments = Vec::new();
        // Places of comments are kept only where a mark may stand in one.
        let wants_places = !candidates.is_empty();
        let counts = lines::count(language, text, &mut |place| {
            if wants_places {
                comments.push(place);
            }
        });
        let totals = &mut self.summary.totals;
        totals.code += counts.code;
        totals.comments += counts.comments;
        totals.blank += counts.blank;
        let bytes = text.len() as u64;
        let lines = Lines {
            files: 1,
            bytes,
            code: counts.code,
            comments: counts.comments,
            blank: counts.blank,
        };
        match self.summary.languages.get_mut(&language.name) {
            Some(sum) => sum.add(&lines),
            None => drop(self.summary.languages.insert(language.name.clone(), lines)),
        }
        let marks = todos::confirm(candidates, &comments, text, language.is_prose);
        self.todos(path, text, &marks, findings);
    }

    fn todos(&mut self, path: &str, text: &[u8], marks: &[todos::Mark], findings: &Findings) {
        self.summary.totals.todos += marks.len() as u64;
        let mut line = LineNumbers::new(text);
        for (index, mark) in marks.iter().enumerate() {
            let word = text.get(mark.at.clone()).unwrap_or_default();
            let word = String::from_utf8_lossy(word).into_owned();
            *self.detail.todos_by_mark.entry(word.clone()).or_default() += 1;
            if index >= PER_FILE_MAX {
                self.detail.todos.total += 1;
                continue;
            }
            let todo = Todo {
                path: path.to_owned(),
                line: line.of(mark.at.start),
                mark: word,
                text: secrets::hide(&todos::text_of(mark, text, &findings.hidden)).into_owned(),
            };
            self.detail.todos.add(todo, KEEP);
        }
    }

    fn secrets(&mut self, path: &str, text: &[u8], findings: &Findings) {
        self.summary.totals.secrets += findings.secrets.len() as u64;
        let mut line = LineNumbers::new(text);
        for (index, found) in findings.secrets.iter().enumerate() {
            *self.detail.secrets_by_kind.entry(found.kind.to_owned()).or_default() += 1;
            if index >= PER_FILE_MAX {
                self.detail.secrets.total += 1;
                continue;
            }
            let secret = Secret {
                path: path.to_owned(),
                line: line.of(found.at.start),
                kind: found.kind.to_owned(),
                fingerprint: found.fingerprint.clone(),
            };
            self.detail.secrets.add(secret, KEEP);
        }
    }

    fn licences(&mut self, path: &str, file_name: &str, text: &[u8]) {
        if licences::is_licence_file(file_name) {
            let ids = licences::detect(text).into_iter().map(str::to_owned).collect();
            let file = LicenceFile { path: path.to_owned(), licences: ids };
            self.detail.licence_files.add(file, KEEP);
        } else if let Some(tag) = licences::tag(text) {
            let tags = &mut self.detail.licence_tags;
            let tag = secrets::hide(&tag).into_owned();
            if tags.len() < TAGS_MAX || tags.contains_key(&tag) {
                *tags.entry(tag).or_default() += 1;
            }
        }
        if let Some(expression) = licences::declared(file_name, text) {
            let expression = secrets::hide(&expression).into_owned();
            self.detail.declared.add(Declared { path: path.to_owned(), expression }, KEEP);
        }
    }

    fn dependencies(&mut self, path: &str, file_name: &str, text: &[u8]) {
        match dependencies::read(file_name, text) {
            Some(Ok(found)) => self.packages(path, found),
            Some(Err(problem)) => self.problem(path, problem),
            None => {}
        }
    }

    fn packages(&mut self, path: &str, found: Found) {
        let lock_file = paths::relative_path_of(path).unwrap_or_default();
        let lock_dir = lock_file.parent().unwrap_or(Path::new(""));
        let ecosystem = found.ecosystem;
        for (index, ((name, version), details)) in found.packages.into_iter().enumerate() {
            if index % PACKAGES_PER_PROGRESS == PACKAGES_PER_PROGRESS - 1 {
                self.host.progress(self.done.0, self.done.1);
                if self.host.is_cancelled() {
                    return;
                }
            }
            let licence = self.installed.licence(lock_dir, ecosystem, (&name, &version), &details);
            let licence = licence.map(|licence| Licence {
                expression: secrets::hide(&licence.expression).into_owned(),
                from: licence.from,
            });
            let dependency = Dependency {
                ecosystem: ecosystem.to_owned(),
                name: secrets::hide(&name).into_owned(),
                version: secrets::hide(&version).into_owned(),
                path: path.to_owned(),
                source: secrets::hide(&details.source).into_owned(),
                licence,
            };
            self.detail.dependencies.add(dependency, KEEP_DEPENDENCIES);
        }
    }

    fn problem(&mut self, path: &str, problem: String) {
        self.summary.totals.problems += 1;
        self.detail.problems.add(Problem { path: path.to_owned(), problem }, KEEP);
    }

    fn finish(mut self) -> Result<ChunkSummary, SkillError> {
        self.summary.detail = self.host.save(&wire::answer(&self.detail)?)?;
        Ok(self.summary)
    }
}

fn has_bare_values(file_name: &str) -> bool {
    let lower = file_name.to_ascii_lowercase();
    let extension = Path::new(&lower).extension().and_then(|extension| extension.to_str());
    lower.starts_with(".env")
        || BARE_EXTENSIONS.iter().any(|known| {
            extension == Some(known) || lower.strip_prefix('.').is_some_and(|name| name == *known)
        })
}

/// Line numbers of places asked for in order, in one pass.
struct LineNumbers<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> LineNumbers<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn of(&mut self, place: usize) -> u64 {
        let between = self.text.get(self.at..place).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', between).count() as u64;
        self.at = self.at.max(place);
        self.line
    }
}
