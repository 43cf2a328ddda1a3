//! Measures this build on this machine: every figure beside the raw limit of the same run.
//!
//! A child process of this very binary is the server, over loopback HTTP, everything on: synced
//! before acknowledged, Merkle tree, budgets, authority. The client shares the processors with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

mod agents;
mod backlog;
mod child;
mod client;
mod figures;
mod history;
mod load;
mod messages;
mod plans;
mod raw;
mod restart;
mod resume;
mod timers;
mod workers;

pub(crate) use figures::BenchError;

/// What to measure, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct BenchSettings {
    /// The shape of the load.
    pub(crate) kind: Kind,
    /// Size of the fleet.
    pub(crate) agents: u32,
    /// How long each measurement lasts.
    pub(crate) seconds: u64,
    /// Connections of the single requests.
    pub(crate) connections: usize,
    /// Timers that are pending.
    pub(crate) timers: u64,
    /// Where data directories are made; the device under it is what is measured.
    pub(crate) directory: PathBuf,
}

/// The shape of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Everything that `docs/benchmarks.md` reports.
    Suite,
    /// As many tasks as go through, in batches.
    Stress,
    /// Single requests in bursts, with pauses.
    Spike,
    /// Single requests at a steady load, for as long as asked.
    Soak,
    /// Large workflows and large payloads.
    Volume,
    /// A run with a million events, read page by page.
    History,
    /// A million runs accepted that nobody can work on, starts with them, and their ends.
    Backlog,
    /// Starts on a data directory with a million runs that are over.
    Restart,
    /// Messages between agents in one process.
    Messages,
    /// A kill with 100 000 runs in flight, until all go on.
    Resume,
    /// A million timers pending, and 5 000 due every second.
    Time,
    /// Tasks through 8 remote workers that take batches, and 1 000 idle ones.
    Workers,
}

/// Measures, and reports as JSON.
///
/// # Errors
/// The server does not start, or answers something unexpected.
pub(crate) fn run(settings: &BenchSettings) -> Result<Value, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(BenchError::io("start the client's threads"))?;
    runtime.block_on(measure(settings))
}

async fn measure(settings: &BenchSettings) -> Result<Value, BenchError> {
    let dir = settings.directory.as_path();
    let sync_us = raw::device_sync_us(dir)?;
    let body = match settings.kind {
        Kind::Suite => suite(settings, sync_us).await?,
        Kind::Stress => json!({ "batch": stress(settings).await? }),
        Kind::Spike => json!({ "spike": load::spike(settings).await? }),
        Kind::Soak => json!({ "soak": load::soak(settings).await? }),
        Kind::Backlog => json!({ "backlog": backlog::backlog(settings).await? }),
        Kind::Volume => json!({ "volume": plans::volume(settings).await? }),
        Kind::Restart => json!({ "restart": restart::starts(settings).await? }),
        Kind::Resume => json!({ "resume": resume::resume(settings).await? }),
        Kind::Time => json!({ "time": timers::timers(settings).await? }),
        Kind::Messages => json!({ "messages": messages::messages(settings)? }),
        Kind::Workers => json!({ "workers": workers::workers(settings).await? }),
        Kind::History => json!({ "history": history::pages(settings).await? }),
    };
    Ok(json!({
        "machine": raw::machine(),
        "device_sync_us": sync_us,
        "agents": settings.agents,
        "measured": body,
    }))
}

async fn stress(settings: &BenchSettings) -> Result<Value, BenchError> {
    let node = child::Node::start(&settings.directory, settings.agents)?;
    load::batch(&node.target, Duration::from_secs(settings.seconds)).await
}

async fn suite(settings: &BenchSettings, sync_us: u64) -> Result<Value, BenchError> {
    let dir: &Path = &settings.directory;
    let raw = json!({
        "append": raw::append(dir)?,
        "bare_post": raw::bare_post(settings.connections, settings.seconds).await?,
        "channel": raw::channel().await,
    });
    let start = agents::cold_start(dir)?;
    let many = agents::many(dir)?;
    let node = child::Node::start(dir, settings.agents)?;
    let seconds = Duration::from_secs(settings.seconds);
    let batch = load::batch(&node.target, seconds).await?;
    let singles = load::singles(&node.target, settings.connections, seconds, sync_us).await?;
    let low = load::low(&node.target, sync_us).await?;
    let chain = plans::chain(&node.target, sync_us).await?;
    let fan = plans::fans(&node.target).await?;
    let metrics = node.target.metrics().await?;
    Ok(json!({
        "raw": raw,
        "batch": batch,
        "singles": singles,
        "low_load": low,
        "chain": chain,
        "fan": fan,
        "cold_start": start,
        "agents": many,
        "server": metrics,
    }))
}
