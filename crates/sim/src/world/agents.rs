//! Agents: most do their work; others hang, die, lie, loop, come late or answer with garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, SkillIx};
use ark_os_core::manifest::parse_added;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Shape};
use ark_os_core::step::{StepKey, StepOutcome};
use ark_os_runtime::data;
use ark_os_runtime::kernel::Input;
use serde_json::json;

use super::clients::Reply;
use super::{Due, World};
use crate::bug::Bug;
use crate::fault_kinds::FaultKind;
use crate::plans::{self, LIST_MAX};
use crate::subject::OUTPUT_INVALID;
use crate::violation::{Check, ensure};

/// An agent that takes long renews its lease this often, in microseconds.
const RENEW_EVERY: u64 = 3_300_000;
/// Bytes of an output that has to become a blob.
const LARGE_OUTPUT: usize = 17_000;
/// Steps of an agent that goes in circles.
const CIRCLES: u32 = 6;

/// An effect that starts an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) pt: PtId,
    pub(super) agent: AgentIx,
    pub(super) skill: SkillIx,
    pub(super) class: EffectClass,
    pub(super) seq: u64,
}

/// How an agent goes about its attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Works,
    FailsRetryably,
    FailsForGood,
    AnswersGarbage,
    /// Does nothing more at some point, and renews nothing.
    Hangs,
    /// Its host sees it die at some point.
    Dies,
    /// Hangs, and presents its result long after its lease.
    ComesLate,
    /// Presents its result under somebody else's token first.
    Steals,
    FinishesTwice,
    /// Reports progress that is none.
    Pretends,
    /// Reports real progress, then works.
    Reports,
    /// Does the same step again and again.
    Circles,
    /// Says that it used more than was reserved.
    Overspends,
    /// Takes long and renews its lease.
    TakesLong,
    /// Does not listen when it is told to stop.
    IsDeaf,
}

impl Manner {
    /// The fault that it is; none: none.
    fn fault(self) -> Option<(FaultKind, &'static str)> {
        Some(match self {
            Manner::Works | Manner::Reports => return None,
            Manner::FailsRetryably => (FaultKind::Agent, "an agent fails, and may be tried again"),
            Manner::FailsForGood => (FaultKind::Agent, "an agent fails for good"),
            Manner::AnswersGarbage => (FaultKind::Agent, "an agent answers with garbage"),
            Manner::Hangs => (FaultKind::Agent, "an agent hangs"),
            Manner::Dies => (FaultKind::Agent, "an agent dies"),
            Manner::Steals => (FaultKind::Agent, "an agent works under the token of another"),
            Manner::Pretends => (FaultKind::Agent, "an agent pretends progress"),
            Manner::Circles => (FaultKind::Agent, "an agent goes in circles"),
            Manner::Overspends => (FaultKind::Agent, "an agent uses more than it may"),
            Manner::TakesLong => (FaultKind::Slow, "an agent takes long"),
            Manner::ComesLate => (FaultKind::Zombie, "an agent comes after its lease"),
            Manner::IsDeaf => (FaultKind::Zombie, "an agent does not stop"),
            Manner::FinishesTwice => (FaultKind::Duplicate, "a result comes twice"),
        })
    }
}

const MANNERS: [(Manner, u64); 14] = [
    (Manner::FailsRetryably, 5),
    (Manner::FailsForGood, 2),
    (Manner::AnswersGarbage, 3),
    (Manner::Hangs, 4),
    (Manner::Dies, 4),
    (Manner::ComesLate, 3),
    (Manner::Steals, 2),
    (Manner::FinishesTwice, 2),
    (Manner::Pretends, 1),
    (Manner::Reports, 2),
    (Manner::Circles, 1),
    (Manner::Overspends, 1),
    (Manner::TakesLong, 2),
    (Manner::IsDeaf, 2),
];

/// What an agent does next.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// The next step, or the end.
    GoOn,
    /// The effect of a step.
    Perform(StepKey),
    /// The question whether a step happened that an earlier attempt left open.
    Probe(StepKey),
    /// The outcome of a step.
    Settle(StepKey, StepOutcome),
    /// The lease.
    Renew,
    /// A partial proof, and so many more after it.
    Report(u32),
    /// The result, once more.
    Again(Box<FinishAttempt>),
}

