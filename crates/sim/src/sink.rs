//! The world outside: counts what was done to it under each step key.

use std::collections::BTreeMap;

use ark_os_core::plan::EffectClass;
use ark_os_core::step::StepKey;

use crate::violation::{Check, ensure};

/// What was done under one key.
#[derive(Clone, Debug)]
struct Entry {
    class: EffectClass,
    /// How often somebody tried.
    performed: u32,
    /// How often it changed the world.
    applied: u32,
}

/// The counting sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sink {
    entries: BTreeMap<StepKey, Entry>,
    performed: u64,
}

impl Sink {
    /// Does it. A sink of the `idempotent` class honours the key; the others do what they are told.
    ///
    /// INVARIANT I3: what must not be repeated is done at most once under one key.
    pub(crate) fn perform(&mut self, key: StepKey, class: EffectClass) -> Check {
        self.performed += 1;
        let entry = self.entries.entry(key).or_insert(Entry { class, performed: 0, applied: 0 });
        entry.performed += 1;
        if entry.applied == 0 || !class.is_repeatable() {
            entry.applied += 1;
        }
        let (applied, first) = (entry.applied, entry.class);
        ensure(applied <= 1 && first == class, "I3", || {
            format!("the {} effect {} was applied {applied} times", class.as_str(), key.0)
        })
    }

    /// Whether it was done.
    pub(crate) fn has_done(&self, key: StepKey) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.applied > 0)
    }

    /// Effects tried, repetitions included.
    pub(crate) fn performed(&self) -> u64 {
        self.performed
    }
}
