//! What a proof rests on in a record: its header, and the fields of its events that a run's history is checked by.

use ark_os_core::layer::Layer;
use ark_os_core::limits::PLAN_TASKS_MAX;
use ark_os_store::Hash;
use ark_os_store::merkle::HASH_BYTES;
use ark_os_store::record::NAMESPACE_BYTES_MAX;

use super::cbor::{Item, Items, read};
use super::{Class, Fault};

/// A task of a run: its node and, below a map, the number of the child.
pub(super) type Task = (u32, Option<u32>);

/// A record, as far as it is looked at.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) namespace: &'a str,
    pub(super) run: Option<[u8; 16]>,
    pub(super) time_ms: u64,
    events: Items<'a>,
}

/// A list of which every item was read once; they are read again when they are asked for, so that a list takes
/// no memory.
#[derive(Debug, Clone)]
pub(super) struct List<'a, T> {
    items: Items<'a>,
    read: fn(&Item<'a>) -> Option<T>,
}

impl<'a, T> List<'a, T> {
    fn new(it: &Item<'a>, read: fn(&Item<'a>) -> Option<T>) -> Option<Self> {
        let items = it.array()?;
        items.clone().all(|item| read(&item).is_some()).then_some(List { items, read })
    }

    /// How many are still to come.
    pub(super) fn left(&self) -> u64 {
        self.items.left()
    }
}

impl<T> Iterator for List<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.items.next().and_then(|item| (self.read)(&item))
    }
}

