//! Rows of a past run as answers show them, with what their records say besides.

use std::borrow::Cow;

use ark_os_api::{ParkedView, StepView, TaskView};
use ark_os_core::Event;
use ark_os_core::event::SkipCause;
use ark_os_core::ids::{PtId, TaskId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::run::TaskState;
use ark_os_runtime::{Handle, RuntimeError};

use super::{Past, PastStep, PastTask};
use crate::events::{AgentNames, json_text};
use crate::words;

type Row<'a> = (TaskRef, Cow<'a, PastTask>);

/// A task of a past run.
#[derive(Debug)]
pub(crate) struct Found {
    /// The task; its output, where it is small.
    pub(crate) view: TaskView,
    /// Its output.
    pub(crate) output: Option<Payload>,
}

/// Tasks from `after` on in the order of the plan, at most `limit`, and whether there are more.
///
/// # Errors
/// The records that have their outputs cannot be read.
pub(crate) fn page_of(
    handle: &Handle,
    past: &Past,
    after: Option<TaskRef>,
    limit: usize,
) -> Result<(Vec<TaskView>, bool), RuntimeError> {
    let mut rest = past.after(after).filter_map(|task| Some((task, past.task(task)?)));
    let rows: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let views = shown(handle, past, &rows)?;
    Ok((views.into_iter().map(|found| found.view).collect(), more))
}

/// One task.
///
/// # Errors
/// The record that has its output cannot be read.
pub(crate) fn found(
    handle: &Handle,
    past: &Past,
    task: TaskRef,
) -> Result<Option<Found>, RuntimeError> {
    let Some(row) = past.task(task) else { return Ok(None) };
    Ok(shown(handle, past, &[(task, row)])?.pop())
}

fn shown(handle: &Handle, past: &Past, rows: &[Row<'_>]) -> Result<Vec<Found>, RuntimeError> {
    let names = names_of(handle, rows)?;
    let mut found: Vec<Found> = rows
        .iter()
        .map(|(task, row)| Found { view: view(past, *task, row, &names), output: None })
        .collect();
    let mut told: Vec<(u64, usize)> =
        (0..).zip(rows).map(|(ix, (_, row))| (row.told, ix)).collect();
    told.retain(|(seq, _)| *seq > 0);
    told.sort_unstable();
    let mut numbers: Vec<u64> = told.iter().map(|(seq, _)| *seq).collect();
    numbers.dedup();
    handle.records(&numbers, &mut |recorded| {
        let from = told.partition_point(|(seq, _)| *seq < recorded.seq);
        let of_it = told.iter().skip(from).take_while(|(seq, _)| *seq == recorded.seq);
        for (_, ix) in of_it {
            let (Some((task, row)), Some(found)) = (rows.get(*ix), found.get_mut(*ix)) else {
                continue;
            };
            for event in &recorded.change.events {
                found.tell(*task, row.state.0, event);
            }
        }
    })?;
    Ok(found)
}

fn names_of(handle: &Handle, rows: &[Row<'_>]) -> Result<AgentNames, RuntimeError> {
    let records = rows.iter().filter_map(|(_, row)| row.agent.map(|(_, seq)| seq));
    let (first, last) =
        records.fold((u64::MAX, 0), |(first, last), seq| (first.min(seq), last.max(seq)));
    AgentNames::load(handle, first, last)
}

fn view(past: &Past, task: TaskRef, row: &PastTask, names: &AgentNames) -> TaskView {
    let run = past.run;
    let spec = past.workflow.as_ref().and_then(|plan| plan.tasks.get(task.node as usize));
    TaskView {
        id: TaskId { run, task }.to_string(),
        run: run.to_string(),
        name: spec.map(|spec| spec.name.to_string()),
        skill: spec.filter(|spec| spec.is_work()).map(|spec| spec.skill.to_string()),
        waits_for: spec.and_then(crate::show::awaited),
        state: words::task_state(row.state.0).to_owned(),
        attempt: row.attempt,
        lost: row.lost,
        generation: row.generation,
        agent: match &row.agent_name {
            Some(name) => Some(name.to_string()),
            None => row.agent.and_then(|(agent, seq)| names.name(agent, seq)),
        },
        token: row.fence.map(|fence| PtId { run, task, fence }.to_string()),
        started: row.started.map(words::stamp),
        retry_at: row.retry_at.and_then(words::moment),
        children: row.children,
        child: row.child.map(|run| run.to_string()),
        steps: row.steps.iter().map(step).collect(),
        steps_left_out: row.steps_left_out,
        ..TaskView::default()
    }
}

fn step(step: &PastStep) -> StepView {
    StepView {
        key: step.key.0.to_string(),
        number: step.number,
        tool: step.tool.to_string(),
        class: step.class.as_str().to_owned(),
        state: step.state.to_owned(),
    }
}

impl Found {
    /// What an event of the record that `told` names says of the task.
    fn tell(&mut self, task: TaskRef, state: TaskState, event: &Event) {
        match (state, event) {
            (TaskState::Succeeded, Event::TaskSucceeded(done)) if done.task == task => {
                self.tell_output(&done.output);
            }
            (TaskState::Succeeded, Event::WaitEnded { task: ended, output, .. })
                if *ended == task =>
            {
                self.tell_output(output);
            }
            (TaskState::Succeeded, Event::ChildEnded(ended)) if ended.task == task => {
                ended.output.iter().for_each(|output| self.tell_output(output));
            }
            (TaskState::Succeeded, Event::TaskReused(reused)) => {
                if let Some(output) = reused.output_of(task) {
                    self.tell_output(output);
                }
            }
            (TaskState::Skipped, Event::TaskReused(reused)) if reused.node == task.node => {
                self.view.skipped = Some(words::skip_cause(&SkipCause::Condition));
            }
            (TaskState::Failed, Event::TaskFailed { task: failed, failure }) if *failed == task => {
                self.view.failure = Some(words::failure(failure));
            }
            (TaskState::Skipped, Event::TasksSkipped { tasks, cause }) if tasks.contains(&task) => {
                self.view.skipped = Some(words::skip_cause(cause));
            }
            (TaskState::Parked, Event::TaskParked { task: parked, reason, message })
                if *parked == task =>
            {
                self.view.parked = Some(ParkedView {
                    reason: words::park_reason(*reason).to_owned(),
                    message: message.to_string(),
                });
            }
            _ => {}
        }
    }

    fn tell_output(&mut self, output: &Payload) {
        match output {
            Payload::Inline(bytes) => self.view.output = json_text(&bytes.0),
            Payload::Blob { hash, len } => {
                self.view.output_blob = Some(words::blob(*hash, *len));
            }
        }
        self.output = Some(output.clone());
    }
}
