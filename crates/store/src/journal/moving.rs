//! Moving a segment into the archive. Nothing is removed that the archive does not durably have, nothing in it is
//! ever replaced, and nothing goes into a directory that is not this journal's.

use std::io;

use crate::error::{ErrorKind, StoreError};
use crate::files::{File, Files, UNFINISHED, discarded, read_small, write_atomic};
use crate::ledger::PublicKey;

use super::segment::{HEADER_MAX, JOURNAL_DIR, SegmentHeader, file_name, first_of, path};
use super::segments::{ARCHIVE_DIR, ArchiveNote, Segments, Span, in_dir};

/// Says in an archive of its own whose it is: a directory without it is perhaps one where nothing was mounted, and
/// one that has another is somebody else's.
const ARCHIVE_OWNER: &str = "archive.owner";
/// A public key is far shorter.
const OWNER_BYTES_MAX: u64 = 1 << 10;
/// Copied or compared at a time.
const COPY_BYTES: usize = 1 << 20;

/// Refuses an archive that is the journal's own directory by another path: a segment in it would be its own copy.
pub(super) fn check_apart(journal: &dyn Files, archive: &dyn Files) -> Result<(), StoreError> {
    let ours = match journal.dir_id(JOURNAL_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        id => id.map_err(unknown)?,
    };
    let theirs = archive.dir_id("").map_err(unknown)?;
    if ours.is_some() && ours == theirs { Err(not_apart()) } else { Ok(()) }
}

/// Whether a directory outside the data directory says already that it is this journal's archive. An error: it is
/// another's, or not the one that was used before.
pub(super) fn is_claimed(
    archive: &dyn Files,
    note: &ArchiveNote,
    key: &PublicKey,
) -> Result<bool, StoreError> {
    match read_small(archive, ARCHIVE_OWNER, OWNER_BYTES_MAX) {
        Ok(bytes) if bytes == owner(key).as_bytes() => return Ok(true),
        Ok(_) => return Err(of_another()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unknown(error)),
        Err(_) => {}
    }
    let names = archive.list("").map_err(unknown)?;
    match names.iter().find(|name| first_of(name).is_some()) {
        Some(name) if !is_ours(archive, name, key).map_err(unknown)? => Err(of_another()),
        None if !note.firsts.is_empty() => {
            let message = "use the archive: what was archived before is not there";
            Err(StoreError::new(ErrorKind::Unavailable, message)
                .with_hint("mount it, or move the archived segments there from where they were"))
        }
        _ => Ok(false),
    }
}

/// Makes sure that a directory outside the data directory is the archive of this journal and of no other.
///
/// INVARIANT: that it says whose it is counts only while the journal's directory does not say the same. File
/// systems may give one directory several numbers, and a crash may leave what was tried in it.
pub(super) fn claim(
    journal: &dyn Files,
    archive: &dyn Files,
    note: &ArchiveNote,
    key: &PublicKey,
) -> Result<(), StoreError> {
    check_apart(journal, archive)?;
    clear_trial(journal, key)?;
    if is_claimed(archive, note, key)? {
        return Ok(());
    }
    write_atomic(archive, ARCHIVE_OWNER, owner(key).as_bytes()).map_err(unknown)?;
    if clear_trial(journal, key)? { Err(not_apart()) } else { Ok(()) }
}

/// Removes for good from the journal's directory what says that it is an archive; whether there was such a thing.
fn clear_trial(journal: &dyn Files, key: &PublicKey) -> Result<bool, StoreError> {
    let path = in_dir(JOURNAL_DIR, ARCHIVE_OWNER);
    match read_small(journal, &path, OWNER_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Ok(bytes) if bytes != owner(key).as_bytes() => return Err(of_another()),
        read => drop(read.map_err(unknown)?),
    }
    journal.remove(&path).map_err(unknown)?;
    journal.sync_dir(JOURNAL_DIR).map_err(unknown)?;
    Ok(true)
}

