//! `PrioritizeRun`: make a run more or less urgent; what waits in line, or on disk, takes its new place
//! at once.

use super::run_control::living;
use super::{nothing, of_run};
use crate::error::Rejected;
use crate::event::{Change, Event};
use crate::ids::RunId;
use crate::priority::Priority;
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

pub(super) fn decide(
    state: &State,
    id: RunId,
    (priority, reason): (Priority, Text),
    now: Time,
) -> Result<Change, Rejected> {
    let before = match state.backlog.find(id) {
        Some(waiting) => waiting.priority,
        None => living(state, id)?.priority,
    };
    if before == priority {
        return Ok(nothing(now));
    }
    Ok(of_run(id, vec![Event::RunPrioritized { priority, reason }], now))
}
