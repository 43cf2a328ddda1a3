//! A client of the node's API that tells an answer from a node that is gone.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use super::support::command;

/// Longer than any wait that a test asks for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The node does not answer (any more).
#[derive(Debug)]
pub(crate) struct Gone;

/// What the node said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// Whether the node was there until the end of it.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// Its JSON, if it says that all is well.
    pub(crate) fn good(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json()
    }
}

pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: String,
    data: PathBuf,
}

impl Client {
    pub(crate) fn new(endpoint: &str, token: &str, data: &Path) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build();
        Client {
            agent: config.new_agent(),
            endpoint: endpoint.to_owned(),
            token: format!("Bearer {token}"),
            data: data.to_path_buf(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, Gone> {
        let request = self.agent.get(self.url(path)).header("authorization", &self.token);
        whole(answer(request.call()))
    }

    pub(crate) fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Answer, Gone> {
        whole(self.post_text(path, &body.to_string(), key))
    }

    /// The answer, also one that breaks off.
    pub(crate) fn post_text(
        &self,
        path: &str,
        body: &str,
        key: Option<&str>,
    ) -> Result<Answer, Gone> {
        let mut request = self.agent.post(self.url(path)).header("authorization", &self.token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        answer(request.send(body))
    }

    /// Says by the program's own command what became of a step in doubt.
    pub(crate) fn resolve(
        &self,
        run: &str,
        key: &str,
        happened: Option<&Value>,
    ) -> Result<(), Gone> {
        let mut resolve = command(env!("CARGO_BIN_EXE_ark-os"));
        resolve.args(["resolve", key, "--run", run, "--reason", "looked into the sink"]);
        match happened {
            Some(result) => resolve.args(["--happened", &result.to_string()]),
            None => resolve.arg("--not-happened"),
        };
        let output = resolve.arg("--data-dir").arg(&self.data).output().unwrap();
        if !output.status.success() {
            // Whoever resolves may lose the node as well.
            self.get("/health")?;
            panic!("{resolve:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.endpoint)
    }
}

fn whole(answer: Result<Answer, Gone>) -> Result<Answer, Gone> {
    answer.and_then(|answer| if answer.is_whole { Ok(answer) } else { Err(Gone) })
}

fn answer(called: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, Gone> {
    let mut response = called.map_err(|_| Gone)?;
    let mut bytes = Vec::new();
    let read = response.body_mut().as_reader().read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let answer = Answer { status: response.status().as_u16(), text, is_whole: read.is_ok() };
    if answer.is_whole && is_goodbye(answer.status, &answer.text) { Err(Gone) } else { Ok(answer) }
}

/// Whether a problem says that the node is about to be gone.
pub(crate) fn is_goodbye(status: u16, problem: &str) -> bool {
    status == 503 && ["instance_stopped", "journal_failed"].iter().any(|it| problem.contains(it))
}
