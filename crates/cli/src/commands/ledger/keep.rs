//! Checkpoints that are kept outside: a file to which each export appends one note.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use ark_os_api::CheckpointView;
use ark_os_store::ledger::split_notes;

use super::{KEEP_BYTES_MAX, read};
use crate::failure::Failure;

/// The file in the directory that was named.
const KEEP_FILE: &str = "checkpoints";

/// Appends a checkpoint, durably, unless it is there.
pub(super) fn append(dir: &Path, view: &CheckpointView) -> Result<(), Failure> {
    let path = dir.join(KEEP_FILE);
    let kept = if path.exists() { split_notes(&read(&path, KEEP_BYTES_MAX)?) } else { Vec::new() };
    let newest = kept.iter().filter_map(|note| size(note)).max().unwrap_or(0);
    if newest > view.size {
        let message = format!(
            "the journal has {} signed records, and `{}` keeps a checkpoint of {newest}",
            view.size,
            path.display()
        );
        return Err(Failure::new("verification_failed", message).with_hint(
            "the journal was rolled back, or is another one: `ark-os ledger verify --kept FILE`",
        ));
    }
    if kept.contains(&view.note) {
        return Ok(());
    }
    let append = || {
        std::fs::create_dir_all(dir)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(view.note.as_bytes())?;
        file.sync_all()
    };
    append().map_err(|error: std::io::Error| unwritable(&path, &error))
}

/// The note of most records in a keep file.
pub(super) fn newest(path: &Path) -> Result<String, Failure> {
    let notes = split_notes(&read(path, KEEP_BYTES_MAX)?);
    notes
        .into_iter()
        .max_by_key(|note| size(note))
        .ok_or_else(|| Failure::usage(format!("there is no checkpoint in `{}`", path.display())))
}

fn size(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write `{}`: {error}", path.display()))
}
