//! Effects into work: attempts assembled and begun, waits, preparations, gatherings.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use ark_os_core::command::{AttemptOutcome, FinishAttempt};
use ark_os_core::effect::Effect;
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, SkillIx};
use ark_os_core::limits::INLINE_BYTES_MAX;
use ark_os_core::plan::Shape;
use ark_os_core::run::Run;
use ark_os_core::text::Text;
use ark_os_core::{Command, State};
use rustc_hash::FxHashMap;

use crate::RuntimeError;
use crate::data::{self, Payloads};
use crate::deployment::Outfit;
use crate::driver::evaluator::{Evaluator, is_heavy};
use crate::driver::fetcher::Fetcher;
use crate::driver::remote::{RemoteAttempts, absent};
use crate::kernel::{Input, Loop};
use crate::remote::{Remotes, Work, Worker};
use crate::reply::Reply;
use crate::skills::{Cost, Skill, SkillSet};
use crate::workers::{Assignment, Caught, Shop, Stop, Workers, delay_of, work};

/// Attempts under way in this process, and everything that begins them.
pub(crate) struct Attempts {
    skills: Arc<SkillSet>,
    /// What declared groups do.
    outfit: Arc<Outfit>,
    shop: Arc<Shop>,
    workers: Workers,
    remote: RemoteAttempts,
    /// Attempts that wait or work on a thread.
    running: FxHashMap<PtId, Running>,
    /// What is due when: the end of a wait, a renewal, the end of a stopped attempt's patience.
    dues: BinaryHeap<Reverse<(Instant, u64, PtId)>>,
    due_order: u64,
    /// When attempts in line for a thread renew their leases: nobody else does it for them.
    renewal: Instant,
    /// Pure attempts on threads: the batch waits for them a little.
    internal: usize,
    evaluator: Evaluator,
    fetcher: Fetcher,
}

struct Running {
    assignment: Assignment,
    phase: Phase,
    pure: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until then it holds no thread.
    Waits(Instant),
    /// In line for a worker thread, or on one.
    Works,
    /// Told to stop and not back yet.
    Stopped,
    /// Back before it was told to stop: its outcome is on the way and means nothing any more.
    Overtaken,
}

impl Attempts {
    pub(crate) fn new(
        (skills, outfit): (Arc<SkillSet>, Arc<Outfit>),
        remotes: Arc<Remotes>,
        shop: Arc<Shop>,
        workers: Workers,
        fetcher: Fetcher,
    ) -> Self {
        let renewal = shop.clock.instant();
        let evaluator = Evaluator::new(shop.to_loop.clone());
        Attempts {
            skills,
            outfit,
            shop,
            workers,
            remote: RemoteAttempts::new(remotes, renewal),
            running: FxHashMap::default(),
            dues: BinaryHeap::new(),
            due_order: 0,
            renewal,
            internal: 0,
            evaluator,
            fetcher,
        }
    }

    /// Pure attempts on threads.
    pub(crate) fn internal_in_flight(&self) -> usize {
        self.internal
    }

    /// Begins an effect; what comes of it at once is added to `inputs`.
    pub(crate) fn begin(
        &mut self,
        lp: &Loop<Reply>,
        seq: u64,
        effect: &Effect,
        inputs: &mut Vec<Input<Reply>>,
    ) -> Result<(), RuntimeError> {
        let state = lp.state();
        match *effect {
            Effect::RunAttempt { pt, agent, skill, attempt, .. } => {
                self.attempt(state, Begun { pt, agent, skill, attempt, seq }, inputs);
            }
            Effect::StopAttempt { pt } => {
                if !self.remote.stop(state, pt) {
                    self.stop_attempt(pt);
                }
            }
            Effect::Prepare { run, node, generation } => {
                let Some(it) = state.run(run) else { return Ok(()) };
                self.evaluate(it, inputs, move |it, payloads| {
                    let result = data::prepare(it, node, payloads);
                    let command = Command::FinishPreparation { run, node, generation, result };
                    Input::Command { command, cause: seq, reply: None }
                })?;
            }
            Effect::Gather { run, generation } => {
                let Some(it) = state.run(run) else { return Ok(()) };
                self.evaluate(it, inputs, move |it, payloads| {
                    let result = data::gather(it, payloads);
                    let command = Command::FinishGathering { run, generation, result };
                    Input::Command { command, cause: seq, reply: None }
                })?;
            }
            Effect::CheckHealth { version, layer } => {
                let check = super::deployments::Check { version, layer, seq };
                inputs.extend(check.begin(state, &self.outfit, &self.shop.to_loop));
            }
            Effect::EndDeployment { .. } => {
                self.outfit.end(state);
                self.remote.follow(state);
            }
            Effect::FetchRuns { ref runs } => self.fetcher.fetch(runs.clone())?,
            // The loop has told who waits.
            Effect::AnnounceRun { .. } => {}
        }
        Ok(())
    }

