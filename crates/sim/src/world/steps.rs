//! Steps of agents with effects: intent, go-ahead, effect, outcome.

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt, IntendStep};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::PtId;
use ark_os_core::payload::Payload;
use ark_os_core::plan::EffectClass;
use ark_os_core::step::{Finding, StepKey, StepName, StepOutcome};
use ark_os_core::text::Text;
use ark_os_runtime::kernel::Answer;

use super::agents::{Attempt, Manner, Move};
use super::clients::Reply;
use super::{Due, World};
use crate::bug::Bug;
use crate::fault_kinds::FaultKind;
use crate::violation::Check;

/// What a step may cost, in millionths.
const STEP_COST_MICROS: u64 = 10;
/// How long an effect may be on its way outside after its process has died, in microseconds.
const SETTLE_AFTER: u64 = 2_000_000;
/// What agents call.
const TOOL: &str = "sink.put";

/// The canonical arguments of a step: those of an agent in circles are always the same.
fn arguments(attempt: &Attempt) -> Hash {
    match attempt.manner {
        Manner::Circles => Hash::of(b"circle"),
        _ => Hash::of(&attempt.step.to_le_bytes()),
    }
}

impl World {
    pub(super) fn intend(&mut self, attempt: &Attempt) {
        let reserve = Amounts { cost_micros: STEP_COST_MICROS, ..Amounts::ZERO };
        let reserve = if self.has(Bug::BudgetReservedAfter) { Amounts::ZERO } else { reserve };
        let intent = IntendStep {
            pt: attempt.pt,
            agent: attempt.agent,
            number: attempt.step,
            tool: Text::from(TOOL),
            arguments: arguments(attempt),
            class: self.declared_class(attempt.class),
            reserve,
        };
        if self.has(Bug::IntentForgotten)
            && let Some(key) = self.key_of(&intent)
        {
            self.agent_after(1, attempt.pt, Move::Perform(key));
        }
        let reply = Reply::Step(attempt.pt);
        self.send(Command::IntendStep(Box::new(intent)), attempt.cause, Some(reply));
    }

    fn key_of(&self, intent: &IntendStep) -> Option<StepKey> {
        let pt = intent.pt;
        let task = self.node.as_ref()?.lp.state().run(pt.run)?.task(pt.task)?;
        let name = StepName {
            run: pt.run,
            task: pt.task,
            generation: task.generation,
            number: intent.number,
            tool: TOOL,
            arguments: intent.arguments,
        };
        Some(name.key())
    }

    /// An agent is answered about its step.
    pub(super) fn step_answered(&mut self, pt: PtId, answer: Answer) -> Check {
        // The planted bug: nobody asks.
        let answer = match answer {
            Answer::Probe(key) if self.has(Bug::ProbeSkipped) => Answer::Intended(key),
            answer => answer,
        };
        if let Answer::Intended(key) = &answer {
            self.checker.goes_ahead(pt, *key)?;
        }
        let Some(attempt) = self.attempts.get_mut(&pt) else { return Ok(()) };
        match answer {
            Answer::Intended(_) if self.bug == Some(Bug::IntentForgotten) => {}
            Answer::Intended(key) => {
                attempt.on_its_way = Some(key);
                let wait = self.rng.range(5, 60_000);
                self.agent_after(wait, pt, Move::Perform(key));
            }
            Answer::Probe(key) => {
                let settle = if self.has(Bug::ProbeTooEarly) { 0 } else { SETTLE_AFTER };
                let wait = settle + self.rng.range(5, 60_000);
                self.agent_after(wait, pt, Move::Probe(key));
            }
            Answer::Recorded(..) | Answer::Done => {
                attempt.step += 1;
                let wait = self.rng.range(5, 20_000);
                self.agent_after(wait, pt, Move::GoOn);
            }
            Answer::Rejected(rejected) if rejected.kind() == ark_os_core::Kind::Conflict => {
                // Its token is gone, or its step is in doubt: there is nothing more for it to do.
                if rejected.code() == "step_in_doubt" {
                    self.give_up(pt, Failure::retryable(rejected.code(), "in doubt"));
                } else {
                    self.attempts.remove(&pt);
                }
            }
            Answer::Rejected(rejected) => {
                self.give_up(pt, Failure::fatal(rejected.code(), rejected.to_string()));
            }
            _ => {}
        }
        Ok(())
    }

