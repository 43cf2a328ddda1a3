//! Steps: intents, recorded answers, doubts, and what agents may not do under a token.

use ark_os_core::Command;
use ark_os_core::command::AttemptOutcome;
use ark_os_core::decide::{Known, known_step};
use ark_os_core::error::Failure;
use ark_os_core::event::{Event, ParkReason, Resolution, Standing};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, Fence, PtId, TaskRef};
use ark_os_core::plan::{EffectClass, OnFailure};
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::step::{Finding, StepKey, StepOutcome, StepStanding};

use super::world::{World, json, list, map, plan, task};

fn sending(world: &mut World) -> (ark_os_core::ids::RunId, PtId) {
    let mut a = task("a", &[]);
    a.skill = "send".into();
    a.retry.attempts = 1;
    let run = world.submit(plan(vec![a]));
    (run, world.pt_at(run, 0))
}

#[test]
fn recorded_step_answers_the_next_attempt() {
    let mut world = World::new(20);
    let (run, pt) = sending(&mut world);
    let key = world.intend(pt, 0, EffectClass::Effectful);
    world.settle(pt, key, "\"sent\"");
    world.restart();
    let again = world.pt_at(run, 0);
    assert!(again.fence > pt.fence);
    let intent = world.intent(again, 0, EffectClass::Effectful);
    let known = known_step(&world.state, &intent).unwrap();
    assert_eq!(known, (key, Known::Outcome(&StepOutcome::Done(json("\"sent\"")))));
    assert!(world.act(Command::IntendStep(Box::new(intent))).unwrap().events.is_empty());
    world.finish(again, "1");
    assert_eq!(world.performed.len(), 1);
    let done =
        world.changes.iter().flat_map(|change| &change.events).find_map(|event| match event {
            Event::TaskSucceeded(done) => done.effects,
            _ => None,
        });
    assert!(done.is_some(), "the proof names the effects");
}

/// The task fails after its effect was recorded.
fn failed_after(world: &mut World, pt: PtId, class: EffectClass) {
    let key = world.intend(pt, 0, class);
    world.settle(pt, key, "\"sent\"");
    world.fail(pt, Failure::fatal("broken", "later"));
}

#[test]
fn retry_repeats_an_effect_that_happened_only_where_its_task_is_named() {
    let mut world = World::new(20);
    let (run, pt) = sending(&mut world);
    failed_after(&mut world, pt, EffectClass::Effectful);
    assert_eq!(world.standing(run), RunState::Failed);
    let refused = world.retry(run, None).unwrap_err();
    assert_eq!(refused.code(), "effect_happened");
    assert!(refused.to_string().contains("`a`"), "{refused}");
    world.retry(run, Some(0)).unwrap();
    let pt = world.pt_at(run, 0);
    failed_after(&mut world, pt, EffectClass::Idempotent);
    // What may be repeated is in nobody's way.
    world.retry(run, None).unwrap();
}

#[test]
fn retry_does_not_repeat_an_effect_of_which_nobody_knows_whether_it_happened() {
    for class in [EffectClass::Effectful, EffectClass::Probed] {
        let mut world = World::new(20);
        let (run, pt) = sending(&mut world);
        let key = world.intend(pt, 0, class);
        world.cancel(run).unwrap();
        world.resolve(run, key, Resolution::GiveUp).unwrap();
        let refused = world.retry(run, None).unwrap_err();
        assert_eq!(refused.code(), "effect_happened");
        assert!(refused.to_string().contains("nobody knows"), "{refused}");
        world.restart();
        assert_eq!(world.retry(run, None).unwrap_err().code(), "effect_happened");
        world.retry(run, Some(0)).unwrap();
    }
}

#[test]
fn retry_does_not_repeat_an_effect_of_a_child_that_was_given_up() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(2));
    let run = world.submit(plan(vec![map("m", &[], 0, 0)]));
    let pt = world.pt(run, TaskRef::child(0, 1)).unwrap();
    let key = world.intend(pt, 0, EffectClass::Effectful);
    world.cancel(run).unwrap();
    world.resolve(run, key, Resolution::GiveUp).unwrap();
    let refused = world.retry(run, None).unwrap_err();
    assert!(refused.to_string().contains("nobody knows"), "{refused}");
    world.retry(run, Some(0)).unwrap();
}

