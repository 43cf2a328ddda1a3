//! Runs and tasks as answers show them.

use std::sync::Arc;

use ark_os_api::{
    AccountView, BlobView, Counts, FailureView, Json, ParkedView, RunView, StepView, TaskView,
};
use ark_os_core::State;
use ark_os_core::fleet::Fleet;
use ark_os_core::ids::{PtId, TaskId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{TaskSpec, WaitOn};
use ark_os_core::run::{Child, Run, RunSummary, Task, TaskState};
use ark_os_core::step::{Step, StepOutcome, StepStanding};
use ark_os_core::time::Time;
use ark_os_runtime::{Handle, RuntimeError};

use crate::events::json_text;
use crate::origin;
use crate::tasks;
use crate::trace::held_by;
use crate::words;

/// Bytes of an output that an answer shows; a larger one is fetched by itself.
pub(crate) const OUTPUT_SHOWN_BYTES_MAX: u64 = 1 << 20;

/// An output as an answer has it: its text, or where to find it.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) text: Option<Json>,
    pub(crate) blob: Option<BlobView>,
}

impl Output {
    /// Reads an output, if there is one.
    pub(crate) async fn load(
        handle: &Handle,
        payload: Option<&Payload>,
    ) -> Result<Output, RuntimeError> {
        match payload {
            None => Ok(Output::default()),
            Some(Payload::Inline(bytes)) => Ok(Output { text: json_text(&bytes.0), blob: None }),
            Some(Payload::Blob { hash, len }) if *len > OUTPUT_SHOWN_BYTES_MAX => {
                Ok(Output { text: None, blob: Some(words::blob(*hash, *len)) })
            }
            Some(payload) => {
                let bytes = load(handle, payload.clone()).await?;
                Ok(Output { text: json_text(&bytes), blob: None })
            }
        }
    }

    /// As `load`, without reading blobs.
    pub(crate) fn inline(payload: Option<&Payload>) -> Output {
        match payload {
            None => Output::default(),
            Some(Payload::Inline(bytes)) => Output { text: json_text(&bytes.0), blob: None },
            Some(Payload::Blob { hash, len }) => {
                Output { text: None, blob: Some(words::blob(*hash, *len)) }
            }
        }
    }
}

/// The bytes of a payload; blobs are read on a thread for it.
pub(crate) async fn load(handle: &Handle, payload: Payload) -> Result<Arc<[u8]>, RuntimeError> {
    if let Payload::Inline(bytes) = payload {
        return Ok(bytes.0);
    }
    let handle = handle.clone();
    tasks::blocking(move || handle.load(&payload)).await
}

/// A run by its summary; its output is that of [`Output::load`].
pub(crate) fn run(summary: &RunSummary, output: Output) -> RunView {
    RunView {
        id: summary.id.to_string(),
        namespace: summary.namespace.to_string(),
        workflow: summary.workflow.to_string(),
        version: summary.version.to_string(),
        workflow_hash: summary.workflow_hash.to_string(),
        state: words::run_state(summary.state).to_owned(),
        waits_for: summary.waits_for.map(|layer| layer.to_string()),
        parent: summary.parent.map(|parent| parent.to_string()),
        signals: summary.awaited.iter().map(ToString::to_string).collect(),
        limits: Vec::new(),
        parked: Vec::new(),
        priority: summary.priority.as_str().to_owned(),
        accepted: words::stamp(summary.accepted),
        ended: summary.ended.map(words::stamp),
        deadline: summary.deadline.and_then(words::moment),
        start_at: summary.start_at.and_then(words::moment),
        origin: summary.origin.as_deref().map(origin::shown),
        tasks: counts(summary),
        account: summary.account.map(|account| AccountView {
            limit: words::amounts(account.limit(), u64::MAX),
            reserved: words::amounts(account.reserved(), 0),
            settled: words::amounts(account.settled(), 0),
            frozen: account.is_frozen(),
        }),
        proof: Some(summary.proof.to_string()),
        output: output.text,
        output_blob: output.blob,
        failure: summary.failure.as_ref().map(words::failure),
    }
}

fn counts(summary: &RunSummary) -> Counts {
    let of = |state| summary.counts.of(state);
    Counts {
        total: summary.counts.total(),
        pending: of(TaskState::Pending),
        preparing: of(TaskState::Preparing),
        ready: of(TaskState::Ready),
        running: of(TaskState::Running),
        waiting: of(TaskState::Waiting),
        parked: of(TaskState::Parked),
        succeeded: of(TaskState::Succeeded),
        failed: of(TaskState::Failed),
        cancelled: of(TaskState::Cancelled),
        skipped: of(TaskState::Skipped),
    }
}

/// A failure that the views keep as JSON text.
pub(crate) fn failure_text(text: &str) -> FailureView {
    serde_json::from_str(text).unwrap_or_else(|_| FailureView {
        code: "internal".to_owned(),
        message: text.to_owned(),
        retryable: false,
        causes: Vec::new(),
    })
}

