//! Schedules that are due: the loop works out which of their times are to be acted on, and when they
//! are due next; `core`, which knows no calendar, decides with that.

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::command::{FireSchedule, ScheduleName};
use ark_os_core::event::SubmissionKey;
use ark_os_core::limits::SCHEDULE_LATE_MS_MAX;
use ark_os_core::schedule::{CatchUp, Overlap, Schedule, ScheduleSpec, Schedules};
use ark_os_core::time::Time;
use rustc_hash::FxHashMap;

use super::wait::Recipient;
use super::{Answer, FOLLOW_UPS_MAX, Loop, Output};
use crate::calendar::{Calendar, next_of};

/// How long a schedule rests after it could not begin a run for want of room.
const HOLD_MS: u64 = 1_000;
/// Schedules that are tried in vain at one go, and how long all wait for the next where so many rest.
const VAIN_MAX: usize = 64;
const BREATH_MS: u64 = 20;

/// Calendars of schedules by number, and how long each that could not begin a run rests, or all of them.
/// In memory only.
#[derive(Default)]
pub(super) struct Calendars {
    known: FxHashMap<u64, (Arc<ScheduleSpec>, Option<Calendar>)>,
    held: BTreeMap<u64, Time>,
    all_held: Option<Time>,
}

impl Calendars {
    fn of(&mut self, schedule: &Schedule) -> Option<&Calendar> {
        let spec = &schedule.spec;
        let parse = || Calendar::parse(&spec.cron, &spec.zone).ok();
        let known = self.known.entry(schedule.number);
        let known = known.or_insert_with(|| (spec.clone(), parse()));
        if !Arc::ptr_eq(&known.0, spec) {
            *known = (spec.clone(), parse());
        }
        known.1.as_ref()
    }

    /// Leaves out those of schedules that are gone.
    fn sweep(&mut self, schedules: &Schedules) {
        if self.known.len() > schedules.len() {
            self.known.retain(|number, _| schedules.find(*number).is_some());
        }
    }

    /// What is to be done about a schedule that is due, in order. One whose pattern nobody can read
    /// any more is due this once.
    fn firings(&mut self, schedule: &Schedule, now: Time) -> Vec<FireSchedule> {
        let number = schedule.number;
        let fire = |time, next| FireSchedule { schedule: number, time, next, is_missed: false };
        let Some(due) = schedule.next.filter(|_| schedule.waiting_turn().is_none()) else {
            return vec![fire(now, None)];
        };
        let (catch_up, jitter) = (schedule.spec.catch_up, schedule.spec.jitter_ms.unwrap_or(0));
        let Some(calendar) = self.of(schedule) else { return vec![fire(due, None)] };
        let until = Time(now.0.saturating_sub(jitter)).max(due);
        let newest = calendar.newest(until).map_or(due, |newest| newest.max(due));
        let is_late = now.since(newest).as_millis() > u128::from(SCHEDULE_LATE_MS_MAX + jitter);
        match catch_up {
            CatchUp::Skip if is_late => {
                vec![FireSchedule { is_missed: true, ..fire(newest, calendar.next(newest)) }]
            }
            CatchUp::Skip | CatchUp::One => vec![fire(newest, calendar.next(newest))],
            CatchUp::All { max } => {
                let earlier = |time: &Time| calendar.newest(Time(time.0.checked_sub(1)?));
                let back = std::iter::successors(Some(newest), earlier);
                let back = back.take_while(|time| *time >= due).take(max.max(1) as usize);
                let mut next = calendar.next(newest);
                let mut firings: Vec<_> = back.map(|time| fire(time, next.replace(time))).collect();
                firings.reverse();
                firings
            }
        }
    }
}

