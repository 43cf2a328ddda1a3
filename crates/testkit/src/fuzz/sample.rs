//! A journal that a real instance wrote, whose parts are the seeds of what reads journals.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ark_os_core::State;
use ark_os_runtime::{Components, Instance, PlanRequest, RunRequest, Settings};
use ark_os_store::{Journal, LedgerKey, MemFiles};
use serde_json::json;

/// Longer than the sample's runs take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The smallest there is, so that the sample has several.
pub(super) const SEGMENT_BYTES: u64 = 16 << 10;
/// Records from one snapshot to the next: few runs are over in so many.
const RECORDS_BETWEEN: u64 = 7;
/// Records kept as seeds of the record and event readers.
const RECORDS_MAX: usize = 200;

/// The sample.
pub(super) struct Sample {
    /// The data directory, stopped cleanly.
    pub(super) files: MemFiles,
    /// Records as they are stored: header and body.
    pub(super) records: Vec<Vec<u8>>,
    /// Their bodies: events.
    pub(super) bodies: Vec<Vec<u8>>,
    /// Snapshots of the state between some of the records.
    pub(super) snapshots: Vec<Vec<u8>>,
    /// A signed note.
    pub(super) note: String,
}

/// The sample, made once.
pub(super) fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let made = make();
        assert!(made.is_ok(), "make a sample journal: {:?}", made.as_ref().err());
        made.unwrap_or_else(|_| Sample {
            files: MemFiles::default(),
            records: Vec::new(),
            bodies: Vec::new(),
            snapshots: Vec::new(),
            note: String::new(),
        })
    })
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

fn make() -> Made<Sample> {
    let files = MemFiles::default();
    let dir = tempfile::tempdir()?;
    let mut settings = Settings::new(dir.path());
    settings.segment_bytes = SEGMENT_BYTES;
    settings.agents = 8;
    let mut components = Components::builtin();
    components.files = Some(Arc::new(files.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let instance = Instance::start(settings, components)?;
    let handle = instance.handle();
    runtime.block_on(async {
        for request in requests() {
            handle.submit_and_wait(request, PATIENCE).await?;
        }
        Ok::<_, ark_os_runtime::RuntimeError>(())
    })?;
    instance.stop()?;

    let key = LedgerKey::load(&files)?;
    let opened = ark_os_store::Settings { segment_bytes: SEGMENT_BYTES };
    let (journal, mut recovered) = Journal::open(Arc::new(files.copy()), opened, key)?;
    let (mut records, mut bodies, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
    let mut state = State::default();
    while let Some(record) = recovered.next()? {
        state.apply(&ark_os_runtime::kernel::record::decode(&record)?, &mut Vec::new());
        if record.seq.is_multiple_of(RECORDS_BETWEEN) {
            let mut snapshot = Vec::new();
            state.encode(&mut snapshot)?;
            snapshots.push(snapshot);
        }
        if records.len() < RECORDS_MAX {
            records.push(record.bytes.to_vec());
            bodies.push(record.body.to_vec());
        }
    }
    let note = journal.last_checkpoint().note().to_owned();
    Ok(Sample { files, records, bodies, snapshots, note })
}

fn requests() -> Vec<RunRequest> {
    let plan = json!({"name": "sum", "version": "1", "tasks": [
        {"name": "list", "skill": "echo", "input": [1, 2, 3, 4]},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"},
         "input": "${item}"},
        {"name": "sum", "skill": "list.sum", "reduce": "each"},
        {"name": "never", "skill": "fail", "when": "input.go == true", "input": {"times": 9}}],
        "output": {"sum": "${tasks.sum.output}", "never": "${tasks.never.output}"}});
    let workflow =
        |input: &[u8]| RunRequest::new(PlanRequest::Workflow(plan.clone()), input.to_vec());
    let wide = || RunRequest::task("echo", format!("\"{}\"", "a".repeat(3_000)).into_bytes());
    let mut requests = vec![
        RunRequest::task("echo", b"{\"a\":1}".to_vec()),
        RunRequest::task("fail", b"{\"times\":1}".to_vec()),
        RunRequest::task("fail", b"{\"error\":{\"code\":\"no\",\"message\":\"no\"}}".to_vec()),
        workflow(b"{\"go\":false}"),
        workflow(b"{}"),
    ];
    requests.extend((0..12).map(|_| wide()));
    for (n, request) in requests.iter_mut().enumerate() {
        request.key = Some(format!("key-{n}"));
    }
    requests
}
