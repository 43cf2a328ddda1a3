//! What a stack cannot mend goes up, layer by layer, to a person; and the emergency powers of CECCA.

use std::collections::BTreeSet;

use ark_os_core::command::JoinAgent;
use ark_os_core::decide::known_step;
use ark_os_core::error::Failure;
use ark_os_core::event::{Event, Standing, Supervised};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::limits::{
    AGENT_REPLACED_MAX, AGENT_RESTARTS_MAX, ESCALATION_MS, ESCALATIONS_OPEN_MAX,
    ESCALATIONS_RESUME_MAX, LOST_ATTEMPTS_MAX, QUARANTINE_MS, REMEDY_CHECK_MS,
};
use ark_os_core::plan::EffectClass;
use ark_os_core::rules::Mode;
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::supervision::{Class, Concern, Desk, Escalation, MeasureKind, Remedy, Rung};
use ark_os_core::text::Text;
use ark_os_core::{Command, State};

use super::world::{World, instance, list, map, plan, skill, task};

fn only(world: &World) -> Escalation {
    let open: Vec<_> = world.state.supervision().open().cloned().collect();
    assert_eq!(open.len(), 1, "{open:?}");
    open[0].clone()
}

/// A task whose same call has the same result again and again.
fn stalled(world: &mut World) -> RunId {
    let mut a = task("a", &[]);
    a.skill = "look".into();
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    for number in 0..3 {
        let mut intent = world.intent(pt, number, EffectClass::Read);
        intent.arguments = Hash::of(b"same");
        let (key, _) = known_step(&world.state, &intent).unwrap();
        world.act(Command::IntendStep(Box::new(intent))).unwrap();
        world.settle(pt, key, "1");
    }
    assert_eq!(world.at(run, 0), TaskState::Parked);
    world.dispatch();
    run
}

/// A world with an escalation that is open and one that is over, and with measures.
pub(super) fn supervised() -> World {
    let mut world = World::new(1_293);
    let first = stalled(&mut world);
    world.cancel(first).unwrap();
    world.dispatch();
    stalled(&mut world);
    world.tick(ESCALATION_MS);
    let micro = world.state.fleet().seats_in(Layer::Micro).next().unwrap();
    let name = world.state.fleet().name(micro).into();
    measure(&mut world, MeasureKind::Quarantine(name), None, 90_000);
    let cecca = world.state.fleet().seats_in(Layer::Cecca).next();
    let id = measure(&mut world, MeasureKind::Mode(Mode::Interactive), cecca, 60_000);
    world.act(Command::LiftMeasure { id, by: cecca, reason: "enough".into() }).unwrap();
    world
}

fn layer_of(world: &World, desk: &Desk) -> Option<Layer> {
    let fleet = world.state.fleet();
    match desk {
        Desk::Seat(name) => Some(fleet.layer(fleet.find(name).unwrap())),
        Desk::Human => None,
    }
}

#[test]
fn a_stalled_task_goes_up_layer_by_layer_to_a_person() {
    let mut world = World::new(186);
    let run = stalled(&mut world);
    world.snapshot();
    let raised = only(&world);
    assert_eq!(raised.class, Class::Stalled);
    assert_eq!(raised.concern, Concern::Task(run, TaskRef::node(0)));
    assert_eq!(raised.ladder[0].remedy, Remedy::Observe);
    let mut layers = vec![layer_of(&world, &raised.to)];
    for _ in 0..4 {
        world.tick(ESCALATION_MS);
        layers.push(layer_of(&world, &only(&world).to));
    }
    let all = [Layer::StackChief, Layer::Executive, Layer::Board, Layer::Cecca];
    let all: Vec<_> = all.into_iter().map(Some).chain([None]).collect();
    assert_eq!(layers, all);
    world.tick(100 * ESCALATION_MS);
    assert_eq!(only(&world).to, Desk::Human, "nobody is above a person");
    let passed = &only(&world).passed;
    let by: Vec<_> = passed.iter().map(|it| layer_of(&world, &it.by)).collect();
    assert_eq!(by, all[..4]);
    assert!(passed.is_sorted_by(|a, b| a.at < b.at), "{passed:?}");
    let (id, action, reason) = (only(&world).id, "dismiss".into(), "seen".into());
    world.act(Command::ResolveEscalation { id, action, reason }).unwrap();
    let closed = world.state.supervision().find(id).unwrap().closing.clone().unwrap();
    assert_eq!((&*closed.action, &*closed.reason), ("dismiss", "seen"));
    let again = Command::ResolveEscalation { id, action: "dismiss".into(), reason: "x".into() };
    assert_eq!(world.act(again).unwrap_err().code(), "escalation_over");
    world.replayed();
}