/// Where an agent stands, as a record says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) layer: Layer,
    pub(super) stack: u32,
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
    RunForked {
        source: [u8; 16],
        at: u64,
    },
    TaskReused(Reused<'a>),
    RunEnded {
        end: &'static str,
        output: Option<Payload>,
        proof: Option<Hash>,
    },
    RunRetried {
        nodes: List<'a, u32>,
    },
    MapExpanded {
        task: Task,
        count: u32,
        list: Payload,
    },
    AttemptStarted {
        task: Task,
        attempt: u32,
        agent: u32,
        fence: u64,
        /// Where the agent stands, if that does not follow from the start of the instance.
        place: Option<Place<'a>>,
    },
    /// `counts`: not lost and not interrupted.
    AttemptEnded {
        task: Task,
        fence: u64,
        counts: bool,
    },
    TaskSucceeded(Done<'a>),
    /// Failed, or a map that is done.
    TaskOver {
        task: Task,
    },
    /// Skipped or cancelled.
    TasksOver {
        tasks: List<'a, Task>,
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
    /// A signal came.
    SignalReceived {
        number: u64,
        payload: Payload,
    },
    /// A wait is over, by this signal or because its time is up.
    WaitEnded {
        task: Task,
        output: Payload,
        signal: Option<u64>,
    },
    /// A task asks for a run of its own, with this input.
    ChildRequested {
        input: Option<Payload>,
    },
    /// The child of a task is over; with success the task is.
    ChildEnded {
        task: Task,
        end: &'static str,
        output: Option<Payload>,
    },
    /// The output of a task brings so many more.
    TasksAdded {
        task: Task,
        count: u32,
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
    pub(super) decisions: List<'a, (&'static str, &'a str)>,
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
pub(super) struct Done<'a> {
    pub(super) task: Task,
    pub(super) fence: u64,
    pub(super) output: Payload,
    pub(super) input: Hash,
    pub(super) effects: Option<Hash>,
    pub(super) blobs: Option<List<'a, Hash>>,
}

/// A task that is as it was in the run's source.
#[derive(Debug)]
pub(super) struct Reused<'a> {
    pub(super) node: u32,
    pub(super) source_node: u32,
    pub(super) output: Option<Payload>,
    pub(super) input: Hash,
    pub(super) proof: Hash,
    /// The list of a map, and the outputs of its children.
    pub(super) children: Option<(Payload, List<'a, Payload>)>,
    pub(super) blobs: Option<List<'a, Hash>>,
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
/// Decisions of an admission: one for each layer, and room for more.
const DECISIONS_MAX: u64 = 16;
/// Tasks of a plan.
const NODES_MAX: u32 = PLAN_TASKS_MAX as u32;
const ENDS: [&str; 3] = ["succeeded", "failed", "cancelled"];
/// These are of runs, and so are `RunLoaded` and some of the later ones.
const OF_RUN: std::ops::RangeInclusive<u64> = 10..=44;
/// Waits, fork and priority: these are of runs too.
const OF_RUN_TOO: std::ops::RangeInclusive<u64> = 90..=109;
/// A schedule that began the run.
const SCHEDULE_FIRED: u64 = 83;

/// Reads a record, and every event of it.
pub(super) fn facts(bytes: &[u8]) -> Result<Facts<'_>, Fault> {
    let header = read(bytes)?;
    let body = read(header.rest())?;
    let malformed = || Fault::new(Class::Record, "the header of the record is malformed");
    let no_list = || Fault::new(Class::Record, "the record is not a list of events");
    let known = of_header(&header).ok_or_else(malformed)?;
    let events = body.array().filter(|_| body.rest().is_empty()).ok_or_else(no_list)?;
    let facts = Facts { events, ..known };
    facts.events().try_for_each(|event| event.map(|_| ()))?;
    Ok(facts)
}

impl<'a> Facts<'a> {
    /// What it says, event by event.
    pub(super) fn events(&self) -> impl Iterator<Item = Result<Fact<'a>, Fault>> + use<'a> {
        let malformed = || Fault::new(Class::Record, "an event is malformed");
        self.events.clone().map(move |event| of_event(&event).ok_or_else(malformed))
    }
}

fn of_header<'a>(header: &Item<'a>) -> Option<Facts<'a>> {
    let mut fields = header.fields();
    let zero =
        [3, 4, 5].iter().any(|key| header.field(*key).is_some_and(|it| it.uint() == Some(0)));
    let numbers =
        [3, 4, 5].iter().all(|key| header.field(*key).is_none_or(|it| it.uint().is_some()));
    if fields.any(|(key, _)| key > 6) || header.field(0)?.uint() != Some(1) || zero || !numbers {
        return None;
    }
    let namespace = header.field(1)?.text().filter(|it| it.len() <= NAMESPACE_BYTES_MAX)?;
    let run = match header.field(2) {
        Some(run) => Some(run.bytes()?.try_into().ok()?),
        None => None,
    };
    Some(Facts { namespace, run, time_ms: header.field(6)?.uint()?, events: Items::none() })
}

fn of_event<'a>(event: &Item<'a>) -> Option<Fact<'a>> {
    let (number, it) = pair(event.array()?)?;
    let number = number.uint()?;
    let fact = match number {
        0 => Fact::InstanceStarted { agents: it.field(0)?.field(2)?.uint32()? },
        4 => Fact::WorkflowAdmitted(admitted(&it.field(0)?)?),
        10 => accepted(&it.field(0)?)?,
        12 => Fact::RunStarted { admission: it.field(0)?.uint()? },
        17 => ended(&it.field(0)?)?,
        18 => Fact::RunRetried { nodes: List::new(&it.field(1)?, Item::uint32)? },
        21 => Fact::MapExpanded {
            task: task(&it.field(0)?)?,
            count: it.field(1)?.uint32()?,
            list: payload(&it.field(2)?)?,
        },
        23 => {
            let it = it.field(0)?;
            Fact::AttemptStarted {
                task: task(&it.field(0)?)?,
                attempt: it.field(1)?.uint32()?,
                agent: it.field(2)?.uint32()?,
                fence: it.field(3)?.uint()?,
                place: match it.field(60) {
                    Some(it) => Some(place(&it)?),
                    None => None,
                },
            }
        }
        26 => {
            let it = it.field(0)?;
            let end = it.field(2)?.uint().filter(|end| *end <= 4)?;
            let (task, fence) = (task(&it.field(0)?)?, it.field(1)?.uint()?);
            Fact::AttemptEnded { task, fence, counts: end != 1 && end != 4 }
        }
        27 => Fact::TaskSucceeded(done(&it.field(0)?)?),
        28 | 33 => Fact::TaskOver { task: task(&it.field(0)?)? },
        29 | 30 => Fact::TasksOver { tasks: List::new(&it.field(0)?, task)? },
        31 => Fact::TaskParked { task: task(&it.field(0)?)? },
        40 => Fact::StepIntended(intent(&it.field(0)?)?),
        41..=44 => of_step(number, &it)?,
        50 => loaded(&it)?,
        90..=95 => of_wait(number, &it)?,
        SCHEDULE_FIRED => Fact::OfRun,
        101 => forked(&it.field(0)?)?,
        102 => Fact::TaskReused(reused(&it.field(0)?)?),
        number if OF_RUN.contains(&number) || OF_RUN_TOO.contains(&number) => Fact::OfRun,
        _ => Fact::Other,
    };
    it.is_map().then_some(fact)
}

/// Who works is of a stack.
fn place<'a>(it: &Item<'a>) -> Option<Place<'a>> {
    let layer = usize::try_from(it.field(1)?.uint()?).ok()?;
    Some(Place {
        name: it.field(0)?.text()?,
        layer: *Layer::ALL.get(layer)?,
        stack: it.field(2)?.uint32()?,
    })
}

