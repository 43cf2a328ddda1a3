//! Fuzz targets for everything that reads foreign bytes, and the seeded driver that runs them; and
//! the mutations of proof bundles that two verifiers must agree on. A dev-dependency only.
//! `ark-os-fuzz` and `ark-os-proofs` are the command lines.

pub mod fuzz;
pub mod proofs;