#[test]
fn who_unparks_a_task_ends_its_escalation() {
    let mut world = World::new(20);
    let run = stalled(&mut world);
    let id = only(&world).id;
    world.unpark(run, TaskRef::node(0)).unwrap();
    world.dispatch();
    let escalation = world.state.supervision().find(id).unwrap();
    assert_eq!(&*escalation.closing.as_ref().unwrap().action, "cleared");
    assert_eq!(world.state.supervision().open().count(), 0);
    // The word of whoever did it comes after it.
    let told = Command::ResolveEscalation { id, action: "unpark".into(), reason: "seen".into() };
    world.act(told.clone()).unwrap();
    let escalation = world.state.supervision().find(id).unwrap();
    assert_eq!(&*escalation.closing.as_ref().unwrap().action, "unpark");
    assert_eq!(world.act(told).unwrap_err().code(), "escalation_over");
    world.cancel(run).unwrap();
    world.replayed();
}

#[test]
fn where_the_runtime_holds_the_seat_a_person_is_told_at_once() {
    let mut world = World::new(2);
    stalled(&mut world);
    assert_eq!(only(&world).to, Desk::Human);
}

#[test]
fn escalations_and_their_deadlines_survive_a_restart() {
    let mut world = World::new(186);
    let run = stalled(&mut world);
    let before = only(&world);
    world.restart();
    assert_eq!(only(&world), before);
    world.snapshot();
    world.tick(ESCALATION_MS);
    assert_ne!(only(&world).to, before.to);
    world.cancel(run).unwrap();
    world.dispatch();
    assert_eq!(world.state.supervision().open().count(), 0);
    world.replayed();
}

/// An agent that loses every attempt it gets, until it was replaced twice.
fn failing(world: &mut World) -> AgentIx {
    let mut agent = None;
    for _ in 0..100 {
        let run = world.submit(plan(vec![task("a", &[])]));
        let pt = world.pt_at(run, 0);
        let active = world.node(run, 0).active.clone().unwrap();
        let at = *agent.get_or_insert(active.agent);
        // The others are busy, so that it is the one who gets the work.
        if active.agent == at {
            world.lose(pt);
        }
        world.cancel(run).unwrap();
        world.dispatch();
        if world.state.supervision().open().count() > 0 {
            return at;
        }
        while world.state.fleet().agent(at).unwrap().standing != Standing::Ready {
            assert!(world.tick_to_timer());
        }
        for peer in world.state.fleet().seats_in(world.state.fleet().layer(at)).collect::<Vec<_>>()
        {
            world.set_agent_only(peer, peer == at);
        }
    }
    panic!("nobody was told");
}