/// An attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(super) pt: PtId,
    pub(super) agent: AgentIx,
    pub(super) class: EffectClass,
    pub(super) cause: u64,
    pub(super) input: Hash,
    pub(super) manner: Manner,
    /// The step at which a hanging or dying agent does so.
    pub(super) trip: u32,
    /// Steps done, and steps to do.
    pub(super) step: u32,
    pub(super) steps: u32,
    /// What its task's budget lets it use besides the call.
    pub(super) tokens: u64,
    /// The effect that is on its way.
    pub(super) on_its_way: Option<StepKey>,
    pub(super) is_stopped: bool,
    /// Whether it works on a thread of the process, so that a batch waits for it.
    on_thread: bool,
    /// What it presents if it does its work; none: something drawn.
    answer: Option<Result<Arc<[u8]>, Failure>>,
}

impl World {
    /// Whether pure attempts work on threads.
    pub(super) fn has_pure_work(&self) -> bool {
        self.attempts.values().any(|it| it.on_thread && it.class == EffectClass::Pure)
    }

    /// An attempt begins, if it has not been stopped already.
    pub(super) fn begin_attempt(&mut self, begun: Begun, inputs: &mut Vec<Input<Reply>>) -> Check {
        let Some(node) = &self.node else { return Ok(()) };
        let (state, pt) = (node.lp.state(), begun.pt);
        let Some(run) = state.run(pt.run) else { return Ok(()) };
        let active = run.task(pt.task).and_then(|task| task.active.as_ref());
        if active.is_none_or(|active| active.fence != pt.fence) {
            return Ok(());
        }
        self.check_worker(begun.agent)?;
        if begun.class != EffectClass::Pure {
            self.checker.begins(pt)?;
        }
        let info = state.fleet().skill_info(begun.skill);
        ensure(info.is_some(), "I8", || format!("`{pt}` needs a skill that is not there"))?;
        let spec = run.spec(pt.task.node);
        let tokens = spec.map_or(0, |spec| spec.budget.tokens);
        let input = data::input_of(run, pt.task, &node.payloads);
        if let Some(Shape::Reduce(_)) = spec.map(|spec| &spec.shape) {
            for item in data::items_of(run, pt.task.node) {
                let loaded = node.payloads.load(&item);
                let lost =
                    loaded.is_err_and(|error| error.kind() != ark_os_core::Kind::Unavailable);
                ensure(!lost, "I1", || format!("an item for `{pt}` is lost"))?;
            }
        }
        let known = input.as_ref().ok().map(|input| Arc::clone(&input.json));
        let answer = known.and_then(|input| self.answer_of(&begun, &input));
        let input = match input {
            Ok(input) => input.hash,
            Err(failure) => {
                ensure(&*failure.code != "payload_lost", "I1", || {
                    format!("input of `{pt}`: {failure:?}")
                })?;
                inputs.push(finish_failed(&begun, failure));
                return Ok(());
            }
        };
        let mut attempt = self.draw_attempt(begun, input, tokens);
        attempt.answer = answer;
        self.launch(attempt, inputs)
    }

    fn draw_attempt(&mut self, begun: Begun, input: Hash, tokens: u64) -> Attempt {
        let Begun { pt, agent, class, seq, .. } = begun;
        let is_bad = !self.is_calm && self.rng.per_mille(self.profile.bad_agents);
        let weights = MANNERS.map(|(_, weight)| weight);
        let manner = match is_bad {
            true => MANNERS.get(self.rng.weighted(&weights)).map_or(Manner::Works, |it| it.0),
            false => Manner::Works,
        };
        let is_met = manner.fault().is_none_or(|(kind, what)| self.may(kind, what));
        let manner = if is_met { manner } else { Manner::Works };
        let name = [&pt.run.to_bytes()[..], &pt.task.node.to_le_bytes()];
        // The same in every attempt, or nothing could be found again.
        let nature = Hash::of_parts(&name).draw();
        let is_poison = self.profile.has_poison && !self.is_calm && nature.is_multiple_of(7);
        let is_poison = is_poison && self.may(FaultKind::Agent, "an agent dies of its task");
        let manner = if is_poison { Manner::Dies } else { manner };
        let mut steps = 0;
        if class != EffectClass::Pure {
            steps = 1 + (nature / 7 % 3) as u32;
            if manner == Manner::Circles {
                steps = CIRCLES;
            }
        }
        let trip = self.rng.below(u64::from(steps) + 1) as u32;
        Attempt {
            pt,
            agent,
            class,
            cause: seq,
            input,
            manner,
            trip,
            step: 0,
            steps,
            tokens,
            on_its_way: None,
            is_stopped: false,
            on_thread: false,
            answer: None,
        }
    }

