//! What a stack cannot mend goes up, layer by layer, to a person; and the emergency powers of CECCA.

use ark_os_core::Command;
use ark_os_core::command::JoinAgent;
use ark_os_core::decide::known_step;
use ark_os_core::event::{Event, Standing, Supervised};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::limits::{ESCALATION_MS, QUARANTINE_MS, REMEDY_CHECK_MS};
use ark_os_core::plan::EffectClass;
use ark_os_core::rules::Mode;
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::supervision::{Class, Concern, Desk, Escalation, MeasureKind, Remedy};
use ark_os_core::text::Text;

use super::world::{World, plan, skill, task};

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
    measure(&mut world, MeasureKind::Mode(Mode::Autonomous), Some(seats[1]), 120_000);
    measure(&mut world, MeasureKind::Mode(Mode::Supervised), Some(seats[1]), 90_000);
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