fn admitted<'a>(it: &Item<'a>) -> Option<Admitted<'a>> {
    let decisions = List::new(&it.field(4)?, decision)?;
    Some(Admitted {
        id: it.field(0)?.uint()?,
        namespace: it.field(1)?.text()?,
        plan: plan(&it.field(2)?)?,
        decisions: (decisions.left() <= DECISIONS_MAX).then_some(decisions)?,
        rules: hash(&it.field(6)?)?,
    })
}

fn decision<'a>(it: &Item<'a>) -> Option<(&'static str, &'a str)> {
    let layer = usize::try_from(it.field(0)?.uint()?).ok()?;
    Some((*LAYERS.get(layer)?, it.field(1)?.text()?))
}

/// A plan whose digest is that of its own bytes, with the digest's zero.
fn plan<'a>(it: &Item<'a>) -> Option<Plan<'a>> {
    let digest = it.field(5)?;
    let (hash, end) = (hash(&digest)?, it.end_of(&digest));
    let mut own = it.raw().to_vec();
    own.get_mut(end.checked_sub(HASH_BYTES)?..end)?.fill(0);
    let nodes = it.field(3)?.array()?.left();
    let nodes = u32::try_from(nodes).ok().filter(|nodes| *nodes <= NODES_MAX)?;
    let plan = Plan { name: it.field(0)?.text()?, version: it.field(1)?.text()?, nodes, hash };
    (Hash::of(&own) == hash).then_some(plan)
}

fn accepted<'a>(it: &Item<'a>) -> Option<Fact<'a>> {
    let admission = match it.field(0) {
        Some(admission) => Some(admission.uint()?),
        None => None,
    };
    let plan = match it.field(1) {
        Some(pending) => Some(plan(&pending.field(1)?)?),
        None => None,
    };
    Some(Fact::RunAccepted { admission, plan, input: payload(&it.field(2)?)? })
}

fn loaded<'a>(it: &Item<'a>) -> Option<Fact<'a>> {
    match it.field(0) {
        Some(it) => match accepted(&it)? {
            Fact::RunAccepted { admission, plan, .. } => Some(Fact::RunLoaded { admission, plan }),
            _ => None,
        },
        None => Some(Fact::RunLoaded { admission: None, plan: None }),
    }
}

fn forked<'a>(it: &Item<'a>) -> Option<Fact<'a>> {
    hash(&it.field(2)?)?;
    let source = it.field(0)?.bytes()?.try_into().ok()?;
    Some(Fact::RunForked { source, at: it.field(1)?.uint()? })
}

fn reused<'a>(it: &Item<'a>) -> Option<Reused<'a>> {
    let output = match it.field(2) {
        Some(output) => Some(payload(&output)?),
        None => None,
    };
    let children = match it.field(5) {
        Some(it) => Some((payload(&it.field(0)?)?, List::new(&it.field(1)?, payload)?)),
        None => None,
    };
    let blobs = match it.field(6) {
        Some(blobs) => Some(List::new(&blobs, hash)?),
        None => None,
    };
    Some(Reused {
        node: it.field(0)?.uint32()?,
        source_node: it.field(1)?.uint32()?,
        output,
        input: hash(&it.field(3)?)?,
        proof: hash(&it.field(4)?)?,
        children,
        blobs,
    })
}

fn ended<'a>(it: &Item<'a>) -> Option<Fact<'a>> {
    let end = ENDS.get(usize::try_from(it.field(0)?.uint()?).ok()?)?;
    let output = match it.field(1) {
        Some(output) => Some(payload(&output)?),
        None => None,
    };
    let proof = match it.field(3) {
        Some(proof) => Some(hash(&proof)?),
        None => None,
    };
    Some(Fact::RunEnded { end, output, proof })
}

fn done<'a>(it: &Item<'a>) -> Option<Done<'a>> {
    let effects = match it.field(4) {
        Some(effects) => Some(hash(&effects)?),
        None => None,
    };
    let blobs = match it.field(7) {
        Some(blobs) => Some(List::new(&blobs, hash)?),
        None => None,
    };
    Some(Done {
        task: task(&it.field(0)?)?,
        fence: it.field(1)?.uint()?,
        output: payload(&it.field(2)?)?,
        input: hash(&it.field(3)?)?,
        effects,
        blobs,
    })
}