#[test]
fn an_agent_that_fails_again_and_again_is_quarantined_by_its_chief_and_comes_back() {
    let mut world = World::new(50);
    let agent = failing(&mut world);
    let raised = only(&world);
    assert_eq!((raised.class, raised.concern), (Class::AgentFailing, Concern::Agent(agent)));
    // Its peers are offline: it cannot be spared, so nothing is done by rule.
    assert_eq!(raised.ladder.last().unwrap().remedy, Remedy::Replace);
    let layer = world.state.fleet().layer(agent);
    for peer in world.state.fleet().seats_in(layer).collect::<Vec<_>>() {
        if peer != agent {
            world.set_agent_only(peer, true);
        }
    }
    world.tick(ESCALATION_MS);
    let passed = only(&world);
    assert_eq!(layer_of(&world, &passed.to), Some(Layer::Executive));
    assert_eq!(passed.ladder.last().unwrap().remedy, Remedy::Quarantine);
    assert_eq!(world.state.fleet().agent(agent).unwrap().standing, Standing::Quarantined);
    world.snapshot();
    world.tick(REMEDY_CHECK_MS);
    let closed = world.state.supervision().find(passed.id).unwrap().clone();
    assert_eq!(closed.ladder.last().unwrap().healthy, Some(true));
    assert_eq!(&*closed.closing.unwrap().action, "quarantine");
    world.tick(QUARANTINE_MS);
    assert_eq!(world.state.fleet().agent(agent).unwrap().standing, Standing::Ready);
    world.replayed();
}

#[test]
fn an_agent_that_works_again_is_nobodys_concern_whoever_was_told_of_it() {
    let mut world = World::new(50);
    let agent = failing(&mut world);
    let raised = only(&world).id;
    for _ in 0..4 {
        world.tick(ESCALATION_MS);
    }
    assert_eq!(only(&world).to, Desk::Human, "nobody else can be spared for its work");
    assert_eq!(world.state.fleet().agent(agent).unwrap().standing, Standing::Ready);
    let run = world.submit(plan(vec![task("a", &[])]));
    assert_eq!(world.node(run, 0).active.as_ref().unwrap().agent, agent);
    world.finish(world.pt_at(run, 0), "1");
    world.dispatch();
    let closed = world.state.supervision().find(raised).unwrap().closing.clone();
    assert_eq!(&*closed.unwrap().action, "cleared");
    world.replayed();
}

#[test]
fn an_agent_that_worked_while_it_was_kept_out_is_nobodys_concern_when_it_is_let_in() {
    let mut world = World::new(50);
    let agent = failing(&mut world);
    let raised = only(&world).id;
    for _ in 0..4 {
        world.tick(ESCALATION_MS);
    }
    let run = world.submit(plan(vec![task("a", &[])]));
    let pt = world.pt_at(run, 0);
    assert_eq!(world.open[&pt].agent, agent);
    world.set_agent_only(agent, false);
    world.finish(pt, "1");
    world.dispatch();
    assert_eq!(only(&world).id, raised, "whether it works again is seen when it is back");
    world.snapshot();
    world.set_agent_only(agent, true);
    world.dispatch();
    let closed = world.state.supervision().find(raised).unwrap().closing.clone();
    assert_eq!(&*closed.unwrap().action, "cleared");
    world.replayed();
}

fn measure(world: &mut World, kind: MeasureKind, by: Option<AgentIx>, ms: u64) -> u64 {
    let reason = "test".into();
    let taken = world.act(Command::TakeMeasure { kind, by, reason, lasts_ms: ms });
    let change = taken.unwrap();
    let Event::Supervised(event) = &change.events[0] else { panic!("{change:?}") };
    let Supervised::MeasureTaken(measure) = &**event else { panic!("{event:?}") };
    measure.id
}

#[test]
fn a_frozen_intake_takes_nothing_until_its_time_is_over() {
    let mut world = World::new(20);
    let before = world.submit(plan(vec![task("a", &[])]));
    measure(&mut world, MeasureKind::Freeze, None, 3_600_000);
    let submission = world.submission(plan(vec![task("a", &[])]));
    let refused = world.act(Command::SubmitRun(Box::new(submission.clone()))).unwrap_err();
    assert_eq!(refused.code(), "intake_frozen");
    world.restart();
    let refused = world.act(Command::SubmitRun(Box::new(submission.clone()))).unwrap_err();
    assert_eq!(refused.code(), "intake_frozen");
    world.snapshot();
    let pt = world.pt_at(before, 0);
    world.finish(pt, "1");
    world.dispatch();
    assert_eq!(world.standing(before), RunState::Succeeded, "what was accepted goes on");
    world.tick(3_600_000);
    world.act(Command::SubmitRun(Box::new(submission))).unwrap();
    world.replayed();
}

