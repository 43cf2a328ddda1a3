//! Fuzzing on the stable compiler: targets are plain functions over bytes, cases are drawn from a
//! seed, and a case that fails is named by target, seed and number, which reproduce it.
//!
//! A target fails by panicking. Saying no to its input is what it is there for.

mod campaign;
mod corpus;
mod mutate;
mod rng;
mod sample;
mod targets;

pub use campaign::{Campaign, Failure, Summary, TargetSummary, UnknownTarget};
pub use mutate::{Form, mutated};
pub use rng::Rng;
pub use targets::{NAMES, Read, Target, target};

/// The input of a case: the same target, seed and number always give the same bytes.
#[must_use]
pub fn input_of(target: &Target, seed: u64, case: u64) -> Vec<u8> {
    mutated(&target.seeds, target.form, &mut Rng::of(&[seed, name_number(target.name), case]))
}

/// A number for a name, so that targets draw different cases from one seed (FNV-1a).
fn name_number(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
