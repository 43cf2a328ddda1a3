//! `ark-os restore`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ark_os_api::Exit;
use ark_os_store::backup::{self, Manifest};
use ark_os_store::journal::JOURNAL_DIR;
use ark_os_store::lock::LOCK_PATH;
use ark_os_store::verify::Report;
use ark_os_store::{DataLock, DiskFiles, ErrorKind, PublicKey, StoreError};
use serde_json::{Value, json};

use super::backup::of_store;
use super::ledger::{open_archive, read_kept, read_key};
use crate::failure::Failure;
use crate::node::RESTORING;
use crate::output::counted;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// What an attempt that was killed leaves in the target.
const LEFT_OVERS: [&str; 2] = [RESTORING, LOCK_PATH];

/// Put a backup back into an empty data directory
///
/// Every byte is compared with the backup's list, and the journal is verified as `ark-os ledger
/// verify` does, before anything has its place; the backup stays as it is. An instance that is started then goes on
/// where the backup ends. Never start both, the original and what was restored from it.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// Directory of the backup
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Only verify the backup; nothing is written
    #[arg(long)]
    check: bool,
    /// Checkpoints that were kept outside: says what came after the backup, and finds another journal
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
    /// Public key that was kept outside, as a file (`ledger.pub`)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// What is verified against.
struct Against {
    key: PublicKey,
    /// Kept checkpoints that the backup should have.
    kept: Vec<String>,
    /// Records of the newest kept checkpoint, whether the backup has them or not.
    newest: Option<u64>,
}

impl Restore {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let from = open_archive(&self.backup)?;
        let given = self.key.as_deref().map(read_key).transpose()?;
        let manifest = Manifest::load(&from, given.as_ref()).map_err(|error| damaged(&error))?;
        let against = self.against(&manifest)?;
        let data_dir = session.reach.data_dir(&session.environment);
        let report = match self.check {
            true => {
                backup::check(&manifest, &from).map_err(|error| damaged(&error))?;
                backup::verified(&from, &against.key, against.kept.clone())
                    .map_err(|error| damaged(&error))?
            }
            false => put_back(&manifest, &from, &data_dir, &against)?,
        };
        let target = (!self.check).then_some(data_dir.as_path());
        let document = self.document(&manifest, &against, &report, target);
        session.output.answer(&document, |terminal| {
            self.lines(&manifest, &against, (&report, target), terminal)
        })?;
        Ok(Exit::Done)
    }

    fn against(&self, manifest: &Manifest) -> Result<Against, Failure> {
        let key = manifest.key()?;
        let notes = self.kept.as_deref().map(read_kept).transpose()?.unwrap_or_default();
        let size = |note: &String| key.open(note).ok().map(|checkpoint| checkpoint.size());
        let newest = notes.iter().filter_map(size).max();
        let is_later = |note: &String| size(note).is_some_and(|size| size > manifest.records);
        // One of another key is left in, so that it is told.
        let kept = notes.iter().filter(|note| !is_later(note)).cloned().collect();
        Ok(Against { key, kept, newest })
    }

    fn document(
        &self,
        manifest: &Manifest,
        against: &Against,
        report: &Report,
        target: Option<&Path>,
    ) -> Value {
        json!({
            "backup": self.backup,
            "data_dir": target,
            "ok": true,
            "records": manifest.records,
            "files": manifest.files.len(),
            "made_ms": manifest.made_ms,
            "checkpoint": manifest.checkpoint(),
            "key": against.key.to_string(),
            "key_was_given": self.key.is_some(),
            "kept_records": against.newest,
            "records_after_backup": after(manifest, against),
            "absent_records": report.absent.iter().map(|it| [it.start, it.end]).collect::<Vec<_>>(),
        })
    }

    fn lines(
        &self,
        manifest: &Manifest,
        against: &Against,
        (report, target): (&Report, Option<&Path>),
        terminal: &Terminal,
    ) -> Vec<String> {
        let what = match target {
            Some(dir) => format!("restored into {} and verified", dir.display()),
            None => "the backup verifies".to_owned(),
        };
        let source = if self.key.is_some() { "given" } else { "from the backup itself" };
        let mut lines = vec![
            terminal.out(Tone::Good, &what),
            format!(
                "  {}, {}",
                counted(manifest.records, "record"),
                counted(manifest.files.len(), "file")
            ),
            format!("  key {} ({source})", against.key),
        ];
        lines.extend(against.newest.map(|kept| match after(manifest, against) {
            Some(lost) if lost > 0 => terminal.out(
                Tone::Warning,
                &format!(
                    "  the backup is older than the kept checkpoint: {lost} records up to {kept} \
                     are not in it"
                ),
            ),
            _ => format!("  it goes on from the kept checkpoint of {}", counted(kept, "record")),
        }));
        lines.extend(report.absent.iter().map(|absent| {
            let (first, last) = (absent.start, absent.end - 1);
            format!("  note: records {first} to {last} are absent: their archive was taken away")
        }));
        lines
    }
}

