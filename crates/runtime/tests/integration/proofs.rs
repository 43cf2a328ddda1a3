//! Bundles of real runs: made offline and by a running instance, verified with nothing but their bytes.

use ark_os_core::Command;
use ark_os_core::ids::RunId;
use ark_os_core::plan::EffectClass;
use ark_os_core::run::RunState;
use ark_os_runtime::proofs::{BundleTrust, Class, Offline, Verified, verify};
use ark_os_runtime::skills::StepCall;
use ark_os_runtime::{Handle, PlanRequest, RunRequest};
use ark_os_store::{DiskFiles, PublicKey};
use serde_json::json;

use crate::world::{World, over, run, skill};

/// Takes a step for each call; the second fails the first time.
fn stepping() -> World {
    let stepping = skill(|host, _| {
        for arguments in [&b"{\"n\":1}"[..], b"{\"n\":2}"] {
            let call = StepCall::new("sink.put", arguments, EffectClass::Idempotent);
            host.step(&call, &mut |_: &str| Ok(b"{\"ok\":true}".to_vec()))?;
        }
        Ok(b"{}".to_vec())
    });
    World::new([stepping.of_class(EffectClass::Idempotent)]).with_agents(50)
}

fn plan() -> RunRequest {
    let plan = json!({"name": "sum", "version": "1", "tasks": [
        {"name": "list", "skill": "echo", "input": [1, 2, 3, 4]},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"}, "input": "${item}"},
        {"name": "step", "skill": "test", "input": {}},
        {"name": "flaky", "skill": "fail", "input": {"times": 1}, "retry": {"attempts": 3, "backoff": "1ms"}},
        {"name": "sum", "skill": "list.sum", "reduce": "each"},
        {"name": "never", "skill": "echo", "when": "input.go == true", "input": 1}],
        "output": {"sum": "${tasks.sum.output}"}});
    RunRequest::new(PlanRequest::Workflow(plan), b"{\"go\":false}".to_vec())
}

fn large() -> RunRequest {
    RunRequest::task("echo", format!("\"{}\"", "x".repeat(40_000)).into_bytes())
}

fn checked(bundle: &[u8]) -> Verified {
    verify(&mut &bundle[..], &BundleTrust::default()).unwrap().unwrap()
}

fn class_of(bundle: &[u8], trust: &BundleTrust) -> Class {
    verify(&mut &bundle[..], trust).unwrap().unwrap_err().class
}

fn offline(world: &World, run: RunId, embeds: bool, kept: Option<&str>) -> Vec<u8> {
    let offline = Offline::open(&world.settings.data_dir, None).unwrap();
    let mut bundle = Vec::new();
    offline.prepare(run, embeds, kept).unwrap().write(offline.evidence(), &mut bundle).unwrap();
    offline.close().unwrap();
    bundle
}

async fn signed(handle: &Handle, run: RunId) -> Vec<u8> {
    // A checkpoint covers it when there has been other work for a second.
    loop {
        let mut bundle = Vec::new();
        match handle.prove(run, false, None).and_then(|it| it.write(&mut bundle)) {
            Ok(()) => return bundle,
            Err(error) => assert_eq!(error.code(), "checkpoint_not_found", "{error}"),
        }
        crate::world::pass(handle, 50).await;
    }
}

