//! Clients and operators: submit, watch, cancel, pause, resume, retry, unpark, resolve, drain; and
//! remember what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ark_os_core::Command;
use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::command::{SendSignal, SubmitRun};
use ark_os_core::event::{Intake, Resolution, SubmissionKey};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, RunId, TaskId};
use ark_os_core::payload::Payload;
use ark_os_core::plan::Workflow;
use ark_os_core::priority::Priority;
use ark_os_core::rules::Mode;
use ark_os_core::run::TaskState;
use ark_os_core::settings_change::{LiveLimits, SettingsChanged};
use ark_os_core::step::StepStanding;
use ark_os_core::supervision::MeasureKind;
use ark_os_core::text::Text;
use ark_os_runtime::kernel::{Answer, Deliver, Input, Kernel, Recipient};
use serde_json::json;

use super::{Due, World};
use crate::bug::Bug;
use crate::plans::{self, LIST_MAX};
use crate::rng::Rng;
use crate::subject::{SUBJECT_RUNS, Subject};
use crate::violation::{Check, Violation, ensure};

/// Workflows that the clients of one world use.
const WORKFLOWS: u64 = 6;
/// Runs that they submit at most.
const RUNS_MAX: usize = 40;
const NAMESPACES: [&str; 2] = ["default", "other"];

/// Whom the loop answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// A client, about this operation.
    Client(u64),
    /// A client that waits for the end of a run.
    Over,
    /// An agent, about its step.
    Step(PtId),
}

/// An operation that was not answered yet.
impl Recipient for Reply {}

#[derive(Clone, Debug)]
enum Operation {
    Submit(Box<SubmitRun>),
    Cancel(RunId),
    Signal(Box<SendSignal>),
    /// A schedule is put, with this input.
    Schedule(Hash),
    /// A run of a schedule begins now.
    Run,
    Fork(RunId),
    /// Settings change to these limits.
    Settings(Box<LiveLimits>),
    Other,
}

