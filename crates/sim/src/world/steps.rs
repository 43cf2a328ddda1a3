//! Steps of agents with effects: intent, go-ahead, effect, outcome.

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt, IntendStep};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::PtId;
use ark_os_core::payload::Payload;
use ark_os_core::step::{StepKey, StepName, StepOutcome};
use ark_os_core::text::Text;
use ark_os_runtime::kernel::Answer;

use super::World;
use super::agents::{Attempt, Manner, Move};
use super::clients::Reply;
use crate::bug::Bug;
use crate::violation::Check;

/// What a step may cost, in millionths.
const STEP_COST_MICROS: u64 = 10;
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
        if let Answer::Intended(key) = &answer {
            self.checker.goes_ahead(pt, *key)?;
        }
        let Some(attempt) = self.attempts.get_mut(&pt) else { return Ok(()) };
        match answer {
            Answer::Intended(_) if self.bug == Some(Bug::IntentForgotten) => {}
            Answer::Intended(key) => {
                let wait = self.rng.range(5, 60_000);
                self.agent_after(wait, pt, Move::Perform(key));
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

    /// The effect happens, unless the host has stopped the attempt: it stands between the agent
    /// and the world. Some agents hang or die right after.
    pub(super) fn perform(&mut self, attempt: &Attempt, key: StepKey) -> Check {
        let pt = attempt.pt;
        if attempt.is_stopped {
            return Ok(());
        }
        let refuses = !self.is_calm && self.rng.per_mille(40);
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
