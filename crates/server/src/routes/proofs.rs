//! `/runs/{id}/proof` and `/ledger/consistency`: evidence for those who do not trust this instance.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use ark_os_api::{ConsistencyView, Problem};
use ark_os_core::ids::RunId;
use ark_os_runtime::RuntimeError;
use ark_os_runtime::proofs::Proving;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::runs::{find, not_found, run_id};
use super::{json, with_type};
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::query::read;
use crate::refused::NoCheckpoint;
use crate::tasks;

/// Bundles that are made at one time: each reads a run's records twice.
const PROOFS_MAX: usize = 4;
/// Bytes that go out together.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader.
const PIECES_WAITING_MAX: usize = 4;
/// How often, and how long apart, is looked for a checkpoint over the run's last record: one is signed every
/// second while there is work.
const LOOKS: u32 = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

static TURNS: Semaphore = Semaphore::const_new(PROOFS_MAX);

/// `?payloads` and `?kept`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    payloads: bool,
    kept: Option<String>,
}

/// `?from` and `?to`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    from: u64,
    to: u64,
}

/// The proof bundle of a run that is over (`docs/proofs.md`).
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/proof", tag = "ledger",
    params(
        ("id" = String, Path, description = "The run"),
        ("payloads" = Option<bool>, Query, description = "Whether the data that is not in the records is embedded"),
        ("kept" = Option<String>, Query, description = "Note of an older checkpoint that the bundle is to go on from"),
    ),
    responses(
        (status = 200, description = "The bundle; it is whole only with its last line", body = Object, content_type = "application/json"),
        (status = 404, description = "`run_not_found`, `checkpoint_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`run_not_over`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn prove_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let run = run_id(&id)?;
    let wanted: Wanted = read(&uri)?;
    if find(&context, run).await?.is_none() {
        return Err(not_found(&id));
    }
    let turn = tasks::turn(&TURNS).await?;
    context.views_caught_up().await?;
    let proving = prepared(&context, run, &wanted).await?;
    Ok(with_type(StatusCode::OK, "application/json", stream(proving, turn)))
}

async fn prepared(context: &Context, run: RunId, wanted: &Wanted) -> Result<Proving, RuntimeError> {
    let mut looks = 0;
    loop {
        let (handle, kept, embeds) =
            (context.handle().clone(), wanted.kept.clone(), wanted.payloads);
        let prepared = tasks::blocking(move || handle.prove(run, embeds, kept.as_deref())).await;
        match prepared {
            Err(error) if error.code() == "checkpoint_not_found" && looks < LOOKS => looks += 1,
            other => return other,
        }
        let pause = tokio::time::timeout(BETWEEN_LOOKS, std::future::pending::<Infallible>());
        // It always runs out.
        let _ = pause.await;
    }
}

fn stream(proving: Proving, turn: SemaphorePermit<'static>) -> Body {
    let (tx, rx) = mpsc::channel(PIECES_WAITING_MAX);
    tasks::spawn(async move {
        let writing = tasks::blocking(move || {
            let mut out = Pieces { tx: tx.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
            let written = proving.write(&mut out);
            if let Err(error) = &written {
                // The answer breaks off: half a bundle must not look like a whole one.
                let _ = tx.blocking_send(Err(io::Error::other(error.to_string())));
            }
            written
        });
        if let Err(error) = writing.await {
            tracing::warn!(%error, "a proof bundle broke off");
        }
        drop(turn);
    });
    let pieces = unfold(rx, |mut rx| async move {
        let piece: io::Result<Bytes> = rx.recv().await?;
        Some((piece, rx))
    });
    Body::from_stream(pieces)
}

/// What is written goes out in pieces, and waits for a slow reader.
struct Pieces {
    tx: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        self.tx.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// That the journal of `from` records is a prefix of that of `to`, as RFC 9162 proves it.
#[utoipa::path(
    get, path = "/api/v1/ledger/consistency", tag = "ledger",
    params(
        ("from" = u64, Query, description = "Records of the older checkpoint"),
        ("to" = u64, Query, description = "Records of the newer checkpoint"),
    ),
    responses(
        (status = 200, description = "The path", body = ConsistencyView),
        (status = 400, description = "`query_invalid`", body = Problem, content_type = "application/problem+json"),
        NoCheckpoint,
    ),
)]
pub(super) async fn show_consistency(State(context): State<Context>, uri: Uri) -> Answered {
    let Sizes { from, to } = read(&uri)?;
    let handle = context.handle().clone();
    let path =
        tasks::blocking(move || handle.consistency(from, to)).await.map_err(Refusal::from)?;
    let path = path.iter().map(ToString::to_string).collect();
    Ok(json(StatusCode::OK, &ConsistencyView { from, to, path }))
}