pub(crate) struct Clients {
    workflows: Vec<Arc<Workflow>>,
    grants: [Arc<Grant>; 2],
    /// Operations that the present process has not answered.
    pending: BTreeMap<u64, Operation>,
    /// Submissions whose answer was lost, to be sent again under their key.
    lost: BTreeMap<u64, Box<SubmitRun>>,
    /// Submissions with a key that were answered, to be sent again out of mere doubt.
    answered: Vec<SubmitRun>,
    pub(super) runs: Vec<RunId>,
    next: u64,
    submitted: usize,
    /// What looks saw: the newest record at that time.
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Clients {
    pub(super) fn new(
        mut rng: Rng,
        mut waits: Option<&mut Rng>,
        mut far: Option<&mut Rng>,
    ) -> Result<Clients, Violation> {
        let catalogue = plans::catalogue();
        let mut before = Vec::new();
        let mut make = |number| {
            let chances = (waits.as_deref_mut(), far.as_deref_mut());
            plans::workflow(&mut rng, number, &catalogue, chances, &mut before)
        };
        let made: Result<Vec<_>, String> = (0..WORKFLOWS).map(&mut make).collect();
        let workflows = made.map_err(|error| Violation::new("simulator", error))?;
        let grant = |name: &str, scopes: &[&str]| {
            let scopes = Scopes::parse(scopes.iter().copied());
            let scopes = scopes.map_err(|error| Violation::new("simulator", error.to_string()))?;
            let id = RevocationId::derive(&[name.as_bytes()]);
            Ok(Arc::new(Grant::new(Authority::root(Text::from(name), scopes, id))))
        };
        let all = grant("operator", &["*", "effect:effectful"])?;
        let narrow = grant("guest", &["skill:pure.*", "skill:idem.*", "tool:*"])?;
        Ok(Clients {
            workflows,
            grants: [all, narrow],
            pending: BTreeMap::new(),
            lost: BTreeMap::new(),
            answered: Vec::new(),
            runs: Vec::new(),
            next: 0,
            submitted: 0,
            seen: Arc::default(),
        })
    }

    /// From now on nobody runs anything but this.
    pub(super) fn only_run(&mut self, subject: &Subject) {
        self.workflows = vec![subject.workflow.clone()];
    }

    /// What everybody of the operators may do.
    pub(super) fn operator(&self) -> Arc<Grant> {
        let [operator, _] = &self.grants;
        operator.clone()
    }

    /// All workflows.
    pub(super) fn workflows(&self) -> Vec<Arc<Workflow>> {
        self.workflows.clone()
    }

    /// Workflows to be run by name: one or none.
    pub(super) fn some_workflow(&self, rng: &mut Rng) -> Vec<Arc<Workflow>> {
        let one = rng.per_mille(500).then(|| rng.pick(&self.workflows).cloned());
        one.flatten().into_iter().collect()
    }

    /// Whether a submission was answered that may be sent again.
    pub(super) fn has_answered(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Operations that wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len() + self.lost.len()
    }
}

impl World {
    /// A client does something, and the next act has its time.
    pub(super) fn act(&mut self) -> Check {
        if self.is_calm {
            return Ok(());
        }
        let pause = self.rng.range(1, self.profile.act_ms * 2_000);
        self.after(pause, Due::Client);
        if self.node.is_none() {
            return Ok(());
        }
        if self.subject.is_some() {
            self.act_on_subject();
            return Ok(());
        }
        self.change_settings();
        match self.rng.weighted(&[30, 6, 4, 6, 5, 5, 8, 6, 5, 2, 3, 3, 1, 4, 6, 1, 2, 2]) {
            0 => self.submit(),
            1 => self.cancel()?,
            2 => self.on_some_run(|run| Command::PauseRun { run, reason: "sim".into() }),
            3 => self.on_some_run(|run| Command::ResumeRun { run, reason: "sim".into() }),
            4 => {
                let task = self.rng.per_mille(500).then(|| self.rng.below(6) as u32);
                self.on_some_run(|run| Command::RetryRun { run, task, reason: "sim".into() });
            }
            5 => self.unpark(),
            6 => self.resolve(),
            7 => self.watch(),
            8 => self.set_agent(),
            9 => self.drain(),
            10 => self.look(),
            11 => self.submit_once_more(),
            12 => self.revoke(),
            13 => self.scale(),
            14 => self.deploy(),
            15 => self.cancel_deployment(),
            16 => self.take_or_lift(),
            _ => self.answer_escalation(),
        }
        Ok(())
    }

    /// A signal is sent, and its answer is waited for.
    pub(super) fn ask_signal(&mut self, signal: SendSignal) -> Reply {
        self.ask(Operation::Signal(Box::new(signal)))
    }

    /// A cancellation is asked for.
    pub(super) fn ask_cancel(&mut self, run: RunId) -> Reply {
        self.ask(Operation::Cancel(run))
    }

    /// A schedule is put that is told from others by its input.
    pub(super) fn ask_schedule(&mut self, input: Hash) -> Reply {
        self.ask(Operation::Schedule(input))
    }

    /// A run is asked for whose id nobody knows yet.
    pub(super) fn ask_run(&mut self) -> Reply {
        self.ask(Operation::Run)
    }

    /// Somebody changes settings.
    pub(super) fn change(&mut self, mut changed: SettingsChanged) {
        self.note(|| format!("client: {changed:?}"));
        let reply = self.ask(Operation::Settings(Box::new(changed.limits.clone())));
        if self.has(Bug::SettingsForgotten) {
            changed.limits = LiveLimits::default();
        }
        self.send(Command::ChangeSettings(Box::new(changed)), 0, Some(reply));
    }

    /// A fork is asked for.
    pub(super) fn ask_fork(&mut self, run: RunId) -> Reply {
        self.ask(Operation::Fork(run))
    }

    fn ask(&mut self, operation: Operation) -> Reply {
        self.clients.next += 1;
        let number = self.clients.next;
        self.clients.pending.insert(number, operation);
        Reply::Client(number)
    }

    pub(super) fn command(&mut self, command: Command) {
        self.note(|| format!("client: {command:?}"));
        let reply = self.ask(Operation::Other);
        self.send(command, 0, Some(reply));
    }

