//! The tests of the core through its public API: one binary, one module per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "integration/agents.rs"]
mod agents;
#[path = "integration/audit.rs"]
mod audit;
#[path = "integration/authority.rs"]
mod authority;
#[path = "integration/backlog.rs"]
mod backlog;
#[path = "integration/bounds.rs"]
mod bounds;
#[path = "integration/budget.rs"]
mod budget;
#[path = "integration/children.rs"]
mod children;
#[path = "integration/deployed_sections.rs"]
mod deployed_sections;
#[path = "integration/deployment.rs"]
mod deployment;
#[path = "integration/expansion.rs"]
mod expansion;
#[path = "integration/fleet_life.rs"]
mod fleet_life;
#[path = "integration/fleet_profile.rs"]
mod fleet_profile;
#[path = "integration/fleet_scale.rs"]
mod fleet_scale;
#[path = "integration/flow.rs"]
mod flow;
#[path = "integration/forks.rs"]
mod forks;
#[path = "integration/graph.rs"]
mod graph;
#[path = "integration/keyed_limits.rs"]
mod keyed_limits;
#[path = "integration/lifecycle.rs"]
mod lifecycle;
#[path = "integration/machine.rs"]
mod machine;
#[path = "integration/manifest.rs"]
mod manifest;
#[path = "integration/manifest_flow.rs"]
mod manifest_flow;
#[path = "integration/schedules.rs"]
mod schedules;
#[path = "integration/sections.rs"]
mod sections;
#[path = "integration/settings.rs"]
mod settings;
#[path = "integration/snapshot.rs"]
mod snapshot;
#[path = "integration/steps.rs"]
mod steps;
#[path = "integration/supervision.rs"]
mod supervision;
#[path = "integration/template.rs"]
mod template;
#[path = "integration/waits.rs"]
mod waits;
#[path = "integration/workers.rs"]
mod workers;
#[path = "integration/world.rs"]
mod world;
