//! Forks: from a run's history to the beginning of another one.
//!
//! What is reused: the tasks that were done, or skipped by their condition, before the point, in plan
//! order, as long as everything that they need is reused too, their definition is the same in the
//! new plan, and nothing that they refer to is changed. All other tasks run anew.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ark_os_core::budget::Amounts;
use ark_os_core::command::ForkRun;
use ark_os_core::event::{Event, RunForked, SubmissionKey, TaskReused};
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::limits::REASON_BYTES_MAX;
use ark_os_core::payload::Payload;
use ark_os_core::plan::Workflow;
use ark_os_core::plan::graph::descendants;
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_core::{Command, Kind};
use serde_json::{Value, json};

use crate::error::{Place, RuntimeError};
use crate::handle::{Handle, Submitted};
use crate::history::RecordedEvents;
use crate::kernel::Kernel;
use crate::submission::{PlanRequest, RunRequest, checked_key, millis};
use crate::threads;

mod source;

pub use source::{Differs, Source};

/// Bytes of results that a fork takes along inside its first record, which has at most 16 MiB.
const REUSED_BYTES_MAX: usize = 8 << 20;

/// A fork that somebody asks for.
#[derive(Clone, Debug)]
pub struct ForkRequest {
    /// From where.
    pub point: ForkPoint,
    /// Another input; none: the source's.
    pub input: Option<Vec<u8>>,
    /// Another plan; none: the source's.
    pub plan: Option<PlanRequest>,
    /// Other skills for some: each task that needs the first needs the second instead.
    pub skills: Vec<(Text, Text)>,
    /// Another priority; none: the source's.
    pub priority: Option<Priority>,
    /// Time for the whole of it.
    pub deadline: Option<Duration>,
    /// Its account.
    pub budget: Option<Amounts>,
    /// Why.
    pub reason: Text,
    /// Idempotency key.
    pub key: Option<String>,
}

/// A point of a run's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForkPoint {
    /// After everything that happened so far.
    Newest,
    /// After this event: the number of its record, and its place in it; none: the last.
    Event(u64, Option<usize>),
    /// Before this task began; what does not depend on it is as it is.
    Task(Text),
}

/// A run that was forked, durably.
#[derive(Clone, Debug)]
pub struct Forked {
    /// The new run.
    pub run: RunId,
    /// Whether its idempotency key had been used for the same request before.
    pub existing: bool,
    /// Names of the tasks that are reused.
    pub reused: Vec<Text>,
    /// Names of those that run anew.
    pub anew: Vec<Text>,
}

impl Handle {
    /// Begins a new run from a point of another one's history; under the same idempotency key the
    /// same.
    ///
    /// # Errors
    /// There is no such run or point, or the request is wrong, or refused.
    pub async fn fork(&self, source: RunId, request: ForkRequest) -> Result<Forked, RuntimeError> {
        self.views_caught_up().await?;
        let key = request.key.as_deref().map(|key| fork_key(key, source, &request)).transpose()?;
        // What was done once is not prepared again: the source may have gone on, or be away.
        if let Some(key) = &key
            && let Some(run) = self.known_fork(source, key.clone()).await?
        {
            return self.forked_before(run).await;
        }
        let handle = self.clone();
        let prepared = threads::aside(move || handle.prepare_fork(source, request)).await??;
        let Prepared { mut fork, reused, anew } = prepared;
        fork.submission.key = key;
        let Submitted { run, existing } = self.accept(Command::ForkRun(Box::new(fork))).await?;
        if existing {
            return self.forked_before(run).await;
        }
        Ok(Forked { run, existing, reused, anew })
    }

    /// The run that this fork was answered with before.
    async fn known_fork(
        &self,
        source: RunId,
        key: SubmissionKey,
    ) -> Result<Option<RunId>, RuntimeError> {
        let fresh = move |kernel: &Kernel| kernel.summary(source).map(|it| it.namespace.clone());
        let namespace = match self.read(fresh).await? {
            Some(namespace) => Some(namespace),
            None => {
                let handle = self.clone();
                let row = threads::aside(move || handle.queries().run(source)).await??;
                row.map(|row| row.namespace)
            }
        };
        let Some(namespace) = namespace else { return Ok(None) };
        let known = self.read(move |kernel| kernel.state().repeated(&namespace, &key)).await?;
        Ok(known?)
    }