    fn some_run(&mut self) -> Option<RunId> {
        let runs = std::mem::take(&mut self.clients.runs);
        let picked = self.rng.pick(&runs).copied();
        self.clients.runs = runs;
        picked
    }

    fn on_some_run(&mut self, command: impl FnOnce(RunId) -> Command) {
        if let Some(run) = self.some_run() {
            self.command(command(run));
        }
    }

    pub(super) fn submit(&mut self) {
        let most = if self.subject.is_some() { SUBJECT_RUNS } else { RUNS_MAX };
        if self.clients.submitted >= most {
            return;
        }
        self.clients.submitted += 1;
        let Some(submission) = self.draw_submission() else { return };
        self.send_submission(submission);
    }

    fn draw_submission(&mut self) -> Option<Box<SubmitRun>> {
        if self.subject.is_some() {
            return self.submission_of_subject();
        }
        let length = if self.rng.per_mille(150) { LIST_MAX } else { 15 };
        let list: Vec<u64> = (0..self.rng.below(length)).collect();
        let input = json!({ "x": self.rng.below(9), "go": self.rng.per_mille(600), "list": list });
        let input = Payload::inline(input.to_string().into_bytes());
        let run = self.draw_run();
        let mut workflow = self.rng.pick(&self.clients.workflows).cloned()?;
        if self.has(Bug::LimitForgotten) {
            workflow = plans::unlimited(&workflow);
        }
        let guest = self.rng.per_mille(100);
        let [operator, narrow] = &self.clients.grants;
        let grant = if guest { narrow.clone() } else { operator.clone() };
        let namespace = Text::from(*self.rng.pick(&NAMESPACES)?);
        let deadline = self.rng.per_mille(100).then(|| self.rng.range(500, 60_000));
        let deadline = deadline.map(|ms| self.wall().plus(ms));
        let budget = Amounts {
            calls: self.rng.range(1, 30),
            steps: self.rng.range(1, 20),
            tokens: self.rng.range(100, 2_000),
            ..Amounts::UNLIMITED
        };
        let key = self.rng.per_mille(700).then(|| {
            let request = Hash::of_parts(&[&workflow.hash.0, &input.hash().0]);
            SubmissionKey { key: format!("{namespace}-{}", run.0 % 1_000_003).into(), request }
        });
        Some(Box::new(SubmitRun {
            run,
            namespace,
            workflow,
            input,
            grant,
            priority: *self.rng.pick(&Priority::ALL)?,
            deadline,
            start_at: None,
            budget: self.rng.per_mille(200).then_some(budget),
            seed: self.rng.draw(),
            key,
            parent: None,
        }))
    }

    /// An id as the process border draws it: ordered by time.
    pub(super) fn draw_run(&mut self) -> RunId {
        RunId(u128::from(self.wall().0) << 80 | u128::from(self.rng.draw()))
    }

    pub(super) fn send_submission(&mut self, submission: Box<SubmitRun>) {
        self.note(|| format!("client: submit {:?} {}", submission.run, submission.workflow.name));
        let accepted = Some(self.ask(Operation::Submit(submission.clone())));
        let mut submission = submission;
        if self.has(Bug::KeyForgotten) {
            submission.key = None;
        }
        let over = self.rng.per_mille(500).then_some(Reply::Over);
        self.input(Input::Submit { submission, accepted, over });
    }

    /// A submission whose answer was lost is sent again; the server draws another id for it.
    pub(super) fn submit_again(&mut self, number: u64) {
        if self.node.is_none() {
            return self.after(1_000_000, Due::Again(number));
        }
        let Some(mut submission) = self.clients.lost.remove(&number) else { return };
        submission.run = self.draw_run();
        self.send_submission(submission);
    }

    /// A client that was answered asks again all the same.
    pub(super) fn submit_once_more(&mut self) {
        let answered = std::mem::take(&mut self.clients.answered);
        let again = self.rng.pick(&answered).cloned();
        self.clients.answered = answered;
        if let Some(mut submission) = again {
            submission.run = self.draw_run();
            self.send_submission(Box::new(submission));
        }
    }