    /// Looks at a run's data: at once if there is little, else on a thread of its own.
    fn evaluate(
        &mut self,
        run: &Run,
        inputs: &mut Vec<Input<Reply>>,
        look: impl FnOnce(&Run, &Payloads) -> Input<Reply> + Send + 'static,
    ) -> Result<(), RuntimeError> {
        if !is_heavy(run) {
            inputs.push(look(run, &self.shop.payloads));
            return Ok(());
        }
        let (run, payloads) = (run.clone(), self.shop.payloads.clone());
        self.evaluator.evaluate(Box::new(move || look(&run, &payloads)))
    }

    fn attempt(&mut self, state: &State, begun: Begun, inputs: &mut Vec<Input<Reply>>) {
        if state.fleet().is_joined(begun.agent) {
            return self.remote_attempt(state, begun, inputs);
        }
        match self.assemble(state, &begun) {
            Ok(Some(assignment)) => self.start(assignment, inputs),
            Ok(None) => {}
            Err(failure) => inputs.push(finish(&begun, failure)),
        }
    }

    /// What an attempt needs; none: it was stopped before it began.
    fn assemble(&self, state: &State, begun: &Begun) -> Result<Option<Assignment>, Failure> {
        let pt = begun.pt;
        let Some(run) = state.run(pt.run) else { return Ok(None) };
        let active = run.task(pt.task).and_then(|task| task.active.as_ref());
        if active.is_none_or(|active| active.fence != pt.fence) {
            return Ok(None);
        }
        let skill = self
            .skill(state, begun)
            .ok_or_else(|| Failure::fatal("unknown_skill", "the skill is not on offer any more"))?;
        let input = data::input_of(run, pt.task, &self.shop.payloads)?;
        let spec = run.spec(pt.task.node);
        let items = match spec.map(|spec| &spec.shape) {
            Some(Shape::Reduce(_)) => data::items_of(run, pt.task.node),
            _ => Vec::new(),
        };
        Ok(Some(Assignment {
            pt,
            agent: begun.agent,
            attempt: begun.attempt,
            layer: state.fleet().layer(begun.agent),
            skill,
            input: input.json,
            input_hash: input.hash,
            items,
            output_schema: spec.and_then(|spec| spec.output_schema.clone()),
            expands: spec.and_then(|spec| spec.expands).map(|_| run.workflow.clone()),
            stop: Arc::new(Stop::default()),
            cause: begun.seq,
            admission: run.admission.clone(),
        }))
    }

    /// An attempt of a remote worker goes onto its desk.
    fn remote_attempt(&mut self, state: &State, begun: Begun, inputs: &mut Vec<Input<Reply>>) {
        let Some(worker) = self.remote.find(&state.fleet().name(begun.agent)) else {
            // Said to be silent first, or the core would give it the same again.
            let name = Text::from(state.fleet().name(begun.agent));
            return inputs.extend(absent(name, begun.pt));
        };
        match self.work_for(state, &begun, &worker) {
            Ok(Some(work)) => self.remote.assign(worker, work),
            Ok(None) => {}
            Err(failure) => inputs.push(finish(&begun, failure)),
        }
    }

    fn work_for(
        &self,
        state: &State,
        begun: &Begun,
        worker: &Worker,
    ) -> Result<Option<Work>, Failure> {
        let pt = begun.pt;
        let Some(run) = state.run(pt.run) else { return Ok(None) };
        let active = run.task(pt.task).and_then(|task| task.active.as_ref());
        let Some(active) = active.filter(|active| active.fence == pt.fence) else {
            return Ok(None);
        };
        let spec = run.spec(pt.task.node);
        if spec.is_some_and(|spec| spec.expands.is_some()) {
            let message = "a remote worker cannot add tasks to a run";
            return Err(Failure::fatal("tasks_refused", message));
        }
        let skill = state.fleet().skill_info(begun.skill);
        let skill = skill.and_then(|info| worker.skill(&info.name)).ok_or_else(|| {
            Failure::retryable("unknown_skill", "the worker does not offer the skill any more")
        })?;
        let input = data::input_of(run, pt.task, &self.shop.payloads)?;
        Ok(Some(Work {
            pt,
            agent: begun.agent,
            attempt: begun.attempt,
            skill: skill.clone(),
            input: input.json,
            input_hash: input.hash,
            output_schema: spec.and_then(|spec| spec.output_schema.clone()),
            deadline: active.timeout,
            lease_until: active.lease,
            cause: begun.seq,
        }))
    }