#[tokio::test]
async fn bundles_of_all_kinds_of_runs_verify_offline() {
    let world = stepping();
    let instance = world.start();
    let handle = instance.handle();
    let mut runs = Vec::new();
    for request in [
        plan(),
        plan(),
        large(),
        RunRequest::task("fail", br#"{"error":{"code":"no","message":"no"}}"#.to_vec()),
    ] {
        runs.push(run(&handle, request).await);
    }
    let slow = RunRequest::task("sleep", b"{\"ms\":60000}".to_vec());
    let slow = handle.submit(slow).await.unwrap().run;
    instance.stop().unwrap();
    // What was under way is interrupted, goes on under another instance, and is cancelled there.
    let instance = world.start();
    let cancel = Command::CancelRun { run: slow, reason: "enough".into() };
    instance.handle().command(cancel).await.unwrap();
    runs.push(over(&instance.handle(), slow).await);
    let live = signed(&instance.handle(), runs[1].run).await;
    instance.stop().unwrap();

    assert_eq!(checked(&live).run, runs[1].run.to_string());
    for outcome in &runs {
        let bundle = offline(&world, outcome.run, true, None);
        let verified = checked(&bundle);
        assert_eq!(verified.summary.ended.state, format!("{:?}", outcome.state).to_lowercase());
        assert!(verified.summary.ended.seals && !verified.key_was_given);
        assert!(!verified.summary.agents.is_empty() || outcome.state == RunState::Cancelled);
        let is_large = outcome.run == runs[2].run;
        assert_eq!((verified.payloads > 0, bundle.len() > 50_000), (is_large, is_large));
    }
    let first = checked(&offline(&world, runs[0].run, false, None));
    assert_eq!((first.summary.proofs, first.summary.others), (9 - 1, 1), "{first:?}");
    let second = checked(&offline(&world, runs[1].run, false, None));
    assert_eq!(second.summary.others, 2, "the first run's record let the workflow in");
    assert_eq!(second.summary.admissions[0].decisions.len(), 4);
    let last = checked(&offline(&world, slow, false, None));
    assert_eq!(last.summary.others, 2, "two instances: {last:?}");
}

#[tokio::test]
async fn a_kept_checkpoint_and_a_trusted_key_are_held_against_the_bundle() {
    let world = stepping();
    let instance = world.start();
    let first = run(&instance.handle(), plan()).await.run;
    instance.stop().unwrap();
    let opened = Offline::open(&world.settings.data_dir, None).unwrap();
    let kept = opened.evidence().checkpoint.note().to_owned();
    opened.close().unwrap();
    let instance = world.start();
    run(&instance.handle(), plan()).await;
    instance.stop().unwrap();

    let files = DiskFiles::new(&world.settings.data_dir).unwrap();
    let key = PublicKey::load(&files).unwrap().to_string();
    let trust = BundleTrust { key: Some(key), kept: Some(kept.clone()) };
    let bundle = offline(&world, first, false, Some(&kept));
    let verified = verify(&mut &bundle[..], &trust).unwrap().unwrap();
    assert!(verified.key_was_given && verified.kept.is_some_and(|kept| kept < verified.size));
    assert_eq!(class_of(&offline(&world, first, false, None), &trust), Class::Kept);

    let other = stepping();
    let instance = other.start();
    let foreign = run(&instance.handle(), plan()).await.run;
    instance.stop().unwrap();
    let foreign = offline(&other, foreign, false, None);
    checked(&foreign);
    assert_eq!(class_of(&foreign, &trust), Class::Key);
    let kept_only = BundleTrust { key: None, ..trust };
    assert_eq!(class_of(&foreign, &kept_only), Class::Kept);
}

#[tokio::test]
async fn what_cannot_be_proven_says_why() {
    let world = stepping();
    let instance = world.start();
    let slow = RunRequest::task("sleep", b"{\"ms\":60000}".to_vec());
    let slow = instance.handle().submit(slow).await.unwrap().run;
    let outcome = run(&instance.handle(), large()).await;
    let held = Offline::open(&world.settings.data_dir, None).unwrap_err();
    assert_eq!(held.code(), "data_directory_in_use");
    instance.stop().unwrap();
    let opened = Offline::open(&world.settings.data_dir, None).unwrap();
    let code = |run, embeds| opened.prepare(run, embeds, None).map(|_| ()).unwrap_err().code();
    assert_eq!((code(slow, false), code(RunId(7), false)), ("run_not_over", "run_not_found"));
    let blobs = world.settings.data_dir.join("blobs");
    for shard in std::fs::read_dir(blobs).unwrap() {
        std::fs::remove_dir_all(shard.unwrap().path()).unwrap();
    }
    let prepared = opened.prepare(outcome.run, true, None).unwrap();
    let error = prepared.write(opened.evidence(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), "blob_unreadable");
}

#[tokio::test]
async fn a_truncated_or_altered_bundle_is_refused_at_its_line() {
    let world = stepping();
    let instance = world.start();
    let run = run(&instance.handle(), plan()).await.run;
    instance.stop().unwrap();
    let bundle = offline(&world, run, false, None);
    let trust = BundleTrust::default();
    for end in (0..bundle.len()).step_by(97).chain([bundle.len() - 1]) {
        assert_eq!(class_of(&bundle[..end], &trust), Class::Format, "cut at {end}");
    }
    let longer = [&bundle[..], b"\n"].concat();
    assert_eq!(class_of(&longer, &trust), Class::Format);
    for at in (0..bundle.len()).step_by(31) {
        let mut altered = bundle.clone();
        altered[at] ^= 1;
        class_of(&altered, &trust);
    }
}
