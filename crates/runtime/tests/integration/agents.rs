//! Agents that hang, panic, lie or fail: refused, counted, restarted, replaced; their tasks go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt, IntendStep};
use ark_os_core::event::Standing;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, Fence, PtId};
use ark_os_core::limits::{AGENT_BACKOFF_MS, AGENT_RESTARTS_MAX, LOST_ATTEMPTS_MAX, STRIKES_MAX};
use ark_os_core::payload::Payload;
use ark_os_core::plan::EffectClass;
use ark_os_core::run::RunState;
use ark_os_core::time::Time;
use ark_os_core::{Command, Event};
use ark_os_runtime::skills::SkillError;
use ark_os_runtime::{PlanRequest, RecordedEvents, RunRequest, TaskRequest};
use serde_json::json;

use crate::world::{
    Gate, SHORT_LEASE, Scripted, World, bell, heard, history, over, request, run, skill, token,
    until, workers,
};

/// A request whose retries come at once, as many as the format allows.
fn persistent() -> RunRequest {
    let options = Some(json!({"retry": {"attempts": 11, "backoff": "1ms", "max": "1ms"}}));
    let task = TaskRequest { skill: "test".to_owned(), options };
    RunRequest::new(PlanRequest::Task(task), b"{}".to_vec())
}

/// A skill of which the first `times` attempts do as `bad` says.
fn at_first(
    times: u32,
    bad: impl Fn() -> Result<Vec<u8>, SkillError> + Send + Sync + 'static,
) -> Scripted {
    let attempts = AtomicU32::new(0);
    skill(
        move |_, _| {
            if attempts.fetch_add(1, Ordering::Relaxed) < times {
                bad()
            } else {
                Ok(b"{}".to_vec())
            }
        },
    )
}

fn standings(history: &[RecordedEvents]) -> Vec<(Standing, Time, Option<Time>)> {
    let changes = history.iter().map(|record| &record.change);
    changes
        .flat_map(|change| {
            change.events.iter().filter_map(|event| match event {
                Event::AgentChanged { standing, until, .. } => Some((*standing, change.at, *until)),
                _ => None,
            })
        })
        .collect()
}

