//! Backups: what a data directory cannot make again, up to a signed checkpoint, with a signed list of it.
//!
//! A backup has the layout of a data directory, so `ledger verify` reads it. Segments and blobs only ever grow by
//! new ones, so a backup into the directory of an earlier one copies what is new.
//!
//! INVARIANT: the bytes that a list names are never changed, only followed by others, and small files stand in the
//! list itself. So a backup that is interrupted leaves the one before as good as it was.

mod copy;
mod manifest;
mod restore;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::blobs::BLOBS_DIR;
use crate::error::{ErrorKind, Place, StoreError};
use crate::files::{Files, UNFINISHED, read_small, write_atomic};
use crate::journal::recovery::read_header;
use crate::journal::scan::{SegmentScan, Step};
use crate::journal::segment::{JOURNAL_DIR, first_of, path};
use crate::journal::segments::{ARCHIVE_DIR, ARCHIVE_NOTE, ARCHIVE_NOTE_BYTES_MAX};
use crate::journal::{Lookup, Segments};
use crate::ledger::{KEY_PATH, LedgerKey, PUBLIC_KEY_PATH, PublicKey};
use crate::merkle::Hash;
use crate::snapshots::{SNAPSHOTS_DIR, Snapshots};
use crate::verify::{Report, Trust, verify_in};

pub use manifest::{Entry, MANIFEST_FILE, Manifest};
pub use restore::{check, restore};

use copy::{Copied, Source, copy};

/// A small file of the data directory: a key, a token. The list of what was archived has its own limit.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// Under this name the list keeps the checkpoint that the backup ends with.
const CHECKPOINT: &str = "checkpoint";
/// Small files that are in a backup as files too, because whoever verifies reads them.
const PLAIN: [&str; 2] = [PUBLIC_KEY_PATH, ARCHIVE_NOTE];
/// What a backup's directory has, and nothing else.
const LAYOUT: [&str; 6] =
    [JOURNAL_DIR, ARCHIVE_DIR, BLOBS_DIR, SNAPSHOTS_DIR, PUBLIC_KEY_PATH, ARCHIVE_NOTE];

/// Where the newest segment of a journal ends.
#[derive(Debug, Clone)]
pub struct Tail {
    /// Records that were written.
    pub records: u64,
    /// Records that the newest checkpoint covers.
    pub signed: u64,
    segment: u64,
    /// The byte behind that checkpoint.
    end: u64,
    note: String,
}

/// What a backup came to.
#[derive(Debug)]
pub struct Written {
    /// What is in it.
    pub manifest: Manifest,
    /// Files that were copied; the others were there.
    pub files: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Records of archived segments that are neither here nor in an earlier backup.
    pub absent: Vec<Range<u64>>,
}

/// Looks at the newest segment of a journal that somebody may be writing.
pub fn tail(segments: &Segments, key: &PublicKey) -> Result<Tail, StoreError> {
    let newest = here(segments)?.into_iter().next_back();
    let newest =
        newest.ok_or_else(|| StoreError::no_segments(1..1, "there is nothing to back up"))?;
    let (file, header, name) = read_header(segments.lookup(), newest, key)?;
    let mut tail = Tail {
        records: header.tree.size(),
        signed: header.tree.size(),
        segment: newest,
        end: header.length,
        note: header.checkpoint.note().to_owned(),
    };
    let end = file.len().map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
    let mut scan = SegmentScan::new(file, name, header.salt, header.length..end);
    // What is no whole frame is being written now, or was when a process died.
    while let Step::Frame(_, frame) = scan.step()? {
        tail.records = tail.records.max(frame.seqs().end.saturating_sub(1));
        let note = std::str::from_utf8(scan.payload()).ok();
        if let Some(checkpoint) = note.and_then(|note| key.check(note).ok()) {
            tail.signed = checkpoint.size();
            tail.end = scan.offset();
            tail.note = checkpoint.note().to_owned();
        }
    }
    Ok(tail)
}

/// Copies everything up to a checkpoint of the tail into `target`, verifies what is there then, and says so in a
/// signed list. `small` are names of further small files that are taken where they are.
///
/// `Conflict`: the target is something else, or holds a backup of another journal. `Corrupt`: what is to be copied,
/// or what was copied earlier, is damaged.
pub fn write(
    segments: &Segments,
    key: &LedgerKey,
    small: &[&str],
    (target, now_ms): (&dyn Files, u64),
) -> Result<Written, StoreError> {
    check_apart(segments, target)?;
    let before = earlier(target, key.public())?;
    let tail = tail(segments, key.public())?;
    if let Some(before) = before.as_ref().filter(|before| before.records > tail.signed) {
        let message = format!(
            "go on with a backup of {} records: the journal has {} that are signed",
            before.records, tail.signed
        );
        return Err(StoreError::new(ErrorKind::Conflict, message)
            .with_hint("the journal was rolled back: back it up into another directory"));
    }
    let mut copying = Copying::new(segments, target, before.as_ref());
    copying.segments(&tail, key.public())?;
    let mut small_files = smalls(segments.files().as_ref(), small)?;
    small_files.insert(CHECKPOINT.to_owned(), tail.note.clone().into_bytes());
    copying.blobs()?;
    copying.snapshot(key.public(), tail.signed)?;
    let manifest = Manifest {
        records: tail.signed,
        made_ms: now_ms,
        small: small_files,
        files: copying.entries,
    };
    for name in PLAIN {
        if let Some(bytes) = manifest.small.get(name) {
            write_atomic(target, name, bytes).map_err(|error| unwritten(name, error))?;
        }
    }
    let kept = before.as_ref().and_then(Manifest::checkpoint);
    let report = verified(target, key.public(), kept.into_iter().map(str::to_owned).collect())?;
    manifest.store(target, key)?;
    drop_snapshots(target, &manifest)?;
    let Copied { files, bytes } = copying.copied;
    Ok(Written { manifest, files, bytes, absent: report.absent })
}

