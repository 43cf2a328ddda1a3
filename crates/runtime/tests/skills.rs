//! The native skills through their public contract: each small one, and the audit over trees with
//! everything a real tree may hold and a hostile one may plant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::needless_pass_by_value)] // inputs are written where they are used

#[path = "skills/audit.rs"]
mod audit;
#[path = "skills/comparison.rs"]
mod comparison;
#[path = "skills/host.rs"]
mod host;
#[path = "skills/small.rs"]
mod small;
