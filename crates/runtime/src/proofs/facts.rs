//! What a proof rests on in a record: its header, and the fields of its events that a run's history is checked by.

use ark_os_store::Hash;
use ark_os_store::merkle::HASH_BYTES;
use ark_os_store::record::NAMESPACE_BYTES_MAX;

use super::cbor::{Item, read};
use super::{Class, Fault};

/// A task of a run: its node and, below a map, the number of the child.
pub(super) type Task = (u32, Option<u32>);

/// A record, as far as it is looked at.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) namespace: &'a str,
    pub(super) run: Option<[u8; 16]>,
    pub(super) time_ms: u64,
    pub(super) events: Vec<Fact<'a>>,
}

/// An event, as far as it is looked at.
#[derive(Debug)]
pub(super) enum Fact<'a> {
    /// It waited on disk until now; the admission or the plan that it has since.
    RunLoaded {
        admission: Option<u64>,
        plan: Option<Plan<'a>>,
    },
    /// The result, if it was found to have happened.
    StepProbed {
        task: Task,
        key: Hash,
        result: Option<Settled>,
    },
    InstanceStarted {
        agents: u32,
    },
    WorkflowAdmitted(Admitted<'a>),
    RunAccepted {
        admission: Option<u64>,
        plan: Option<Plan<'a>>,
        input: Payload,
    },
    RunStarted {
        admission: u64,
    },
    RunEnded {
        end: &'static str,
        output: Option<Payload>,
        proof: Option<Hash>,
    },
    RunRetried {
        nodes: Vec<u32>,
    },
    MapExpanded {
        list: Payload,
    },
    AttemptStarted {
        task: Task,
        attempt: u32,
        agent: u32,
        fence: u64,
    },
    /// `counts`: not lost and not interrupted.
    AttemptEnded {
        task: Task,
        fence: u64,
        counts: bool,
    },
    TaskSucceeded(Done),
    /// Failed, skipped, cancelled, or a map that is done.
    TasksOver {
        tasks: Vec<Task>,
    },
    TaskParked {
        task: Task,
    },
    StepIntended(Intent<'a>),
    StepSettled {
        task: Task,
        key: Hash,
        result: Settled,
    },
    StepInDoubt {
        task: Task,
        key: Hash,
    },
    StepResolved {
        task: Task,
        key: Hash,
        result: Option<Settled>,
    },
    /// Of a run, and nothing rests on it.
    OfRun,
    /// Anything else, also what later versions bring.
    Other,
}

/// A workflow version that was let in.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    pub(super) id: u64,
    pub(super) namespace: &'a str,
    pub(super) plan: Plan<'a>,
    /// Layer and agent, highest first.
    pub(super) decisions: Vec<(&'static str, &'a str)>,
    pub(super) rules: Hash,
}

/// A plan, as far as it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) nodes: u32,
    pub(super) hash: Hash,
}

/// An input or output: its digest, and whether it lies in a blob.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    pub(super) hash: Hash,
    pub(super) is_blob: bool,
}

/// A proof of progress.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) task: Task,
    pub(super) fence: u64,
    pub(super) output: Payload,
    pub(super) input: Hash,
    pub(super) effects: Option<Hash>,
    pub(super) blobs: Vec<Hash>,
}

/// The intent of a step.
#[derive(Debug)]
pub(super) struct Intent<'a> {
    pub(super) task: Task,
    pub(super) key: Hash,
    pub(super) number: u32,
    pub(super) tool: &'a str,
    pub(super) arguments: Hash,
    pub(super) fence: u64,
}

/// What came of a step: the digest that the effects root takes, and the blob where the result is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) result: Hash,
    pub(super) blob: Option<Hash>,
}

const LAYERS: [&str; 6] = ["cecca", "board", "executive", "stack-chief", "specialist", "micro"];
const ENDS: [&str; 3] = ["succeeded", "failed", "cancelled"];
/// These are of runs, and so is `RunLoaded`.
const OF_RUN: std::ops::RangeInclusive<u64> = 10..=44;

/// Reads a record.
pub(super) fn facts(bytes: &[u8]) -> Result<Facts<'_>, Fault> {
    let header = read(bytes)?;
    let rest = bytes.get(header.end..).unwrap_or_default();
    let body = read(rest)?;
    let mut facts = of_header(&header)
        .ok_or_else(|| Fault::new(Class::Record, "the header of the record is malformed"))?;
    let events = body.array().filter(|_| body.end == rest.len());
    let events =
        events.ok_or_else(|| Fault::new(Class::Record, "the record is not a list of events"))?;
    for event in events {
        let fact = of_event(event, rest)
            .ok_or_else(|| Fault::new(Class::Record, "an event is malformed"))?;
        facts.events.push(fact);
    }
    Ok(facts)
}

