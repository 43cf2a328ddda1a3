//! Limits that change while the instance runs.

use ark_os_core::budget::Amounts;
use ark_os_core::event::Event;
use ark_os_core::settings_change::{LiveLimits, SettingChange, SettingsChanged};
use ark_os_core::{Command, State};

use super::world::{World, list, map, plan};

fn change(limits: LiveLimits) -> Command {
    let change = SettingChange {
        key: "performance.max_concurrent_tasks".into(),
        from: "1000".into(),
        to: "2".into(),
    };
    Command::ChangeSettings(Box::new(SettingsChanged {
        by: "operator".into(),
        reason: "too loud".into(),
        changes: vec![change],
        limits,
    }))
}

fn concurrent(most: u32) -> LiveLimits {
    LiveLimits { concurrent_tasks_max: Some(most), ..LiveLimits::default() }
}

#[test]
fn a_limit_that_is_raised_lets_work_begin_at_once_and_the_replay_knows_it() {
    let mut world = World::new(50);
    world.prepared.insert("m".into(), list(500));
    world.act(change(concurrent(2))).unwrap();
    let run = world.submit(plan(vec![map("m", &[], 0, 0)]));
    // One place is kept for emergencies.
    assert_eq!(world.working(run).len(), 1);
    world.act(change(concurrent(9))).unwrap();
    world.dispatch();
    assert_eq!(world.working(run).len(), 8);
    // What is under way goes on when there may be less of it.
    world.act(change(concurrent(3))).unwrap();
    world.dispatch();
    assert_eq!(world.working(run).len(), 8);
    let told = world.changes.iter().flat_map(|it| &it.events).filter_map(|event| match event {
        Event::SettingsChanged(it) => Some((it.by.clone(), it.changes.len())),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), vec![("operator".into(), 1); 3]);
    let mut again = State::default();
    let mut effects = Vec::new();
    world.changes.iter().for_each(|change| again.apply(change, &mut effects));
    assert_eq!(again.digest(), world.state.digest());
    assert_eq!(again.instance().unwrap().concurrent_tasks_max, 3);
}

#[test]
fn every_limit_has_its_place_and_what_is_not_named_stays() {
    let mut world = World::new(8);
    let before = world.state.instance().unwrap().clone();
    let budget = Amounts { calls: 7, ..Amounts::UNLIMITED };
    let limits = LiveLimits {
        agents_max: Some(12),
        runs_resident_max: Some(5),
        task_timeout_ms: Some(4_000),
        namespace_budget: Some(budget),
        concurrent_tasks_max: None,
    };
    world.act(change(limits)).unwrap();
    let now = world.state.instance().unwrap().clone();
    assert_eq!((now.agents_max, now.runs_resident_max), (Some(12), Some(5)));
    assert_eq!((now.task_timeout_ms, now.namespace_budget), (4_000, budget));
    assert_eq!(now.concurrent_tasks_max, before.concurrent_tasks_max);
    let refused = world.act(Command::ScaleFleet { agents: 13, reason: "".into() }).unwrap_err();
    assert_eq!(refused.code(), "agents_out_of_range");
}

#[test]
fn a_limit_of_nothing_is_refused_and_no_change_is_no_record() {
    let mut world = World::new(8);
    let records = world.changes.len();
    assert_eq!(world.act(change(concurrent(0))).unwrap_err().code(), "settings_invalid");
    let long = SettingChange { key: "k".into(), from: "".into(), to: "x".repeat(5_000).into() };
    for (changes, is_refused) in [(vec![long], true), (Vec::new(), false)] {
        let changed = SettingsChanged { changes, ..SettingsChanged::default() };
        let done = world.act(Command::ChangeSettings(Box::new(changed)));
        assert_eq!(done.is_err(), is_refused);
    }
    assert_eq!(world.changes.len(), records);
}
