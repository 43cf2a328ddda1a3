//! `/runs/{id}/events`: a run's history, paged or as a stream that follows it.
//!
//! Both read the journal, so an id taken before a restart of the instance goes on after it.

use std::convert::Infallible;
use std::time::Duration;

use ark_os_api::{EventView, Page};
use ark_os_core::ids::RunId;
use ark_os_core::{Change, Event};
use ark_os_runtime::{HistoryPage, RecordedEvents, RuntimeError};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::runs::{find, not_found, row_of, run_id};
use super::{json, with_type};
use crate::context::Context;
use crate::context::stopped;
use crate::events::{AgentNames, EventJson};
use crate::problems::Answered;
use crate::query::{EventsQuery, cursor_invalid, read};
use crate::refused::NoRun;
use crate::tasks;

/// Records read at a time by a stream.
const STREAM_PAGE: usize = 500;
/// A comment goes out after this long without an event, so that nobody on the way hangs up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stream lets changes gather before it looks again: the views move with every commit of
/// any run.
const GATHERING: Duration = Duration::from_millis(20);
/// The browser's header with the id of the last event that it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Up to where somebody has seen a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    seq: u64,
    /// The event inside the record; none: all of it.
    index: Option<usize>,
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('.') {
            Some((seq, index)) => {
                Some(Position { seq: seq.parse().ok()?, index: Some(index.parse().ok()?) })
            }
            None => Some(Position { seq: text.parse().ok()?, index: None }),
        }
    }

    /// Records after this one are asked for.
    fn after(self) -> u64 {
        if self.index.is_some() { self.seq.saturating_sub(1) } else { self.seq }
    }

    fn is_before(self, seq: u64, index: usize) -> bool {
        seq > self.seq || (seq == self.seq && self.index.is_some_and(|seen| index > seen))
    }
}

/// What happened in a run, oldest first; with `Accept: text/event-stream` as a stream that follows
/// it until it is over.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/events", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`"),
    ),
    responses(
        (status = 200, description = "A page of events, or a stream of them", content(
            (Page<EventView> = "application/json"),
            (String = "text/event-stream", example = "id: 17.1\nevent: task_ready\ndata: {\"id\":\"17.1\",…}\n\n"),
        )),
        NoRun,
    ),
)]
pub(super) async fn list_run_events(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let run = run_id(&id)?;
    let query: EventsQuery = read(&uri)?;
    let limit = query.limit.items();
    let seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let position = match seen.or(query.after.as_deref()) {
        None | Some("") => Position::default(),
        Some(text) => Position::parse(text).ok_or_else(cursor_invalid)?,
    };
    if find(&context, run).await?.is_none() {
        return Err(not_found(&id));
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        return Ok(stream(context, run, position));
    }
    context.views_caught_up().await?;
    page(&context, run, position, limit).await
}

async fn page(context: &Context, run: RunId, position: Position, limit: usize) -> Answered {
    // Two more than asked for: the first record may be seen already, and the last one tells
    // whether there are more.
    let (page, names) = load(context, run, position, limit + 2).await?;
    let mut items: Vec<EventJson<'_>> =
        events(&page.records, run, position, &names).take(limit + 1).collect();
    let more = page.more || items.len() > limit;
    items.truncate(limit);
    let last = items.last().map(EventJson::id);
    // A record that is as large as a page and was seen already.
    let last = last.or_else(|| page.records.last().map(|it| it.seq.to_string()));
    Ok(json(StatusCode::OK, &Shown { items, next: last.filter(|_| more) }))
}

/// A part of the history and who its agents are.
async fn load(
    context: &Context,
    run: RunId,
    position: Position,
    limit: usize,
) -> Result<(HistoryPage, AgentNames), RuntimeError> {
    let handle = context.handle().clone();
    tasks::blocking(move || {
        let page = handle.history(run, position.after(), limit)?;
        let names = AgentNames::of_page(&handle, &page.records)?;
        Ok::<_, RuntimeError>((page, names))
    })
    .await
}

