//! What remote workers send, to a real server over loopback: answered or refused with a code, and whatever
//! it is, the instance lives, and a restart replays what it left in the journal.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use ark_os_runtime::{Components, Instance, RunRequest, Settings};
use ark_os_server::{Server, ServerSettings};
use ark_os_store::MemFiles;
use serde_json::{Value, json};

/// Requests to one instance, before it is stopped, replayed and replaced.
const REQUESTS_MAX: u32 = 2_000;
/// The longest wait of a claim, so that none holds the campaign up.
const HEARTBEAT: Duration = Duration::from_millis(20);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
const TOKEN: &str = "planted";
/// The worker that stays in, under its own name whatever others register.
const WORKER: &str = "steady";
/// What stands in a seed where a token in hand belongs.
const PT: &str = "PT";

/// And its fence.
const FENCE: &str = "\"fence\":1";

type Made<T> = Result<T, Box<dyn std::error::Error>>;

struct Scene {
    instance: Option<Instance>,
    files: MemFiles,
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    server: Server,
    session: String,
    /// A task in the worker's hands: its token, and the fence.
    in_hand: Option<(String, u64)>,
    connection: Option<TcpStream>,
    requests: u32,
}

pub(super) fn target() -> super::Read {
    let mut scene: Option<Scene> = None;
    Box::new(move |bytes| {
        let Ok(request) = serde_json::from_slice::<Value>(bytes) else { return };
        let mut at = scene.take().unwrap_or_else(|| sound(make(), "start a server"));
        sound(at.send(&request), "send a request");
        at.requests += 1;
        if at.requests < REQUESTS_MAX {
            scene = Some(at);
        } else {
            sound(at.replay(), "replay what was sent");
        }
    })
}

fn sound<T>(made: Made<T>, what: &str) -> T {
    assert!(made.is_ok(), "{what}: {:?}", made.as_ref().err());
    match made {
        Ok(made) => made,
        Err(_) => std::process::abort(),
    }
}

fn start(files: &MemFiles, dir: &tempfile::TempDir) -> Made<Instance> {
    let mut settings = Settings::new(dir.path());
    settings.segment_bytes = 1 << 20;
    settings.agents = 6;
    settings.heartbeat = HEARTBEAT;
    let mut components = Components::builtin();
    components.files = Some(Arc::new(files.clone()));
    Ok(Instance::start(settings, components)?)
}

fn make() -> Made<Scene> {
    let (files, dir) = (MemFiles::default(), tempfile::tempdir()?);
    let instance = start(&files, &dir)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut settings = ServerSettings::new(TOKEN);
    settings.address.set_port(0);
    let server = runtime.block_on(Server::bind(instance.handle(), settings, Arc::new(|_| {})))?;
    Ok(Scene {
        instance: Some(instance),
        files,
        dir,
        runtime,
        server,
        session: String::new(),
        in_hand: None,
        connection: None,
        requests: 0,
    })
}

impl Scene {
    /// `{"to": …, "body": …}`: a request of the worker, or a registration of anybody.
    fn send(&mut self, request: &Value) -> Made<()> {
        let to = request.get("to").and_then(Value::as_str).unwrap_or("register");
        let mut body = match request.get("body") {
            // A text is sent as it is: a body need not be JSON to arrive.
            Some(Value::String(text)) => text.clone(),
            Some(body) => body.to_string(),
            None => String::new(),
        };
        let path = match to {
            "claim" | "extend" | "complete" | "fail" | "leave" => {
                self.take_work()?;
                if let Some((pt, fence)) = &self.in_hand {
                    body = body.replace(&format!("\"{PT}\""), &format!("\"{pt}\""));
                    body = body.replace(FENCE, &format!("\"fence\":{fence}"));
                }
                format!("/workers/{WORKER}/{to}")
            }
            _ => "/workers".to_owned(),
        };
        let (status, answer) = self.post(&path, &body)?;
        assert!(status < 500 || status == 503, "{status} for {to} {body}: {answer}");
        let has_code = answer.get("code").is_some_and(Value::is_string);
        assert!(status < 400 || has_code, "{status} without a code for {to} {body}: {answer}");
        if matches!(to, "complete" | "fail" | "leave") {
            self.in_hand = None;
        }
        Ok(())
    }

    /// The worker is in, and has a task in its hands.
    fn take_work(&mut self) -> Made<()> {
        if self.in_hand.is_some() {
            return Ok(());
        }
        let skills = json!([{"name": "far.off", "effect": "read"}]);
        let body = json!({"name": WORKER, "concurrency": 4, "skills": skills}).to_string();
        let (_, session) = self.post("/workers", &body)?;
        let secret = session.get("session").and_then(Value::as_str);
        secret.unwrap_or_default().clone_into(&mut self.session);
        if let Some(instance) = &self.instance {
            let handle = instance.handle();
            // A full house is no fault: then there is work enough.
            let _ =
                self.runtime.block_on(handle.submit(RunRequest::task("far.off", b"{}".to_vec())));
        }
        let (_, claimed) =
            self.post(&format!("/workers/{WORKER}/claim"), "{\"max\":1,\"wait\":\"20ms\"}")?;
        let task = claimed.pointer("/tasks/0");
        self.in_hand = task.and_then(|task| {
            let pt = task.get("pt").and_then(Value::as_str)?;
            Some((pt.to_owned(), task.get("fence").and_then(Value::as_u64)?))
        });
        Ok(())
    }

    fn post(&mut self, path: &str, body: &str) -> Made<(u16, Value)> {
        let head = format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\nworker-session: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.server.local_addr(),
            self.session,
            body.len()
        );
        // The server may have closed a connection that nobody used.
        let kept = self.connection.take();
        let again = kept.and_then(|stream| exchange(stream, &head, body).ok());
        let (stream, status, answer) = match again {
            Some(done) => done,
            None => {
                let stream = TcpStream::connect(self.server.local_addr())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                exchange(stream, &head, body)?
            }
        };
        self.connection = Some(stream);
        Ok((status, serde_json::from_slice(&answer).unwrap_or_default()))
    }

    fn replay(mut self) -> Made<()> {
        self.connection = None;
        drop(self.instance.take());
        Ok(start(&self.files, &self.dir)?.stop()?)
    }
}

/// Sends a request and reads its answer.
fn exchange(mut stream: TcpStream, head: &str, body: &str) -> Made<(TcpStream, u16, Vec<u8>)> {
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut told = Vec::new();
    let mut byte = [0; 1];
    while !told.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 || told.len() > HEAD_BYTES_MAX {
            return Err("the answer ends in its head".into());
        }
        told.extend(byte);
    }
    let told = String::from_utf8(told)?.to_ascii_lowercase();
    let status = told.split(' ').nth(1).unwrap_or_default().parse()?;
    let length = told.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut answer = vec![0; length.map_or(Ok(0), |length| length.trim().parse())?];
    stream.read_exact(&mut answer)?;
    Ok((stream, status, answer))
}
