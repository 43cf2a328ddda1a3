//! A run with a million events: how long its pages take, and what they cost in memory.
//!
//! A real run of the same plan is recorded first. The long one is written into the journal behind
//! it, record by record as the instance writes them, and read back through the API of a node that
//! was started on that journal.

use std::path::Path;
use std::sync::Arc;

use ark_os_core::budget::Amounts;
use ark_os_core::event::{AttemptStarted, RunEnd, RunEnded, StepIntended, TaskSucceeded};
use ark_os_core::fleet::profile::FleetPlan;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, Fence, RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::payload::Payload;
use ark_os_core::plan::EffectClass;
use ark_os_core::step::{StepKey, StepOutcome};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Change, Event};
use ark_os_runtime::kernel::record::Appended;
use ark_os_runtime::{Components, Handle, Instance, PlanRequest, RunRequest, Settings};
use ark_os_store::{Batch, DiskFiles, Journal, LedgerKey};
use serde_json::{Value, json};

use super::child::{Node, fresh_directory, now};
use super::client::Connection;
use super::{BenchError, BenchSettings, raw};

/// Children of the map: as many as one may have.
const CHILDREN: u32 = 10_000;
/// Steps of each child: with its beginning and end a hundred records.
const STEPS: u32 = 49;
/// Records of one batch.
const BATCH: usize = 10_000;
/// How long the recorded run may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The log's name, as the instance has it in its key.
const ORIGIN: &str = "ark-os/journal";

const PLAN: &str = r#"{ "name": "long", "version": "1", "tasks": [
    { "name": "each", "skill": "echo", "map": { "over": [1, 2] }, "input": "${item}" }
] }"#;

/// Pages of events, trace and tasks of the long run.
pub(super) async fn pages(settings: &BenchSettings) -> Result<Value, BenchError> {
    let directory = fresh_directory(&settings.directory, settings.agents)?;
    let (run, records) = write(&directory, settings.agents).await?;
    let node = Node::open(directory, settings.agents)?;
    let mut asking = Asking { connection: node.target.connect().await?, node: &node };
    let run = format!("/api/v1/runs/{run}");
    let idle_kib = node.resident_kib();
    let first_path = format!("{run}/events?limit=500");
    let first = asking.once(&first_path).await?;
    let echo = asking.echo_us(&first_path).await?;
    let middle = asking.once(&format!("{run}/events?limit=500&after={}", records / 2)).await?;
    let view = asking.once(&run).await?;
    let first_trace = asking.once(&format!("{run}/trace?limit=500&expand=true")).await?;
    let folded = asking.all(&format!("{run}/trace?limit=500"), "after").await?;
    let first_tasks = asking.once(&format!("{run}/tasks?limit=500")).await?;
    let tasks = asking.all(&format!("{run}/tasks?limit=500"), "cursor").await?;
    let graph = asking.once(&format!("{run}/graph")).await?;
    let events = asking.all(&format!("{run}/events?limit=500"), "after").await?;
    let trace = asking.all(&format!("{run}/trace?limit=500&expand=true"), "after").await?;
    Ok(json!({
        "raw": { "page_of_as_many_bytes_p50_us": echo },
        "records": records,
        "ready_ms": u64::try_from(node.ready.as_millis()).unwrap_or(u64::MAX),
        "idle_kib": idle_kib,
        "aim_first_page_ms": 1_000,
        "run": view,
        "events_first_page": first,
        "events_middle_page": middle,
        "events_whole": events,
        "trace_first_page": first_trace,
        "trace_folded_whole": folded,
        "trace_whole": trace,
        "tasks_first_page": first_tasks,
        "tasks_whole": tasks,
        "graph": graph,
    }))
}

/// Asks a node, and notes what it cost.
struct Asking<'a> {
    connection: Connection,
    node: &'a Node,
}

impl Asking<'_> {
    async fn get(&mut self, path: &str) -> Result<Value, BenchError> {
        let (status, body) = self.connection.call("GET", path, b"").await?;
        if status != 200 {
            return Err(BenchError::new(format!("`{path}` answers {status}")));
        }
        serde_json::from_slice(&body).map_err(|error| BenchError::new(format!("{path}: {error}")))
    }

    async fn once(&mut self, path: &str) -> Result<Value, BenchError> {
        let begun = now();
        let answer = self.get(path).await?;
        Ok(self.report(begun, items(&answer)))
    }

    async fn all(&mut self, path: &str, cursor: &str) -> Result<Value, BenchError> {
        let begun = now();
        let (mut count, mut next) = (0, String::new());
        let mut kib = 0;
        loop {
            let page = self.get(&format!("{path}{next}")).await?;
            count += items(&page);
            kib = kib.max(self.node.resident_kib());
            match page.get("next").and_then(Value::as_str) {
                Some(place) => next = format!("&{cursor}={place}"),
                None => break,
            }
        }
        let mut report = self.report(begun, count);
        if let Some(report) = report.as_object_mut() {
            report.insert("resident_kib_max".to_owned(), json!(kib));
        }
        Ok(report)
    }

    /// What a route that does nothing takes to answer with as many bytes.
    async fn echo_us(&mut self, path: &str) -> Result<u64, BenchError> {
        let (_, page) = self.connection.call("GET", path, b"").await?;
        raw::echo_us(&page).await
    }

    fn report(&self, begun: std::time::Instant, items: usize) -> Value {
        let took = now().duration_since(begun);
        json!({
            "items": items,
            "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "resident_kib": self.node.resident_kib(),
        })
    }
}