/// Verifies the journal of a backup or of what was made of one.
///
/// `Corrupt` with the place of the first fault.
pub fn verified(
    files: &dyn Files,
    key: &PublicKey,
    kept: Vec<String>,
) -> Result<Report, StoreError> {
    let report = verify_in(Lookup::new(files), &Trust { key: Some(key.clone()), kept })?;
    match &report.fault {
        None => Ok(report),
        Some(fault) => Err(StoreError::corrupt(fault.place.clone(), &fault.why)
            .with_hint("use another backup; `ark-os ledger verify` tells more of this one")),
    }
}

/// A backup is not made into what it is made of.
fn check_apart(segments: &Segments, target: &dyn Files) -> Result<(), StoreError> {
    let unknown = |error| StoreError::io("look at the backup's directory", error);
    let theirs = target.dir_id("").map_err(unknown)?;
    let files = segments.files().as_ref();
    let mut own = vec![files.dir_id("")];
    own.extend([JOURNAL_DIR, ARCHIVE_DIR, BLOBS_DIR, SNAPSHOTS_DIR].map(|dir| files.dir_id(dir)));
    own.extend(segments.elsewhere().map(|archive| archive.dir_id("")));
    let is_own = |id: io::Result<_>| id.ok().flatten().is_some_and(|id| Some(id) == theirs);
    if own.into_iter().any(is_own) {
        let message = "write a backup into the data directory or its archive";
        return Err(StoreError::new(ErrorKind::Conflict, message)
            .with_hint("name another directory, best on another disk"));
    }
    Ok(())
}

/// The backup that is there already.
fn earlier(target: &dyn Files, key: &PublicKey) -> Result<Option<Manifest>, StoreError> {
    match Manifest::load(target, Some(key)) {
        Ok(manifest) => return Ok(Some(manifest)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error.with_hint("back it up into another directory"));
        }
    }
    let names = target.list("").map_err(|error| StoreError::io("read the target", error))?;
    let is_ours = |name: &String| {
        let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
        LAYOUT.contains(&name) || name == MANIFEST_FILE
    };
    match names.iter().find(|name| !is_ours(name)) {
        None => Ok(None),
        Some(name) => {
            let message = format!("write a backup beside `{name}`: the directory is not empty");
            Err(StoreError::new(ErrorKind::Conflict, message)
                .with_hint("name an empty directory, or one that holds a backup of this journal"))
        }
    }
}

/// First sequences of the segments in the journal's directory, in order.
fn here(segments: &Segments) -> Result<Vec<u64>, StoreError> {
    let names = segments.files().list(JOURNAL_DIR);
    let names = names.map_err(|error| StoreError::io(format!("read `{JOURNAL_DIR}`"), error))?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn smalls(files: &dyn Files, more: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let mut found = BTreeMap::new();
    for name in [KEY_PATH, PUBLIC_KEY_PATH, ARCHIVE_NOTE].iter().chain(more) {
        let max = if *name == ARCHIVE_NOTE { ARCHIVE_NOTE_BYTES_MAX } else { SMALL_BYTES_MAX };
        match read_small(files, name, max) {
            Ok(bytes) => _ = found.insert((*name).to_owned(), bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(format!("read `{name}`"), error)),
        }
    }
    Ok(found)
}

fn unwritten(path: &str, error: io::Error) -> StoreError {
    StoreError::io(format!("write `{path}` of the backup"), error)
}

/// One backup on its way.
struct Copying<'a> {
    source: &'a Segments,
    target: &'a dyn Files,
    /// What is in the backup, from before or from now.
    entries: BTreeMap<String, Entry>,
    /// The newest segment of the backup before: it has grown since.
    open: Option<(String, Entry)>,
    copied: Copied,
}

impl<'a> Copying<'a> {
    fn new(source: &'a Segments, target: &'a dyn Files, before: Option<&Manifest>) -> Self {
        let mut entries = before.map(|before| before.files.clone()).unwrap_or_default();
        let newest = path_of_newest(&entries);
        let open = newest.and_then(|path| entries.remove_entry(&path));
        Self { source, target, entries, open, copied: Copied::default() }
    }

