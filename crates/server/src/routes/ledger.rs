//! `/ledger`: the newest signed statement about the journal.

use ark_os_api::CheckpointView;
use axum::extract::State;
use axum::http::StatusCode;

use super::json;
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::refused::NoCheckpoint;

/// The newest checkpoint. Keep it elsewhere: later changes of what it covers are then found.
#[utoipa::path(
    get, path = "/api/v1/ledger/checkpoint", tag = "ledger",
    responses(
        (status = 200, description = "The checkpoint", body = CheckpointView),
        NoCheckpoint,
    ),
)]
pub(super) async fn show_checkpoint(State(context): State<Context>) -> Answered {
    let note = context.handle().checkpoint();
    let view = note.as_deref().and_then(view).ok_or_else(|| {
        Refusal::new("checkpoint_not_found", "nothing has been signed yet")
            .hint("ask again in two seconds")
    })?;
    Ok(json(StatusCode::OK, &view))
}

/// A signed note begins with the log's name, how many records it covers, and the root over them.
fn view(note: &str) -> Option<CheckpointView> {
    let mut lines = note.lines();
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    Some(CheckpointView {
        origin: origin.to_owned(),
        size: size.parse().ok()?,
        root: root.to_owned(),
        note: note.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_it_covers() {
        let note = "ark-os/journal\n17\nYWJj\n\n— ark-os/journal c2ln\n";
        let view = view(note).unwrap();
        assert_eq!((view.size, view.root.as_str()), (17, "YWJj"));
        assert!(super::view("x\ny\nz\n").is_none());
    }
}