#[test]
fn retry_does_not_repeat_the_effects_of_a_maps_children() {
    for (skill, is_repeated) in [("send", false), ("put", true)] {
        let mut world = World::new(20);
        world.prepared.insert("m".into(), list(3));
        let mut m = map("m", &[], 3, 0);
        m.skill = skill.into();
        m.retry.attempts = 1;
        let run = world.submit(plan(vec![m]));
        let pts: Vec<PtId> = world.open.keys().copied().collect();
        world.finish(pts[0], "1");
        world.fail(pts[1], Failure::fatal("broken", "no"));
        assert_eq!(world.standing(run), RunState::Failed);
        assert_eq!(world.retry(run, None).is_ok(), is_repeated, "{skill}");
        if !is_repeated {
            world.retry(run, Some(0)).unwrap();
        }
    }
}

#[test]
fn effectful_step_left_open_by_a_crash_is_in_doubt_until_a_person_says() {
    for resolution in
        [Resolution::Happened(json("\"sent\"")), Resolution::NotHappened, Resolution::GiveUp]
    {
        let mut world = World::new(20);
        let (run, pt) = sending(&mut world);
        let key = world.intend(pt, 0, EffectClass::Effectful);
        world.restart();
        assert_eq!(world.standing(run), RunState::Parked);
        assert_eq!(world.node(run, 0).parked.as_ref().unwrap().0, ParkReason::InDoubt);
        assert_eq!(
            world.unpark(run, TaskRef::node(0)).unwrap_err().code(),
            "step_in_doubt",
            "never silently repeated"
        );
        world.restart();
        assert_eq!(world.standing(run), RunState::Parked);
        world.resolve(run, key, resolution.clone()).unwrap();
        if resolution == Resolution::GiveUp {
            assert_eq!(world.standing(run), RunState::Failed);
            assert_eq!(&*world.run(run).failure.clone().unwrap().code, "given_up");
            continue;
        }
        let again = world.pt_at(run, 0);
        assert_eq!(world.open[&again].attempt, 1, "I5: the attempt in doubt is not counted");
        let intent = world.intent(again, 0, EffectClass::Effectful);
        let (same, known) = known_step(&world.state, &intent).unwrap();
        let is_settled = matches!(known, Known::Outcome(_));
        assert_eq!((same, is_settled), (key, resolution != Resolution::NotHappened));
        world.work();
        assert_eq!(world.standing(run), RunState::Succeeded);
    }
}

#[test]
fn repeatable_step_left_open_by_a_crash_is_repeated_with_its_key() {
    for class in [EffectClass::Read, EffectClass::Idempotent] {
        let mut world = World::new(20);
        let (run, pt) = sending(&mut world);
        let key = world.intend(pt, 0, class);
        world.restart();
        let again = world.pt_at(run, 0);
        assert_eq!(world.intend(again, 0, class), key);
        world.settle(again, key, "1");
        let keys: Vec<StepKey> = world.performed.iter().map(|(_, key)| *key).collect();
        assert_eq!(keys, [key, key]);
        world.finish(again, "1");
        assert_eq!(world.standing(run), RunState::Succeeded);
    }
}

/// A run whose probed step a crash left open, and the token of the attempt that comes after it.
fn left_open(attempts: u32) -> (World, ark_os_core::ids::RunId, PtId, StepKey) {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.skill = "send".into();
    a.retry.attempts = attempts;
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    let key = world.intend(pt, 0, EffectClass::Probed);
    world.restart();
    let again = world.pt_at(run, 0);
    let intent = world.intent(again, 0, EffectClass::Probed);
    assert_eq!(known_step(&world.state, &intent).unwrap(), (key, Known::LeftOpen));
    assert_eq!(world.intend(again, 0, EffectClass::Probed), key);
    (world, run, again, key)
}

