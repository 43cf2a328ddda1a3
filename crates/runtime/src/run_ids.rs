//! The one place that draws run ids: version 7 UUIDs whose random part is drawn once and counted
//! up, so that a draw costs no system call and ids of one process are never equal.

use std::sync::atomic::{AtomicU64, Ordering};

use ark_os_core::ids::RunId;
use ark_os_core::time::Time;

/// Random bits of a version 7 UUID below its twelve that follow the version.
const LOW_BITS: u32 = 62;
const LOW_MASK: u128 = (1 << LOW_BITS) - 1;
const VERSION: u128 = 7 << 76;
const VARIANT: u128 = 0b10 << LOW_BITS;

/// Draws run ids.
#[derive(Debug)]
pub(crate) struct RunIds {
    random: u128,
    drawn: AtomicU64,
}

impl RunIds {
    #[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
    pub(crate) fn new() -> Self {
        RunIds { random: uuid::Uuid::now_v7().as_u128(), drawn: AtomicU64::new(0) }
    }

    /// An id that sorts by `now`.
    pub(crate) fn draw(&self, now: Time) -> RunId {
        let drawn = u128::from(self.drawn.fetch_add(1, Ordering::Relaxed));
        let low = (self.random & LOW_MASK).wrapping_add(drawn) & LOW_MASK;
        let high = (self.random >> 64) & 0xfff;
        let time = u128::from(now.0) << 80;
        RunId(time | VERSION | (high << 64) | VARIANT | low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_uuids_that_differ_and_sort_by_time() {
        let ids = RunIds::new();
        let drawn: Vec<RunId> =
            (0..1_000).map(|ms| ids.draw(Time(1_700_000_000_000 + ms))).collect();
        assert!(drawn.is_sorted());
        for id in &drawn {
            assert_eq!(uuid::Uuid::from_u128(id.0).get_version_num(), 7);
            assert_eq!(uuid::Uuid::from_u128(id.0).get_variant(), uuid::Variant::RFC4122);
        }
        assert_ne!(ids.draw(Time(1)), ids.draw(Time(1)));
        assert_ne!(ids.draw(Time(1)), RunIds::new().draw(Time(1)));
    }
}
