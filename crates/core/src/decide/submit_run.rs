//! `SubmitRun`: accept a run, and start what can start at once.

use std::sync::Arc;

use super::admission::{Subject, admitted};
use super::draft::Draft;
use crate::backlog::Label;
use crate::command::SubmitRun;
use crate::error::{Kind, Rejected};
use crate::event::{Admission, Change, Event, Intake, PendingAdmission, RunAccepted};
use crate::ids::RunId;
use crate::limits::{KEYS_MAX, RUNS_LIVE_MAX, WORKFLOWS_MAX};
use crate::plan::Workflow;
use crate::rules::Rules;
use crate::run::{Run, TaskState};
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

/// A submission that was let in, or waits for a layer to be.
pub(super) struct Entry {
    pub(super) namespace: Text,
    pub(super) workflow: Arc<Workflow>,
    /// None: a layer above the workers is empty. Its step waits, visibly, and is never skipped.
    pub(super) admission: Option<Arc<Admission>>,
    /// The admission, where it has to be recorded.
    pub(super) fresh: Option<Admission>,
    pub(super) accepted: RunAccepted,
}

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    submission: SubmitRun,
    now: Time,
) -> Result<Change, Rejected> {
    let id = submission.run;
    let waits = must_wait(state, &submission, now);
    let entry = entry(state, rules, submission, now)?;
    if waits {
        return wait_on_disk(state, id, entry, now);
    }
    let Entry { namespace, workflow, admission, fresh, accepted } = entry;
    let Some(admission) = admission else {
        let mut events = vec![Event::RunAccepted(Box::new(accepted))];
        events.extend(state.fleet.empty_layer().map(|layer| Event::RunWaited { layer }));
        return Ok(super::of_run(id, events, now));
    };
    let run = Run::accepted(id, namespace, workflow, &accepted, now);
    let run = Run { admission: Some(admission), ..run };
    let mut draft = Draft::new(state, &run, now);
    draft.events.extend(fresh.map(|fresh| Event::WorkflowAdmitted(Box::new(fresh))));
    draft.push(Event::RunAccepted(Box::new(accepted)));
    open_roots(&mut draft);
    Ok(draft.finish())
}

/// Lets a submission in, as far as the layers are there.
pub(super) fn entry(
    state: &State,
    rules: &dyn Rules,
    submission: SubmitRun,
    now: Time,
) -> Result<Entry, Rejected> {
    check(state, &submission, now)?;
    let (namespace, workflow) = (submission.namespace.clone(), submission.workflow.clone());
    if state.fleet.empty_layer().is_some() {
        let pending = PendingAdmission {
            namespace: namespace.clone(),
            workflow: workflow.clone(),
            authority: submission.grant.authority().clone(),
        };
        let accepted = accepted(submission, None, Some(Box::new(pending)), now);
        return Ok(Entry { namespace, workflow, admission: None, fresh: None, accepted });
    }
    let subject = Subject { namespace: &namespace, workflow: &workflow, grant: &submission.grant };
    let (admission, fresh) = admitted(state, rules, &subject, now)?;
    let accepted = accepted(submission, Some(admission.id), None, now);
    Ok(Entry { namespace, workflow, admission: Some(admission), fresh, accepted })
}

/// There is no room in memory, or its time has not come: its record is read later.
fn wait_on_disk(state: &State, id: RunId, entry: Entry, now: Time) -> Result<Change, Rejected> {
    let Entry { admission, fresh, accepted, .. } = entry;
    let label = match (&admission, &accepted.pending) {
        (Some(admission), _) => Some(Label::Admission(admission.id)),
        (None, pending) => pending.as_deref().map(Label::of_pending),
    };
    label.map_or(Ok(()), |label| has_shelf(state, label))?;
    let mut events: Vec<Event> =
        fresh.into_iter().map(Box::new).map(Event::WorkflowAdmitted).collect();
    events.push(Event::RunAccepted(Box::new(RunAccepted { waits: Some(true), ..accepted })));
    Ok(super::of_run(id, events, now))
}