#[tokio::test]
async fn a_hung_agent_is_given_up_and_its_task_goes_on_elsewhere() {
    let gate = Gate::default();
    let hanging = gate.clone();
    let hangs = at_first(1, move || {
        hanging.pass();
        Ok(b"{}".to_vec())
    });
    let world = World::new([hangs]).with_lease(SHORT_LEASE);
    let instance = world.start();
    let handle = instance.handle();

    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    let metrics = handle.metrics();
    assert!(metrics.attempts_lost.value() >= 1);
    assert!(metrics.agent_restarts.value() >= 1);
    // There is one thread, so the second attempt began only because it was replaced.
    assert!(metrics.threads_abandoned.value() >= 1);
    let workers = workers(&history(&handle, outcome.run).await);
    assert_ne!(workers[0], workers[1], "the agent that hung is not tried again");
    for _ in 0..3 {
        assert_eq!(run(&handle, request()).await.state, RunState::Succeeded);
    }

    // What the hung thread says in the end is late.
    let refused = metrics.refused.value();
    gate.open();
    until(&handle, |handle| handle.metrics().refused.value() > refused).await;
    assert_eq!(run(&handle, request()).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_panicking_agent_costs_its_attempt_and_not_its_task() {
    let world = World::new([
        at_first(2, || panic!("a panic that the test wants")),
        at_first(1, || panic!("another, on the loop's own thread")).named("tiny").on_the_loop(),
    ]);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    assert_eq!(handle.metrics().attempts_lost.value(), 2);
    assert_eq!(handle.metrics().agent_restarts.value(), 2);
    let workers = workers(&history(&handle, outcome.run).await);
    assert_eq!(workers.len(), 3);
    assert!(workers[0] != workers[1] && workers[1] != workers[2], "{workers:?}");

    let outcome = run(&handle, RunRequest::task("tiny", b"1".to_vec())).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    assert_eq!(handle.metrics().attempts_lost.value(), 3);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_task_that_kills_every_agent_is_parked_as_poison() {
    let world = World::new([at_first(u32::MAX, || panic!("a panic that the test wants"))]);
    let instance = world.start();
    let outcome = run(&instance.handle(), request()).await;
    assert_eq!(outcome.state, RunState::Parked, "{outcome:?}");
    assert_eq!(instance.handle().metrics().attempts_lost.value(), u64::from(LOST_ATTEMPTS_MAX));
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_agent_that_dies_is_restarted_with_backoff_and_then_replaced() {
    let deaths = AGENT_RESTARTS_MAX + 1;
    let world =
        World::new([at_first(deaths, || panic!("a panic that the test wants"))]).with_agents(1);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    let history = history(&handle, outcome.run).await;
    let standings = standings(&history);
    let expected: Vec<Standing> = (0..deaths)
        .map(|n| if n < AGENT_RESTARTS_MAX { Standing::Restarting } else { Standing::Replaced })
        .collect();
    assert_eq!(standings.iter().map(|it| it.0).collect::<Vec<_>>(), expected);
    for (n, (_, at, until)) in standings.iter().enumerate() {
        assert_eq!(until.unwrap().since(*at).as_millis() as u64, AGENT_BACKOFF_MS << n);
    }
    let begun = history.iter().filter(|record| {
        record.change.events.iter().any(|event| matches!(event, Event::AttemptStarted(_)))
    });
    for (record, (.., until)) in begun.skip(1).zip(&standings) {
        assert!(record.change.at >= until.unwrap(), "it worked before its pause was over");
    }
    let incarnation = |kernel: &ark_os_runtime::kernel::Kernel| {
        kernel.state().fleet().agent(AgentIx(0)).unwrap().incarnation
    };
    assert_eq!(handle.read(incarnation).await.unwrap(), 1);
    instance.stop().unwrap();
}

/// Runs a task whose agents lie as often as one of them is endured, and again.
async fn refused(answer: &'static [u8], code: &str) {
    let lies = STRIKES_MAX + 1;
    let long = move || Ok(answer.repeat(if answer.len() == 1 { 2_000 } else { 1 }));
    let world = World::new([at_first(lies, long)]).with_agents(1);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, persistent()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    assert_eq!(handle.metrics().attempts.value(), u64::from(lies) + 1);
    assert!(handle.metrics().refused.value() >= u64::from(lies));
    let history = history(&handle, outcome.run).await;
    let events = history.iter().flat_map(|record| &record.change.events);
    let strikes: Vec<&str> = events
        .filter_map(|event| match event {
            Event::AgentStruck { reason, .. } => Some(&**reason),
            _ => None,
        })
        .collect();
    assert_eq!(strikes, vec![code; lies as usize]);
    let standings = standings(&history);
    assert_eq!(standings.len(), 1, "restarted after the third strike, and then it has a new start");
    assert_eq!(standings[0].0, Standing::Restarting);
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_output_that_does_not_fit_its_schema_is_refused() {
    refused(b"[\"no object\"]", "output_invalid").await;
}

#[tokio::test]
async fn an_output_that_is_no_json_is_refused() {
    refused(b"{\"half\":", "output_invalid").await;
}

#[tokio::test]
async fn an_output_over_its_limit_is_refused() {
    refused(b" ", "output_too_large").await;
}

#[tokio::test]
async fn a_failing_agent_is_not_struck_and_another_tries() {
    let fails = || Err(SkillError::retryable("test.broken", "do it"));
    let world = World::new([at_first(2, fails)]);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, persistent()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    let metrics = handle.metrics();
    assert_eq!((metrics.attempts_failed.value(), metrics.refused.value()), (2, 0));
    assert_eq!((metrics.attempts_lost.value(), metrics.agent_restarts.value()), (0, 0));
    let workers = workers(&history(&handle, outcome.run).await);
    assert!(workers[0] != workers[1] && workers[1] != workers[2], "{workers:?}");
    instance.stop().unwrap();
}

fn finish(pt: PtId, agent: AgentIx) -> Command {
    let output = Payload::inline(b"\"forged\"".as_slice());
    Command::FinishAttempt(Box::new(FinishAttempt {
        pt,
        agent,
        outcome: AttemptOutcome::Succeeded { output, blobs: Vec::new() },
        input: Hash::ZERO,
        spent: Amounts::ZERO,
        micros: 0,
    }))
}

fn intend(pt: PtId, agent: AgentIx) -> Command {
    Command::IntendStep(Box::new(IntendStep {
        pt,
        agent,
        number: 0,
        tool: "forged".into(),
        arguments: Hash::ZERO,
        class: EffectClass::Idempotent,
        reserve: Amounts::ZERO,
    }))
}

#[tokio::test]
async fn a_stale_fence_and_anothers_token_change_nothing_but_the_liars_record() {
    let (gate, (at_work, mut works)) = (Gate::default(), bell());
    let held = gate.clone();
    let world = World::new([skill(move |_, _| {
        at_work.ring();
        held.pass();
        Ok(b"{\"genuine\":true}".to_vec())
    })]);
    let instance = world.start();
    let handle = instance.handle();
    let submitted = handle.submit(request()).await.unwrap();
    heard(&mut works).await;
    let (pt, agent) = token(&handle, submitted.run).await;
    let liar = AgentIx(agent.0 - 1);
    let stale = PtId { fence: Fence(pt.fence.0 - 1), ..pt };

    let lies: Vec<(PtId, AgentIx)> = vec![(stale, agent), (stale, liar), (pt, liar)];
    for (n, (pt, agent)) in lies.into_iter().enumerate() {
        handle.command(finish(pt, agent)).await.unwrap();
        handle.command(Command::RenewLease { pt, agent }).await.unwrap();
        let error = handle.command(intend(pt, agent)).await.unwrap_err();
        assert_eq!(error.code(), "stale_fence");
        assert_eq!(handle.metrics().refused.value(), 3 * (n as u64 + 1));
    }
    assert_eq!(token(&handle, submitted.run).await, (pt, agent), "the holder holds it still");
    assert!(handle.metrics().agent_restarts.value() >= 2, "three strikes are one restart");
    gate.open();
    let outcome = over(&handle, submitted.run).await;
    assert_eq!(outcome.state, RunState::Succeeded);
    let output = handle.load(&outcome.output.unwrap()).unwrap();
    assert_eq!(&output[..], b"{\"genuine\":true}");

    // Over is over: the same token once more is refused as well.
    let refused = handle.metrics().refused.value();
    handle.command(finish(pt, agent)).await.unwrap();
    assert_eq!(handle.metrics().refused.value(), refused + 1);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_skill_that_panics_or_overflows_when_asked_to_wait_harms_nobody() {
    use ark_os_runtime::skills::{Host, Skill, SkillSpec};
    struct Waits(Scripted, Option<std::time::Duration>);
    impl Skill for Waits {
        fn spec(&self) -> &SkillSpec {
            self.0.spec()
        }
        fn delay(&self, _: &[u8]) -> Result<Option<std::time::Duration>, SkillError> {
            Ok(Some(self.1.expect("a panic that the test wants")))
        }
        fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
            self.0.run(host, input)
        }
    }
    let fine = || skill(|_, _| Ok(b"{}".to_vec()));
    let mut world = World::new([]);
    world.components.skills.insert(Arc::new(Waits(fine().named("panics"), None)));
    let for_ever = Some(std::time::Duration::MAX);
    world.components.skills.insert(Arc::new(Waits(fine().named("for_ever"), for_ever)));
    let instance = world.start();
    let handle = instance.handle();
    let waiting = handle.submit(RunRequest::task("for_ever", b"1".to_vec())).await.unwrap();
    let outcome = run(&handle, RunRequest::task("panics", b"1".to_vec())).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    let cancel = Command::CancelRun { run: waiting.run, reason: "test".into() };
    handle.command(cancel).await.unwrap();
    assert_eq!(over(&handle, waiting.run).await.state, RunState::Cancelled);
    instance.stop().unwrap();
}
