//! What has begun in a run and not ended.

use ark_os_core::budget::Amounts;
use ark_os_core::event::AttemptStarted;
use ark_os_core::hash::Hash;
use ark_os_core::ids::Fence;
use ark_os_core::plan::EffectClass;
use ark_os_core::step::StepKey;
use ark_os_core::text::Text;
use ark_os_core::time::Time;

/// A moment, and the record that tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) at: Time,
    pub(super) seq: u64,
}

/// A task that is not over.
#[derive(Clone, Debug)]
pub(super) struct OpenTask {
    /// When it first stood in line, or was prepared for it.
    pub(super) began: Began,
    /// Since when it stands in line.
    pub(super) queued: Began,
    /// When its first attempt began.
    pub(super) worked: Option<Time>,
    /// Since when its condition or list is evaluated.
    pub(super) preparing: Option<Began>,
    pub(super) attempt: Option<OpenAttempt>,
    pub(super) steps: Vec<OpenStep>,
    pub(super) attempts: u32,
    pub(super) spent: Amounts,
}

impl OpenTask {
    pub(super) fn new(began: Began) -> Self {
        OpenTask {
            began,
            queued: began,
            worked: None,
            preparing: None,
            attempt: None,
            steps: Vec::new(),
            attempts: 0,
            spent: Amounts::ZERO,
        }
    }
}

/// An attempt under way.
#[derive(Clone, Debug)]
pub(super) struct OpenAttempt {
    pub(super) began: Began,
    pub(super) queued: Began,
    pub(super) started: AttemptStarted,
}

/// A step whose outcome is not known.
#[derive(Clone, Debug)]
pub(super) struct OpenStep {
    pub(super) began: Began,
    pub(super) key: StepKey,
    pub(super) number: u32,
    pub(super) tool: Text,
    pub(super) arguments: Hash,
    pub(super) class: EffectClass,
    pub(super) reserved: Amounts,
    pub(super) fence: Fence,
}

/// A map that is expanded.
#[derive(Clone, Debug)]
pub(super) struct OpenMap {
    pub(super) began: Began,
    pub(super) total: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) attempts: u32,
    pub(super) spent: Amounts,
    /// When the first attempt of a child began.
    pub(super) worked: Option<Time>,
    /// How long each child that is done worked: at most as many as a map has children.
    pub(super) micros: Vec<u64>,
}

impl OpenMap {
    pub(super) fn new(began: Began, total: u32) -> Self {
        OpenMap {
            began,
            total,
            succeeded: 0,
            failed: 0,
            attempts: 0,
            spent: Amounts::ZERO,
            worked: None,
            micros: Vec::new(),
        }
    }

    /// The shortest, the middle and the longest.
    pub(super) fn spread(&self) -> Option<[u64; 3]> {
        let mut micros = self.micros.clone();
        micros.sort_unstable();
        let middle = micros.len().saturating_sub(1) / 2;
        Some([*micros.first()?, *micros.get(middle)?, *micros.last()?])
    }
}

/// How much of a time passed before somebody worked.
pub(super) fn idle_ms(began: Began, worked: Option<Time>, end: Time) -> u64 {
    worked.unwrap_or(end).0.saturating_sub(began.at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_map_is_that_of_its_sorted_times() {
        let mut map = OpenMap::new(Began { at: Time(0), seq: 1 }, 4);
        assert_eq!(map.spread(), None);
        map.micros = vec![9, 1, 5, 3];
        assert_eq!(map.spread(), Some([1, 3, 9]));
    }
}