#[test]
fn probed_step_that_happened_is_settled_and_not_repeated() {
    let (mut world, run, pt, key) = left_open(1);
    world.probe(pt, key, Finding::Happened(json("\"sent\""))).unwrap();
    let outcome = StepOutcome::Done(json("\"sent\""));
    assert_eq!(world.node(run, 0).steps[0].standing, StepStanding::Settled(outcome));
    let (_, account) = world.state.accounts().next().unwrap();
    assert_eq!(account.settled().tokens, 10, "nobody knows what it cost: charged in full");
    let twice = world.probe(pt, key, Finding::NotHappened).unwrap_err();
    assert_eq!(twice.code(), "step_settled");
    world.finish(pt, "1");
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn probed_step_that_did_not_happen_is_tried_under_its_key() {
    let (mut world, run, pt, key) = left_open(1);
    world.probe(pt, key, Finding::NotHappened).unwrap();
    assert_eq!(world.node(run, 0).steps[0].standing, StepStanding::Open);
    world.settle(pt, key, "1");
    world.finish(pt, "1");
    assert_eq!(world.standing(run), RunState::Succeeded);
    let (_, account) = world.state.accounts().next().unwrap();
    assert_eq!((account.reserved().is_zero(), account.settled().tokens), (true, 5));
}

#[test]
fn probed_step_that_nobody_can_tell_about_is_in_doubt() {
    let (mut world, run, pt, key) = left_open(1);
    world.probe(pt, key, Finding::Unknown).unwrap();
    assert_eq!(world.standing(run), RunState::Parked);
    assert_eq!(world.node(run, 0).parked.as_ref().unwrap().0, ParkReason::InDoubt);
    world.resolve(run, key, Resolution::Happened(json("1"))).unwrap();
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn probed_step_is_asked_about_again_after_every_crash() {
    let (mut world, run, pt, key) = left_open(1);
    world.probe(pt, key, Finding::NotHappened).unwrap();
    world.restart();
    let again = world.pt_at(run, 0);
    let intent = world.intent(again, 0, EffectClass::Probed);
    assert_eq!(known_step(&world.state, &intent).unwrap(), (key, Known::LeftOpen));
    let early = world.probe(again, key, Finding::NotHappened).unwrap_err();
    assert_eq!(early.code(), "step_settled", "the step is not this attempt's yet");
}

#[test]
fn probed_step_that_is_never_reached_again_is_in_doubt_at_the_end() {
    for fails in [false, true] {
        let mut world = World::new(20);
        let (run, pt) = sending(&mut world);
        let key = world.intend(pt, 0, EffectClass::Probed);
        world.restart();
        let again = world.pt_at(run, 0);
        match fails {
            // Its only attempt is over: nobody would ask any more.
            true => world.fail(again, Failure::retryable("no", "no")),
            false => world.finish(again, "1"),
        };
        assert_eq!(world.standing(run), RunState::Parked, "failed: {fails}");
        world.resolve(run, key, Resolution::NotHappened).unwrap();
    }
}

#[test]
fn attempt_that_leaves_a_probed_step_open_is_followed_by_one_that_asks() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.skill = "send".into();
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    let key = world.intend(pt, 0, EffectClass::Probed);
    world.fail(pt, Failure::retryable("timeout", "nobody knows"));
    assert_eq!(world.at(run, 0), TaskState::Waiting);
    assert!(world.tick_to_timer());
    let again = world.pt_at(run, 0);
    world.intend(again, 0, EffectClass::Probed);
    world.probe(again, key, Finding::Happened(json("1"))).unwrap();
    world.finish(again, "1");
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn attempt_that_leaves_an_effectful_step_open_parks_and_says_why() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.skill = "send".into();
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    world.intend(pt, 0, EffectClass::Effectful);
    world.fail(pt, Failure::retryable("timeout", "no answer in time"));
    let (reason, message) = world.node(run, 0).parked.clone().unwrap();
    assert_eq!(reason, ParkReason::InDoubt);
    assert!(message.ends_with("no answer in time"), "{message}");
}

#[test]
fn step_that_failed_retryably_is_tried_again_under_its_key_by_the_next_attempt() {
    for retryable in [true, false] {
        let mut world = World::new(20);
        let run = world.submit(plan(vec![task("a", &[])]));
        let pt = world.pt_at(run, 0);
        let key = world.intend(pt, 0, EffectClass::Effectful);
        let outcome = StepOutcome::Failed(Failure::new("busy", "not now", retryable));
        let spent = ark_os_core::budget::Amounts { steps: 1, ..Default::default() };
        let settle = Command::SettleStep { pt, key, outcome: outcome.clone(), spent };
        world.act(settle).unwrap();
        let intent = world.intent(pt, 0, EffectClass::Effectful);
        let known = known_step(&world.state, &intent).unwrap();
        assert_eq!(known, (key, Known::Outcome(&outcome)), "the same attempt hears it again");
        world.fail(pt, Failure::retryable("busy", "not now"));
        assert!(world.tick_to_timer());
        let next = world.pt_at(run, 0);
        let intent = world.intent(next, 0, EffectClass::Effectful);
        let known = known_step(&world.state, &intent).unwrap();
        if !retryable {
            assert_eq!(known, (key, Known::Outcome(&outcome)));
            continue;
        }
        assert_eq!(known, (key, Known::Nothing));
        assert_eq!(world.intend(next, 0, EffectClass::Effectful), key);
        world.settle(next, key, "1");
        world.finish(next, "1");
        assert_eq!(world.standing(run), RunState::Succeeded);
        let (_, account) = world.state.accounts().next().unwrap();
        assert_eq!((account.reserved().is_zero(), account.settled().tokens), (true, 5));
    }
}

#[test]
fn repeatable_step_that_no_later_attempt_takes_up_is_charged_and_in_nobodys_way() {
    let mut world = World::new(20);
    let (run, pt) = sending(&mut world);
    world.intend(pt, 0, EffectClass::Read);
    world.restart();
    let again = world.pt_at(run, 0);
    world.finish(again, "1");
    assert_eq!(world.standing(run), RunState::Succeeded);
    let (_, account) = world.state.accounts().next().unwrap();
    assert!(account.reserved().is_zero());
    assert_eq!(account.settled().tokens, 10);
}

#[test]
fn result_presented_with_an_effectful_step_open_is_in_doubt() {
    let mut world = World::new(20);
    let (run, pt) = sending(&mut world);
    world.intend(pt, 0, EffectClass::Effectful);
    let second = world.intend(pt, 1, EffectClass::Probed);
    world.finish(pt, "1");
    assert_eq!(world.standing(run), RunState::Parked);
    world.resolve(run, second, Resolution::NotHappened).unwrap();
    assert_eq!(world.standing(run), RunState::Parked, "one is left");
}

#[test]
fn cancelled_children_leave_their_open_effects_in_doubt() {
    for by_failure in [false, true] {
        let mut world = World::new(20);
        world.prepared.insert("m".into(), list(3));
        let run = world.submit(plan(vec![map("m", &[], 0, 0)]));
        let pt = world.pt(run, TaskRef::child(0, 1)).unwrap();
        let key = world.intend(pt, 0, EffectClass::Effectful);
        if by_failure {
            let other = world.pt(run, TaskRef::child(0, 0)).unwrap();
            world.fail(other, Failure::fatal("broken", "no"));
            assert_eq!(world.standing(run), RunState::Failed);
        } else {
            world.cancel(run).unwrap();
        }
        let rejected = world.retry(run, None).unwrap_err();
        assert_eq!(rejected.code(), "step_in_doubt", "a retry would repeat it");
        world.resolve(run, key, Resolution::Happened(json("1"))).unwrap();
        assert!(world.state.accounts().all(|(_, account)| account.reserved().is_zero()));
        let rejected = world.retry(run, None).unwrap_err();
        assert_eq!(rejected.code(), "effect_happened", "it still would");
        world.retry(run, Some(0)).unwrap();
        world.work();
        assert_eq!(world.standing(run), RunState::Succeeded);
    }
}

#[test]
fn effect_open_at_a_deadline_is_in_doubt_though_the_task_is_over() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.deadline_ms = Some(1_000);
    a.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![a, task("b", &[])]));
    let pt = world.pt_at(run, 0);
    let key = world.intend(pt, 0, EffectClass::Effectful);
    let second = world.intend(pt, 1, EffectClass::Effectful);
    world.tick(1_000);
    assert_eq!(world.at(run, 0), TaskState::Failed);
    world.resolve(run, key, Resolution::GiveUp).unwrap();
    world.resolve(run, second, Resolution::NotHappened).unwrap();
    assert_eq!(world.at(run, 0), TaskState::Failed, "I2");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn run_that_succeeds_with_an_effect_in_doubt_leaves_nothing_reserved() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.deadline_ms = Some(1_000);
    a.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    world.intend(pt, 0, EffectClass::Effectful);
    world.tick(1_000);
    assert_eq!(world.standing(run), RunState::Succeeded);
    let (_, account) = world.state.accounts().next().unwrap();
    assert_eq!((account.reserved().is_zero(), account.settled().tokens), (true, 10));
}