    fn launch(&mut self, mut attempt: Attempt, inputs: &mut Vec<Input<Reply>>) -> Check {
        let pt = attempt.pt;
        self.note(|| {
            format!("`{pt}` {:?} {:?} agent {}", attempt.class, attempt.manner, attempt.agent.0)
        });
        self.trace(pt.fence.0 ^ (attempt.manner as u64) << 32);
        let is_plain = matches!(attempt.manner, Manner::Works);
        // Somebody's own workflow is worked on slowly, or it would be over before anything breaks.
        let (at_once, slowly) = if self.subject.is_some() { (200, 500) } else { (600, 100) };
        if is_plain && attempt.steps == 0 && self.rng.per_mille(at_once) {
            // As quick skills do: the result is there at once.
            let finish = self.result(&attempt);
            let cause = attempt.cause;
            inputs.push(Input::Command { command: finish, cause, reply: None });
            return Ok(());
        }
        let slow = self.rng.per_mille(slowly);
        let wait = match attempt.manner {
            // Some just after their lease, when somebody else is at it.
            Manner::ComesLate if slow => self.rng.range(10_001_000, 40_000_000),
            Manner::ComesLate => self.rng.range(10_001_000, 10_300_000),
            Manner::TakesLong => self.rng.range(8_000_000, 25_000_000),
            _ if slow => self.rng.range(1_000, 3_000_000),
            _ => self.rng.range(10, 30_000),
        };
        attempt.on_thread = wait < 1_000;
        let reports = matches!(attempt.manner, Manner::Pretends | Manner::Reports);
        if attempt.manner == Manner::TakesLong {
            self.agent_after(RENEW_EVERY, pt, Move::Renew);
        }
        self.attempts.insert(pt, attempt);
        let first = if reports { Move::Report(5) } else { Move::GoOn };
        self.agent_after(wait, pt, first);
        Ok(())
    }

    pub(super) fn agent_after(&mut self, micros: u64, pt: PtId, step: Move) {
        let life = self.life;
        self.after(micros, Due::Agent { life, pt, step });
    }

    /// An attempt is told to stop; those that do not listen go on.
    pub(super) fn stop_attempt(&mut self, pt: PtId) {
        let Some(attempt) = self.attempts.get_mut(&pt) else { return };
        attempt.is_stopped = true;
        attempt.on_thread = false;
        if !matches!(attempt.manner, Manner::IsDeaf | Manner::ComesLate) {
            self.attempts.remove(&pt);
        }
    }

    pub(super) fn move_agent(&mut self, pt: PtId, step: Move) -> Check {
        if let Move::Again(finish) = step {
            self.send(Command::FinishAttempt(finish), 0, None);
            return Ok(());
        }
        let Some(attempt) = self.attempts.get(&pt).cloned() else { return Ok(()) };
        match step {
            Move::GoOn => self.go_on_with(&attempt),
            Move::Perform(key) => self.perform(&attempt, key),
            Move::Probe(key) => {
                self.probe(&attempt, key);
                Ok(())
            }
            Move::Settle(key, outcome) => {
                self.settle_step(&attempt, key, outcome);
                Ok(())
            }
            Move::Renew => {
                self.send(Command::RenewLease { pt, agent: attempt.agent }, 0, None);
                self.agent_after(RENEW_EVERY, pt, Move::Renew);
                Ok(())
            }
            Move::Report(left) => {
                self.report(&attempt, left);
                Ok(())
            }
            Move::Again(_) => Ok(()),
        }
    }

