//! Schedules: put, put anew, paused, resumed, removed and run by hand at any moment, and their runs meddled
//! with, while the process dies and clocks jump.

use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::command::{PutSchedule, ScheduleName};
use ark_os_core::deployment::DeployedSchedule;
use ark_os_core::event::Intake;
use ark_os_core::ids::RunId;
use ark_os_core::plan::Workflow;
use ark_os_core::schedule::{CatchUp, Overlap, Planned, Schedule, ScheduleSpec};
use ark_os_core::time::Time;
use ark_os_runtime::calendar::next_of;

use super::{Due, World};
use crate::bug::Bug;
use crate::rng::Rng;
use crate::violation::Check;
use crate::wishes::{NAMES, Wish, with_rules};

/// The tenant of all of them.
const NAMESPACE: &str = "default";
/// Schedules go on for so long when nothing breaks any more, in microseconds: longer than any process
/// stays down.
const CALM_FIRES: u64 = 25_000_000;
/// What somebody has seen of a schedule may be so old when he acts on it, in microseconds.
const LOOK_AGE_MAX: u64 = 8_000_000;

impl World {
    /// Somebody does something about a schedule, and the next act has its time.
    pub(super) fn act_on_schedules(&mut self) -> Check {
        let pause = self.profile.act_ms * 4_000;
        let Some(rng) = self.schedules.as_mut().filter(|_| !self.is_calm) else { return Ok(()) };
        let pause = rng.range(1, pause);
        let what = rng.weighted(&[6, 2, 3, 1, 2, 4]);
        self.after(pause, Due::Schedule);
        if self.node.is_none() {
            return Ok(());
        }
        match what {
            0 => self.put_schedule(),
            1 => self.set_schedule(true),
            2 => self.set_schedule(false),
            3 => self.remove_schedule(),
            4 => self.run_schedule(),
            _ => return self.meddle_with_schedule(),
        }
        Ok(())
    }

    fn draw_spec(&mut self) -> Option<(ScheduleSpec, u64)> {
        let workflows = self.clients.workflows();
        let rng = self.schedules.as_mut()?;
        let name = rng.pick(&NAMES).copied()?.into();
        let workflow = rng.pick(&workflows).cloned()?;
        let planned = match rng.per_mille(200) {
            true => Planned::Named(workflow.name.clone()),
            false => Planned::Inline(workflow),
        };
        let number = rng.draw();
        let spec = Wish::draw(rng).spec((name, number), planned, rng);
        Some((spec, number))
    }

    /// What the instance is told of what somebody wants.
    fn told(&self, spec: ScheduleSpec) -> Arc<ScheduleSpec> {
        match self.bug {
            Some(Bug::CatchUpForgotten) => with_rules(spec, Some(CatchUp::All { max: 100 }), None),
            Some(Bug::OverlapForgotten) => with_rules(spec, None, Some(Overlap::Allow)),
            _ => Arc::new(spec),
        }
    }

    fn put_schedule(&mut self) {
        let Some((spec, seed)) = self.draw_spec() else { return };
        let spec = self.told(spec);
        self.note(|| format!("client: schedule {spec:?}"));
        let put = PutSchedule {
            namespace: NAMESPACE.into(),
            grant: self.clients.operator(),
            next: next_of(&spec, self.wall()),
            seed,
            spec,
        };
        let reply = self.ask_schedule(put.spec.input.hash());
        self.send(Command::PutSchedule(Box::new(put)), 0, Some(reply));
    }

    fn some_schedule(&mut self) -> Option<Schedule> {
        let known = self.node.as_ref()?.lp.state().schedules();
        let known: Vec<&Schedule> = known.iter().collect();
        self.schedules.as_mut()?.pick(&known).map(|it| (*it).clone())
    }

    /// A schedule is paused or goes on, by what somebody has seen of it some time ago.
    fn set_schedule(&mut self, is_paused: bool) {
        let Some(seen) = self.some_schedule() else { return };
        let next = if is_paused { None } else { next_of(&seen.spec, self.wall()) };
        let schedule = name_of(&seen);
        let command = Command::SetSchedule { schedule, is_paused, next, reason: "sim".into() };
        let draw = |rng: &mut Rng| rng.per_mille(300).then(|| rng.below(LOOK_AGE_MAX));
        match self.schedules.as_mut().and_then(draw) {
            Some(age) => self.after(age, Due::Late(Box::new(command))),
            None => self.command(command),
        }
    }

