//! What holds in every state: the invariants of the core, computed anew and compared.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::State;
use ark_os_core::budget::Amounts;
use ark_os_core::event::{SkipCause, Standing};
use ark_os_core::ids::{PtId, RunId, SkillIx, TaskRef};
use ark_os_core::keyed_limit::LimitId;
use ark_os_core::limits::{LOST_ATTEMPTS_MAX, RUNS_ENDED_KEPT_MAX};
use ark_os_core::plan::{OnFailure, Shape};
use ark_os_core::priority::Turn;
use ark_os_core::queue::Waiter;
use ark_os_core::run::{Child, Counts, Phase, Run, RunState, Task, TaskState};
use ark_os_core::step::StepStanding;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::timers::Timer;

/// Remembers what may never change.
#[derive(Default)]
pub(crate) struct Auditor {
    /// I2: how tasks ended, with their generation.
    ended: BTreeMap<(RunId, TaskRef), (u32, TaskState)>,
    /// The highest limit of attempts so far: what is under way goes on when it sinks.
    most: u32,
}

impl Auditor {
    /// `open`: tokens that agents of this instance hold.
    pub(crate) fn audit(&mut self, state: &State, open: &BTreeSet<PtId>) {
        let runs: Vec<&Run> = state.run_ids().into_iter().filter_map(|id| state.run(id)).collect();
        for run in &runs {
            audit_counts(run);
            audit_needs(run);
            audit_standing(run, state);
            audit_account(run, &runs);
            audit_authority(run);
            for (task, it) in tasks(run) {
                audit_task(run, task, it);
                self.audit_end(run, task, it);
            }
        }
        if let Some(instance) = state.instance() {
            self.most = self.most.max(instance.concurrent_tasks_max);
            assert!(state.fleet().in_use() <= self.most);
        }
        audit_tokens(state, &runs, open);
        audit_queue(state, &runs);
        audit_timers(state, &runs);
        audit_accounts(state, &runs);
        let live = runs.iter().filter(|run| !run.is_over()).count();
        let waiting = state.backlog().len();
        assert_eq!(state.live(), live + waiting, "live runs");
        assert_eq!(state.resident(), live, "runs in memory");
        for it in state.backlog().iter() {
            assert!(state.run(it.run).is_none(), "{} waits and is there", it.run);
            let sketch = state.sketch(it.run).unwrap().summary();
            assert_eq!((sketch.state, sketch.account), (RunState::Accepted, None));
        }
        assert!(runs.len() - live <= RUNS_ENDED_KEPT_MAX, "ended runs are bounded");
        let waits = |run: &&&Run| {
            run.waits_for.is_some() && !state.is_interrupted(run.id) && !run.is_over()
        };
        assert_eq!(state.has_blocked(), runs.iter().any(|run| waits(&run)), "blocked runs");
    }

    fn audit_end(&mut self, run: &Run, task: TaskRef, it: &Task) {
        let end = (it.generation, it.state);
        let key = (run.id, task);
        match self.ended.get(&key) {
            Some(before) if before.0 == it.generation => {
                assert_eq!(*before, end, "I2: {} {task} changed after its end", run.id);
            }
            _ if it.state.is_over() => {
                self.ended.insert(key, end);
            }
            _ => {}
        }
    }
}

/// Nodes and live children.
fn tasks(run: &Run) -> Vec<(TaskRef, &Task)> {
    let refs = run.live_tasks(|_| true);
    refs.into_iter().map(|task| (task, run.task(task).unwrap())).collect()
}

fn audit_counts(run: &Run) {
    let mut expected: BTreeMap<TaskState, u32> = BTreeMap::new();
    let mut count = |state: TaskState| *expected.entry(state).or_default() += 1;
    for task in &run.tasks {
        let Some(fan) = &task.fan else {
            count(task.state);
            continue;
        };
        for child in &fan.children {
            match child {
                Child::Fresh if task.state.is_over() => count(TaskState::Skipped),
                Child::Fresh => count(TaskState::Ready),
                Child::Live(task) => count(task.state),
                Child::Done(_) => count(TaskState::Succeeded),
            }
        }
    }
    for state in TaskState::ALL {
        let expected = expected.get(&state).copied().unwrap_or(0);
        assert_eq!(run.counts.of(state), expected, "{} counts {state:?}: {run:#?}", run.id);
    }
    let total: u32 = expected.values().sum();
    let counts: Counts = run.counts;
    assert_eq!(counts.total(), total);
    let open = run.tasks.iter().filter(|task| !task.state.is_over()).count() as u32;
    assert_eq!(run.open, open, "{} open nodes", run.id);
}

