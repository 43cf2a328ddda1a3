//! A run as the tables have it, and the small numbers that stand for its words.

use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::priority::Priority;
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use rusqlite::types::{FromSqlError, ToSqlOutput, ValueRef};

use super::{int, number};

/// One run. As fresh as the follower; the loop's own state is fresher.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The tenant.
    pub namespace: Text,
    /// Name of its workflow.
    pub workflow: Text,
    /// Version of its workflow, the author's.
    pub version: Text,
    /// Digest of its workflow.
    pub workflow_hash: Hash,
    /// The admission it runs under; none while it waits for a layer.
    pub admission: Option<u64>,
    /// Where it stands.
    pub state: RunState,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was accepted.
    pub accepted: Time,
    /// When it was over.
    pub ended: Option<Time>,
    /// Its tasks.
    pub tasks: TaskTally,
    /// Its output, once it is over.
    pub output: Option<Payload>,
    /// Why it failed or was cancelled: the failure as JSON text.
    pub failure: Option<String>,
}

/// How many tasks a run has; a map counts its children instead of itself once it is expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskTally {
    /// In all.
    pub total: u32,
    /// Done.
    pub succeeded: u32,
    /// Not done.
    pub failed: u32,
}

fn word<T: Copy>(words: &[T], number: i64) -> Option<T> {
    words.get(usize::try_from(number).ok()?).copied()
}

/// The number of a state in the tables.
pub(super) fn state_number(state: RunState) -> i64 {
    state as i64
}

/// The state of this number.
pub(super) fn run_state(number: i64) -> Option<RunState> {
    word(&RunState::ALL, number)
}

/// The state of a task of this number.
pub(super) fn task_state(number: u64) -> Option<TaskState> {
    word(&TaskState::ALL, i64::try_from(number).ok()?)
}

/// The priority of this number.
pub(super) fn priority(number: i64) -> Option<Priority> {
    word(&Priority::ALL, number)
}

/// An output in its two columns: JSON text as such, or the digest of a blob with its length.
#[derive(Debug)]
pub(super) struct OutputColumns<'a>(&'a Payload);

impl<'a> OutputColumns<'a> {
    /// The columns of this output.
    pub(super) fn of(output: &'a Payload) -> Self {
        OutputColumns(output)
    }

    /// The text, for whoever opens the file; bytes where it is none.
    pub(super) fn value(&self) -> ToSqlOutput<'a> {
        ToSqlOutput::Borrowed(match self.0 {
            Payload::Inline(bytes) if std::str::from_utf8(&bytes.0).is_ok() => {
                ValueRef::Text(&bytes.0)
            }
            Payload::Inline(bytes) => ValueRef::Blob(&bytes.0),
            Payload::Blob { hash: Hash(hash), .. } => ValueRef::Blob(hash),
        })
    }

    /// The length of a blob.
    pub(super) fn bytes(&self) -> Option<i64> {
        match self.0 {
            Payload::Inline(_) => None,
            Payload::Blob { len, .. } => Some(int(*len)),
        }
    }
}

/// Reads what [`OutputColumns`] wrote.
pub(super) fn output(
    value: ValueRef<'_>,
    bytes: Option<i64>,
) -> Result<Option<Payload>, rusqlite::Error> {
    let (ValueRef::Text(text) | ValueRef::Blob(text)) = value else { return Ok(None) };
    let Some(bytes) = bytes else { return Ok(Some(Payload::inline(text))) };
    let hash = text.try_into().map_err(|_| FromSqlError::InvalidType)?;
    Ok(Some(Payload::Blob { hash: Hash(hash), len: number(bytes) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_words_never_change() {
        for (number, state) in (0i64..).zip(RunState::ALL) {
            assert_eq!(state_number(state), number);
        }
        for (number, state) in (0u64..).zip(TaskState::ALL) {
            assert_eq!(state as u64, number);
        }
        for (number, urgency) in (0i64..).zip(Priority::ALL) {
            assert_eq!(urgency as i64, number);
        }
        assert_eq!(state_number(RunState::Succeeded), 5, "the partial index names it");
    }
}
