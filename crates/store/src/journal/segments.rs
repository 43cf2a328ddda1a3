//! Where segments lie: in the journal's directory, or in the archive once nothing that lives needs them.
//!
//! The archive holds the oldest segments, without gaps: everything before one sequence. `ARCHIVE_NOTE`, signed by
//! the ledger's key and durable before the first file is moved, says which; so an archive that was taken away can
//! be told from a segment that was removed, and named.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{ErrorKind, StoreError};
use crate::files::{File, Files, read_small, write_atomic};
use crate::ledger::{LedgerKey, PublicKey};
use crate::tiles::Tiles;

use super::moving;
use super::segment::{JOURNAL_DIR, file_name, first_of, path};

/// Where archived segments stand in the data directory, if they do not have a directory of their own.
pub const ARCHIVE_DIR: &str = "archive";
/// Says what was archived.
pub const ARCHIVE_NOTE: &str = "archive.note";

/// No origin has a space, so this is the first line of no checkpoint.
const ARCHIVE_TITLE: &str = "ark-os archive";
/// Largest note: about 200 000 segments, 12 TiB at their usual size.
pub(crate) const ARCHIVE_NOTE_BYTES_MAX: u64 = 4 << 20;

/// The directories of a journal's segments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Segments {
    files: Arc<dyn Files>,
    /// The archive, if it is not beside the journal.
    elsewhere: Option<Arc<dyn Files>>,
}

/// The same for reading alone.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    files: &'a dyn Files,
    archive: &'a dyn Files,
    archive_dir: &'a str,
    tiles: Option<&'a Tiles>,
}

impl<'a> Lookup<'a> {
    /// The journal of a data directory, with the archive beside it.
    pub fn new(files: &'a dyn Files) -> Self {
        Self { files, archive: files, archive_dir: ARCHIVE_DIR, tiles: None }
    }

    /// With the archive in the root of `archive`.
    pub fn with_archive(files: &'a dyn Files, archive: &'a dyn Files) -> Self {
        Self { files, archive, archive_dir: "", tiles: None }
    }

    /// With the hashes of records that are absent.
    #[must_use]
    pub fn with_tiles(self, tiles: &'a Tiles) -> Self {
        Self { tiles: Some(tiles), ..self }
    }

    pub(crate) fn tiles(self) -> Option<&'a Tiles> {
        self.tiles
    }

    pub(crate) fn files(self) -> &'a dyn Files {
        self.files
    }

    /// Opens a segment wherever it is; also gives its name for messages. `Archived` if it is nowhere.
    pub(crate) fn open(self, first: u64) -> Result<(Arc<dyn File>, String), StoreError> {
        let name = path(first);
        // A segment is moved only one way, so one that is in neither place was moved by nobody of us.
        match self.files.open(&name) {
            Ok(file) => return Ok((file, name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(format!("open `{name}`"), error)),
        }
        let shown = format!("{ARCHIVE_DIR}/{}", file_name(first));
        match self.archive.open(&in_dir(self.archive_dir, &file_name(first))) {
            Ok(file) => Ok((file, shown)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::archived(format!("`{shown}`")))
            }
            Err(error) => Err(StoreError::io(format!("open `{shown}`"), error)),
        }
    }

    /// First sequences of the segments in the archive, in order; none if there is no archive.
    pub(crate) fn archived(self) -> Result<Vec<u64>, StoreError> {
        let names = match self.archive.list(self.archive_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(|error| StoreError::io("read the archive", error))?,
        };
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// What was archived, as far as `ARCHIVE_NOTE` says; an error says what is wrong with it.
    pub(crate) fn note(self, key: &PublicKey) -> Result<ArchiveNote, StoreError> {
        let bytes = match read_small(self.files, ARCHIVE_NOTE, ARCHIVE_NOTE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ArchiveNote::default());
            }
            bytes => {
                bytes.map_err(|error| StoreError::io(format!("read `{ARCHIVE_NOTE}`"), error))?
            }
        };
        let note = std::str::from_utf8(&bytes).map_err(|_| "it is no text");
        note.and_then(|note| key.signed_text(note))
            .and_then(|text| ArchiveNote::parse(text, key.origin()).ok_or("it is malformed"))
            .map_err(|why| StoreError::invalid(format!("read `{ARCHIVE_NOTE}`: {why}")))
    }
}

/// Which segments were archived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ArchiveNote {
    /// The first record that is not in the archive; 0: nothing was archived.
    pub(crate) next: u64,
    /// First sequences of the archived segments, in order.
    pub(crate) firsts: Vec<u64>,
}

impl ArchiveNote {
    /// The segment behind an archived one.
    pub(crate) fn successor(&self, first: u64) -> Option<u64> {
        let at = self.firsts.binary_search(&first).ok()?;
        Some(self.firsts.get(at + 1).copied().unwrap_or(self.next))
    }

    /// Whether records are those of whole archived segments, at least one.
    pub(crate) fn is_whole(&self, records: &Range<u64>) -> bool {
        let begins = |seq: &u64| self.firsts.binary_search(seq).is_ok();
        !records.is_empty()
            && begins(&records.start)
            && (begins(&records.end) || records.end == self.next)
    }

