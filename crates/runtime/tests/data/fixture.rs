//! Runs in any state, made from manifests without a loop; and blobs in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ark_os_core::Kind;
use ark_os_core::budget::{Account, Amounts};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::manifest::{self, SkillShape};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::run::{Child, Counts, Fan, Phase, Run, Task, TaskState};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::data::{BlobSource, Catalogue, DataError, Payloads};
use serde_json::{Value, json};

/// Blobs in memory, counting what is asked of them.
#[derive(Debug, Default)]
pub(super) struct MemoryBlobs {
    kept: Mutex<BTreeMap<Hash, Vec<u8>>>,
    pub(super) loads: AtomicUsize,
}

impl MemoryBlobs {
    pub(super) fn len(&self) -> usize {
        self.kept.lock().unwrap().len()
    }
}

impl BlobSource for MemoryBlobs {
    fn load(&self, hash: Hash) -> Result<Vec<u8>, DataError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let found = self.kept.lock().unwrap().get(&hash).cloned();
        found.ok_or_else(|| DataError::new(Kind::NotFound, format!("load blob `{hash}`")))
    }

    fn save(&self, bytes: &[u8]) -> Result<Hash, DataError> {
        let hash = Hash::of(bytes);
        self.kept.lock().unwrap().insert(hash, bytes.to_vec());
        Ok(hash)
    }
}

/// A run under test.
pub(super) struct Fixture {
    pub(super) run: Run,
    pub(super) payloads: Payloads,
    pub(super) blobs: Arc<MemoryBlobs>,
}

/// The plan of these tasks; all of them use the skill `any`.
pub(super) fn workflow(tasks: Value, output: Option<Value>) -> Arc<Workflow> {
    let mut catalogue = Catalogue::default();
    let any = SkillShape { class: EffectClass::Pure, input_schema: None, output_schema: None };
    catalogue.insert("any", any);
    let mut workflow = json!({"name": "w", "tasks": tasks});
    if let Some(output) = output {
        workflow["output"] = output;
    }
    for task in workflow["tasks"].as_array_mut().unwrap() {
        task["skill"] = "any".into();
    }
    let manifest = json!({"workflows": [workflow]});
    let parsed = manifest::parse(&manifest, &catalogue).unwrap_or_else(|found| panic!("{found}"));
    Arc::clone(&parsed.workflows[0])
}

impl Fixture {
    pub(super) fn new(tasks: Value, input: &Value) -> Self {
        Fixture::of(workflow(tasks, None), input.to_string().as_bytes())
    }

    pub(super) fn of(workflow: Arc<Workflow>, input: &[u8]) -> Self {
        let blobs = Arc::new(MemoryBlobs::default());
        let payloads = Payloads::new(blobs.clone());
        let input = payloads.save(input.to_vec()).unwrap();
        let tasks =
            workflow.tasks.iter().map(|spec| Task::new(spec.needs.len() as u32, 0)).collect();
        let run = Run {
            id: RunId(1),
            namespace: Text::from("default"),
            workflow,
            admission: None,
            pending: None,
            waits_for: None,
            input,
            priority: Priority::Normal,
            deadline: None,
            account: Account::new(Amounts::ZERO),
            seed: 0,
            phase: Phase::Running,
            paused: false,
            parked: false,
            generation: 0,
            tasks,
            open: 0,
            counts: Counts::default(),
            proof: Hash::ZERO,
            accepted: Time(0),
            ended: None,
            output: None,
            failure: None,
            inbox: Vec::new(),
            signals: 0,
            parent: None,
            origin: None,
            added_skills: Vec::new(),
            schedule: None,
        };
        Fixture { run, payloads, blobs }
    }

    pub(super) fn node(&self, name: &str) -> u32 {
        self.run.workflow.node(name).unwrap()
    }

    pub(super) fn task(&self, name: &str) -> TaskRef {
        TaskRef::node(self.node(name))
    }

    fn at(&mut self, name: &str) -> &mut Task {
        let node = self.node(name) as usize;
        &mut self.run.tasks[node]
    }

    pub(super) fn state(&mut self, name: &str, state: TaskState) {
        self.at(name).state = state;
    }

    pub(super) fn done(&mut self, name: &str, output: &Value) {
        let output = self.payloads.save(output.to_string().into_bytes()).unwrap();
        let task = self.at(name);
        task.state = TaskState::Succeeded;
        task.output = Some(output);
    }

    pub(super) fn failed(&mut self, name: &str, code: &str) {
        let task = self.at(name);
        task.state = TaskState::Failed;
        task.failure = Some(Box::new(Failure::fatal(code, "it broke")));
    }

    /// Expands a map as its preparation says; the children are as given, `None` failed.
    pub(super) fn fan(&mut self, name: &str, list: Payload, children: &[Option<Value>]) {
        let children: Vec<Child> = children
            .iter()
            .map(|output| match output {
                Some(output) => {
                    Child::Done(self.payloads.save(output.to_string().into_bytes()).unwrap())
                }
                None => Child::Live(Box::new(Task::new(0, 0))),
            })
            .collect();
        let task = self.at(name);
        task.state = TaskState::Running;
        task.fan =
            Some(Box::new(Fan { list, next: 0, running: 0, succeeded: 0, failed: 0, children }));
    }
}
