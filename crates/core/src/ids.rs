//! Ids and their text forms: `run_01J…`, `task_01J…_2.17`, `pt_01J…_2.17_f3`, `micro-00042`.
//!
//! Task and progress-token ids derive from the run's, so they need no storage of their own.

use std::fmt;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a 128-bit id in base 32.
const ID_CHARS: usize = 26;

/// A run: a version 7 UUID, so ids sort by time of submission. Text: `run_` + 26 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RunId(pub u128);

impl RunId {
    /// Reads `run_…`; case does not matter.
    pub fn parse(text: &str) -> Option<Self> {
        parse_base32(text.strip_prefix("run_")?).map(RunId)
    }

    /// The version 7 UUID of this moment with the bits of a digest in place of random ones.
    pub fn derived(at: crate::time::Time, digest: &crate::hash::Hash) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, ..] = digest.0;
        let high = u128::from(u16::from_be_bytes([a, b]) & 0xfff);
        let low = u128::from(u64::from_be_bytes([c, d, e, f, g, h, i, j]) >> 2);
        let time = u128::from(at.0 & 0xffff_ffff_ffff) << 80;
        RunId(time | 7 << 76 | high << 64 | 0b10 << 62 | low)
    }

    /// The sixteen bytes in network order, as in a record's header.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        RunId(u128::from_be_bytes(bytes))
    }
}

fn parse_base32(text: &str) -> Option<u128> {
    if text.len() != ID_CHARS {
        return None;
    }
    let mut value: u128 = 0;
    for (i, byte) in text.bytes().enumerate() {
        let upper = byte.to_ascii_uppercase();
        let digit = CROCKFORD.iter().position(|c| *c == upper)? as u128;
        if i == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit;
    }
    Some(value)
}

fn write_base32(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    let mut out = [b'0'; ID_CHARS];
    for (i, slot) in out.iter_mut().enumerate() {
        let shift = 5 * (ID_CHARS - 1 - i);
        let digit = ((value >> shift) & 31) as usize;
        *slot = CROCKFORD.get(digit).copied().unwrap_or(b'0');
    }
    f.write_str(std::str::from_utf8(&out).unwrap_or_default())
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("run_")?;
        write_base32(f, self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<C> Encode<C> for RunId {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.to_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RunId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let bytes = d.bytes()?;
        let bytes = bytes.try_into().map_err(|_| DecodeError::message("a run id has 16 bytes"))?;
        Ok(RunId::from_bytes(bytes))
    }
}

/// A task inside its run: a node of the plan and, below a `map`, the number of the child.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct TaskRef {
    /// Index of the node in the plan.
    #[n(0)]
    pub node: u32,
    /// Index of the `map` child, from 0.
    #[n(1)]
    pub child: Option<u32>,
}

impl TaskRef {
    /// A plan node itself.
    pub fn node(node: u32) -> Self {
        TaskRef { node, child: None }
    }

    /// The `child`-th task of the map at `node`.
    pub fn child(node: u32, child: u32) -> Self {
        TaskRef { node, child: Some(child) }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once('.') {
            Some((node, child)) => Some(TaskRef::child(node.parse().ok()?, child.parse().ok()?)),
            None => Some(TaskRef::node(text.parse().ok()?)),
        }
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.child {
            Some(child) => write!(f, "{}.{child}", self.node),
            None => write!(f, "{}", self.node),
        }
    }
}

/// A task anywhere. Text: `task_<run>_<node>` or `task_<run>_<node>.<child>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId {
    /// The run it belongs to.
    pub run: RunId,
    /// The task inside the run.
    pub task: TaskRef,
}

impl TaskId {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (run, task) = text.strip_prefix("task_")?.split_once('_')?;
        Some(TaskId { run: parse_base32(run).map(RunId)?, task: TaskRef::parse(task)? })
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_")?;
        write_base32(f, self.run.0)?;
        write!(f, "_{}", self.task)
    }
}

/// The fence of a task: raised with every lease, so that late work under an old one is refused.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Encode,
    Decode,
    serde::Serialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Fence(#[n(0)] pub u64);

/// A progress token: the right to work on one task, until its fence is raised.
/// Text: `pt_<run>_<task>_f<fence>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PtId {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskRef,
    /// The fence under which the token was drawn.
    pub fence: Fence,
}

impl PtId {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (task, fence) = text.strip_prefix("pt_")?.rsplit_once("_f")?;
        let (run, task) = task.split_once('_')?;
        let fence = Fence(fence.parse().ok()?);
        Some(PtId { run: parse_base32(run).map(RunId)?, task: TaskRef::parse(task)?, fence })
    }
}

impl fmt::Display for PtId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pt_")?;
        write_base32(f, self.run.0)?;
        write!(f, "_{}_f{}", self.task, self.fence.0)
    }
}

/// An agent: its place in the fleet. Its name (`micro-00042`) is made by the fleet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct AgentIx(#[n(0)] pub u32);

/// A stack: its place in the fleet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct StackIx(#[n(0)] pub u32);

/// A skill: its place in the fleet's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct SkillIx(#[n(0)] pub u32);

impl SkillIx {
    /// Stands for a task that nobody works on.
    pub const NONE: SkillIx = SkillIx(u32::MAX);
}

macro_rules! display_as_text {
    ($($id:ty),*) => {$(
        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
display_as_text!(TaskRef, TaskId, PtId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_from_their_text() {
        let run = RunId(0x0192_3456_789a_7bcd_8ef0_1234_5678_9abc);
        assert_eq!(RunId::parse(&run.to_string()), Some(run));
        assert_eq!(RunId::parse(&RunId(u128::MAX).to_string()), Some(RunId(u128::MAX)));
        for task in [TaskRef::node(3), TaskRef::child(0, 9_999)] {
            let id = TaskId { run, task };
            assert_eq!(TaskId::parse(&id.to_string()), Some(id));
            let pt = PtId { run, task, fence: Fence(u64::MAX) };
            assert_eq!(PtId::parse(&pt.to_string()), Some(pt));
        }
    }

    #[test]
    fn foreign_text_is_no_id() {
        for text in ["", "run_", "run_!", "run_ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "task_x_1", "pt_é"] {
            assert_eq!(RunId::parse(text), None);
            assert_eq!(TaskId::parse(text), None);
            assert_eq!(PtId::parse(text), None);
        }
    }
}