    fn report(&mut self, attempt: &Attempt, left: u32) {
        let real = attempt.manner == Manner::Reports;
        let checkpoint = real.then(|| Hash::of(&left.to_le_bytes()));
        let (pt, agent) = (attempt.pt, attempt.agent);
        self.send(Command::ReportProgress { pt, agent, checkpoint }, 0, None);
        let next = if left == 0 { Move::GoOn } else { Move::Report(left - 1) };
        self.agent_after(50_000, pt, next);
    }

    /// The next step, or the end, or what goes wrong instead.
    fn go_on_with(&mut self, attempt: &Attempt) -> Check {
        let pt = attempt.pt;
        if attempt.step >= attempt.trip {
            match attempt.manner {
                Manner::Hangs => return Ok(()),
                Manner::Dies => {
                    self.attempts.remove(&pt);
                    let reason = Failure::retryable("agent_died", "it died");
                    self.send(Command::LoseAttempt { pt, reason }, attempt.cause, None);
                    return Ok(());
                }
                _ => {}
            }
        }
        if attempt.step < attempt.steps && !attempt.is_stopped {
            self.intend(attempt);
            return Ok(());
        }
        self.finish(attempt);
        Ok(())
    }

    fn finish(&mut self, attempt: &Attempt) {
        let pt = attempt.pt;
        if attempt.manner == Manner::Steals
            && let Some(other) = self.attempts.values().find(|it| it.agent != attempt.agent)
            && let other = other.pt
            && let Command::FinishAttempt(mut stolen) = self.result(attempt)
        {
            stolen.pt = other;
            self.send(Command::FinishAttempt(stolen), 0, None);
        }
        self.attempts.remove(&pt);
        let command = self.result(attempt);
        let command = self.forge(command);
        if let (Manner::FinishesTwice, Command::FinishAttempt(finish)) = (attempt.manner, &command)
        {
            let again = Move::Again(finish.clone());
            self.agent_after(40, pt, again);
        }
        self.send(command, attempt.cause, None);
    }

    /// The planted bug: late work is presented under the token that is in use by now.
    pub(super) fn forge(&self, command: Command) -> Command {
        let (Command::FinishAttempt(mut finish), true, Some(node)) =
            (command.clone(), self.has(Bug::StaleFenceAccepted), &self.node)
        else {
            return command;
        };
        let run = node.lp.state().run(finish.pt.run);
        let active = run.and_then(|run| run.task(finish.pt.task)?.active.as_ref());
        if let Some(active) = active {
            finish.pt.fence = active.fence;
            finish.agent = active.agent;
        }
        Command::FinishAttempt(finish)
    }

    /// What an agent presents.
    pub(super) fn result(&mut self, attempt: &Attempt) -> Command {
        let pt = attempt.pt;
        let outcome = match attempt.manner {
            Manner::FailsRetryably => AttemptOutcome::Failed(Failure::retryable(
                "sim_failure",
                "a simulated agent failed",
            )),
            Manner::FailsForGood => AttemptOutcome::Failed(Failure::fatal(
                "sim_failure",
                "a simulated agent failed for good",
            )),
            Manner::AnswersGarbage => {
                AttemptOutcome::Refused(Failure::retryable(OUTPUT_INVALID, "garbage"))
            }
            _ => match &attempt.answer {
                None => self.output(pt),
                Some(Ok(output)) => self.present(pt, output.to_vec()),
                Some(Err(failure)) if *failure.code == *OUTPUT_INVALID => {
                    AttemptOutcome::Refused(failure.clone())
                }
                Some(Err(failure)) => AttemptOutcome::Failed(failure.clone()),
            },
        };
        let mut spent =
            Amounts { calls: 1, tokens: self.rng.below(attempt.tokens + 1), ..Amounts::ZERO };
        if attempt.manner == Manner::Overspends {
            spent.tokens = attempt.tokens + 1_000;
            self.checker.lies(pt.run);
        }
        let (agent, input, micros) = (attempt.agent, attempt.input, 1);
        let finish = FinishAttempt { pt, agent, outcome, input, spent, micros };
        Command::FinishAttempt(Box::new(finish))
    }