/// Whether what depends on this node may go on.
fn is_settled(run: &Run, node: u32) -> bool {
    let it = run.node(node).unwrap();
    match (it.state, run.spec(node).unwrap().on_failure) {
        (TaskState::Succeeded, _) => true,
        (TaskState::Skipped, _) => it.skipped == Some(SkipCause::Condition),
        (TaskState::Failed, OnFailure::Continue) => true,
        (TaskState::Failed, OnFailure::Fallback(stand_in)) => is_settled(run, stand_in),
        _ => false,
    }
}

fn audit_needs(run: &Run) {
    for (node, it) in (0u32..).zip(&run.tasks) {
        if it.state != TaskState::Pending {
            continue;
        }
        let spec = run.spec(node).unwrap();
        let left = spec.needs.iter().filter(|need| !is_settled(run, **need)).count() as u32;
        assert_eq!(it.waits_on, left, "{} node {node} waits on", run.id);
        assert!(
            left > 0 || spec.is_fallback || run.phase != Phase::Running,
            "{} node {node} has all it needs and does not begin",
            run.id
        );
    }
}

fn audit_standing(run: &Run, state: &State) {
    let moving = run.counts.moving();
    match run.phase {
        Phase::Ended(_) => {
            assert_eq!((run.open, moving, run.parked, run.paused), (0, 0, false, false));
            assert!(run.ended.is_some() && run.waits_for.is_none());
        }
        Phase::Running => {
            assert!(run.open > 0, "{} has nothing left and goes on", run.id);
            assert_eq!(run.parked, moving == 0, "{} is parked: {run:#?}", run.id);
        }
        Phase::Gathering => assert_eq!((run.open, run.parked), (0, false)),
        Phase::Accepted => assert!(run.pending.is_some() && !run.parked && run.waits_for.is_some()),
    }
    if let (Some(layer), false) = (run.waits_for, state.is_interrupted(run.id))
        && let Some(empty) = state.fleet().empty_layer()
    {
        assert_eq!(layer, empty, "{} names the layer it waits for", run.id);
    }
}

fn audit_task(run: &Run, task: TaskRef, it: &Task) {
    let spec = run.spec(task.node).unwrap();
    let is_map = it.fan.is_some();
    assert!(it.attempt <= spec.retry.attempts, "I5: {} {task} attempt {}", run.id, it.attempt);
    assert!(it.lost <= LOST_ATTEMPTS_MAX, "{} {task} lost {}", run.id, it.lost);
    let is_running = it.state == TaskState::Running && !is_map;
    assert_eq!(it.active.is_some(), is_running, "{} {task} {:?}", run.id, it.state);
    for step in &it.steps {
        match step.standing {
            StepStanding::Settled(_) => assert!(step.reserved.is_zero()),
            StepStanding::Open if it.state.is_over() => {
                assert!(step.class.is_repeatable(), "I3: {} {task} forgot a doubt", run.id);
                assert!(step.reserved.is_zero());
            }
            StepStanding::InDoubt => assert!(it.active.is_none() && !it.state.is_moving()),
            StepStanding::Open => {}
        }
    }
    let Some(fan) = &it.fan else { return };
    let live = |keep: fn(&Task) -> bool| {
        fan.children.iter().filter(|c| matches!(c, Child::Live(it) if keep(it))).count() as u32
    };
    assert_eq!(fan.running, live(|it| it.active.is_some()), "{} {task} at work", run.id);
    assert_eq!(fan.failed, live(|it| it.state == TaskState::Failed));
    let done = fan.children.iter().filter(|c| matches!(c, Child::Done(_))).count() as u32;
    assert_eq!(fan.succeeded, done);
    let fresh = fan.children.iter().skip(fan.next as usize);
    assert!(fresh.clone().all(|child| *child == Child::Fresh));
    if let Shape::Map(map) = &spec.shape
        && map.parallel_max > 0
    {
        assert!(fan.running <= map.parallel_max, "{} {task}: {} at work", run.id, fan.running);
    }
}