fn items(answer: &Value) -> usize {
    answer.get("items").and_then(Value::as_array).map_or(0, Vec::len)
}

fn failed(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> BenchError {
    move |error| BenchError::new(format!("{what}: {error}"))
}

/// Writes the long run: its id, and the newest record.
async fn write(directory: &Path, agents: u32) -> Result<(RunId, u64), BenchError> {
    let wrong = failed("record a run");
    let settings = Settings { agents, ..Settings::new(directory) };
    let instance =
        Instance::start(settings, Components::builtin()).map_err(|error| wrong(&error))?;
    let model = record(&instance.handle()).await;
    instance.stop().map_err(|error| wrong(&error))?;
    let (run, accepted) = model?;
    let run = RunId(run.0 + 1);
    let wrong = failed("write the long run");
    let files = Arc::new(DiskFiles::new(directory).map_err(|error| wrong(&error))?);
    let key = LedgerKey::load_or_generate(&*files, ORIGIN).map_err(|error| wrong(&error))?;
    let (mut journal, recovered) = Journal::open(files, ark_os_store::Settings::default(), key)
        .map_err(|error| wrong(&error))?;
    drop(recovered);
    let mut batch = Batch::new(journal.next_seq());
    let mut seq = journal.next_seq();
    let micro = FleetPlan::for_agents(agents).agent(Layer::Micro, 0).unwrap_or(AgentIx(0));
    let mut events = long_run(run, accepted, micro).peekable();
    while events.peek().is_some() {
        batch.reset(seq);
        for event in events.by_ref().take(BATCH) {
            let change = Change { run: Some(run), at: Time(seq), events: vec![event] };
            let appended = Appended { seq, cause: 0, namespace: Text::from("default"), change };
            seq = appended.encode(&mut batch).map_err(|error| wrong(&error))? + 1;
        }
        journal.append(&mut batch).map_err(|error| wrong(&error))?;
    }
    Ok((run, seq - 1))
}

/// A short run of the plan: its id, and how it was accepted.
async fn record(handle: &Handle) -> Result<(RunId, Event), BenchError> {
    let wrong = failed("record a run");
    let plan = serde_json::from_str(PLAN).map_err(|error| wrong(&error))?;
    let request = RunRequest {
        namespace: Text::from("default"),
        plan: PlanRequest::Workflow(plan),
        input: b"null".to_vec(),
        priority: ark_os_core::priority::Priority::Normal,
        deadline: None,
        start: None,
        budget: None,
        key: None,
    };
    let submitted = handle.submit_and_wait(request, PATIENCE).await;
    let (submitted, _) = submitted.map_err(|error| wrong(&error))?;
    let mut viewed = handle.viewed();
    let newest = handle.read(|kernel| kernel.newest()).await.map_err(|error| wrong(&error))?;
    viewed.wait_for(|seen| *seen >= newest).await.map_err(|error| wrong(&error))?;
    let page = handle.history(submitted.run, 0, 100).map_err(|error| wrong(&error))?;
    let mut events = page.records.into_iter().flat_map(|it| it.change.events);
    let accepted = events.find(|event| matches!(event, Event::RunAccepted(_)));
    Ok((submitted.run, accepted.ok_or_else(|| BenchError::new("the run has no beginning"))?))
}

/// What happens in the long run, one event a record.
fn long_run(run: RunId, accepted: Event, agent: AgentIx) -> impl Iterator<Item = Event> {
    let map = TaskRef::node(0);
    let expanded = Event::MapExpanded { task: map, count: CHILDREN, list: Payload::null() };
    let children = (0..CHILDREN).flat_map(move |ix| child(run, ix, agent));
    let ended = RunEnded { end: RunEnd::Succeeded, output: None, failure: None, proof: None };
    [accepted, expanded]
        .into_iter()
        .chain(children)
        .chain([Event::MapDone { task: map }, Event::RunEnded(Box::new(ended))])
}

fn child(run: RunId, ix: u32, agent: AgentIx) -> impl Iterator<Item = Event> {
    let task = TaskRef::child(0, ix);
    // Behind every fence of the run that was recorded.
    let fence = Fence(1_000 + u64::from(ix));
    let started = Event::AttemptStarted(AttemptStarted {
        task,
        attempt: 1,
        agent,
        fence,
        class: EffectClass::Read,
        reserved: None,
        place: None,
        held_until: None,
    });
    let steps = (0..STEPS).flat_map(move |number| {
        let key =
            StepKey(Hash::of_parts(&[&run.to_bytes(), &ix.to_le_bytes(), &number.to_le_bytes()]));
        let intended = StepIntended {
            task,
            key,
            number,
            tool: "fetch".into(),
            arguments: key.0,
            class: EffectClass::Read,
            reserved: Amounts::ZERO,
            fence,
        };
        let outcome = StepOutcome::Done(Payload::inline(&br#"{"ok":true}"#[..]));
        let spent = Amounts { steps: 1, ..Amounts::ZERO };
        [Event::StepIntended(Box::new(intended)), Event::StepSettled { task, key, outcome, spent }]
    });
    let done = Event::TaskSucceeded(Box::new(TaskSucceeded {
        task,
        fence,
        output: Payload::inline(format!("{{\"child\":{ix}}}").into_bytes()),
        input: Hash::ZERO,
        effects: None,
        spent: Amounts { calls: 1, ..Amounts::ZERO },
        micros: u64::from(ix),
        blobs: None,
    }));
    std::iter::once(started).chain(steps).chain([done])
}