fn intent<'a>(it: &Item<'a>) -> Option<Intent<'a>> {
    Some(Intent {
        task: task(&it.field(0)?)?,
        key: hash(&it.field(1)?)?,
        number: it.field(2)?.uint32()?,
        tool: it.field(3)?.text()?,
        arguments: hash(&it.field(4)?)?,
        fence: it.field(7)?.uint()?,
    })
}

fn of_step<'a>(number: u64, it: &Item<'a>) -> Option<Fact<'a>> {
    let (task, key) = (task(&it.field(0)?)?, hash(&it.field(1)?)?);
    if number == 42 {
        return Some(Fact::StepInDoubt { task, key });
    }
    let (variant, field) = variant(&it.field(2)?)?;
    let happened = |field: Option<Item<'a>>| Some(settled(payload(&field?)?));
    let fact = match (number, variant) {
        (41, 0) => Fact::StepSettled { task, key, result: happened(field)? },
        (41, 1) => Fact::StepSettled { task, key, result: failed(field?.field(0)?.text()?) },
        (43, 0) => Fact::StepResolved { task, key, result: Some(happened(field)?) },
        (44, 0) => Fact::StepProbed { task, key, result: Some(happened(field)?) },
        (43, 1) if field.is_none() => Fact::StepResolved { task, key, result: None },
        (43, 2) if field.is_none() => {
            Fact::StepResolved { task, key, result: Some(failed("given_up")) }
        }
        (44, 1 | 2) if field.is_none() => Fact::StepProbed { task, key, result: None },
        _ => return None,
    };
    Some(fact)
}

fn of_wait<'a>(number: u64, it: &Item<'a>) -> Option<Fact<'a>> {
    match number {
        91 => {
            let it = it.field(0)?;
            let (number, payload) = (it.field(0)?.uint()?, payload(&it.field(2)?)?);
            Some(Fact::SignalReceived { number, payload })
        }
        92 => {
            let signal = match it.field(2) {
                Some(signal) => Some(signal.uint()?),
                None => None,
            };
            let (task, output) = (task(&it.field(0)?)?, payload(&it.field(1)?)?);
            Some(Fact::WaitEnded { task, output, signal })
        }
        93 => Some(Fact::ChildRequested { input: maybe_payload(&it.field(1)?, 1)? }),
        94 => {
            let it = it.field(0)?;
            let end = ENDS.get(usize::try_from(it.field(2)?.uint()?).ok()?)?;
            let (task, output) = (task(&it.field(0)?)?, maybe_payload(&it, 3)?);
            Some(Fact::ChildEnded { task, end, output })
        }
        95 => {
            let it = it.field(0)?;
            let count = u32::try_from(it.field(1)?.array()?.left()).ok()?;
            let count = Some(count).filter(|count| *count <= NODES_MAX)?;
            Some(Fact::TasksAdded { task: task(&it.field(0)?)?, count })
        }
        _ => Some(Fact::OfRun),
    }
}

/// A field that may be absent.
fn maybe_payload(it: &Item<'_>, number: u64) -> Option<Option<Payload>> {
    match it.field(number) {
        Some(field) => payload(&field).map(Some),
        None => Some(None),
    }
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

/// The items of a list of two.
fn pair<'a>(mut items: Items<'a>) -> Option<(Item<'a>, Item<'a>)> {
    if items.left() != 2 {
        return None;
    }
    Some((items.next()?, items.next()?))
}

/// One form of several: its number and its field, of which there is one at most.
fn variant<'a>(it: &Item<'a>) -> Option<(u64, Option<Item<'a>>)> {
    let (number, fields) = pair(it.array()?)?;
    let mut fields = fields.array().filter(|fields| fields.left() <= 1)?;
    Some((number.uint()?, fields.next()))
}

fn payload(it: &Item<'_>) -> Option<Payload> {
    let (number, fields) = pair(it.array()?)?;
    let mut fields = fields.array()?;
    match (number.uint()?, fields.left()) {
        (0, 1) => Some(Payload { hash: Hash::of(fields.next()?.bytes()?), is_blob: false }),
        (1, _) => {
            let (digest, length) = pair(fields)?;
            length.uint()?;
            Some(Payload { hash: hash(&digest)?, is_blob: true })
        }
        _ => None,
    }
}

fn task(it: &Item<'_>) -> Option<Task> {
    let mut items = it.array().filter(|items| (1..=2).contains(&items.left()))?;
    let node = items.next()?.uint32()?;
    match items.next() {
        Some(child) => Some((node, Some(child.uint32()?))),
        None => Some((node, None)),
    }
}

fn hash(it: &Item<'_>) -> Option<Hash> {
    it.bytes()?.try_into().ok().map(Hash)
}
