//! `ark-os backup`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ark_os_api::Exit;
use ark_os_runtime::RuntimeError;
use ark_os_runtime::clock::Clock;
use ark_os_store::backup::{self, Written};
use ark_os_store::{
    DataLock, DiskFiles, ErrorKind, Files, LedgerKey, PublicKey, Segments, Settings, Snapshots,
    StoreError,
};
use serde_json::{Value, json};

use super::ledger::segments_in;
use crate::client::TOKEN_FILE;
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};
use crate::threads::pause;

/// Between two looks at whether the instance has signed what it had written.
const LOOK: Duration = Duration::from_millis(100);
/// An instance signs every second: after thirty it hangs, or its disk does.
const LOOKS_MAX: u32 = 300;

/// Copy all that cannot be made again into a directory, also while the instance works
///
/// Journal, archive, blobs, the newest snapshot, keys and token, up to a checkpoint that covers all
/// that was acknowledged before: consistent, verified, with a signed list of digests. A directory
/// that holds an earlier backup of the same journal is brought up to date, and copies only what is
/// new. Configuration and manifests are not in the data directory, and so not in a backup. Who has a
/// backup has the key and the token: keep it as private as the data directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// Where to: a new directory, or one with an earlier backup
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Directory of the archived segments [default: as `store.archive_dir` says]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

impl Backup {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        if session.reach.endpoint.is_some() {
            return Err(Failure::usage("a backup is made of a data directory, not of an endpoint")
                .with_hint("run it where the instance runs, with --data-dir"));
        }
        let data_dir = session.reach.data_dir(&session.environment);
        let segments = segments_in(session, &data_dir, self.archive.as_deref())?;
        let key = LedgerKey::load(segments.files().as_ref())?;
        let (lock, is_running) = match DataLock::acquire(&data_dir) {
            Ok(lock) => (Some(lock), false),
            Err(error) if error.kind() == ErrorKind::Conflict => (None, true),
            Err(error) => return Err(error.into()),
        };
        match is_running {
            true => signed(&segments, key.public())?,
            false => sign(&segments, &key)?,
        }
        let target = open(&self.dir)?;
        let now = Clock::new().now().0;
        let written = backup::write(&segments, &key, &[TOKEN_FILE], (&target, now))
            .map_err(|error| of_store(&error))?;
        drop(lock);
        let document = self.document(&data_dir, is_running, &written);
        session.output.answer(&document, |terminal| self.lines(&written, terminal))?;
        Ok(Exit::Done)
    }

    fn document(&self, data_dir: &Path, is_running: bool, written: &Written) -> Value {
        let manifest = &written.manifest;
        json!({
            "backup": self.dir,
            "data_dir": data_dir,
            "instance_ran": is_running,
            "records": manifest.records,
            "files": manifest.files.len(),
            "bytes": manifest.files.values().map(|entry| entry.bytes).sum::<u64>(),
            "copied_files": written.files,
            "copied_bytes": written.bytes,
            "absent_records": written.absent.iter().map(|it| [it.start, it.end]).collect::<Vec<_>>(),
            "checkpoint": manifest.checkpoint(),
        })
    }

    fn lines(&self, written: &Written, terminal: &Terminal) -> Vec<String> {
        let manifest = &written.manifest;
        let total: u64 = manifest.files.values().map(|entry| entry.bytes).sum();
        let done = format!("{} records are in {}", manifest.records, self.dir.display());
        let mut lines = vec![
            terminal.out(Tone::Good, &done),
            format!(
                "  {} files of {} KiB, of which {} of {} KiB are new; all of it verifies",
                manifest.files.len(),
                total >> 10,
                written.files,
                written.bytes >> 10
            ),
        ];
        lines.extend(written.absent.iter().map(|absent| {
            let (first, last) = (absent.start, absent.end - 1);
            format!("  note: records {first} to {last} are absent: their archive was taken away")
        }));
        lines
    }
}

/// Opens a directory for a backup, making it if need be.
fn open(dir: &Path) -> Result<DiskFiles, Failure> {
    DiskFiles::new(dir)
        .map_err(|error| Failure::usage(format!("cannot write into `{}`: {error}", dir.display())))
}

/// A failure about a backup: what the store calls a conflict is none about a data directory here.
pub(super) fn of_store(error: &StoreError) -> Failure {
    let failure = match error.kind() {
        ErrorKind::Conflict => Failure::new("backup_refused", error.to_string()),
        ErrorKind::Corrupt => Failure::new("verification_failed", error.to_string()),
        _ => RuntimeError::from(StoreError::new(error.kind(), error.to_string())).into(),
    };
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Waits until the instance has signed what is written now.
fn signed(segments: &Segments, key: &PublicKey) -> Result<(), Failure> {
    let wanted = backup::tail(segments, key)?.records;
    for _ in 0..LOOKS_MAX {
        if backup::tail(segments, key)?.signed >= wanted {
            return Ok(());
        }
        pause(LOOK);
    }
    let message = "the process that holds the data directory signs no checkpoint";
    Err(Failure::new("checkpoint_not_found", message)
        .with_hint("look at its log; where it hangs, stop it and back up the stopped directory"))
}

/// Recovers the journal of a stopped instance as a start would, and signs what nobody has signed.
fn sign(segments: &Segments, key: &LedgerKey) -> Result<(), Failure> {
    let files: Arc<dyn Files> = Arc::clone(segments.files());
    let snapshots = Snapshots::new(files, key.public().clone());
    let opened = snapshots.open_journal(segments, Settings::default(), key, |_| Ok(()))?;
    opened.journal.close()?;
    Ok(())
}
