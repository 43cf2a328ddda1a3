//! The handle: what the rest of the program holds of a running instance. Cheap to clone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ark_os_core::command::SubmitRun;
use ark_os_core::error::Failure;
use ark_os_core::ids::{AgentIx, RunId};
use ark_os_core::payload::Payload;
use ark_os_core::run::{RunState, RunSummary};
use ark_os_core::supervision::{Measure, MeasureKind};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Command, Kind};
use ark_os_store::Reader;
use ark_os_store::views::Queries;
use tokio::sync::{oneshot, watch};

use crate::RuntimeError;
use crate::deployment::{Outfit, Unhealthy, live_groups};
use crate::kernel::{Answer, Input, Kernel};
use crate::messages::{Messages, Party, Sender as MessageSender};
use crate::metrics::Metrics;
use crate::reply::{Lines, Reply};
use crate::settings::Settings;
use crate::skills::SkillSet;
use crate::submission::{RunRequest, Submissions};
use crate::threads;

/// Inputs from outside that may wait for the loop at one time; beyond it callers are told to come
/// back. At 100 000 a second this is half a second of work.
pub const INPUTS_WAITING_MAX: usize = 50_000;

/// How long a reader waits for the views to show what is durable by now. They follow within
/// milliseconds; after this the answer is what they have.
const VIEWS_PATIENCE: Duration = Duration::from_secs(2);

/// What goes to the loop's thread.
pub(crate) enum Message {
    /// One input.
    One(Input<Reply>),
    /// Several from outside.
    Many(Vec<Input<Reply>>),
    /// A batch is durable.
    Committed {
        /// Sequence of its last record.
        through: u64,
    },
    /// The journal or the views failed, or too many threads hang: stop.
    Failed(RuntimeError),
    /// Stop as soon as everything decided is durable.
    Stop,
}

/// A running instance.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) tx: Sender<Message>,
    /// Inputs from outside that the loop has not taken yet.
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) submissions: Submissions,
    pub(crate) queries: Queries,
    pub(crate) reader: Reader,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) settings: Settings,
    pub(crate) skills: Arc<SkillSet>,
    pub(crate) outfit: Arc<Outfit>,
    pub(crate) remotes: Arc<crate::remote::Remotes>,
    pub(crate) note: crate::committer::Note,
    /// The files of the data directory, and the key that its checkpoints are verified by.
    pub(crate) ledger: (Arc<dyn ark_os_store::Files>, ark_os_store::PublicKey),
    pub(crate) viewed: watch::Receiver<u64>,
    pub(crate) stopped: watch::Receiver<Option<Stopped>>,
}

/// How an instance came to a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// It failed.
    Failed {
        /// The stable code of the failure.
        code: &'static str,
        /// How, in words.
        message: String,
    },
}

impl Stopped {
    /// It failed in this way.
    pub(crate) fn failed(error: &RuntimeError) -> Self {
        Stopped::Failed { code: error.code(), message: error.to_string() }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

/// A run that was accepted, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub run: RunId,
    /// Whether its idempotency key had been used for the same request before.
    pub existing: bool,
}

/// How a run ended, or why nothing more happens to it by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its id.
    pub run: RunId,
    /// Its state: one of the three ends, or parked.
    pub state: RunState,
    /// When it was over.
    pub ended: Option<Time>,
    /// Its output.
    pub output: Option<Payload>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
}

impl From<&RunSummary> for Outcome {
    fn from(summary: &RunSummary) -> Self {
        Outcome {
            run: summary.id,
            state: summary.state,
            ended: summary.ended,
            output: summary.output.clone(),
            failure: summary.failure.clone(),
        }
    }
}

impl Handle {
    /// Submits a run; returns when it is durably accepted.
    ///
    /// # Errors
    /// The request is wrong (with every place), refused, or there is too much to do.
    pub async fn submit(&self, request: RunRequest) -> Result<Submitted, RuntimeError> {
        let submission = Box::new(self.prepare(request).await?);
        let (tx, rx) = oneshot::channel();
        let accepted = Some(Reply::One(tx));
        self.send(Input::Submit { submission, accepted, over: None })?;
        accepted_answer(answer(rx).await?)
    }

    /// Submits a run and waits until it is over or parked, at most `patience`. The run is durably
    /// accepted in any case; the summary is there if it ended in time.
    ///
    /// # Errors
    /// As `submit`.
    pub async fn submit_and_wait(
        &self,
        request: RunRequest,
        patience: Duration,
    ) -> Result<(Submitted, Option<Outcome>), RuntimeError> {
        let submission = Box::new(self.prepare(request).await?);
        let (tx, rx) = oneshot::channel();
        let (over_tx, over_rx) = oneshot::channel();
        let (accepted, over) = (Some(Reply::One(tx)), Some(Reply::One(over_tx)));
        self.send(Input::Submit { submission, accepted, over })?;
        let submitted = accepted_answer(answer(rx).await?)?;
        let over = match tokio::time::timeout(patience, answer(over_rx)).await {
            Ok(over) => Some(self.outcome(over?)?),
            Err(_) => None,
        };
        Ok((submitted, over))
    }

