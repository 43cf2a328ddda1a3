//! Bundles of real runs, of every kind that there is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ark_os_core::Command;
use ark_os_core::authority::Scopes;
use ark_os_core::ids::RunId;
use ark_os_core::plan::EffectClass;
use ark_os_core::time::Time;
use ark_os_runtime::keeper::{Keeper, Retention};
use ark_os_runtime::kernel::record::decode;
use ark_os_runtime::opening::open_journal;
use ark_os_runtime::proofs::Offline;
use ark_os_runtime::skills::{
    Cost, Effect, Host, ProbeAnswer, Skill, SkillError, SkillSpec, StepCall,
};
use ark_os_runtime::{
    Components, ForkPoint, ForkRequest, Handle, Instance, PlanRequest, RunRequest, Settings,
    SignalRequest,
};
use ark_os_store::{DiskFiles, Files, LedgerKey, Segments, Snapshots};
use serde_json::json;

/// Longer than the sample's runs take.
const PATIENCE: Duration = Duration::from_secs(60);

/// So that the sample fills some, which can be archived.
const SEGMENT_BYTES: u64 = 16 << 10;
/// Runs that no bundle is made of: each writes half a segment.
const FILLING_RUNS: usize = 12;

/// A bundle, and what a verification of it may trust.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What kind of run it is of.
    pub name: &'static str,
    /// The file.
    pub bundle: Vec<u8>,
    /// The key that signed it.
    pub key: String,
    /// The note of an older checkpoint that it goes on from.
    pub kept: Option<String>,
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

/// Takes three steps, the last of which fails.
struct Stepping(SkillSpec);

impl Skill for Stepping {
    fn spec(&self) -> &SkillSpec {
        &self.0
    }

    fn run(&self, host: &dyn Host, _: &[u8]) -> Result<Vec<u8>, SkillError> {
        for arguments in [&b"{\"n\":1}"[..], b"{\"n\":2}", b"{\"n\":3}"] {
            let call = StepCall::new("sink.put", arguments, EffectClass::Idempotent);
            // What it answers is recorded, also that it failed.
            let _ = host.step(&call, &mut |_: &str| match arguments {
                b"{\"n\":3}" => Err(SkillError::permanent("sink_full", "the sink is full")),
                _ => Ok(b"{\"ok\":true}".to_vec()),
            });
        }
        Ok(b"{}".to_vec())
    }
}

/// Takes two steps of which nobody knows at first whether they happened: the one did, the other did not.
struct Probing(SkillSpec);

/// A step of it, in this attempt of its task.
struct Probed {
    happened: bool,
    attempt: u32,
}

impl Effect for Probed {
    fn perform(&mut self, _: &str) -> Result<Vec<u8>, SkillError> {
        // The first attempt gets to the first step, the second to the second.
        let last = if self.happened { 1 } else { 2 };
        match self.attempt > last {
            true => Ok(b"{\"by\":\"call\"}".to_vec()),
            false => Err(SkillError::unknown("sink_silent", "the sink does not answer")),
        }
    }

    fn probe(&mut self, _: &str) -> Result<ProbeAnswer, SkillError> {
        Ok(match self.happened {
            true => ProbeAnswer::Happened(b"{\"by\":\"probe\"}".to_vec()),
            false => ProbeAnswer::NotHappened,
        })
    }
}

impl Skill for Probing {
    fn spec(&self) -> &SkillSpec {
        &self.0
    }

    fn run(&self, host: &dyn Host, _: &[u8]) -> Result<Vec<u8>, SkillError> {
        let attempt = host.attempt().number;
        for (arguments, happened) in [(&b"{\"n\":1}"[..], true), (b"{\"n\":2}", false)] {
            let call = StepCall::new("sink.put", arguments, EffectClass::Probed);
            host.step(&call, &mut Probed { happened, attempt })?;
        }
        Ok(b"{}".to_vec())
    }
}

