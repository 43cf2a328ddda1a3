//! Two verifiers of proof bundles, one in Rust and one in Python, held against each other on mutations of real
//! bundles: the same verdict, for the same kind of reason, at the same line; and nothing is accepted that was
//! changed.

mod campaign;
mod crafted;
mod document;
mod forge;
mod mutate;
mod python;
mod sample;

pub use campaign::{Campaign, Disagreement, Summary};
pub use crafted::{Crafted, crafted};
pub use mutate::{Mutant, mutant};
pub use python::{Python, PythonError};
pub use sample::{Sample, samples};