#[test]
fn same_call_with_the_same_result_three_times_stalls() {
    let mut world = World::new(20);
    let (run, pt) = sending(&mut world);
    for (number, result) in [(0, "1"), (1, "2"), (2, "1"), (3, "1")] {
        assert_eq!(world.at(run, 0), TaskState::Running);
        let mut intent = world.intent(pt, number, EffectClass::Read);
        intent.arguments = Hash::of(b"same");
        let (key, _) = known_step(&world.state, &intent).unwrap();
        world.act(Command::IntendStep(Box::new(intent))).unwrap();
        world.settle(pt, key, result);
    }
    assert_eq!(world.node(run, 0).parked.as_ref().unwrap().0, ParkReason::Stalled);
}

#[test]
fn intent_is_refused_twice_without_scope_or_past_the_limit() {
    let mut world = World::new(20);
    let (_, pt) = sending(&mut world);
    world.intend(pt, 0, EffectClass::Read);
    let again = world.intent(pt, 0, EffectClass::Read);
    let code = |world: &mut World, intent| {
        world.act(Command::IntendStep(Box::new(intent))).unwrap_err().code()
    };
    assert_eq!(code(&mut world, again), "step_open");
    let far = world.intent(pt, 10_000, EffectClass::Read);
    assert_eq!(code(&mut world, far), "too_many_steps");
    let id = ark_os_core::authority::RevocationId([7; 16]);
    world.act(Command::Revoke { id, reason: "stop".into() }).unwrap();
    let next = world.intent(pt, 1, EffectClass::Read);
    assert_eq!(code(&mut world, next), "authority_denied");
}