    /// A fork that was made before, as its first record has it.
    async fn forked_before(&self, run: RunId) -> Result<Forked, RuntimeError> {
        self.views_caught_up().await?;
        let handle = self.clone();
        threads::aside(move || {
            let first = handle.history(run, 0, 1)?.records.into_iter().next();
            let first = first.ok_or_else(|| not_shown_yet(run))?;
            let (mut source, mut kept) = (Source::default(), BTreeSet::new());
            for event in first.change.events {
                if let Event::TaskReused(reused) = &event {
                    kept.insert(reused.node);
                }
                source.take(run, event);
            }
            let (_, plan) = handle.under(&source)?.ok_or_else(|| not_found(run))?;
            let (reused, anew) = names(&plan, &kept);
            Ok(Forked { run, existing: true, reused, anew })
        })
        .await?
    }

    fn prepare_fork(&self, run: RunId, request: ForkRequest) -> Result<Prepared, RuntimeError> {
        if request.reason.len() > REASON_BYTES_MAX {
            let message =
                format!("fork the run `{run}`: the reason has more than {REASON_BYTES_MAX} bytes");
            return Err(RuntimeError::new(Kind::Invalid, "reason_invalid", message)
                .with_hint("say it shorter"));
        }
        let mut source = self.source_of(run, &request.point)?;
        let under = self.under(&source)?;
        let (Some(accepted), Some((namespace, old))) = (source.accepted.take(), under) else {
            return Err(not_found(run));
        };
        let submissions = &self.shared.submissions;
        let plan = match &request.plan {
            Some(plan) => submissions.plans.plan(plan)?,
            None => old.clone(),
        };
        let plan = with_skills(&plan, &request.skills)?;
        let before = match &request.point {
            ForkPoint::Task(name) => Some(descended(run, &plan, name)?),
            _ => None,
        };
        let input = match request.input {
            Some(input) => input,
            None => self.load(&accepted.input)?.to_vec(),
        };
        let run_request = RunRequest {
            namespace,
            plan: PlanRequest::Workflow(Value::Null),
            input,
            priority: request.priority.unwrap_or(accepted.priority),
            deadline: request.deadline,
            start: None,
            budget: request.budget.or(accepted.budget),
            key: None,
        };
        let submission = submissions.prepare_for(plan.clone(), run_request)?;
        // Another plan's schema may fill in what nobody gave.
        let input = submission.input.hash() != accepted.input.hash();
        let reused = source.reuse(&old, &plan, Differs { anew: before.as_ref(), input });
        let kept: BTreeSet<u32> = reused.iter().map(|it| it.node).collect();
        check_size(&reused)?;
        let (names, anew) = names(&plan, &kept);
        let forked =
            RunForked { source: run, at: source.at, head: source.head, reason: request.reason };
        Ok(Prepared { fork: ForkRun { submission, forked, reused }, reused: names, anew })
    }

    fn source_of(&self, run: RunId, point: &ForkPoint) -> Result<Source, RuntimeError> {
        let mut source = Source::default();
        let mut found = !matches!(point, ForkPoint::Event(..));
        self.replay(run, 0, &mut |recorded| {
            let RecordedEvents { seq, change, .. } = recorded;
            let last = match point {
                ForkPoint::Event(at, _) if seq > *at => return ControlFlow::Break(()),
                ForkPoint::Event(at, index) if seq == *at => {
                    found = index.is_none_or(|index| index < change.events.len());
                    index.unwrap_or(usize::MAX)
                }
                _ => usize::MAX,
            };
            source.at = seq;
            for event in change.events.into_iter().take(last.saturating_add(1)) {
                source.take(run, event);
            }
            ControlFlow::Continue(())
        })?;
        match point {
            ForkPoint::Event(at, index) if !found => {
                return Err(self.no_such_event(run, *at, *index)?);
            }
            _ if source.at == 0 => return Err(not_found(run)),
            _ => {}
        }
        Ok(source)
    }

    /// Why an event is none to fork at: the whole history says.
    fn no_such_event(
        &self,
        run: RunId,
        at: u64,
        index: Option<usize>,
    ) -> Result<RuntimeError, RuntimeError> {
        let (mut range, mut events) = (None, None);
        self.replay(run, 0, &mut |RecordedEvents { seq, change, .. }| {
            range = Some((range.map_or(seq, |(first, _)| first), seq));
            if seq == at {
                events = Some(change.events.len());
            }
            ControlFlow::Continue(())
        })?;
        let Some((first, last)) = range else { return Ok(not_found(run)) };
        let message = match (events, index) {
            (Some(events), Some(index)) => {
                format!(
                    "fork the run `{run}` at event {at}.{index}: its record {at} has {events} \
                     events, from {at}.0 on"
                )
            }
            _ => format!(
                "fork the run `{run}` at record {at}: that record is not of this run, whose \
                 records are between {first} and {last}"
            ),
        };
        Ok(RuntimeError::new(Kind::NotFound, "event_not_found", message)
            .with_hint("`ark-os trace RUN` shows its records behind `#`, `ark-os --json logs RUN` the ids of its events"))
    }

