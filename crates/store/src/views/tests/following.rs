//! The tables say what the core's state says, however the journal is cut.

use ark_os_core::event::{Event, RunAccepted};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::priority::Priority;
use ark_os_core::run::{RunState, RunSummary, TaskState};
use ark_os_core::time::Time;
use ark_os_core::{Change, Command};
use proptest::prelude::*;

use super::world::{NAMESPACES, Wish, World, dump, feed, open, run_id};
use crate::ErrorKind;
use crate::views::{Followed, Queries, RunRow, TaskTally, Views, ViewsOptions};

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    proptest::collection::vec(any::<Wish>(), 0..400)
}

/// The row that a summary of the core stands for.
fn row_of(summary: &RunSummary, admission: Option<u64>) -> RunRow {
    RunRow {
        id: summary.id,
        namespace: summary.namespace.clone(),
        workflow: summary.workflow.clone(),
        version: summary.version.clone(),
        workflow_hash: summary.workflow_hash,
        admission,
        state: summary.state,
        priority: summary.priority,
        accepted: summary.accepted,
        ended: summary.ended,
        tasks: TaskTally {
            total: summary.counts.total(),
            succeeded: summary.counts.of(TaskState::Succeeded),
            failed: summary.counts.of(TaskState::Failed),
        },
        output: summary.output.clone().filter(|_| summary.ended.is_some()),
        failure: summary.failure.as_ref().map(|it| serde_json::to_string(it).unwrap()),
    }
}

fn expect_same(world: &World, queries: &Queries) {
    let mut states = std::collections::BTreeMap::new();
    for number in 1..=world.runs {
        let id = run_id(number);
        let row = queries.run(id).unwrap();
        let alive = world.state.run(id).map(|run| run.summary());
        let Some(summary) = alive.or_else(|| world.told.get(&id).cloned()) else {
            assert_eq!(row, None, "run {number} was refused");
            continue;
        };
        let row = row.unwrap();
        assert_eq!(row, row_of(&summary, row.admission), "run {number}");
        assert_eq!(queries.records_of(id, 0, usize::MAX).unwrap(), world.records_of(id));
        *states.entry((summary.namespace.to_string(), summary.state)).or_insert(0) += 1;
        if let Some(admission) = row.admission {
            let admission = queries.admission(admission).unwrap().unwrap();
            assert_eq!(admission.namespace, summary.namespace);
            assert_eq!(admission.workflow_hash, summary.workflow_hash);
            assert!(admission.decisions.starts_with('['));
        }
    }
    for namespace in NAMESPACES {
        let counts = queries.counts_by_state(namespace).unwrap();
        let expected: Vec<_> = states
            .iter()
            .filter(|((name, _), _)| name == namespace)
            .map(|((_, state), count)| (*state, *count))
            .collect();
        assert_eq!(counts, expected);
    }
}