/// Tasks of a run at hand from `after` on, at most `limit`, and whether there are more.
pub(crate) fn tasks_of(
    run: &Run,
    state: &State,
    after: Option<TaskRef>,
    limit: usize,
) -> (Vec<TaskView>, bool) {
    let mut views = Vec::new();
    for task in refs(run).skip_while(|task| after.is_some_and(|after| *task <= after)) {
        if views.len() == limit {
            return (views, true);
        }
        views.extend(task_of(run, state, task));
    }
    (views, false)
}

/// Nodes, each followed by its children: the order of `TaskRef`.
fn refs(run: &Run) -> impl Iterator<Item = TaskRef> + '_ {
    (0u32..).zip(&run.tasks).flat_map(|(node, task)| {
        let children = task.fan.as_ref().map_or(0, |fan| fan.total());
        std::iter::once(TaskRef::node(node))
            .chain((0..children).map(move |child| TaskRef::child(node, child)))
    })
}

/// A task of a run at hand.
pub(crate) fn task_of(run: &Run, state: &State, task: TaskRef) -> Option<TaskView> {
    let spec = run.spec(task.node)?;
    let node = run.node(task.node)?;
    let mut view = match task.child {
        None => whole(run, state.fleet(), task, node),
        Some(child) => match node.fan.as_ref()?.children.get(child as usize)? {
            Child::Live(it) => whole(run, state.fleet(), task, it),
            Child::Fresh => state_only(
                run,
                task,
                if node.state.is_over() { TaskState::Skipped } else { TaskState::Pending },
            ),
            Child::Done(output) => {
                let output = Output::inline(Some(output));
                TaskView {
                    output: output.text,
                    output_blob: output.blob,
                    ..state_only(run, task, TaskState::Succeeded)
                }
            }
        },
    };
    view.name = Some(spec.name.to_string());
    view.skill = spec.is_work().then(|| spec.skill.to_string());
    view.waits_for = awaited(spec).or_else(|| held_by(run, state, task));
    Some(view)
}

/// What a task waits for that does nothing else.
pub(crate) fn awaited(spec: &TaskSpec) -> Option<String> {
    if let Some(child) = spec.child() {
        return Some(format!("run of {}", child.name));
    }
    Some(match &spec.wait()?.on {
        WaitOn::For(ms) => words::duration(*ms),
        WaitOn::Until(template) => {
            String::from_utf8_lossy(&template.0).trim_matches('"').to_owned()
        }
        WaitOn::Signal(name) => format!("signal {name}"),
    })
}

fn state_only(run: &Run, task: TaskRef, state: TaskState) -> TaskView {
    TaskView {
        id: TaskId { run: run.id, task }.to_string(),
        run: run.id.to_string(),
        state: words::task_state(state).to_owned(),
        ..TaskView::default()
    }
}

fn whole(run: &Run, fleet: &Fleet, task: TaskRef, it: &Task) -> TaskView {
    let output = Output::inline(it.output.as_ref());
    let agent = it.active.as_ref().map(|active| active.agent).or(it.last_agent);
    let token = |fence| PtId { run: run.id, task, fence }.to_string();
    TaskView {
        attempt: it.attempt,
        lost: it.lost,
        generation: it.generation,
        agent: agent.map(|agent| fleet.name(agent)).filter(|name| !name.is_empty()),
        token: it.active.as_ref().map(|active| token(active.fence)),
        started: it.active.as_ref().map(|active| words::stamp(active.started)),
        retry_at: (it.state == TaskState::Waiting && it.retry_at != Time::NEVER)
            .then(|| words::stamp(it.retry_at)),
        output: output.text,
        output_blob: output.blob,
        failure: it.failure.as_deref().map(words::failure),
        parked: it.parked.as_ref().map(|(reason, message)| ParkedView {
            reason: words::park_reason(*reason).to_owned(),
            message: message.to_string(),
        }),
        skipped: it.skipped.as_ref().map(words::skip_cause),
        children: it.fan.as_ref().map(|fan| fan.total()),
        child: it.child.as_ref().map(|child| child.run.to_string()),
        steps: it.steps.iter().map(step).collect(),
        ..state_only(run, task, it.state)
    }
}

fn step(step: &Step) -> StepView {
    let state = match &step.standing {
        StepStanding::Open => "open",
        StepStanding::InDoubt => "in_doubt",
        StepStanding::Settled(StepOutcome::Done(_)) => "done",
        StepStanding::Settled(StepOutcome::Failed(_)) => "failed",
    };
    StepView {
        key: step.key.0.to_string(),
        number: step.number,
        tool: step.tool.to_string(),
        class: step.class.as_str().to_owned(),
        state: state.to_owned(),
    }
}

/// The output of a task of a run at hand.
pub(crate) fn output_of(run: &Run, task: TaskRef) -> Option<Payload> {
    let node = run.node(task.node)?;
    let Some(child) = task.child else { return node.output.clone() };
    match node.fan.as_ref()?.children.get(child as usize)? {
        Child::Live(it) => it.output.clone(),
        Child::Done(output) => Some(output.clone()),
        Child::Fresh => None,
    }
}
