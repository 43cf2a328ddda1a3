//! A skill with effects on a sink that counts, and an instance that crashes around them.
//!
//! The sink is a file of keys: who honours them applies each once, whoever wrote it how often.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ark_os_core::Command;
use ark_os_core::event::Resolution;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::plan::EffectClass;
use ark_os_core::run::RunState;
use ark_os_core::step::{StepKey, StepStanding};
use ark_os_runtime::skills::{self, SkillError, StepCall};

use crate::world::{Bell, Gate, Scripted, World, bell, heard, over, request, run, skill};

/// What the world outside saw.
#[derive(Clone)]
struct Sink {
    path: PathBuf,
    _dir: Arc<tempfile::TempDir>,
}

impl Sink {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Sink { path: dir.path().join("sink"), _dir: Arc::new(dir) }
    }

    fn take(&self, key: &str) {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        file.write_all(format!("{key}\n").as_bytes()).unwrap();
        file.sync_all().unwrap();
    }

    /// How often each key came.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for key in std::fs::read_to_string(&self.path).unwrap_or_default().lines() {
            *counts.entry(key.to_owned()).or_default() += 1;
        }
        counts
    }
}

/// Where the first attempt is held up.
#[derive(Clone, Copy, PartialEq)]
enum Hold {
    Nowhere,
    /// The effect has happened, nobody knows it yet.
    AfterEffect,
    /// The outcome is recorded, the attempt goes on.
    AfterStep,
}

