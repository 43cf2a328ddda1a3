//! Acts: the loop, the committer, timers, supervision and native agents.

pub mod skills;