#[test]
fn a_measure_needs_cecca_an_end_and_is_taken_once() {
    let mut world = World::new(186);
    let chief = world.state.fleet().seats_in(Layer::StackChief).next().unwrap();
    let mut take = |kind, by, lasts_ms| {
        let taken = world.act(Command::TakeMeasure { kind, by, reason: "test".into(), lasts_ms });
        taken.map(|_| "taken").unwrap_or_else(|refused| refused.code())
    };
    let freeze = MeasureKind::Freeze;
    assert_eq!(take(freeze.clone(), Some(chief), 1_000), "layer_exceeded");
    assert_eq!(take(freeze.clone(), None, 0), "measure_invalid");
    assert_eq!(take(freeze.clone(), None, u64::MAX), "measure_invalid");
    assert_eq!(take(MeasureKind::Quarantine("micro-99999".into()), None, 1), "agent_not_found");
    assert_eq!(take(freeze.clone(), Some(AgentIx(0)), 1_000), "taken");
    assert_eq!(take(freeze, None, 1_000), "measure_in_force");
}

#[test]
fn lifting_needs_the_majority_of_cecca_or_a_person() {
    let mut world = World::new(1_293);
    let seats: Vec<_> = world.state.fleet().seats_in(Layer::Cecca).collect();
    assert_eq!(seats.len(), 3);
    let lift = |world: &mut World, id, by| {
        world.act(Command::LiftMeasure { id, by, reason: "enough".into() }).unwrap();
        world.state.supervision().measure(id).is_none()
    };
    let id = measure(&mut world, MeasureKind::Freeze, Some(seats[0]), 60_000);
    assert!(!lift(&mut world, id, Some(seats[0])));
    assert!(!lift(&mut world, id, Some(seats[0])), "a seat has one vote");
    world.snapshot();
    assert!(lift(&mut world, id, Some(seats[2])));
    let id = measure(&mut world, MeasureKind::Freeze, Some(seats[0]), 60_000);
    assert!(lift(&mut world, id, None), "a person's word is enough");
    world.replayed();
}

#[test]
fn another_mode_and_a_quarantine_are_undone_when_their_time_is_over() {
    let mut world = World::new(20);
    let declared = world.state.mode();
    let agent = world.state.fleet().seats_in(Layer::Micro).next().unwrap();
    measure(&mut world, MeasureKind::Mode(Mode::Interactive), None, 60_000);
    let name: Text = world.state.fleet().name(agent).into();
    measure(&mut world, MeasureKind::Quarantine(name), None, 90_000);
    let standing = |world: &World| world.state.fleet().agent(agent).unwrap().standing;
    assert_eq!((world.state.mode(), standing(&world)), (Mode::Interactive, Standing::Quarantined));
    world.restart();
    assert_eq!((world.state.mode(), standing(&world)), (Mode::Interactive, Standing::Quarantined));
    world.snapshot();
    world.tick(60_000);
    assert_eq!((world.state.mode(), standing(&world)), (declared, Standing::Quarantined));
    world.tick(30_000);
    assert_eq!((world.state.mode(), standing(&world)), (declared, Standing::Ready));
    world.replayed();
}

