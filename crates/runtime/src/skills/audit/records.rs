//! What the audit skills hand each other: the inventory's answer, a chunk's list, answer and
//! detail. Answers are small and go through the journal; lists and details are blobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::listed::Listed;

/// The answer of `audit.inventory`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Inventory {
    /// Absolute, in the text form of [`super::paths`].
    pub(super) root: String,
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) bytes: u64,
    pub(super) chunks: Vec<ChunkRef>,
    pub(super) sizes: Vec<SizeClass>,
    /// Symbolic links: recorded, never followed.
    pub(super) links: Listed<Link>,
    /// Sockets, pipes, devices: recorded, never opened.
    pub(super) special: Listed<String>,
    /// Directories and files left out on purpose.
    pub(super) skipped: Listed<Skipped>,
    /// What could not be looked at.
    pub(super) problems: Listed<Problem>,
}

/// One chunk of files, as the inventory names it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ChunkRef {
    pub(super) blob: String,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// How many files are below a size (and not below the one before).
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SizeClass {
    pub(super) label: String,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Link {
    pub(super) path: String,
    pub(super) target: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Skipped {
    pub(super) path: String,
    pub(super) reason: String,
}

/// Something that could not be read or understood, and why. The reason never quotes the file.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Problem {
    pub(super) path: String,
    pub(super) problem: String,
}

/// The blob that lists the files of one chunk.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct ChunkList {
    /// Path below the root, and size in bytes when it was listed.
    pub(super) files: Vec<(String, u64)>,
}

/// The answer of `audit.chunk`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct ChunkSummary {
    pub(super) totals: Totals,
    pub(super) languages: BTreeMap<String, Lines>,
    /// The blob with a [`ChunkDetail`].
    pub(super) detail: String,
}

/// Sums over files.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Totals {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) text_files: u64,
    pub(super) binary_files: u64,
    pub(super) empty_files: u64,
    /// Too large to digest, so not looked at for duplicates either.
    pub(super) unhashed_files: u64,
    /// Texts too large to read line by line.
    pub(super) uncounted_files: u64,
    pub(super) code: u64,
    pub(super) comments: u64,
    pub(super) blank: u64,
    pub(super) todos: u64,
    pub(super) secrets: u64,
    pub(super) problems: u64,
}

/// Lines of one language.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) code: u64,
    pub(super) comments: u64,
    pub(super) blank: u64,
}

/// The blob with what one chunk found.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct ChunkDetail {
    pub(super) files: Vec<FileRecord>,
    pub(super) todos: Listed<Todo>,
    pub(super) todos_by_mark: BTreeMap<String, u64>,
    pub(super) secrets: Listed<Secret>,
    pub(super) secrets_by_kind: BTreeMap<String, u64>,
    pub(super) licence_files: Listed<LicenceFile>,
    /// SPDX expressions in source files, and in how many.
    pub(super) licence_tags: BTreeMap<String, u64>,
    /// What package manifests declare.
    pub(super) declared: Listed<Declared>,
    pub(super) dependencies: Listed<Dependency>,
    pub(super) problems: Listed<Problem>,
}

/// One file: enough to find duplicates, the largest, and what another audit saw otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct FileRecord {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// The first half of the SHA-256 in hex; empty when the file was not digested. 128 bits keep
    /// an accidental pair among a million files less likely than a hardware fault.
    pub(super) digest: String,
}

/// A mark that someone left in a comment.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Todo {
    pub(super) path: String,
    pub(super) line: u64,
    pub(super) mark: String,
    pub(super) text: String,
}

/// A likely secret: where and of what kind, and a digest to recognise it by; never the value.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Secret {
    pub(super) path: String,
    pub(super) line: u64,
    pub(super) kind: String,
    pub(super) fingerprint: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct LicenceFile {
    pub(super) path: String,
    /// SPDX ids; empty when the text is not recognised.
    pub(super) licences: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Declared {
    pub(super) path: String,
    pub(super) expression: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Dependency {
    pub(super) ecosystem: String,
    pub(super) name: String,
    /// As locked; a requirement such as `>=1.2` where nothing is locked.
    pub(super) version: String,
    /// The lock file that names it.
    pub(super) path: String,
    /// Where it is fetched from; empty where the lock file does not say.
    pub(super) source: String,
    pub(super) licence: Option<Licence>,
}

/// The licence of a package, and what says so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Licence {
    pub(super) expression: String,
    pub(super) from: LicenceOrigin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LicenceOrigin {
    LockFile,
    Manifest,
    /// Told by the phrases of its licence files; several of them count together.
    LicenceText,
}

/// The answer of `audit.history`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct HistorySummary {
    /// Why there is no history, in words.
    pub(super) why_none: Option<String>,
    pub(super) commits: u64,
    pub(super) authors: u64,
    /// The blob with a [`HistoryDetail`], where there is a history.
    pub(super) detail: Option<String>,
}

/// The blob with what version control remembers of the tree.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct HistoryDetail {
    /// How many days back from the newest commit were looked at.
    pub(super) days: u64,
    /// The day of the newest commit.
    pub(super) newest: String,
    pub(super) commits: u64,
    /// Whether the log was longer than what was read of it.
    pub(super) is_cut: bool,
    pub(super) changes: Changes,
    /// Most changed first.
    pub(super) files: Listed<FileChanges>,
    /// With most commits first; by name alone, addresses are not read.
    pub(super) authors: Listed<AuthorChanges>,
    pub(super) months: Vec<MonthChanges>,
}

/// Lines added and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Changes {
    pub(super) added: u64,
    pub(super) removed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct FileChanges {
    pub(super) path: String,
    pub(super) commits: u64,
    pub(super) changes: Changes,
    /// Days from its last change to the newest commit.
    pub(super) age_days: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct AuthorChanges {
    pub(super) name: String,
    pub(super) commits: u64,
    pub(super) changes: Changes,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct MonthChanges {
    /// `2026-01`.
    pub(super) month: String,
    pub(super) commits: u64,
    pub(super) changes: Changes,
}

impl Changes {
    pub(super) fn add(&mut self, other: Self) {
        self.added = self.added.saturating_add(other.added);
        self.removed = self.removed.saturating_add(other.removed);
    }

    pub(super) fn lines(self) -> u64 {
        self.added.saturating_add(self.removed)
    }
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.text_files += other.text_files;
        self.binary_files += other.binary_files;
        self.empty_files += other.empty_files;
        self.unhashed_files += other.unhashed_files;
        self.uncounted_files += other.uncounted_files;
        self.code += other.code;
        self.comments += other.comments;
        self.blank += other.blank;
        self.todos += other.todos;
        self.secrets += other.secrets;
        self.problems += other.problems;
    }
}

impl Lines {
    pub(super) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.code += other.code;
        self.comments += other.comments;
        self.blank += other.blank;
    }
}