    fn give_up(&mut self, pt: PtId, failure: Failure) {
        let Some(attempt) = self.attempts.remove(&pt) else { return };
        let finish = FinishAttempt {
            pt,
            agent: attempt.agent,
            outcome: AttemptOutcome::Failed(failure),
            input: attempt.input,
            spent: Amounts { calls: 1, ..Amounts::ZERO },
            micros: 1,
        };
        self.send(Command::FinishAttempt(Box::new(finish)), attempt.cause, None);
    }

    /// The world outside is asked whether an effect happened. Now and then it cannot be reached, and
    /// the next attempt asks again; now and then it cannot tell.
    pub(super) fn probe(&mut self, attempt: &Attempt, key: StepKey) {
        let (pt, agent) = (attempt.pt, attempt.agent);
        if attempt.is_stopped {
            return;
        }
        let mood = if self.is_calm { 1_000 } else { self.rng.below(1_000) };
        let finding = match mood {
            0..100 if self.may(FaultKind::Agent, "the world cannot be asked") => {
                self.note(|| format!("`{pt}` cannot reach the sink of {}", key.0));
                return self.give_up(pt, Failure::retryable("sink_unreachable", "not now"));
            }
            100..130 => Finding::Unknown,
            _ if self.sink.has_done(key) => {
                Finding::Happened(Payload::inline(&b"{\"done\":true}"[..]))
            }
            _ => Finding::NotHappened,
        };
        self.counts.probes += 1;
        self.note(|| format!("`{pt}` asks about {}: {finding:?}", key.0));
        let command = Command::ReportProbe { pt, agent, key, finding };
        self.send(command, attempt.cause, Some(Reply::Step(pt)));
    }

    /// The process is dead; what it sent may still arrive for a while.
    pub(super) fn leave_on_its_way(&mut self, attempt: &Attempt) {
        let Some(key) = attempt.on_its_way.filter(|_| !attempt.is_stopped) else { return };
        // What nobody can be asked about is looked into by people, who are slower than any network.
        if attempt.class != EffectClass::Effectful
            && self.rng.per_mille(500)
            && self.may(FaultKind::Zombie, "an effect of a dead process arrives late")
        {
            let late = self.rng.range(SETTLE_AFTER / 2, SETTLE_AFTER);
            self.after(late, Due::Arrival { key, class: attempt.class });
        }
    }

    /// The effect happens, unless the host has stopped the attempt: it stands between the agent
    /// and the world. Some agents hang or die right after.
    pub(super) fn perform(&mut self, attempt: &Attempt, key: StepKey) -> Check {
        let pt = attempt.pt;
        if attempt.is_stopped {
            return Ok(());
        }
        if let Some(attempt) = self.attempts.get_mut(&pt) {
            attempt.on_its_way = None;
        }
        let refuses = !self.is_calm && self.rng.per_mille(40);
        let refuses = refuses && self.may(FaultKind::Agent, "the world refuses an effect");
        let outcome = if refuses {
            StepOutcome::Failed(Failure::retryable("sink_refused", "not now"))
        } else {
            self.note(|| format!("`{pt}` performs {}", key.0));
            self.trace(0xeffec7 ^ pt.fence.0);
            self.checker.performs(pt, key)?;
            self.sink.perform(key, attempt.class)?;
            let what = if attempt.manner == Manner::Circles { 0 } else { attempt.step };
            StepOutcome::Done(Payload::inline(format!("{{\"done\":{what}}}").into_bytes()))
        };
        let trips = attempt.step + 1 >= attempt.trip && attempt.trip > 0;
        match attempt.manner {
            Manner::Hangs if trips => return Ok(()),
            Manner::Dies if trips => {
                self.attempts.remove(&pt);
                let reason = Failure::retryable("agent_died", "it died after its effect");
                self.send(Command::LoseAttempt { pt, reason }, attempt.cause, None);
                return Ok(());
            }
            _ => {}
        }
        let wait = self.rng.range(5, 200_000);
        self.agent_after(wait, pt, Move::Settle(key, outcome));
        Ok(())
    }

    pub(super) fn settle_step(&mut self, attempt: &Attempt, key: StepKey, outcome: StepOutcome) {
        let cost_micros = self.rng.range(1, STEP_COST_MICROS);
        let spent = Amounts { steps: 1, cost_micros, ..Amounts::ZERO };
        let pt = attempt.pt;
        let command = Command::SettleStep { pt, key, outcome, spent };
        self.send(command, attempt.cause, Some(Reply::Step(pt)));
    }
}
