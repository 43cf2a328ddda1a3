//! The fleet at work: limits, priorities, and what waits while somebody is missing.

use ark_os_core::Command;
use ark_os_core::command::AttemptOutcome;
use ark_os_core::event::{Event, Intake};
use ark_os_core::ids::{AgentIx, RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::plan::EffectClass;
use ark_os_core::priority::Priority;
use ark_os_core::run::{RunState, TaskState};

use super::world::{World, instance, json, list, map, plan, skill, task};

fn single(skill: &str) -> std::sync::Arc<ark_os_core::plan::Workflow> {
    let mut a = task("a", &[]);
    a.skill = skill.into();
    plan(vec![a])
}

fn starts(world: &World, run: RunId) -> usize {
    world.begun.iter().filter(|it| it.pt.run == run).count()
}

#[test]
fn fleets_of_one_to_six_agents_work() {
    for agents in 1..=6 {
        let mut world = World::new(agents);
        world.prepared.insert("m".into(), list(9));
        let runs: Vec<RunId> = ["echo", "look", "send", "narrow"]
            .map(|skill| {
                let mut last = task("z", &[0]);
                last.skill = skill.into();
                world.submit(plan(vec![map("m", &[], 0, 0), last]))
            })
            .to_vec();
        world.work();
        for run in runs {
            assert_eq!(world.standing(run), RunState::Succeeded, "{agents} agents");
        }
        world.replayed();
    }
}

#[test]
fn concurrency_is_limited_by_skill_by_agent_and_in_all() {
    let mut world = World::new(50);
    world.prepared.insert("m".into(), list(500));
    let mut narrow = map("m", &[], 0, 0);
    narrow.skill = "narrow".into();
    let run = world.submit(plan(vec![narrow]));
    assert_eq!(world.working(run).len(), 2, "by skill");
    let other = world.submit(plan(vec![map("m", &[], 0, 0)]));
    // Five stacks keep one token each; the audit checks every agent's limit.
    let capacity: u32 = world.state.fleet().pools().map(|(capacity, _)| capacity).sum();
    assert_eq!((capacity, world.state.fleet().in_use()), (82, 82 - 5));
    assert_eq!(world.working(other).len(), 75);

    let mut small = instance(50);
    small.concurrent_tasks_max = 10;
    let mut world = World::of(small);
    world.prepared.insert("m".into(), list(500));
    world.submit(plan(vec![map("m", &[], 0, 0)]));
    assert_eq!(world.open.len(), 9, "in all, and one place is kept for emergencies");
    let urgent = world.submit_as(Priority::Emergency, single("echo"));
    assert_eq!(world.working(urgent).len(), 1);
    let urgent = world.submit_as(Priority::Emergency, single("echo"));
    assert_eq!(world.working(urgent).len(), 0, "ten in all");
}

#[test]
fn emergency_gets_a_token_when_pools_are_full_of_low_work() {
    for agents in [1, 2, 6, 50] {
        let mut world = World::new(agents);
        world.prepared.insert("m".into(), list(500));
        world.submit_as(Priority::Low, plan(vec![map("m", &[], 0, 0)]));
        let critical = world.submit_as(Priority::Critical, single("look"));
        assert_eq!(starts(&world, critical), 0, "critical is no emergency");
        let urgent = world.submit_as(Priority::Emergency, single("echo"));
        assert_eq!(starts(&world, urgent), 1, "{agents} agents");
    }
}

#[test]
fn emergency_gets_a_token_though_others_of_its_stack_are_offline() {
    let mut world = World::new(10);
    let plan_of = *world.state.fleet().plan();
    for ordinal in 1..plan_of.count(Layer::Micro) {
        world.set_agent(plan_of.agent(Layer::Micro, ordinal).unwrap(), false);
    }
    for ordinal in 1..plan_of.count(Layer::Specialist) {
        world.set_agent(plan_of.agent(Layer::Specialist, ordinal).unwrap(), false);
    }
    world.prepared.insert("m".into(), list(500));
    world.submit_as(Priority::Low, plan(vec![map("m", &[], 0, 0)]));
    let urgent = world.submit_as(Priority::Emergency, single("echo"));
    assert_eq!(starts(&world, urgent), 1);
}

#[test]
fn sooner_turns_go_first_and_old_low_work_overtakes_new_high_work() {
    let mut world = World::new(1);
    let first = world.submit(single("echo"));
    let low = world.submit_as(Priority::Low, single("echo"));
    let normal = world.submit_as(Priority::Normal, single("look"));
    for _ in 0..13 {
        world.renew_all();
        world.tick(9_500);
    }
    world.renew_all();
    let high = world.submit_as(Priority::High, single("echo"));
    let critical = world.submit_as(Priority::Critical, single("look"));
    let mut order = Vec::new();
    while let Some(pt) = world.open.keys().next().copied() {
        order.push(pt.run);
        world.finish(pt, "1");
    }
    assert_eq!(order, [first, critical, normal, low, high]);
}

#[test]
fn nobody_slips_in_before_a_sooner_turn_of_another_skill() {
    let mut world = World::new(1);
    let first = world.submit(single("echo"));
    let critical = world.submit_as(Priority::Critical, single("look"));
    let pt = world.pt_at(first, 0);
    let finish = ark_os_core::command::FinishAttempt {
        pt,
        agent: AgentIx(0),
        outcome: AttemptOutcome::Succeeded { output: json("1"), blobs: Vec::new() },
        input: ark_os_core::hash::Hash::ZERO,
        spent: Default::default(),
        micros: 1,
    };
    world.act(Command::FinishAttempt(Box::new(finish))).unwrap();
    // The token is free and nobody has dispatched yet.
    let mut late = world.submission(single("echo"));
    late.priority = Priority::Low;
    let late_run = late.run;
    world.act(Command::SubmitRun(Box::new(late))).unwrap();
    world.dispatch();
    assert_eq!((starts(&world, critical), starts(&world, late_run)), (1, 0));
}

#[test]
fn work_of_a_missing_upper_layer_waits_visibly_and_goes_on_when_one_is_back() {
    for layer in [Layer::Cecca, Layer::Board, Layer::Executive, Layer::StackChief] {
        let mut world = World::new(50);
        let admitted = world.submit(plan(vec![task("a", &[]), task("b", &[0])]));
        world.set_layer(layer, false);
        let run = world.submit(plan(vec![task("other", &[])]));
        assert_eq!(world.standing(run), RunState::Accepted);
        assert_eq!(world.run(run).waits_for, Some(layer));
        let named = |event: &Event| matches!(event, Event::RunWaited { layer: it } if *it == layer);
        assert_eq!(world.events(named), 1, "{layer}");
        let a = world.pt_at(admitted, 0);
        world.finish(a, "1");
        let goes_on = world.working(admitted).len();
        assert_eq!(goes_on, usize::from(layer != Layer::StackChief), "{layer}");
        world.restart();
        // An instance begins with its whole fleet.
        assert_eq!(world.working(run).len(), 1, "{layer}");
        world.set_layer(layer, false);
        let other = world.submit(plan(vec![task("third", &[])]));
        world.tick(1_000);
        assert!(world.working(other).is_empty());
        world.set_agent(world.state.fleet().plan().agent(layer, 0).unwrap(), true);
        assert_eq!(world.working(other).len(), 1, "{layer}");
        world.work();
        assert_eq!(world.standing(other), RunState::Succeeded);
    }
}

#[test]
fn waiting_run_names_the_layer_that_is_empty_now() {
    let mut world = World::new(50);
    world.set_layer(Layer::Cecca, false);
    world.set_layer(Layer::Board, false);
    let run = world.submit(single("echo"));
    assert_eq!(world.run(run).waits_for, Some(Layer::Cecca));
    world.set_layer(Layer::Cecca, true);
    assert_eq!(world.run(run).waits_for, Some(Layer::Board));
    world.set_layer(Layer::Cecca, false);
    assert_eq!(world.run(run).waits_for, Some(Layer::Cecca));
    world.pause(run);
    world.set_layer(Layer::Cecca, true);
    world.set_layer(Layer::Board, true);
    assert_eq!(world.standing(run), RunState::Paused);
    world.resume(run);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn waiting_run_can_be_cancelled_and_ends_at_its_deadline() {
    let mut world = World::new(50);
    world.set_layer(Layer::Board, false);
    let run = world.submit(single("echo"));
    world.cancel(run).unwrap();
    assert_eq!(world.standing(run), RunState::Cancelled);
    assert_eq!(world.retry(run, None).unwrap_err().code(), "run_not_begun");
    let at = world.now.plus(10);
    let run = world.submit_with(single("echo"), |it| it.deadline = Some(at)).unwrap();
    world.tick(10);
    assert_eq!(world.standing(run), RunState::Failed);
    world.set_layer(Layer::Board, true);
    assert!(world.begun.is_empty());
}

#[test]
fn waiting_run_that_no_layer_lets_in_fails_with_the_reason() {
    let mut world = World::new(50);
    world.set_layer(Layer::Board, false);
    let run = world.submit(single("juggle"));
    world.set_layer(Layer::Board, true);
    assert_eq!(world.standing(run), RunState::Failed);
    assert_eq!(&*world.run(run).failure.clone().unwrap().code, "unknown_skill");
    let rejected = world.submit_with(single("juggle"), |_| {}).unwrap_err();
    assert_eq!(rejected.code(), "unknown_skill");
}

#[test]
fn work_of_a_missing_working_layer_waits_and_goes_on_when_one_is_back() {
    for (layer, waits, flows) in
        [(Layer::Specialist, "send", "echo"), (Layer::Micro, "echo", "send")]
    {
        let mut world = World::new(50);
        world.set_layer(layer, false);
        let run = world.submit(single(waits));
        assert_eq!(world.at(run, 0), TaskState::Ready, "{layer}");
        let other = world.submit(single(flows));
        assert_eq!(world.working(other).len(), 1, "{layer}");
        world.set_agent(world.state.fleet().plan().agent(layer, 0).unwrap(), true);
        assert_eq!(world.working(run), [TaskRef::node(0)], "{layer}");
        world.work();
        assert_eq!(world.standing(run), RunState::Succeeded);
    }
}

#[test]
fn other_workers_help_out_while_a_layer_is_there() {
    let mut world = World::new(50);
    world.prepared.insert("m".into(), list(500));
    world.submit(plan(vec![map("m", &[], 0, 0)]));
    let fleet = world.state.fleet();
    let is = |layer: Layer| world.open.values().any(|it| fleet.plan().layer(it.agent) == layer);
    assert!(is(Layer::Specialist) && is(Layer::Micro));
}

#[test]
fn workflow_is_admitted_once_for_many_runs_and_again_after_a_restart() {
    let mut world = World::new(50);
    let workflow = plan(vec![task("a", &[]), task("b", &[0])]);
    let admissions = |world: &World| world.events(|it| matches!(it, Event::WorkflowAdmitted(_)));
    for _ in 0..10 {
        world.submit(workflow.clone());
    }
    assert_eq!(admissions(&world), 1);
    world.restart();
    assert_eq!(admissions(&world), 1, "runs in flight keep theirs");
    for _ in 0..10 {
        world.submit(workflow.clone());
    }
    assert_eq!(admissions(&world), 2);
    let admission = world.state.admissions().next().unwrap();
    let layers: Vec<Layer> = admission.decisions.iter().map(|it| it.layer).collect();
    assert_eq!(layers, Layer::ALL[..4]);
    assert!(admission.decisions.iter().all(|it| &*it.agent != "runtime"));
    world.work();
    assert_eq!(world.state.live(), 0);
}

#[test]
fn run_survives_another_fleet_with_other_skills() {
    let mut world = World::new(50);
    let run = world.submit(plan(vec![task("a", &[]), task("b", &[0])]));
    world.instance = instance(3);
    world.instance.skills = vec![skill("new", EffectClass::Pure, None)];
    world.restart();
    assert_eq!(world.at(run, 0), TaskState::Ready, "nobody offers its skill");
    world.instance = instance(2);
    world.instance.skills.insert(0, skill("new", EffectClass::Pure, None));
    world.restart();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn draining_starts_nothing_and_rejects_until_it_is_open_again() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[]), task("b", &[0])]));
    let set = |intake| Command::SetIntake { intake, reason: "stop".into() };
    world.act(set(Intake::Draining)).unwrap();
    let rejected = world.submit_with(single("echo"), |_| {}).unwrap_err();
    assert_eq!(rejected.code(), "draining");
    let a = world.pt_at(run, 0);
    world.finish(a, "1");
    assert!(world.open.is_empty());
    assert_eq!(world.at(run, 1), TaskState::Ready);
    world.act(set(Intake::Open)).unwrap();
    world.dispatch();
    assert_eq!(world.open.len(), 1);
    world.act(set(Intake::Draining)).unwrap();
    world.restart();
    assert_eq!(world.open.len(), 1, "a new instance takes work");
}

#[test]
fn unknown_agent_is_not_found_and_the_same_standing_is_no_change() {
    let mut world = World::new(6);
    let set = |agent, online| Command::SetAgent { agent, online, reason: "r".into() };
    assert_eq!(world.act(set(AgentIx(6), true)).unwrap_err().code(), "agent_not_found");
    assert!(world.act(set(AgentIx(5), true)).unwrap().events.is_empty());
}
