//! The overview: what is gathered from the state, the views and the counters for one page.
//!
//! What it costs: the fleet is counted in one look over its agents at most once a second, shared by
//! all who watch; the keys of limits that somebody waits for or works under are looked at once; everything
//! else is a look at a few numbers, one row a skill, and at most [`PARKED_RUNS_MAX`] runs.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_api::{
    AttentionView, EscalationsOverview, Overview, QueueView, RateView, RunView, RunsOverview,
    UnhealthyView,
};
use ark_os_core::State;
use ark_os_core::event::Intake;
use ark_os_core::ids::{RunId, TaskId};
use ark_os_core::run::{Run, RunState, TaskState};
use ark_os_core::step::StepStanding;
use ark_os_core::supervision::{Desk, MeasureKind, Supervision};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::clock::instant;
use ark_os_runtime::views::{RunFilter, RunRow};
use ark_os_runtime::{Handle, RuntimeError};
use tokio::sync::Mutex;

use crate::context::Context;
use crate::show::Output;
use crate::{prometheus, tasks, words};

mod fleet;

pub(crate) use fleet::{Counted, select};

/// How long a count of the fleet is good for: with 200 000 agents one takes the loop a millisecond or
/// two.
const COUNT_FOR: Duration = Duration::from_secs(1);
/// Runs of the first page.
const RUNS_SHOWN_MAX: usize = 20;
/// Keys of limits that are shown; all of them may be 100 000.
const LIMITS_SHOWN_MAX: usize = 100;
/// Parked runs whose tasks are looked at, and tasks told of each.
const PARKED_RUNS_MAX: usize = 20;
const PARKED_TASKS_MAX: usize = 5;
/// What one page tells that somebody should look at.
const ATTENTION_MAX: usize = 100;

/// States of runs that somebody who watches wants to see first.
const UNDER_WAY: [RunState; 4] =
    [RunState::Running, RunState::Waiting, RunState::Paused, RunState::Parked];

/// The newest count of the fleet, and when it was made.
#[derive(Debug, Default)]
pub(crate) struct FleetCount(Mutex<Option<(Instant, Arc<Counted>)>>);

impl FleetCount {
    /// The count, made anew if it is too old. Who comes meanwhile waits for the same one.
    async fn fresh(&self, handle: &Handle) -> Result<Arc<Counted>, RuntimeError> {
        let mut kept = self.0.lock().await;
        let now = instant();
        if let Some((at, counted)) = &*kept
            && now.saturating_duration_since(*at) < COUNT_FOR
        {
            return Ok(counted.clone());
        }
        let counted = Arc::new(handle.read(|kernel| fleet::count(kernel.state().fleet())).await?);
        *kept = Some((now, counted.clone()));
        Ok(counted)
    }
}

/// What the views tell of a namespace's runs.
struct Listed {
    by_state: Vec<(RunState, u64)>,
    shown: Vec<RunRow>,
    parked: Vec<RunRow>,
}

/// What the state tells.
struct Seen {
    at: Time,
    epoch: u64,
    journal: u64,
    live: u64,
    on_disk: u64,
    mode: &'static str,
    status: &'static str,
    intake: Intake,
    queues: Vec<QueueView>,
    parked: Vec<AttentionView>,
    escalations: EscalationsOverview,
    measures: Vec<AttentionView>,
}

/// The overview of the instance, with the runs of a namespace.
pub(crate) async fn overview(context: &Context, namespace: Text) -> Result<Overview, RuntimeError> {
    let counted = context.fleet_count().fresh(context.handle()).await?;
    let (handle, name) = (context.handle().clone(), namespace.clone());
    let listed = tasks::blocking(move || list(&handle, &name)).await?;
    let parked: Vec<RunId> = listed.parked.iter().map(|row| row.id).collect();
    let clock = context.clock();
    let unhealthy = context.checks().unhealthy();
    let is_hindered = counted.overview.empty_layer.is_some() || !unhealthy.is_empty();
    let seen = context.handle().read(move |kernel| {
        let state = kernel.state();
        Seen {
            at: clock.now().max(state.now()),
            epoch: state.epoch(),
            journal: kernel.synced(),
            live: state.live() as u64,
            on_disk: state.backlog().len() as u64,
            mode: words::mode(state.mode()),
            status: words::status(state, is_hindered),
            intake: state.intake(),
            queues: queues(state, clock.now().max(state.now())),
            parked: parked
                .iter()
                .filter_map(|run| state.run(*run))
                .flat_map(parked_tasks)
                .collect(),
            escalations: escalations(state.supervision()),
            measures: measures(state.supervision()),
        }
    });
    let seen = seen.await?;
    let (attention, attention_left_out) = attention(&seen, &counted, &listed, unhealthy);
    let mut rates = context.samples().rates(context.handle().metrics());
    rates.totals = totals(context);
    let viewed = *context.handle().viewed().borrow();
    Ok(Overview {
        at: words::stamp(seen.at),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: seen.mode.to_owned(),
        status: seen.status.to_owned(),
        epoch: seen.epoch,
        journal: seen.journal,
        views_behind: seen.journal.saturating_sub(viewed),
        runs: runs(&seen, listed, &namespace),
        fleet: counted.overview.clone(),
        queues: seen.queues,
        rates,
        escalations: seen.escalations,
        attention,
        attention_left_out,
    })
}

