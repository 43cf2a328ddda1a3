//! An instance with skills made for a test, and what the tests ask of it.

use std::borrow::Cow;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ark_os_core::Event;
use ark_os_core::authority::Scopes;
use ark_os_core::ids::{AgentIx, PtId, RunId, TaskRef};
use ark_os_core::rules::Mode;
use ark_os_core::run::RunState;
use ark_os_runtime::history::EVENTS_PAGE_MAX;
use ark_os_runtime::skills::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};
use ark_os_runtime::{Components, Handle, Instance, Outcome, RecordedEvents, RunRequest, Settings};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer than anything takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A lease that a test can see the end of.
pub(crate) const SHORT_LEASE: Duration = Duration::from_millis(400);

type Work = dyn Fn(&dyn Host, &[u8]) -> Result<Vec<u8>, SkillError> + Send + Sync;

/// A skill that does what the test says.
pub(crate) struct Scripted {
    spec: SkillSpec,
    work: Box<Work>,
}

impl Skill for Scripted {
    fn spec(&self) -> &SkillSpec {
        &self.spec
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        (self.work)(host, input)
    }
}

/// A pure skill called `test` that works on a thread and answers with an object.
pub(crate) fn skill(
    work: impl Fn(&dyn Host, &[u8]) -> Result<Vec<u8>, SkillError> + Send + Sync + 'static,
) -> Scripted {
    let spec = SkillSpec {
        name: Cow::Borrowed("test"),
        summary: Cow::Borrowed("does what the test says"),
        class: EffectClass::Pure,
        cost: Cost::Blocking,
        output_bytes_max: 1_000,
        input_schema: Cow::Borrowed("true"),
        output_schema: Cow::Borrowed(r#"{"type":"object"}"#),
        concurrency_max: None,
    };
    Scripted { spec, work: Box::new(work) }
}

impl Scripted {
    pub(crate) fn of_class(mut self, class: EffectClass) -> Self {
        self.spec.class = class;
        self
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.spec.name = Cow::Borrowed(name);
        self
    }

    pub(crate) fn external(mut self) -> Self {
        self.spec.cost = Cost::External;
        self
    }

    pub(crate) fn on_the_loop(mut self) -> Self {
        self.spec.cost = Cost::Tiny;
        self
    }
}

/// A data directory and what its instances are made of.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) components: Components,
    _dir: tempfile::TempDir,
}

impl World {
    /// One worker thread, so that a thread that hangs is missed.
    pub(crate) fn new(skills: impl IntoIterator<Item = Scripted>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(dir.path());
        settings.segment_bytes = 1 << 20;
        settings.mode = Mode::Autonomous;
        settings.workers = 1;
        let mut components = Components::builtin();
        components.operator = Scopes::parse(["*", "effect:effectful"]).unwrap();
        for skill in skills {
            components.skills.insert(Arc::new(skill));
        }
        World { settings, components, _dir: dir }
    }

    pub(crate) fn with_lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    pub(crate) fn with_agents(mut self, agents: u32) -> Self {
        self.settings.agents = agents;
        self
    }

    pub(crate) fn start(&self) -> Instance {
        Instance::start(self.settings.clone(), self.components.clone()).unwrap()
    }
}

/// A single task of the skill `test`.
pub(crate) fn request() -> RunRequest {
    RunRequest::task("test", b"{}".to_vec())
}

pub(crate) async fn run(handle: &Handle, request: RunRequest) -> Outcome {
    handle.submit_and_wait(request, PATIENCE).await.unwrap().1.expect("the run ends in time")
}

pub(crate) async fn over(handle: &Handle, run: RunId) -> Outcome {
    handle.wait(run, PATIENCE).await.unwrap().expect("the run ends in time")
}

/// The loop takes part in a wait of so many milliseconds, which no worker thread does.
pub(crate) async fn pass(handle: &Handle, ms: u64) {
    let input = format!("{{\"ms\":{ms}}}").into_bytes();
    let outcome = run(handle, RunRequest::task("sleep", input)).await;
    assert_eq!(outcome.state, RunState::Succeeded);
}

/// Waits until something holds that a record makes true.
pub(crate) async fn until(handle: &Handle, holds: impl Fn(&Handle) -> bool) {
    let mut viewed = handle.viewed();
    while !holds(handle) {
        tokio::time::timeout(PATIENCE, viewed.changed()).await.expect("it comes true").unwrap();
    }
}

/// Everything recorded of a run, once the views show it.
pub(crate) async fn history(handle: &Handle, run: RunId) -> Vec<RecordedEvents> {
    let newest = handle.read(|kernel| kernel.newest()).await.unwrap();
    let mut viewed = handle.viewed();
    let seen = viewed.wait_for(|position| *position >= newest);
    tokio::time::timeout(PATIENCE, seen).await.expect("the views follow").unwrap();
    handle.history(run, 0, EVENTS_PAGE_MAX).unwrap().records
}

/// Who worked on the run's attempts, in order.
pub(crate) fn workers(history: &[RecordedEvents]) -> Vec<AgentIx> {
    let events = history.iter().flat_map(|record| &record.change.events);
    let agent = |event: &Event| match event {
        Event::AttemptStarted(started) => Some(started.agent),
        _ => None,
    };
    events.filter_map(agent).collect()
}

/// The token of the run's only task, and who holds it.
pub(crate) async fn token(handle: &Handle, run: RunId) -> (PtId, AgentIx) {
    let look = move |kernel: &ark_os_runtime::kernel::Kernel| {
        let task = TaskRef::node(0);
        let active = kernel.state().run(run)?.task(task)?.active.as_ref()?;
        Some((PtId { run, task, fence: active.fence }, active.agent))
    };
    handle.read(look).await.unwrap().expect("an attempt is under way")
}

/// Holds threads back until it is opened, or its last owner is gone.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
    }

    /// Waits a moment for it; whether it is open.
    pub(crate) fn try_pass(&self) -> bool {
        let open = self.0.0.lock().unwrap();
        let moment = Duration::from_millis(5);
        *self.0.1.wait_timeout_while(open, moment, |open| !*open).unwrap().0
    }
}

/// Tells a test what happened on a thread.
#[derive(Clone)]
pub(crate) struct Bell(UnboundedSender<()>);

pub(crate) fn bell() -> (Bell, UnboundedReceiver<()>) {
    let (tx, rx) = unbounded_channel();
    (Bell(tx), rx)
}

impl Bell {
    pub(crate) fn ring(&self) {
        // Nobody listens any more.
        let _ = self.0.send(());
    }
}

pub(crate) async fn heard(rx: &mut UnboundedReceiver<()>) {
    tokio::time::timeout(PATIENCE, rx.recv()).await.expect("the bell rings").unwrap();
}