fn of_header<'a>(header: &Item<'a>) -> Option<Facts<'a>> {
    let mut keys = header.keys();
    let zero =
        [3, 4, 5].iter().any(|key| header.field(*key).is_some_and(|it| it.uint() == Some(0)));
    let numbers =
        [3, 4, 5].iter().all(|key| header.field(*key).is_none_or(|it| it.uint().is_some()));
    if keys.any(|key| key > 6) || header.field(0)?.uint() != Some(1) || zero || !numbers {
        return None;
    }
    let namespace = header.field(1)?.text().filter(|it| it.len() <= NAMESPACE_BYTES_MAX)?;
    let run = match header.field(2) {
        Some(run) => Some(run.bytes()?.try_into().ok()?),
        None => None,
    };
    Some(Facts { namespace, run, time_ms: header.field(6)?.uint()?, events: Vec::new() })
}

/// `bytes` are those that the item's places are in.
fn of_event<'a>(event: &Item<'a>, bytes: &[u8]) -> Option<Fact<'a>> {
    let [number, it] = event.array()? else { return None };
    let number = number.uint()?;
    let fact = match number {
        0 => Fact::InstanceStarted { agents: it.field(0)?.field(2)?.uint32()? },
        4 => Fact::WorkflowAdmitted(admitted(it.field(0)?, bytes)?),
        10 => accepted(it.field(0)?, bytes)?,
        12 => Fact::RunStarted { admission: it.field(0)?.uint()? },
        17 => ended(it.field(0)?)?,
        18 => {
            let nodes = it.field(1)?.array()?.iter().map(Item::uint32).collect::<Option<_>>()?;
            Fact::RunRetried { nodes }
        }
        21 => Fact::MapExpanded { list: payload(it.field(2)?)? },
        23 => {
            let it = it.field(0)?;
            Fact::AttemptStarted {
                task: task(it.field(0)?)?,
                attempt: it.field(1)?.uint32()?,
                agent: it.field(2)?.uint32()?,
                fence: it.field(3)?.uint()?,
            }
        }
        26 => {
            let it = it.field(0)?;
            let end = it.field(2)?.uint().filter(|end| *end <= 4)?;
            let (task, fence) = (task(it.field(0)?)?, it.field(1)?.uint()?);
            Fact::AttemptEnded { task, fence, counts: end != 1 && end != 4 }
        }
        27 => Fact::TaskSucceeded(done(it.field(0)?)?),
        28 | 33 => Fact::TasksOver { tasks: vec![task(it.field(0)?)?] },
        29 | 30 => {
            let tasks = it.field(0)?.array()?.iter().map(task).collect::<Option<_>>()?;
            Fact::TasksOver { tasks }
        }
        31 => Fact::TaskParked { task: task(it.field(0)?)? },
        40 => Fact::StepIntended(intent(it.field(0)?)?),
        41..=44 => of_step(number, it)?,
        50 => loaded(it, bytes)?,
        number if OF_RUN.contains(&number) => Fact::OfRun,
        _ => Fact::Other,
    };
    it.is_map().then_some(fact)
}

fn admitted<'a>(it: &Item<'a>, bytes: &[u8]) -> Option<Admitted<'a>> {
    let decision = |it: &Item<'a>| {
        let layer = usize::try_from(it.field(0)?.uint()?).ok()?;
        Some((*LAYERS.get(layer)?, it.field(1)?.text()?))
    };
    Some(Admitted {
        id: it.field(0)?.uint()?,
        namespace: it.field(1)?.text()?,
        plan: plan(it.field(2)?, bytes)?,
        decisions: it.field(4)?.array()?.iter().map(decision).collect::<Option<_>>()?,
        rules: hash(it.field(6)?)?,
    })
}

/// A plan whose digest is that of its own bytes, with the digest's zero.
fn plan<'a>(it: &Item<'a>, bytes: &[u8]) -> Option<Plan<'a>> {
    let digest = it.field(5)?;
    let hash = hash(digest)?;
    let (before, after) =
        (bytes.get(it.start..digest.end - HASH_BYTES)?, bytes.get(digest.end..it.end)?);
    let own = Hash::of(&[before, &[0; HASH_BYTES], after].concat());
    let nodes = u32::try_from(it.field(3)?.array()?.len()).ok()?;
    let plan = Plan { name: it.field(0)?.text()?, version: it.field(1)?.text()?, nodes, hash };
    (own == hash).then_some(plan)
}