    fn cancel(&mut self) -> Check {
        let Some(run) = self.some_run() else { return Ok(()) };
        let command = Command::CancelRun { run, reason: "sim".into() };
        if self.has(Bug::CancelAcknowledgedEarly) {
            self.after(2_000_000, Due::Late(Box::new(command)));
            return self.checker.cancelled(run);
        }
        self.note(|| format!("client: cancel {run}"));
        let reply = self.ask_cancel(run);
        self.send(command, 0, Some(reply));
        Ok(())
    }

    /// Parked tasks that no effect keeps in doubt go back to work.
    pub(super) fn unpark(&mut self) {
        let Some(node) = &self.node else { return };
        let state = node.lp.state();
        let parked = state.run_ids().into_iter().flat_map(|id| {
            let tasks = state
                .run(id)
                .map(|run| run.live_tasks(|it| it.state == TaskState::Parked && !it.is_in_doubt()));
            tasks.unwrap_or_default().into_iter().map(move |task| TaskId { run: id, task })
        });
        for task in parked.collect::<Vec<_>>() {
            self.command(Command::UnparkTask { task, reason: "sim".into() });
        }
    }

    /// Somebody looks at the world and says what became of the steps in doubt.
    pub(super) fn resolve(&mut self) {
        let Some(node) = &self.node else { return };
        let state = node.lp.state();
        let mut doubts = Vec::new();
        for id in state.run_ids() {
            let Some(run) = state.run(id) else { continue };
            for task in run.live_tasks(ark_os_core::run::Task::is_in_doubt) {
                let steps = run.task(task).map(|it| it.steps.as_slice()).unwrap_or_default();
                let doubtful = steps.iter().filter(|step| step.standing == StepStanding::InDoubt);
                doubts.extend(doubtful.map(|step| (id, step.key)));
            }
        }
        for (run, key) in doubts {
            let resolution = match (self.sink.has_done(key), self.rng.per_mille(100)) {
                (_, true) => Resolution::GiveUp,
                (true, _) => Resolution::Happened(Payload::inline(&b"{\"done\":true}"[..])),
                (false, _) => Resolution::NotHappened,
            };
            self.counts.doubts += 1;
            self.command(Command::ResolveStep { run, key, resolution, reason: "sim".into() });
        }
    }

    pub(super) fn watch(&mut self) {
        if let Some(run) = self.some_run() {
            self.input(Input::Watch { run, over: Reply::Over });
        }
    }

    /// The instance drains, and after a while takes work again.
    fn drain(&mut self) {
        self.command(Command::SetIntake { intake: Intake::Draining, reason: "sim".into() });
        let open = Command::SetIntake { intake: Intake::Open, reason: "sim".into() };
        let wait = self.rng.range(1_000, 5_000_000);
        self.after(wait, Due::Late(Box::new(open)));
    }

    fn revoke(&mut self) {
        let [_, narrow] = &self.clients.grants;
        let Some(id) = narrow.authority().chain().first().copied() else { return };
        self.command(Command::Revoke { id, reason: "sim".into() });
    }

    /// CECCA takes an emergency measure, or somebody wants one lifted.
    fn take_or_lift(&mut self) {
        let Some(node) = &self.node else { return };
        let measure = node.lp.state().supervision().measures().next().map(|it| it.id);
        let seat = AgentIx(0);
        let by = self.rng.per_mille(500).then_some(seat);
        let command = match measure.filter(|_| self.rng.per_mille(400)) {
            Some(id) => Command::LiftMeasure { id, by, reason: "sim".into() },
            None => {
                let agent = AgentIx(self.rng.below(u64::from(self.profile.agents)) as u32);
                let name = node.lp.state().fleet().name(agent);
                let kind = match self.rng.below(6) {
                    0 => MeasureKind::Freeze,
                    1 => MeasureKind::Mode(Mode::Autonomous),
                    _ => MeasureKind::Quarantine(name.into()),
                };
                let lasts_ms = self.rng.range(100, 5_000);
                Command::TakeMeasure { kind, by, reason: "sim".into(), lasts_ms }
            }
        };
        self.command(command);
    }

