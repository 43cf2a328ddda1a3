//! An instance with one declared agent.

use std::path::Path;
use std::time::Duration;

use ark_os_core::authority::Scopes;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::manifest;
use ark_os_core::rules::Mode;
use ark_os_core::run::Task;
use ark_os_runtime::agents::{AgentSetup, DeclaredAgent, OwnDirs, Secret};
use ark_os_runtime::data::Catalogue;
use ark_os_runtime::skills::SkillSet;
use ark_os_runtime::submission::TaskRequest;
use ark_os_runtime::{Components, Handle, Instance, Outcome, RunRequest, RuntimeError, Settings};
use serde_json::{Value, json};

/// Longer than anything takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What must not be seen anywhere.
pub(crate) const SECRET: &str = "planted-s3cret-0123456789";

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) components: Components,
    pub(crate) dir: tempfile::TempDir,
}

/// An agent called `caller` with the skill `call.it`.
pub(crate) fn install(skills: &mut SkillSet, http: &Value) -> Result<(), RuntimeError> {
    let document = json!({"agents": [{"name": "caller", "skills": ["call.it"],
                                      "behaviour": {"http": http}}]});
    let manifest = manifest::parse(&document, &Catalogue::new(skills));
    let agent = manifest.unwrap_or_else(|found| panic!("{found}")).agents.remove(0);
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/tls");
    let secret = |_: &_, _: &_| Ok(Secret::new(format!("Bearer {SECRET}")));
    let setup = AgentSetup { secret: &secret, own_dirs: OwnDirs::default() };
    skills.install(&[DeclaredAgent { agent, at: "/agents/0".into(), base }], &setup)
}

impl World {
    pub(crate) fn new(http: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(dir.path());
        settings.segment_bytes = 1 << 20;
        settings.mode = Mode::Autonomous;
        let mut components = Components::builtin();
        components.operator = Scopes::parse(["*", "effect:effectful"]).unwrap();
        install(&mut components.skills, http).unwrap();
        World { settings, components, dir }
    }

    pub(crate) fn start(&self) -> Instance {
        Instance::start(self.settings.clone(), self.components.clone()).unwrap()
    }
}

/// A task that calls, with short pauses between its attempts.
pub(crate) fn request(attempts: u32) -> RunRequest {
    request_for(attempts, &json!(true))
}

/// The same, for an output of this schema.
pub(crate) fn request_for(attempts: u32, output: &Value) -> RunRequest {
    let retry = json!({"attempts": attempts, "backoff": "1ms", "max": "1ms"});
    let options = json!({"retry": retry, "output_schema": output});
    let mut request = RunRequest::task("call.it", br#"{"z":1,"a":[true]}"#.to_vec());
    request.plan = ark_os_runtime::submission::PlanRequest::Task(TaskRequest {
        skill: "call.it".to_owned(),
        options: Some(options),
    });
    request
}

pub(crate) async fn run(handle: &Handle, attempts: u32) -> (RunId, Outcome) {
    let (submitted, outcome) = handle.submit_and_wait(request(attempts), PATIENCE).await.unwrap();
    (submitted.run, outcome.expect("the run ends in time"))
}

pub(crate) async fn over(handle: &Handle, run: RunId) -> Outcome {
    handle.wait(run, PATIENCE).await.unwrap().expect("the run ends in time")
}

/// The run's only task, while the state has it.
pub(crate) async fn task(handle: &Handle, run: RunId) -> Task {
    handle
        .read(move |kernel| kernel.state().run(run).unwrap().task(TaskRef::node(0)).cloned())
        .await
        .unwrap()
        .unwrap()
}

pub(crate) fn output(handle: &Handle, outcome: &Outcome) -> Value {
    let output = outcome.output.clone().unwrap_or_else(|| panic!("{outcome:?}"));
    serde_json::from_slice(&handle.load(&output).unwrap()).unwrap()
}
