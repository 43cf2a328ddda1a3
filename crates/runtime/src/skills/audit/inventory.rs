//! `audit.inventory`: walks a tree and cuts it into chunks of files. The lists go to blobs while
//! the walk goes on, so its memory does not grow with the tree.

use std::borrow::Cow;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use walkdir::{DirEntry, WalkDir};

use super::excludes::Excludes;
use super::listed::Keep;
use super::paths;
use super::records::{ChunkList, ChunkRef, Inventory, Link, Problem, SizeClass, Skipped};
use crate::skills::wire;
use crate::skills::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// Files per chunk to begin with: a small tree still fans out, and a chunk takes well under a
/// second.
const CHUNK_FILES: usize = 32;
const CHUNK_FILES_MAX: usize = 10_000;
/// Bytes per chunk to begin with; whichever of the two limits is met first closes the chunk.
const CHUNK_BYTES: u64 = 16 * 1024 * 1024;
/// Chunks double in size after so many, so that a large tree does not become too many tasks.
const CHUNKS_PER_SIZE: usize = 250;
/// The most chunks: below what one `map` may have, and their references fit in the answer.
const CHUNKS_MAX: usize = 6000;
/// The most files, ten times the largest tree this is made for: the report keeps 32 bytes of each.
const FILES_MAX: u64 = 2_000_000;
/// What the answer lists of links, problems and the like; the totals count all of them.
const KEEP: Keep = Keep { items: 200, bytes: 48 * 1024 };
/// 6000 chunk references of at most 130 bytes, and four lists.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Entries between two looks at the lease and the cancellation.
const ENTRIES_PER_PROGRESS: u64 = 128;
/// Chunks between two proofs of progress: below a hundred of them in the largest tree.
const CHUNKS_PER_CHECKPOINT: usize = 64;
/// Size classes: below so many bytes.
const SIZE_CLASSES: [(&str, u64); 8] = [
    ("empty", 1),
    ("below 1 KiB", 1 << 10),
    ("below 10 KiB", 10 << 10),
    ("below 100 KiB", 100 << 10),
    ("below 1 MiB", 1 << 20),
    ("below 10 MiB", 10 << 20),
    ("below 100 MiB", 100 << 20),
    ("100 MiB and more", u64::MAX),
];

/// Lists the files of a tree in chunks.
#[derive(Debug)]
pub(in crate::skills) struct InventorySkill;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    exclude_paths: Vec<String>,
    #[serde(default)]
    include_all: bool,
    chunk_files: Option<usize>,
}

impl Skill for InventorySkill {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("audit.inventory"),
            summary: Cow::Borrowed("walks a directory tree and lists its files in chunks"),
            class: EffectClass::Read,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["path"],"additionalProperties":false,
                "properties":{"path":{"type":"string","minLength":1},
                "exclude":{"type":"array","maxItems":256,"items":{"type":"string","maxLength":1024}},
                "exclude_paths":{"type":"array","maxItems":256,"items":{"type":"string"}},
                "include_all":{"type":"boolean"},
                "chunk_files":{"type":"integer","minimum":1,"maximum":10000}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["root","files","bytes","chunks"],
                "properties":{"root":{"type":"string"},"files":{"type":"integer"},
                "bytes":{"type":"integer"},"chunks":{"type":"array","maxItems":6000,
                "items":{"type":"object","required":["blob","files","bytes"]}}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input: Input = wire::read(input)?;
        let chunk_files = input.chunk_files.unwrap_or(CHUNK_FILES);
        if chunk_files == 0 || chunk_files > CHUNK_FILES_MAX {
            let message = format!("use `chunk_files`: it is between 1 and {CHUNK_FILES_MAX}");
            return Err(SkillError::limit(message));
        }
        let root = root_of(&input.path)?;
        let excludes =
            Excludes::new(&root, &input.exclude, &input.exclude_paths, input.include_all)?;
        let mut walk = Walk::new(host, root, chunk_files);
        walk.all(&excludes)?;
        wire::answer(&walk.finish()?)
    }
}

/// The tree's real place, whatever links led to it.
fn root_of(path: &str) -> Result<PathBuf, SkillError> {
    let failed = |problem: String| {
        SkillError::permanent("audit.no_tree", format!("open tree `{path}`: {problem}"))
            .with_hint("give the path of a directory that this process may read")
    };
    let root = fs::canonicalize(path).map_err(|error| failed(error.to_string()))?;
    if !root.is_dir() {
        return Err(failed("it is not a directory".to_owned()));
    }
    fs::read_dir(&root).map_err(|error| failed(error.to_string()))?;
    Ok(root)
}

struct Walk<'a> {
    host: &'a dyn Host,
    root: PathBuf,
    chunk_files: usize,
    open: ChunkList,
    open_bytes: u64,
    found: Inventory,
}

