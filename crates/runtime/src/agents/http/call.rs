//! One call of a service: on a thread of its own, so that the attempt hears at once when it is
//! cancelled and goes on renewing its lease. No redirects, no proxies, no connection twice.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Request, Response, Uri};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};
use ureq::{Agent, Body, Error};

use super::egress::{Egress, addresses};
use super::tls::Tls;
use crate::skills::Host;
use crate::threads::spawn_small;

/// How long the attempt waits for its call without a look at anything else.
const LOOK: Duration = Duration::from_millis(100);
/// What the program calls itself.
const USER_AGENT: &str = concat!("ark-os/", env!("CARGO_PKG_VERSION"));

/// How calls of one agent are made.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// None: the agent only makes calls in the clear.
    pub(super) tls: Option<Tls>,
    pub(super) connect_timeout: Duration,
    pub(super) allows_private: bool,
}

/// What is to be called.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) url: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Posted, if there is one.
    pub(super) body: Option<Vec<u8>>,
    pub(super) timeout: Duration,
    pub(super) bytes_max: u64,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the body was longer than allowed: then it is not here.
    pub(super) is_cut: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) stage: Stage,
    pub(super) message: String,
}

/// How far a call came that has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its address is not allowed.
    Refused,
    /// Who answered is not who was meant.
    Untrusted,
    /// Nothing of the request was sent.
    NotSent,
    /// Something of it was.
    Sent,
    /// The attempt was cancelled before anything was sent.
    Cancelled,
}

/// What the call's thread and the attempt both see.
#[derive(Clone, Debug, Default)]
struct Seen {
    is_sent: Arc<AtomicBool>,
    is_refused: Arc<AtomicBool>,
}

impl Caller {
    /// Makes a call and waits for its end, or for the end of the attempt.
    pub(super) fn call(&self, wanted: Wanted, host: &dyn Host) -> Result<Answer, Broken> {
        let seen = Seen::default();
        let agent = self.agent(&wanted, &seen);
        let (tx, rx) = sync_channel(1);
        let its_own = agent.clone();
        let spawned = spawn_small("ark-http", move || {
            // The attempt may have gone on without its answer.
            let _ = tx.send(exchange(&its_own, wanted));
        });
        if let Err(error) = spawned {
            return Err(Broken { stage: Stage::NotSent, message: error.to_string() });
        }
        match wait(&rx, host) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(seen.broken(&error)),
            None => {
                agent.shutdown();
                let stage = if seen.is_sent() { Stage::Sent } else { Stage::Cancelled };
                Err(Broken { stage, message: "the attempt was cancelled".to_owned() })
            }
        }
    }

    /// Whether somebody accepts a connection at an address, or why not.
    pub(super) fn reach(&self, url: &str) -> Result<(), String> {
        let uri: Uri = url.parse().map_err(|error| format!("no address: {error}"))?;
        let mut why = String::new();
        for address in addresses(&uri, self.allows_private)? {
            match TcpStream::connect_timeout(&address, self.connect_timeout) {
                Ok(_) => return Ok(()),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    fn agent(&self, wanted: &Wanted, seen: &Seen) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .user_agent(USER_AGENT)
            .accept("application/json")
            .timeout_global(Some(wanted.timeout))
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout));
        let egress =
            Egress { allows_private: self.allows_private, is_refused: seen.is_refused.clone() };
        let mark = Mark { is_sent: seen.is_sent.clone() };
        match &self.tls {
            Some(tls) => {
                let config = config.tls_config(tls.config.clone()).build();
                let chain = ().chain(TcpConnector::default()).chain(tls.clone()).chain(mark);
                Agent::with_parts(config, chain, egress)
            }
            None => {
                let chain = ().chain(TcpConnector::default()).chain(mark);
                Agent::with_parts(config.build(), chain, egress)
            }
        }
    }
}

/// Waits for the answer, renewing the lease; none: the attempt was cancelled.
fn wait<T>(rx: &Receiver<Result<T, Error>>, host: &dyn Host) -> Option<Result<T, Error>> {
    loop {
        match rx.recv_timeout(LOOK) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Disconnected) => return Some(Err(Error::ConnectionFailed)),
            Err(RecvTimeoutError::Timeout) if host.is_cancelled() => return None,
            Err(RecvTimeoutError::Timeout) => host.progress(0, 0),
        }
    }
}

fn exchange(agent: &Agent, wanted: Wanted) -> Result<Answer, Error> {
    let mut request = Request::builder().uri(&wanted.url);
    for (name, value) in &wanted.headers {
        request = request.header(name, value);
    }
    let response = match wanted.body {
        Some(body) => {
            let request = request.method("POST").header("content-type", "application/json");
            agent.run(request.body(body)?)
        }
        None => agent.run(request.method("GET").body(())?),
    };
    read(response?, wanted.bytes_max)
}

fn read(mut response: Response<Body>, bytes_max: u64) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(bytes_max).read_to_vec();
    match body {
        Ok(body) => Ok(Answer { status, body, is_cut: false }),
        Err(Error::BodyExceedsLimit(_)) => Ok(Answer { status, body: Vec::new(), is_cut: true }),
        Err(error) => Err(error),
    }
}

impl Seen {
    fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    fn broken(&self, error: &Error) -> Broken {
        let is_refused = self.is_refused.load(Ordering::Acquire);
        let stage = match error {
            _ if is_refused => Stage::Refused,
            _ if self.is_sent() => Stage::Sent,
            Error::Rustls(_) | Error::Tls(_) | Error::TlsRequired => Stage::Untrusted,
            Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Stage::Untrusted,
            Error::Http(_) | Error::BadUri(_) => Stage::Refused,
            _ => Stage::NotSent,
        };
        let message = match stage {
            Stage::Refused if is_refused => "its address is not public".to_owned(),
            _ => error.to_string(),
        };
        Broken { stage, message }
    }
}

/// The last link of the chain: notes that something of the request is about to be sent. What TLS
/// itself says before lies below it.
#[derive(Debug)]
struct Mark {
    is_sent: Arc<AtomicBool>,
}

impl<In: Transport> Connector<In> for Mark {
    type Out = Marked<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Marked { inner, is_sent: self.is_sent.clone() }))
    }
}

#[derive(Debug)]
struct Marked<In> {
    inner: In,
    is_sent: Arc<AtomicBool>,
}

impl<In: Transport> Transport for Marked<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.is_sent.store(true, Ordering::Release);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
