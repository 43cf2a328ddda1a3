//! `apply` for the events of schedules.

use std::sync::Arc;

use super::State;
use crate::child_run::Errand;
use crate::event::{Event, ScheduleFired, SchedulePut, ScheduleSkipped, Trigger};
use crate::ids::RunId;
use crate::schedule::{LastRun, LastSkip, Overlap, Schedule, ScheduleSpec};

impl State {
    pub(super) fn apply_to_schedule(&mut self, run: Option<RunId>, event: &Event) {
        match event {
            Event::SchedulePut(put) => self.put_schedule(put),
            Event::ScheduleChanged { schedule, is_paused, next, .. } => {
                self.schedules.change(*schedule, |it| {
                    let spec = ScheduleSpec { is_paused: *is_paused, ..(*it.spec).clone() };
                    it.spec = Arc::new(spec);
                    it.next = *next;
                });
            }
            Event::ScheduleRemoved { schedule, .. } => _ = self.schedules.remove(*schedule),
            Event::ScheduleFired(fired) => {
                if let Some(run) = run {
                    self.fire_schedule(run, fired);
                }
            }
            Event::ScheduleSkipped(skipped) => {
                let ScheduleSkipped { schedule, time, cause, .. } = &**skipped;
                let last = LastSkip { time: *time, at: self.now, cause: cause.clone() };
                self.schedules.change(*schedule, |it| {
                    it.last_skip = Some(last);
                    it.next = skipped.next;
                    it.skipped += 1;
                    if skipped.queued == Some(true) {
                        it.waiting.pop_front();
                    }
                });
            }
            Event::ScheduleQueued { schedule, time, next } => {
                self.schedules.change(*schedule, |it| {
                    it.next = *next;
                    it.waiting.push_back(*time);
                });
            }
            _ => {}
        }
    }

    fn put_schedule(&mut self, put: &SchedulePut) {
        let before = self.schedules.remove(put.schedule);
        let fresh = Schedule {
            number: put.schedule,
            namespace: put.namespace.clone(),
            spec: put.spec.clone(),
            authority: put.authority.clone(),
            seed: put.seed,
            next: put.next,
            waiting: Default::default(),
            last: None,
            fired: 0,
            skipped: 0,
            since: self.now,
            runs: Default::default(),
            deployed: put.deployed,
            last_skip: None,
        };
        self.schedules.put(match before {
            None => fresh,
            Some(Schedule { waiting, last, fired, skipped, runs, last_skip, .. }) => {
                Schedule { waiting, last, fired, skipped, runs, last_skip, ..fresh }
            }
        });
    }

    fn fire_schedule(&mut self, run: RunId, fired: &ScheduleFired) {
        if fired.trigger != Trigger::Manual {
            self.make_way(fired.schedule);
        }
        let last = LastRun { run, time: fired.time, at: self.now };
        self.schedules.change(fired.schedule, |it| match fired.trigger {
            Trigger::Due => it.next = fired.next,
            Trigger::Queued => _ = it.waiting.pop_front(),
            Trigger::Manual => {}
        });
        self.schedules.begin(fired.schedule, last);
        if let Some(run) = self.runs.get_mut(&run) {
            run.schedule = Some(fired.schedule);
        }
    }

    /// The runs of a schedule that its next one takes the place of are to be cancelled.
    fn make_way(&mut self, schedule: u64) {
        let schedule = self.schedules.find(schedule);
        let replaces = |it: &&Schedule| it.spec.overlap == Overlap::CancelPrevious;
        let runs = schedule.filter(replaces).into_iter().flat_map(|it| &it.runs);
        self.errands.extend(runs.map(|run| Errand::Cancel(*run)));
    }
}
