//! How fast tasks go through HTTP: an instance, its server and a bare client in one process.
//!
//! `cargo run --release -p ark-os-server --example http_bench [seconds]` prints one JSON object.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]
#![allow(clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ark_os_runtime::{Components, Instance, Settings};
use ark_os_server::{Server, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "bench";
const CONNECTIONS: usize = 256;
const BATCHES: usize = 2;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(5);
    let dir = std::env::temp_dir().join(format!("ark-http-bench-{}", std::process::id()));
    let mut settings = Settings::new(&dir);
    settings.agents = 1_000;
    let instance = Instance::start(settings, Components::builtin()).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut server = ServerSettings::new(TOKEN);
    server.address.set_port(0);
    let handle = instance.handle();
    let server = runtime.block_on(Server::bind(handle, server, Arc::new(|_| {}))).unwrap();
    let address = server.local_addr();
    let time = Duration::from_secs(seconds);
    let batch = runtime.block_on(batches(address, time));
    let (single, p50, p99) = runtime.block_on(singles(address, time, CONNECTIONS));
    let (low, low_p50, low_p99) = runtime.block_on(singles(address, time, 1));
    println!(
        "{{\"batch_tasks_per_s\":{batch},\"single_posts_per_s\":{single},\"single_p50_us\":{p50},\
         \"single_p99_us\":{p99},\"alone_per_s\":{low},\"alone_p50_us\":{low_p50},\"alone_p99_us\":{low_p99}}}"
    );
    runtime.block_on(server.shut_down());
    instance.stop().unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

fn head(path: &str, rest: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{rest}\r\n\r\n"
    )
}

async fn batches(address: SocketAddr, time: Duration) -> u64 {
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    let started = Instant::now();
    for _ in 0..BATCHES {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let (stop, count) = (over.clone(), answered.clone());
        clients.push(tokio::spawn(async move {
            let mut buffer = vec![0; 256 << 10];
            loop {
                let length = reader.read(&mut buffer).await.unwrap();
                if length == 0 {
                    break;
                }
                let lines = memchr::memchr_iter(b'\n', &buffer[..length])
                    .filter(|at| *at > 0 && buffer[at - 1] == b'}')
                    .count();
                count.fetch_add(lines as u64, Ordering::Relaxed);
                if buffer[..length].ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
        }));
        clients.push(tokio::spawn(async move {
            let opening = head("/api/v1/tasks/batch?wait=true", "Transfer-Encoding: chunked");
            writer.write_all(opening.as_bytes()).await.unwrap();
            let lines = "{\"skill\":\"echo\",\"input\":{\"n\":12345}}\n".repeat(512);
            let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
            while !stop.load(Ordering::Relaxed) {
                writer.write_all(chunk.as_bytes()).await.unwrap();
            }
            writer.write_all(b"0\r\n\r\n").await.unwrap();
            // The reading half ends with the answer.
            writer.forget();
        }));
    }
    tokio::time::sleep(time).await;
    let rate = answered.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    rate as u64
}

async fn singles(address: SocketAddr, time: Duration, connections: usize) -> (u64, u64, u64) {
    let over = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let body = r#"{"skill":"echo","input":{"n":12345}}"#;
    let request = head("/api/v1/tasks?wait=30s", &format!("Content-Length: {}", body.len())) + body;
    let mut clients = Vec::new();
    for _ in 0..connections {
        let (stop, request) = (over.clone(), request.clone());
        clients.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut buffer, mut took) = (vec![0; 4_096], Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let since = Instant::now();
                stream.write_all(request.as_bytes()).await.unwrap();
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(
                    buffer[..length].starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&buffer[..length])
                );
                took.push(since.elapsed().as_micros() as u64);
            }
            took
        }));
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let elapsed = started.elapsed();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    all.sort_unstable();
    let rate = all.len() as f64 / elapsed.as_secs_f64();
    (rate as u64, all[all.len() / 2], all[all.len() * 99 / 100])
}