fn reserved(run: &Run) -> Amounts {
    let mut sum = Amounts::ZERO;
    for (_, it) in tasks(run) {
        if let Some(active) = &it.active {
            sum = sum.plus(active.reserved);
        }
        it.steps.iter().for_each(|step| sum = sum.plus(step.reserved));
    }
    sum
}

/// Whether one run pays for the work of another too.
fn pays_for(payer: &Run, run: &Run, runs: &[&Run]) -> bool {
    let mut at = Some(run);
    while let Some(parent) = at.and_then(|it| it.parent.as_ref()).filter(|it| !it.is_detached) {
        if parent.run == payer.id {
            return true;
        }
        at = runs.iter().find(|it| it.id == parent.run).copied();
    }
    false
}

fn audit_account(run: &Run, runs: &[&Run]) {
    assert!(run.account.is_sound(), "I11: {} {:?}", run.id, run.account);
    let set_aside = tasks(run).into_iter().filter_map(|(_, it)| Some(it.child.as_ref()?.reserved));
    let below = runs.iter().filter(|it| pays_for(run, it, runs));
    let below = below.map(|it| reserved(it).plus(aside(it)));
    let sum = below.chain(set_aside).fold(reserved(run), Amounts::plus);
    assert_eq!(run.account.reserved(), sum, "I11: {} reserves", run.id);
}

/// Set aside for detached children.
fn aside(run: &Run) -> Amounts {
    let children = tasks(run).into_iter().filter_map(|(_, it)| Some(it.child.as_ref()?.reserved));
    children.fold(Amounts::ZERO, Amounts::plus)
}

fn audit_accounts(state: &State, runs: &[&Run]) {
    let mut expected: BTreeMap<Text, Amounts> = BTreeMap::new();
    for run in runs {
        let sum = expected.entry(run.namespace.clone()).or_default();
        *sum = sum.plus(reserved(run));
    }
    for (namespace, account) in state.accounts() {
        assert!(account.is_sound(), "I11: {namespace}");
        let sum = expected.get(namespace).copied().unwrap_or_default();
        assert_eq!(account.reserved(), sum, "I11: `{namespace}` reserves");
    }
}

fn audit_authority(run: &Run) {
    let Some(admission) = &run.admission else { return };
    for (outer, inner) in admission.authorities.iter().zip(admission.authorities.iter().skip(1)) {
        assert!(inner.is_within(outer), "I12");
    }
}

fn audit_tokens(state: &State, runs: &[&Run], open: &BTreeSet<PtId>) {
    let fleet = state.fleet();
    let mut by_agent: BTreeMap<u32, u32> = BTreeMap::new();
    let mut by_stack: BTreeMap<u32, u32> = BTreeMap::new();
    let mut tokens = BTreeSet::new();
    for run in runs {
        for (task, it) in tasks(run) {
            let Some(active) = it.active.as_ref().filter(|it| it.epoch == state.epoch()) else {
                continue;
            };
            tokens.insert(PtId { run: run.id, task, fence: active.fence });
            *by_agent.entry(active.agent.0).or_default() += 1;
            *by_stack.entry(fleet.stack(active.agent).unwrap().0).or_default() += 1;
        }
    }
    assert_eq!(&tokens, open, "tokens in use are those that agents hold");
    assert_eq!(fleet.in_use() as usize, tokens.len(), "I19");
    for (stack, (capacity, in_use)) in (0u32..).zip(fleet.pools()) {
        let members = fleet.members(ark_os_core::ids::StackIx(stack));
        assert_eq!(capacity, members.map(|ix| fleet.concurrency_of(ix)).sum::<u32>(), "I19");
        assert_eq!(in_use, by_stack.get(&stack).copied().unwrap_or(0), "I19: stack {stack}");
        assert!(in_use <= capacity, "I19");
    }
    for ix in 0..fleet.len() {
        let agent = ark_os_core::ids::AgentIx(ix);
        let row = fleet.agent(agent).unwrap();
        assert_eq!(row.busy, by_agent.get(&ix).copied().unwrap_or(0), "agent {ix}");
        assert!(row.busy <= fleet.concurrency_of(agent));
        assert!(row.busy > 0 || row.standing != Standing::Draining, "agent {ix} is not gone");
    }
}

