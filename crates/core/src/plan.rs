//! Plans: validated task graphs. A `Workflow` in memory has passed every check of `manifest`.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::budget::Amounts;
use crate::hash::Hash;
use crate::payload::Bytes;
use crate::text::Text;

pub mod graph;

/// What a skill's work may do to the world outside, and so what recovery may do with it.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum EffectClass {
    /// No effect at all: may be recomputed, may run before its cause is durable.
    #[n(0)]
    Pure,
    /// Observes; repeatable.
    #[n(1)]
    Read,
    /// The sink honours the step key.
    #[n(2)]
    Idempotent,
    /// The sink can be asked whether it happened.
    #[n(3)]
    Probed,
    /// Unknown after a crash: parked, never silently repeated.
    #[default]
    #[n(4)]
    Effectful,
}

impl EffectClass {
    /// Whether an interrupted effect of this class is repeated without asking anybody.
    pub fn is_repeatable(self) -> bool {
        matches!(self, EffectClass::Pure | EffectClass::Read | EffectClass::Idempotent)
    }

    /// The word of the vocabulary.
    pub fn as_str(self) -> &'static str {
        match self {
            EffectClass::Pure => "pure",
            EffectClass::Read => "read",
            EffectClass::Idempotent => "idempotent",
            EffectClass::Probed => "probed",
            EffectClass::Effectful => "effectful",
        }
    }
}

/// A named, versioned task graph. Its hash names the version.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Workflow {
    /// Name, at most 100 of `[A-Za-z0-9._-]`.
    #[n(0)]
    pub name: Text,
    /// The author's version, free text.
    #[n(1)]
    pub version: Text,
    /// JSON Schema of the run's input, as JSON text; none accepts everything.
    #[n(2)]
    pub input_schema: Option<Text>,
    /// The tasks, in the order of the manifest.
    #[n(3)]
    pub tasks: Vec<TaskSpec>,
    /// Template of the run's output; none: the output of the only sink, or an object of all sinks.
    #[n(4)]
    pub output: Option<Bytes>,
    /// SHA-256 of the workflow's deterministic encoding with this field zero.
    #[n(5)]
    pub hash: Hash,
}

/// One node of a plan.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct TaskSpec {
    /// Name, unique in the plan.
    #[n(0)]
    pub name: Text,
    /// The skill it needs; empty where nobody works on it: it waits.
    #[n(1)]
    pub skill: Text,
    /// Template of its input as JSON text; `${input…}`, `${tasks.NAME.output…}`, `${item}`.
    #[n(2)]
    pub input: Bytes,
    /// What `input` is, so that the common cases cost nothing at run time.
    #[n(3)]
    pub input_form: InputForm,
    /// Nodes that must be over before this one is ready: declared and implied by references.
    #[n(4)]
    pub needs: Vec<u32>,
    /// Nodes that need this one (the reverse of `needs`).
    #[n(5)]
    pub feeds: Vec<u32>,
    /// CEL condition over `input` and `tasks`; false skips the task.
    #[n(6)]
    pub when: Option<Text>,
    /// One task, a fan-out, or a gathering.
    #[n(7)]
    pub shape: Shape,
    /// What a failure of this task does to the run.
    #[n(8)]
    pub on_failure: OnFailure,
    /// Attempts and pauses.
    #[n(9)]
    pub retry: Retry,
    /// Time for one attempt, in milliseconds; none: the instance's `task_timeout`.
    #[n(10)]
    pub timeout_ms: Option<u64>,
    /// Time for the task from when it is first ready, in milliseconds.
    #[n(11)]
    pub deadline_ms: Option<u64>,
    /// Reserved in the run's account before every attempt.
    #[n(12)]
    pub budget: Amounts,
    /// JSON Schema of the output, as JSON text, besides the skill's own.
    #[n(13)]
    pub output_schema: Option<Text>,
    /// Whether this node only runs as another's fallback.
    #[n(14)]
    pub is_fallback: bool,
    /// Whether its output brings more tasks; none: no.
    #[n(90)]
    pub expands: Option<bool>,
    /// The node whose output brought this one.
    #[n(91)]
    pub added_by: Option<u32>,
    /// How many like it may be worked on at one time, and begin in a period.
    #[n(80)]
    pub limit: Option<Box<LimitSpec>>,
}

/// A limit that tasks share.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct LimitSpec {
    /// Tasks of a namespace under one name and key are counted together.
    #[n(0)]
    pub name: Text,
    /// Template of the key; none: there is only one.
    #[n(1)]
    pub key: Option<Bytes>,
    /// How many are worked on at one time.
    #[n(2)]
    pub at_once: Option<u32>,
    /// How many begin in a period.
    #[n(3)]
    pub rate: Option<Rate>,
}

