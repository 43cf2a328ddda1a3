//! The profile grows and shrinks while it works; nothing that was begun is lost.

use std::collections::BTreeSet;

use ark_os_core::Command;
use ark_os_core::error::Failure;
use ark_os_core::event::{Event, Standing};
use ark_os_core::fleet::profile::FleetPlan;
use ark_os_core::ids::{AgentIx, RunId};
use ark_os_core::layer::Layer;
use ark_os_core::run::RunState;

use super::world::{World, instance, list, map, plan, task};

fn scale(world: &mut World, agents: u32) {
    world.act(Command::ScaleFleet { agents, reason: "as asked".into() }).unwrap();
    world.dispatch();
}

fn busy(agents: u32) -> (World, RunId) {
    let mut world = World::new(agents);
    world.prepared.insert("m".into(), list(500));
    let run = world.submit(plan(vec![map("m", &[], 0, 0)]));
    (world, run)
}

fn standing(world: &World, name: &str) -> Option<Standing> {
    let fleet = world.state.fleet();
    Some(fleet.agent(fleet.find(name)?)?.standing)
}

fn seated(world: &World) -> [u32; 6] {
    Layer::ALL.map(|layer| world.state.fleet().seated_in(layer))
}

#[test]
fn agents_that_are_added_work_at_once() {
    let (mut world, run) = busy(6);
    let before = world.working(run).len();
    scale(&mut world, 50);
    assert_eq!(seated(&world), FleetPlan::for_agents(50).counts());
    // Each of five stacks keeps a token for emergencies, as in a fleet of that size from the start.
    assert_eq!((before, world.working(run).len()), (3, 82 - 5));
    let fleet = world.state.fleet();
    let sizes: BTreeSet<u32> = fleet.pools().map(|(capacity, _)| capacity / 2).collect();
    assert_eq!(sizes, BTreeSet::from([8, 9]), "stacks differ by at most one");
    let added = fleet.find("micro-00027").unwrap();
    let seat = fleet.seat(added).unwrap();
    assert_eq!((fleet.name(added).as_str(), seat.layer), ("micro-00027", Layer::Micro));
    let chief = seat.supervisor.unwrap();
    assert_eq!(
        (fleet.layer(chief), fleet.seat(chief).unwrap().stack),
        (Layer::StackChief, seat.stack)
    );
    let place = fleet.place(added).unwrap();
    assert_eq!((&*place.name, place.stack), ("micro-00027", seat.stack));
    assert_eq!(fleet.place(AgentIx(5)), None, "what follows from the start needs no words");
    let named = world.changes.iter().flat_map(|it| &it.events).any(|event| match event {
        Event::AttemptStarted(it) => it.place.as_deref() == Some(&place),
        _ => false,
    });
    assert!(named, "the record says who worked");
    world.replayed();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn agents_that_are_too_many_finish_what_they_have() {
    let (mut world, run) = busy(50);
    let at_work = world.working(run);
    scale(&mut world, 6);
    assert_eq!(world.working(run), at_work, "nothing is stopped");
    assert_eq!(seated(&world), [1; 6]);
    assert_eq!(standing(&world, "micro-00001"), Some(Standing::Draining));
    assert_eq!(standing(&world, "stack-chief-00004"), Some(Standing::Retired));
    let pt = *world.open.keys().find(|pt| world.open[pt].agent.0 > 40).unwrap();
    let agent = world.open[&pt].agent;
    let others = world.open.values().filter(|it| it.agent == agent).count();
    world.finish(pt, "1");
    let now = world.open.values().filter(|it| it.agent == agent).count();
    assert_eq!(now, others - 1, "it gets nothing more");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.state.fleet().pools().map(|(capacity, _)| capacity).sum::<u32>(), 4);
    assert_eq!(standing(&world, "micro-00001"), Some(Standing::Retired));
    world.replayed();
}