/// What is wrong with a backup; the original is another matter.
fn damaged(error: &StoreError) -> Failure {
    let failure = of_store(error);
    match error.kind() {
        ErrorKind::Corrupt => {
            failure.with_hint("this backup cannot be put back whole: use another, or make it again")
        }
        _ => failure,
    }
}

/// How many records that were signed are not in the backup, if anybody can say.
fn after(manifest: &Manifest, against: &Against) -> Option<u64> {
    against.newest.map(|kept| kept.saturating_sub(manifest.records))
}

/// Restores beside the final places, verifies there, and then gives everything its place.
fn put_back(
    manifest: &Manifest,
    from: &DiskFiles,
    data_dir: &Path,
    against: &Against,
) -> Result<Report, Failure> {
    let was_there = data_dir.exists();
    let unusable = |error: std::io::Error| {
        let message = format!("cannot write into `{}`: {error}", data_dir.display());
        Failure::new("data_directory_unusable", message)
    };
    let placed = check_empty(data_dir, manifest)?;
    // It makes the directory, for its owner alone.
    DiskFiles::new(data_dir).map_err(unusable)?;
    let lock = DataLock::acquire(data_dir)?;
    let stage = data_dir.join(RESTORING);
    let mut is_placing = false;
    let made = (|| {
        // What an attempt that was cut off gave its place; the stage, which tells of it, goes last.
        placed.iter().try_for_each(|it| remove(&data_dir.join(it))).map_err(unusable)?;
        remove(&stage).map_err(unusable)?;
        let files = DiskFiles::new(&stage).map_err(unusable)?;
        backup::restore(manifest, from, &files).map_err(|error| damaged(&error))?;
        let report = backup::verified(&files, &against.key, against.kept.clone())
            .map_err(|error| damaged(&error))?;
        is_placing = true;
        place(&stage, data_dir).map_err(|error| {
            unusable(error).with_hint("restore again: that finishes it; nothing starts here before")
        })?;
        Ok(report)
    })();
    if made.is_err() && !is_placing {
        // The first failure is the one to tell.
        let _ = remove(&stage);
        let _ = std::fs::remove_file(data_dir.join(LOCK_PATH));
        if !was_there {
            let _ = std::fs::remove_dir(data_dir);
        }
    }
    drop(lock);
    made
}

/// Refuses a directory that has anything in it but what a restore that was cut off has left; that is answered.
fn check_empty(data_dir: &Path, manifest: &Manifest) -> Result<Vec<OsString>, Failure> {
    let entries = match std::fs::read_dir(data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| {
            let message = format!("cannot read `{}`: {error}", data_dir.display());
            Failure::new("data_directory_unusable", message)
        })?,
    };
    let paths = manifest.small.keys().chain(manifest.files.keys());
    let own: BTreeSet<&str> = paths.filter_map(|path| path.split('/').next()).collect();
    let was_cut_off = data_dir.join(RESTORING).exists();
    let is_own = |name: &OsString| was_cut_off && name.to_str().is_some_and(|it| own.contains(it));
    let names = entries.flatten().map(|entry| entry.file_name());
    let there: Vec<OsString> =
        names.filter(|it| !LEFT_OVERS.iter().any(|left| it == left)).collect();
    match there.iter().find(|it| !is_own(it)) {
        None => Ok(there),
        Some(name) => {
            let (dir, name) = (data_dir.display(), name.display());
            let message = format!("the data directory `{dir}` is not empty: it has `{name}`");
            Err(Failure::new("data_directory_not_empty", message)
                .with_hint("name an empty or new one with --data-dir; nothing is replaced"))
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            std::fs::remove_file(path)
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The journal comes last: a directory is one to start from when it has that.
fn place(stage: &Path, data_dir: &Path) -> std::io::Result<()> {
    let mut names: Vec<_> =
        std::fs::read_dir(stage)?.flatten().map(|entry| entry.file_name()).collect();
    names.sort_by_key(|name| name == JOURNAL_DIR);
    for name in names {
        std::fs::rename(stage.join(&name), data_dir.join(&name))?;
    }
    std::fs::File::open(data_dir)?.sync_all()?;
    std::fs::remove_dir(stage)?;
    std::fs::File::open(data_dir)?.sync_all()
}
