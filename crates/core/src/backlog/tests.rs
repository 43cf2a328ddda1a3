//! The backlog against the plainest model of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Accepted, Backlog, Label, Under, Waiting};
use crate::authority::{Authority, RevocationId, Scopes};
use crate::event::PendingAdmission;
use crate::ids::RunId;
use crate::plan::Workflow;
use crate::priority::{Priority, Turn};
use crate::time::Time;

fn under(name: &str) -> Under {
    let scopes = Scopes::parse(["*"]).unwrap();
    Under::Pending(
        PendingAdmission {
            namespace: "default".into(),
            workflow: Workflow::single(name).sealed(),
            authority: Authority::root("tester".into(), scopes, RevocationId([7; 16])),
        }
        .into(),
    )
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Put { high: u64, priority: usize, deadline: Option<u64>, shelf: bool },
    Take(usize),
    TakeNext,
    Prioritize(usize, usize),
}

const LATE: Time = Time(u64::MAX);

fn op() -> impl Strategy<Value = Op> {
    let deadline = proptest::option::weighted(0.2, 1u64..50);
    prop_oneof![
        // Mostly in order, as ids are.
        6 => (prop_oneof![4 => Just(9), 1 => 0u64..20], 0..6usize, deadline, any::<bool>())
            .prop_map(|(high, priority, deadline, shelf)| {
                Op::Put { high, priority, deadline, shelf }
            }),
        3 => any::<usize>().prop_map(Op::Take),
        3 => Just(Op::TakeNext),
        2 => (any::<usize>(), 0..6usize).prop_map(|(at, to)| Op::Prioritize(at, to)),
    ]
}

/// In the tests nobody is moved, unless the test says so.
fn turn(it: &Waiting) -> Turn {
    Turn::new(it.priority, it.accepted, it.seq)
}

fn soonest(model: &BTreeMap<RunId, Waiting>) -> Option<RunId> {
    model.values().min_by_key(|it| turn(it)).map(|it| it.run)
}

fn next(backlog: &Backlog) -> Option<RunId> {
    let heads = Priority::ALL.into_iter().filter_map(|it| backlog.line(it, LATE).next());
    heads.min_by_key(|it| turn(it)).map(|it| it.run)
}

fn compare(backlog: &Backlog, model: &BTreeMap<RunId, Waiting>) {
    assert_eq!(backlog.len(), model.len());
    assert!(backlog.iter().eq(model.values()), "by run");
    assert_eq!(backlog.first(LATE), model.values().map(turn).min());
    assert_eq!(backlog.oldest(), model.values().min_by_key(|it| it.seq));
    assert_eq!(next(backlog), soonest(model));
    let mut due: Vec<_> = model.values().filter(|it| it.deadline <= Time(25)).copied().collect();
    due.sort_by_key(|it| (it.deadline, it.run));
    assert!(backlog.due(Time(25)).eq(&due));
    let later = model.values().map(|it| it.deadline).filter(|at| *at > Time(25)).min();
    assert_eq!(backlog.next_deadline(Time(25)), later.filter(|at| *at != Time::NEVER));
    for priority in Priority::ALL {
        let mut line: Vec<_> = model.values().filter(|it| it.priority == priority).collect();
        line.sort_by_key(|it| it.seq);
        assert!(backlog.line(priority, LATE).eq(line), "the line of {priority:?}");
    }
    let shelves: std::collections::BTreeSet<u32> = model.values().map(|it| it.shelf).collect();
    assert_eq!(backlog.shelves(), shelves.len(), "a shelf goes with its last run");
}