    /// The namespace and the plan of a run; none: nobody knows them.
    fn under(&self, source: &Source) -> Result<Option<(Text, Arc<Workflow>)>, RuntimeError> {
        match (&source.under, source.admission) {
            (Some(under), _) => Ok(Some(under.clone())),
            (None, None) => Ok(None),
            (None, Some(number)) => {
                let admitted = self.admission(number)?.map(|it| it.admission);
                Ok(admitted.map(|it| (it.namespace, it.workflow)))
            }
        }
    }
}

/// The names of a plan's tasks that are kept, and of the others.
fn names(plan: &Workflow, kept: &BTreeSet<u32>) -> (Vec<Text>, Vec<Text>) {
    let all = (0u32..).zip(&plan.tasks).map(|(node, spec)| (node, spec.name.clone()));
    let (reused, anew): (Vec<_>, Vec<_>) = all.partition(|(node, _)| kept.contains(node));
    let name = |(_, name)| name;
    (reused.into_iter().map(name).collect(), anew.into_iter().map(name).collect())
}

/// The key with the digest of what is asked for, as it was asked: what comes of it may change.
fn fork_key(
    key: &str,
    source: RunId,
    request: &ForkRequest,
) -> Result<SubmissionKey, RuntimeError> {
    let key = checked_key(key)?;
    let point = match &request.point {
        ForkPoint::Newest => Value::Null,
        ForkPoint::Event(seq, index) => json!([seq, index]),
        ForkPoint::Task(name) => json!(&**name),
    };
    let plan = request.plan.as_ref().map(|plan| match plan {
        PlanRequest::Workflow(plan) => plan.clone(),
        PlanRequest::Deployed(name) => json!(name),
        PlanRequest::Task(task) => json!([task.skill, task.options]),
    });
    let skills: Vec<_> = request.skills.iter().map(|(old, new)| [&**old, &**new]).collect();
    let asked = json!({
        "fork": source.to_string(),
        "point": point,
        "plan": plan,
        "skills": skills,
        "priority": request.priority.map(Priority::as_str),
        "deadline": request.deadline.map(millis),
        "budget": request.budget.map(|it| format!("{it:?}")),
        "reason": &*request.reason,
    });
    let input = request.input.as_deref();
    let (asked, has_input) = (asked.to_string(), [u8::from(input.is_some())]);
    let parts = [asked.as_bytes(), &has_input, input.unwrap_or_default()];
    Ok(SubmissionKey { key, request: Hash::of_parts(&parts) })
}

struct Prepared {
    fork: ForkRun,
    reused: Vec<Text>,
    anew: Vec<Text>,
}

fn not_found(run: RunId) -> RuntimeError {
    RuntimeError::new(
        Kind::NotFound,
        "run_not_found",
        format!("fork the run `{run}`: there is no such run"),
    )
    .with_hint("`ark-os list runs` shows what there is")
}

/// What is read of a run follows what is acknowledged; after a start it may be a while behind.
fn not_shown_yet(run: RunId) -> RuntimeError {
    let message = format!("say what the run `{run}` reuses: the views have not got there yet");
    RuntimeError::new(Kind::Unavailable, "store_unavailable", message)
        .with_hint("ask again, with the same key")
}

/// A plan with other skills in the place of some.
///
/// # Errors
/// No task needs one of the first.
pub fn with_skills(
    plan: &Arc<Workflow>,
    skills: &[(Text, Text)],
) -> Result<Arc<Workflow>, RuntimeError> {
    if skills.is_empty() {
        return Ok(plan.clone());
    }
    // Waits and child runs have no skill that could be another one.
    let has = |skill: &Text| plan.tasks.iter().any(|task| task.is_work() && task.skill == *skill);
    let unknown: Vec<Place> =
        skills.iter().filter(|(one, _)| !has(one)).map(|(one, _)| no_such_skill(one)).collect();
    if !unknown.is_empty() {
        let message = "fork the run with another skill: no task of the plan has the old one";
        return Err(RuntimeError::new(Kind::Invalid, "request_invalid", message)
            .with_hint("name skills as the workflow does; those of child runs stay as they are")
            .with_places(unknown));
    }
    let mut changed = (**plan).clone();
    for task in changed.tasks.iter_mut().filter(|task| task.is_work()) {
        let Some((one, other)) = skills.iter().find(|(one, _)| *one == task.skill) else {
            continue;
        };
        // A limit is named after the skill where nobody says; the plan no longer tells who said so.
        if let Some(limit) = task.limit.as_mut().filter(|limit| limit.name == *one) {
            limit.name = other.clone();
        }
        task.skill = other.clone();
    }
    Ok(changed.sealed())
}

