//! `ark-os ledger`: the journal as evidence. All of it works without a running instance.

mod bundle;
mod keep;
mod prove;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ark_os_api::{CheckpointView, Exit};
use ark_os_store::ledger::{NOTE_BYTES_MAX, split_notes};
use ark_os_store::verify::{Report, Trust, UNSEEN, verify, verify_in};
use ark_os_store::{DiskFiles, Files, PublicKey, Segments, Tiles};
use serde_json::{Value, json};

use crate::bounded::read_bounded;
use crate::config::load;
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::{Terminal, Tone, one_line};

/// A keep file: a note a day for some two centuries.
const KEEP_BYTES_MAX: u64 = 32 << 20;

/// Verify the journal, and get its signed checkpoints
#[derive(Debug, clap::Args)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Verify(Verify),
    Checkpoint(Checkpoint),
    Prove(prove::Prove),
}

/// Verify a journal or a proof bundle, offline
///
/// Of a data directory every record is verified; of a file what `ark-os ledger prove` wrote.
///
/// Finds every edit, drop, addition, reordering and truncation of records that a checkpoint
/// covers. The loss of the end behind the newest checkpoint kept outside the data directory cannot
/// be seen: keep `ark-os ledger checkpoint`'s note elsewhere, and give it here. Without --key the
/// key is read from the data directory, which an intruder could have changed too.
#[derive(Debug, clap::Args)]
struct Verify {
    /// Data directory or a copy of one, or a proof bundle
    #[arg(value_name = "DIR|BUNDLE")]
    dir: Option<PathBuf>,
    /// Checkpoints that were kept outside, as a file with one note or more
    #[arg(long, value_name = "FILE", alias = "checkpoint")]
    kept: Option<PathBuf>,
    /// Public key that was kept outside, as a file (`ledger.pub`)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Directory of the archived segments [default: as `store.archive_dir` says; of DIR its `archive`]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

/// Print the newest signed checkpoint; keep it outside the machine
#[derive(Debug, clap::Args)]
struct Checkpoint {
    /// Write it to this file
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    out: Option<PathBuf>,
    /// Append it to `checkpoints` in this directory, which is to be elsewhere
    ///
    /// Refuses if the file has one of more records: then the journal was rolled back.
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
}

impl Ledger {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.action {
            Action::Verify(verify) => verify.carry_out(session),
            Action::Checkpoint(checkpoint) => checkpoint.carry_out(session),
            Action::Prove(prove) => prove.carry_out(session),
        }
    }
}

impl Verify {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let dir = self.dir.clone().unwrap_or_else(|| session.reach.data_dir(&session.environment));
        if dir.is_file() {
            return bundle::verify(session, &dir, self.key.as_deref(), self.kept.as_deref());
        }
        // A copy is not where the configuration says that the original is.
        let segments = match (&self.archive, &self.dir) {
            (None, Some(_)) => Segments::new(Arc::new(open(&dir)?)),
            (archive, _) => segments_in(session, &dir, archive.as_deref())?,
        };
        let files = segments.files();
        let key = self.key.as_deref().map(read_key).transpose()?;
        let kept = self.kept.as_deref().map(read_kept).transpose()?.unwrap_or_default();
        let tiles = match &key {
            Some(key) => Tiles::open(Arc::clone(files), key)?,
            None => Tiles::open(Arc::clone(files), &PublicKey::load(&**files)?)?,
        };
        let report = verify_in(segments.lookup().with_tiles(&tiles), &Trust { key, kept })?;
        session.output.answer(&document(&dir, &report), |terminal| lines(&report, terminal))?;
        Ok(if report.is_ok() { Exit::Done } else { Exit::Unverified })
    }
}

