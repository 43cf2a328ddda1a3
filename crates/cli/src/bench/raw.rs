//! The raw limits of the machine, measured in the same run.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::BenchError;
use super::child::now;
use super::client::Target;
use super::figures::Latencies;
use super::load::per_second;

const SYNCS: usize = 201;
const BLOCK: usize = 4_096;
/// Batches of the raw append: 1 000 records of 200 bytes each.
const BATCHES: u64 = 300;
const BATCH_RECORDS: u64 = 1_000;
const RECORD_BYTES: u64 = 200;
/// Requests whose median is told.
const ECHOES: usize = 51;
/// Messages through a bare channel.
const MESSAGES: u64 = 2_000_000;

/// What the figures were measured on.
pub(super) fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    json!({
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "model": model.map(|line| line.trim_start_matches([' ', '\t', ':'])),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").trim(),
    })
}

fn scratch(dir: &Path) -> Result<(File, std::path::PathBuf), BenchError> {
    let path = dir.join(format!("ark-os-bench-{}.raw", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(BenchError::io("make a scratch file"))?;
    Ok((file, path))
}

/// Median of a 4 KiB write into preallocated space and its fdatasync.
pub(super) fn device_sync_us(dir: &Path) -> Result<u64, BenchError> {
    let (file, path) = scratch(dir)?;
    let size = (SYNCS * BLOCK) as u64;
    let mut times = Vec::with_capacity(SYNCS);
    let measured = (|| {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)?;
        file.sync_all()?;
        for i in 0..SYNCS {
            let begun = now();
            file.write_all_at(&[1; BLOCK], (i * BLOCK) as u64)?;
            file.sync_data()?;
            times.push(u64::try_from(now().duration_since(begun).as_micros()).unwrap_or(u64::MAX));
        }
        Ok(())
    })();
    let removed = std::fs::remove_file(path);
    measured.and(removed).map_err(BenchError::io("measure the device's sync"))?;
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or(0))
}

/// Records a second by appending and syncing, without checksum, tree or anything else.
pub(super) fn append(dir: &Path) -> Result<Value, BenchError> {
    let (file, path) = scratch(dir)?;
    let batch = vec![7; (BATCH_RECORDS * RECORD_BYTES) as usize];
    let size = BATCHES * BATCH_RECORDS * RECORD_BYTES;
    let mut elapsed = Duration::ZERO;
    let measured = (|| {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)?;
        file.sync_all()?;
        let begun = now();
        for i in 0..BATCHES {
            file.write_all_at(&batch, i * BATCH_RECORDS * RECORD_BYTES)?;
            file.sync_data()?;
        }
        elapsed = now().duration_since(begun);
        Ok(())
    })();
    let removed = std::fs::remove_file(path);
    measured.and(removed).map_err(BenchError::io("measure a raw append"))?;
    Ok(json!({
        "records_per_second": per_second(BATCHES * BATCH_RECORDS, elapsed),
        "records_per_batch": BATCH_RECORDS,
        "bytes_per_record": RECORD_BYTES,
    }))
}

/// Single requests against an axum route that does nothing.
pub(super) async fn bare_post(connections: usize, seconds: u64) -> Result<Value, BenchError> {
    let (mut set, target) = bare_route().await?;
    let time = Duration::from_secs(seconds);
    let mut clients = super::load::clients(&target, connections, time).await?;
    set.abort_all();
    Ok(json!({
        "connections": connections,
        "requests_per_second": per_second(clients.len() as u64, time),
        "latency": clients.report(),
    }))
}

/// Median of a request to that route which sends so many bytes there and back.
pub(super) async fn echo_us(body: &[u8]) -> Result<u64, BenchError> {
    let (mut set, target) = bare_route().await?;
    let mut connection = target.connect().await?;
    let mut latencies = Latencies::default();
    for _ in 0..ECHOES {
        let begun = now();
        connection.call("POST", "/api/v1/tasks", body).await?;
        latencies.push(now().duration_since(begun).as_micros());
    }
    set.abort_all();
    Ok(latencies.at(500))
}

type Serving = tokio::task::JoinSet<std::io::Result<()>>;

/// An axum route that answers with what it was sent.
async fn bare_route() -> Result<(Serving, Target), BenchError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(BenchError::io("open a port"))?;
    let address = listener.local_addr().map_err(BenchError::io("read the port"))?.to_string();
    let app = axum::Router::new()
        .route("/api/v1/tasks", axum::routing::post(|body: axum::body::Bytes| async { body }));
    let mut set = Serving::new();
    set.spawn(async move { axum::serve(listener, app).await });
    Ok((set, Target { address, token: String::new() }))
}

/// Messages a second through a bounded channel between two tasks.
pub(super) async fn channel() -> Value {
    let (tx, mut rx) = tokio::sync::mpsc::channel::<u64>(1_024);
    let begun = now();
    let mut set = tokio::task::JoinSet::new();
    set.spawn(async move {
        for message in 0..MESSAGES {
            if tx.send(message).await.is_err() {
                return;
            }
        }
    });
    while rx.recv().await.is_some() {}
    json!({ "messages_per_second": per_second(MESSAGES, now().duration_since(begun)) })
}