#[test]
fn who_is_quarantined_by_a_measure_is_let_in_by_nothing_else() {
    let mut world = World::new(20);
    let mut micros = world.state.fleet().seats_in(Layer::Micro);
    let (agent, other) = (micros.next().unwrap(), micros.next().unwrap());
    drop(micros);
    let name = |world: &World, agent| Text::from(world.state.fleet().name(agent));
    let standing = |world: &World, agent| world.state.fleet().agent(agent).unwrap().standing;
    world.set_agent_only(other, false);
    let first = MeasureKind::Quarantine(name(&world, agent));
    let id = measure(&mut world, first, None, 60_000);
    let second = MeasureKind::Quarantine(name(&world, other));
    measure(&mut world, second, None, 60_000);
    assert_eq!(standing(&world, other), Standing::Offline, "who is offline stays so");
    for kept in [agent, other] {
        let online = Command::SetAgent { agent: kept, online: true, reason: "test".into() };
        assert_eq!(world.act(online).unwrap_err().code(), "agent_quarantined");
    }
    world.act(Command::ScaleFleet { agents: 25, reason: "test".into() }).unwrap();
    assert_eq!(standing(&world, agent), Standing::Quarantined);
    world.snapshot();
    world.act(Command::LiftMeasure { id, by: None, reason: "seen".into() }).unwrap();
    assert_eq!(standing(&world, agent), Standing::Ready);
    world.tick(60_000);
    assert_eq!(standing(&world, other), Standing::Offline);
    world.replayed();
}

#[test]
fn a_worker_that_is_quarantined_stays_so_when_it_comes_again() {
    let mut world = World::new(20);
    let offered = skill("worker.read", EffectClass::Read, None);
    let join = |world: &mut World, concurrency| {
        let (name, layer) = ("reader".into(), Layer::Micro);
        let join = JoinAgent { name, layer, concurrency, skills: vec![offered.clone()] };
        world.act(Command::JoinAgent(Box::new(join))).unwrap();
    };
    let standing = |world: &World| {
        let fleet = world.state.fleet();
        fleet.agent(fleet.find("reader").unwrap()).unwrap().standing
    };
    join(&mut world, 1);
    measure(&mut world, MeasureKind::Quarantine("reader".into()), None, 60_000);
    assert_eq!(standing(&world), Standing::Quarantined);
    join(&mut world, 3);
    assert_eq!(standing(&world), Standing::Quarantined);
    world.tick(60_000);
    assert_eq!(standing(&world), Standing::Ready);
    world.replayed();
}

#[test]
fn a_worker_that_was_silent_when_it_was_quarantined_is_so_when_it_is_heard_of() {
    let mut world = World::new(20);
    let skills = vec![skill("worker.read", EffectClass::Read, None)];
    let join = JoinAgent { name: "far".into(), layer: Layer::Micro, concurrency: 1, skills };
    world.act(Command::JoinAgent(Box::new(join))).unwrap();
    let mark = |world: &mut World, standing, reason: &str| {
        let reason = reason.into();
        world.act(Command::MarkAgent { name: "far".into(), standing, reason }).unwrap();
    };
    let standing = |world: &World| {
        let fleet = world.state.fleet();
        fleet.agent(fleet.find("far").unwrap()).unwrap().standing
    };
    mark(&mut world, Standing::Offline, ark_os_core::decide::UNHEARD);
    measure(&mut world, MeasureKind::Quarantine("far".into()), None, 60_000);
    assert_eq!(standing(&world), Standing::Offline);
    mark(&mut world, Standing::Ready, "it is heard of again");
    assert_eq!(standing(&world), Standing::Quarantined);
    world.tick(60_000);
    assert_eq!(standing(&world), Standing::Ready);
    world.replayed();
}

#[test]
fn under_another_mode_the_layers_decide_again() {
    let mut world = World::new(20);
    let admissions = |world: &World| world.state.admissions().count();
    world.submit(plan(vec![task("a", &[])]));
    world.submit(plan(vec![task("a", &[])]));
    assert_eq!(admissions(&world), 1);
    let others = [Mode::Autonomous, Mode::Supervised];
    let other = others.into_iter().find(|it| *it != world.state.mode()).unwrap();
    measure(&mut world, MeasureKind::Mode(other), None, 60_000);
    world.submit(plan(vec![task("a", &[])]));
    assert_eq!(admissions(&world), 2);
    world.replayed();
}