    /// What takes long is not done on the caller's thread, which serves others too.
    async fn prepare(&self, request: RunRequest) -> Result<SubmitRun, RuntimeError> {
        if let Some(workflow) = self.shared.submissions.short(&request) {
            return self.shared.submissions.prepare_for(workflow, request);
        }
        let turns = self.shared.submissions.turns.clone();
        let turn = turns.acquire_owned().await.map_err(|_| RuntimeError::closed())?;
        let shared = self.shared.clone();
        threads::aside(move || {
            let prepared = shared.submissions.prepare(request);
            drop(turn);
            prepared
        })
        .await?
    }

    /// Submits the lines of a batch. Each is answered through `lines` under its number: when it is
    /// durably accepted or, with `until_over`, when it is over or parked. Lines that are wrong are
    /// answered too. Whatever takes long about a line is done at once, on the caller's thread: a
    /// runtime of several threads is told to serve others without it meanwhile.
    ///
    /// # Errors
    /// The instance is gone or has too much to do; then no line of this call was taken.
    pub fn submit_lines(
        &self,
        requests: Vec<(u32, RunRequest)>,
        lines: &Arc<Lines>,
        until_over: bool,
    ) -> Result<(), RuntimeError> {
        let mut inputs = Vec::with_capacity(requests.len());
        let mut refused = Vec::new();
        for (line, request) in requests {
            let submissions = &self.shared.submissions;
            let prepared = match submissions.short(&request) {
                Some(workflow) => submissions.prepare_for(workflow, request),
                None => threads::in_place(|| submissions.prepare(request)),
            };
            match prepared {
                Ok(submission) => {
                    let reply = Some(Reply::Line { line, lines: lines.clone() });
                    let (accepted, over) = if until_over { (None, reply) } else { (reply, None) };
                    inputs.push(Input::Submit { submission: Box::new(submission), accepted, over });
                }
                Err(error) => refused.push((line, error)),
            }
        }
        self.send_many(inputs)?;
        for (line, error) in refused {
            lines.refuse(line, error);
        }
        Ok(())
    }