/// So many in so much time, whenever one begins to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Rate {
    /// How many.
    #[n(0)]
    pub count: u32,
    /// In how many milliseconds.
    #[n(1)]
    pub per_ms: u64,
}

/// How the input of a task comes about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum InputForm {
    /// No references: the text is the input.
    #[n(0)]
    Literal,
    /// Exactly `"${input}"`: the run's input, passed through untouched.
    #[n(1)]
    RunInput,
    /// Anything else: resolved when an attempt starts.
    #[n(2)]
    Template,
}

/// One task, a fan-out or a gathering.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub enum Shape {
    /// One task.
    #[n(0)]
    Single,
    /// One child per item of a list.
    #[n(1)]
    Map(#[n(0)] MapSpec),
    /// Gathers the results of the map at this node, streaming.
    #[n(2)]
    Reduce(#[n(0)] u32),
    /// Waits, and holds neither agent nor token meanwhile.
    #[n(3)]
    Wait(#[n(0)] WaitSpec),
    /// Is a run of its own, and waits for it.
    #[n(4)]
    Child(#[n(0)] ChildSpec),
}

/// A workflow that a task runs.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct ChildSpec {
    /// Its encoding, and not itself, so that plans do not nest and foreign bytes cannot nest them
    /// without an end.
    #[n(0)]
    pub plan: Bytes,
    /// Its name.
    #[n(1)]
    pub name: Text,
    /// Its digest.
    #[n(2)]
    pub hash: Hash,
    /// Whether it goes on when its parent is over.
    #[n(3)]
    pub is_detached: bool,
}

impl ChildSpec {
    /// A task that runs this workflow.
    pub fn new(workflow: &Workflow, is_detached: bool) -> Self {
        // Writing into a Vec cannot fail.
        let plan = Bytes(Arc::from(minicbor::to_vec(workflow).unwrap_or_default()));
        ChildSpec { plan, name: workflow.name.clone(), hash: workflow.hash, is_detached }
    }

    /// The workflow; none: these bytes are none.
    pub fn workflow(&self) -> Option<Arc<Workflow>> {
        minicbor::decode::<Workflow>(&self.plan.0).ok().map(Arc::new)
    }
}

/// A wait.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct WaitSpec {
    /// What ends it.
    #[n(0)]
    pub on: WaitOn,
    /// How long it waits for a signal, in milliseconds; none: as long as the run may take.
    #[n(1)]
    pub timeout_ms: Option<u64>,
    /// Whether it is done, with `null`, when that time is up; else it fails.
    #[n(2)]
    pub goes_on: bool,
}

/// What ends a wait.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
pub enum WaitOn {
    /// So many milliseconds.
    #[n(0)]
    For(#[n(0)] u64),
    /// The moment that this template gives: a time of RFC 3339.
    #[n(1)]
    Until(#[n(0)] Bytes),
    /// A signal of this name; its payload is the output.
    #[n(2)]
    Signal(#[n(0)] Text),
}

/// A fan-out.
#[derive(Clone, PartialEq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct MapSpec {
    /// Template that gives the list.
    #[n(0)]
    pub over: Bytes,
    /// Children at work at one time; 0: as many as there are progress tokens.
    #[n(1)]
    pub parallel_max: u32,
    /// Children that may fail before the map fails.
    #[n(2)]
    pub failures_max: u32,
    /// Whether the map's own output is the list of its children's outputs (`collect`); without it
    /// only a `reduce` can read them and the output is a count.
    #[n(3)]
    pub collect: bool,
}

/// What a failed task does to its run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub enum OnFailure {
    /// Nothing new starts, what runs is cancelled, the run fails.
    #[default]
    #[n(0)]
    Fail,
    /// Dependants go on and see `null`.
    #[n(1)]
    Continue,
    /// This node runs in its place; its output stands in.
    #[n(2)]
    Fallback(#[n(0)] u32),
}

/// Attempts in all, and full-jitter exponential pauses between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Retry {
    /// Attempts in all, 1 to 11.
    #[n(0)]
    pub attempts: u32,
    /// Upper bound of the first pause, in milliseconds; doubles with each attempt.
    #[n(1)]
    pub backoff_ms: u64,
    /// Upper bound of every pause, in milliseconds.
    #[n(2)]
    pub backoff_ms_max: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 3, backoff_ms: 200, backoff_ms_max: 30_000 }
    }
}

impl Workflow {
    /// Fills in `hash` from everything else and shares the workflow.
    pub fn sealed(mut self) -> Arc<Self> {
        self.hash = Hash::ZERO;
        // Writing into a Vec cannot fail; an empty text would only name the version differently.
        let text = minicbor::to_vec(&self).unwrap_or_default();
        self.hash = Hash::of(&text);
        Arc::new(self)
    }