    fn text(&self, origin: &str) -> String {
        let mut text = format!("{ARCHIVE_TITLE}\n{origin}\n{}\n", self.next);
        for first in &self.firsts {
            text.push_str(&format!("{first}\n"));
        }
        text
    }

    fn parse(text: &str, origin: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != ARCHIVE_TITLE || lines.next()? != origin {
            return None;
        }
        let next = lines.next()?.parse().ok()?;
        let firsts: Vec<u64> = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
        let note = Self { next, firsts };
        let ascends = note.firsts.is_sorted_by(|a, b| a < b)
            && note.firsts.last().is_none_or(|last| *last < next);
        (ascends && note.text(origin) == text).then_some(note)
    }
}

impl Segments {
    /// The segments of a data directory, with the archive beside them.
    #[must_use]
    pub fn new(files: Arc<dyn Files>) -> Self {
        Self { files, elsewhere: None }
    }

    /// With the archive in the root of `archive`, which may be on another file system.
    #[must_use]
    pub fn with_archive(files: Arc<dyn Files>, archive: Arc<dyn Files>) -> Self {
        Self { files, elsewhere: Some(archive) }
    }

    /// For reading.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        match &self.elsewhere {
            None => Lookup::new(self.files.as_ref()),
            Some(archive) => Lookup::with_archive(self.files.as_ref(), archive.as_ref()),
        }
    }

    /// The archive, if it is not beside the journal.
    pub(crate) fn elsewhere(&self) -> Option<&dyn Files> {
        self.elsewhere.as_deref()
    }

    /// The files of the data directory.
    #[must_use]
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// Whether the journal's directory has no segment.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        match self.files.list(JOURNAL_DIR) {
            Ok(names) => Ok(!names.iter().any(|name| first_of(name).is_some())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(StoreError::io(format!("read `{JOURNAL_DIR}`"), error)),
        }
    }

    /// Bytes of a segment that is not archived.
    pub fn bytes(&self, first: u64) -> Result<u64, StoreError> {
        let name = path(first);
        let len = self.files.open(&name).and_then(|file| file.len());
        len.map_err(|error| StoreError::io(format!("read `{name}`"), error))
    }

    /// Whether segments may go to the archive; an error says whose it is, or that nothing is there that should be.
    /// Touches nothing.
    pub fn check_archive(&self, key: &PublicKey) -> Result<(), StoreError> {
        let Some(archive) = self.elsewhere() else { return Ok(()) };
        moving::check_apart(self.files.as_ref(), archive)?;
        let note = self.lookup().note(key)?;
        moving::is_claimed(archive, &note, key).map(drop)
    }

    /// Moves the oldest segment of the journal, which holds the records `first..next` in its first `end` bytes,
    /// into the archive, which must be this journal's. After a crash at any point doing it again finishes it; also
    /// after `go_on` said no in the middle of a copy, which is `Closed`.
    pub fn archive(
        &self,
        key: &LedgerKey,
        span: &Span,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        let what = || format!("archive `{}`", path(span.first));
        let mut note = self.lookup().note(key.public())?;
        if let Some(archive) = self.elsewhere() {
            moving::claim(self.files.as_ref(), archive, &note, key.public())?;
        }
        // A crash may have come between the note and the move.
        if note.firsts.binary_search(&span.first).is_err() {
            note.firsts.push(span.first);
            note.next = span.next;
            let text = key.sign_text(&note.text(key.public().origin()));
            write_atomic(self.files.as_ref(), ARCHIVE_NOTE, text.as_bytes())
                .map_err(|error| StoreError::io(format!("write `{ARCHIVE_NOTE}`"), error))?;
        }
        moving::move_file(self, span, go_on).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => {
                StoreError::new(ErrorKind::Closed, format!("{}: it is stopped", what()))
            }
            _ => StoreError::io(what(), error),
        })
    }
}

/// A segment that has a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its first record.
    pub first: u64,
    /// The first record behind it.
    pub next: u64,
    /// Where its last frame ends.
    pub end: u64,
}

pub(super) fn in_dir(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_what_was_archived_reads_back_and_knows_whole_segments() {
        let note = ArchiveNote { next: 30, firsts: vec![1, 12] };
        let text = note.text("example.org/log");
        assert_eq!(ArchiveNote::parse(&text, "example.org/log"), Some(note.clone()));
        assert_eq!([1, 12, 13].map(|first| note.successor(first)), [Some(12), Some(30), None]);
        assert!([1..12, 1..30, 12..30].iter().all(|records| note.is_whole(records)));
        assert!([1..1, 2..12, 1..29, 30..31].iter().all(|records| !note.is_whole(records)));
        for wrong in [
            text.replace("12", "012"),
            text.replace("1\n12", "12\n1"),
            text.replace("30", "12"),
            text.clone() + "\n",
            text.replace("archive", "arch"),
        ] {
            assert_eq!(ArchiveNote::parse(&wrong, "example.org/log"), None, "{wrong}");
        }
        assert_eq!(ArchiveNote::parse(&text, "example.org/other"), None);
    }
}
