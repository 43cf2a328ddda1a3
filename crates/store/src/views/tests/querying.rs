//! Lists are complete and without doubles, whatever arrives meanwhile and however many ask.

use std::collections::BTreeSet;

use ark_os_core::event::{Admission, Event, RunAccepted, RunEnd, RunEnded};
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::plan::Workflow;
use ark_os_core::priority::Priority;
use ark_os_core::run::RunState;
use ark_os_core::time::Time;
use ark_os_core::{Change, Command};

use super::world::{NAMESPACES, World, feed, open, run_id};
use crate::ErrorKind;
use crate::views::{Cursor, Queries, READERS_MAX, RUNS_PAGE_MAX, RunFilter, SCAN_MAX};

fn of(namespace: &str) -> RunFilter {
    RunFilter { namespace: namespace.into(), ..RunFilter::default() }
}

/// All pages, through the text of each cursor.
fn all(queries: &Queries, filter: &RunFilter, limit: usize) -> Vec<RunId> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page = queries.runs(filter, cursor.as_ref(), limit).unwrap();
        assert!(page.items.len() <= limit);
        assert!(page.items.iter().all(|row| row.namespace == filter.namespace));
        ids.extend(page.items.iter().map(|row| row.id));
        let Some(next) = page.next else { return ids };
        cursor = Some(Cursor::parse(&next.to_string()).unwrap());
        assert_eq!(cursor, Some(next));
    }
}

#[test]
fn every_filter_finds_what_a_look_at_all_runs_finds() {
    let mut world = World::new();
    for number in 0..400usize {
        world.submit(number, NAMESPACES[number % 3]);
        world.answer(number * 5);
        let run = run_id(number as u64 / 2);
        match number % 9 {
            0 => world.send(Command::PauseRun { run, reason: "x".into() }),
            1 => world.send(Command::CancelRun { run, reason: "x".into() }),
            _ => {}
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 1_000);
    follower.follow(&world.feed()).unwrap();
    let rows: Vec<_> =
        (1..=world.runs).rev().filter_map(|number| queries.run(run_id(number)).unwrap()).collect();
    let middle = rows[rows.len() / 2].accepted;
    let mut found = 0;
    for namespace in NAMESPACES {
        for states in [
            vec![],
            vec![RunState::Succeeded],
            vec![RunState::Cancelled],
            vec![RunState::Failed, RunState::Paused, RunState::Running, RunState::Paused],
            vec![RunState::Cancelled, RunState::Succeeded],
        ] {
            for workflow in [None, Some("chain".into()), Some("nobody's".into())] {
                for (since, until) in [(None, None), (Some(middle), None), (None, Some(middle))] {
                    let filter = RunFilter {
                        namespace: namespace.into(),
                        states: states.clone(),
                        workflow: workflow.clone(),
                        since,
                        until,
                    };
                    let expected: Vec<RunId> = rows
                        .iter()
                        .filter(|row| &*row.namespace == namespace)
                        .filter(|row| states.is_empty() || states.contains(&row.state))
                        .filter(|row| workflow.as_ref().is_none_or(|name| row.workflow == *name))
                        .filter(|row| since.is_none_or(|since| row.accepted >= since))
                        .filter(|row| until.is_none_or(|until| row.accepted < until))
                        .map(|row| row.id)
                        .collect();
                    for limit in [1, 7, RUNS_PAGE_MAX] {
                        assert_eq!(all(&queries, &filter, limit), expected, "{filter:?}");
                    }
                    found += expected.len();
                }
            }
        }
    }
    assert!(found > 1_000, "{found}");
}

#[test]
fn a_list_goes_on_without_doubles_while_runs_arrive_and_end() {
    let mut world = World::new();
    for number in 0..100 {
        world.submit(number, "default");
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 3);
    follower.follow(&world.feed()).unwrap();
    let before = all(&queries, &of("default"), 500);
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = queries.runs(&of("default"), cursor.as_ref(), 9).unwrap();
        seen.extend(page.items.iter().map(|row| row.id));
        let Some(next) = page.next else { break };
        cursor = Some(next);
        for number in 0..5 {
            world.submit(number, "default");
            world.answer(number * 17 + seen.len());
        }
        follower.follow(&world.feed()).unwrap();
    }
    assert_eq!(seen, before);
    let now = all(&queries, &of("default"), 500);
    assert!(now.len() > before.len());
    assert_eq!(now.iter().collect::<BTreeSet<_>>().len(), now.len());
}

