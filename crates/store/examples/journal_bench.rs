//! Measures the device's sync, a raw append and the journal's append on the same disk, and prints JSON.
//!
//! `cargo run --release --package ark-os-store --example journal_bench [directory] [seconds]`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program: it reads the clock and prints its result"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_store::{Batch, DiskFiles, Files, Journal, LedgerKey, RecordHeader, Settings};

const BATCH: usize = 1000;
const BODY: usize = 170; // with header and prefix about 200 bytes
const RECORD: usize = 200;

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let parent = args.next().map_or_else(|| std::path::PathBuf::from("."), Into::into);
    let seconds: f64 = args.next().map_or(Ok(2.0), |text| text.parse())?;
    let dir = tempfile::tempdir_in(parent)?;
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(dir.path())?);
    let limit = Duration::from_secs_f64(seconds);
    let sync = sync_4k(files.as_ref(), limit)?;
    let raw = raw(files.as_ref(), limit)?;
    let one = journal(&files, 1, limit)?;
    files.remove(&format!("journal/segment-{:020}.ark", 1))?;
    let journal = journal(&files, BATCH, limit)?;
    let (killed, records) = open_ms(&files)?;
    let closed = open_ms(&files)?.0;
    println!(
        "{}",
        serde_json::json!({
            "batch_records": BATCH,
            "record_bytes": RECORD,
            "fdatasync_4k_median_us": sync,
            "raw_append_records_per_s": raw.round(),
            "journal_append_records_per_s": journal.0.round(),
            "journal_append_without_device_records_per_s": journal.1.round(),
            "open_after_kill_ms": killed,
            "open_after_close_ms": closed,
            "open_records": records,
            "journal_single_record_commits_per_s": one.0.round(),
        })
    );
    Ok(())
}

/// Median microseconds of a 4 KiB write and its fdatasync.
fn sync_4k(files: &dyn Files, limit: Duration) -> Result<f64, AnyError> {
    let file = files.create("sync", 64 << 20)?;
    let mut times = Vec::new();
    let start = Instant::now();
    let mut at = 0;
    while start.elapsed() < limit && at < 64 << 20 {
        file.write_at(&[1; 4096], at)?;
        times.push(file.sync()?.as_secs_f64() * 1e6);
        at += 4096;
    }
    times.sort_by(f64::total_cmp);
    files.remove("sync")?;
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Records a second with nothing but write and sync.
fn raw(files: &dyn Files, limit: Duration) -> Result<f64, AnyError> {
    let segment = 64u64 << 20;
    let bytes = vec![7; BATCH * RECORD];
    let mut file = files.create("raw", segment)?;
    let (mut at, mut records) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < limit {
        if at + bytes.len() as u64 > segment {
            files.remove("raw")?;
            file = files.create("raw", segment)?;
            at = 0;
        }
        file.write_at(&bytes, at)?;
        file.sync()?;
        at += bytes.len() as u64;
        records += BATCH;
    }
    let rate = records as f64 / start.elapsed().as_secs_f64();
    files.remove("raw")?;
    Ok(rate)
}

/// Records a second through `Journal::append`, with and without the time spent in the device's sync.
fn journal(
    files: &Arc<dyn Files>,
    batch_records: usize,
    limit: Duration,
) -> Result<(f64, f64), AnyError> {
    let key = LedgerKey::from_seed("bench", &[1; 32])?;
    let (mut journal, _) = Journal::open(Arc::clone(files), Settings::default(), key)?;
    let header =
        RecordHeader { namespace: "bench", time_ms: 1_790_000_000_000, ..RecordHeader::default() };
    let mut batch = Batch::new(journal.next_seq());
    let mut synced = Duration::ZERO;
    let start = Instant::now();
    while start.elapsed() < limit {
        batch.reset(journal.next_seq());
        for _ in 0..batch_records {
            batch.push(&header, |out| out.extend_from_slice(&[5; BODY]))?;
        }
        journal.append(&mut batch)?;
        synced += journal.stats().last_sync;
    }
    let (records, taken) = (journal.stats().records as f64, start.elapsed());
    Ok((records / taken.as_secs_f64(), records / (taken - synced).as_secs_f64()))
}

/// Milliseconds to open the journal that is there; closes it again.
fn open_ms(files: &Arc<dyn Files>) -> Result<(f64, u64), AnyError> {
    let start = Instant::now();
    let (journal, recovered) = Journal::open(
        Arc::clone(files),
        Settings::default(),
        LedgerKey::from_seed("bench", &[1; 32])?,
    )?;
    let taken = start.elapsed().as_secs_f64() * 1e3;
    journal.close()?;
    Ok((taken, recovered.records()))
}
