//! Proofs from a data directory on which no instance runs.

use std::path::Path;
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::ids::RunId;
use ark_os_store::views::{Followed, Follower, Views, ViewsOptions};
use ark_os_store::{
    Blobs, Checkpoint, DataLock, DiskFiles, ErrorKind, Files, Journal, LedgerKey, PublicKey,
    Reader, Segments, Settings, Snapshots, Tiles,
};

use super::write::{Evidence, Prepared, prepare};
use crate::RuntimeError;
use crate::keeper::warn_of_damage;
use crate::kernel::record::decode;
use crate::opening::{VIEWS_FILE, open_journal};

/// Records that the views take in one transaction while they catch up.
const CATCH_UP: usize = 4_096;

/// A data directory, held for as long as proofs are made of it.
#[derive(Debug)]
pub struct Offline {
    evidence: Evidence,
    journal: Journal,
    follower: Follower,
    _lock: DataLock,
}

impl Offline {
    /// Opens a data directory as a start would: what is not signed is signed, the views follow, the tiles are
    /// extended. `archive` is where segments were archived, if that is not in the data directory.
    ///
    /// # Errors
    /// The directory is in use, damaged, or without its key.
    pub fn open(data_dir: &Path, archive: Option<&Path>) -> Result<Self, RuntimeError> {
        let unusable = |error: std::io::Error| {
            let message = format!("open the data directory `{}`: {error}", data_dir.display());
            RuntimeError::new(Kind::Unavailable, "data_directory_unusable", message)
        };
        // `DiskFiles` alone would make the directory, and with it a data directory of nothing.
        std::fs::metadata(data_dir).map_err(unusable)?;
        let lock = DataLock::acquire(data_dir)?;
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(data_dir).map_err(unusable)?);
        let key = LedgerKey::load(&*files)?;
        let public = key.public().clone();
        let segments = match archive {
            None => Segments::new(files.clone()),
            Some(path) => {
                // One that was mistyped is not made either.
                std::fs::metadata(path).map_err(|error| absent(path, error))?;
                let archive = Arc::new(DiskFiles::new(path).map_err(unusable)?);
                Segments::with_archive(files.clone(), archive)
            }
        };
        let snapshots = Snapshots::new(files.clone(), public.clone());
        let mut journal = open_journal(&snapshots, &segments, Settings::default(), &key)?.journal;
        let checkpoint = journal.checkpoint()?;
        let reader = journal.reader();
        let views = Views::open(&data_dir.join(VIEWS_FILE), ViewsOptions::default())?;
        let (mut follower, views) = views.split()?;
        catch_up(&mut follower, &reader)?;
        let tiles = tiles(files.clone(), &public, &reader, &checkpoint)?;
        let blobs = Arc::new(Blobs::open(files)?);
        let evidence = Evidence { reader, tiles, views, blobs, key: public, checkpoint };
        Ok(Offline { evidence, journal, follower, _lock: lock })
    }

    /// What bundles are made of.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Prepares the bundle of a run.
    ///
    /// # Errors
    /// There is no such run, or it is not over.
    pub fn prepare(
        &self,
        run: RunId,
        embeds: bool,
        kept: Option<&str>,
    ) -> Result<Prepared, RuntimeError> {
        prepare(&self.evidence, run, embeds, kept)
    }

    /// Ends cleanly.
    ///
    /// # Errors
    /// The journal or the views could not be closed.
    pub fn close(self) -> Result<(), RuntimeError> {
        self.journal.close()?;
        Ok(self.follower.close()?)
    }
}

fn absent(archive: &Path, error: std::io::Error) -> RuntimeError {
    let message = format!("open the archive `{}`: {error}", archive.display());
    RuntimeError::new(Kind::Unavailable, "data_directory_unusable", message)
        .with_hint("name the directory with the archived segments")
        .with_source(error)
}

fn catch_up(follower: &mut Follower, reader: &Reader) -> Result<(), RuntimeError> {
    let mut cursor = reader.cursor(follower.position() + 1);
    let mut behind = Vec::new();
    loop {
        let next = cursor.next()?;
        let is_end = next.is_none();
        if let Some(record) = next {
            behind.push((record.seq, decode(&record)?));
        }
        if is_end || behind.len() >= CATCH_UP {
            let rows: Vec<Followed<'_>> = behind.iter().map(followed).collect();
            follower.follow(&rows)?;
            behind.clear();
        }
        if is_end {
            return Ok(());
        }
    }
}

fn followed((seq, change): &(u64, ark_os_core::Change)) -> Followed<'_> {
    Followed { seq: *seq, at: change.at, run: change.run, events: &change.events }
}

/// Tiles that do not fit the journal are made anew.
fn tiles(
    files: Arc<dyn Files>,
    key: &PublicKey,
    reader: &Reader,
    to: &Checkpoint,
) -> Result<Tiles, RuntimeError> {
    let mut tiles = Tiles::open(files, key)?;
    warn_of_damage(&tiles);
    match tiles.extend(reader, to) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tiles.rebuild();
            tiles.extend(reader, to)?;
        }
        other => _ = other?,
    }
    Ok(tiles)
}