fn check(state: &State, submission: &SubmitRun, now: Time) -> Result<(), Rejected> {
    if state.intake == Intake::Draining {
        return Err(Rejected::new(Kind::Closed, "draining", "the instance is shutting down")
            .hint("submit again when it is back; what was accepted is kept"));
    }
    // A child is part of a run that was accepted.
    if let Some(freeze) = state.supervision.freeze().filter(|_| submission.parent.is_none()) {
        let message = format!("intake is frozen: {}", freeze.reason);
        return Err(Rejected::new(Kind::Unavailable, "intake_frozen", message)
            .hint("`ark-os emergency list` shows until when; what was accepted goes on")
            .retry_in(freeze.until.0.saturating_sub(now.0)));
    }
    if state.live >= RUNS_LIVE_MAX {
        return Err(Rejected::new(Kind::Exhausted, "overloaded", "too many runs are under way")
            .hint("wait for some to end; nothing that was accepted is lost"));
    }
    if state.runs.contains_key(&submission.run) || state.backlog.contains(submission.run) {
        return Err(Rejected::new(Kind::Conflict, "run_exists", "a run with this id exists"));
    }
    if submission.deadline.is_some_and(|deadline| deadline <= now.max(start(submission))) {
        let message = "the deadline has passed, or will before the run begins";
        return Err(Rejected::new(Kind::Invalid, "deadline_past", message));
    }
    let authority = submission.grant.authority();
    if authority.expires() <= now {
        return Err(Rejected::new(Kind::Denied, "authority_expired", "the authority has expired"));
    }
    if let Some(id) = authority.revoked_by(&state.revoked) {
        let message = format!("the grant `{id}` was taken back");
        return Err(Rejected::new(Kind::Denied, "authority_denied", message));
    }
    let Some(key) = &submission.key else { return Ok(()) };
    if state.submission(&submission.namespace, &key.key).is_some() {
        return Err(Rejected::new(Kind::Conflict, "key_used", "the idempotency key is in use"));
    }
    if state.keys.used.len() >= KEYS_MAX {
        return Err(Rejected::new(Kind::Exhausted, "too_many_keys", "too many idempotency keys")
            .hint("keys are kept for 24 hours; submit without one, or wait"));
    }
    Ok(())
}

fn start(submission: &SubmitRun) -> Time {
    submission.start_at.unwrap_or_default()
}

/// Whether it waits on disk: for its time, or for others to get out of its way.
fn must_wait(state: &State, submission: &SubmitRun, now: Time) -> bool {
    submission.start_at.is_some_and(|start| start > now)
        || state.must_wait(submission.priority, now)
}

/// Runs that wait on disk share what they were admitted under, which is in memory.
fn has_shelf(state: &State, label: Label) -> Result<(), Rejected> {
    if state.backlog.has_shelf(label) || state.backlog.shelves() < WORKFLOWS_MAX {
        return Ok(());
    }
    let message = "runs of too many different workflows wait";
    Err(Rejected::new(Kind::Exhausted, "overloaded", message)
        .hint("wait for some to end; nothing that was accepted is lost"))
}

/// The nodes that wait for nothing begin.
pub(super) fn open_roots(draft: &mut Draft<'_>) {
    let workflow = draft.run.workflow.clone();
    for (node, spec) in (0u32..).zip(&workflow.tasks) {
        let task = draft.run.node(node);
        let begins = task.is_some_and(|it| it.waits_on == 0 && it.state == TaskState::Pending);
        if begins && !spec.is_fallback && !draft.ended {
            draft.open(node);
        }
    }
}

fn accepted(
    submission: SubmitRun,
    admission: Option<u64>,
    pending: Option<Box<PendingAdmission>>,
    now: Time,
) -> RunAccepted {
    RunAccepted {
        admission,
        pending,
        input: submission.input,
        priority: submission.priority,
        deadline: submission.deadline,
        budget: submission.budget,
        seed: submission.seed,
        key: submission.key,
        waits: None,
        start_at: submission.start_at.filter(|start| *start > now),
        parent: submission.parent,
        origin: None,
    }
}