#[test]
fn stale_or_foreign_token_changes_nothing_of_the_run_and_strikes_the_agent() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    let old = world.pt_at(run, 0);
    let liar = world.open[&old].agent;
    world.lose(old);
    world.tick(500);
    let pt = world.pt_at(run, 0);
    assert_ne!(world.open[&pt].agent, liar);
    let before = world.run(run).clone();
    let output = || AttemptOutcome::Succeeded { output: json("0"), blobs: Vec::new() };
    let nothing = ark_os_core::budget::Amounts::ZERO;
    world.finish_as(old, liar, output(), nothing).unwrap();
    world.finish_as(pt, liar, output(), nothing).unwrap();
    assert_eq!(world.state.fleet().agent(liar).unwrap().strikes, 2);
    assert_eq!(*world.run(run), before, "I4");
    let future = PtId { fence: Fence(u64::MAX), ..pt };
    world.act(Command::RenewLease { pt: future, agent: liar }).unwrap();
    assert_eq!(*world.run(run), before, "I4");
    let row = world.state.fleet().agent(liar).unwrap();
    assert_eq!((row.standing, row.strikes), (Standing::Restarting, 0), "three strikes");
    world.tick(60_000);
    assert_eq!(world.state.fleet().agent(liar).unwrap().standing, Standing::Ready);
    let nobody = world.finish_as(pt, AgentIx(999), output(), nothing);
    assert_eq!(nobody.unwrap_err().code(), "agent_not_found");
    let reason = Failure::retryable("agent_died", "no");
    let late = world.act(Command::LoseAttempt { pt: old, reason });
    assert_eq!(late.unwrap_err().code(), "stale_fence");
}