#[test]
fn members_of_a_chief_who_leaves_get_another_and_stay_in_their_stack() {
    let mut world = World::new(50);
    scale(&mut world, 30);
    let fleet = world.state.fleet();
    let chiefs = fleet.plan().count(Layer::StackChief);
    assert!(fleet.seated_in(Layer::StackChief) < chiefs);
    for ix in (0..fleet.len()).map(AgentIx).filter(|ix| fleet.layer(*ix).works()) {
        assert_eq!(fleet.stack(ix), fleet.plan().stack(ix));
        let chief = fleet.seat(ix).unwrap().supervisor.unwrap();
        assert_eq!(fleet.agent(chief).unwrap().standing, Standing::Ready);
    }
}

#[test]
fn whoever_leaves_and_is_wanted_again_stays_and_who_has_left_does_not_come_back() {
    let (mut world, run) = busy(12);
    let seats = world.state.fleet().len();
    scale(&mut world, 8);
    scale(&mut world, 12);
    assert_eq!(world.state.fleet().len(), seats, "all were at work: nobody had left");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    let name = "micro-00003";
    let first = world.state.fleet().find(name).unwrap();
    scale(&mut world, 8);
    assert_eq!(standing(&world, name), Some(Standing::Retired));
    let back = Command::SetAgent { agent: first, online: true, reason: "r".into() };
    assert_eq!(world.act(back).unwrap_err().code(), "agent_passing");
    scale(&mut world, 12);
    let second = world.state.fleet().find(name).unwrap();
    assert!(second.0 >= seats && second != first, "no number is given out twice");
    assert_eq!(standing(&world, name), Some(Standing::Ready));
    world.replayed();
}

#[test]
fn agent_that_leaves_while_it_is_restarted_does_not_come_back() {
    let mut world = World::new(12);
    let mut look = task("a", &[]);
    look.skill = "look".into();
    let run = world.submit(plan(vec![look]));
    let pt = world.pt_at(run, 0);
    let agent = world.open[&pt].agent;
    assert_eq!(world.state.fleet().layer(agent), Layer::Specialist);
    world.act(Command::LoseAttempt { pt, reason: Failure::retryable("died", "died") }).unwrap();
    assert_eq!(world.state.fleet().agent(agent).unwrap().standing, Standing::Restarting);
    scale(&mut world, 1);
    world.tick(60_000);
    assert_eq!(world.state.fleet().agent(agent).unwrap().standing, Standing::Retired);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn the_runtime_holds_the_seats_that_a_shrunk_fleet_has_not() {
    let mut world = World::new(12);
    scale(&mut world, 2);
    assert!(world.state.fleet().is_held(Layer::Board));
    let run = world.submit(plan(vec![task("a", &[])]));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    scale(&mut world, 12);
    assert!(!world.state.fleet().is_held(Layer::Board));
    let board = world.state.fleet().find("board-00000").unwrap();
    world.act(Command::SetAgent { agent: board, online: false, reason: "r".into() }).unwrap();
    let waits = world.submit(plan(vec![task("a", &[])]));
    assert_eq!(world.standing(waits), RunState::Accepted, "its step waits for the board");
}

#[test]
fn a_size_that_cannot_be_is_refused_and_the_same_one_changes_nothing() {
    let mut settings = instance(12);
    settings.agents_max = Some(40);
    let mut world = World::of(settings);
    let mut size = |agents| world.act(Command::ScaleFleet { agents, reason: "r".into() });
    let nobody = size(0).unwrap_err();
    assert_eq!(nobody.code(), "agents_out_of_range");
    assert!(nobody.to_string().contains("1 to 40"), "{nobody}");
    assert!(nobody.advice().unwrap().contains("emergency freeze"), "what is possible instead");
    assert_eq!(size(41).unwrap_err().code(), "agents_out_of_range");
    assert!(size(12).unwrap().events.is_empty());
    assert_eq!(size(40).unwrap().events.len(), 1);
    // At a start, the settings say how many there are.
    world.restart();
    assert_eq!((world.state.fleet().profile(), world.state.fleet().len()), (12, 12));
}
