//! Proofs of progress: the receipt, checked by the host, that turns a token into done.

use crate::event::{TaskReused, TaskSucceeded};
use crate::hash::Hash;
use crate::ids::RunId;

/// Digest of a proof: SHA-256 over run, task, fence, input, output, effects and the digest of the
/// run's proof before. The proofs of a run form a chain; the run's head names them all.
pub fn proof(run: RunId, done: &TaskSucceeded, before: Hash) -> Hash {
    let child = done.task.child.map_or(u64::MAX, u64::from);
    Hash::of_parts(&[
        &before.0,
        &run.to_bytes(),
        &done.task.node.to_le_bytes(),
        &child.to_le_bytes(),
        &done.fence.0.to_le_bytes(),
        &done.input.0,
        &done.output.hash().0,
        &done.effects.unwrap_or(Hash::ZERO).0,
    ])
}

/// Digest of a task that is reused: it names the one before it in the run's chain, and the proof that it
/// has in the run's source.
pub fn reuse_proof(run: RunId, reused: &TaskReused, before: Hash) -> Hash {
    Hash::of_parts(&[
        b"reused",
        &before.0,
        &run.to_bytes(),
        &reused.node.to_le_bytes(),
        &reused.source_node.to_le_bytes(),
        &reused.proof.0,
        &reused.input.0,
        &reused.output.as_ref().map_or(Hash::ZERO, |it| it.hash()).0,
        &reused.children_root().0,
    ])
}
