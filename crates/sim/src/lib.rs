//! Doubts: seeded faults around the real loop.
//!
//! A seed is a whole world: a simulated clock, disk, fleet of agents and clients around the very
//! loop, core and journal of the product. [`run_seed`] lives through one, [`sweep`] through many;
//! what breaks a promise of the architecture comes back as a [`Violation`] that the seed replays.

mod bug;
mod checker;
mod disk;
mod fault_kinds;
mod plans;
mod promises;
mod rng;
mod sink;
mod subject;
mod sweep;
mod violation;
mod wishes;
mod world;

pub use bug::Bug;
pub use disk::{DiskCounts, Faults, SimFiles};
pub use fault_kinds::{FaultKind, FaultKinds, Injected};
pub use promises::{PROMISES, Promise};
pub use rng::Rng;
pub use subject::{RunReport, SUBJECT_RUNS, Subject, referred_outputs, sample};
pub use sweep::{Sweep, sweep};
pub use violation::Violation;
pub use world::Counts;

use std::sync::Arc;

use world::World;

/// How a seed is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// What may break.
    pub faults: FaultKinds,
    /// How many notes of the last events to keep.
    pub notes: usize,
    /// A workflow to be tried in the place of those that are drawn.
    pub subject: Option<Arc<Subject>>,
}

/// What became of a seed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Fingerprint of everything that happened: equal for equal seeds.
    pub fingerprint: u64,
    /// What happened, in numbers.
    pub counts: Counts,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The faults that were met.
    pub injected: Injected,
    /// How the runs of the workflow that was tried came out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunReport>,
    /// Microseconds of simulated time when it ended.
    pub micros: u64,
    /// The last events, if notes were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Lives through the world of a seed.
pub fn run_seed(seed: u64, options: &Options) -> Outcome {
    let mut world = match World::new(seed, options) {
        Ok(world) => world,
        Err(violation) => return Outcome::unborn(seed, violation),
    };
    let violation = world.live().err();
    Outcome {
        seed,
        fingerprint: world.fingerprint(),
        counts: world.sum_up(),
        injected: world.take_injected(),
        runs: world.run_reports(),
        violation,
        micros: world.now,
        notes: world.take_notes(),
    }
}

impl Outcome {
    fn unborn(seed: u64, violation: Violation) -> Self {
        Outcome {
            seed,
            fingerprint: 0,
            counts: Counts::default(),
            injected: Injected::new(),
            runs: Vec::new(),
            violation: Some(violation),
            micros: 0,
            notes: Vec::new(),
        }
    }
}