fn no_such_skill(skill: &Text) -> Place {
    let key = skill.replace('~', "~0").replace('/', "~1");
    let message = format!("no task of the plan has the skill `{skill}`");
    Place { pointer: format!("/skills/{key}"), message, hint: None }
}

/// A task of the plan and everything that depends on it.
///
/// # Errors
/// There is no such task.
pub fn descended(run: RunId, plan: &Workflow, name: &Text) -> Result<BTreeSet<u32>, RuntimeError> {
    let by_number =
        || name.parse::<u32>().ok().filter(|node| plan.tasks.get(*node as usize).is_some());
    let Some(node) = plan.node(name).or_else(by_number) else {
        let message = format!("fork the run `{run}` before `{name}`: its plan has no such task");
        return Err(RuntimeError::new(Kind::NotFound, "task_not_found", message)
            .with_hint("`ark-os graph RUN` shows the names of its tasks"));
    };
    Ok(descendants(plan, node).into_iter().chain([node]).collect())
}

/// What is reused stands in one record.
fn check_size(reused: &[TaskReused]) -> Result<(), RuntimeError> {
    let size = |payload: &Payload| match payload {
        Payload::Inline(bytes) => bytes.0.len(),
        Payload::Blob { .. } => 64,
    };
    let all = |it: &TaskReused| {
        let children = it.children.iter().flat_map(|it| it.outputs.iter().chain([&it.list]));
        it.output.iter().chain(children).map(size).sum::<usize>()
    };
    if reused.iter().map(all).sum::<usize>() <= REUSED_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("fork the run: it would take along more than {REUSED_BYTES_MAX} bytes of results");
    Err(RuntimeError::new(Kind::Exhausted, "fork_too_large", message)
        .with_hint("fork at an earlier point, so that large maps run anew"))
}

#[cfg(test)]
mod tests {
    use ark_os_core::authority::{Authority, RevocationId, Scopes};
    use ark_os_core::event::{PendingAdmission, RunAccepted};
    use ark_os_core::manifest::single_task;

    use super::*;
    use crate::data::Catalogue;
    use crate::skills::SkillSet;

    fn accepted() -> RunAccepted {
        RunAccepted {
            admission: Some(7),
            pending: None,
            input: Payload::null(),
            priority: Priority::Normal,
            deadline: None,
            budget: None,
            seed: 0,
            key: None,
            waits: Some(true),
            start_at: None,
            parent: None,
            origin: None,
        }
    }

    #[test]
    fn a_run_that_came_from_disk_to_wait_for_a_layer_has_its_plan_with_it() {
        let catalogue = Catalogue::new(&SkillSet::builtin());
        let workflow = single_task("echo", &Value::Null, &catalogue).unwrap();
        let scopes = Scopes::parse(["*"]).unwrap();
        let authority = Authority::root("tester".into(), scopes, RevocationId::derive(&[b"test"]));
        let pending = PendingAdmission { namespace: "other".into(), workflow, authority };
        let loaded =
            RunAccepted { admission: None, pending: Some(Box::new(pending)), ..accepted() };
        let mut source = Source::default();
        source.take(RunId(1), Event::RunAccepted(Box::new(accepted())));
        source.take(RunId(1), Event::RunLoaded { accepted: Some(Box::new(loaded)) });
        let (namespace, plan) = source.under.unwrap();
        assert_eq!((&*namespace, &*plan.name), ("other", "echo"));
    }

    #[test]
    fn a_key_stands_for_what_was_asked_for() {
        let plain = || ForkRequest {
            point: ForkPoint::Newest,
            input: None,
            plan: None,
            skills: Vec::new(),
            priority: None,
            deadline: None,
            budget: None,
            reason: "asked for".into(),
            key: None,
        };
        let digest =
            |source, request: ForkRequest| fork_key("k", RunId(source), &request).unwrap().request;
        let known = digest(1, plain());
        assert_eq!(known, digest(1, plain()));
        for other in [
            ForkRequest { point: ForkPoint::Event(3, None), ..plain() },
            ForkRequest { input: Some(Vec::new()), ..plain() },
            ForkRequest { plan: Some(PlanRequest::Deployed("w".to_owned())), ..plain() },
            ForkRequest { skills: vec![("a".into(), "b".into())], ..plain() },
            ForkRequest { priority: Some(Priority::High), ..plain() },
            ForkRequest { deadline: Some(Duration::from_secs(1)), ..plain() },
            ForkRequest { budget: Some(Amounts::UNLIMITED), ..plain() },
            ForkRequest { reason: "another".into(), ..plain() },
        ] {
            assert_ne!(known, digest(1, other.clone()), "{other:?}");
        }
        assert_ne!(known, digest(2, plain()));
    }
}