    /// Waits until a run is over or parked, at most `patience`; none: it is still under way.
    ///
    /// # Errors
    /// There is no such run, or the instance is gone.
    pub async fn wait(
        &self,
        run: RunId,
        patience: Duration,
    ) -> Result<Option<Outcome>, RuntimeError> {
        let (tx, rx) = oneshot::channel();
        self.send(Input::Watch { run, over: Reply::One(tx) })?;
        match tokio::time::timeout(patience, answer(rx)).await {
            Ok(over) => self.outcome(over?).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Carries out a command; returns when it is durable.
    ///
    /// # Errors
    /// The command is refused, or the instance is gone.
    pub async fn command(&self, command: Command) -> Result<(), RuntimeError> {
        let (tx, rx) = oneshot::channel();
        self.send(Input::Command { command, cause: 0, reply: Some(Reply::One(tx)) })?;
        match answer(rx).await? {
            Answer::Rejected(rejected) => Err(rejected.into()),
            _ => Ok(()),
        }
    }

    /// Puts an emergency measure in force; returns it as it was recorded, when that is durable.
    ///
    /// # Errors
    /// As for [`command`](Handle::command).
    pub async fn take_measure(
        &self,
        kind: MeasureKind,
        by: Option<AgentIx>,
        reason: Text,
        lasts_ms: u64,
    ) -> Result<Measure, RuntimeError> {
        let command = Command::TakeMeasure { kind, by, reason, lasts_ms };
        let (tx, rx) = oneshot::channel();
        self.send(Input::Command { command, cause: 0, reply: Some(Reply::One(tx)) })?;
        match answer(rx).await? {
            Answer::Measured(measure) => Ok(*measure),
            Answer::Rejected(rejected) => Err(rejected.into()),
            _ => Err(RuntimeError::closed()),
        }
    }

    /// Carries out a command that a run begins with; returns when that is durable.
    pub(crate) async fn accept(&self, command: Command) -> Result<Submitted, RuntimeError> {
        let (tx, rx) = oneshot::channel();
        self.send(Input::Command { command, cause: 0, reply: Some(Reply::One(tx)) })?;
        accepted_answer(answer(rx).await?)
    }

    /// Looks at the state; returns what was seen once it is durable.
    ///
    /// # Errors
    /// The instance is gone or has too much to do.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Kernel) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (tx, rx) = oneshot::channel();
        self.send(Input::Read(Box::new(move |kernel| {
            let seen = look(kernel);
            Box::new(move || {
                // Nobody waits any more: nothing to deliver.
                let _ = tx.send(seen);
            })
        })))?;
        rx.await.map_err(|_| RuntimeError::closed())
    }

    /// The bytes of a payload, wherever they lie.
    ///
    /// # Errors
    /// A blob is missing or damaged.
    pub fn load(&self, payload: &Payload) -> Result<Arc<[u8]>, RuntimeError> {
        self.shared.submissions.payloads.load(payload).map_err(|error| {
            RuntimeError::new(Kind::Unavailable, "blob_unreadable", error.to_string())
        })
    }

    /// Queries over the views.
    pub fn queries(&self) -> &Queries {
        &self.shared.queries
    }

    /// The newest record that the views show; changes as they follow.
    pub fn viewed(&self) -> watch::Receiver<u64> {
        self.shared.viewed.clone()
    }

    /// Waits until the views show everything that is durable now, so that whoever reads them after a
    /// 202 finds what was accepted.
    ///
    /// # Errors
    /// The instance is gone or has too much to do.
    pub async fn views_caught_up(&self) -> Result<(), RuntimeError> {
        let synced = self.read(|kernel| kernel.newest()).await?;
        let mut viewed = self.viewed();
        let shown = viewed.wait_for(|position| *position >= synced);
        // Late views are no error: they say what they have.
        let _ = tokio::time::timeout(VIEWS_PATIENCE, shown).await;
        Ok(())
    }

    /// The newest checkpoint as a signed note; none before the first is signed.
    pub fn checkpoint(&self) -> Option<String> {
        self.shared.note.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Counters and gauges.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The mailboxes of the fleet.
    pub fn messages(&self) -> &Messages {
        &self.shared.messages
    }

    /// Somebody who sends messages under the local operator's authority.
    pub fn message_sender(&self, party: Party) -> MessageSender {
        let authority = self.shared.submissions.grant.authority();
        self.shared.messages.sender(party, authority)
    }

    /// How the instance is run.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The native skills.
    pub fn skills(&self) -> &SkillSet {
        &self.shared.skills
    }

    /// Looks whether what agents work with could be had now: programs and services, also of declared groups.
    ///
    /// # Errors
    /// The instance has stopped.
    pub async fn unhealthy(&self) -> Result<Vec<Unhealthy>, RuntimeError> {
        let outfit = self.shared.outfit.clone();
        // Where nobody is declared, the loop is not asked.
        let groups = match outfit.has_groups() {
            true => self.read(|kernel| live_groups(kernel.state())).await?,
            false => Vec::new(),
        };
        threads::aside(move || outfit.unhealthy(&groups)).await
    }

    /// Asks the loop to stop once everything decided is durable; see [`Handle::stopped`].
    pub fn stop(&self) {
        // A loop that is gone has stopped.
        let _ = self.shared.tx.send(Message::Stop);
    }

    /// Waits until the instance has stopped, and tells how.
    pub async fn stopped(&self) -> Stopped {
        let mut stopped = self.shared.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or(Stopped::Asked),
            Err(_) => Stopped::failed(&RuntimeError::closed()),
        }
    }

    /// How a run ended, from the loop's answer to who waited for it.
    ///
    /// # Errors
    /// There is no such run.
    pub fn outcome(&self, answer: Answer) -> Result<Outcome, RuntimeError> {
        match answer {
            Answer::Over(summary) => Ok(Outcome::from(&*summary)),
            Answer::Gone(run) => self.ended(run),
            Answer::Rejected(rejected) => Err(rejected.into()),
            other => Err(unexpected(&other)),
        }
    }

    fn ended(&self, run: RunId) -> Result<Outcome, RuntimeError> {
        let row = self.shared.queries.run(run)?.ok_or_else(|| {
            RuntimeError::new(Kind::NotFound, "run_not_found", format!("find the run `{run}`"))
                .with_hint("`ark-os list runs` shows what there is")
        })?;
        Ok(Outcome {
            run,
            state: row.state,
            ended: row.ended,
            output: row.output,
            failure: row.failure.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }

    fn send(&self, input: Input<Reply>) -> Result<(), RuntimeError> {
        self.take_places(1)?;
        self.shared.tx.send(Message::One(input)).map_err(|_| RuntimeError::closed())
    }

    fn send_many(&self, inputs: Vec<Input<Reply>>) -> Result<(), RuntimeError> {
        if inputs.is_empty() {
            return Ok(());
        }
        self.take_places(inputs.len())?;
        self.shared.tx.send(Message::Many(inputs)).map_err(|_| RuntimeError::closed())
    }

    /// INVARIANT I18: too much to do is told to the caller before anything is taken.
    fn take_places(&self, count: usize) -> Result<(), RuntimeError> {
        let before = self.shared.waiting.fetch_add(count, Ordering::Relaxed);
        if before + count > INPUTS_WAITING_MAX && before > 0 {
            self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
            self.shared.metrics.overloaded.inc();
            return Err(RuntimeError::new(
                Kind::Exhausted,
                "overloaded",
                "take more work now: too many requests wait",
            )
            .with_hint("try again in a moment; nothing that was accepted is lost"));
        }
        Ok(())
    }
}

async fn answer(rx: oneshot::Receiver<Answer>) -> Result<Answer, RuntimeError> {
    rx.await.map_err(|_| RuntimeError::closed())
}

fn accepted_answer(answer: Answer) -> Result<Submitted, RuntimeError> {
    match answer {
        Answer::Accepted { run, existing } => Ok(Submitted { run, existing }),
        Answer::Rejected(rejected) => Err(rejected.into()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &Answer) -> RuntimeError {
    RuntimeError::new(Kind::Internal, "internal", format!("read the loop's answer {answer:?}"))
}