/// A page of events, borrowed.
#[derive(serde::Serialize)]
struct Shown<'a> {
    items: Vec<EventJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn events<'a>(
    records: &'a [RecordedEvents],
    run: RunId,
    position: Position,
    names: &'a AgentNames,
) -> impl Iterator<Item = EventJson<'a>> + 'a {
    records.iter().flat_map(move |recorded| {
        (0..recorded.change.events.len())
            .filter(move |index| position.is_before(recorded.seq, *index))
            .map(move |index| EventJson { run, recorded, index, names })
    })
}

fn stream(context: Context, run: RunId, position: Position) -> Response {
    let (viewed, stopping) = (context.handle().viewed(), context.stopping());
    let following = Following { context, run, position, viewed, stopping, is_over: false };
    let body = unfold(following, |mut following| async move {
        let text = following.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), following))
    });
    let mut response = with_type(StatusCode::OK, "text/event-stream", Body::from_stream(body));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream on its way through a history.
struct Following {
    context: Context,
    run: RunId,
    position: Position,
    viewed: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    is_over: bool,
}

impl Following {
    /// The next text of the stream; none: it is over, or the server stops. Errors end the stream:
    /// the client comes back with the id of its last event and is told then.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.is_over || self.is_stopping() {
                return None;
            }
            // Marked before looking, so that what comes meanwhile wakes us.
            self.viewed.mark_unchanged();
            let row_is_over = self.row_is_over().await?;
            let (page, names) =
                load(&self.context, self.run, self.position, STREAM_PAGE).await.ok()?;
            let text = self.write(&page, &names);
            if !text.is_empty() {
                return Some(text);
            }
            // The row was over before the history was read, so there is nothing more.
            if row_is_over {
                return None;
            }
            tokio::select! {
                changed = tokio::time::timeout(KEEP_ALIVE, self.viewed.changed()) => match changed {
                    Err(_) => return Some(b": keep-alive\n\n".to_vec()),
                    Ok(Err(_)) => return None,
                    Ok(Ok(())) => {}
                },
                () = stopped(&mut self.stopping) => return None,
            }
            let gathering = tokio::time::timeout(GATHERING, std::future::pending::<()>());
            // It always runs out.
            let _ = gathering.await;
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    async fn row_is_over(&self) -> Option<bool> {
        let row = row_of(self.context.handle(), self.run).await.ok()?;
        Some(row.is_some_and(|row| row.state.is_over()))
    }

    fn write(&mut self, page: &HistoryPage, names: &AgentNames) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events(&page.records, self.run, self.position, names) {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(event.id().as_bytes());
            out.extend_from_slice(b"\nevent: ");
            out.extend_from_slice(event.kind().unwrap_or_default().as_bytes());
            out.extend_from_slice(b"\ndata: ");
            let from = out.len();
            // Writing into memory cannot fail.
            let _ = serde_json::to_writer(&mut out, &event);
            // Payloads are passed on as they are; a line break in one would end the field.
            for byte in out.iter_mut().skip(from).filter(|byte| matches!(byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
            out.extend_from_slice(b"\n\n");
        }
        if let Some(last) = page.records.last() {
            self.position = Position { seq: last.seq, index: None };
            self.is_over = !page.more && ends_run(&last.change);
        }
        out
    }
}

/// Whether a change leaves its run over.
fn ends_run(change: &Change) -> bool {
    change.events.iter().rev().any(|event| matches!(event, Event::RunEnded(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_and_stand_between_events() {
        let position = Position::parse("17.1").unwrap();
        assert_eq!(position.after(), 16);
        assert!(!position.is_before(17, 1) && position.is_before(17, 2));
        assert!(position.is_before(18, 0) && !position.is_before(16, 9));
        let whole = Position::parse("17").unwrap();
        assert_eq!(whole.after(), 17);
        assert!(!whole.is_before(17, 5) && whole.is_before(18, 0));
        for text in ["", ".", "1.", "-1", "1.2.3", "x"] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