    /// An output that nobody else presents: it names the fence.
    fn output(&mut self, pt: PtId) -> AttemptOutcome {
        let length = if self.rng.per_mille(100) { LIST_MAX } else { 12 };
        let list: Vec<u64> = (0..self.rng.below(length)).collect();
        let pad = if self.rng.per_mille(30) { LARGE_OUTPUT } else { 0 };
        let output = json!({
            "ok": self.rng.per_mille(700), "fence": pt.fence.0, "node": pt.task.node,
            "list": list, "pad": "x".repeat(pad),
        });
        self.present(pt, output.to_string().into_bytes())
    }

    fn present(&mut self, pt: PtId, bytes: Vec<u8>) -> AttemptOutcome {
        let Some(node) = &self.node else {
            return AttemptOutcome::Failed(Failure::retryable("host_gone", "the host is gone"));
        };
        match node.payloads.save(bytes) {
            Ok(payload) => {
                self.checker.presents(pt, payload.hash());
                self.with_more(pt, payload)
            }
            Err(error) => {
                AttemptOutcome::Failed(Failure::retryable("blob_not_stored", error.to_string()))
            }
        }
    }

    /// An output, with tasks that it adds where the task may.
    fn with_more(&mut self, pt: PtId, output: Payload) -> AttemptOutcome {
        let blobs = Vec::new();
        let run = self.node.as_ref().and_then(|node| node.lp.state().run(pt.run));
        let plan = run.filter(|run| run.spec(pt.task.node).is_some_and(|it| it.expands.is_some()));
        let Some(plan) = plan.map(|run| run.workflow.clone()) else {
            return AttemptOutcome::Succeeded { output, blobs };
        };
        let more = plans::added(&mut self.flow, &format!("more-{}", pt.fence.0));
        match parse_added(&more, &plan, pt.task.node, &plans::catalogue()) {
            Ok(tasks) => {
                let base = plan.tasks.len() as u32;
                AttemptOutcome::Expanded { output, blobs, tasks, base }
            }
            Err(findings) => {
                let first = findings.as_slice().first().map(|it| it.message.clone());
                let message = first.unwrap_or_default();
                AttemptOutcome::Refused(Failure::retryable("tasks_refused", message))
            }
        }
    }

    /// The process died with its agents; some that live elsewhere still present their results.
    pub(super) fn leave_ghosts(&mut self) {
        let attempts: BTreeMap<PtId, Attempt> = std::mem::take(&mut self.attempts);
        for (pt, attempt) in attempts {
            self.leave_on_its_way(&attempt);
            if attempt.class == EffectClass::Pure || !self.rng.per_mille(150) {
                continue;
            }
            if !self.may(FaultKind::Zombie, "an agent of a dead process presents its result") {
                continue;
            }
            let output = Payload::inline(format!("{{\"ghost\":{}}}", pt.fence.0).into_bytes());
            self.checker.presents(pt, output.hash());
            let finish = FinishAttempt {
                pt,
                agent: attempt.agent,
                outcome: AttemptOutcome::Succeeded { output, blobs: Vec::new() },
                input: attempt.input,
                spent: Amounts { calls: 1, ..Amounts::ZERO },
                micros: 1,
            };
            let command = Command::FinishAttempt(Box::new(finish));
            let late = self.rng.range(10_000, 20_000_000);
            self.after(late, Due::Ghost(Box::new(command)));
        }
    }

    /// Whether the skill of an attempt is of this class, as the instance was told.
    pub(super) fn declared_class(&self, class: EffectClass) -> EffectClass {
        let known = plans::SKILLS.iter().any(|(_, known, _)| *known == class);
        // The planted bug: everything may be repeated.
        if known && self.has(Bug::DoubtRepeated) { EffectClass::Idempotent } else { class }
    }
}

/// The end of an attempt that could not even begin.
fn finish_failed(begun: &Begun, failure: Failure) -> Input<Reply> {
    let finish = FinishAttempt {
        pt: begun.pt,
        agent: begun.agent,
        outcome: AttemptOutcome::Failed(failure),
        input: Hash::ZERO,
        spent: Amounts::ZERO,
        micros: 0,
    };
    let command = Command::FinishAttempt(Box::new(finish));
    Input::Command { command, cause: begun.seq, reply: None }
}