#[test]
fn one_seat_does_not_undo_a_mode_by_taking_a_milder_one() {
    let mut world = World::new(1_293);
    let seats: Vec<_> = world.state.fleet().seats_in(Layer::Cecca).collect();
    measure(&mut world, MeasureKind::Mode(Mode::Interactive), Some(seats[0]), 60_000);
    let (kind, reason) = (MeasureKind::Mode(Mode::Supervised), "odd".into());
    let milder = Command::TakeMeasure { kind, by: Some(seats[1]), reason, lasts_ms: 90_000 };
    assert_eq!(world.act(milder).unwrap_err().code(), "layer_exceeded");
    // A person may; the strictest holds as long as it is in force.
    measure(&mut world, MeasureKind::Mode(Mode::Autonomous), None, 120_000);
    measure(&mut world, MeasureKind::Mode(Mode::Supervised), None, 90_000);
    assert_eq!(world.state.mode(), Mode::Interactive);
    world.snapshot();
    world.tick(60_000);
    assert_eq!(world.state.mode(), Mode::Supervised);
    world.tick(30_000);
    assert_eq!(world.state.mode(), Mode::Autonomous);
    world.replayed();
}

#[test]
fn a_seat_that_does_not_stand_ready_takes_and_lifts_nothing_and_counts_in_the_majority() {
    let mut world = World::new(1_293);
    let seats: Vec<_> = world.state.fleet().seats_in(Layer::Cecca).collect();
    let name = world.state.fleet().name(seats[1]).into();
    measure(&mut world, MeasureKind::Quarantine(name), None, 600_000);
    world.set_agent(seats[2], false);
    let id = measure(&mut world, MeasureKind::Freeze, Some(seats[0]), 60_000);
    for seat in [seats[1], seats[2]] {
        let (kind, reason) = (MeasureKind::Mode(Mode::Interactive), "odd".into());
        let take = Command::TakeMeasure { kind, by: Some(seat), reason, lasts_ms: 1_000 };
        assert_eq!(world.act(take).unwrap_err().code(), "seat_not_ready");
        let lift = Command::LiftMeasure { id, by: Some(seat), reason: "odd".into() };
        assert_eq!(world.act(lift).unwrap_err().code(), "seat_not_ready");
    }
    let lift = Command::LiftMeasure { id, by: Some(seats[0]), reason: "enough".into() };
    world.act(lift).unwrap();
    assert!(world.state.supervision().measure(id).is_some(), "one of three is no majority");
    world.set_agent(seats[2], true);
    let lift = Command::LiftMeasure { id, by: Some(seats[2]), reason: "enough".into() };
    world.act(lift).unwrap();
    assert!(world.state.supervision().measure(id).is_none());
    world.replayed();
}

#[test]
fn tasks_parked_while_too_much_is_open_are_told_of_when_there_is_room_again() {
    let mut world = World::new(20);
    world.audit_every = usize::MAX;
    world.prepared.insert("m".into(), list(100));
    let mut m = map("m", &[], 0, 0);
    m.skill = "send".into();
    let parked = ESCALATIONS_OPEN_MAX + 200;
    let runs: Vec<RunId> = (0..parked / 100).map(|_| world.submit(plan(vec![m.clone()]))).collect();
    while let Some(pt) = world.open.keys().next().copied() {
        world.intend(pt, 0, EffectClass::Effectful);
        world.fail(pt, Failure::retryable("no", "nobody knows"));
    }
    let open = |world: &World| world.state.supervision().open().count();
    assert_eq!((open(&world), world.state.supervision().missed()), (ESCALATIONS_OPEN_MAX, 200));
    let told = |world: &World| {
        let tasks = runs.iter().flat_map(|run| {
            let parked = world.run(*run).live_tasks(|it| it.state == TaskState::Parked);
            parked.into_iter().map(|task| Concern::Task(*run, task))
        });
        let tasks: Vec<_> = tasks.collect();
        let supervision = world.state.supervision();
        let closed: BTreeSet<Concern> = supervision.closed().map(|it| it.concern).collect();
        let known = tasks.iter().filter(|it| supervision.knows(**it) || closed.contains(it));
        (tasks.len(), known.count())
    };
    assert_eq!(told(&world), (parked, ESCALATIONS_OPEN_MAX));
    let ids: Vec<u64> = world.state.supervision().open().map(|it| it.id).collect();
    let close = ESCALATIONS_OPEN_MAX - ESCALATIONS_RESUME_MAX;
    let resolve = |id: u64| {
        let (action, reason) = ("dismiss".into(), "seen".into());
        Command::ResolveEscalation { id, action, reason }
    };
    for id in &ids[1..close] {
        world.act(resolve(*id)).unwrap();
    }
    assert_eq!(told(&world).1, ESCALATIONS_OPEN_MAX, "nobody more is told yet");
    // A state read from a snapshot finds the same tasks.
    let mut twin = State::decode(&world.snapshot()).unwrap();
    world.twin = None;
    let last = world.act(resolve(ids[0])).unwrap();
    twin.apply(&last, &mut Vec::new());
    assert_eq!(twin.digest(), world.state.digest());
    world.dispatch();
    assert_eq!(open(&world), ESCALATIONS_RESUME_MAX + 200);
    assert_eq!(told(&world), (parked, parked), "what was dismissed is not told of again");
    // From now on everything is told of at once.
    stalled(&mut world);
    assert_eq!(open(&world), ESCALATIONS_RESUME_MAX + 201);
    world.replayed();
}

