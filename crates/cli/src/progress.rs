//! Following a run: its events become lines and a progress bar, until it is over or parked.

mod display;
mod tally;

use std::time::Duration;

use ark_os_api::RunView;
use serde_json::Value;

use crate::client::{Client, RunEvent, StreamEvent, segment};
use crate::failure::{Failure, exit_of_run};
use crate::threads::pause;

pub(crate) use display::{Curtain, Display, Style};
pub(crate) use tally::{Names, describe};

/// Connections in a row that broke before the run was over.
const RECONNECTS_MAX: u32 = 10;
/// Between two of them; an instance that restarts is back within a second.
const RECONNECT_PAUSE: Duration = Duration::from_millis(300);

/// Follows a run until it is over or parked.
///
/// # Errors
/// There is no such run, or the instance cannot be reached any more.
pub(crate) fn follow(
    client: &Client,
    run: &str,
    display: &mut Display,
) -> Result<RunView, Failure> {
    let mut after: Option<String> = None;
    let mut broken = 0;
    loop {
        let seen = after.clone();
        let streamed = follow_stream(client, run, &mut after, display);
        let view =
            streamed.and_then(|()| client.get::<RunView>(&format!("/runs/{}", segment(run))));
        broken = if after == seen { broken + 1 } else { 1 };
        match view {
            Ok(view) if exit_of_run(&view.state).is_some() => {
                // It may have been at rest before, and what happened since is not shown yet.
                if after != seen && has_more(client, run, after.as_deref())? {
                    continue;
                }
                display.finish();
                return Ok(view);
            }
            // The instance may be restarting, or the run was at rest and goes on.
            Ok(_) if broken <= RECONNECTS_MAX => {}
            Err(failure) if is_passing(&failure) && broken <= RECONNECTS_MAX => {}
            Ok(_) => {
                return Err(Failure::new(
                    "instance_unreachable",
                    "the stream of events ends at once, again and again",
                ));
            }
            Err(failure) => return Err(failure),
        }
        pause(RECONNECT_PAUSE);
    }
}

fn has_more(client: &Client, run: &str, after: Option<&str>) -> Result<bool, Failure> {
    let after = segment(after.unwrap_or_default());
    let page: Value =
        client.get(&format!("/runs/{}/events?after={after}&limit=1", segment(run)))?;
    let items = page.get("items").and_then(Value::as_array);
    Ok(items.is_some_and(|items| !items.is_empty()))
}

/// Whether it may be gone in a moment.
fn is_passing(failure: &Failure) -> bool {
    failure.exit() == ark_os_api::Exit::Unreachable
}

/// Shows events as they come until the run rests or the stream ends.
fn follow_stream(
    client: &Client,
    run: &str,
    after: &mut Option<String>,
    display: &mut Display,
) -> Result<(), Failure> {
    let mut stream = client.events(&segment(run), after.as_deref())?;
    while let Some(event) = stream.next()? {
        let StreamEvent::Event(event) = event else { continue };
        display.event(&event)?;
        *after = Some(event.id.clone());
        if is_rest(&event) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether nothing more may happen to the run by itself. A retried or unparked run has more events
/// behind such a one; then its state says that it is not at rest, and the stream is taken up again.
fn is_rest(event: &RunEvent) -> bool {
    matches!(event.kind.as_str(), "run_ended" | "run_parked")
}
