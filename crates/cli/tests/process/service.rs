//! A service on the loopback that counts what reaches it, by the key of the step. It outlives every
//! node, and writes what takes effect into the same sink as the commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Where effects are posted to, followed by their class.
pub(crate) const EFFECT: &str = "/effect/";
/// Where somebody asks, followed by the key.
pub(crate) const SENT: &str = "/sent/";

/// A request that came whole.
struct Request {
    method: String,
    path: String,
    key: String,
    body: String,
}

/// Something that reached the service, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Posted { class: String, label: String },
    Asked { happened: bool },
}

/// All that it knows of one key.
#[derive(Default)]
struct Known {
    seen: Vec<Seen>,
    /// The answer, once it took effect.
    answer: Option<Value>,
}

/// A running service; its threads end with the test.
pub(crate) struct Service {
    port: u16,
    keys: Arc<Mutex<BTreeMap<String, Known>>>,
}

impl Service {
    /// Starts it; effects become lines of this file.
    pub(crate) fn start(sink: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let keys: Arc<Mutex<BTreeMap<String, Known>>> = Arc::default();
        let (sink, known) = (sink.to_path_buf(), keys.clone());
        super::support::background(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (sink, known) = (sink.clone(), known.clone());
                super::support::background(move || talk(stream, &sink, &known));
            }
        });
        Service { port, keys }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Every effect came under one key, and who can be asked was asked before it came again.
    /// How many keys came more than once, by class.
    pub(crate) fn check(&self) -> BTreeMap<String, usize> {
        let mut keys_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut again: BTreeMap<String, usize> = BTreeMap::new();
        for (key, known) in &*self.keys.lock().unwrap() {
            let mut posts = 0;
            for (at, seen) in known.seen.iter().enumerate() {
                let Seen::Posted { class, label } = seen else { continue };
                posts += 1;
                keys_of.entry(label.clone()).or_default().insert(key.clone());
                let asked = Some(&Seen::Asked { happened: false });
                let before = at.checked_sub(1).and_then(|before| known.seen.get(before));
                let is_fine = class != "probed" || posts == 1 || before == asked;
                assert!(is_fine, "{label}: repeated without asking: {:?}", known.seen);
                if posts == 2 {
                    *again.entry(class.clone()).or_default() += 1;
                }
            }
        }
        for (label, keys) in keys_of {
            assert_eq!(keys.len(), 1, "{label}: came under more than one key");
        }
        again
    }
}

/// One request, one answer, then the connection is closed.
fn talk(stream: TcpStream, sink: &Path, keys: &Mutex<BTreeMap<String, Known>>) {
    let mut stream = BufReader::new(stream);
    // Half a request is none.
    let Some(request) = read(&mut stream) else { return };
    let (status, body) = answer(&request, sink, &mut keys.lock().unwrap());
    let body = body.to_string();
    let length = body.len();
    let out = stream.get_mut();
    // Who has gone is not answered.
    let _ = write!(
        out,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
}

fn answer(request: &Request, sink: &Path, keys: &mut BTreeMap<String, Known>) -> (u16, Value) {
    if let Some(key) = request.path.strip_prefix(SENT).filter(|_| request.method == "GET") {
        let known = keys.entry(key.to_owned()).or_default();
        known.seen.push(Seen::Asked { happened: known.answer.is_some() });
        return match &known.answer {
            Some(answer) => (200, answer.clone()),
            None => (404, Value::Null),
        };
    }
    let class = request.path.strip_prefix(EFFECT).expect("nothing else is called").to_owned();
    let input: Value = serde_json::from_str(&request.body).unwrap();
    let label = input["label"].as_str().unwrap().to_owned();
    let known = keys.entry(request.key.clone()).or_default();
    let is_honoured = class == "idempotent" && known.answer.is_some();
    known.seen.push(Seen::Posted { class, label: label.clone() });
    let line = format!("{label}-0");
    if !is_honoured {
        append(sink.to_path_buf(), &format!("{} {line}\n", request.key));
    }
    let answer = json!({ "line": line });
    known.answer = Some(answer.clone());
    (200, answer)
}

fn append(sink: PathBuf, line: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(sink).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let first = line(stream)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let header = line(stream)?;
        let Some((name, value)) = header.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => value.trim().clone_into(&mut key),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, key, body: String::from_utf8(body).ok()? })
}

/// A line without its end; none if it is not whole.
fn line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}