/// What was tried, and whether it helped.
fn told(ladder: &[Rung]) -> Vec<(Remedy, Option<bool>)> {
    ladder.iter().map(|rung| (rung.remedy, rung.healthy)).collect()
}

#[test]
fn the_ladder_of_a_task_says_who_tried_it_again_when_and_what_came_of_it() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    let mut agents = Vec::new();
    let mut times = Vec::new();
    for _ in 0..LOST_ATTEMPTS_MAX {
        let pt = world.pt_at(run, 0);
        agents.push(world.open[&pt].agent);
        times.push(world.now);
        world.snapshot();
        world.tick(1_000);
        world.lose(pt);
    }
    let raised = only(&world);
    assert_eq!(raised.class, Class::Poison);
    let again = agents.windows(2).map(|two| match two[0] == two[1] {
        true => Remedy::Retry,
        false => Remedy::Reroute,
    });
    let expected = again.chain([Remedy::Observe]).map(|remedy| (remedy, Some(false)));
    assert_eq!(told(&raised.ladder), expected.collect::<Vec<_>>());
    assert_eq!(told(&raised.ladder)[0].0, Remedy::Reroute, "somebody else was there");
    for (rung, began) in raised.ladder.iter().zip(&times[1..]) {
        assert_eq!((rung.at, rung.check), (*began, Some(began.plus(1_000))));
    }
    // Who unparks it begins a new row.
    world.unpark(run, TaskRef::node(0)).unwrap();
    assert_eq!(world.node(run, 0).tried.as_ref().unwrap().rungs().len(), 1);
    world.work();
    world.replayed();
}

#[test]
fn the_ladder_of_an_agent_says_when_it_was_restarted_throttled_and_replaced() {
    let mut throttling = instance(50);
    throttling.agent_concurrency = 8;
    let mut world = World::of(throttling);
    let agent = failing(&mut world);
    let raised = only(&world);
    let row = (0..AGENT_RESTARTS_MAX).flat_map(|_| [Remedy::Restart, Remedy::Throttle]);
    let one: Vec<Remedy> = row.chain([Remedy::Replace]).collect();
    let all = (0..AGENT_REPLACED_MAX).flat_map(|_| one.iter().copied().chain([Remedy::Throttle]));
    let mut expected: Vec<_> = all.map(|remedy| (remedy, Some(false))).collect();
    expected.pop();
    expected.last_mut().unwrap().1 = None;
    assert_eq!(told(&raised.ladder), expected);
    assert!(raised.ladder.is_sorted_by_key(|rung| rung.at), "each when it happened");
    let last = raised.ladder.last().unwrap();
    assert!(last.check > Some(last.at.plus(REMEDY_CHECK_MS)), "it is looked at when it is back");
    world.snapshot();
    // It works again: whoever looks then finds that the last remedy helped.
    while world.state.fleet().agent(agent).unwrap().standing != Standing::Ready {
        assert!(world.tick_to_timer());
    }
    let run = world.submit(plan(vec![task("a", &[])]));
    let pt = world.pt_at(run, 0);
    assert_eq!(world.open[&pt].agent, agent);
    world.finish(pt, "1");
    world.tick(REMEDY_CHECK_MS);
    let closed = world.state.supervision().find(raised.id).unwrap();
    assert_eq!(closed.ladder.last().unwrap().healthy, Some(true));
    assert_eq!(&*closed.closing.as_ref().unwrap().action, "replace");
    assert!(world.state.fleet().tried(agent).is_empty());
    world.replayed();
}

