//! Requests to a real instance over files in memory: refused with a reason or run, and whatever
//! they are, the instance lives, and a restart replays what they left in the journal.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::{Command, Kind};
use ark_os_runtime::skills::SkillSet;
use ark_os_runtime::{
    Components, Handle, Instance, PlanRequest, RunRequest, Settings, TaskRequest,
};
use ark_os_store::MemFiles;
use serde_json::Value;

/// How long a run may take before it is cancelled: most are over in a millisecond.
const PATIENCE: Duration = Duration::from_millis(50);
/// Requests to one instance, before it is crashed, replayed and replaced.
const REQUESTS_MAX: u32 = 500;
/// Skills that touch nothing outside. The others read and write the disk, or wait.
const SKILLS: [&str; 8] = [
    "echo",
    "fail",
    "hash",
    "json.transform",
    "list.count",
    "list.range",
    "list.sum",
    "text.template",
];

struct Scene {
    instance: Instance,
    files: MemFiles,
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    requests: u32,
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

pub(super) fn target() -> super::Read {
    let mut scene: Option<Scene> = None;
    Box::new(move |bytes| {
        let Some(request) = request(bytes) else { return };
        let mut at = scene.take().unwrap_or_else(fresh);
        at.submit(request);
        at.requests += 1;
        if at.requests < REQUESTS_MAX {
            scene = Some(at);
        } else {
            at.replay();
        }
    })
}

fn fresh() -> Scene {
    let made = make(MemFiles::default());
    assert!(made.is_ok(), "start an instance: {:?}", made.as_ref().err());
    match made {
        Ok(scene) => scene,
        Err(_) => std::process::abort(),
    }
}

fn make(files: MemFiles) -> Made<Scene> {
    let dir = tempfile::tempdir()?;
    let instance = start(&files, &dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(Scene { instance, files, dir, runtime, requests: 0 })
}

fn start(files: &MemFiles, dir: &tempfile::TempDir) -> Made<Instance> {
    let mut settings = Settings::new(dir.path());
    settings.segment_bytes = 1 << 20;
    settings.agents = 20;
    let mut components = Components::builtin();
    let mut skills = SkillSet::empty();
    for skill in SKILLS.iter().filter_map(|name| components.skills.find(name)) {
        skills.insert(skill.clone());
    }
    components.skills = skills;
    components.files = Some(Arc::new(files.clone()));
    Ok(Instance::start(settings, components)?)
}

/// `{"workflow": …}` or `{"skill": …, "options": …}`, with `input` and `key`.
fn request(bytes: &[u8]) -> Option<RunRequest> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let plan = match value.get("workflow") {
        Some(workflow) => PlanRequest::Workflow(workflow.clone()),
        None => PlanRequest::Task(TaskRequest {
            skill: value.get("skill").and_then(Value::as_str).unwrap_or("echo").to_owned(),
            options: value.get("options").cloned(),
        }),
    };
    let input = match value.get("input") {
        // Text is taken as it is: an input need not be JSON to arrive.
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(input) => input.to_string().into_bytes(),
        None => b"{}".to_vec(),
    };
    let mut request = RunRequest::new(plan, input);
    request.key = value.get("key").and_then(Value::as_str).map(ToOwned::to_owned);
    Some(request)
}

impl Scene {
    fn submit(&self, request: RunRequest) {
        let handle = self.instance.handle();
        self.runtime.block_on(async {
            match handle.submit_and_wait(request, PATIENCE).await {
                Ok((_, Some(_))) => {}
                Ok((submitted, None)) => cancel(&handle, submitted.run).await,
                Err(error) => {
                    let is_fault = matches!(error.kind(), Kind::Internal | Kind::Closed);
                    assert!(!is_fault, "{}: {error}", error.code());
                }
            }
            let seen = handle.read(|kernel| kernel.newest()).await;
            assert!(seen.is_ok(), "the instance is gone: {seen:?}");
        });
    }

    fn replay(self) {
        let Scene { instance, files, dir, .. } = self;
        drop(instance);
        let again = start(&files, &dir);
        assert!(again.is_ok(), "what was run does not replay: {:?}", again.err());
        let stopped = again.map(Instance::stop);
        assert!(matches!(stopped, Ok(Ok(()))), "stop after a replay: {stopped:?}");
    }
}

async fn cancel(handle: &Handle, run: ark_os_core::ids::RunId) {
    let reason = "it takes too long".into();
    // It may have ended in the meantime.
    let _ = handle.command(Command::CancelRun { run, reason }).await;
}