proptest! {
    #[test]
    fn everybody_is_found_and_comes_in_turn(ops in proptest::collection::vec(op(), 1..1_500)) {
        let mut backlog = Backlog::default();
        let mut model: BTreeMap<RunId, Waiting> = BTreeMap::new();
        let papers = [under("a"), under("b")];
        for (seq, op) in (1u64..).zip(ops) {
            match op {
                Op::Put { high, priority, deadline, shelf } => {
                    let run = RunId(u128::from(high) << 64 | u128::from(seq));
                    let deadline = deadline.map(Time);
                    let priority = Priority::ALL[priority];
                    let at = Time(seq / 4);
                    let accepted = Accepted { run, seq, at, deadline, priority, start: None };
                    backlog.put(&accepted, papers[usize::from(shelf)].clone());
                    model.insert(run, *backlog.find(run).unwrap());
                }
                Op::Take(at) => {
                    let at = at.checked_rem(model.len()).unwrap_or(0);
                    let run = model.keys().nth(at).copied().unwrap_or_default();
                    let taken = backlog.take(run).map(|(it, _)| it);
                    assert_eq!(taken, model.remove(&run));
                    assert!(backlog.take(run).is_none());
                }
                Op::Prioritize(at, to) => {
                    let at = at.checked_rem(model.len()).unwrap_or(0);
                    let Some((run, it)) = model.iter_mut().nth(at) else { continue };
                    it.priority = Priority::ALL[to];
                    backlog.prioritize(*run, it.priority);
                }
                Op::TakeNext => {
                    let taken = next(&backlog).and_then(|run| backlog.take(run));
                    let run = soonest(&model);
                    assert_eq!(taken.map(|(it, _)| it), run.and_then(|run| model.remove(&run)));
                }
            }
            if seq % 16 == 0 {
                compare(&backlog, &model);
            }
        }
        compare(&backlog, &model);
    }
}

#[test]
fn an_entry_costs_what_is_promised() {
    assert_eq!(size_of::<Waiting>(), 48);
    assert_eq!(size_of::<RunId>(), 16);
    let mut backlog = Backlog::default();
    for run in 0..10_000u64 {
        let (id, at) = (RunId(u128::from(run)), Time(run));
        let priority = Priority::Normal;
        let accepted = Accepted { run: id, seq: run, at, deadline: None, priority, start: None };
        backlog.put(&accepted, under("a"));
    }
    assert!(backlog.has_shelf(under("a").label()) && backlog.shelves() == 1);
    assert!(!backlog.has_shelf(Label::Admission(1)));
    // Taken from the middle, the line is swept before it holds more ghosts than runs.
    for run in 1..9_999u64 {
        backlog.take(RunId(u128::from(run)));
    }
    let line = &backlog.lines[Priority::Normal as usize].runs;
    assert!(line.len() <= super::LEFT_MIN + 4 && line.capacity() < 8_192, "{}", line.capacity());
}

#[test]
fn a_run_with_a_time_of_its_own_stands_in_line_from_then_on() {
    let mut backlog = Backlog::default();
    let put = |run: u64, start: Option<u64>| {
        let (seq, at, priority) = (run, Time(run), Priority::Normal);
        let (run, start) = (RunId(u128::from(run)), start.map(Time));
        Accepted { run, seq, at, deadline: None, priority, start }
    };
    for (run, start) in [(1, Some(50)), (2, None), (3, Some(40)), (60, None)] {
        backlog.put(&put(run, start), under("a"));
    }
    let line = |now: u64, it: &Backlog| {
        it.line(Priority::Normal, Time(now)).map(|it| it.run.0).collect::<Vec<_>>()
    };
    assert_eq!(line(39, &backlog), [2, 60]);
    assert_eq!(
        (backlog.next_start(Time(39)), backlog.next_start(Time(50))),
        (Some(Time(40)), None)
    );
    assert_eq!(line(40, &backlog), [2, 3, 60]);
    assert_eq!(line(50, &backlog), [2, 3, 1, 60]);
    backlog.prioritize(RunId(1), Priority::High);
    assert_eq!(line(50, &backlog), [2, 3, 60]);
    assert_eq!(backlog.next_start(Time(40)), Some(Time(50)), "its time stays");
    assert_eq!(backlog.oldest().map(|it| it.run), Some(RunId(1)));
}
