//! `ark-os shutdown`.

use std::time::Duration;

use ark_os_api::{Exit, Shutdown as Request, ShuttingDown};
use ark_os_core::manifest::parse_duration_ms;

use crate::client::{Address, Client};
use crate::failure::Failure;
use crate::session::Session;
use crate::threads::pause;

/// Where nobody asks for another time.
const DRAIN: Duration = Duration::from_secs(30);
/// Time for the checkpoint and the last sync, beyond what is given for draining.
const STOP_TIME: Duration = Duration::from_secs(30);
/// Between two looks at a process that is ending.
const LOOK: Duration = Duration::from_millis(20);

/// Stop a running instance and wait until it is gone
///
/// What runs comes to its end first; what does not in time goes on at the next start.
#[derive(Debug, clap::Args)]
pub(crate) struct Shutdown {
    /// How long to wait for what runs [default: the instance's `system.drain_timeout`]
    #[arg(long, value_name = "TIME", conflicts_with = "now")]
    drain_timeout: Option<String>,
    /// Do not wait
    #[arg(long)]
    now: bool,
}

impl Shutdown {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let drain = match &self.drain_timeout {
            Some(text) => Duration::from_millis(parse_duration_ms(text).ok_or_else(|| {
                Failure::usage(format!("`{text}` is no duration"))
                    .with_hint("write it like `30s` or `5m`")
            })?),
            None => DRAIN,
        };
        let client = session.client()?;
        let request = Request { drain_timeout: self.drain_timeout, now: self.now };
        let answer: ShuttingDown = client.post("/admin/shutdown", &request, None)?;
        if !is_gone(&client, client.address(), drain + STOP_TIME) {
            let message =
                format!("the instance at {} has not ended yet", client.address().endpoint);
            return Err(Failure::new("wait_exceeded", message)
                .with_hint("`ark-os shutdown --now` does not wait for what runs"));
        }
        session.output.answer(&answer, |_| vec!["stopped".to_owned()])?;
        Ok(Exit::Done)
    }
}

/// Waits until the instance is gone: its process where we know it, else its listener.
fn is_gone(client: &Client, address: &Address, patience: Duration) -> bool {
    let is_there = || match address.pid {
        Some(pid) => is_process(pid),
        None => client.is_alive(),
    };
    let looks = patience.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if !is_there() {
            return true;
        }
        pause(LOOK);
    }
    false
}

/// Whether a process runs. One that has ended and was not asked for by its parent yet does not.
fn is_process(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name, in parentheses, may hold anything; the state is what follows it.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}
