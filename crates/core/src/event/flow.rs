//! What is told of signals, child runs and tasks that tasks add.

use minicbor::{Decode, Encode};

use super::{RunEnd, SubmissionKey};
use crate::budget::Amounts;
use crate::ids::{RunId, SkillIx, TaskRef};
use crate::payload::Payload;
use crate::plan::TaskSpec;
use crate::text::Text;

/// A signal as it came.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct SignalReceived {
    /// Its number in the run, from 1.
    #[n(0)]
    pub number: u64,
    /// Its name.
    #[n(1)]
    pub name: Text,
    /// What it says.
    #[n(2)]
    pub payload: Payload,
    /// The sender's key.
    #[n(3)]
    pub key: Option<SubmissionKey>,
}

/// Tasks that a running task adds to its run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct TasksAdded {
    /// The task whose output brings them.
    #[n(0)]
    pub task: TaskRef,
    /// They, validated; they stand behind the plan's own.
    #[n(1)]
    pub nodes: Vec<TaskSpec>,
    /// The skill of each.
    #[n(2)]
    pub skills: Vec<SkillIx>,
}

/// The end of a task's child.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ChildEnded {
    /// The task.
    #[n(0)]
    pub task: TaskRef,
    /// The child.
    #[n(1)]
    pub run: RunId,
    /// How it ended.
    #[n(2)]
    pub end: RunEnd,
    /// Its output, which is the task's; none: it has none.
    #[n(3)]
    pub output: Option<Payload>,
    /// What it used, as far as it was set aside.
    #[n(4)]
    pub spent: Amounts,
}