/// The queues alone.
pub(crate) async fn queues_now(context: &Context) -> Result<Vec<QueueView>, RuntimeError> {
    let clock = context.clock();
    let look = move |kernel: &ark_os_runtime::kernel::Kernel| {
        let state = kernel.state();
        queues(state, clock.now().max(state.now()))
    };
    context.handle().read(look).await
}

fn list(handle: &Handle, namespace: &Text) -> Result<Listed, RuntimeError> {
    let queries = handle.queries();
    let filter = |states: &[RunState]| RunFilter {
        namespace: namespace.clone(),
        states: states.to_vec(),
        ..RunFilter::default()
    };
    let page = |states: &[RunState], limit| queries.runs(&filter(states), None, limit);
    let mut shown = page(&UNDER_WAY, RUNS_SHOWN_MAX)?.items;
    if shown.len() < RUNS_SHOWN_MAX {
        let newest = page(&[], RUNS_SHOWN_MAX)?.items;
        let others = newest.into_iter().filter(|row| !UNDER_WAY.contains(&row.state));
        shown.extend(others.take(RUNS_SHOWN_MAX - shown.len()));
    }
    Ok(Listed {
        by_state: queries.counts_by_state(namespace)?,
        shown,
        parked: page(&[RunState::Parked], PARKED_RUNS_MAX)?.items,
    })
}

fn runs(seen: &Seen, listed: Listed, namespace: &Text) -> RunsOverview {
    let count = |(state, runs): (RunState, u64)| (words::run_state(state).to_owned(), runs);
    let view = |row: &RunRow| -> RunView { crate::routes::row_view(row, Output::default()) };
    RunsOverview {
        namespace: namespace.to_string(),
        live: seen.live,
        on_disk: seen.on_disk,
        by_state: listed.by_state.into_iter().map(count).collect(),
        shown: listed.shown.iter().map(view).collect(),
    }
}

fn totals(context: &Context) -> std::collections::BTreeMap<String, u64> {
    let counters = prometheus::counters(context).into_iter();
    counters.map(|(name, _, value)| (name.to_owned(), value)).collect()
}

/// A row for every skill on offer, or that somebody waits for though it is not.
fn queues(state: &State, now: Time) -> Vec<QueueView> {
    let (fleet, queue) = (state.fleet(), state.queue());
    let mut rows: Vec<QueueView> = fleet
        .known_skills()
        .filter(|(ix, info)| fleet.skill(&info.name) == Some(*ix) || !queue.is_free(*ix))
        .map(|(ix, info)| {
            let next = queue.line(ix).next().map(|(_, who)| who);
            let since = next.and_then(|(run, task)| {
                let run = state.run(run)?;
                // A map's node stands for its children that have not begun.
                Some(run.task(task).or(run.node(task.node))?.ready_at)
            });
            QueueView {
                skill: info.name.to_string(),
                class: info.class.as_str().to_owned(),
                key: None,
                namespace: None,
                rate: None,
                ready: queue.waiting_for(ix) as u64,
                running: fleet.in_use_of(ix),
                running_max: info.concurrency_max,
                next_waited_ms: since
                    .filter(|since| *since != Time::NEVER)
                    .map(|since| now.0.saturating_sub(since.0)),
                next_run: next.map(|(run, _)| run.to_string()),
            }
        })
        .collect();
    rows.sort_by(|a, b| a.skill.cmp(&b.skill));
    rows.extend(limits(state, now));
    rows
}

