//! `ark-os bench`.

use std::path::PathBuf;

use ark_os_api::Exit;

use crate::bench::{self, BenchSettings, Kind};
use crate::failure::Failure;
use crate::session::Session;

/// Measure this build on this machine
///
/// Starts a node of its own below DIR, loads it over loopback with everything on, and prints each
/// figure beside the raw limit of the same run. Quote ratios: machines are noisy.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// The shape of the load
    #[arg(long, value_enum, default_value_t = Kind::Stress)]
    kind: Kind,
    /// Size of the fleet
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    agents: u32,
    /// How long each measurement lasts, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Connections of the single requests
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Timers that are pending, in thousands of one run each, for `--kind time`
    #[arg(long, default_value_t = 1_000_000)]
    timers: u64,
    /// Where data is written; the device under it is what is measured [default: here]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Bench {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let settings = BenchSettings {
            kind: self.kind,
            agents: self.agents,
            seconds: self.seconds,
            connections: self.connections.max(1),
            timers: self.timers,
            directory: self.directory.unwrap_or_else(|| PathBuf::from(".")),
        };
        let report = bench::run(&settings)
            .map_err(|error| Failure::new("bench_failed", error.to_string()))?;
        session.output.answer(&report, |_| vec![format!("{report:#}")])?;
        Ok(Exit::Done)
    }
}
