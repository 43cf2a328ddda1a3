//! The one error type of this crate: a kind the caller can act on, a message, a hint, a place and a source.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;

/// What the caller would do differently; nothing finer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input breaks a documented rule; sending it again cannot help.
    Invalid,
    /// The thing asked for is not there.
    NotFound,
    /// Somebody else holds or has changed it.
    Conflict,
    /// A limit or the disk is full.
    Exhausted,
    /// The device or the file system failed; a restart may help.
    Unavailable,
    /// Stored bytes do not verify. Never repaired by guessing.
    Corrupt,
    /// A newer version of this program wrote it.
    Newer,
    /// It was archived, and the archive has been taken away: bring it back.
    Archived,
    /// The journal failed before and accepts nothing more until it is opened again.
    Closed,
    /// A defect of this program.
    Internal,
}

/// Where stored bytes do not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the data directory.
    pub file: String,
    /// The bytes of the file that are concerned.
    pub bytes: Range<u64>,
    /// The record sequences that are concerned, as far as they are known.
    pub seqs: Range<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, bytes, seqs } = self;
        write!(f, "`{file}` bytes {}..{}", bytes.start, bytes.end)?;
        match seqs.is_empty() {
            true => Ok(()),
            false => write!(f, ", records {}..{}", seqs.start, seqs.end),
        }
    }
}

/// An error of the store.
///
/// Boxed, because results of hot functions carry it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreError(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<&'static str>,
    place: Option<Place>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            place: None,
            source: None,
        }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Wraps a failure of the file layer; `what` completes "failed to".
    pub(crate) fn io(what: impl fmt::Display, source: io::Error) -> Self {
        let (kind, hint) = match source.kind() {
            io::ErrorKind::NotFound => (ErrorKind::NotFound, None),
            io::ErrorKind::AlreadyExists => (ErrorKind::Conflict, None),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                ErrorKind::Exhausted,
                Some("free space on the data directory's disk, then start again"),
            ),
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Unavailable,
                Some("the data directory must belong to the user that runs ark-os"),
            ),
            _ => (ErrorKind::Unavailable, Some("check the disk, then start again")),
        };
        let mut error = Self::new(kind, format!("{what}: {source}"));
        error.0.hint = hint;
        error.0.source = Some(Box::new(source));
        error
    }

    /// Stored bytes at `place` do not verify because of `why`.
    pub(crate) fn corrupt(place: Place, why: impl fmt::Display) -> Self {
        let mut error = Self::new(ErrorKind::Corrupt, format!("verify {place}: {why}"));
        error.0.hint = Some(
            "keep a copy of the data directory, run `ark-os ledger verify`, restore from a backup",
        );
        error.0.place = Some(place);
        error
    }

    /// The journal's directory has no segment, and `why` there must have been these records.
    pub(crate) fn no_segments(seqs: Range<u64>, why: impl fmt::Display) -> Self {
        let place = Place { file: crate::journal::JOURNAL_DIR.to_owned(), bytes: 0..0, seqs };
        Self::corrupt(place, why)
            .with_hint("put `journal/` back, or begin with an empty data directory")
    }

    /// A later version of this program wrote what was to be read.
    pub fn newer(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Newer, format!("{what}: a newer version of ark-os wrote it"))
            .with_hint("use that version or a later one; nothing was changed")
    }

    /// A file of the archive is not there, or a record whose file is not.
    pub(crate) fn archived(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Archived, format!("read {what}: it was archived and is not there"))
            .with_hint("put the archived segments back into the archive's directory")
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What an operator could do next, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.0.hint
    }

    /// The bytes that do not verify; present on every `Corrupt`.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }
}
