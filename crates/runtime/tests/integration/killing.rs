//! Every agent of a fleet is killed in turn while it is at work, and nothing is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use ark_os_core::Command;
use ark_os_core::ids::AgentIx;
use ark_os_core::layer::Layer;
use ark_os_core::run::RunState;
use ark_os_runtime::skills::{EffectClass, Host, SkillError};
use ark_os_runtime::{Handle, RunRequest};

use crate::world::{PATIENCE, Scripted, World, over, skill};

const AGENTS: u32 = 200;
/// Attempts of one agent; the least that a fleet has.
const CONCURRENCY: u32 = 2;

/// Who works, who is to die, and whether the others may come to their end.
#[derive(Default)]
struct Scene {
    working: BTreeMap<AgentIx, u32>,
    victim: Option<AgentIx>,
    is_over: bool,
}

#[derive(Clone, Default)]
struct Stage(Arc<(Mutex<Scene>, Condvar)>);

/// At work until it is dropped, also by a panic.
struct AtWork<'a>(&'a Stage, AgentIx);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.change(|scene| *scene.working.entry(self.1).or_default() -= 1);
    }
}

impl Stage {
    fn change(&self, change: impl FnOnce(&mut Scene)) {
        change(&mut self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        self.0.1.notify_all();
    }

    fn until(&self, what: &str, holds: impl Fn(&Scene) -> bool) {
        let scene = self.0.0.lock().unwrap();
        let waits = |scene: &mut Scene| !holds(scene);
        let (_scene, waited) = self.0.1.wait_timeout_while(scene, PATIENCE, waits).unwrap();
        assert!(!waited.timed_out(), "in time: {what}");
    }

    /// Works until it is told that all is over, or dies; a second attempt is done at once.
    fn work(&self, host: &dyn Host) -> Result<Vec<u8>, SkillError> {
        let agent = host.post()?.agent();
        if host.attempt().number > 1 {
            return Ok(b"{}".to_vec());
        }
        self.change(|scene| *scene.working.entry(agent).or_default() += 1);
        let at_work = AtWork(self, agent);
        self.until("its end", |scene| scene.is_over || scene.victim == Some(agent));
        let dies = self.0.0.lock().unwrap().victim == Some(agent);
        assert!(!dies, "killed by the test");
        drop(at_work);
        Ok(b"{}".to_vec())
    }

    fn skill(&self, name: &'static str, class: EffectClass) -> Scripted {
        let stage = self.clone();
        skill(move |host, _| stage.work(host)).of_class(class).named(name).external()
    }
}

async fn submit(handle: &Handle, count: u32, runs: &mut Vec<ark_os_core::ids::RunId>) {
    for number in 0..count {
        let skill = if number % 2 == 0 { "hold.pure" } else { "hold.read" };
        runs.push(handle.submit(RunRequest::task(skill, b"{}".to_vec())).await.unwrap().run);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_200_agents_is_killed_in_turn_and_nothing_is_lost() {
    let stage = Stage::default();
    let skills =
        [stage.skill("hold.pure", EffectClass::Pure), stage.skill("hold.read", EffectClass::Read)];
    let mut world = World::new(skills).with_agents(AGENTS);
    world.settings.agent_concurrency = CONCURRENCY;
    world.settings.external_concurrency = (AGENTS * CONCURRENCY) as usize;
    let instance = world.start();
    let handle = instance.handle();
    let mut runs = Vec::new();
    submit(&handle, AGENTS * CONCURRENCY, &mut runs).await;
    let seats = handle.read(|kernel| {
        let fleet = kernel.state().fleet();
        let all = (0..fleet.len()).map(AgentIx);
        all.map(|agent| (agent, fleet.layer(agent))).collect::<Vec<_>>()
    });
    let seats: Vec<(AgentIx, Layer)> = seats.await.unwrap();
    assert_eq!(seats.len(), AGENTS as usize);
    let workers = seats.iter().filter(|(_, layer)| layer.works()).map(|(agent, _)| *agent);
    let workers: Vec<AgentIx> = workers.collect();
    let is_at_work =
        |scene: &Scene, agent: &AgentIx| scene.working.get(agent).is_some_and(|count| *count > 0);
    stage.until("all are at work", |scene| workers.iter().all(|agent| is_at_work(scene, agent)));
    for (agent, layer) in &seats {
        if layer.works() {
            stage.change(|scene| scene.victim = Some(*agent));
            stage.until("it is dead", |scene| !is_at_work(scene, agent));
            stage.change(|scene| scene.victim = None);
        } else {
            let reason = || "killed by the test".into();
            let off = Command::SetAgent { agent: *agent, online: false, reason: reason() };
            handle.command(off).await.unwrap();
            submit(&handle, 1, &mut runs).await;
            let on = Command::SetAgent { agent: *agent, online: true, reason: reason() };
            handle.command(on).await.unwrap();
        }
    }
    stage.change(|scene| scene.is_over = true);
    for run in &runs {
        let outcome = over(&handle, *run).await;
        assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    }
    let lost = handle.metrics().attempts_lost.value();
    assert!(lost >= workers.len() as u64, "{lost} attempts were lost");
    assert_eq!(handle.metrics().runs_succeeded.value(), runs.len() as u64);
    instance.stop().unwrap();
}
