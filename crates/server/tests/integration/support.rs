//! An instance with its server, and a small HTTP client that shows what is on the wire.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ark_os_api::Shutdown;
use ark_os_runtime::{Components, Handle, Instance, Settings};
use ark_os_server::{Server, ServerSettings};
use serde_json::Value;
use tokio::runtime::Runtime;

pub(crate) const TOKEN: &str = "a-token-for-tests";

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) asked: Arc<Mutex<Vec<Shutdown>>>,
    instance: Option<Instance>,
    server: Option<Server>,
    runtime: Runtime,
}

impl World {
    /// Six agents, one of each layer.
    pub(crate) fn start(dir: &Path) -> Self {
        World::with(dir, |_, _| {})
    }

    pub(crate) fn with(
        dir: &Path,
        change: impl FnOnce(&mut Settings, &mut ServerSettings),
    ) -> Self {
        World::of(dir, Components::builtin(), change)
    }

    pub(crate) fn of(
        dir: &Path,
        components: Components,
        change: impl FnOnce(&mut Settings, &mut ServerSettings),
    ) -> Self {
        let mut settings = Settings::new(dir);
        settings.agents = 8;
        settings.workers = 2;
        let mut server = ServerSettings::new(TOKEN);
        server.address.set_port(0);
        server.grace = Duration::from_millis(500);
        change(&mut settings, &mut server);
        let instance = Instance::start(settings, components).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = asked.clone();
        let on_shutdown = Arc::new(move |how| told.lock().unwrap().push(how));
        let handle = instance.handle();
        let server = runtime.block_on(Server::bind(handle.clone(), server, on_shutdown)).unwrap();
        let address = server.local_addr();
        World { address, handle, asked, instance: Some(instance), server: Some(server), runtime }
    }

    pub(crate) fn stop(mut self) {
        self.runtime.block_on(self.server.take().unwrap().shut_down());
        self.instance.take().unwrap().stop().unwrap();
    }

    /// Stops the instance and leaves the server up.
    pub(crate) fn stop_instance(&mut self) {
        self.instance.take().unwrap().stop().unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.call("POST", path, &[], body.as_ref())
    }

    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut all = vec![("Authorization", format!("Bearer {TOKEN}"))];
        for (name, value) in headers {
            all.retain(|(known, _)| known != name);
            all.push((name, (*value).to_owned()));
        }
        let mut stream = self.connect();
        let head = head(self.address, method, path, &all, Some(body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // Who refuses a body may hang up before it is sent whole.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Submits a task and waits for its end.
    pub(crate) fn task(&self, body: &str) -> Value {
        let answer = self.post("/api/v1/tasks?wait=30s", body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

pub(crate) fn head(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    length: Option<usize>,
) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match length {
        Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
        None => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
    }
    head
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        let mut body = Vec::new();
        if headers.get("transfer-encoding").is_some_and(|it| it == "chunked") {
            while let Some(chunk) = read_chunk(&mut reader) {
                body.extend(chunk);
            }
        } else if let Some(length) = headers.get("content-length") {
            body.resize(length.parse().unwrap(), 0);
            reader.read_exact(&mut body).unwrap();
        }
        Answer { status, headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts that it is a problem document with this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:ark-os:error:{code}"));
        assert!(problem["title"].is_string());
        problem
    }
}

pub(crate) fn read_head(reader: &mut impl BufRead) -> (u16, BTreeMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {line:?}"));
    let status = status.parse().unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    (status, headers)
}

pub(crate) fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}

/// The clock of a test that has to end, also when what it waits for never comes.
#[expect(clippy::disallowed_methods, reason = "a test must end")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}
