//! Proof bundles: one run's records with all that shows that they stand in the signed journal, in one file that
//! anybody can check without an instance.
//!
//! `docs/proofs.md` is the format; a second verifier, written from that page alone, agrees with this one on every
//! mutation that `cargo xtask proofs` makes. A bundle is the journal's Merkle tree with everything that is not
//! this run's cut out and replaced by hashes, each as large as possible, so that there is one bundle for a run
//! and a checkpoint. Whoever reads it and whoever writes it goes through the same [`history`] of the run.

mod cbor;
mod facts;
mod history;
mod lines;
mod live;
mod offline;
mod spine;
mod summary;
mod tasks;
mod verify;
mod write;

pub use live::Proving;
pub use offline::Offline;
pub use summary::{Admission, AgentLine, Decision, Ended, Summary, WorkflowLine};
pub use verify::{Verified, verify};
pub use write::{Evidence, Prepared, prepare};

/// The name and version of the format.
pub const FORMAT: &str = "ark-os/proof-bundle/v1";

/// Bytes of one line: the largest record or blob in base64, with room for what stands beside it.
pub const LINE_BYTES_MAX: usize = 128 << 20;
/// Entries of the log: records and hashes of what is between them.
pub const ENTRIES_MAX: u64 = 50_000_000;

/// In place of a hash that is not there.
const ZERO: ark_os_store::Hash = ark_os_store::Hash([0; ark_os_store::merkle::HASH_BYTES]);

/// What to say with every bundle that verifies.
pub const PROVEN: &str = "these records are in the signed journal at these places, unchanged; within them tokens were \
                          drawn and proofs of progress accepted by the rules";
/// What a bundle cannot show.
pub const NOT_PROVEN: &str = "records that change none of this could be left out (lost attempts, steps of tasks that did \
                              not succeed, renewed leases, pauses, parks, an earlier end with its retry); \
                              that the agents' names are right rests on no other start of an instance being left out; \
                              loss of the journal's end behind the newest kept checkpoint is not seen";

/// What a verification trusts.
#[derive(Debug, Clone, Default)]
pub struct BundleTrust {
    /// The verifier key; without one that of the bundle is taken, which proves nothing about who signed.
    pub key: Option<String>,
    /// The note of a checkpoint that was kept elsewhere.
    pub kept: Option<String>,
}

/// What is wrong with a bundle, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It is not of the format, or not in the one way in which it may be written.
    Format,
    /// It is not of the key that is trusted.
    Key,
    /// The checkpoint is not signed, or not well.
    Checkpoint,
    /// It does not go on from the checkpoint that was kept.
    Kept,
    /// Records and hashes are not those of the checkpoint's tree.
    Tree,
    /// A record cannot be read.
    Record,
    /// The records do not make a run's history.
    History,
    /// The summary is not that of the records.
    Summary,
    /// A payload is not the one that a record names.
    Payload,
}

impl Class {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Format => "format",
            Class::Key => "key",
            Class::Checkpoint => "checkpoint",
            Class::Kept => "kept",
            Class::Tree => "tree",
            Class::Record => "record",
            Class::History => "history",
            Class::Summary => "summary",
            Class::Payload => "payload",
        }
    }
}

/// Why a bundle is refused: the first thing that does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Refused {
    /// What kind of thing.
    pub class: Class,
    /// The line of the file, from 1.
    pub line: u64,
    /// What is wrong there.
    pub why: String,
}

/// Why a part is refused; whoever reads the lines adds the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) Class, pub(crate) String);

impl Fault {
    fn new(class: Class, why: impl Into<String>) -> Self {
        Fault(class, why.into())
    }
}