    fn remove_schedule(&mut self) {
        if let Some(it) = self.some_schedule() {
            self.command(Command::RemoveSchedule { schedule: name_of(&it), reason: "sim".into() });
        }
    }

    fn run_schedule(&mut self) {
        if let Some(it) = self.some_schedule() {
            let reply = self.ask_run();
            let schedule = name_of(&it);
            self.note(|| format!("client: run {schedule:?}"));
            self.send(Command::RunSchedule { schedule, key: None }, 0, Some(reply));
        }
    }

    /// What a schedule has begun is a run like any other.
    fn meddle_with_schedule(&mut self) -> Check {
        let last = self.some_schedule().and_then(|it| it.last).map(|last| last.run);
        let (Some(run), Some(rng)) = (last, self.schedules.as_mut()) else { return Ok(()) };
        let reason = || "sim".into();
        match rng.below(4) {
            0 => return self.cancel_run(run),
            1 => self.command(Command::PauseRun { run, reason: reason() }),
            2 => self.command(Command::ResumeRun { run, reason: reason() }),
            _ => self.command(Command::RetryRun { run, task: None, reason: reason() }),
        }
        Ok(())
    }

    /// When nothing breaks any more, schedules are punctual; then there are no more of them.
    pub(super) fn end_schedules(&mut self) -> Check {
        if self.schedules.is_none() {
            return Ok(());
        }
        self.run_until(self.now + CALM_FIRES)?;
        let state = self.node.as_ref().map(|node| node.lp.state());
        if state.is_some_and(|state| state.intake() == Intake::Open) {
            self.checker.check_punctual(self.wall())?;
        }
        self.hush_schedules();
        Ok(())
    }

    /// No schedule begins anything more: some are paused, the others are gone. A deployment that is late
    /// may bring more.
    pub(super) fn hush_schedules(&mut self) {
        let (Some(node), Some(rng)) = (&self.node, &mut self.schedules) else { return };
        let loud = node.lp.state().schedules().iter().filter(|it| !it.spec.is_paused);
        let commands: Vec<Command> = loud
            .map(|it| match rng.per_mille(500) {
                true => Command::SetSchedule {
                    schedule: name_of(it),
                    is_paused: true,
                    next: None,
                    reason: "end".into(),
                },
                false => Command::RemoveSchedule { schedule: name_of(it), reason: "end".into() },
            })
            .collect();
        commands.into_iter().for_each(|command| self.send(command, 0, None));
    }

    /// Schedules for a deployment with these workflows.
    pub(super) fn deployed_schedules(
        &mut self,
        workflows: &[Arc<Workflow>],
    ) -> Vec<DeployedSchedule> {
        let Some(rng) = &mut self.schedules else { return Vec::new() };
        let mut list = Vec::new();
        for name in NAMES {
            let Some(workflow) = rng.pick(workflows).filter(|_| rng.per_mille(350)) else {
                continue;
            };
            let planned = Planned::Named(workflow.name.clone());
            let seed = rng.draw();
            let spec = Wish::draw(rng).spec((name.into(), seed), planned, rng);
            list.push((spec, seed));
        }
        let list = list.into_iter();
        list.map(|(spec, seed)| DeployedSchedule { spec: self.told(spec), seed }).collect()
    }

    /// When the schedules of the deployment under way are due next, as who checks its agents says.
    pub(super) fn due_of_deployment(&self) -> Vec<Option<Time>> {
        let under_way = self.node.as_ref().and_then(|it| it.lp.state().deployments().under_way());
        let list = under_way.map(|it| it.deployment.schedules()).unwrap_or_default();
        list.iter().map(|it| next_of(&it.spec, self.wall())).collect()
    }

    /// Somebody cancels this run.
    pub(super) fn cancel_run(&mut self, run: RunId) -> Check {
        self.note(|| format!("client: cancel {run}"));
        let reply = self.ask_cancel(run);
        self.send(Command::CancelRun { run, reason: "sim".into() }, 0, Some(reply));
        Ok(())
    }
}

fn name_of(schedule: &Schedule) -> ScheduleName {
    ScheduleName { namespace: schedule.namespace.clone(), name: schedule.spec.name.clone() }
}
