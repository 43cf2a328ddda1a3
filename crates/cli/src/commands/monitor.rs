//! `ark-os monitor`.

use ark_os_api::Exit;
use ark_os_core::manifest::parse_duration_ms;

use crate::failure::Failure;
use crate::monitor::{Wanted, print_documents, print_screen, watch};
use crate::session::Session;

/// The shortest time between two looks: an overview is counted once a second, and lists cost a query.
const INTERVAL_MS_MIN: u64 = 100;
const INTERVAL_MS_MAX: u64 = 3_600_000;

/// Watch the instance live: fleet, runs, queues, rates, what needs somebody, the log
///
/// Keys are told by `?`. It connects again by itself when the instance goes away and comes back.
#[derive(Debug, clap::Args)]
pub(crate) struct Monitor {
    /// Print one screen (with --json one document) and end
    #[arg(long)]
    once: bool,
    /// Between two looks at the instance
    #[arg(long, value_name = "TIME", default_value = "1s")]
    interval: String,
    /// Whose runs
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
}

impl Monitor {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let interval_ms = parse_duration_ms(&self.interval)
            .filter(|ms| (INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(ms))
            .ok_or_else(|| {
                Failure::usage(format!("`{}` is no interval", self.interval))
                    .with_hint("use a duration from `100ms` to `1h`")
            })?;
        let wanted = Wanted { interval_ms, namespace: self.namespace };
        match (self.once, session.output.is_json()) {
            (_, true) => print_documents(session, &wanted, self.once),
            (true, false) => print_screen(session, &wanted),
            (false, false) => watch(session, &wanted),
        }
    }
}