#[test]
fn a_cursor_of_another_tenant_or_of_nobody_is_refused() {
    let mut world = World::new();
    world.submit(0, "a");
    world.submit(0, "a");
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 10);
    follower.follow(&world.feed()).unwrap();
    let next = queries.runs(&of("a"), None, 1).unwrap().next.unwrap();
    let refused = queries.runs(&of("b"), Some(&next), 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(queries.runs(&of("b"), None, 1).unwrap().items.is_empty());
    for text in ["", "!", "AAAA", &"A".repeat(5_000), "________________________"] {
        assert_eq!(Cursor::parse(text), None, "{text}");
    }
}

/// A journal of runs that are accepted, and over unless their number is a multiple of `open_every`.
fn many(runs: u64, open_every: u64) -> Vec<Change> {
    let admitted = Admission {
        id: 1,
        namespace: "default".into(),
        workflow: Workflow::single("echo").sealed(),
        skills: Vec::new(),
        decisions: Vec::new(),
        authorities: Vec::new(),
        rules: Hash::ZERO,
        subject: Hash::ZERO,
        mode: None,
        caller: None,
    };
    let first = Event::WorkflowAdmitted(Box::new(admitted));
    let mut changes = vec![Change { run: None, at: Time(0), events: vec![first] }];
    for run in 1..=runs {
        let accepted = RunAccepted {
            admission: Some(1),
            pending: None,
            input: Payload::null(),
            priority: Priority::Normal,
            deadline: None,
            budget: None,
            seed: run,
            key: None,
            waits: None,
            start_at: None,
            parent: None,
            origin: None,
        };
        let mut events = vec![Event::RunAccepted(Box::new(accepted))];
        if run % open_every != 0 {
            let ended =
                RunEnded { end: RunEnd::Succeeded, output: None, failure: None, proof: None };
            events.push(Event::RunEnded(Box::new(ended)));
        }
        changes.push(Change { run: Some(run_id(run)), at: Time(run), events });
    }
    changes
}

#[test]
fn a_hundred_thousand_runs_are_followed_and_listed_within_limits() {
    const RUNS: u64 = 100_000;
    let changes = many(RUNS, 1_000);
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 10);
    for batch in feed(&changes).chunks(10_000) {
        follower.follow(batch).unwrap();
    }
    let counts = queries.counts_by_state("default").unwrap();
    assert_eq!(counts, [(RunState::Running, 100), (RunState::Succeeded, RUNS - 100)]);
    let open_runs = RunFilter { states: vec![RunState::Running], ..of("default") };
    assert_eq!(all(&queries, &open_runs, 64).len(), 100);
    // A filter that hardly anything passes gives short pages instead of a long wait.
    let oldest = RunFilter { until: Some(Time(3)), ..of("default") };
    let page = queries.runs(&oldest, None, 10).unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (0, true));
    assert!((RUNS as usize) > SCAN_MAX);
    assert_eq!(all(&queries, &oldest, 10), [run_id(2), run_id(1)]);
    assert_eq!(all(&queries, &of("default"), RUNS_PAGE_MAX).len() as u64, RUNS);
}

#[test]
fn a_state_that_takes_many_looks_does_not_disorder_the_others() {
    let mut changes = many(SCAN_MAX as u64 + 100, 1);
    let paused = Event::RunPaused { reason: "lunch".into() };
    changes.push(Change { run: Some(run_id(5)), at: Time(1_000_000), events: vec![paused] });
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), usize::MAX);
    follower.follow(&feed(&changes)).unwrap();
    let states = vec![RunState::Running, RunState::Paused];
    let oldest = RunFilter { until: Some(Time(10)), states, ..of("default") };
    let expected: Vec<RunId> = (1..10).rev().map(run_id).collect();
    for limit in [4, 500] {
        assert_eq!(all(&queries, &oldest, limit), expected);
    }
}

#[test]
fn more_threads_than_connections_read_while_the_follower_writes() {
    let changes = many(20_000, 50);
    let journal = feed(&changes);
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 10);
    follower.follow(&journal[..1_000]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..READERS_MAX * 2 {
            let queries = queries.clone();
            scope.spawn(move || {
                let mut last = 0;
                for number in 1..200 {
                    let row = queries.run(run_id(number)).unwrap().unwrap();
                    assert_eq!(row.accepted, Time(number));
                    let page = queries.runs(&of("default"), None, 5).unwrap();
                    // Whole batches only: the newest run is the position's.
                    let position = queries.position().unwrap();
                    assert!(position >= last && page.items[0].accepted.0 < position);
                    last = position;
                }
            });
        }
        for batch in journal[1_000..].chunks(500) {
            follower.follow(batch).unwrap();
        }
    });
    assert_eq!(queries.position().unwrap(), journal.len() as u64);
}
