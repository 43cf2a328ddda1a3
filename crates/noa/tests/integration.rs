//! The published schema beside the reader.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests may fail loudly, and read the tree"
)]

#[path = "integration/schema.rs"]
mod schema;
