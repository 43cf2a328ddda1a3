//! Forks: what `core` decides about a run that begins from another one's history.

use ark_os_core::command::ForkRun;
use ark_os_core::event::{Event, ReusedChildren, RunForked, RunOrigin, TaskReused};
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::layer::Layer;
use ark_os_core::plan::{OnFailure, Workflow};
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::{Change, Command, Rejected};
use std::sync::Arc;

use super::world::{World, json, map, plan, task};

fn reused(node: u32, output: Option<&str>) -> TaskReused {
    TaskReused {
        node,
        source_node: node,
        output: output.map(json),
        input: Hash::of(b"input"),
        proof: Hash::of(&node.to_le_bytes()),
        children: None,
        blobs: None,
    }
}

fn of_map(node: u32, count: u32) -> TaskReused {
    let outputs = (0..count).map(|it| json(&it.to_string())).collect();
    let children = Some(ReusedChildren { list: json("[1]"), outputs });
    TaskReused { children, ..reused(node, Some("{}")) }
}

fn fork(
    world: &mut World,
    workflow: Arc<Workflow>,
    reused: Vec<TaskReused>,
) -> (RunId, Result<Change, Rejected>) {
    let submission = world.submission(workflow);
    let run = submission.run;
    let forked =
        RunForked { source: RunId(99), at: 7, head: Hash::of(b"head"), reason: "test".into() };
    let fork = ForkRun { submission, forked, reused };
    (run, world.act(Command::ForkRun(Box::new(fork))))
}

/// a → b → c, a → d (a map) → c, e falls in for b.
fn rich() -> Arc<Workflow> {
    let mut b = task("b", &[0]);
    b.on_failure = OnFailure::Fallback(4);
    plan(vec![task("a", &[]), b, task("c", &[1, 3]), map("d", &[0], 0, 0), task("e", &[])])
}

#[test]
fn what_is_reused_does_not_run_and_what_follows_does() {
    let mut world = World::new(6);
    let mut kept = vec![reused(0, Some("1")), reused(1, Some("2")), of_map(3, 3)];
    let (run, change) = fork(&mut world, rich(), kept.clone());
    let change = change.unwrap();
    assert!(matches!(change.events.last(), Some(Event::AttemptStarted(it)) if it.task.node == 2));
    let states: Vec<_> = (0..5).map(|node| world.at(run, node)).collect();
    use TaskState::{Running, Skipped, Succeeded};
    assert_eq!(states, [Succeeded, Succeeded, Running, Succeeded, Skipped]);
    assert_eq!(world.run(run).counts.of(Succeeded), 5, "children are counted");
    world.snapshot();
    world.work();
    assert_eq!(world.announced[&run].state, RunState::Succeeded);
    assert_eq!(world.begun.len(), 1);
    let origin = RunOrigin::Fork { source: RunId(99), at: 7, reused: 3, reason: "test".into() };
    assert_eq!(world.announced[&run].origin.as_deref(), Some(&origin));
    world.replayed();

    // With nothing left to do it is over in its first record, and its chain names what is reused.
    kept.push(reused(2, Some("3")));
    let (run, change) = fork(&mut world, rich(), kept);
    change.unwrap();
    world.dispatch();
    assert_eq!(world.announced[&run].state, RunState::Succeeded);
    assert_ne!(world.announced[&run].proof, Hash::ZERO);
}

#[test]
fn a_fork_survives_a_restart_and_a_missing_layer() {
    let mut world = World::new(6);
    world.set_layer(Layer::Board, false);
    let (run, change) = fork(&mut world, rich(), vec![reused(0, Some("1")), reused(1, None)]);
    change.unwrap();
    assert_eq!((world.standing(run), world.at(run, 1)), (RunState::Accepted, TaskState::Skipped));
    world.snapshot();
    world.set_layer(Layer::Board, true);
    world.dispatch();
    world.restart();
    world.work();
    assert_eq!(world.announced[&run].state, RunState::Succeeded);
}

#[test]
fn what_is_no_beginning_of_the_plan_is_refused() {
    let mut world = World::new(6);
    let wrong = [
        vec![reused(1, Some("1"))],
        vec![reused(0, Some("1")), reused(0, Some("1"))],
        vec![reused(9, Some("1"))],
        vec![reused(0, Some("1")), reused(3, Some("1"))],
        vec![of_map(0, 2)],
        vec![reused(4, Some("1"))],
    ];
    for kept in wrong {
        let (_, change) = fork(&mut world, rich(), kept);
        assert_eq!(change.unwrap_err().code(), "fork_invalid");
    }
}