impl<R: Recipient> Loop<R> {
    /// A command says when a schedule is due next by what its sender saw, and at that time: what has
    /// passed since, or is not the schedule's any more, is worked out anew.
    pub(super) fn set_right(&mut self, command: &mut Command, now: Time) {
        let state = &self.kernel.state;
        let now = now.max(state.now());
        let has_passed = |next: &Option<Time>| next.is_some_and(|next| next <= now);
        match command {
            Command::PutSchedule(put) if has_passed(&put.next) => {
                put.next = next_of(&put.spec, now);
            }
            Command::SetSchedule { schedule, is_paused: false, next, .. } => {
                let known = state.schedules().named(&schedule.namespace, &schedule.name);
                if let Some(calendar) = known.and_then(|it| self.calendars.of(it)) {
                    *next = calendar.next(now);
                }
            }
            Command::ReportHealth { version, result: Ok(due), .. } => {
                let under_way = state.deployments().under_way().map(|it| &it.deployment);
                let its = under_way.filter(|it| it.version == *version);
                let schedules = its.map(|it| it.schedules()).unwrap_or_default();
                for (next, it) in due.iter_mut().zip(schedules) {
                    if has_passed(next) {
                        *next = next_of(&it.spec, now);
                    }
                }
            }
            _ => {}
        }
    }

    /// When a schedule is due next.
    pub(super) fn next_schedule(&self) -> Option<Time> {
        self.calendars.all_held.or_else(|| self.next_turn())
    }

    /// When the next of them has its turn; one that rests does not keep others waiting.
    fn next_turn(&self) -> Option<Time> {
        let mut soonest: Option<Time> = None;
        for (due, schedule) in self.kernel.state.schedules().in_order() {
            let rests = self.calendars.held.get(&schedule.number).copied();
            let at = due.max(rests.unwrap_or_default());
            soonest = Some(soonest.map_or(at, |before| before.min(at)));
            // Those behind are due later, and so is whoever of them rests.
            if rests.is_none() {
                break;
            }
        }
        soonest
    }