/// Feeds the journal in parts of these sizes, some of it twice, opening the file anew now and then.
fn follow_in_parts(
    dir: &std::path::Path,
    journal: &[Followed<'_>],
    cuts: &[(u8, bool)],
    kept: usize,
) {
    let (mut follower, _) = open(dir, kept);
    let mut cuts = cuts.iter().cycle();
    let mut at = 0;
    while at < journal.len() {
        let (size, again) = *cuts.next().unwrap_or(&(7, true));
        let until = (at + usize::from(size) + 1).min(journal.len());
        let from = if again { at.saturating_sub(3) } else { at };
        follower.follow(&journal[from..until]).unwrap();
        assert_eq!(follower.position(), until as u64);
        if again {
            drop(follower);
            (follower, _) = open(dir, kept);
        }
        at = until;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_tables_say_what_the_state_says(wishes in wishes()) {
        let world = World::of(&wishes);
        let dir = tempfile::tempdir().unwrap();
        let (mut follower, queries) = open(dir.path(), 1_000);
        follower.follow(&world.feed()).unwrap();
        expect_same(&world, &queries);
    }

    #[test]
    fn every_partition_gives_the_same_tables(
        wishes in wishes(),
        cuts in proptest::collection::vec((0u8..40, proptest::bool::weighted(0.2)), 1..20),
        kept in 0usize..4,
    ) {
        let world = World::of(&wishes);
        let journal = world.feed();
        let (one, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut follower, _queries) = open(one.path(), 1_000);
        follower.follow(&journal).unwrap();
        follow_in_parts(parts.path(), &journal, &cuts, kept);
        prop_assert_eq!(dump(one.path()), dump(parts.path()));
    }
}

/// Wishes that make every kind of event likely, the same ones every time.
fn many_wishes(count: u64) -> Vec<Wish> {
    (0..count)
        .map(|ix| {
            let draw = Hash::of(&ix.to_le_bytes()).draw();
            ((draw >> 16) as u8, draw as u16)
        })
        .collect()
}

#[test]
fn a_long_journal_says_what_the_state_says_and_has_every_kind_of_run() {
    let world = World::of(&many_wishes(6_000));
    let dir = tempfile::tempdir().unwrap();
    follow_in_parts(dir.path(), &world.feed(), &[(200, false), (3, false), (90, true)], 5);
    let (_follower, queries) = open(dir.path(), 5);
    expect_same(&world, &queries);
    let counts = queries.counts_by_state("default").unwrap();
    for state in [RunState::Succeeded, RunState::Failed, RunState::Cancelled, RunState::Paused] {
        assert!(counts.iter().any(|(known, _)| *known == state), "{state:?} in {counts:?}");
    }
    let kinds = |wanted: fn(&Event) -> bool| {
        world.changes.iter().flat_map(|change| &change.events).any(wanted)
    };
    assert!(kinds(|event| matches!(event, Event::RunRetried { .. })));
    assert!(kinds(|event| matches!(event, Event::RunParked)));
    assert!(kinds(|event| matches!(event, Event::RunWaited { .. })));
    assert!(kinds(|event| matches!(event, Event::RunStarted { .. })));
    assert!(kinds(|event| matches!(event, Event::MapDone { .. })));
    assert!(kinds(|event| matches!(event, Event::TaskUnparked { .. })));
}

#[test]
fn rebuilding_gives_the_tables_that_following_gave() {
    let world = World::of(&many_wishes(1_500));
    let dir = tempfile::tempdir().unwrap();
    follow_in_parts(dir.path(), &world.feed(), &[(30, false)], 100);
    let live = dump(dir.path());
    let (mut follower, queries) = open(dir.path(), 100);
    follower.rebuild().unwrap();
    assert_eq!((follower.position(), queries.position().unwrap()), (0, 0));
    assert_eq!(queries.run(run_id(1)).unwrap(), None);
    follower.follow(&world.feed()).unwrap();
    assert_eq!(dump(dir.path()), live);
    drop(follower);
    let mut views = Views::open(&dir.path().join("views.db"), ViewsOptions::default()).unwrap();
    assert_eq!(views.position().unwrap(), world.changes.len() as u64);
    views.rebuild().unwrap();
    assert_eq!(views.position().unwrap(), 0);
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let world = World::of(&many_wishes(300));
    let dir = tempfile::tempdir().unwrap();
    let journal = world.feed();
    let (mut follower, queries) = open(dir.path(), 100);
    follower.follow(&journal[..10]).unwrap();
    let before = dump(dir.path());
    let torn: Vec<_> = journal[10..20].iter().chain(&journal[21..30]).copied().collect();
    assert_eq!(follower.follow(&torn).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(dump(dir.path()), before);
    follower.follow(&journal[10..]).unwrap();
    expect_same(&world, &queries);
}

#[test]
fn a_file_of_another_version_or_a_damaged_one_is_dropped_and_a_foreign_one_is_kept() {
    let world = World::of(&many_wishes(100));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("views.db");
    let sql = |text: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(text).unwrap();
    };
    for harm in [
        "PRAGMA user_version = 77",
        "UPDATE position SET boot = 'another'",
        "DROP TABLE position",
        "DROP VIEW run_list; CREATE TABLE \"a \"\"b\"\"\" (c); PRAGMA user_version = 0",
    ] {
        let (mut follower, _) = open(dir.path(), 10);
        follower.follow(&world.feed()).unwrap();
        drop(follower);
        sql(harm);
        assert_eq!(open(dir.path(), 10).0.position(), 0, "{harm}");
    }
    std::fs::write(&path, b"SQLite format 3\0 but not really, only noise ".repeat(500)).unwrap();
    assert_eq!(open(dir.path(), 10).0.position(), 0);
    std::fs::remove_file(&path).unwrap();
    sql("CREATE TABLE somebody_elses (data)");
    let refused = Views::open(&path, ViewsOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    sql("SELECT data FROM somebody_elses");
}

#[test]
fn a_closed_file_is_trusted_after_the_machine_starts_anew() {
    let world = World::of(&many_wishes(100));
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, _) = open(dir.path(), 10);
    follower.follow(&world.feed()).unwrap();
    follower.close().unwrap();
    let db = rusqlite::Connection::open(dir.path().join("views.db")).unwrap();
    let boot: Option<String> =
        db.query_row("SELECT boot FROM position", [], |row| row.get(0)).unwrap();
    assert_eq!(boot, None);
    drop(db);
    assert_eq!(open(dir.path(), 10).0.position(), world.changes.len() as u64);
}

#[test]
fn a_run_of_many_records_keeps_all_their_numbers_in_small_rows() {
    const RECORDS: u64 = 5_000;
    let mut world = World::new();
    let long = world.submit(0, "default");
    let other = world.submit(0, "default");
    let renewed = |run: RunId, ix: u64| Change {
        run: Some(run),
        at: Time(2_000_000_000_000 + ix),
        events: vec![Event::LeaseRenewed { task: TaskRef::node(0), until: Time(ix) }],
    };
    for ix in 0..RECORDS {
        world.changes.push(renewed(long, ix));
        if ix % 1_000 == 0 {
            world.changes.push(renewed(other, ix));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    follow_in_parts(dir.path(), &feed(&world.changes), &[(250, false), (77, true)], 0);
    let (_follower, queries) = open(dir.path(), 10);
    for run in [long, other] {
        let expected = world.records_of(run);
        assert_eq!(queries.records_of(run, 0, usize::MAX).unwrap(), expected);
        let mut paged = Vec::new();
        loop {
            let page = queries.records_of(run, paged.last().copied().unwrap_or(0), 333).unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, expected);
        let from = expected[expected.len() / 2];
        assert_eq!(queries.records_of(run, from - 1, 1).unwrap(), [from]);
    }
    let db = rusqlite::Connection::open(dir.path().join("views.db")).unwrap();
    let largest: i64 =
        db.query_row("SELECT max(length(records)) FROM runs", [], |row| row.get(0)).unwrap();
    assert!(largest < 4_096, "{largest}");
    assert_eq!(queries.records_of(run_id(99), 0, 10).unwrap(), Vec::<u64>::new());
}

#[test]
fn hostile_values_come_back_as_they_were() {
    let mut world = World::new();
    for namespace in NAMESPACES {
        world.submit(6, namespace);
        world.answer(18);
    }
    let huge = Payload::inline(vec![b'7'; 4 << 20]);
    let bytes = Payload::inline(&[0xff, 0x00, b'"'][..]);
    for (ix, output) in [huge, bytes, Payload::Blob { hash: Hash::ZERO, len: u64::MAX >> 1 }]
        .into_iter()
        .enumerate()
    {
        world.send(Command::CancelRun { run: run_id(ix as u64 + 1), reason: "'; --".into() });
        let cancelled = world.changes.last_mut().unwrap();
        for event in &mut cancelled.events {
            if let Event::RunEnded(ended) = event {
                ended.output = Some(output.clone());
            }
        }
        world.told.get_mut(&run_id(ix as u64 + 1)).unwrap().output = Some(output);
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 10);
    follower.follow(&world.feed()).unwrap();
    for (run, summary) in &world.told {
        let row = queries.run(*run).unwrap().unwrap();
        assert_eq!(row, row_of(summary, row.admission));
    }
    assert_eq!(world.told.len(), 3);
}

#[test]
fn records_of_runs_that_nobody_accepted_change_nothing() {
    let unknown = RunAccepted {
        admission: Some(404),
        pending: None,
        input: Payload::null(),
        priority: Priority::Low,
        deadline: None,
        budget: None,
        seed: 0,
        key: None,
        waits: None,
        start_at: None,
        parent: None,
        origin: None,
    };
    let changes = [
        Change { run: Some(run_id(1)), at: Time(1), events: vec![Event::RunParked] },
        Change {
            run: Some(run_id(2)),
            at: Time(2),
            events: vec![Event::RunAccepted(Box::new(unknown)), Event::RunParked],
        },
        Change { run: None, at: Time(3), events: vec![Event::RunParked] },
        Change { run: None, at: Time(4), events: Vec::new() },
    ];
    let dir = tempfile::tempdir().unwrap();
    let (mut follower, queries) = open(dir.path(), 10);
    follower.follow(&feed(&changes)).unwrap();
    assert_eq!(queries.position().unwrap(), 4);
    assert_eq!(queries.run(run_id(1)).unwrap(), None);
    assert_eq!(queries.run(run_id(2)).unwrap(), None);
}
