//! The stage: an instance of its own, the relay before it, the worker, and what a check may do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ark_os_api::{RunView, TaskStatus};
use ark_os_runtime::Components;
use ark_os_server::LogRing;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::process::{WorkerProcess, now};
use super::relay::{Relay, Transcript};
use super::{HEARTBEAT, LEASE, Subject};
use crate::client::Client;
use crate::config::Config;
use crate::failure::Failure;
use crate::node::{Node, Stop};
use crate::threads::pause;

/// How long a worker may take to do something that it does at once.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// The same for its start: an interpreter may have to be loaded.
pub(super) const START: Duration = Duration::from_secs(30);
/// How often a state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Everything that a check has at hand.
pub(crate) struct Stage {
    subject: Subject,
    runtime: Runtime,
    node: Option<Node>,
    relay: Relay,
    token: String,
    /// Straight to the instance, past the relay.
    pub(super) client: Client,
    /// The worker under test.
    pub(super) worker: Option<WorkerProcess>,
}

impl Stage {
    /// Starts the instance and the relay.
    pub(super) fn open(subject: &Subject, defaults: Config) -> Result<Stage, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ark-io")
            .enable_all()
            .build()
            .map_err(|error| Failure::new("no_thread", format!("cannot start threads: {error}")))?;
        let config = Config {
            data_dir: subject.directory.clone(),
            agents: 8,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            lease: LEASE,
            heartbeat: HEARTBEAT,
            ..defaults
        };
        let node = runtime.block_on(Node::start(
            &config,
            Components::builtin(),
            LogRing::default(),
            None,
        ))?;
        let address = node.address().clone();
        let target = address.endpoint.trim_start_matches("http://").to_owned();
        let token = address.token.clone().unwrap_or_default();
        let relay = Relay::listen(target)?;
        let client = Client::new(address);
        let subject = subject.clone();
        Ok(Stage { subject, runtime, node: Some(node), relay, token, client, worker: None })
    }

    /// Ends everything.
    pub(super) fn close(mut self) {
        self.worker = None;
        if let Some(node) = self.node.take() {
            // Nobody needs what it remembers.
            let _ = self.runtime.block_on(node.stop(Stop::Now));
        }
        let _ = std::fs::remove_dir_all(&self.subject.directory);
        self.runtime.shutdown_background();
    }

    /// What passes between the worker and the instance.
    pub(super) fn transcript(&self) -> Arc<Transcript> {
        self.relay.transcript.clone()
    }

    /// Where a worker finds the instance.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.relay.address)
    }

    /// Whether the worker is started by hand.
    pub(super) fn is_by_hand(&self) -> bool {
        self.subject.command.is_empty()
    }

    /// Starts the worker, or says how to.
    pub(super) fn start_worker(&mut self) -> Result<(), String> {
        let endpoint = self.endpoint();
        if self.is_by_hand() {
            let mut out = std::io::stderr().lock();
            let text = format!("ARK_OS_ENDPOINT={endpoint}\nARK_OS_TOKEN={}\n", self.token);
            // Nobody to read it is nobody to start a worker: the check then says so.
            let _ = std::io::Write::write_all(&mut out, text.as_bytes());
            return Ok(());
        }
        let started = WorkerProcess::start(&self.subject.command, &endpoint, &self.token);
        self.worker = Some(started.map_err(|failure| failure.message().to_owned())?);
        Ok(())
    }

    /// Submits a task; its id.
    pub(super) fn submit(&self, skill: &str, input: &Value) -> Result<TaskStatus, String> {
        let body = json!({ "skill": skill, "input": input, "retry": {
            "attempts": 3, "backoff": "1ms", "max": "10ms" } });
        self.client.post("/tasks", &body, None).map_err(|failure| failure.message().to_owned())
    }

    /// Waits until a task is over.
    pub(super) fn over(&self, task: &TaskStatus, patience: Duration) -> Result<TaskStatus, String> {
        let path = format!("/tasks/{}/status", task.task);
        self.until(patience, || {
            let status: TaskStatus = self.client.get(&path).ok()?;
            let is_over = ["succeeded", "failed", "cancelled", "parked"];
            is_over.contains(&status.state.as_str()).then_some(status)
        })
        .ok_or_else(|| format!("{} was not over within {} s", task.task, patience.as_secs()))
    }

    /// Submits a task and waits until it succeeded.
    pub(super) fn succeeds(&self, skill: &str, input: &Value) -> Result<TaskStatus, String> {
        let task = self.submit(skill, input)?;
        let over = self.over(&task, SOON)?;
        match over.state.as_str() {
            "succeeded" => Ok(over),
            state => Err(format!("{} is {state}: {:?}", over.task, over.failure)),
        }
    }

    /// Stops a task's run.
    pub(super) fn cancel(&self, task: &TaskStatus) -> Result<(), String> {
        let path = format!("/runs/{}/cancel", task.run);
        let body = json!({ "reason": "the conformance test cancels it" });
        let cancelled: Result<RunView, Failure> = self.client.post(&path, &body, None);
        cancelled.map(|_| ()).map_err(|failure| failure.message().to_owned())
    }

    /// Looks again and again until there is something.
    pub(super) fn until<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let until = now() + patience;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if now() >= until {
                return None;
            }
            pause(LOOK_EVERY);
        }
    }
}
