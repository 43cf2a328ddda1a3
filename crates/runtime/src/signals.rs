//! Signals on their way to a run: checked on the caller's side, so that the loop only decides.

use ark_os_core::command::SendSignal;
use ark_os_core::event::SubmissionKey;
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::text::Text;
use ark_os_core::{Command, Kind};

use crate::error::Place;
use crate::handle::Handle;
use crate::submission::checked_key;
use crate::{RuntimeError, threads};

/// A signal for a run.
#[derive(Clone, Debug)]
pub struct SignalRequest {
    /// The run.
    pub run: RunId,
    /// The signal's name.
    pub name: String,
    /// What it says, as JSON text.
    pub payload: Vec<u8>,
    /// Idempotency key.
    pub key: Option<String>,
}

/// What the state knows of the run.
struct Known {
    is_over: bool,
    /// The schema that the waits for the signal share; none: any JSON will do.
    schema: Option<Text>,
}

impl Handle {
    /// Sends a signal; returns when it is durably recorded. One that was sent before under the same
    /// key is not sent again.
    ///
    /// # Errors
    /// The payload is not what the run waits for, no wait is left for it, or the run is over or
    /// unknown.
    pub async fn signal(&self, request: SignalRequest) -> Result<(), RuntimeError> {
        let key = key_of(&request)?;
        let (run, name) = (request.run, request.name.clone());
        let known = self.read(move |kernel| {
            let it = kernel.run(run)?;
            let wait = it.workflow.waits_for(&name).next();
            let schema = wait.and_then(|spec| spec.output_schema.clone());
            Some(Known { is_over: it.is_over(), schema })
        });
        let Some(known) = known.await? else { return self.signal_to_past(run, key).await };
        let payload = if known.is_over {
            // The loop says so, unless it came before.
            ark_os_core::payload::Payload::null()
        } else {
            self.checked_payload(request.payload, known.schema).await?
        };
        let signal = SendSignal { run, name: Text::from(request.name), payload, key };
        self.command(Command::SendSignal(Box::new(signal))).await
    }

    /// The payload as a valid one; a large one is a durable blob by then.
    async fn checked_payload(
        &self,
        json: Vec<u8>,
        schema: Option<Text>,
    ) -> Result<ark_os_core::payload::Payload, RuntimeError> {
        let turn = self.shared.submissions.turns.clone();
        let turn = turn.acquire_owned().await.map_err(|_| RuntimeError::closed())?;
        let shared = self.shared.clone();
        threads::aside(move || {
            let submissions = &shared.submissions;
            let schema = schema.as_ref().map_or("true", Text::as_str);
            submissions.schemas.validate(schema, &json).map_err(|violations| {
                let places = violations.into_iter().map(|it| Place {
                    pointer: it.pointer,
                    message: it.message,
                    hint: None,
                });
                let message = "take the signal: its payload is not what the run waits for";
                RuntimeError::new(Kind::Invalid, "signal_invalid", message)
                    .with_places(places.collect())
            })?;
            let saved = submissions.payloads.save(json);
            drop(turn);
            saved.map_err(|failure| {
                RuntimeError::new(Kind::Unavailable, "blob_not_stored", failure.to_string())
            })
        })
        .await?
    }

    /// The state has forgotten the run: it is over, or there never was one.
    async fn signal_to_past(
        &self,
        run: RunId,
        key: Option<SubmissionKey>,
    ) -> Result<(), RuntimeError> {
        let shared = self.shared.clone();
        let row = threads::aside(move || shared.queries.run(run)).await??;
        let Some(row) = row else {
            let message = format!("send a signal to `{run}`: no such run is known");
            return Err(RuntimeError::new(Kind::NotFound, "run_not_found", message)
                .with_hint("`ark-os list runs` shows what there is"));
        };
        let over = || {
            let message = format!("send a signal to `{run}`: the run is over");
            RuntimeError::new(Kind::Conflict, "run_over", message)
        };
        let key = key.ok_or_else(over)?;
        let asked = (run, key.request);
        let used = self.read(move |kernel| kernel.state().submission(&row.namespace, &key.key));
        if used.await? == Some(asked) { Ok(()) } else { Err(over()) }
    }
}

fn key_of(request: &SignalRequest) -> Result<Option<SubmissionKey>, RuntimeError> {
    let Some(key) = request.key.as_deref() else { return Ok(None) };
    let parts: [&[u8]; 4] =
        [b"signal", &request.run.to_bytes(), request.name.as_bytes(), &request.payload];
    Ok(Some(SubmissionKey { key: checked_key(key)?, request: Hash::of_parts(&parts) }))
}
