//! What happened to runs that begin from the history of another.

use minicbor::{Decode, Encode};

use crate::hash::Hash;
use crate::ids::{RunId, TaskRef};
use crate::payload::Payload;
use crate::text::Text;

/// A run begins from a point of another one's history.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct RunForked {
    /// The other run.
    #[n(0)]
    pub source: RunId,
    /// The newest record of it that was looked at.
    #[n(1)]
    pub at: u64,
    /// The head of its chain of proofs by then.
    #[n(2)]
    pub head: Hash,
    /// Why.
    #[n(3)]
    pub reason: Text,
}

/// A task is as it was in the run's source; it does not run again.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct TaskReused {
    /// Its node in the plan.
    #[n(0)]
    pub node: u32,
    /// Its node in the plan of the source.
    #[n(1)]
    pub source_node: u32,
    /// Its output; none: its condition was false.
    #[n(2)]
    pub output: Option<Payload>,
    /// SHA-256 of the input that it worked on; zero for a map and where it did not.
    #[n(3)]
    pub input: Hash,
    /// Its proof of progress in the source; of a map, or where it did not work, the head of the
    /// source's chain when it was over.
    #[n(4)]
    pub proof: Hash,
    /// Of a map: its list, and the outputs of its children in order.
    #[n(5)]
    pub children: Option<ReusedChildren>,
    /// Blobs that the output names.
    #[n(6)]
    pub blobs: Option<Vec<Hash>>,
}

/// The children of a map that is reused: all of them were done.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ReusedChildren {
    /// The map's list.
    #[n(0)]
    pub list: Payload,
    /// One output a child.
    #[n(1)]
    pub outputs: Vec<Payload>,
}

impl TaskReused {
    /// The output of the task, or of one of its children.
    pub fn output_of(&self, task: TaskRef) -> Option<&Payload> {
        if task.node != self.node {
            return None;
        }
        match task.child {
            None => self.output.as_ref(),
            Some(child) => self.children.as_ref()?.outputs.get(child as usize),
        }
    }

    /// SHA-256 over the digests of the list and of the children's outputs; zero: it is no map.
    pub fn children_root(&self) -> Hash {
        let Some(children) = &self.children else { return Hash::ZERO };
        let mut digests = children.list.hash().0.to_vec();
        children.outputs.iter().for_each(|it| digests.extend_from_slice(&it.hash().0));
        Hash::of(&digests)
    }
}