    /// Somebody has seen what was escalated.
    fn answer_escalation(&mut self) {
        let Some(node) = &self.node else { return };
        let open = node.lp.state().supervision().open().next().map(|it| it.id);
        if let Some(id) = open {
            let (action, reason) = ("dismiss".into(), "sim".into());
            self.command(Command::ResolveEscalation { id, action, reason });
        }
    }

    /// A look sees the newest record; it is delivered when that is durable.
    pub(super) fn look(&mut self) {
        let seen = Arc::clone(&self.clients.seen);
        self.input(Input::Read(Box::new(move |kernel: &Kernel| {
            let newest = kernel.newest();
            let deliver: Deliver = Box::new(move || {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(newest);
            });
            deliver
        })));
    }

    pub(super) fn delivered(&mut self) -> Check {
        let seen =
            std::mem::take(&mut *self.clients.seen.lock().unwrap_or_else(PoisonError::into_inner));
        seen.into_iter().try_for_each(|newest| self.checker.delivered(newest))
    }

    /// The loop answers.
    pub(super) fn answered(&mut self, reply: Reply, answer: Answer) -> Check {
        match reply {
            Reply::Step(pt) => self.step_answered(pt, answer),
            Reply::Over => match answer {
                Answer::Over(summary) => self.checker.over(&summary),
                Answer::Rejected(_) | Answer::Gone(_) => Ok(()),
                other => Err(Violation::new("I18", format!("who waits for an end gets {other:?}"))),
            },
            Reply::Client(number) => {
                let operation = self.clients.pending.remove(&number);
                let operation = operation.ok_or_else(|| {
                    Violation::new("I18", format!("operation {number} is answered twice"))
                })?;
                self.operation_answered(operation, answer)
            }
        }
    }

    fn operation_answered(&mut self, operation: Operation, answer: Answer) -> Check {
        match (operation, answer) {
            (Operation::Submit(submission), Answer::Accepted { run, existing }) => {
                ensure(existing || run == submission.run, "I1", || {
                    format!("`{}` was submitted, `{run}` accepted", submission.run)
                })?;
                self.checker.accepted(run, submission.key.as_ref().map(|key| &key.key))?;
                self.clients.runs.push(run);
                if submission.key.is_some() {
                    self.clients.answered.push(*submission);
                }
                Ok(())
            }
            (Operation::Submit(submission), Answer::Rejected(_)) => {
                self.checker.refused(submission.run)
            }
            (Operation::Cancel(run), Answer::Done) => self.checker.cancelled(run),
            (Operation::Signal(signal), Answer::Done) => {
                self.counts.signals += 1;
                self.checker.signalled(signal.run, signal.payload.hash())
            }
            (Operation::Settings(limits), Answer::Done) => self.checker.settings_changed(&limits),
            (Operation::Schedule(input), Answer::Done) => self.checker.schedule_put(input),
            (Operation::Fork(asked), Answer::Accepted { run, existing: false }) if run == asked => {
                self.counts.forks += 1;
                self.checker.accepted(run, None)?;
                self.clients.runs.push(run);
                Ok(())
            }
            (Operation::Fork(run), Answer::Rejected(_)) => self.checker.refused(run),
            (Operation::Run, Answer::Accepted { run, .. }) => {
                self.checker.accepted(run, None)?;
                self.clients.runs.push(run);
                Ok(())
            }
            (Operation::Other, Answer::Done | Answer::Measured(_)) | (_, Answer::Rejected(_)) => {
                Ok(())
            }
            (operation, answer) => {
                Err(Violation::new("I18", format!("{operation:?} is answered by {answer:?}")))
            }
        }
    }

    /// The process died: nobody is answered any more. Submissions with a key are sent again.
    pub(super) fn clients_lost(&mut self) {
        let pending = std::mem::take(&mut self.clients.pending);
        for (number, operation) in pending {
            let submission = match operation {
                Operation::Submit(submission) => submission,
                Operation::Signal(signal) => {
                    self.lose_signal(signal);
                    continue;
                }
                _ => continue,
            };
            if submission.key.is_some() {
                self.clients.lost.insert(number, submission);
                let wait = self.rng.range(100_000, 6_000_000);
                self.after(wait, Due::Again(number));
            }
        }
        self.clients.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
