//! Tests of the views: against the core's own state, in any partition, across restarts, while asked.

mod following;
mod querying;
mod world;
