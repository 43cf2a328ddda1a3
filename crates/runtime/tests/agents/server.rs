//! A small HTTP server whose every answer is a decision of the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The certificate and key of the server.
const SERVER: &[u8] = include_bytes!("tls/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("tls/server-key.pem");

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// How many came before it.
    pub(crate) number: usize,
}

impl Request {
    pub(crate) fn key(&self) -> &str {
        self.headers.get("idempotency-key").map_or("", String::as_str)
    }
}

/// What the server does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this status and body.
    Answer(u16, String),
    /// The same with a header.
    AnswerWith(u16, &'static str, String),
    /// Takes effect and breaks off without a word.
    BreakOff,
    /// Takes effect and breaks off in the middle of its answer.
    BreakOffHalfway,
    /// Takes effect and says nothing until the gate opens.
    Hang(Gate),
}

/// Holds the server back until it is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
    }
}

type Script = dyn Fn(&Request) -> Act + Send + Sync;

/// A running server; its threads end with the process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<(Mutex<Vec<Request>>, Condvar)>,
}

impl Server {
    pub(crate) fn start(script: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        Server::serve(None, Box::new(script))
    }

    pub(crate) fn start_tls(script: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let chain = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap();
        let config = builder.with_single_cert(chain, key).unwrap();
        Server::serve(Some(Arc::new(config)), Box::new(script))
    }

    fn serve(tls: Option<Arc<ServerConfig>>, script: Box<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<(Mutex<Vec<Request>>, Condvar)> = Arc::default();
        let (script, server) = (Arc::new(script), Server { port, seen });
        let accepting = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, server, tls) = (script.clone(), accepting.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => server.talk(stream, &**script),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        server.talk(StreamOwned::new(connection, stream), &**script);
                    }
                });
            }
        });
        server
    }

    /// One request, one answer, then the connection is closed.
    fn talk(&self, stream: impl Read + Write, script: &Script) {
        let mut stream = BufReader::new(stream);
        let Some(request) = read(&mut stream, 0) else { return };
        let request = self.note(request);
        let act = script(&request);
        let out = stream.get_mut();
        let status = |status: u16, extra: &str, length: usize| {
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}\
                 content-length: {length}\r\nconnection: close\r\n\r\n"
            )
        };
        // Who has gone is not answered.
        let _ = match act {
            Act::Answer(code, body) => {
                write!(out, "{}{body}", status(code, "", body.len()))
            }
            Act::AnswerWith(code, header, body) => {
                write!(out, "{}{body}", status(code, &format!("{header}\r\n"), body.len()))
            }
            Act::BreakOff => Ok(()),
            Act::BreakOffHalfway => write!(out, "{}{{\"half\":", status(200, "", 100)),
            Act::Hang(gate) => {
                gate.pass();
                write!(out, "{}{{}}", status(200, "", 2))
            }
        };
        let _ = out.flush();
    }

    fn note(&self, mut request: Request) -> Request {
        let mut seen = self.seen.0.lock().unwrap();
        request.number = seen.len();
        seen.push(request.clone());
        self.seen.1.notify_all();
        request
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.0.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) fn await_requests(&self, count: usize) {
        let seen = self.seen.0.lock().unwrap();
        let few = |seen: &mut Vec<Request>| seen.len() < count;
        let (seen, result) = self.seen.1.wait_timeout_while(seen, PATIENCE, few).unwrap();
        assert!(!result.timed_out(), "{} requests have come", seen.len());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn read(stream: &mut impl BufRead, number: usize) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).ok()?, number })
}