    /// Whether a file need not be copied.
    fn has(&self, to: &str) -> bool {
        let is_whole = |entry: &Entry| {
            let len = self.target.open(to).and_then(|file| file.len());
            len.is_ok_and(|len| len >= entry.bytes)
        };
        self.entries.get(to).is_some_and(is_whole)
    }

    fn take(&mut self, from: &Source<'_>, to: &str) -> Result<(), StoreError> {
        let prefix = self.open.as_ref().filter(|(path, _)| path == to).map(|(_, entry)| *entry);
        let entry = copy(from, (self.target, to), prefix, &mut self.copied)?;
        self.entries.insert(to.to_owned(), entry);
        Ok(())
    }

    /// The journal's directory is read before the archive: segments move one way.
    fn segments(&mut self, tail: &Tail, key: &PublicKey) -> Result<(), StoreError> {
        let lookup = self.source.lookup();
        let mut all = here(self.source)?;
        all.extend(lookup.archived()?);
        all.sort_unstable();
        all.dedup();
        all.retain(|first| *first <= tail.segment);
        let nexts = all.iter().skip(1).map(|first| Some(*first)).chain([None]);
        for (&first, next) in all.iter().zip(nexts) {
            let name = path(first);
            // It may have been archived since the earlier backup, where it stays as it is.
            let archived = name.replacen(JOURNAL_DIR, ARCHIVE_DIR, 1);
            if self.has(&name) || self.has(&archived) {
                continue;
            }
            let (file, shown) = lookup.open(first)?;
            let bytes = match next {
                None => Some(tail.end),
                // What was archived was cut to its end.
                Some(next) if shown == name => sealed_at(lookup, next, key)?,
                Some(_) => None,
            };
            let is_open = self.open.as_ref().is_some_and(|(open, _)| *open == name);
            let to = if is_open { &name } else { &shown };
            self.take(&Source { file, name: &shown, bytes, hash: None }, to)?;
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), StoreError> {
        let source = Arc::clone(self.source.files());
        let unread = |error| StoreError::io(format!("read `{BLOBS_DIR}`"), error);
        let shards = match source.list(BLOBS_DIR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            shards => shards.map_err(unread)?,
        };
        for shard in shards.iter().filter(|shard| !shard.ends_with(UNFINISHED)) {
            let dir = format!("{BLOBS_DIR}/{shard}");
            for name in source.list(&dir).map_err(unread)? {
                if let Some(hash) = Hash::from_hex(&name) {
                    let path = format!("{dir}/{name}");
                    if !self.has(&path) {
                        let file = source.open(&path).map_err(unread)?;
                        let hash = Some(hash);
                        self.take(&Source { file, name: &path, bytes: None, hash }, &path)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The newest snapshot that is good and covers no more: without one a start needs all segments, archived too.
    fn snapshot(&mut self, key: &PublicKey, records: u64) -> Result<(), StoreError> {
        let source = Arc::clone(self.source.files());
        let snapshots = Snapshots::new(Arc::clone(&source), key.clone());
        for size in snapshots.list()?.into_iter().filter(|size| *size <= records) {
            // One that was replaced meanwhile or is damaged is none.
            if snapshots.load(size).is_err() {
                continue;
            }
            let path = crate::snapshots::path(size);
            if !self.has(&path) {
                let Ok(file) = source.open(&path) else { continue };
                self.take(&Source { file, name: &path, bytes: None, hash: None }, &path)?;
            }
            let is_other = |other: &String| other.starts_with(SNAPSHOTS_DIR) && *other != path;
            self.entries.retain(|other, _| !is_other(other));
            break;
        }
        Ok(())
    }
}

/// Where a segment ends, as its successor signed it; none: what is in between is not there.
fn sealed_at(lookup: Lookup<'_>, next: u64, key: &PublicKey) -> Result<Option<u64>, StoreError> {
    Ok(read_header(lookup, next, key)?.1.checkpoint.statement().sealed_at)
}

/// The segment of a backup that has no successor in it.
fn path_of_newest(entries: &BTreeMap<String, Entry>) -> Option<String> {
    let first = |path: &String| first_of(path.rsplit_once('/')?.1);
    entries.keys().filter(|path| first(path).is_some()).max_by_key(|path| first(path)).cloned()
}

/// Snapshots of earlier backups are replaced, not collected.
fn drop_snapshots(target: &dyn Files, manifest: &Manifest) -> Result<(), StoreError> {
    let names = match target.list(SNAPSHOTS_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(|error| unwritten(SNAPSHOTS_DIR, error))?,
    };
    let paths = names.iter().map(|name| format!("{SNAPSHOTS_DIR}/{name}"));
    for path in paths.filter(|path| !manifest.files.contains_key(path)) {
        target.remove(&path).map_err(|error| unwritten(&path, error))?;
    }
    Ok(())
}

/// A file of a backup is not what its list says.
fn damaged(path: &str, bytes: u64, why: &str) -> StoreError {
    let place = Place { file: path.to_owned(), bytes: 0..bytes, seqs: 0..0 };
    StoreError::corrupt(place, why)
}
