//! Serves: REST, SSE, OpenAPI and metrics over the runtime.
//!
//! [`Server::bind`] listens; `front` admits requests, `routes` answer them, one file for each
//! resource. Nothing here decides: routes translate between the wire (`ark-os-api`) and the
//! runtime's handle, and all errors become problem documents in one place.

pub mod events;
pub mod graph;

mod amounts;
mod batch;
mod checks;
mod cloud_event;
mod context;
mod counters;
mod diff;
mod front;
mod given;
mod json;
mod line;
mod listen;
mod live;
mod log_ring;
mod openapi;
mod origin;
mod overview;
mod past;
mod problems;
mod prometheus;
mod query;
mod refused;
mod routes;
mod sampling;
mod settings;
mod show;
mod tasks;
mod trace;
mod words;

pub use context::OnShutdown;
pub use listen::{BindError, Server};
pub use live::{LiveSettings, Reloading, Showing};
pub use log_ring::LogRing;
pub use openapi::openapi_json;
pub use settings::{BODY_BYTES_MAX, CONNECTIONS_MAX, PORT, ServerSettings};