fn audit_queue(state: &State, runs: &[&Run]) {
    let mut lines = BTreeMap::new();
    for skill in state.queue().skills() {
        for (turn, who) in state.queue().line(skill) {
            assert!(lines.insert(who, (skill, turn)).is_none(), "{who:?} is twice in line");
        }
    }
    assert_eq!(lines.len(), state.queue().len());
    for (id, skill, turn, who) in audit_limits(state, runs) {
        assert!(
            lines.insert(who, (skill, turn)).is_none(),
            "{who:?} is held by {id:?} and offered"
        );
    }
    for run in runs {
        for (task, it) in tasks(run) {
            let entry = lines.remove(&(run.id, task));
            let turn = it.turn.map(|turn| (run.skill(task.node).unwrap(), turn));
            assert_eq!(entry, turn, "{} {task} in line", run.id);
            let wants = match &it.fan {
                None => it.state == TaskState::Ready,
                Some(fan) => {
                    it.state == TaskState::Running
                        && fan.next < fan.total()
                        && run.map_room(task.node) > 0
                }
            };
            let stands = wants && !run.paused && run.phase == Phase::Running;
            if !state.is_interrupted(run.id) {
                assert_eq!(it.turn.is_some(), stands, "{} {task} in line: {it:#?}", run.id);
            }
        }
    }
    assert!(lines.is_empty(), "nobody behind a place in line: {lines:?}");
}

/// Under each limit as many are counted as are at work, and of those in line the first may begin.
/// The answer is who may not.
fn audit_limits(state: &State, runs: &[&Run]) -> Vec<(LimitId, SkillIx, Turn, Waiter)> {
    let mut in_use: BTreeMap<LimitId, u32> = BTreeMap::new();
    let mut waiters: BTreeMap<(LimitId, SkillIx), BTreeMap<Turn, Waiter>> = BTreeMap::new();
    for run in runs {
        for (task, it) in tasks(run) {
            let Some(id) = run.limit_id(task.node) else { continue };
            if it.active.is_some() {
                *in_use.entry(id.clone()).or_default() += 1;
            }
            if let Some(turn) = it.turn {
                let skill = run.skill(task.node).unwrap();
                waiters.entry((id, skill)).or_default().insert(turn, (run.id, task));
            }
        }
    }
    let mut held = Vec::new();
    for ((id, skill), line) in waiters {
        let limit = state.limits().find(&id).unwrap();
        let is_held = |turn: &&Turn| limit.is_held(skill, **turn);
        let may = line.keys().filter(|turn| !limit.is_held(skill, **turn)).count();
        assert_eq!(may, limit.room().min(line.len()), "{id:?} keeps somebody out: {limit:?}");
        let first = line.keys().find(is_held);
        assert!(
            first.is_none_or(|first| line.range(first..).all(|it| is_held(&it.0))),
            "{limit:?}"
        );
        held.extend(
            line.iter()
                .filter(|it| is_held(&it.0))
                .map(|(turn, who)| (id.clone(), skill, *turn, *who)),
        );
    }
    for (id, limit) in state.limits().iter() {
        assert_eq!(limit.in_use(), in_use.remove(id).unwrap_or(0), "{id:?}");
        assert!(limit.at_once().is_none_or(|most| limit.in_use() <= most), "{id:?}: {limit:?}");
        let most = limit.rate().map_or(0, |rate| rate.count as usize);
        assert!(limit.begun() <= most, "{id:?}: {limit:?}");
    }
    assert!(in_use.is_empty(), "nobody counts these: {in_use:?}");
    let count: usize = state.limits().iter().map(|(_, limit)| limit.held()).sum();
    assert_eq!(count, held.len(), "nobody stands behind a place in line of a key");
    held
}

