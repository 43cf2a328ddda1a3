//! The relay: between the worker under test and the instance. It writes down what passes, and loses or
//! refuses what a check asks it to.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::Message;
use super::process::now;
use crate::failure::Failure;
use crate::threads::spawn;

/// Exchanges that are kept: a worker that floods the relay fails other checks before.
const EXCHANGES_MAX: usize = 100_000;
/// How long the relay waits for the instance: longer than any claim waits.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What happens to a request that the relay is to spoil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// 503, whatever it is.
    Busy,
    /// A claim's or sign of life's worker is not known any more.
    Forget,
    /// The instance does it, and the connection breaks before the answer.
    CutAnswer(&'static str),
}

/// A request with its answer.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// `register`, `claim`, `extend`, `complete`, `fail`, `leave`, or the path of anything else.
    pub(super) verb: String,
    pub(super) request: Value,
    pub(super) status: u16,
    pub(super) answer: Value,
    /// What the relay did to it.
    pub(super) fault: Option<Fault>,
    /// When it was answered.
    pub(super) at: Instant,
}

impl Exchange {
    /// The objects of a list of the answer.
    pub(super) fn answered(&self, list: &str) -> Vec<Value> {
        self.answer.get(list).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The objects of a list of the request.
    pub(super) fn asked(&self, list: &str) -> Vec<Value> {
        self.request.get(list).and_then(Value::as_array).cloned().unwrap_or_default()
    }
}

/// The text of a field.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Inner {
    exchanges: Vec<Exchange>,
    faults: Vec<Fault>,
    /// Requests that were not answered yet.
    open: Vec<String>,
}

/// What passed, and what is to be spoiled.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Transcript {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next requests that it fits are spoiled.
    pub(super) fn spoil(&self, faults: &[Fault]) {
        self.inner().faults.extend_from_slice(faults);
    }

    /// What was to be spoiled and was not.
    pub(super) fn unspoiled(&self) -> usize {
        let mut inner = self.inner();
        std::mem::take(&mut inner.faults).len()
    }

    /// How many exchanges there are: what comes from here on is newer.
    pub(super) fn mark(&self) -> usize {
        self.inner().exchanges.len()
    }

    /// Exchanges since a mark.
    pub(super) fn since(&self, mark: usize) -> Vec<Exchange> {
        self.inner().exchanges.iter().skip(mark).cloned().collect()
    }

    /// Whether a request of this kind waits for its answer.
    pub(super) fn is_open(&self, verb: &str) -> bool {
        self.inner().open.iter().any(|open| open == verb)
    }

    /// Waits until what has passed since a mark is as wanted.
    pub(super) fn wait<T>(
        &self,
        mark: usize,
        patience: Duration,
        mut wanted: impl FnMut(&[Exchange]) -> Option<T>,
    ) -> Option<T> {
        let until = now() + patience;
        let mut inner = self.inner();
        loop {
            if let Some(found) = wanted(inner.exchanges.get(mark..).unwrap_or_default()) {
                return Some(found);
            }
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The fault for a request that comes in now, unless it depends on the answer.
    fn fault_before(&self, verb: &str) -> Option<Fault> {
        let mut inner = self.inner();
        let fits = |fault: &Fault| match fault {
            Fault::Busy => true,
            Fault::Forget => matches!(verb, "claim" | "extend"),
            Fault::CutAnswer(_) => false,
        };
        let at = inner.faults.iter().position(fits)?;
        Some(inner.faults.remove(at))
    }

    /// The fault for an answer with something in it.
    fn fault_after(&self, verb: &str, answer: &Value) -> Option<Fault> {
        let list = if verb == "claim" { "tasks" } else { "tokens" };
        let items = answer.get(list).and_then(Value::as_array).map_or(0, Vec::len);
        let mut inner = self.inner();
        let at = inner.faults.iter().position(|it| *it == Fault::CutAnswer(cut_verb(verb)))?;
        (items > 0).then(|| inner.faults.remove(at))
    }

    fn open(&self, verb: &str) {
        self.inner().open.push(verb.to_owned());
    }

    fn close(&self, exchange: Exchange) {
        let mut inner = self.inner();
        if let Some(at) = inner.open.iter().position(|open| *open == exchange.verb) {
            inner.open.remove(at);
        }
        if inner.exchanges.len() < EXCHANGES_MAX {
            inner.exchanges.push(exchange);
        }
        drop(inner);
        self.changed.notify_all();
    }
}

fn cut_verb(verb: &str) -> &'static str {
    ["claim", "extend", "complete", "fail"].into_iter().find(|known| *known == verb).unwrap_or("")
}

/// A relay that listens. Its threads end with the process.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    pub(super) transcript: Arc<Transcript>,
}

impl Relay {
    /// Listens on a free port, before the instance at `target`.
    pub(super) fn listen(target: String) -> Result<Relay, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new("instance_unreachable", format!("cannot listen on a free port: {error}"))
        };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let transcript = Arc::new(Transcript::default());
        let theirs = transcript.clone();
        spawn("ark-relay", move || {
            for stream in listener.incoming().flatten() {
                let (transcript, target) = (theirs.clone(), target.clone());
                // Without a thread the connection is dropped, and the worker tries again.
                let _ = spawn("ark-relayed", move || serve(stream, &transcript, &target));
            }
        })?;
        Ok(Relay { address, transcript })
    }
}

/// One connection, until it ends or is to be cut.
fn serve(stream: TcpStream, transcript: &Transcript, target: &str) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut out = stream.try_clone().ok()?;
    let mut from = BufReader::new(stream);
    loop {
        let request = Message::read(&mut from)?;
        let verb = verb_of(&request);
        transcript.open(&verb);
        let before = transcript.fault_before(&verb);
        let answer = match before {
            Some(Fault::Busy) => Some(Message::problem(503, "overloaded", Some(1))),
            Some(Fault::Forget) => Some(Message::problem(404, "worker_not_found", None)),
            _ => forward(&request, target),
        };
        let body = answer.as_ref().and_then(|it| serde_json::from_slice(&it.body).ok());
        let body: Value = body.unwrap_or_default();
        let fault = before.or_else(|| transcript.fault_after(&verb, &body));
        transcript.close(Exchange {
            verb,
            request: serde_json::from_slice(&request.body).unwrap_or_default(),
            status: answer.as_ref().map_or(0, Message::status),
            answer: body,
            fault,
            at: now(),
        });
        if matches!(fault, Some(Fault::CutAnswer(_))) {
            return None;
        }
        out.write_all(&answer?.bytes(&[])).ok()?;
    }
}

/// What a request asks for.
fn verb_of(request: &Message) -> String {
    let path = request.path();
    let rest = path.strip_prefix("/api/v1/workers").unwrap_or(path);
    match rest.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        [""] if request.first.starts_with("POST") => "register".to_owned(),
        [_, verb] => (*verb).to_owned(),
        _ => path.to_owned(),
    }
}

fn forward(request: &Message, target: &str) -> Option<Message> {
    let stream = TcpStream::connect(target).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE)).ok()?;
    let mut out = stream.try_clone().ok()?;
    out.write_all(&request.bytes(&[("host", target), ("connection", "close")])).ok()?;
    Message::read(&mut BufReader::new(stream))
}
