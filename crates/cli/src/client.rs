//! The client of a running instance: HTTP over loopback, answers as the types of the API.

mod reach;
mod stream;

use std::io::Read;
use std::time::Duration;

use ark_os_api::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, Error};

use crate::failure::Failure;

pub(crate) use reach::{Address, InstanceRecord, Reach, TOKEN_FILE};
pub(crate) use stream::{EventStream, RunEvent, StreamEvent};

/// Time to reach a listener on this machine, or near it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for an ordinary answer: an instance that has too much to do says so much sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer that is held in memory: the largest output is 64 MiB.
const ANSWER_BYTES_MAX: u64 = 80 << 20;

/// A running instance.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    address: Address,
}

impl Client {
    /// A client of the instance at this address. Nothing is sent yet.
    pub(crate) fn new(address: Address) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The instance is here; no proxy has to see the token.
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("ark-os/", env!("CARGO_PKG_VERSION")))
            .build();
        Client { agent: config.new_agent(), address }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it answers.
    pub(crate) fn is_alive(&self) -> bool {
        let request = self.agent.get(self.url("/health/live")).config();
        let request = request.timeout_global(Some(CONNECT_TIMEOUT)).build();
        request.call().is_ok_and(|response| response.status().is_success())
    }

    /// Reads one thing.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.parse(&self.fetch(path)?)
    }

    /// Reads one thing as it is.
    pub(crate) fn fetch(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let request = self.agent.get(self.url(path)).header("authorization", self.bearer());
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.read(request.call())
    }

    /// Reads something long, as it comes.
    pub(crate) fn open(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let request = self.agent.get(self.url(path)).header("authorization", self.bearer());
        let request = request.config().timeout_recv_response(Some(ANSWER_TIMEOUT)).build();
        Ok(self.accepted(request.call())?.into_body().into_reader())
    }

    /// Asks for something to be done.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let mut request = self.agent.post(self.url(path)).header("authorization", self.bearer());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let bytes = self.read(request.send_json(body))?;
        self.parse(if bytes.is_empty() { b"null" } else { &bytes })
    }

    /// Asks for something to be gone.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.agent.delete(self.url(path)).header("authorization", self.bearer());
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.parse(&self.read(request.call())?)
    }

    /// The events of a run after a place in its history, as they come.
    pub(crate) fn events(&self, run: &str, after: Option<&str>) -> Result<EventStream, Failure> {
        let mut request = self
            .agent
            .get(self.url(&format!("/runs/{run}/events")))
            .header("authorization", self.bearer())
            .header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let request = request.config().timeout_recv_response(Some(ANSWER_TIMEOUT)).build();
        let response = self.accepted(request.call())?;
        Ok(EventStream::new(response.into_body().into_reader()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.address.endpoint)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.address.token.as_deref().unwrap_or_default())
    }

    fn read(&self, answered: Result<Response<Body>, Error>) -> Result<Vec<u8>, Failure> {
        let mut response = self.accepted(answered)?;
        let mut bytes = Vec::new();
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader();
        reader.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| {
            Failure::new("instance_unreachable", format!("the answer broke off: {error}"))
        })?;
        Ok(bytes)
    }

    /// The response, if the instance did what was asked.
    fn accepted(&self, answered: Result<Response<Body>, Error>) -> Result<Response<Body>, Failure> {
        let mut response = answered.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.body_mut().read_to_vec().unwrap_or_default();
        if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
            return Err(self.with_advice(Failure::of_problem(problem)));
        }
        let message = format!("{} answered {status} without saying why", self.address.endpoint);
        Err(Failure::new("instance_unreachable", message)
            .with_hint("check that this is the address of an ark-os instance"))
    }

    fn with_advice(&self, failure: Failure) -> Failure {
        if failure.code() != "unauthenticated" {
            return failure;
        }
        let data_dir = self.address.data_dir.display();
        failure.with_hint(format!(
            "give the instance's token with --token-file or ARK_OS_TOKEN; it stands in the file \
             `{TOKEN_FILE}` of its data directory (here `{data_dir}`)"
        ))
    }

    fn unreachable(&self, error: &Error) -> Failure {
        let endpoint = &self.address.endpoint;
        let failure = Failure::new(
            "instance_unreachable",
            format!("cannot reach the instance at {endpoint}: {error}"),
        );
        match self.address.pid {
            Some(pid) => failure.with_hint(format!(
                "process {pid} was its last known one; start it again with `ark-os start`"
            )),
            None => failure.with_hint("check --endpoint, or start one with `ark-os start`"),
        }
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(bytes).map_err(|error| {
            let endpoint = &self.address.endpoint;
            Failure::new("internal", format!("cannot understand the answer of {endpoint}: {error}"))
                .with_hint("use an ark-os of the instance's own version")
        })
    }
}

/// The name of a thing, fit for a path: what could be another path is escaped.
pub(crate) fn segment(text: &str) -> String {
    let mut safe = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                safe.push(char::from(byte));
            }
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe
}

/// An answer's own JSON, without its type.
pub(crate) fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_another_path() {
        assert_eq!(segment("task_01J_2.17"), "task_01J_2.17");
        assert_eq!(segment("a/../b?c#é"), "a%2F..%2Fb%3Fc%23%C3%A9");
    }
}