fn escalations(supervision: &Supervision) -> EscalationsOverview {
    let human = supervision.open().filter(|it| it.to == Desk::Human).count();
    EscalationsOverview {
        open: supervision.open().count() as u64,
        human: human as u64,
        missed: supervision.missed(),
    }
}

/// Emergency measures in force.
fn measures(supervision: &Supervision) -> Vec<AttentionView> {
    let told = supervision.measures().take(ATTENTION_MAX).map(|it| AttentionView {
        kind: "measure_in_force".to_owned(),
        text: match &it.kind {
            MeasureKind::Freeze => format!("intake is frozen: {}", it.reason),
            MeasureKind::Quarantine(name) => format!("`{name}` is quarantined: {}", it.reason),
            MeasureKind::Mode(mode) => format!("mode {} is in force: {}", mode.as_str(), it.reason),
        },
        ..AttentionView::default()
    });
    told.collect()
}

/// A row for every key of a limit, as many as anybody looks at, with most in line first.
fn limits(state: &State, now: Time) -> Vec<QueueView> {
    let busy = state.limits().iter().filter_map(|(id, limit)| {
        let rank = (Reverse(limit.held()), Reverse(limit.in_use()));
        (rank != (Reverse(0), Reverse(0))).then_some((rank, id, limit))
    });
    let mut busy: Vec<_> = busy.collect();
    if busy.len() > LIMITS_SHOWN_MAX {
        busy.select_nth_unstable_by_key(LIMITS_SHOWN_MAX, |(rank, id, _)| (*rank, *id));
        busy.truncate(LIMITS_SHOWN_MAX);
    }
    busy.sort_unstable_by_key(|(rank, id, _)| (*rank, *id));
    let rows = busy.into_iter().map(|(_, id, limit)| {
        let next = limit.next();
        let since = next.and_then(|(run, task)| {
            let run = state.run(run)?;
            Some(run.task(task).or(run.node(task.node))?.ready_at)
        });
        QueueView {
            skill: id.name.to_string(),
            class: "limit".to_owned(),
            key: Some(id.key.to_string()),
            namespace: Some(id.namespace.to_string()),
            rate: limit.rate().map(|rate| RateView {
                begun: u32::try_from(limit.begun()).unwrap_or(u32::MAX),
                count: rate.count,
                per_ms: rate.per_ms,
                next_in_ms: limit.due().map(|due| due.0.saturating_sub(now.0)),
            }),
            ready: limit.held() as u64,
            running: limit.in_use(),
            running_max: limit.at_once(),
            next_waited_ms: since.map(|since| now.0.saturating_sub(since.0)),
            next_run: next.map(|(run, _)| run.to_string()),
        }
    });
    rows.collect()
}

/// Why a run is parked: its tasks, and their steps in doubt.
pub(crate) fn parked_tasks(run: &Run) -> Vec<AttentionView> {
    if run.counts.of(TaskState::Parked) == 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for task in run.live_tasks(|task| task.state == TaskState::Parked) {
        if found.len() >= PARKED_TASKS_MAX {
            break;
        }
        let (Some(it), Some(spec)) = (run.task(task), run.spec(task.node)) else { continue };
        let about = AttentionView {
            run: Some(run.id.to_string()),
            task: Some(TaskId { run: run.id, task }.to_string()),
            ..AttentionView::default()
        };
        let (reason, message) = match &it.parked {
            Some((reason, message)) => (words::park_reason(*reason), message.as_ref()),
            None => ("parked", ""),
        };
        let doubts = it.steps.iter().filter(|step| step.standing == StepStanding::InDoubt);
        let before = found.len();
        found.extend(doubts.take(PARKED_TASKS_MAX).map(|step| AttentionView {
            kind: "step_in_doubt".to_owned(),
            text: format!("`{}`: nobody knows whether {} happened", spec.name, step.tool),
            step: Some(step.key.0.to_string()),
            ..about.clone()
        }));
        if found.len() == before {
            found.push(AttentionView {
                kind: "task_parked".to_owned(),
                text: format!("`{}` is parked ({reason}): {message}", spec.name),
                ..about
            });
        }
    }
    found
}

