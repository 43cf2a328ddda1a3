//! A run while records speak of it: folded in memory, written once a batch.

use ark_os_core::event::{Event, RunAccepted, RunEnd, RunEnded};
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::run::RunState;
use ark_os_core::time::Time;

use super::bytes::{Numbers, ShortBytes, put, sequences};
use super::names::Plan;
use super::progress::Progress;
use super::rows::TaskTally;

/// Record numbers in a row before they move to a chunk of their own: bounds what is written again
/// when a long run goes on (about two bytes a number).
pub(super) const RECORDS_IN_ROW_MAX: u32 = 1_024;

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Live {
    pub(super) id: RunId,
    pub(super) plan: Plan,
    pub(super) admission: Option<u64>,
    pub(super) priority: i64,
    pub(super) accepted: Time,
    pub(super) ended: Option<Time>,
    /// While it is under way that of the sink, as far as there is one.
    pub(super) output: Option<Payload>,
    pub(super) failure: Option<String>,
    pub(super) records: Records,
    phase: Phase,
    paused: bool,
    parked: bool,
    /// None: the row of a run that succeeded, which nothing can move again.
    progress: Option<Progress>,
    tally: TaskTally,
    /// The state under which the tables count it; none: they do not know it yet.
    pub(super) counted: Option<RunState>,
    /// Whether it differs from its row.
    pub(super) changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Accepted,
    Running,
    Ended(RunEnd),
}

/// What a row holds of a run besides its plain columns.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: RunId,
    pub(super) plan: Plan,
    pub(super) admission: Option<u64>,
    pub(super) state: RunState,
    pub(super) priority: i64,
    pub(super) accepted: Time,
    pub(super) ended: Option<Time>,
    pub(super) tally: TaskTally,
    pub(super) output: Option<Payload>,
    pub(super) failure: Option<String>,
    pub(super) records: ShortBytes,
    pub(super) progress: Option<Vec<u8>>,
}

impl Live {
    /// A run as it begins.
    pub(super) fn new(id: RunId, plan: Plan, accepted: &RunAccepted, at: Time) -> Self {
        Live {
            id,
            plan,
            admission: accepted.admission,
            priority: accepted.priority as i64,
            accepted: at,
            ended: None,
            output: None,
            failure: None,
            records: Records::default(),
            phase: phase_as(accepted),
            paused: false,
            parked: false,
            progress: Some(Progress::new(plan.tasks)),
            tally: TaskTally::default(),
            counted: None,
            changed: false,
        }
    }

    /// The run that a row tells of; none: the row's lists are not what was written.
    pub(super) fn from_row(row: Stored) -> Option<Self> {
        let mut live = Live {
            id: row.id,
            plan: row.plan,
            admission: row.admission,
            priority: row.priority,
            accepted: row.accepted,
            ended: row.ended,
            output: row.output,
            failure: row.failure,
            records: Records::from_bytes(row.records),
            phase: phase_of(row.state),
            paused: false,
            parked: false,
            progress: None,
            tally: row.tally,
            counted: Some(row.state),
            changed: false,
        };
        if let Some(bytes) = row.progress {
            let mut numbers = Numbers(&bytes);
            let flags = numbers.next()?;
            live.paused = flags & 1 != 0;
            live.parked = flags & 2 != 0;
            if flags & 4 != 0 {
                live.phase = Phase::Accepted;
            }
            live.progress = Some(Progress::read(&mut numbers)?);
        }
        Some(live)
    }

    /// The state as people see it.
    pub(super) fn state(&self) -> RunState {
        match self.phase {
            Phase::Ended(RunEnd::Succeeded) => RunState::Succeeded,
            Phase::Ended(RunEnd::Failed) => RunState::Failed,
            Phase::Ended(RunEnd::Cancelled) => RunState::Cancelled,
            _ if self.paused => RunState::Paused,
            _ if self.parked => RunState::Parked,
            Phase::Accepted => RunState::Accepted,
            Phase::Running => {
                self.progress.as_ref().map_or(RunState::Running, Progress::running_state)
            }
        }
    }

    /// Its tasks.
    pub(super) fn tally(&self) -> TaskTally {
        self.progress.as_ref().map_or(self.tally, Progress::tally)
    }

