//! Declared agents and named workflows take the place of those before, all at once or not at all.

use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::command::JoinAgent;
use ark_os_core::event::{BrokenGroup, Event, Standing};
use ark_os_core::fleet::spec::{FleetSpec, GroupSpec};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, RunId};
use ark_os_core::layer::Layer;
use ark_os_core::plan::{ChildSpec, EffectClass, Shape, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::run::RunState;
use ark_os_core::schedule::{Overlap, Planned, ScheduleSpec};

use super::schedules;
use super::world::{World, group, list, map, plan, skill, task};

fn fleet(groups: Vec<GroupSpec>) -> FleetSpec {
    FleetSpec { groups, skills: vec![skill("extra", EffectClass::Read, None)] }
}

fn needs(skill: &str) -> Arc<Workflow> {
    let mut only = task("only", &[]);
    only.skill = skill.into();
    plan(vec![only])
}

fn named(name: &str, skill: &str) -> Arc<Workflow> {
    Workflow { name: name.into(), ..Workflow::clone(&needs(skill)) }.sealed()
}

fn deploy(world: &mut World, groups: Vec<GroupSpec>) {
    world.deploy(fleet(groups), Vec::new()).unwrap();
    world.all_well();
}

fn worker(world: &World, run: RunId) -> String {
    let begun = world.begun.iter().rev().find(|it| it.pt.run == run).unwrap();
    world.state.fleet().name(begun.agent)
}

fn standing(world: &World, name: &str) -> Option<Standing> {
    let fleet = world.state.fleet();
    Some(fleet.agent(fleet.find(name)?)?.standing)
}

fn solo() -> GroupSpec {
    group("solo", Layer::Specialist, 1, &["extra"])
}

#[test]
fn declared_agents_do_their_skills_and_nobody_else_does() {
    let mut world = World::new(12);
    let unknown = world.submit_with(needs("extra"), |_| {}).unwrap_err();
    assert_eq!(unknown.code(), "unknown_skill");
    let crew = group("crew", Layer::Micro, 2, &["echo"]);
    deploy(&mut world, vec![solo(), crew]);
    assert_eq!(world.state.deployments().version(), 1);
    let run = world.submit(needs("extra"));
    assert_eq!(worker(&world, run), "solo");
    world.prepared.insert("m".into(), list(50));
    let many = world.submit(plan(vec![map("m", &[], 0, 0)]));
    // Two members with two tasks each, one of which is kept for emergencies.
    assert_eq!(world.working(many).len(), 3);
    assert!(["crew-00000", "crew-00001"].contains(&&*worker(&world, many)));
    let urgent = world.submit_as(Priority::Emergency, needs("echo"));
    assert_eq!(world.working(urgent).len(), 1, "the token that is kept");
    let other = world.submit(needs("look"));
    assert!(worker(&world, other).starts_with("specialist-"), "what nobody declared is as before");
    let place = world.changes.iter().flat_map(|it| &it.events).find_map(|event| match event {
        Event::AttemptStarted(it) => it.place.as_deref().filter(|it| &*it.name == "solo"),
        _ => None,
    });
    assert_eq!(place.map(|it| it.layer), Some(Layer::Specialist));
    world.work();
    world.replayed();
}

#[test]
fn one_agent_with_one_task_at_a_time_does_not_keep_its_only_token() {
    let mut world = World::new(12);
    let mut only = solo();
    only.concurrency = Some(1);
    deploy(&mut world, vec![only]);
    let (first, second) = (world.submit(needs("extra")), world.submit(needs("extra")));
    assert_eq!((world.working(first).len(), world.working(second).len()), (1, 0));
    world.work();
    assert_eq!(world.standing(second), RunState::Succeeded);
}

#[test]
fn layers_are_checked_from_the_highest_down_and_nobody_works_before_the_end() {
    let mut world = World::new(12);
    let mut crew = group("crew", Layer::Micro, 2, &["extra"]);
    crew.supervisor = Some("lead".into());
    let lead = group("lead", Layer::StackChief, 1, &[]);
    world.deploy(fleet(vec![crew, lead]), Vec::new()).unwrap();
    let mut order = Vec::new();
    while let Some((_, layer)) = world.checks.last().copied() {
        order.extend(layer);
        assert_eq!(standing(&world, "crew-00000"), Some(Standing::Starting));
        let early = world.submit_with(needs("extra"), |_| {});
        assert_eq!(early.unwrap_err().code(), "unknown_skill");
        world.report(true);
    }
    assert_eq!(order, [Layer::StackChief, Layer::Micro]);
    assert_eq!(standing(&world, "crew-00000"), Some(Standing::Ready));
    let agent = world.state.fleet().find("crew-00001").unwrap();
    let leader = world.state.fleet().seat(agent).unwrap().supervisor.unwrap();
    assert_eq!(world.state.fleet().name(leader), "lead");
    // Without who routes it, the crew's work waits; nobody else's does.
    world.set_agent(leader, false);
    let waits = world.submit(needs("extra"));
    let other = world.submit(needs("look"));
    assert_eq!((world.working(waits).len(), world.working(other).len()), (0, 1));
    world.set_agent(leader, true);
    assert_eq!(world.working(waits).len(), 1);
    world.replayed();
}

#[test]
fn whatever_goes_wrong_everything_is_as_it_was() {
    type GoWrong = fn(&mut World);
    let how: [(&str, GoWrong); 4] = [
        ("it does not answer", |world| world.report(false)),
        ("not healthy in time", |world| world.tick(60_000)),
        ("cancelled: no", |world| {
            let reason = "no".into();
            world.act(Command::CancelDeployment { version: Some(2), reason }).unwrap();
        }),
        ("restarted", World::restart),
    ];
    for (why, go_wrong) in how {
        let mut world = World::new(12);
        deploy(&mut world, vec![solo()]);
        let run = world.submit(needs("extra"));
        let mut other = solo();
        other.behaviour = Some(Hash::of(b"other"));
        let elder = group("elder", Layer::Board, 1, &[]);
        world.deploy(fleet(vec![other, elder]), vec![needs("extra")]).unwrap();
        assert_eq!(world.state.deployments().under_way().unwrap().deployment.version, 2);
        go_wrong(&mut world);
        let deployments = world.state.deployments();
        assert!(deployments.under_way().is_none());
        assert_eq!((deployments.version(), deployments.workflow("plan")), (1, None));
        let over = deployments.past().next_back().unwrap();
        assert!(over.version == 2 && over.rolled_back.as_ref().unwrap().contains(why), "{over:?}");
        assert!(matches!(standing(&world, "elder"), None | Some(Standing::Retired)));
        let how = standing(&world, "solo").unwrap();
        assert!(!how.is_passing(), "{how:?}");
        assert!(world.checks.is_empty(), "nothing is checked any more");
        // A word that comes late changes nothing, and neither does the time that was set.
        let late =
            Command::ReportHealth { version: 2, layer: Some(Layer::Board), result: Ok(Vec::new()) };
        assert!(world.act(late).unwrap().events.is_empty());
        world.tick(120_000);
        world.work();
        assert_eq!(world.standing(run), RunState::Succeeded);
        // The next one has a number of its own.
        deploy(&mut world, vec![solo(), group("crew", Layer::Micro, 3, &["put"])]);
        assert_eq!(world.state.deployments().version(), 3);
        world.replayed();
    }
}

#[test]
fn one_deployment_at_a_time_on_top_of_the_one_that_was_seen() {
    let mut world = World::new(12);
    let first = world.deploy(fleet(vec![solo()]), Vec::new());
    assert_eq!(first.unwrap().events.len(), 1);
    let second = world.deploy(fleet(Vec::new()), Vec::new()).unwrap_err();
    assert_eq!(second.code(), "deployment_under_way");
    world.all_well();
    let again = world.deploy(fleet(vec![solo()]), Vec::new()).unwrap();
    assert!(again.events.is_empty(), "the same again changes nothing");
    let Command::Deploy(mut stale) = world.deployment(fleet(Vec::new()), Vec::new()) else {
        panic!()
    };
    stale.expected = Some(0);
    assert_eq!(world.act(Command::Deploy(stale)).unwrap_err().code(), "deployment_outdated");
    let none = Command::CancelDeployment { version: None, reason: "r".into() };
    assert_eq!(world.act(none).unwrap_err().code(), "deployment_not_found");
}

#[test]
fn groups_that_did_not_change_keep_their_agents() {
    let mut world = World::new(12);
    let mut hands = group("hands", Layer::Micro, 3, &["put"]);
    hands.supervisor = Some("lead".into());
    let lead = |count| group("lead", Layer::StackChief, count, &[]);
    deploy(&mut world, vec![solo(), hands.clone(), lead(1)]);
    let seat = |world: &World, name: &str| world.state.fleet().find(name).unwrap();
    let before = ["solo", "hands-00000", "lead"].map(|name| seat(&world, name));
    // One more hand, and another way for the other.
    let mut other = solo();
    other.behaviour = Some(Hash::of(b"other"));
    hands.count = 4;
    let run = world.submit(needs("extra"));
    deploy(&mut world, vec![other.clone(), hands.clone(), lead(1)]);
    let after = ["solo", "hands-00000", "lead"].map(|name| seat(&world, name));
    assert_eq!((before[1], before[2]), (after[1], after[2]));
    assert_ne!(before[0], after[0]);
    let row = |agent: AgentIx| world.state.fleet().agent(agent).unwrap().standing;
    assert_eq!((row(before[0]), row(after[0])), (Standing::Draining, Standing::Ready));
    assert_eq!(standing(&world, "hands-00003"), Some(Standing::Ready));
    world.finish(world.pt_at(run, 0), "1");
    assert_eq!(world.standing(run), RunState::Succeeded, "what was begun is finished");
    assert_eq!(world.state.fleet().agent(before[0]).unwrap().standing, Standing::Retired);
    // Other leaders: whoever is led is exchanged with them. Fewer hands: the last ones leave.
    hands.count = 2;
    deploy(&mut world, vec![other, hands, lead(2)]);
    assert_ne!(seat(&world, "hands-00000"), after[1]);
    assert_eq!(standing(&world, "hands-00003"), Some(Standing::Retired));
    let leaders = [0, 1].map(|it| {
        let hand = world.state.fleet().find(&format!("hands-{it:05}")).unwrap();
        world.state.fleet().seat(hand).unwrap().supervisor.unwrap()
    });
    assert_ne!(leaders[0], leaders[1], "they take turns");
    world.replayed();
}

#[test]
fn skills_that_somebody_needs_keep_somebody_who_offers_them() {
    let mut world = World::new(12);
    deploy(&mut world, vec![solo(), group("crew", Layer::Micro, 2, &["put"])]);
    let run = world.submit(needs("extra"));
    let refused =
        world.deploy(fleet(Vec::new()), vec![named("a", "more"), named("b", "put")]).unwrap_err();
    assert_eq!(refused.code(), "skill_orphaned");
    let message = refused.to_string();
    assert!(message.contains("`extra`; `more`") && !message.contains("`put`"), "{message}");
    world.finish(world.pt_at(run, 0), "1");
    // Nobody needs it when the deployment begins, and somebody does before it is over.
    world.deploy(fleet(vec![group("elder", Layer::Board, 1, &[])]), Vec::new()).unwrap();
    let late = world.submit(needs("extra"));
    world.report(true);
    let over = world.state.deployments().past().next_back().unwrap().clone();
    assert!(over.rolled_back.unwrap().contains("`extra`"));
    world.work();
    assert_eq!(world.standing(late), RunState::Succeeded);
    deploy(&mut world, Vec::new());
    let gone = world.submit_with(needs("extra"), |_| {}).unwrap_err();
    assert_eq!(gone.code(), "unknown_skill");
    assert_eq!(standing(&world, "solo"), Some(Standing::Retired));
    world.replayed();
}

#[test]
fn what_schedules_and_their_children_need_is_kept_and_what_workers_bring_is_there() {
    let mut world = World::new(12);
    deploy(&mut world, vec![solo()]);
    let mut parent = task("parent", &[]);
    (parent.skill, parent.shape) =
        ("".into(), Shape::Child(ChildSpec::new(&needs("extra"), false)));
    let planned = Planned::Inline(plan(vec![parent]));
    schedules::put(
        &mut world,
        ScheduleSpec { workflow: planned, ..schedules::spec(Overlap::Skip) },
    )
    .unwrap();
    let refused = world.deploy(fleet(Vec::new()), Vec::new()).unwrap_err();
    assert_eq!(refused.code(), "skill_orphaned");
    assert!(refused.to_string().contains("needed: `extra`"), "{refused}");
    // A worker's skill is no deployment's, and its name is its own.
    let join = JoinAgent {
        name: "far".into(),
        layer: Layer::Specialist,
        concurrency: 1,
        skills: vec![skill("far.off", EffectClass::Read, None)],
    };
    world.act(Command::JoinAgent(Box::new(join))).unwrap();
    let taken = vec![solo(), group("far", Layer::Specialist, 1, &[])];
    assert_eq!(world.deploy(fleet(taken), Vec::new()).unwrap_err().code(), "fleet_invalid");
    world.deploy(fleet(vec![solo()]), vec![named("a", "far.off")]).unwrap();
    world.all_well();
    // A schedule names what is deployed.
    let by_name = |name: &str| ScheduleSpec {
        workflow: Planned::Named(name.into()),
        ..schedules::spec(Overlap::Skip)
    };
    let unknown = schedules::put(&mut world, by_name("b")).unwrap_err();
    assert_eq!(unknown.code(), "workflow_not_found");
    schedules::put(&mut world, by_name("a")).unwrap();
    let run = schedules::fire(&mut world).unwrap().run.expect("it begins one");
    assert_eq!(worker(&world, run), "far");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_fleet_that_cannot_be_is_refused_with_all_that_is_wrong() {
    let mut world = World::new(12);
    let mut crew = group("micro", Layer::Micro, 2, &["nowhere"]);
    crew.supervisor = Some("boss".into());
    let refused = world.deploy(fleet(vec![crew]), Vec::new()).unwrap_err();
    assert_eq!(refused.code(), "fleet_invalid");
    for what in ["built-in profile", "`boss`", "`nowhere`"] {
        assert!(refused.to_string().contains(what), "{refused}");
    }
}

#[test]
fn a_finished_deployment_is_there_after_a_restart() {
    let mut world = World::new(12);
    let mut crew = group("crew", Layer::Micro, 3, &["put"]);
    crew.supervisor = Some("lead".into());
    let groups = vec![solo(), crew, group("lead", Layer::StackChief, 2, &[])];
    world.deploy(fleet(groups), vec![needs("extra")]).unwrap();
    world.all_well();
    let run = world.submit(needs("extra"));
    world.instance.agents = 8;
    world.restart();
    assert_eq!(world.state.deployments().version(), 1);
    assert!(world.state.deployments().workflow("plan").is_some());
    assert_eq!(worker(&world, run), "solo");
    let last = world.state.fleet().find("crew-00002").unwrap();
    let leader = world.state.fleet().seat(last).unwrap().supervisor.unwrap();
    assert_eq!(world.state.fleet().name(leader), "lead-00000");
    world.snapshot();
    // What cannot be set up is offline, with the reason; what it would do waits.
    let reason = "the secret is gone".into();
    world.instance.broken = Some(vec![BrokenGroup { group: "solo".into(), reason }]);
    world.restart();
    let agent = world.state.fleet().find("solo").unwrap();
    assert_eq!(standing(&world, "solo"), Some(Standing::Offline));
    assert!(world.state.fleet().reason(agent).unwrap().contains("secret"));
    assert_eq!(world.working(run).len(), 0);
    world.set_agent(agent, true);
    assert_eq!(world.state.fleet().reason(agent), None);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn named_workflows_are_those_of_the_newest_deployment() {
    let mut world = World::new(12);
    world.deploy(fleet(vec![solo()]), vec![needs("extra")]).unwrap();
    world.all_well();
    let first = world.state.deployments().workflow("plan").unwrap().clone();
    let run = world.submit(first.clone());
    world.deploy(fleet(vec![solo()]), vec![needs("echo")]).unwrap();
    assert_eq!(world.state.deployments().workflow("plan"), Some(&first), "not before the end");
    world.all_well();
    assert_ne!(world.state.deployments().workflow("plan"), Some(&first));
    assert_eq!(world.run(run).workflow, first, "what runs keeps its own");
    let outdated = world.deploy(fleet(vec![solo()]), vec![needs("echo"), needs("look")]);
    assert_eq!(outdated.unwrap_err().code(), "fleet_invalid", "two have one name");
}
