//! Many seeds on all processors; the one place of this crate that starts threads.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};

use crate::{Options, Outcome, run_seed};

/// Threads at most: a world takes a few megabytes.
const THREADS_MAX: usize = 64;

/// What became of many seeds.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Sweep {
    /// Seeds that were run.
    pub seeds: u64,
    /// Sums over all of them: events, records, starts and so on.
    pub total: crate::Counts,
    /// The faults that were met.
    pub injected: crate::Injected,
    /// How the runs of the workflow that was tried came out, by their end; `open` for none.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub ends: std::collections::BTreeMap<String, u64>,
    /// The first run that failed, with its seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failed: Option<(u64, crate::RunReport)>,
    /// Worlds that broke a promise, by seed.
    pub broken: Vec<Outcome>,
}

impl Sweep {
    fn add(&mut self, outcome: Outcome) {
        let (total, counts) = (&mut self.total, &outcome.counts);
        self.seeds += 1;
        total.events += counts.events;
        total.records += counts.records;
        total.runs += counts.runs;
        total.starts += counts.starts;
        total.from_snapshots += counts.from_snapshots;
        total.snapshots += counts.snapshots;
        total.archived += counts.archived;
        total.kills += counts.kills;
        total.power_losses += counts.power_losses;
        total.fail_stops += counts.fail_stops;
        total.effects += counts.effects;
        total.strikes += counts.strikes;
        total.doubts += counts.doubts;
        total.loads += counts.loads;
        total.probes += counts.probes;
        total.signals += counts.signals;
        total.fires += counts.fires;
        total.seats += counts.seats;
        total.forks += counts.forks;
        total.reused += counts.reused;
        for (fault, count) in &outcome.injected {
            *self.injected.entry(fault).or_default() += count;
        }
        for run in &outcome.runs {
            let end = run.end.clone().unwrap_or_else(|| "open".to_owned());
            *self.ends.entry(end).or_default() += 1;
            let is_earlier =
                self.first_failed.as_ref().is_none_or(|(seed, _)| *seed > outcome.seed);
            if run.failure.is_some() && is_earlier {
                self.first_failed = Some((outcome.seed, run.clone()));
            }
        }
        if outcome.violation.is_some() {
            self.broken.push(outcome);
        }
    }
}

/// Runs the seeds from `first` on; `until_broken` stops at the first that breaks a promise.
pub fn sweep(first: u64, seeds: u64, options: &Options, until_broken: bool) -> Sweep {
    let threads = available_parallelism().map_or(2, usize::from).min(THREADS_MAX);
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let found = Mutex::new(Sweep::default());
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return;
            }
            let outcome = run_seed(first.wrapping_add(number), options);
            if until_broken && outcome.violation.is_some() {
                is_over.store(true, Ordering::Relaxed);
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
        }
    };
    // Each world is its own; a scope joins its threads and passes their panics on.
    scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.broken.sort_by_key(|outcome| outcome.seed);
    found
}