impl Checkpoint {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let view: CheckpointView = match session.client() {
            Ok(client) if client.is_alive() => client.get("/ledger/checkpoint")?,
            // Nobody runs: what is on disk is all there is.
            _ if !session.reach.is_by_address(&session.environment) => offline(session)?,
            Ok(client) => client.get("/ledger/checkpoint")?,
            Err(failure) => return Err(failure),
        };
        if let Some(dir) = &self.export {
            keep::append(dir, &view)?;
        }
        if let Some(out) = &self.out {
            write(out, view.note.as_bytes())?;
        }
        if session.output.is_json() {
            session.output.document(&crate::client::json_of(&view))?;
        } else {
            session.output.bytes(view.note.as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn offline(session: &Session) -> Result<CheckpointView, Failure> {
    let dir = session.reach.data_dir(&session.environment);
    let report = verify(&open(&dir)?, &Trust::default())?;
    if let Some(fault) = &report.fault {
        return Err(Failure::new("verification_failed", fault.to_string())
            .with_hint("run `ark-os ledger verify`"));
    }
    let Some(newest) = report.newest else {
        let message = format!("the journal in `{}` has no checkpoint yet", dir.display());
        return Err(Failure::new("checkpoint_not_found", message));
    };
    let note = newest.note().to_owned();
    Ok(CheckpointView {
        origin: newest.origin().to_owned(),
        size: newest.size(),
        root: note.lines().nth(2).unwrap_or_default().to_owned(),
        note,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|error| Failure::usage(format!("cannot write `{}`: {error}", path.display())))
}

fn open(dir: &Path) -> Result<DiskFiles, Failure> {
    if let Err(error) = std::fs::metadata(dir) {
        return Err(Failure::usage(format!("cannot open `{}`: {error}", dir.display())));
    }
    if !dir.join("journal").is_dir() {
        let message = format!("there is no journal in `{}`", dir.display());
        return Err(Failure::new("store_not_found", message)
            .with_hint("name the data directory: `ark-os ledger verify DIR`"));
    }
    DiskFiles::new(dir).map_err(|error| {
        let message = format!("cannot open `{}`: {error}", dir.display());
        Failure::new("data_directory_unusable", message)
    })
}

/// Opens a directory of archived segments.
pub(super) fn open_archive(dir: &Path) -> Result<DiskFiles, Failure> {
    // `DiskFiles` alone would make one that is not there.
    let opened = std::fs::metadata(dir).and_then(|_| DiskFiles::new(dir));
    opened.map_err(|error| Failure::usage(format!("cannot open `{}`: {error}", dir.display())))
}

/// The segments of a data directory, with its archive: where that was said, else as the configuration
/// of the instance says, if there is such a directory.
pub(super) fn segments_in(
    session: &Session,
    data_dir: &Path,
    archive: Option<&Path>,
) -> Result<Segments, Failure> {
    let files: Arc<dyn Files> = Arc::new(open(data_dir)?);
    let configured = match archive {
        Some(_) => None,
        None => configured_archive(session)?,
    };
    Ok(match archive.or(configured.as_deref()) {
        None => Segments::new(files),
        Some(dir) => Segments::with_archive(files, Arc::new(open_archive(dir)?)),
    })
}

/// Where the configuration puts archived segments, if that is a directory.
pub(super) fn configured_archive(session: &Session) -> Result<Option<PathBuf>, Failure> {
    let config = load(&session.environment, None, &[])?.config;
    Ok(config.archive_dir.filter(|dir| dir.is_dir()))
}

/// The notes of a keep file.
pub(super) fn read_kept(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(split_notes(&read(path, KEEP_BYTES_MAX)?))
}

pub(super) fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    Ok(PublicKey::parse(&read_small(path)?)?)
}

fn read_small(path: &Path) -> Result<String, Failure> {
    read(path, NOTE_BYTES_MAX as u64)
}

fn read(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    read_bounded(path, bytes_max)
        .map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))
}

fn document(dir: &Path, report: &Report) -> Value {
    json!({
        "data_dir": dir,
        "ok": report.is_ok(),
        "records": report.records,
        "batches": report.batches,
        "segments": report.segments,
        "checkpoints": report.checkpoints,
        "root": report.root.to_string(),
        "newest_checkpoint": report.newest.as_ref().map(|it| it.size()),
        "unsigned_records": report.unsigned(),
        "key": report.key.to_string(),
        "key_was_given": report.key_was_given,
        "fault": report.fault.as_ref().map(|fault| json!({
            "file": fault.place.file,
            "bytes": [fault.place.bytes.start, fault.place.bytes.end],
            "records": [fault.place.seqs.start, fault.place.seqs.end],
            "why": fault.why,
        })),
        "absent_records": report.absent.iter().map(|it| [it.start, it.end]).collect::<Vec<_>>(),
        "oddities": report.oddities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unseen": UNSEEN,
    })
}

fn lines(report: &Report, terminal: &Terminal) -> Vec<String> {
    let mut lines = Vec::new();
    match &report.fault {
        None => lines.push(terminal.out(Tone::Good, "the journal verifies")),
        Some(fault) => {
            lines.push(terminal.out(Tone::Bad, "the journal does NOT verify"));
            lines.push(format!("  {}", one_line(&fault.to_string())));
        }
    }
    let up_to = if report.is_ok() { "" } else { " up to there" };
    lines.push(format!(
        "  {} records in {} batches and {} segments, {} signed checkpoints{up_to}",
        report.records, report.batches, report.segments, report.checkpoints
    ));
    lines.push(format!("  {} records are behind the newest checkpoint", report.unsigned()));
    lines.push(format!("  root {}", report.root));
    let source = if report.key_was_given { "given" } else { "from the data directory itself" };
    lines.push(format!("  key {} ({source})", one_line(&report.key.to_string())));
    lines.extend(report.absent.iter().map(|absent| {
        let (first, last) = (absent.start, absent.end - 1);
        format!("  note: records {first} to {last} are absent: they were archived and taken away")
    }));
    let oddities = report.oddities.iter().map(ToString::to_string);
    lines.extend(oddities.map(|oddity| format!("  note: {}", one_line(&oddity))));
    lines.push(format!("  note: {UNSEEN}"));
    lines
}