#[test]
fn an_agent_that_failed_gets_half_of_its_attempts_until_one_of_them_succeeds() {
    let mut throttling = instance(2);
    throttling.agent_concurrency = 8;
    let mut world = World::of(throttling);
    let agents = world.state.fleet().len();
    let run = world.submit(plan(vec![task("a", &[])]));
    let pt = world.pt_at(run, 0);
    let agent = world.open[&pt].agent;
    for other in (0..agents).map(AgentIx).filter(|it| *it != agent) {
        world.set_agent(other, false);
    }
    assert_eq!(world.state.fleet().at_once(agent), 8);
    world.lose(pt);
    while world.state.fleet().agent(agent).unwrap().standing != Standing::Ready {
        assert!(world.tick_to_timer());
    }
    let busy = |world: &World| world.state.fleet().agent(agent).unwrap().busy;
    assert_eq!(world.state.fleet().at_once(agent), 4);
    for _ in 0..10 {
        world.submit(plan(vec![task("a", &[])]));
    }
    world.snapshot();
    assert_eq!(busy(&world), 3, "half, and of those one is kept for emergencies");
    let pt = *world.open.keys().next().unwrap();
    world.finish(pt, "1");
    assert_eq!((world.state.fleet().at_once(agent), busy(&world)), (8, 7));
    world.work();
    world.replayed();
}

#[test]
fn an_agent_with_two_attempts_is_not_throttled_so_that_it_is_not_starved() {
    let mut world = World::new(2);
    let run = world.submit(plan(vec![task("a", &[])]));
    for _ in 0..2 {
        let pt = world.pt_at(run, 0);
        world.lose(pt);
        while world.pt(run, TaskRef::node(0)).is_none() {
            assert!(world.tick_to_timer());
        }
    }
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn a_measure_on_a_group_finds_the_member_that_is_back_and_no_other() {
    let mut world = World::new(20);
    let crew = super::world::group("crew", Layer::Micro, 2, &["worker.read"]);
    let skills = vec![skill("worker.read", EffectClass::Read, None)];
    let fleet = ark_os_core::fleet::spec::FleetSpec { groups: vec![crew], skills };
    world.deploy(fleet, Vec::new()).unwrap();
    world.all_well();
    let member = world.state.fleet().find("crew-00001").unwrap();
    let other = world.state.fleet().seats_in(Layer::Micro).next().unwrap();
    for agent in [member, other] {
        world.set_agent(agent, false);
    }
    for _ in 0..2 {
        measure(&mut world, MeasureKind::Quarantine("crew".into()), None, 60_000);
        world.tick(60_000);
    }
    let id = measure(&mut world, MeasureKind::Quarantine("crew".into()), None, 60_000);
    world.set_agent(other, true);
    let standing = |world: &World, agent| world.state.fleet().agent(agent).unwrap().standing;
    assert_eq!(standing(&world, other), Standing::Ready);
    let online = Command::SetAgent { agent: member, online: true, reason: "test".into() };
    assert_eq!(world.act(online).unwrap_err().code(), "agent_quarantined");
    world.act(Command::LiftMeasure { id, by: None, reason: "seen".into() }).unwrap();
    world.set_agent(member, true);
    assert_eq!(standing(&world, member), Standing::Ready);
    world.replayed();
}