#[test]
fn output_after_a_cancel_is_refused() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    let pt = world.pt_at(run, 0);
    let agent = world.open[&pt].agent;
    world.cancel(run).unwrap();
    let before = world.run(run).clone();
    let output = AttemptOutcome::Succeeded { output: json("0"), blobs: Vec::new() };
    world.finish_as(pt, agent, output, ark_os_core::budget::Amounts::ZERO).unwrap();
    assert_eq!(*world.run(run), before);
    assert_eq!(world.state.fleet().agent(agent).unwrap().strikes, 1);
}

#[test]
fn refused_results_are_tried_elsewhere_and_restart_the_agent() {
    let mut world = World::new(1);
    let mut a = task("a", &[]);
    a.retry.attempts = 11;
    let run = world.submit(plan(vec![a]));
    for _ in 0..3 {
        assert_eq!(world.state.fleet().agent(AgentIx(0)).unwrap().standing, Standing::Ready);
        let pt = world.pt_at(run, 0);
        world.refuse(pt);
        if world.state.fleet().agent(AgentIx(0)).unwrap().standing == Standing::Ready {
            world.tick(9_000);
        }
    }
    assert_eq!(world.state.fleet().agent(AgentIx(0)).unwrap().standing, Standing::Restarting);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn agent_that_dies_four_times_in_a_row_is_replaced_and_a_success_ends_the_row() {
    let mut world = World::new(1);
    let row = |world: &World| world.state.fleet().agent(AgentIx(0)).unwrap().clone();
    let run = world.submit(plan(vec![task("a", &[])]));
    let mut pauses = Vec::new();
    for expected in [Standing::Restarting, Standing::Restarting, Standing::Restarting] {
        let pt = world.pt_at(run, 0);
        world.lose(pt);
        assert_eq!(row(&world).standing, expected);
        let (at, _) = world.state.timers().first().unwrap();
        pauses.push(at.since(world.now).as_millis());
        world.tick(10_000 - 1);
    }
    assert_eq!(pauses, [200, 400, 800]);
    let pt = world.pt_at(run, 0);
    world.lose(pt);
    assert_eq!((row(&world).standing, row(&world).incarnation), (Standing::Replaced, 1));
    assert!(world.open.is_empty());
    world.tick(1_600);
    assert_eq!(row(&world).standing, Standing::Ready, "the new one is there");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(row(&world).restarts, 0);
}

#[test]
fn proofs_of_a_run_form_a_chain_that_can_be_made_again_from_the_journal() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(5));
    let run = world.submit(plan(vec![task("a", &[]), map("m", &[0], 0, 0), task("z", &[1])]));
    world.work();
    let mut head = Hash::ZERO;
    for change in world.changes.iter().filter(|change| change.run == Some(run)) {
        for event in &change.events {
            if let Event::TaskSucceeded(done) = event {
                head = ark_os_core::progress::proof(run, done, head);
            }
            if let Event::RunEnded(ended) = event {
                assert_eq!(ended.proof, Some(head), "the end names them all");
            }
        }
    }
    assert_eq!(world.announced[&run].proof, head);
    assert_ne!(head, Hash::ZERO);
}

#[test]
fn old_fence_is_refused_even_from_the_agent_that_holds_the_new_one() {
    let mut world = World::new(1);
    let run = world.submit(plan(vec![task("a", &[])]));
    let old = world.pt_at(run, 0);
    world.lose(old);
    world.tick(200);
    let pt = world.pt_at(run, 0);
    let agent = world.open[&pt].agent;
    let before = world.run(run).clone();
    let output = AttemptOutcome::Succeeded { output: json("0"), blobs: Vec::new() };
    world.finish_as(old, agent, output, ark_os_core::budget::Amounts::ZERO).unwrap();
    assert_eq!(*world.run(run), before, "I4");
    assert_eq!(world.state.fleet().agent(agent).unwrap().strikes, 1);
}