    /// Does what schedules have to do by now.
    pub(super) fn fire_schedules(&mut self, now: Time, out: &mut Output<R>) {
        self.calendars.sweep(self.kernel.state.schedules());
        self.calendars.held.retain(|_, until| *until > now);
        self.calendars.all_held = self.calendars.all_held.filter(|until| *until > now);
        if self.calendars.all_held.is_some() {
            return;
        }
        let (mut left, mut vain) = (FOLLOW_UPS_MAX, 0);
        'go: loop {
            let turn = self.due_by(now, left);
            if turn.is_empty() {
                break;
            }
            left -= turn.len();
            for number in turn {
                vain += usize::from(!self.fire_schedule(number, now, out));
                if vain == VAIN_MAX {
                    break 'go;
                }
            }
        }
        // With each step all that rest would be looked at.
        if self.calendars.held.len() >= VAIN_MAX {
            self.calendars.all_held = Some(now.plus(BREATH_MS));
        }
    }

    /// Schedules that are due by now and do not rest, so many of them, soonest first.
    fn due_by(&self, now: Time, most: usize) -> Vec<u64> {
        let due = self.kernel.state.schedules().in_order().take_while(|(due, _)| *due <= now);
        let numbers = due.map(|(_, schedule)| schedule.number);
        numbers.filter(|number| !self.calendars.held.contains_key(number)).take(most).collect()
    }

    /// Does what one schedule has to do by now; whether it could. If not, it rests.
    fn fire_schedule(&mut self, number: u64, now: Time, out: &mut Output<R>) -> bool {
        let schedule = self.kernel.state.schedules().find(number);
        // What another of the same turn did may have been done for it.
        let is_due = |it: &&Schedule| it.due().is_some_and(|due| due <= now);
        let Some(schedule) = schedule.filter(is_due) else { return true };
        // Whoever makes way for another gets no work any more.
        let makes_way = schedule.spec.overlap == Overlap::CancelPrevious;
        for firing in self.calendars.firings(schedule, now) {
            let fired = self.execute(Command::FireSchedule(firing), 0, now, out);
            if !fired.unwrap_or(false) {
                // It stays due, and nothing of it is lost.
                // The more rest the longer they do: all others come before them.
                let rest = HOLD_MS + self.calendars.held.len() as u64;
                self.calendars.held.insert(number, now.plus(rest));
                return false;
            }
            if makes_way {
                self.do_errands(now, out);
            }
        }
        true
    }

    /// Somebody wants a run of a schedule now: the answer names it.
    pub(super) fn run_schedule(
        &mut self,
        schedule: ScheduleName,
        key: Option<SubmissionKey>,
        now: Time,
        out: &mut Output<R>,
    ) -> Answer {
        let ScheduleName { namespace, name } = schedule.clone();
        // Also of a schedule that is not there any more.
        if let Some(answer) = self.repeated(&namespace, key.as_ref()) {
            return answer;
        }
        if let Err(rejected) = self.execute(Command::RunSchedule { schedule, key }, 0, now, out) {
            return Answer::Rejected(rejected);
        }
        let schedule = self.kernel.state.schedules().named(&namespace, &name);
        match schedule.and_then(|it| it.last) {
            Some(last) => Answer::Accepted { run: last.run, existing: false },
            None => Answer::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
    use ark_os_core::command::PutSchedule;
    use ark_os_core::event::{InstanceStarted, SchedulePut};
    use ark_os_core::fleet::SkillInfo;
    use ark_os_core::plan::{EffectClass, Workflow};
    use ark_os_core::rules::BuiltinRules;
    use ark_os_core::schedule::Planned;
    use ark_os_core::{Change, Event, State};

    use crate::kernel::Input;

    fn act(lp: &mut Loop<()>, now: Time, command: Command) {
        let mut out = Output::default();
        let input = Input::Command { command, cause: 0, reply: None };
        lp.step(now, [input], &mut out);
    }

    fn started() -> Loop<()> {
        let mut lp = Loop::new(State::default(), Arc::new(BuiltinRules), 0);
        let skill =
            SkillInfo { name: "echo".into(), class: EffectClass::Pure, concurrency_max: None };
        let started = InstanceStarted::small(6, vec![skill]);
        act(&mut lp, Time(1), Command::StartInstance(Box::new(started)));
        lp
    }

    fn put(lp: &mut Loop<()>, name: &str, (now, next): (Time, Time)) {
        let scopes = Scopes::parse(["*"]).unwrap();
        let grant = Grant::new(Authority::root("test".into(), scopes, RevocationId([7; 16])));
        let planned = Planned::Inline(Workflow::single("echo").sealed());
        let spec = ScheduleSpec {
            overlap: Overlap::Allow,
            ..ScheduleSpec::new(name.into(), "0 * * * *", planned)
        };
        let put = PutSchedule {
            namespace: "default".into(),
            spec: Arc::new(spec),
            grant: Arc::new(grant),
            seed: 7,
            next: Some(next),
        };
        act(lp, now, Command::PutSchedule(Box::new(put)));
    }

    fn last_of(lp: &Loop<()>, schedule: u64) -> Option<ark_os_core::ids::RunId> {
        lp.kernel.state.schedules().find(schedule)?.last.as_ref().map(|last| last.run)
    }

    #[test]
    fn a_schedule_that_rests_does_not_keep_others_waiting() {
        let mut lp = started();
        put(&mut lp, "stuck", (Time(2), Time(1_000)));
        put(&mut lp, "other", (Time(2), Time(2_000)));
        let number = |lp: &Loop<()>, name: &str| {
            let schedules = lp.kernel.state.schedules();
            schedules.named(&"default".into(), &name.into()).unwrap().number
        };
        let (stuck, other) = (number(&lp, "stuck"), number(&lp, "other"));
        assert_eq!(lp.next_schedule(), Some(Time(1_000)));
        lp.calendars.held.insert(stuck, Time(60_000));
        assert_eq!(lp.next_schedule(), Some(Time(2_000)));
        lp.step(Time(2_000), [], &mut Output::default());
        assert_eq!((last_of(&lp, stuck), last_of(&lp, other).is_some()), (None, true));
        assert_eq!(lp.next_schedule(), Some(Time(60_000)));
        lp.step(Time(60_000), [], &mut Output::default());
        assert!(last_of(&lp, stuck).is_some());
    }

    #[test]
    fn schedules_that_cannot_begin_take_turns() {
        let mut lp = started();
        let many = VAIN_MAX + 10;
        // One more than is tried at one go, and then some.
        (0..many).for_each(|n| put(&mut lp, &format!("s{n}"), (Time(2), Time(1_000))));
        let intake = ark_os_core::event::Intake::Draining;
        act(&mut lp, Time(3), Command::SetIntake { intake, reason: "test".into() });
        let refused = lp.kernel.refused.commands;
        lp.step(Time(1_000), [], &mut Output::default());
        assert_eq!(lp.kernel.refused.commands - refused, VAIN_MAX as u64);
        assert_eq!(lp.next_schedule(), Some(Time(1_000 + BREATH_MS)));
        lp.step(Time(1_001), [], &mut Output::default());
        assert_eq!(lp.kernel.refused.commands - refused, VAIN_MAX as u64);
        // Then those come that were not tried.
        lp.step(Time(1_000 + BREATH_MS), [], &mut Output::default());
        assert_eq!(lp.kernel.refused.commands - refused, many as u64);
        let intake = ark_os_core::event::Intake::Open;
        act(&mut lp, Time(1_100), Command::SetIntake { intake, reason: "test".into() });
        lp.step(Time(3_000), [], &mut Output::default());
        let last = lp.kernel.state.schedules().iter().filter(|it| it.last.is_some()).count();
        assert_eq!(last, many);
    }

    fn next_of_stuck(lp: &Loop<()>) -> Option<Time> {
        lp.kernel.state.schedules().named(&"default".into(), &"stuck".into())?.next
    }

    /// A clock that was put back, a busy loop, a schedule that was put anew since somebody looked: what
    /// people wrote down is not true any more when it is read.
    #[test]
    fn times_that_pass_before_a_command_is_decided_are_worked_out_anew() {
        const HOUR: u64 = 3_600_000;
        let mut lp = started();
        put(&mut lp, "stuck", (Time(HOUR + 1), Time(HOUR)));
        assert_eq!(next_of_stuck(&lp), Some(Time(2 * HOUR)));
        let set = |is_paused, next| {
            let schedule = ScheduleName { namespace: "default".into(), name: "stuck".into() };
            Command::SetSchedule { schedule, is_paused, next, reason: "test".into() }
        };
        act(&mut lp, Time(HOUR + 2), set(true, None));
        assert_eq!(next_of_stuck(&lp), None);
        act(&mut lp, Time(HOUR + 3), set(false, Some(Time(HOUR + 17))));
        assert_eq!(next_of_stuck(&lp), Some(Time(2 * HOUR)), "its pattern knows no such time");
    }

    fn keep(state: &mut State, schedule: u64) {
        let planned = Planned::Inline(Workflow::single("test").sealed());
        let name = format!("s{schedule}");
        let spec = ScheduleSpec::new(name.as_str().into(), "* * * * *", planned);
        let id = RevocationId::derive(&[b"test"]);
        apply(
            state,
            Event::SchedulePut(Box::new(SchedulePut {
                schedule,
                namespace: "default".into(),
                spec: Arc::new(spec),
                authority: Authority::root("tester".into(), Scopes::everything(), id),
                seed: 1,
                next: Some(Time(60_000)),
                deployed: false,
            })),
        );
    }

    fn apply(state: &mut State, event: Event) {
        let change = Change { run: None, at: Time(1), events: vec![event] };
        state.apply(&change, &mut Vec::new());
    }

    #[test]
    fn calendars_of_schedules_that_are_gone_are_not_kept() {
        let (mut state, mut calendars) = (State::default(), Calendars::default());
        for schedule in 1..=20 {
            keep(&mut state, schedule);
            let (_, due) = state.schedules().first_due().unwrap();
            assert_eq!(calendars.firings(due, Time(60_000)).len(), 1);
            apply(&mut state, Event::ScheduleRemoved { schedule, reason: "test".into() });
            calendars.sweep(state.schedules());
        }
        assert!(calendars.known.is_empty());
    }
}
