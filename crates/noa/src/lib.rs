//! Reads: manifests as people and other programs write them.
//!
//! [`text`] turns JSON, YAML and TOML into one value with the place of everything in it, [`write()`]
//! turns it back, [`normalize`] heals what is merely written differently, [`import`] reads the agent
//! files of others. All of it is pure: files are read and written elsewhere. What a manifest means
//! is for `ark_os_core::manifest` to say.

pub mod import;
pub mod normalize;
pub mod text;
pub mod write;

pub use text::{Document, Fault, Format};
pub use write::write;
