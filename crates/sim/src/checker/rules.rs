//! What may follow what in the journal.

use std::sync::Arc;

use ark_os_core::event::{
    Admission, AttemptEnd, AttemptEnded, AttemptStarted, ChildEnded, Event, RunAccepted, RunEnd,
    RunEnded, SignalReceived, SkipCause, Standing, StepIntended, TasksAdded,
};
use ark_os_core::fleet::profile::parse_agent_name;
use ark_os_core::ids::{Fence, RunId, TaskRef};
use ark_os_core::limits::LOST_ATTEMPTS_MAX;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, OnFailure};
use ark_os_core::step::{Finding, StepKey};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::kernel::record::Appended;

use super::model::{End, FleetModel, Intent, Model, RunModel, TaskModel, Token};
use crate::violation::{Check, Violation, ensure};

impl FleetModel {
    /// INVARIANT I20: one deployment at a time, in rising versions; whole or not at all, and only after
    /// its agents were found healthy.
    fn observe(&mut self, event: &Event) -> Check {
        match event {
            Event::DeploymentStarted(it) => {
                let version = it.version;
                let is_next = self.next.is_none() && version > self.newest;
                ensure(is_next, "I20", || format!("version {version} begins after {self:?}"))?;
                self.newest = version;
                // Members of the others take work when they have registered.
                let own = it.fleet.groups.iter().filter(|group| !group.workers);
                self.next = Some((version, own.map(|group| group.name.clone()).collect()));
            }
            Event::LayerDeployed { version, layer, .. } => {
                let is_healthy = self.healthy.contains(&(*version, Some(*layer)));
                let is_next = self.under_way() == Some(*version);
                ensure(is_next && is_healthy, "I20", || {
                    format!("{layer} of version {version} is deployed and was not found healthy")
                })?;
            }
            Event::DeploymentFinished { version } => {
                let over = self.next.take().filter(|(next, _)| next == version);
                let over = over.filter(|_| *version > self.current);
                let (_, groups) = over.ok_or_else(|| {
                    Violation::new("I20", format!("version {version} is finished after {self:?}"))
                })?;
                (self.current, self.groups) = (*version, groups);
            }
            Event::AgentJoined(it) => {
                self.away.remove(&it.group.name);
                self.joined.insert(it.group.name.clone());
            }
            Event::AgentLeft(it) => _ = self.joined.remove(&it.name),
            Event::AgentChanged { standing, name: Some(name), .. } => {
                let is_away = matches!(standing, Standing::Suspect | Standing::Offline);
                match is_away && self.joined.contains(name) {
                    true => _ = self.away.insert(name.clone()),
                    false => _ = self.away.remove(name),
                }
            }
            Event::DeploymentRolledBack { version, .. } => {
                let over = self.next.take().filter(|(next, _)| next == version);
                ensure(over.is_some(), "I20", || {
                    format!("version {version} is rolled back and was not under way")
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether an agent of this name may begin something: of the profile, or of a deployed group.
    fn has(&self, name: &Text) -> bool {
        let of_group = |group: &Text| {
            let rest = name.strip_prefix(&**group);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let is_worker = self.joined.contains(name) && !self.away.contains(name);
        is_worker || parse_agent_name(name).is_some() || self.groups.iter().any(of_group)
    }
}

impl Model {
    /// Takes a record in, or says which promise it breaks.
    pub(super) fn observe(&mut self, appended: &Appended, wall: Time) -> Check {
        let change = &appended.change;
        // I17: a wall clock that jumps back never takes the journal with it.
        ensure(change.at >= self.at, "I17", || {
            format!(
                "record {} is of {:?}, the one before of {:?}",
                appended.seq, change.at, self.at
            )
        })?;
        (self.at, self.wall) = (change.at, wall);
        for (i, event) in change.events.iter().enumerate() {
            match change.run {
                None => self.observe_instance(event, appended.seq)?,
                Some(run) => {
                    self.observe_run(run, appended.seq, event)?;
                    self.remember(run, (appended.seq, i), event);
                }
            }
        }
        let is_fork = |event: &Event| matches!(event, Event::RunForked(_));
        if let Some(run) = change.run.filter(|_| change.events.iter().any(is_fork)) {
            self.check_fork(run)?;
        }
        self.schedules.check_deployed(&change.events)
    }

    fn observe_instance(&mut self, event: &Event, seq: u64) -> Check {
        self.schedules.observe(event, seq, (self.at, self.wall))?;
        match event {
            Event::InstanceStarted(started) => {
                self.epoch += 1;
                self.in_use.clear();
                self.fleet.joined.clear();
                self.fleet.away.clear();
                self.fleet.profile = started.agents;
                self.settings.start(started);
            }
            Event::FleetScaled { agents, .. } => {
                self.settings.scale(*agents)?;
                self.fleet.profile = *agents;
            }
            Event::SettingsChanged(changed) => self.settings.change(&changed.limits, seq),
            _ => return self.fleet.observe(event),
        }
        Ok(())
    }

    fn observe_run(&mut self, id: RunId, seq: u64, event: &Event) -> Check {
        match event {
            Event::WorkflowAdmitted(admission) => return self.admit(admission),
            Event::RunAccepted(accepted) => {
                let admitted = accepted.admission.and_then(|id| self.workflows.get(&id)).cloned();
                let pending = accepted.pending.as_ref().map(|pending| pending.workflow.clone());
                let workflow = admitted.or(pending).ok_or_else(|| {
                    Violation::new("I8", format!("`{id}` was accepted without a plan"))
                })?;
                let admitted = accepted.admission.and_then(|id| self.namespaces.get(&id));
                let pending = accepted.pending.as_ref().map(|pending| &pending.namespace);
                let run = RunModel {
                    workflow,
                    namespace: admitted.or(pending).cloned().unwrap_or_default(),
                    accepted_seq: seq,
                    accepted: (**accepted).clone(),
                    waits: accepted.waits == Some(true),
                    parked_seq: None,
                    ended: false,
                    ends: Vec::new(),
                    tasks: Default::default(),
                    signals: Default::default(),
                    past: Default::default(),
                };
                self.check_parent(id, accepted)?;
                let fresh = self.runs.insert(id, run).is_none();
                return ensure(fresh, "I2", || format!("`{id}` was accepted twice"));
            }
            Event::RunLoaded { accepted } => return self.load(id, seq, accepted.as_deref()),
            _ => {}
        }
        let run = self.runs.get_mut(&id).ok_or_else(|| {
            Violation::new("I1", format!("record {seq} is about `{id}`, which was never accepted"))
        })?;
        let may_follow = matches!(event, Event::RunRetried { .. } | Event::StepResolved { .. });
        let is_its_fire = matches!(event, Event::ScheduleFired(_));
        ensure(!run.waits || is_its_fire, "I1", || {
            format!("record {seq} changes `{id}`, which waits on disk: {event:?}")
        })?;
        ensure(!run.ended || may_follow, "I2", || {
            format!("record {seq} changes `{id}`, which is over: {event:?}")
        })?;
        match event {
            Event::SignalReceived(signal) => return run.receive(id, seq, signal),
            Event::RunParked => run.parked_seq = run.parked_seq.or(Some(seq)),
            Event::RunRetried { nodes, .. } => {
                run.begin_again(nodes);
                self.schedules.again(id);
            }
            Event::ScheduleFired(fired) => return self.fire(id, seq, fired),
            Event::RunForked(forked) => return self.fork(id, seq, forked),
            Event::TaskReused(reused) => return self.reuse(id, reused),
            Event::RunEnded(ended) => return self.end(id, seq, ended),
            Event::StepIntended(intended) => return self.intend(id, seq, intended),
            Event::StepProbed { key, finding, .. } => self.probe(seq, *key, finding),
            Event::StepSettled { key, .. } | Event::StepResolved { key, .. } => self.close(*key),
            Event::AttemptStarted(started) => return self.start(id, seq, started),
            _ => return self.observe_task(id, event),
        }
        Ok(())
    }

    /// INVARIANT I1, I2: a run that waited on disk comes once, and is what it was.
    fn load(&mut self, id: RunId, seq: u64, loaded: Option<&RunAccepted>) -> Check {
        let run = self.runs.get_mut(&id).filter(|run| run.waits);
        let run = run.ok_or_else(|| {
            Violation::new("I2", format!("record {seq} loads `{id}`, which does not wait"))
        })?;
        run.waits = false;
        let loaded = loaded.ok_or_else(|| {
            Violation::new("I1", format!("the record that accepted `{id}` cannot be read"))
        })?;
        let was = RunAccepted { key: None, waits: None, ..run.accepted.clone() };
        let (admission, pending) = (loaded.admission, loaded.pending.clone());
        let same = *loaded == RunAccepted { admission, pending, ..was };
        ensure(same, "I1", || {
            format!("`{id}` was accepted as {:?} and is loaded as {loaded:?}", run.accepted)
        })?;
        let workflow = match (loaded.admission, &loaded.pending) {
            (Some(admission), _) => self.workflows.get(&admission).map(|it| it.hash),
            (None, pending) => pending.as_ref().map(|pending| pending.workflow.hash),
        };
        ensure(workflow == Some(run.workflow.hash), "I1", || {
            format!("`{id}` is loaded with another plan")
        })
    }

    /// INVARIANT I2: a child is begun by the task that asked for it, and asked for once.
    fn check_parent(&self, id: RunId, accepted: &RunAccepted) -> Check {
        let asked = self.asked.get(&id).map(|(parent, task)| (*parent, task.node));
        let said = accepted.parent.as_ref().map(|parent| (parent.run, parent.node));
        ensure(asked == said, "I2", || {
            format!("`{id}` is said to be the child of {said:?}, asked for by {asked:?}")
        })
    }

    /// INVARIANT I2: a task adds others once, when it is done.
    fn grow(&mut self, id: RunId, added: &TasksAdded) -> Check {
        let task = added.task;
        let held = self.task(id, task).is_some_and(|it| it.token.is_some());
        ensure(held, "I4", || format!("task {task} of `{id}` adds others without a token"))?;
        let it = self.task_mut(id, task)?;
        let again = std::mem::replace(&mut it.has_added, true);
        ensure(!again, "I2", || format!("task {task} of `{id}` adds others twice"))?;
        if let Some(run) = self.runs.get_mut(&id) {
            run.workflow = Arc::new(run.workflow.extended(task.node, &added.nodes));
        }
        Ok(())
    }

    fn ask(&mut self, id: RunId, task: TaskRef, child: RunId) -> Check {
        self.open(id, task)?;
        let again = self.asked.insert(child, (id, task));
        ensure(again.is_none(), "I2", || format!("child `{child}` was asked for twice"))
    }

    /// INVARIANT I6: a task hears of its child's end when that is over, and how it was.
    fn settle_child(&mut self, id: RunId, ended: &ChildEnded) -> Check {
        let asked = self.asked.get(&ended.run);
        ensure(asked == Some(&(id, ended.task)), "I2", || {
            format!("task {} of `{id}` did not ask for `{}`", ended.task, ended.run)
        })?;
        let last = self.run(ended.run).filter(|it| it.ended).and_then(|it| it.ends.last());
        ensure(last.is_some_and(|(end, _)| *end == ended.end), "I6", || {
            format!("`{}` is said to be {:?}; its last end is {last:?}", ended.run, ended.end)
        })?;
        match ended.end {
            RunEnd::Succeeded => self.finish(id, ended.task, End::Succeeded),
            RunEnd::Failed | RunEnd::Cancelled => Ok(()),
        }
    }

    /// INVARIANT I12: every layer's authority lies within the one above.
    fn admit(&mut self, admission: &Admission) -> Check {
        for pair in admission.authorities.windows(2) {
            let [above, below] = pair else { continue };
            ensure(below.is_within(above), "I12", || {
                format!("`{}` was given more than `{}` has", below.subject(), above.subject())
            })?;
        }
        self.workflows.insert(admission.id, admission.workflow.clone());
        self.namespaces.insert(admission.id, admission.namespace.clone());
        Ok(())
    }

    fn end(&mut self, id: RunId, seq: u64, ended: &RunEnded) -> Check {
        let Some(run) = self.runs.get_mut(&id) else { return Ok(()) };
        let nodes = 0..run.workflow.tasks.len() as u32;
        // A run that waits for a layer ends before any of its tasks was looked at.
        for node in nodes {
            ensure(run.over(node).is_some(), "I2", || {
                format!("`{id}` ended before its task {node}")
            })?;
        }
        let busy = run.tasks.iter().find(|(_, it)| it.token.is_some());
        ensure(busy.is_none(), "I7", || format!("`{id}` ended with {busy:?} at work"))?;
        run.ended = true;
        run.ends.push((ended.end, seq));
        self.schedules.over(id);
        Ok(())
    }

    /// INVARIANT I4, I10: an intent is under the token in use.
    fn intend(&mut self, id: RunId, seq: u64, intended: &StepIntended) -> Check {
        self.holds_token(id, intended.task, intended.fence, "an intent")?;
        let before = self.intents.get(&intended.key);
        let is_left = before.is_some_and(|before| before.is_open);
        let is_unasked = is_left && intended.class == EffectClass::Probed;
        let intent = Intent { fence: intended.fence, seq, is_open: true, is_unasked };
        self.intents.insert(intended.key, intent);
        Ok(())
    }

    /// The sink was asked: what did not happen may be done, once that is durable.
    fn probe(&mut self, seq: u64, key: StepKey, finding: &Finding) {
        let Some(intent) = self.intents.get_mut(&key) else { return };
        intent.is_open = !matches!(finding, Finding::Happened(_));
        if *finding == Finding::NotHappened {
            intent.is_unasked = false;
            intent.seq = seq;
        }
    }

    fn close(&mut self, key: StepKey) {
        if let Some(intent) = self.intents.get_mut(&key) {
            intent.is_open = false;
        }
    }

    fn start(&mut self, id: RunId, seq: u64, started: &AttemptStarted) -> Check {
        let AttemptStarted { task, fence, agent, attempt, ref place, .. } = *started;
        if let Some(place) = place {
            let is_here = self.fleet.has(&place.name);
            ensure(is_here, "I20", || format!("`{}` works and is not deployed", place.name))?;
        }
        let pt = ark_os_core::ids::PtId { run: id, task, fence };
        ensure(fence > self.fence, "I4", || {
            format!("`{pt}` was drawn after fence {}", self.fence.0)
        })?;
        self.fence = fence;
        self.started.insert(pt, seq);
        self.open(id, task)?;
        let epoch = self.epoch;
        let Some(run) = self.runs.get_mut(&id) else { return Ok(()) };
        let most = run.workflow.tasks.get(task.node as usize).map_or(0, |it| it.retry.attempts);
        let it = run.tasks.entry(task).or_default();
        ensure(it.token.is_none(), "I4", || format!("`{pt}` was drawn while {:?} is", it.token))?;
        ensure(!it.parked, "I5", || format!("`{pt}` was drawn for a parked task"))?;
        ensure(attempt == it.attempts + 1 && attempt <= most, "I5", || {
            format!("`{pt}` is attempt {attempt} after {}, of at most {most}", it.attempts)
        })?;
        it.token = Some(Token { fence, agent, epoch });
        *self.in_use.entry(agent).or_insert(0) += 1;
        self.begin_under_settings()?;
        self.begin_under_limit(id, task)
    }

    fn observe_task(&mut self, id: RunId, event: &Event) -> Check {
        match event {
            Event::TaskPreparing { task } => {
                let was_open = self.is_open(id, *task);
                ensure(!was_open, "I6", || format!("task {task} of `{id}` begins twice"))?;
                self.open(id, *task)
            }
            Event::TaskKeyed { task, key } => {
                self.task_mut(id, *task)?.key = Some(key.clone());
                Ok(())
            }
            Event::TaskReady { task } => {
                self.open(id, *task)?;
                let free = self.task(id, *task).is_some_and(|it| it.token.is_none());
                ensure(free, "I5", || format!("task {task} of `{id}` is ready and at work"))
            }
            Event::MapExpanded { task, count, .. } => {
                let it = self.task_mut(id, *task)?;
                let fresh = it.children.replace(*count).is_none();
                ensure(fresh, "I6", || format!("map {task} of `{id}` was expanded twice"))
            }
            Event::LeaseRenewed { task, .. } | Event::ProgressMade { task, .. } => {
                let held = self.task(id, *task).is_some_and(|it| it.token.is_some());
                ensure(held, "I4", || format!("{event:?} of `{id}`, which nobody works on"))
            }
            Event::AttemptEnded(ended) => self.end_attempt(id, ended),
            Event::TaskSucceeded(done) => {
                self.holds_token(id, done.task, done.fence, "a result")?;
                self.finish(id, done.task, End::Succeeded)
            }
            Event::MapDone { task } => {
                let open = self.open_children(id, *task);
                ensure(open == 0, "I6", || {
                    format!("map {task} of `{id}` ends before {open} children")
                })?;
                self.finish(id, *task, End::Succeeded)
            }
            Event::TaskWaiting { task, .. } => {
                self.open(id, *task)?;
                let is_twice = std::mem::replace(&mut self.task_mut(id, *task)?.waits, true);
                ensure(!is_twice, "I6", || format!("task {task} of `{id}` begins to wait twice"))
            }
            Event::WaitEnded { task, output, signal } => {
                let waits = self.task(id, *task).is_some_and(|it| it.waits);
                ensure(waits, "I6", || format!("task {task} of `{id}` has not waited"))?;
                if let (Some(number), Some(run)) = (signal, self.runs.get_mut(&id)) {
                    run.take(id, *number, output)?;
                }
                self.finish(id, *task, End::Succeeded)
            }
            Event::TasksAdded(added) => self.grow(id, added),
            Event::ChildRequested { task, child } => self.ask(id, *task, child.run),
            Event::ChildEnded(ended) => self.settle_child(id, ended),
            Event::TaskFailed { task, .. } => self.finish(id, *task, End::Failed),
            Event::TasksSkipped { tasks, cause } => tasks
                .iter()
                .try_for_each(|task| self.finish(id, *task, End::Skipped(cause.clone()))),
            Event::TasksCancelled { tasks } => {
                tasks.iter().try_for_each(|task| self.finish(id, *task, End::Cancelled))
            }
            Event::TaskParked { task, .. } => {
                self.put_back(id, *task);
                self.task_mut(id, *task)?.parked = true;
                Ok(())
            }
            Event::TaskUnparked { task, .. } => self.unpark(id, *task),
            _ => Ok(()),
        }
    }

    fn unpark(&mut self, id: RunId, task: TaskRef) -> Check {
        let it = self.task_mut(id, task)?;
        it.lost = 0;
        let was = std::mem::take(&mut it.parked);
        ensure(was, "I5", || format!("task {task} of `{id}` was unparked and not parked"))
    }

    /// INVARIANT I4: what is done to a task is done under the token in use.
    fn holds_token(&self, id: RunId, task: TaskRef, fence: Fence, what: &str) -> Check {
        let held = self.task(id, task).and_then(|it| it.token).map(|token| token.fence);
        ensure(held == Some(fence), "I4", || {
            format!(
                "{what} under {fence:?} for task {task} of `{id}`; the token in use is {held:?}"
            )
        })
    }

    fn end_attempt(&mut self, id: RunId, ended: &AttemptEnded) -> Check {
        self.holds_token(id, ended.task, ended.fence, "an end")?;
        self.put_back(id, ended.task);
        let it = self.task_mut(id, ended.task)?;
        match ended.end {
            AttemptEnd::Interrupted => {}
            AttemptEnd::Lost => it.lost += 1,
            AttemptEnd::Failed | AttemptEnd::TimedOut | AttemptEnd::Refused => it.attempts += 1,
        }
        ensure(it.lost <= LOST_ATTEMPTS_MAX, "I5", || {
            format!("task {} of `{id}` was lost {} times", ended.task, it.lost)
        })
    }

    /// A task of a fork is over from the beginning.
    pub(super) fn settle_reused(&mut self, id: RunId, node: u32, end: End) -> Check {
        self.finish(id, TaskRef::node(node), end)
    }

    /// INVARIANT I2: a task comes to one end.
    fn finish(&mut self, id: RunId, task: TaskRef, end: End) -> Check {
        self.put_back(id, task);
        for child in self.children_of(id, task) {
            if self.task(id, child).is_some_and(|it| it.over.is_none()) {
                self.finish(id, child, End::Cancelled)?;
            }
        }
        let it = self.task_mut(id, task)?;
        let before = it.over.replace(end);
        it.parked = false;
        ensure(before.is_none(), "I2", || format!("task {task} of `{id}` was {before:?} already"))
    }

    fn children_of(&self, id: RunId, task: TaskRef) -> Vec<TaskRef> {
        if task.child.is_some() { Vec::new() } else { self.children(id, task.node) }
    }

    fn open_children(&self, id: RunId, task: TaskRef) -> u32 {
        let all = self.task(id, task).and_then(|it| it.children).unwrap_or(0);
        let over = self.children(id, task.node).into_iter();
        let over = over.filter(|child| self.task(id, *child).is_some_and(|it| it.over.is_some()));
        all.saturating_sub(over.count() as u32)
    }

    fn task(&self, id: RunId, task: TaskRef) -> Option<&TaskModel> {
        self.run(id)?.task(task)
    }

    fn task_mut(&mut self, id: RunId, task: TaskRef) -> Result<&mut TaskModel, Violation> {
        let run = self.runs.get_mut(&id);
        let run = run.ok_or_else(|| Violation::new("I1", format!("`{id}` is not known")))?;
        Ok(run.tasks.entry(task).or_default())
    }

    fn is_open(&self, id: RunId, task: TaskRef) -> bool {
        self.task(id, task).is_some_and(|it| it.is_open)
    }

    /// A task begins, if it has not: everything that it needs is over by then.
    ///
    /// INVARIANT I6: a join waits for all of its needs, and begins once.
    fn open(&mut self, id: RunId, task: TaskRef) -> Check {
        let Some(run) = self.run(id) else { return Ok(()) };
        let is_reused = run.past.reused.contains(&task.node);
        ensure(!is_reused, "I23", || format!("task {task} of `{id}` is reused and begins"))?;
        let over = run.task(task).and_then(|it| it.over.as_ref());
        ensure(over.is_none(), "I2", || format!("task {task} of `{id}` begins, it was {over:?}"))?;
        match task.child {
            Some(_) => {
                let all = self.task(id, TaskRef::node(task.node)).and_then(|it| it.children);
                let there = all.is_some_and(|all| task.child.is_some_and(|child| child < all));
                ensure(there, "I6", || format!("task {task} of `{id}` begins before its map"))?;
            }
            None if !self.is_open(id, task) => run.check_needs(id, task.node)?,
            None => {}
        }
        self.task_mut(id, task)?.is_open = true;
        Ok(())
    }
}

impl RunModel {
    /// INVARIANT I1: a signal comes once, however often it is sent.
    fn receive(&mut self, id: RunId, seq: u64, signal: &SignalReceived) -> Check {
        let said = signal.payload.hash();
        let again = self.signals.came.insert(said, seq);
        ensure(again.is_none(), "I1", || format!("a signal of `{id}` came twice: {signal:?}"))?;
        let count = self.signals.came.len() as u64;
        ensure(signal.number == count, "I2", || {
            format!("signal {} of `{id}` is its {count}th", signal.number)
        })?;
        self.signals.kept.insert(signal.number, said);
        Ok(())
    }

    /// INVARIANT I2: a signal ends one wait, and what it says is the output.
    fn take(&mut self, id: RunId, number: u64, output: &Payload) -> Check {
        let said = self.signals.kept.remove(&number);
        ensure(said == Some(output.hash()), "I2", || {
            format!("signal {number} of `{id}` is not kept, or says other than was made of it")
        })
    }

    fn begin_again(&mut self, nodes: &[u32]) {
        self.tasks.retain(|task, _| !nodes.contains(&task.node));
        self.ended = false;
    }

    fn check_needs(&self, id: RunId, node: u32) -> Check {
        let Some(spec) = self.workflow.tasks.get(node as usize) else {
            return Err(Violation::new("I6", format!("`{id}` has no task {node}")));
        };
        if spec.is_fallback {
            let stands_in = OnFailure::Fallback(node);
            let mut before = (0u32..).zip(&self.workflow.tasks);
            let primary = before.find(|(_, spec)| spec.on_failure == stands_in);
            let failed = primary.is_some_and(|(at, _)| self.over(at) == Some(&End::Failed));
            return ensure(failed, "I6", || format!("fallback {node} of `{id}` begins unasked"));
        }
        let waits = spec.needs.iter().find(|need| !self.is_settled(**need));
        ensure(waits.is_none(), "I6", || {
            format!("task {node} of `{id}` begins before task {waits:?}, which it needs")
        })
    }

    /// Whether what depends on a node may go on.
    fn is_settled(&self, node: u32) -> bool {
        match self.over(node) {
            Some(End::Succeeded | End::Skipped(SkipCause::Condition)) => true,
            Some(End::Failed) => {
                match self.workflow.tasks.get(node as usize).map(|spec| spec.on_failure) {
                    Some(OnFailure::Continue) => true,
                    Some(OnFailure::Fallback(stand_in)) => self.is_settled(stand_in),
                    Some(OnFailure::Fail) | None => false,
                }
            }
            Some(End::Skipped(_) | End::Cancelled) | None => false,
        }
    }
}
