//! What bounds a run from outside: budgets, authority, keys, how much is kept.

use ark_os_core::Command;
use ark_os_core::authority::{RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::command::AttemptOutcome;
use ark_os_core::error::Failure;
use ark_os_core::event::Event;
use ark_os_core::ids::RunId;
use ark_os_core::limits::{KEY_KEPT_MS, RUNS_ENDED_KEPT_MAX};
use ark_os_core::plan::{EffectClass, TaskSpec, Workflow};
use ark_os_core::run::RunState;

use super::world::{World, instance, json, narrowed, plan, task};

const CALL: Amounts = Amounts { calls: 1, ..Amounts::ZERO };

fn calls(calls: u64) -> Option<Amounts> {
    Some(Amounts { calls, ..Amounts::UNLIMITED })
}

fn chain(length: u32) -> std::sync::Arc<Workflow> {
    let of = |i: u32| task(&format!("t{i}"), &(i.checked_sub(1).into_iter().collect::<Vec<_>>()));
    plan((0..length).map(of).collect())
}

fn code(world: &World, run: RunId) -> String {
    world.run(run).failure.clone().unwrap().code.to_string()
}

#[test]
fn run_stops_where_its_own_budget_ends() {
    let mut world = World::new(20);
    let run = world.submit_with(chain(3), |it| it.budget = calls(2)).unwrap();
    world.work();
    assert_eq!((world.standing(run), world.begun.len()), (RunState::Failed, 2));
    assert_eq!(code(&world, run), "budget_exhausted");
    let enough = world.submit_with(chain(3), |it| it.budget = calls(3)).unwrap();
    world.work();
    assert_eq!(world.standing(enough), RunState::Succeeded);
}

#[test]
fn runs_of_a_namespace_share_its_budget_and_a_raised_limit_holds_after_a_restart() {
    let mut settings = instance(20);
    settings.namespace_budget = calls(4).unwrap();
    let mut world = World::of(settings);
    let first = world.submit(chain(3));
    world.work();
    let second = world.submit(chain(3));
    world.work();
    assert_eq!(world.standing(first), RunState::Succeeded);
    assert_eq!(
        (world.standing(second), &*code(&world, second)),
        (RunState::Failed, "budget_exhausted")
    );
    let other = world.submit_with(chain(3), |it| it.namespace = "other".into()).unwrap();
    world.work();
    assert_eq!(world.standing(other), RunState::Succeeded, "each namespace has its own");
    world.restart();
    assert_eq!(world.retry(second, None).map(|_| world.standing(second)), Ok(RunState::Failed));
    world.instance.namespace_budget = calls(100).unwrap();
    world.restart();
    world.retry(second, None).unwrap();
    world.work();
    assert_eq!(world.standing(second), RunState::Succeeded);
}

#[test]
fn first_run_of_a_namespace_keeps_to_its_limit() {
    let mut settings = instance(20);
    settings.namespace_budget = Amounts { tokens: 100, ..Amounts::UNLIMITED };
    let mut world = World::of(settings);
    let mut a = task("a", &[]);
    a.budget = Amounts { tokens: 120, ..Amounts::ZERO };
    let run = world.submit(plan(vec![a]));
    assert_eq!((world.standing(run), &*code(&world, run)), (RunState::Failed, "budget_exhausted"));
}

#[test]
fn over_report_freezes_the_run_and_not_its_namespace() {
    let mut world = World::new(20);
    let run = world.submit(chain(2));
    let pt = world.pt_at(run, 0);
    let output = AttemptOutcome::Succeeded { output: json("1"), blobs: Vec::new() };
    let agent = world.open[&pt].agent;
    world.finish_as(pt, agent, output, Amounts { tokens: 9, ..CALL }).unwrap();
    assert_eq!(code(&world, run), "budget_exhausted");
    assert!(world.run(run).account.is_frozen());
    let other = world.submit(chain(2));
    world.work();
    assert_eq!(world.standing(other), RunState::Succeeded);
}

#[test]
fn what_an_attempt_gives_back_pays_for_the_next_task() {
    let mut world = World::new(20);
    let mut tasks = vec![task("a", &[]), task("b", &[0])];
    tasks.iter_mut().for_each(|it| it.budget = Amounts { tokens: 100, ..Amounts::ZERO });
    let limit = Amounts { tokens: 150, ..Amounts::UNLIMITED };
    let run = world.submit_with(plan(tasks), |it| it.budget = Some(limit)).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn work_waits_while_its_budget_is_reserved_for_work_under_way() {
    let mut world = World::new(50);
    world.prepared.insert("m".into(), super::world::list(10));
    let mut m = super::world::map("m", &[], 0, 0);
    m.budget = Amounts { tokens: 100, ..Amounts::ZERO };
    let limit = Amounts { tokens: 350, ..Amounts::UNLIMITED };
    let run = world.submit_with(plan(vec![m]), |it| it.budget = Some(limit)).unwrap();
    assert_eq!(world.working(run).len(), 3);
    let other = world.submit(chain(2));
    assert_eq!(world.working(other).len(), 1, "others do not wait for it");
    // Nobody uses a token, so all of them come to their turn.
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.standing(other), RunState::Succeeded);
}

#[test]
fn failed_attempt_is_charged_what_it_used() {
    let mut world = World::new(20);
    let mut a: TaskSpec = task("a", &[]);
    a.budget = Amounts { tokens: 100, ..Amounts::ZERO };
    let run = world.submit(plan(vec![a]));
    for outcome in [AttemptOutcome::Failed, AttemptOutcome::Refused] {
        let pt = world.pt_at(run, 0);
        let agent = world.open[&pt].agent;
        let spent = Amounts { tokens: 70, ..CALL };
        world.finish_as(pt, agent, outcome(Failure::retryable("no", "no")), spent).unwrap();
        world.tick(1_000);
    }
    let account = world.run(run).account;
    assert_eq!((account.settled().tokens, account.settled().calls), (140, 2));
    assert_eq!(account.reserved().tokens, 100);
}

#[test]
fn step_that_the_budget_cannot_bear_is_refused() {
    let mut world = World::new(20);
    let tokens = Amounts { tokens: 15, ..Amounts::UNLIMITED };
    let run = world.submit_with(chain(1), |it| it.budget = Some(tokens)).unwrap();
    let pt = world.pt_at(run, 0);
    let key = world.intend(pt, 0, EffectClass::Read);
    let second = world.intent(pt, 1, EffectClass::Read);
    let rejected = world.act(Command::IntendStep(Box::new(second.clone()))).unwrap_err();
    assert_eq!(rejected.code(), "budget_exhausted");
    world.settle(pt, key, "1");
    world.act(Command::IntendStep(Box::new(second))).unwrap();
}

#[test]
fn evicted_run_leaves_nothing_reserved() {
    let mut world = World::new(20);
    world.audit_every = 500;
    let run = world.submit(chain(1));
    let pt = world.pt_at(run, 0);
    world.intend(pt, 0, EffectClass::Effectful);
    world.cancel(run).unwrap();
    for _ in 0..RUNS_ENDED_KEPT_MAX {
        assert!(world.state.run(run).is_some());
        let next = world.submit(chain(1));
        world.cancel(next).unwrap();
    }
    world.audit();
    assert!(world.state.run(run).is_none());
    assert_eq!(world.state.run_ids().len(), RUNS_ENDED_KEPT_MAX);
    let (_, account) = world.state.accounts().next().unwrap();
    assert!(account.reserved().is_zero());
    assert_eq!(account.settled().tokens, 10);
}

#[test]
fn expired_authority_admits_nothing_and_stops_what_it_began() {
    let mut world = World::new(20);
    let end = world.now.plus(5_000);
    world.grant = std::sync::Arc::new(narrowed(|it| it.expires = end));
    let run = world.submit(chain(3));
    let known = world.submit(chain(3));
    let pt = world.pt_at(run, 0);
    world.tick(5_000);
    world.finish(pt, "1");
    assert_eq!((world.standing(run), &*code(&world, run)), (RunState::Failed, "authority_denied"));
    world.cancel(known).unwrap();
    let rejected = world.submit_with(chain(3), |_| {}).unwrap_err();
    assert_eq!(rejected.code(), "authority_expired", "though the workflow is admitted already");
    let rejected = world.submit_with(chain(2), |_| {}).unwrap_err();
    assert_eq!(rejected.code(), "authority_expired");
}

#[test]
fn missing_scope_stops_the_task_that_needs_it() {
    let mut world = World::new(20);
    world.grant = std::sync::Arc::new(narrowed(|it| {
        it.scopes = Some(Scopes::parse(["skill:look"]).unwrap());
    }));
    let mut a = task("a", &[]);
    a.skill = "look".into();
    let run = world.submit(plan(vec![a, task("b", &[0])]));
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    assert_eq!((world.standing(run), &*code(&world, run)), (RunState::Failed, "authority_denied"));
}

#[test]
fn effects_that_the_authority_does_not_name_are_not_admitted() {
    let mut world = World::new(20);
    world.grant = std::sync::Arc::new(narrowed(|it| {
        it.scopes = Some(Scopes::parse(["skill:*"]).unwrap());
    }));
    let mut a = task("a", &[]);
    a.skill = "send".into();
    let rejected = world.submit_with(plan(vec![a]), |_| {}).unwrap_err();
    assert_eq!(rejected.code(), "policy_denied");
}

#[test]
fn revocation_stops_a_run_at_its_next_decision_and_lets_no_other_in() {
    let mut world = World::new(20);
    world.grant = std::sync::Arc::new(narrowed(|_| {}));
    let run = world.submit(chain(3));
    let id = RevocationId([9; 16]);
    world.act(Command::Revoke { id, reason: "stop".into() }).unwrap();
    assert_eq!(world.working(run).len(), 1);
    world.restart();
    assert_eq!((world.standing(run), &*code(&world, run)), (RunState::Failed, "authority_denied"));
    for length in [3, 4] {
        let rejected = world.submit_with(chain(length), |_| {}).unwrap_err();
        assert_eq!(rejected.code(), "authority_denied");
    }
    let failed = world.retry(run, None).map(|_| world.standing(run));
    assert_eq!(failed, Ok(RunState::Failed));
}

#[test]
fn revoked_layer_of_an_admission_stops_its_runs() {
    let mut world = World::new(20);
    let run = world.submit(chain(2));
    let admission = world.run(run).admission.clone().unwrap();
    let id = *admission.authorities[2].chain().last().unwrap();
    world.act(Command::Revoke { id, reason: "stop".into() }).unwrap();
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    assert_eq!(code(&world, run), "authority_denied");
}

#[test]
fn idempotency_key_is_kept_for_a_day_and_across_restarts() {
    let mut world = World::new(20);
    let run = world.submit_with(chain(1), |it| it.key = World::keyed("k")).unwrap();
    world.work();
    world.restart();
    world.tick(KEY_KEPT_MS - 1);
    assert_eq!(world.state.submission(&"default".into(), &"k".into()).unwrap().0, run);
    let again = world.submit_with(chain(1), |it| it.key = World::keyed("k"));
    assert_eq!(again.unwrap_err().code(), "key_used");
    world
        .submit_with(chain(1), |it| {
            it.key = World::keyed("k");
            it.namespace = "other".into();
        })
        .unwrap();
    world.tick(2);
    world.submit(chain(1));
    assert!(world.state.submission(&"default".into(), &"k".into()).is_none());
    world.submit_with(chain(1), |it| it.key = World::keyed("k")).unwrap();
}

#[test]
fn run_id_is_used_once() {
    let mut world = World::new(20);
    let run = world.submit(chain(1));
    let again = world.submit_with(chain(1), |it| it.run = run);
    assert_eq!(again.unwrap_err().code(), "run_exists");
    assert_eq!(world.events(|event| matches!(event, Event::RunAccepted(_))), 1);
}