    /// With the tasks that a node has brought: they stand at the end, and whoever depends on that node
    /// waits for them too. Its digest stays the version's.
    #[must_use]
    pub fn extended(&self, adder: u32, added: &[TaskSpec]) -> Workflow {
        let mut workflow = self.clone();
        let fed = self.tasks.get(adder as usize).map(|it| it.feeds.clone()).unwrap_or_default();
        let first = self.tasks.len() as u32;
        for (node, spec) in (first..).zip(added) {
            let mut spec = TaskSpec { added_by: Some(adder), ..spec.clone() };
            // Nobody waits for a fallback: it stands in for another.
            let fed = if spec.is_fallback { &[][..] } else { &fed };
            spec.feeds = fed.to_vec();
            workflow.tasks.push(spec);
            for fed in fed {
                if let Some(spec) = workflow.tasks.get_mut(*fed as usize) {
                    spec.needs.push(node);
                }
            }
        }
        for (node, spec) in (first..).zip(added) {
            for need in &spec.needs {
                if let Some(needed) = workflow.tasks.get_mut(*need as usize) {
                    needed.feeds.push(node);
                    needed.feeds.sort_unstable();
                }
            }
        }
        workflow
    }

    /// The nodes that wait for a signal of this name.
    pub fn waits_for(&self, signal: &str) -> impl Iterator<Item = &TaskSpec> {
        self.tasks.iter().filter(move |task| task.signal().is_some_and(|name| &**name == signal))
    }

    /// The node with this name.
    pub fn node(&self, name: &str) -> Option<u32> {
        self.tasks.iter().position(|task| &*task.name == name).map(|ix| ix as u32)
    }

    /// A plan of one task whose input is the run's input: what `POST /tasks` makes.
    pub fn single(skill: &str) -> Self {
        let mut task = TaskSpec::new(skill, skill);
        task.input = Bytes(Arc::from(&br#""${input}""#[..]));
        task.input_form = InputForm::RunInput;
        Workflow {
            name: Text::from(skill),
            version: Text::from("task"),
            input_schema: None,
            tasks: vec![task],
            output: None,
            hash: Hash::ZERO,
        }
    }
}

impl TaskSpec {
    /// A task with the defaults of everything that a manifest may leave out.
    pub fn new(name: &str, skill: &str) -> Self {
        TaskSpec {
            name: Text::from(name),
            skill: Text::from(skill),
            input: Bytes(Arc::from(&b"null"[..])),
            input_form: InputForm::Literal,
            needs: Vec::new(),
            feeds: Vec::new(),
            when: None,
            shape: Shape::Single,
            on_failure: OnFailure::Fail,
            retry: Retry::default(),
            timeout_ms: None,
            deadline_ms: None,
            budget: Amounts::ZERO,
            output_schema: None,
            is_fallback: false,
            expands: None,
            added_by: None,
            limit: None,
        }
    }

    /// The same with other numbers for the nodes that it names.
    #[must_use]
    pub(crate) fn renumbered(mut self, moved: impl Fn(u32) -> u32) -> Self {
        self.needs.iter_mut().for_each(|need| *need = moved(*need));
        self.needs.sort_unstable();
        if let Shape::Reduce(map) = &mut self.shape {
            *map = moved(*map);
        }
        if let OnFailure::Fallback(stand_in) = &mut self.on_failure {
            *stand_in = moved(*stand_in);
        }
        self
    }

    /// Whether the runtime must look at data before the task can start.
    pub fn needs_preparation(&self) -> bool {
        let reads = match &self.shape {
            Shape::Map(_) => true,
            Shape::Wait(wait) => matches!(wait.on, WaitOn::Until(_)),
            Shape::Child(_) => true,
            Shape::Single | Shape::Reduce(_) => false,
        };
        let has_key = self.limit.as_ref().is_some_and(|limit| limit.key.is_some());
        reads || has_key || self.when.is_some()
    }

    /// What it waits for, if that is all it does.
    pub fn wait(&self) -> Option<&WaitSpec> {
        match &self.shape {
            Shape::Wait(wait) => Some(wait),
            Shape::Single | Shape::Map(_) | Shape::Reduce(_) | Shape::Child(_) => None,
        }
    }

    /// The workflow that it runs, if that is what it does.
    pub fn child(&self) -> Option<&ChildSpec> {
        match &self.shape {
            Shape::Child(child) => Some(child),
            Shape::Single | Shape::Map(_) | Shape::Reduce(_) | Shape::Wait(_) => None,
        }
    }

    /// The signal that it waits for.
    pub fn signal(&self) -> Option<&Text> {
        match &self.wait()?.on {
            WaitOn::Signal(name) => Some(name),
            WaitOn::For(_) | WaitOn::Until(_) => None,
        }
    }

    /// Whether an agent works on it.
    pub fn is_work(&self) -> bool {
        self.wait().is_none() && self.child().is_none()
    }
}
