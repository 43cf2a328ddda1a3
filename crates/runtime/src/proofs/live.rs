//! Proofs from a running instance: tiles as far as somebody has extended them, the journal's leaves behind that.

use std::io::Write;
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::ids::RunId;
use ark_os_store::merkle::consistency_proof;
use ark_os_store::tiles::Covered;
use ark_os_store::{Hash, Tiles};

use super::write::{Evidence, Prepared, prepare};
use crate::RuntimeError;
use crate::handle::Handle;

/// A bundle on its way out of a running instance.
#[derive(Debug)]
pub struct Proving {
    evidence: Evidence,
    prepared: Prepared,
}

impl Proving {
    /// Writes the bundle.
    ///
    /// # Errors
    /// The journal or a blob cannot be read, or `out` does not take more.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), RuntimeError> {
        self.prepared.write(&self.evidence, out)
    }
}

impl Handle {
    /// Prepares the bundle of a run under the newest checkpoint. Blocks on the disk.
    ///
    /// # Errors
    /// There is no such run, it is not over, or no checkpoint covers it yet.
    pub fn prove(
        &self,
        run: RunId,
        embeds: bool,
        kept: Option<&str>,
    ) -> Result<Proving, RuntimeError> {
        let (files, key) = &self.shared.ledger;
        let note = self.checkpoint().ok_or_else(nothing_signed)?;
        let evidence = Evidence {
            reader: self.shared.reader.clone(),
            tiles: Tiles::open(Arc::clone(files), key)?,
            views: self.shared.queries.clone(),
            blobs: self.shared.submissions.payloads.shared_blobs(),
            checkpoint: key.open(&note)?,
            key: key.clone(),
        };
        let prepared = prepare(&evidence, run, embeds, kept)?;
        Ok(Proving { evidence, prepared })
    }

    /// The path that proves that the journal of `from` records is a prefix of that of `to`. Blocks on the disk.
    ///
    /// # Errors
    /// `to` is not signed yet, or less than `from`.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, RuntimeError> {
        let (files, key) = &self.shared.ledger;
        let note = self.checkpoint().ok_or_else(nothing_signed)?;
        let size = key.open(&note)?.size();
        if from > to || to > size {
            let message = format!("prove {from} records a prefix of {to}: {size} are signed");
            return Err(RuntimeError::new(Kind::Invalid, "query_invalid", message)
                .with_hint("ask for sizes of checkpoints, the smaller one first"));
        }
        let tiles = Tiles::open(Arc::clone(files), key)?;
        Ok(consistency_proof(&Covered::new(&tiles, &self.shared.reader), from, to)?)
    }
}

fn nothing_signed() -> RuntimeError {
    RuntimeError::new(
        Kind::NotFound,
        "checkpoint_not_found",
        "find a checkpoint: none is signed yet",
    )
    .with_hint("ask again in two seconds")
}