fn not_apart() -> StoreError {
    StoreError::new(ErrorKind::Conflict, "use the archive: it is the journal's own directory")
        .with_hint("set `store.archive_dir` to another, or leave it empty")
}

fn owner(key: &PublicKey) -> String {
    format!("{key}\n")
}

fn unknown(error: io::Error) -> StoreError {
    StoreError::io("look whose archive it is", error)
}

fn of_another() -> StoreError {
    StoreError::new(ErrorKind::Conflict, "use the archive: it is another journal's")
        .with_hint("give every instance a `store.archive_dir` of its own")
}

fn is_ours(archive: &dyn Files, name: &str, key: &PublicKey) -> io::Result<bool> {
    let mut bytes = vec![0; HEADER_MAX];
    let read = archive.open(name)?.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(SegmentHeader::decode(&bytes, key).is_ok())
}

/// Moves the file of a segment whose frames end where the span says. After a crash at any point, or once `go_on`
/// said no (`Interrupted`), doing it again finishes it.
pub(super) fn move_file(
    segments: &Segments,
    span: &Span,
    go_on: &dyn Fn() -> bool,
) -> io::Result<()> {
    let (from, name) = (path(span.first), file_name(span.first));
    let files = segments.files().as_ref();
    let file = files.open(&from)?;
    // The reserved space was given back when it was sealed, but perhaps not durably.
    if file.len()? > span.end {
        file.truncate(span.end)?;
    }
    file.sync()?;
    match segments.elsewhere() {
        None => {
            files.make_dir(ARCHIVE_DIR)?;
            files.sync_dir("")?;
            let to = in_dir(ARCHIVE_DIR, &name);
            if is_there(file.as_ref(), files, &to, go_on)? {
                files.sync_dir(ARCHIVE_DIR)?;
                files.remove(&from)?;
            } else {
                files.rename(&from, &to)?;
                files.sync_dir(ARCHIVE_DIR)?;
            }
        }
        Some(archive) => {
            if !is_there(file.as_ref(), archive, &name, go_on)? {
                copy(file.as_ref(), archive, &name, go_on)?;
            }
            archive.sync_dir("")?;
            files.remove(&from)?;
        }
    }
    files.sync_dir(JOURNAL_DIR)
}

/// Whether the archive durably has this very file already; another of its name is an error.
fn is_there(
    file: &dyn File,
    archive: &dyn Files,
    name: &str,
    go_on: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let there = match archive.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let id = file.id()?;
    if id.is_some() && id == there.id()? {
        let message = "the archive has this very file and no copy of it, so that it is not removed";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let (mut ours, mut theirs) = (vec![0; COPY_BYTES], vec![0; COPY_BYTES]);
    let (mut at, mut is_same) = (0, file.len()? == there.len()?);
    while is_same {
        told(go_on)?;
        let (read, as_many) = (file.read_at(&mut ours, at)?, there.read_at(&mut theirs, at)?);
        is_same = ours.get(..read) == theirs.get(..as_many);
        at += read as u64;
        if read == 0 {
            break;
        }
    }
    if !is_same {
        let message = "the archive has another segment of this name, which is not replaced";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    there.sync()?;
    Ok(true)
}

fn told(go_on: &dyn Fn() -> bool) -> io::Result<()> {
    if go_on() { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
}

/// Copies a file so that it has its name only when all of it is durable.
fn copy(
    from: &dyn File,
    archive: &dyn Files,
    name: &str,
    go_on: &dyn Fn() -> bool,
) -> io::Result<()> {
    let unfinished = format!("{name}{UNFINISHED}");
    match archive.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let copied = || {
        let to = archive.create(&unfinished, from.len()?)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            told(go_on)?;
            let read = from.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            to.write_at(buffer.get(..read).unwrap_or_default(), at)?;
            at += read as u64;
        }
        to.sync()?;
        archive.rename(&unfinished, name)
    };
    discarded(archive, &unfinished, copied())
}