    /// What the agent does for the skill: its group's own way, or what everybody does.
    fn skill(&self, state: &State, begun: &Begun) -> Option<Arc<dyn Skill>> {
        let fleet = state.fleet();
        let name = &fleet.skill_info(begun.skill)?.name;
        let own = fleet.group_place(begun.agent).and_then(|group| self.outfit.skill(group, name));
        own.or_else(|| self.skills.find(name).cloned())
    }

    fn start(&mut self, assignment: Assignment, inputs: &mut Vec<Input<Reply>>) {
        let spec = assignment.skill.spec();
        let pure = spec.class == crate::skills::EffectClass::Pure;
        match (delay_of(&assignment), spec.cost) {
            (Some(delay), _) => {
                let now = self.shop.clock.instant();
                let (until, pt) = (now + delay, assignment.pt);
                self.running.insert(pt, Running { assignment, phase: Phase::Waits(until), pure });
                self.due(until.min(now + self.shop.renew_after()), pt);
            }
            (None, Cost::Tiny) if is_tiny(&assignment) => {
                inputs.push(work(&self.shop, &assignment));
            }
            (None, _) => self.hand_over(assignment, pure, inputs),
        }
    }

    fn hand_over(&mut self, assignment: Assignment, pure: bool, inputs: &mut Vec<Input<Reply>>) {
        if let Err(error) = self.workers.assign(assignment.clone()) {
            let failure = Failure::retryable(error.code(), error.to_string());
            return inputs.push(failed(&assignment, failure));
        }
        self.internal += usize::from(pure);
        self.running.insert(assignment.pt, Running { assignment, phase: Phase::Works, pure });
    }

    fn due(&mut self, at: Instant, pt: PtId) {
        self.due_order += 1;
        self.dues.push(Reverse((at, self.due_order, pt)));
    }