fn spec(name: &'static str, class: EffectClass) -> SkillSpec {
    SkillSpec {
        name: name.into(),
        summary: "takes steps".into(),
        class,
        cost: Cost::Blocking,
        output_bytes_max: 1_000,
        input_schema: "true".into(),
        output_schema: "true".into(),
        concurrency_max: None,
    }
}

/// Makes the samples.
///
/// # Errors
/// The instance that makes them does not do what it should.
pub fn samples() -> Made<Vec<Sample>> {
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (mut runs, long) = runtime.block_on(first(dir.path()))?;
    let opened = Offline::open(dir.path(), None)?;
    let kept = opened.evidence().checkpoint.note().to_owned();
    opened.close()?;
    runs.extend(runtime.block_on(second(dir.path(), &runs, long))?);

    let opened = Offline::open(dir.path(), None)?;
    let mut samples = Vec::new();
    for (name, run) in &runs {
        let (name, run) = (*name, *run);
        let kept = || Some(kept.clone());
        for (embeds, kept) in [(false, None), (true, None), (false, kept()), (true, kept())] {
            let mut bundle = Vec::new();
            let prepared = opened.prepare(run, embeds, kept.as_deref())?;
            prepared.write(opened.evidence(), &mut bundle)?;
            let key = opened.evidence().key.to_string();
            samples.push(Sample { name, bundle, key, kept });
        }
    }
    opened.close()?;
    samples.push(archived(dir.path(), &runs, &samples)?);
    Ok(samples)
}

/// The first run once its records are in the archive: its bundle is what it was.
fn archived(dir: &Path, runs: &[Named], samples: &[Sample]) -> Made<Sample> {
    if archive(dir)? == 0 {
        return Err("no segment of the sample was archived".into());
    }
    let ((_, run), before) = runs.first().zip(samples.first()).ok_or("there is no sample")?;
    let opened = Offline::open(dir, None)?;
    let mut bundle = Vec::new();
    opened.prepare(*run, false, None)?.write(opened.evidence(), &mut bundle)?;
    opened.close()?;
    if bundle != before.bundle {
        return Err("the archive changed the bundle of a run".into());
    }
    Ok(Sample { name: "archived", bundle, ..before.clone() })
}

/// Archives every segment that may be; how many.
fn archive(dir: &Path) -> Made<u64> {
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(dir)?);
    let key = LedgerKey::load(&*files)?;
    let snapshots = Snapshots::new(files.clone(), key.public().clone());
    let settings = ark_os_store::Settings { segment_bytes: SEGMENT_BYTES };
    let opened = open_journal(&snapshots, &Segments::new(files), settings, &key)?;
    let (anchor, mut state) = opened.from.ok_or("there is no snapshot")?;
    let mut recovered = opened.recovered;
    while let Some(record) = recovered.next()? {
        state.apply(&decode(&record)?, &mut Vec::new());
    }
    let retention = Retention { age: Duration::ZERO, live_bytes_max: 0 };
    let reader = opened.journal.reader();
    let mut keeper = Keeper::new(snapshots, key, reader, retention, (Some(&anchor), &state));
    Ok(keeper.archive(Time::NEVER, &|| true)?)
}

fn start(dir: &Path, agents: u32) -> Made<Instance> {
    let mut settings = Settings::new(dir);
    settings.agents = agents;
    // Runs that come together wait on disk for each other.
    settings.runs_resident_max = 1;
    settings.segment_bytes = SEGMENT_BYTES;
    let mut components = Components::builtin();
    components.skills.insert(Arc::new(Stepping(spec("steps", EffectClass::Idempotent))));
    components.operator = Scopes::parse(["*", "effect:probed"])?;
    components.skills.insert(Arc::new(Probing(spec("probes", EffectClass::Probed))));
    Ok(Instance::start(settings, components)?)
}

