//! Data: everything that reads or makes payloads for the loop, which itself never looks into one.
//!
//! All of it is pure but for [`BlobSource`]: the same run and the same blobs give the same answer,
//! so the simulator runs it as it is. Foreign JSON never panics in here and nothing grows without
//! one of the limits below.

mod blobs;
mod cache;
mod catalogue;
mod condition;
mod error;
mod input;
mod json;
mod list;
mod output;
mod payloads;
mod prepare;
mod schemas;
mod view;

pub use blobs::{BlobSource, payload_of};
pub use catalogue::Catalogue;
pub use condition::Condition;
pub use error::DataError;
pub use input::{ResolvedInput, input_of};
pub use output::{gather, items_of};
pub use payloads::Payloads;
pub use prepare::prepare;
pub use schemas::{Schemas, Violation};

/// Bytes of one payload: as large as a blob may be, which is held in memory whole.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of text that is parsed into values: they take five to a hundred times as much memory.
/// Larger payloads can still be passed on whole, mapped over, or entered by a path.
pub const PARSED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a list of children's outputs (`collect`), and of an object of several outputs.
pub const COLLECTED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of blobs and collected lists kept for those who ask next.
pub const TEXT_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of parsed values kept, about.
pub const VALUE_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of lists and the places of their items kept for the children of maps.
pub const LIST_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of parsed templates kept, about.
pub const TEMPLATE_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Compiled conditions kept.
pub const CONDITIONS_KEPT_MAX: usize = 4_096;
/// Compiled schemas kept.
pub const SCHEMAS_KEPT_MAX: usize = 1_024;
/// Violations told of one value; nobody mends more at a time.
pub const VIOLATIONS_MAX: usize = 20;