    /// When the next wait, renewal or patience ends.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let renewal = (!self.running.is_empty()).then_some(self.renewal);
        self.first_due().into_iter().chain(renewal).chain(self.remote.next_due()).min()
    }

    fn first_due(&self) -> Option<Instant> {
        self.dues.peek().map(|Reverse((at, ..))| *at)
    }

    /// Acts on what is due; what comes of it is added to `inputs`.
    pub(crate) fn act_on_due(&mut self, now: Instant, inputs: &mut Vec<Input<Reply>>) {
        self.renew_in_line(now, inputs);
        self.remote.act_on_due(now);
        while self.first_due().is_some_and(|at| at <= now) {
            let Some(Reverse((_, _, pt))) = self.dues.pop() else { return };
            let Some(running) = self.running.get(&pt) else { continue };
            match running.phase {
                Phase::Waits(until) if until <= now => self.end_wait(pt, inputs),
                Phase::Waits(until) => {
                    inputs.push(renewal(&running.assignment));
                    self.due(until.min(now + self.shop.renew_after()), pt);
                }
                Phase::Works | Phase::Overtaken => {}
                Phase::Stopped => self.give_up(pt),
            }
        }
    }

    /// An attempt that waits for a thread cannot renew its lease, and is not to blame.
    fn renew_in_line(&mut self, now: Instant, inputs: &mut Vec<Input<Reply>>) {
        if self.renewal > now {
            return;
        }
        self.renewal = now + self.shop.renew_after();
        let is_in_line = |it: &&Running| it.phase == Phase::Works && !it.assignment.stop.is_begun();
        let in_line = self.running.values().filter(is_in_line);
        inputs.extend(in_line.map(|running| renewal(&running.assignment)));
    }

    fn end_wait(&mut self, pt: PtId, inputs: &mut Vec<Input<Reply>>) {
        let Some(running) = self.running.remove(&pt) else { return };
        match running.assignment.skill.spec().cost {
            Cost::Tiny if is_tiny(&running.assignment) => {
                inputs.push(work(&self.shop, &running.assignment));
            }
            _ => self.hand_over(running.assignment, running.pure, inputs),
        }
    }

    fn stop_attempt(&mut self, pt: PtId) {
        let Some(running) = self.running.get_mut(&pt) else { return };
        let caught = running.assignment.stop.ask();
        match (running.phase, caught) {
            (Phase::Works, Caught::AtWork) => {
                running.phase = Phase::Stopped;
                let at = self.shop.clock.instant() + self.shop.stop_patience();
                self.due(at, pt);
            }
            (Phase::Works, Caught::Done) => running.phase = Phase::Overtaken,
            (Phase::Waits(_), _) => {
                self.running.remove(&pt);
            }
            (Phase::Works, Caught::InLine) => {
                self.internal -= usize::from(running.pure);
                self.running.remove(&pt);
            }
            (Phase::Stopped | Phase::Overtaken, _) => {}
        }
    }

    /// A stopped attempt does not come back: its thread is written off and another hired.
    fn give_up(&mut self, pt: PtId) {
        let Some(running) = self.running.remove(&pt) else { return };
        self.internal -= usize::from(running.pure);
        tracing::warn!(task_id = %pt, "an attempt does not stop; its thread is given up");
        if let Err(error) = self.workers.abandon(&running.assignment) {
            tracing::error!(error = %error, "no thread takes the place of one that hangs");
        }
    }

    /// An attempt on a thread lives or has come to its end; whether the loop is to hear of it.
    /// What an attempt says that crossed with its stop is no lie: nobody is struck for it. An
    /// output made after the stop was told is one.
    pub(crate) fn note(&mut self, input: &Input<Reply>) -> bool {
        let Input::Command { command, reply, .. } = input else { return true };
        if let Some(Reply::Remote(_)) = reply {
            if let Command::FinishAttempt(finish) = command {
                self.remote.end(&finish.pt);
            }
            return true;
        }
        let (pt, has_output) = match command {
            Command::RenewLease { pt, .. } | Command::ReportProgress { pt, .. } => {
                return self.is_working(pt);
            }
            // Who waits for the answer hears that there is none, and ends.
            Command::IntendStep(intent) => return self.is_working(&intent.pt),
            Command::ReportProbe { pt, .. } => return self.is_working(pt),
            Command::FinishAttempt(finish) => {
                (finish.pt, !matches!(finish.outcome, AttemptOutcome::Failed(_)))
            }
            Command::LoseAttempt { pt, .. } => {
                self.remote.end(pt);
                (*pt, false)
            }
            _ => return true,
        };
        let Some(running) = self.running.remove(&pt) else { return true };
        self.internal -= usize::from(running.pure);
        match running.phase {
            Phase::Overtaken => false,
            Phase::Stopped => has_output,
            Phase::Works | Phase::Waits(_) => true,
        }
    }

    fn is_working(&self, pt: &PtId) -> bool {
        self.running.get(pt).is_some_and(|it| it.phase == Phase::Works)
    }

    /// Everything is told to stop; threads that do not listen end with the process.
    pub(crate) fn stop(&mut self) {
        for running in self.running.values() {
            running.assignment.stop.ask();
        }
        self.workers.stop();
    }
}

/// Whether a tiny skill's work is tiny here: its output may be as large as its input, and a large one
/// has to be stored, and a schema of the task's own to be checked.
fn is_tiny(assignment: &Assignment) -> bool {
    assignment.input.len() <= INLINE_BYTES_MAX
        && assignment.output_schema.is_none()
        && assignment.expands.is_none()
}

/// An attempt that the core has started.
#[derive(Clone, Copy)]
struct Begun {
    pt: PtId,
    agent: AgentIx,
    skill: SkillIx,
    attempt: u32,
    seq: u64,
}

/// The host's word that an attempt lives on.
fn renewal(assignment: &Assignment) -> Input<Reply> {
    let command = Command::RenewLease { pt: assignment.pt, agent: assignment.agent };
    Input::Command { command, cause: 0, reply: None }
}

/// The end of an attempt that could not even begin.
fn finish(begun: &Begun, failure: Failure) -> Input<Reply> {
    unbegun((begun.pt, begun.agent, begun.seq), failure)
}

/// The end of an attempt for which there is no thread.
fn failed(assignment: &Assignment, failure: Failure) -> Input<Reply> {
    unbegun((assignment.pt, assignment.agent, assignment.cause), failure)
}

fn unbegun((pt, agent, cause): (PtId, AgentIx, u64), failure: Failure) -> Input<Reply> {
    let finish = FinishAttempt {
        pt,
        agent,
        outcome: AttemptOutcome::Failed(failure),
        input: Hash::ZERO,
        spent: ark_os_core::budget::Amounts::ZERO,
        micros: 0,
    };
    let command = Command::FinishAttempt(Box::new(finish));
    Input::Command { command, cause, reply: None }
}