type Named = (&'static str, RunId);

/// Runs of one instance; one of them goes on when it stops.
async fn first(dir: &Path) -> Made<(Vec<Named>, RunId)> {
    let instance = start(dir, 30)?;
    let handle = instance.handle();
    let mut runs = Vec::new();
    for (name, request) in requests() {
        // What comes after a run that failed is needed for its retry: the first segments are filled before.
        for _ in 0..if name == "failed" { FILLING_RUNS } else { 0 } {
            let filling = format!("\"{}\"", "y".repeat(4_000)).into_bytes();
            ended(&handle, RunRequest::task("echo", filling)).await?;
        }
        runs.push((name, ended(&handle, request).await?));
    }
    runs.push(("signals", signalled(&handle).await?));
    let mut together = Vec::new();
    for name in ["first of three", "second of three", "third of three"] {
        let slow = RunRequest::task("sleep", b"{\"ms\":30}".to_vec());
        together.push((name, handle.submit(slow).await?.run));
    }
    for (name, run) in together {
        handle.wait(run, PATIENCE).await?;
        runs.push((name, run));
    }
    let sleep = RunRequest::task("sleep", b"{\"ms\":60000}".to_vec());
    let long = handle.submit(sleep).await?.run;
    instance.stop()?;
    Ok((runs, long))
}

/// What another instance makes of them: one is retried, one cancelled, and there are more.
async fn second(dir: &Path, runs: &[Named], long: RunId) -> Made<Vec<Named>> {
    let instance = start(dir, 50)?;
    let handle = instance.handle();
    let reason = || "asked for".into();
    if let Some((_, run)) = runs.iter().find(|(name, _)| *name == "failed") {
        handle.command(Command::RetryRun { run: *run, task: None, reason: reason() }).await?;
        handle.wait(*run, PATIENCE).await?;
    }
    handle.command(Command::CancelRun { run: long, reason: reason() }).await?;
    handle.wait(long, PATIENCE).await?;
    let again = ended(&handle, plan("again", 6)).await?;
    let mut made = vec![("cancelled", long), ("again", again)];
    for (name, source, task) in [("fork", "map", Some("sum")), ("whole fork", "signals", None)] {
        let (_, run) = runs.iter().find(|(it, _)| *it == source).ok_or("nothing to fork")?;
        made.push((name, forked(&handle, *run, task).await?));
    }
    instance.stop()?;
    Ok(made)
}

/// A fork of a run that is over, from everything that was done or from before a task.
async fn forked(handle: &Handle, source: RunId, task: Option<&str>) -> Made<RunId> {
    let request = ForkRequest {
        point: task.map_or(ForkPoint::Newest, |task| ForkPoint::Task(task.into())),
        input: None,
        plan: None,
        skills: Vec::new(),
        priority: None,
        deadline: None,
        budget: None,
        reason: "asked for".into(),
        key: None,
    };
    let run = handle.fork(source, request).await?.run;
    handle.wait(run, PATIENCE).await?.map(|_| run).ok_or_else(|| "a fork does not end".into())
}

async fn ended(handle: &Handle, request: RunRequest) -> Made<RunId> {
    let (submitted, over) = handle.submit_and_wait(request, PATIENCE).await?;
    over.map(|_| submitted.run).ok_or_else(|| "a run of the sample does not end".into())
}

/// A run that waits for signals, a small and a large one, the first of which comes before its wait.
async fn signalled(handle: &Handle) -> Made<RunId> {
    let waits = json!({"name": "waits", "version": "1", "tasks": [
        {"name": "pause", "wait": {"for": "20ms"}},
        {"name": "small", "after": ["pause"], "wait": {"signal": "small"}},
        {"name": "large", "after": ["small"], "wait": {"signal": "large"}},
        {"name": "late", "wait": {"signal": "late", "timeout": "1ms", "on_timeout": "continue"}},
        {"name": "said", "skill": "echo", "input": "${tasks.small.output}", "after": ["large"]}]});
    let request = RunRequest::new(PlanRequest::Workflow(waits), b"{}".to_vec());
    let run = handle.submit(request).await?.run;
    let large = format!("\"{}\"", "z".repeat(17_000)).into_bytes();
    for (name, payload) in [("small", b"{\"by\":\"ann\"}".to_vec()), ("large", large)] {
        let signal = SignalRequest { run, name: name.into(), payload, key: Some(name.into()) };
        handle.signal(signal).await?;
    }
    handle.wait(run, PATIENCE).await?.map(|_| run).ok_or_else(|| "it waits for ever".into())
}

fn requests() -> Vec<(&'static str, RunRequest)> {
    let large = format!("\"{}\"", "x".repeat(17_000)).into_bytes();
    let no = br#"{"error":{"code":"no","message":"no"}}"#.to_vec();
    let flaky = json!({"name": "flaky", "version": "1", "tasks": [
        {"name": "flaky", "skill": "fail", "input": {"times": 2},
         "retry": {"attempts": 3, "backoff": "1ms"}}]});
    let steps = json!({"name": "steps", "version": "\"1\"\u{7f}\u{e9}", "tasks": [
        {"name": "a", "skill": "steps", "input": {}},
        {"name": "b", "skill": "steps", "input": {}, "after": ["a"]}]});
    let probed = json!({"name": "probed", "version": "1", "tasks": [
        {"name": "probed", "skill": "probes", "input": {},
         "retry": {"attempts": 4, "backoff": "1ms"}}]});
    let grows = json!({"name": "grows", "version": "1", "tasks": [
        {"name": "plan", "skill": "echo", "expands": true, "input": {"output": [1], "tasks": [
            {"name": "one", "skill": "echo", "input": "$${tasks.plan.output}"},
            {"name": "two", "skill": "echo", "after": ["one"]}]}},
        {"name": "end", "skill": "echo", "after": ["plan"]}]});
    let workflow = |plan| RunRequest::new(PlanRequest::Workflow(plan), b"{}".to_vec());
    vec![
        ("task", RunRequest::task("echo", b"{\"a\":1}".to_vec())),
        ("task again", RunRequest::task("echo", b"{\"a\":2}".to_vec())),
        ("map", plan("map", 4)),
        ("large", RunRequest::task("echo", large)),
        ("failed", RunRequest::task("fail", no)),
        ("flaky", workflow(flaky)),
        ("steps", workflow(steps)),
        ("probed", workflow(probed)),
        ("grown", workflow(grows)),
        ("parent", family(false)),
        ("parent of one that failed", family(true)),
    ]
}

/// A run whose task is a run of its own, with an input and an output that are blobs.
fn family(fails: bool) -> RunRequest {
    let end = match fails {
        true => {
            json!({"name": "end", "skill": "fail", "input": {"error": {"code": "no", "message": "no"}}})
        }
        false => json!({"name": "end", "skill": "echo", "input": "${input}"}),
    };
    let plans = json!({"workflows": [
        {"name": "above", "version": "1", "tasks": [
            {"name": "below", "run": {"workflow": "below", "input": {"text": "x".repeat(17_000)}},
             "on_failure": "continue"},
            {"name": "after", "skill": "echo", "input": 1, "after": ["below"]}]},
        {"name": "below", "version": "1", "tasks": [end]}]});
    RunRequest::new(PlanRequest::Workflow(plans), b"{}".to_vec())
}

fn plan(name: &str, children: usize) -> RunRequest {
    let items: Vec<usize> = (0..children).collect();
    let plan = json!({"name": name, "version": "1", "tasks": [
        {"name": "list", "skill": "echo", "input": items},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"}, "input": "${item}"},
        {"name": "sum", "skill": "list.sum", "reduce": "each"},
        {"name": "never", "skill": "echo", "when": "input.go == true", "input": 1}],
        "output": {"sum": "${tasks.sum.output}"}});
    RunRequest::new(PlanRequest::Workflow(plan), b"{\"go\":false}".to_vec())
}
