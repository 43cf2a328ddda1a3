//! Effects under way in this process, by step key: who is to ask whether one happened waits until
//! nobody here is still at it.
//!
//! INVARIANT I3: an attempt enters before it looks whether it was stopped, and another begins only
//! after it was. So whoever finds nobody here knows that nobody comes any more.

use std::collections::BTreeSet;
use std::time::Duration;

use ark_os_core::step::StepKey;

use crate::sync::{Condvar, Mutex, PoisonError};

/// How long a wait goes on without a look at anything else: a cancelled attempt is heard soon, and
/// leases are renewed.
const LOOK: Duration = Duration::from_millis(100);

/// Effects under way.
#[derive(Default)]
pub(crate) struct InFlight {
    keys: Mutex<BTreeSet<StepKey>>,
    left: Condvar,
}

/// An effect is under way until this is dropped.
pub(super) struct Entered<'a> {
    here: &'a InFlight,
    key: StepKey,
}

impl InFlight {
    /// An effect is about to begin.
    pub(super) fn enter(&self, key: StepKey) -> Entered<'_> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        Entered { here: self, key }
    }

    /// Waits until nobody is at this effect and `is_due` says so; gives up when it says that there is
    /// nothing to wait for any more. It is asked every moment.
    pub(super) fn wait(&self, key: StepKey, mut is_due: impl FnMut() -> Option<bool>) -> bool {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match is_due() {
                None => return false,
                Some(true) if !keys.contains(&key) => return true,
                Some(_) => {}
            }
            let waited = self.left.wait_timeout(keys, LOOK);
            keys = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.here.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.here.left.notify_all();
    }
}
