//! Measures how fast the views follow runs that are accepted and over, and how fast they answer; prints JSON.
//!
//! `cargo run --release --package ark-os-store --example views_bench [directory] [runs] [runs per batch]`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program: it reads the clock and prints its result"
)]

use std::time::{Duration, Instant};

use ark_os_core::budget::Amounts;
use ark_os_core::event::{
    Admission, AttemptStarted, Event, RunAccepted, RunEnd, RunEnded, TaskSucceeded,
};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, Fence, RunId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::time::Time;
use ark_os_store::views::{Followed, Follower, Queries, RunFilter, Views, ViewsOptions};

type AnyError = Box<dyn std::error::Error>;

/// Records of one run: accepted and begun, done and over.
const RECORDS: u64 = 2;
const LOOKUPS: u64 = 20_000;
const START_MS: u64 = 1_790_000_000_000;

fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let parent = args.next().map_or_else(|| std::path::PathBuf::from("."), Into::into);
    let runs: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let batch: u64 = args.next().map_or(Ok(10_000), |text| text.parse())?;
    let dir = tempfile::tempdir_in(parent)?;
    let path = dir.path().join("views.db");
    let (mut follower, queries) = Views::open(&path, ViewsOptions::default())?.split()?;
    follower.follow(&[Followed {
        seq: 1,
        at: Time(START_MS),
        run: None,
        events: &[admitted()],
    }])?;
    let (took, slowest) = follow(&mut follower, 0..runs, batch, Overlap::WithinBatch)?;
    let (across, _) = follow(&mut follower, runs..runs + runs / 4, batch, Overlap::AcrossBatches)?;
    let read = ask(&queries, runs)?;
    let start = Instant::now();
    follower.close()?;
    let close = start.elapsed();
    let bytes = std::fs::metadata(&path)?.len();
    println!(
        "{}",
        serde_json::json!({
            "runs": runs,
            "runs_per_batch": batch,
            "rows_per_s": (runs as f64 / took.as_secs_f64()).round(),
            "rows_per_s_in_two_batches": (runs as f64 / 4.0 / across.as_secs_f64()).round(),
            "slowest_batch_ms": slowest.as_secs_f64() * 1e3,
            "file_bytes_per_run": bytes / (runs + runs / 4).max(1),
            "run_lookups_per_s": read.0.round(),
            "page_of_100_ms": read.1,
            "close_ms": close.as_secs_f64() * 1e3,
        })
    );
    Ok(())
}

fn admitted() -> Event {
    Event::WorkflowAdmitted(Box::new(Admission {
        id: 1,
        namespace: "default".into(),
        workflow: Workflow::single("echo").sealed(),
        skills: Vec::new(),
        decisions: Vec::new(),
        authorities: Vec::new(),
        rules: Hash::ZERO,
        subject: Hash::ZERO,
        mode: None,
        caller: None,
    }))
}

/// An id whose time part is the run's, as those of version 7.
fn id(run: u64) -> RunId {
    let random = Hash::of(&run.to_le_bytes()).draw();
    RunId(u128::from(START_MS + run / 200) << 80 | u128::from(run) << 40 | u128::from(random >> 24))
}

fn records(run: u64) -> [Vec<Event>; 2] {
    let task = TaskRef::node(0);
    let fence = Fence(run);
    let output = Payload::inline(format!(r#"{{"echo":"task {run}","ok":true}}"#).into_bytes());
    [
        vec![
            Event::RunAccepted(Box::new(RunAccepted {
                admission: Some(1),
                pending: None,
                input: output.clone(),
                priority: Priority::Normal,
                deadline: None,
                budget: None,
                seed: run,
                key: None,
                waits: None,
                start_at: None,
                parent: None,
                origin: None,
            })),
            Event::AttemptStarted(AttemptStarted {
                task,
                attempt: 1,
                agent: AgentIx(0),
                fence,
                class: EffectClass::Pure,
                reserved: None,
                place: None,
                held_until: None,
            }),
        ],
        vec![
            Event::TaskSucceeded(Box::new(TaskSucceeded {
                task,
                fence,
                output,
                input: Hash::ZERO,
                effects: None,
                spent: Amounts::ZERO,
                micros: 10,
                blobs: None,
            })),
            Event::RunEnded(Box::new(RunEnded {
                end: RunEnd::Succeeded,
                output: None,
                failure: None,
                proof: None,
            })),
        ],
    ]
}

/// Whether a run begins and ends in one call, or ends in the next one.
#[derive(Clone, Copy, PartialEq)]
enum Overlap {
    WithinBatch,
    AcrossBatches,
}

/// The time spent following, and that of the slowest batch.
fn follow(
    follower: &mut Follower,
    runs: std::ops::Range<u64>,
    batch: u64,
    overlap: Overlap,
) -> Result<(Duration, Duration), AnyError> {
    let (mut took, mut slowest) = (Duration::ZERO, Duration::ZERO);
    let mut run = runs.start;
    while run < runs.end {
        let until = (run + batch).min(runs.end);
        let events: Vec<_> = (run..until).map(|run| (run, records(run))).collect();
        // Runs overlap as they do in a journal: all begin, then all end.
        let mut feed = Vec::with_capacity(events.len() * RECORDS as usize);
        for part in 0..RECORDS {
            for (run, events) in &events {
                let Some(events) = events.get(part as usize) else { continue };
                let seq = follower.position() + 1 + feed.len() as u64;
                let at = Time(START_MS + run / 200);
                feed.push(Followed { seq, at, run: Some(id(*run)), events });
            }
        }
        let calls = if overlap == Overlap::WithinBatch { 1 } else { RECORDS as usize };
        let start = Instant::now();
        for part in feed.chunks(feed.len().div_ceil(calls)) {
            follower.follow(part)?;
        }
        let elapsed = start.elapsed();
        took += elapsed;
        slowest = slowest.max(elapsed);
        run = until;
    }
    Ok((took, slowest))
}

/// Lookups a second, and milliseconds for a page of a hundred runs.
fn ask(queries: &Queries, runs: u64) -> Result<(f64, f64), AnyError> {
    let start = Instant::now();
    for lookup in 0..LOOKUPS {
        let run = Hash::of(&lookup.to_le_bytes()).draw().checked_rem(runs).unwrap_or(0);
        queries.run(id(run))?.ok_or("a run is missing")?;
    }
    let lookups = LOOKUPS as f64 / start.elapsed().as_secs_f64();
    let filter = RunFilter { namespace: "default".into(), ..RunFilter::default() };
    let start = Instant::now();
    let page = queries.runs(&filter, None, 100)?;
    if page.items.len() != 100 {
        return Err("the page is short".into());
    }
    Ok((lookups, start.elapsed().as_secs_f64() * 1e3))
}