struct Held {
    sink: Sink,
    hold: Hold,
    gate: Gate,
    bell: Bell,
    first: AtomicBool,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl Held {
    fn up(&self, at: Hold, is_first: bool) {
        if is_first && self.hold == at {
            self.bell.ring();
            self.gate.pass();
        }
    }

    fn skill(self, class: EffectClass) -> Scripted {
        let work = move |host: &dyn skills::Host, _: &[u8]| {
            let is_first = self.first.swap(false, Ordering::SeqCst);
            let call = StepCall::new("sink.put", b"{}", class);
            let answer = host.step(&call, &mut |key: &str| {
                self.sink.take(key);
                self.up(Hold::AfterEffect, is_first);
                Ok(format!("{{\"key\":\"{key}\"}}").into_bytes())
            });
            self.up(Hold::AfterStep, is_first);
            answer.inspect_err(|error| {
                self.refusals.lock().unwrap().push(error.code().to_owned());
                if is_first {
                    self.bell.ring();
                }
            })
        };
        skill(work).of_class(EffectClass::Idempotent)
    }
}

struct Scene {
    world: World,
    sink: Sink,
    gate: Gate,
    held_up: tokio::sync::mpsc::UnboundedReceiver<()>,
    refusals: Arc<Mutex<Vec<String>>>,
}

fn scene(class: EffectClass, hold: Hold) -> Scene {
    let (sink, gate, (bell, held_up)) = (Sink::new(), Gate::default(), bell());
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let held = Held {
        sink: sink.clone(),
        hold,
        gate: gate.clone(),
        bell,
        first: AtomicBool::new(true),
        refusals: refusals.clone(),
    };
    Scene { world: World::new([held.skill(class)]), sink, gate, held_up, refusals }
}

const CLASSES: [EffectClass; 4] =
    [EffectClass::Read, EffectClass::Idempotent, EffectClass::Probed, EffectClass::Effectful];

#[tokio::test]
async fn an_effect_of_every_class_happens_once_when_nothing_crashes() {
    for class in CLASSES {
        let scene = scene(class, Hold::Nowhere);
        let instance = scene.world.start();
        let outcome = run(&instance.handle(), request()).await;
        assert_eq!(outcome.state, RunState::Succeeded, "{class:?}: {outcome:?}");
        assert_eq!(scene.sink.counts().into_values().collect::<Vec<_>>(), [1], "{class:?}");
        instance.stop().unwrap();
    }
}

/// Crashes the instance while the first attempt is held up, and starts it again.
async fn crash(scene: &mut Scene) -> (ark_os_runtime::Instance, RunId) {
    let instance = scene.world.start();
    let submitted = instance.handle().submit(request()).await.unwrap();
    heard(&mut scene.held_up).await;
    drop(instance);
    scene.gate.open();
    let instance = scene.world.start();
    (instance, submitted.run)
}

#[tokio::test]
async fn an_effect_that_may_be_repeated_has_the_same_key_after_a_crash() {
    for class in [EffectClass::Read, EffectClass::Idempotent] {
        let mut scene = scene(class, Hold::AfterEffect);
        let (instance, run) = crash(&mut scene).await;
        assert_eq!(over(&instance.handle(), run).await.state, RunState::Succeeded);
        // Who honours the key applied it once.
        assert_eq!(scene.sink.counts().into_values().collect::<Vec<_>>(), [2], "{class:?}");
        // The zombie of the crashed instance was told nothing but that it is gone.
        heard(&mut scene.held_up).await;
        assert_eq!(*scene.refusals.lock().unwrap(), ["instance_stopped"]);
        instance.stop().unwrap();
    }
}

async fn doubt(handle: &ark_os_runtime::Handle, run: RunId) -> StepKey {
    let look = move |kernel: &ark_os_runtime::kernel::Kernel| {
        let task = kernel.state().run(run).unwrap().task(TaskRef::node(0)).unwrap();
        assert_eq!(task.steps.len(), 1);
        assert_eq!(task.steps[0].standing, StepStanding::InDoubt);
        task.steps[0].key
    };
    handle.read(look).await.unwrap()
}

#[tokio::test]
async fn an_effect_in_doubt_is_not_repeated_until_somebody_resolves_it() {
    for class in [EffectClass::Probed, EffectClass::Effectful] {
        for happened in [true, false] {
            let mut scene = scene(class, Hold::AfterEffect);
            let (instance, run) = crash(&mut scene).await;
            let handle = instance.handle();
            assert_eq!(over(&handle, run).await.state, RunState::Parked, "{class:?}");
            assert_eq!(scene.sink.counts().into_values().collect::<Vec<_>>(), [1], "{class:?}");

            let key = doubt(&handle, run).await;
            let result = Payload::inline(b"{\"told\":true}".as_slice());
            let resolution =
                if happened { Resolution::Happened(result) } else { Resolution::NotHappened };
            let reason = "looked".into();
            handle.command(Command::ResolveStep { run, key, resolution, reason }).await.unwrap();
            let outcome = over(&handle, run).await;
            assert_eq!(outcome.state, RunState::Succeeded, "{class:?}: {outcome:?}");
            let output = handle.load(&outcome.output.unwrap()).unwrap();
            assert_eq!(&output[..] == b"{\"told\":true}", happened);
            let times = if happened { 1 } else { 2 };
            assert_eq!(scene.sink.counts().into_values().collect::<Vec<_>>(), [times]);
            instance.stop().unwrap();
        }
    }
}

#[tokio::test]
async fn a_recorded_outcome_is_answered_from_the_journal_after_a_crash() {
    for class in CLASSES {
        let mut scene = scene(class, Hold::AfterStep);
        let (instance, run) = crash(&mut scene).await;
        let outcome = over(&instance.handle(), run).await;
        assert_eq!(outcome.state, RunState::Succeeded, "{class:?}: {outcome:?}");
        assert_eq!(scene.sink.counts().into_values().collect::<Vec<_>>(), [1], "{class:?}");
        instance.stop().unwrap();
    }
}

#[tokio::test]
async fn an_effect_is_not_begun_for_an_attempt_that_was_cancelled() {
    let (sink, gate, (at_work, mut works)) = (Sink::new(), Gate::default(), bell());
    let (taken, held) = (sink.clone(), gate.clone());
    let world = World::new([skill(move |host, _| {
        at_work.ring();
        held.pass();
        let call = StepCall::new("sink.put", b"{}", EffectClass::Idempotent);
        let answer = host.step(&call, &mut |key: &str| {
            taken.take(key);
            Ok(b"{}".to_vec())
        });
        at_work.ring();
        answer.map_err(|error| SkillError::permanent(error.code(), "put"))
    })
    .of_class(EffectClass::Idempotent)]);
    let instance = world.start();
    let handle = instance.handle();
    let submitted = handle.submit(request()).await.unwrap();
    heard(&mut works).await;
    let cancel = Command::CancelRun { run: submitted.run, reason: "test".into() };
    handle.command(cancel).await.unwrap();
    gate.open();
    heard(&mut works).await;
    assert_eq!(sink.counts().len(), 0);
    instance.stop().unwrap();
}