fn timers_of(run: &Run, state: &State) -> Vec<(Time, Timer)> {
    let mut due = Vec::new();
    if run.is_over() {
        return due;
    }
    due.extend(run.deadline.map(|at| (at, Timer::RunDeadline(run.id))));
    for (task, it) in tasks(run) {
        let deadline = run.spec(task.node).unwrap().deadline_ms;
        if let Some(ms) = deadline
            && it.ready_at != Time::NEVER
            && task.child.is_none()
            && !it.state.is_over()
        {
            due.push((it.ready_at.plus(ms), Timer::TaskDeadline(run.id, task.node)));
        }
        if it.state == TaskState::Waiting {
            due.push((it.retry_at, Timer::Retry(run.id, task)));
        }
        if let Some(active) = it.active.as_ref().filter(|it| it.epoch == state.epoch()) {
            due.push((active.timer, Timer::Attempt(run.id, task, active.fence)));
        }
    }
    due
}

fn audit_timers(state: &State, runs: &[&Run]) {
    let mut allowed: BTreeSet<(Time, Timer)> = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for run in runs {
        let due = timers_of(run, state);
        if !state.is_interrupted(run.id) {
            needed.extend(due.iter().copied());
        }
        allowed.extend(due);
    }
    let actual: BTreeSet<(Time, Timer)> = state.timers().iter().collect();
    let mut back = BTreeSet::new();
    for (_, timer) in &actual {
        if let Timer::AgentBack(agent) = timer {
            assert!(back.insert(agent.0), "an agent is back twice");
        }
    }
    for ix in 0..state.fleet().len() {
        let row = state.fleet().agent(ark_os_core::ids::AgentIx(ix)).unwrap();
        let pauses = matches!(row.standing, Standing::Restarting | Standing::Replaced);
        // One that a measure quarantines is back when that is over.
        let may_pause = row.standing == Standing::Quarantined;
        assert!(back.contains(&ix) == pauses || may_pause, "agent {ix}");
    }
    let under_way = state.deployments().under_way();
    let of_deployment = under_way.map(|it| (it.deadline, Timer::Deployment(it.deployment.version)));
    needed.extend(of_deployment);
    allowed.extend(of_deployment);
    let supervision = state.supervision();
    let escalated = supervision.open().map(|it| (it.deadline, Timer::Escalation(it.id)));
    let measured = supervision.measures().map(|it| (it.until, Timer::Measure(it.id)));
    for (at, timer) in escalated.chain(measured) {
        // A remedy is looked at before the deadline.
        let is_timed = actual.iter().any(|(due, it)| *it == timer && *due <= at);
        assert!(is_timed || at == Time::NEVER, "nothing will wake {timer:?}");
    }
    let of_supervision = |timer: &Timer| match timer {
        Timer::Tell(_) => true,
        Timer::Escalation(id) => supervision.open().any(|it| it.id == *id),
        Timer::Measure(id) => supervision.measure(*id).is_some(),
        _ => false,
    };
    allowed.extend(actual.iter().filter(|(_, timer)| of_supervision(timer)).copied());
    let is_of_run = |timer: &Timer| !matches!(timer, Timer::AgentBack(_) | Timer::Limit(_));
    let keys = actual.iter().filter(|(_, timer)| matches!(timer, Timer::Limit(_))).count();
    let rates = state.limits().iter().filter(|(_, limit)| limit.begun() > 0).count();
    assert_eq!(keys, rates, "each key that counts beginnings is looked at again");
    let of_runs: BTreeSet<(Time, Timer)> =
        actual.into_iter().filter(|(_, timer)| is_of_run(timer)).collect();
    needed.retain(|(at, _)| *at != Time::NEVER);
    let missing: Vec<_> = needed.difference(&of_runs).collect();
    assert!(missing.is_empty(), "nothing will wake these: {missing:?}");
    let stray: Vec<_> = of_runs.difference(&allowed).collect();
    assert!(stray.is_empty(), "timers of nothing alive: {stray:?}");
}
