//! Doubts: seeded faults around the real loop.
//!
//! A seed is a whole world: a simulated clock, disk, fleet of agents and clients around the very
//! loop, core and journal of the product. [`run_seed`] lives through one, [`sweep`] through many;
//! what breaks a promise of the architecture comes back as a [`Violation`] that the seed replays.

mod bug;
mod checker;
mod disk;
mod plans;
mod rng;
mod sink;
mod sweep;
mod violation;
mod world;

pub use bug::Bug;
pub use disk::{DiskCounts, Faults, SimFiles};
pub use rng::Rng;
pub use sweep::{Sweep, sweep};
pub use violation::Violation;
pub use world::Counts;

use world::World;

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// How many notes of the last events to keep.
    pub notes: usize,
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
        violation,
        micros: world.now,
        notes: world.take_notes(),
    }
}

impl Outcome {
    fn unborn(seed: u64, violation: Violation) -> Self {
        let (counts, notes) = (Counts::default(), Vec::new());
        Outcome { seed, fingerprint: 0, counts, violation: Some(violation), micros: 0, notes }
    }
}