/// Everything that somebody should look at, most urgent first, and how much more there is.
fn attention(
    seen: &Seen,
    counted: &Counted,
    listed: &Listed,
    unhealthy: Vec<UnhealthyView>,
) -> (Vec<AttentionView>, u64) {
    let mut all = Vec::new();
    if seen.intake == Intake::Draining {
        all.push(AttentionView {
            kind: "draining".to_owned(),
            text: "the instance takes nothing new and is about to stop".to_owned(),
            ..AttentionView::default()
        });
    }
    if let Some(layer) = &counted.overview.empty_layer {
        all.push(AttentionView {
            kind: "layer_empty".to_owned(),
            text: format!("nobody of the layer {layer} stands ready: its step waits"),
            ..AttentionView::default()
        });
    }
    all.extend(seen.measures.iter().cloned());
    if seen.escalations.human > 0 {
        all.push(AttentionView {
            kind: "escalated".to_owned(),
            text: match seen.escalations.human {
                1 => "1 escalation waits for a person".to_owned(),
                many => format!("{many} escalations wait for a person"),
            } + ": `ark-os escalations list --human`",
            ..AttentionView::default()
        });
    }
    let (doubts, parked): (Vec<_>, Vec<_>) =
        seen.parked.iter().cloned().partition(|it| it.kind == "step_in_doubt");
    all.extend(doubts);
    all.extend(parked);
    // A run that rests on disk, or whose record came after the look, has no tasks to tell of.
    let told = |row: &&RunRow| !seen.parked.iter().any(|it| it.run == Some(row.id.to_string()));
    all.extend(listed.parked.iter().filter(told).map(|row| AttentionView {
        kind: "run_parked".to_owned(),
        text: format!("`{}` is parked", row.workflow),
        run: Some(row.id.to_string()),
        ..AttentionView::default()
    }));
    all.extend(unhealthy.into_iter().map(|it| AttentionView {
        kind: "unhealthy".to_owned(),
        // A group is no agent: it may have many, which are called otherwise.
        text: match it.group {
            Some(group) => format!("`{}` of `{group}` cannot be had: {}", it.skill, it.why),
            None => format!("`{}` cannot be had: {}", it.skill, it.why),
        },
        ..AttentionView::default()
    }));
    all.extend(counted.troubles.iter().cloned());
    let parked = listed.by_state.iter().find(|(state, _)| *state == RunState::Parked);
    let parked_left_out = parked.map_or(0, |(_, runs)| runs.saturating_sub(PARKED_RUNS_MAX as u64));
    let cut = all.len().saturating_sub(ATTENTION_MAX) as u64;
    all.truncate(ATTENTION_MAX);
    (all, cut + counted.troubles_left_out + parked_left_out)
}

#[cfg(test)]
mod tests {
    use ark_os_core::fleet::Fleet;

    use super::*;

    #[test]
    fn services_that_cannot_be_had_leave_room_for_what_only_a_person_can_do() {
        let counted = fleet::count(&Fleet::new(8, &[], 4, None));
        let listed = Listed { by_state: Vec::new(), shown: Vec::new(), parked: Vec::new() };
        let parked = ["step_in_doubt", "task_parked"]
            .map(|kind| AttentionView { kind: kind.to_owned(), ..AttentionView::default() });
        let seen = Seen {
            at: Time(0),
            epoch: 0,
            journal: 0,
            live: 0,
            on_disk: 0,
            mode: "",
            status: "",
            intake: Intake::Open,
            queues: Vec::new(),
            parked: parked.to_vec(),
            escalations: EscalationsOverview { open: 1, human: 1, missed: 0 },
            measures: Vec::new(),
        };
        let down = |number: usize| UnhealthyView {
            group: Some(format!("g{number}")),
            skill: "call.it".to_owned(),
            why: "refused".to_owned(),
            since: words::stamp(Time(0)),
        };
        let unhealthy = (0..ATTENTION_MAX).map(down).collect();
        let (told, left_out) = attention(&seen, &counted, &listed, unhealthy);
        let kinds: Vec<&str> = told.iter().map(|it| it.kind.as_str()).collect();
        let expected = ["escalated", "step_in_doubt", "task_parked", "unhealthy"];
        let first = kinds.iter().position(|kind| *kind == "escalated").unwrap();
        assert_eq!(kinds[first..first + 4], expected);
        assert!(kinds.len() == ATTENTION_MAX && left_out >= 3, "{left_out}");
    }
}