    /// What the row keeps of its tasks, so that the run can go on from there. What succeeded
    /// cannot, and costs nothing.
    pub(super) fn progress_bytes(&self) -> Option<ShortBytes> {
        let progress = self.progress.as_ref()?;
        if self.phase == Phase::Ended(RunEnd::Succeeded) {
            return None;
        }
        let mut out = ShortBytes::new();
        let accepted = self.phase == Phase::Accepted;
        let flags = u64::from(self.paused) | u64::from(self.parked) << 1 | u64::from(accepted) << 2;
        put(&mut out, flags);
        progress.write(&mut out);
        Some(out)
    }

    /// Folds one event in.
    pub(super) fn apply(&mut self, event: &Event, at: Time) {
        match event {
            Event::RunLoaded { accepted: Some(accepted) } => {
                self.phase = phase_as(accepted);
                self.admission = accepted.admission;
            }
            Event::RunStarted { admission } => {
                self.phase = Phase::Running;
                self.admission = Some(*admission);
            }
            Event::RunPaused { .. } => self.paused = true,
            Event::RunResumed { .. } => self.paused = false,
            Event::RunPrioritized { priority, .. } => self.priority = *priority as i64,
            Event::RunParked => self.parked = true,
            Event::TaskUnparked { .. } => self.parked = false,
            Event::TaskSucceeded(done) if self.is_sink(done.task) => {
                self.output = Some(done.output.clone());
            }
            Event::TaskReused(reused) if self.plan.sink == Some(reused.node) => {
                self.output = reused.output.clone();
            }
            Event::MapDone { task } if self.is_sink(*task) => {
                let text = self.progress.as_ref().and_then(|it| it.map_output(task.node));
                self.output = text.map(|text| Payload::inline(text.into_bytes()));
            }
            Event::WaitEnded { task, output, .. } if self.is_sink(*task) => {
                self.output = Some(output.clone());
            }
            Event::ChildEnded(ended) if self.is_sink(ended.task) => {
                self.output.clone_from(&ended.output);
            }
            Event::RunEnded(ended) => self.end(ended, at),
            Event::RunRetried { nodes, .. } => self.retry(nodes),
            _ => {}
        }
        if let Some(progress) = &mut self.progress {
            progress.apply(event);
        }
    }

    fn is_sink(&self, task: TaskRef) -> bool {
        task.child.is_none() && self.plan.sink == Some(task.node)
    }

    fn end(&mut self, ended: &RunEnded, at: Time) {
        self.phase = Phase::Ended(ended.end);
        self.ended = Some(at);
        self.paused = false;
        self.parked = false;
        if let Some(output) = &ended.output {
            self.output = Some(output.clone());
        }
        // Serializing plain texts and flags cannot fail.
        self.failure =
            ended.failure.as_ref().and_then(|failure| serde_json::to_string(failure).ok());
    }

    fn retry(&mut self, nodes: &[u32]) {
        self.phase = Phase::Running;
        self.ended = None;
        self.failure = None;
        self.parked = false;
        if self.plan.sink.is_none_or(|sink| nodes.contains(&sink)) {
            self.output = None;
        }
    }
}

/// Where a run stands that was accepted, or loaded, like this.
fn phase_as(accepted: &RunAccepted) -> Phase {
    let waits = accepted.waits == Some(true) || accepted.admission.is_none();
    if waits { Phase::Accepted } else { Phase::Running }
}

fn phase_of(state: RunState) -> Phase {
    match state {
        RunState::Succeeded => Phase::Ended(RunEnd::Succeeded),
        RunState::Failed => Phase::Ended(RunEnd::Failed),
        RunState::Cancelled => Phase::Ended(RunEnd::Cancelled),
        _ => Phase::Running,
    }
}

/// The newest record numbers of a run, as its row keeps them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Records {
    bytes: ShortBytes,
    first: u64,
    last: u64,
    count: u32,
}

impl Records {
    fn from_bytes(bytes: ShortBytes) -> Self {
        let (mut first, mut last, mut count) = (0, 0, 0);
        for seq in sequences(&bytes) {
            first = if count == 0 { seq } else { first };
            last = seq;
            count += 1;
        }
        Records { bytes, first, last, count }
    }

    /// Notes one more; a full list is handed out and begins again.
    pub(super) fn push(&mut self, seq: u64) -> Option<Records> {
        let full = (self.count >= RECORDS_IN_ROW_MAX).then(|| std::mem::take(self));
        if self.count == 0 {
            self.first = seq;
        }
        put(&mut self.bytes, seq.saturating_sub(self.last));
        self.last = seq;
        self.count += 1;
        full
    }

    /// The list as it is stored.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its first number.
    pub(super) fn first(&self) -> u64 {
        self.first
    }
}
