//! A client of the node's API that tells an answer from a node that is gone.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

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
}

impl Client {
    pub(crate) fn new(endpoint: &str, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build();
        Client {
            agent: config.new_agent(),
            endpoint: endpoint.to_owned(),
            token: format!("Bearer {token}"),
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