impl<'a> Walk<'a> {
    fn new(host: &'a dyn Host, root: PathBuf, chunk_files: usize) -> Self {
        let sizes = SIZE_CLASSES.iter().map(|(label, _)| SizeClass {
            label: (*label).to_owned(),
            files: 0,
            bytes: 0,
        });
        let found = Inventory {
            root: paths::text_of(&root),
            sizes: sizes.collect(),
            ..Inventory::default()
        };
        Self { host, root, chunk_files, open: ChunkList::default(), open_bytes: 0, found }
    }

    /// In the order of names, so that the same tree always gives the same chunks.
    fn all(&mut self, excludes: &Excludes) -> Result<(), SkillError> {
        let walk = WalkDir::new(&self.root).min_depth(1).follow_links(false).sort_by_file_name();
        let mut entries = walk.into_iter();
        let mut seen = 0_u64;
        while let Some(entry) = entries.next() {
            if seen.is_multiple_of(ENTRIES_PER_PROGRESS) {
                if self.host.is_cancelled() {
                    return Err(SkillError::cancelled());
                }
                self.host.progress(self.found.files, 0);
            }
            seen += 1;
            match entry {
                Ok(entry) if self.is_left_out(&entry, excludes) => {
                    if entry.file_type().is_dir() {
                        entries.skip_current_dir();
                    }
                }
                Ok(entry) => self.entry(&entry)?,
                Err(error) => self.unreadable(&error),
            }
        }
        Ok(())
    }

    fn is_left_out(&mut self, entry: &DirEntry, excludes: &Excludes) -> bool {
        let path = self.text(entry.path());
        let reason = excludes.reason(entry.path(), &path, entry.file_type().is_dir());
        if let Some(reason) = reason {
            self.found.skipped.add(Skipped { path, reason: reason.to_owned() }, KEEP);
        }
        reason.is_some()
    }

    fn entry(&mut self, entry: &DirEntry) -> Result<(), SkillError> {
        let kind = entry.file_type();
        let path = self.text(entry.path());
        if kind.is_dir() {
            self.found.directories += 1;
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            self.found.links.add(Link { path, target: paths::text_of(&target) }, KEEP);
        } else if kind.is_file() {
            match entry.metadata() {
                Ok(metadata) => self.file(path, &metadata)?,
                Err(error) => self.unreadable(&error),
            }
        } else {
            self.found.special.add(path, KEEP);
        }
        Ok(())
    }

    fn file(&mut self, path: String, metadata: &Metadata) -> Result<(), SkillError> {
        let bytes = metadata.len();
        self.found.files += 1;
        self.found.bytes = self.found.bytes.saturating_add(bytes);
        if self.found.files > FILES_MAX {
            let message = format!("list the tree: it has more than {FILES_MAX} files");
            return Err(SkillError::limit(message).with_hint("audit its parts one by one"));
        }
        let class = self.found.sizes.iter_mut().zip(SIZE_CLASSES).find(|(_, c)| bytes < c.1);
        if let Some((class, _)) = class {
            class.files += 1;
            class.bytes = class.bytes.saturating_add(bytes);
        }
        self.open.files.push((path, bytes));
        self.open_bytes = self.open_bytes.saturating_add(bytes);
        let doublings = (self.found.chunks.len() / CHUNKS_PER_SIZE).min(30);
        let is_full = self.open.files.len() >= self.chunk_files << doublings
            || self.open_bytes >= CHUNK_BYTES << doublings;
        if is_full { self.close_chunk() } else { Ok(()) }
    }

    fn close_chunk(&mut self) -> Result<(), SkillError> {
        if self.found.chunks.len() >= CHUNKS_MAX {
            let message = format!("list the tree: it takes more than {CHUNKS_MAX} chunks");
            return Err(SkillError::limit(message).with_hint("raise `chunk_files`"));
        }
        let list = std::mem::take(&mut self.open);
        let blob = self.host.save(&wire::answer(&list)?)?;
        let bytes = std::mem::take(&mut self.open_bytes);
        self.found.chunks.push(ChunkRef { blob, files: list.files.len() as u64, bytes });
        let count = self.found.chunks.len();
        if count.is_multiple_of(CHUNKS_PER_CHECKPOINT) {
            self.host.checkpoint(count.to_string().as_bytes());
        }
        Ok(())
    }

    fn unreadable(&mut self, error: &walkdir::Error) {
        let path = error.path().map_or_else(|| ".".to_owned(), |path| self.text(path));
        let problem = error.io_error().map_or("cannot be listed".to_owned(), describe);
        self.found.problems.add(Problem { path, problem }, KEEP);
    }

    fn finish(mut self) -> Result<Inventory, SkillError> {
        if !self.open.files.is_empty() {
            self.close_chunk()?;
        }
        self.host.progress(self.found.files, self.found.files);
        Ok(self.found)
    }

    fn text(&self, path: &Path) -> String {
        paths::text_of(path.strip_prefix(&self.root).unwrap_or(path))
    }
}

/// The kind of an I/O error, in words that are the same on every machine.
pub(super) fn describe(error: &std::io::Error) -> String {
    format!("cannot be read: {}", error.kind())
}
