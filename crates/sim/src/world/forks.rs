//! Forks: of runs that are over and of those under way, from any event of their histories, with other
//! inputs, skills, or a task that is to run anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::command::{ForkRun, SubmitRun};
use ark_os_core::event::RunForked;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::plan::Workflow;
use ark_os_core::text::Text;
use ark_os_runtime::forks::{Differs, Source, descended, with_skills};
use serde_json::json;

use super::{Due, World};
use crate::bug::Bug;
use crate::checker::{Asked, Changed};
use crate::plans::SKILLS;
use crate::violation::Check;

/// Forks of one world, at most.
const FORKS_MAX: u64 = 15;

/// What somebody wants of a fork.
struct Wanted {
    plan: Arc<Workflow>,
    anew: Option<BTreeSet<u32>>,
    input: Option<Payload>,
    change: Changed,
}

impl World {
    /// Somebody forks a run, and the next fork has its time.
    pub(super) fn fork_some(&mut self) -> Check {
        let pause = self.profile.act_ms * 8_000;
        let is_over = self.is_calm || self.counts.forks >= FORKS_MAX;
        let Some(rng) = self.forks.as_mut().filter(|_| !is_over) else { return Ok(()) };
        let pause = rng.range(1, pause);
        self.after(pause, Due::Fork);
        if let (Some(run), true) = (self.some_source(), self.node.is_some()) {
            self.fork_run(run);
        }
        Ok(())
    }

    /// A run that somebody knows, or one that a schedule or a task has begun.
    fn some_source(&mut self) -> Option<RunId> {
        let lives = self.node.as_ref().map(|node| node.lp.state().run_ids()).unwrap_or_default();
        let rng = self.forks.as_mut()?;
        match rng.per_mille(300) {
            true => rng.pick(&lives).copied(),
            false => rng.pick(&self.clients.runs).copied(),
        }
    }

    fn fork_run(&mut self, source: RunId) {
        let history = self.checker.history(source);
        let Some(rng) = &mut self.forks else { return };
        let newest = history.len().saturating_sub(1) as u64;
        let last = if rng.per_mille(300) { newest } else { rng.below(newest + 1) } as usize;
        let Some(until) = history.get(last).map(|(place, _)| *place) else { return };
        let (mut past, mut later) = (Source::default(), Source::default());
        for (i, (place, event)) in history.into_iter().enumerate() {
            if i <= last {
                past.at = place.0;
                past.take(source, event.clone());
            }
            later.take(source, event);
        }
        let under = past.under.clone();
        let under = under.or_else(|| past.admission.and_then(|it| self.checker.admission(it)));
        let (Some(accepted), Some((namespace, old))) = (past.accepted.take(), under) else {
            return;
        };
        let Some(wanted) = self.draw_fork(source, &old) else { return };
        let differs = Differs { anew: wanted.anew.as_ref(), input: wanted.input.is_some() };
        // The planted bug: everything that there is by now is taken along.
        let from = if self.has(Bug::ForkOfLater) { &later } else { &past };
        let mut reused = from.reuse(&old, &wanted.plan, differs);
        if self.has(Bug::ForkForgets) {
            reused.pop();
        }
        let Some(rng) = &mut self.forks else { return };
        let seed = rng.draw();
        let deadline = rng.per_mille(100).then(|| rng.range(500, 60_000));
        let run = RunId(u128::from(self.wall().0) << 80 | u128::from(seed));
        let submission = SubmitRun {
            run,
            namespace,
            workflow: wanted.plan,
            input: wanted.input.unwrap_or(accepted.input),
            grant: self.clients.operator(),
            priority: accepted.priority,
            deadline: deadline.map(|ms| self.wall().plus(ms)),
            start_at: None,
            budget: accepted.budget,
            seed,
            key: None,
            parent: None,
        };
        let forked = RunForked { source, at: past.at, head: past.head, reason: "sim".into() };
        self.note(|| {
            format!("client: fork `{source}` at {until:?} to `{run}`: {:?}", wanted.change)
        });
        self.counts.reused += reused.len() as u64;
        self.checker.asks_fork(run, Asked { source, until, change: wanted.change });
        let reply = self.ask_fork(run);
        let fork = ForkRun { submission, forked, reused };
        self.send(Command::ForkRun(Box::new(fork)), 0, Some(reply));
    }

    /// What is to be different.
    fn draw_fork(&mut self, run: RunId, old: &Arc<Workflow>) -> Option<Wanted> {
        let rng = self.forks.as_mut()?;
        let as_it_was =
            Wanted { plan: old.clone(), anew: None, input: None, change: Changed::Nothing };
        let task = rng.pick(&old.tasks).filter(|task| !task.is_fallback)?;
        Some(match rng.weighted(&[5, 2, 2, 2]) {
            0 => as_it_was,
            1 => {
                let list: Vec<u64> = (0..rng.below(9)).collect();
                // Like no other, so that it is another one in any case.
                let x = 100 + rng.below(1_000_000);
                let input = json!({ "x": x, "go": rng.per_mille(600), "list": list });
                let input = Some(Payload::inline(input.to_string().into_bytes()));
                Wanted { input, change: Changed::Input, ..as_it_was }
            }
            2 if task.is_work() => {
                let other = Text::from(rng.pick(&SKILLS)?.0);
                let plan = with_skills(old, &[(task.skill.clone(), other.clone())]).ok()?;
                Wanted { plan, change: Changed::Skill(other), ..as_it_was }
            }
            _ => {
                let anew = Some(descended(run, old, &task.name).ok()?);
                Wanted { anew, change: Changed::Task(task.name.clone()), ..as_it_was }
            }
        })
    }
}