fn accepted<'a>(it: &Item<'a>, bytes: &[u8]) -> Option<Fact<'a>> {
    let admission = match it.field(0) {
        Some(admission) => Some(admission.uint()?),
        None => None,
    };
    let plan = match it.field(1) {
        Some(pending) => Some(plan(pending.field(1)?, bytes)?),
        None => None,
    };
    Some(Fact::RunAccepted { admission, plan, input: payload(it.field(2)?)? })
}

fn loaded<'a>(it: &Item<'a>, bytes: &[u8]) -> Option<Fact<'a>> {
    match it.field(0) {
        Some(it) => match accepted(it, bytes)? {
            Fact::RunAccepted { admission, plan, .. } => Some(Fact::RunLoaded { admission, plan }),
            _ => None,
        },
        None => Some(Fact::RunLoaded { admission: None, plan: None }),
    }
}

fn ended<'a>(it: &Item<'a>) -> Option<Fact<'a>> {
    let end = ENDS.get(usize::try_from(it.field(0)?.uint()?).ok()?)?;
    let output = match it.field(1) {
        Some(output) => Some(payload(output)?),
        None => None,
    };
    let proof = match it.field(3) {
        Some(proof) => Some(hash(proof)?),
        None => None,
    };
    Some(Fact::RunEnded { end, output, proof })
}

fn done(it: &Item<'_>) -> Option<Done> {
    let effects = match it.field(4) {
        Some(effects) => Some(hash(effects)?),
        None => None,
    };
    let blobs = match it.field(7) {
        Some(blobs) => blobs.array()?.iter().map(hash).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    Some(Done {
        task: task(it.field(0)?)?,
        fence: it.field(1)?.uint()?,
        output: payload(it.field(2)?)?,
        input: hash(it.field(3)?)?,
        effects,
        blobs,
    })
}

fn intent<'a>(it: &Item<'a>) -> Option<Intent<'a>> {
    Some(Intent {
        task: task(it.field(0)?)?,
        key: hash(it.field(1)?)?,
        number: it.field(2)?.uint32()?,
        tool: it.field(3)?.text()?,
        arguments: hash(it.field(4)?)?,
        fence: it.field(7)?.uint()?,
    })
}

fn of_step<'a>(number: u64, it: &Item<'a>) -> Option<Fact<'a>> {
    let (task, key) = (task(it.field(0)?)?, hash(it.field(1)?)?);
    let fact = match number {
        41 => {
            let (variant, fields) = variant(it.field(2)?)?;
            let result = match (variant, fields) {
                (0, [result]) => settled(payload(result)?),
                (1, [failure]) => failed(failure.field(0)?.text()?),
                _ => return None,
            };
            Fact::StepSettled { task, key, result }
        }
        42 => Fact::StepInDoubt { task, key },
        44 => {
            let (variant, fields) = variant(it.field(2)?)?;
            let result = match (variant, fields) {
                (0, [result]) => Some(settled(payload(result)?)),
                (1 | 2, []) => None,
                _ => return None,
            };
            Fact::StepProbed { task, key, result }
        }
        _ => {
            let (variant, fields) = variant(it.field(2)?)?;
            let result = match (variant, fields) {
                (0, [result]) => Some(settled(payload(result)?)),
                (1, []) => None,
                (2, []) => Some(failed("given_up")),
                _ => return None,
            };
            Fact::StepResolved { task, key, result }
        }
    };
    Some(fact)
}

fn settled(payload: Payload) -> Settled {
    Settled { result: payload.hash, blob: payload.is_blob.then_some(payload.hash) }
}

fn failed(code: &str) -> Settled {
    Settled { result: of_parts(&[b"failed", code.as_bytes()]), blob: None }
}

/// SHA-256 over parts, each after its length (8 bytes, little endian).
pub(super) fn of_parts(parts: &[&[u8]]) -> Hash {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    Hash::of(&bytes)
}

/// One form of several: its number and its fields.
fn variant<'a, 'b>(it: &'b Item<'a>) -> Option<(u64, &'b [Item<'a>])> {
    let [number, fields] = it.array()? else { return None };
    Some((number.uint()?, fields.array()?))
}

fn payload(it: &Item<'_>) -> Option<Payload> {
    match variant(it)? {
        (0, [text]) => Some(Payload { hash: Hash::of(text.bytes()?), is_blob: false }),
        (1, [digest, length]) => {
            length.uint()?;
            Some(Payload { hash: hash(digest)?, is_blob: true })
        }
        _ => None,
    }
}

fn task(it: &Item<'_>) -> Option<Task> {
    match it.array()? {
        [node] => Some((node.uint32()?, None)),
        [node, child] => Some((node.uint32()?, Some(child.uint32()?))),
        _ => None,
    }
}

fn hash(it: &Item<'_>) -> Option<Hash> {
    it.bytes()?.try_into().ok().map(Hash)
}
