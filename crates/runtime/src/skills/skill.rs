//! The contract of a skill: what it tells about itself, what it may ask of its host, and the set in
//! which the runtime finds it. Everything else about a skill is its own business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ark_os_core::budget::Amounts;
use ark_os_core::layer::Layer;
use ark_os_core::plan::EffectClass;

/// How a skill's work is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// At most about 20 µs and bounded: runs on the loop's own thread.
    Tiny,
    /// Anything longer: runs on a worker thread.
    Blocking,
    /// Mostly waits for somebody else: runs on a thread of its own kind, so that hundreds of such
    /// waits hold up nobody.
    External,
}

/// What a skill tells about itself.
#[derive(Clone, Debug)]
pub struct SkillSpec {
    /// Dotted name, as tasks write it.
    pub name: Cow<'static, str>,
    /// One line for people.
    pub summary: Cow<'static, str>,
    /// What the skill may do to the world outside its answer.
    pub class: EffectClass,
    /// Where the skill runs.
    pub cost: Cost,
    /// The longest answer, in bytes of JSON; a longer one is refused.
    pub output_bytes_max: usize,
    /// JSON Schema (text) of the input.
    pub input_schema: Cow<'static, str>,
    /// JSON Schema (text) of the answer.
    pub output_schema: Cow<'static, str>,
    /// Attempts at one time; none: no limit of its own.
    pub concurrency_max: Option<u32>,
}

/// An external effect that an attempt is about to have.
#[derive(Clone, Copy, Debug)]
pub struct StepCall<'a> {
    /// What is called; its scope is `tool:` and this name.
    pub tool: &'a str,
    /// Canonical arguments; their digest is part of the step's key.
    pub arguments: &'a [u8],
    /// What recovery may do when the outcome is not known.
    pub class: EffectClass,
    /// The most it may cost, besides the step itself.
    pub reserve: Amounts,
    /// Whether its result is the output of the attempt. Then it is looked at as one before it counts:
    /// an effect that may not be repeated and answered what cannot be used is left open.
    pub is_output: bool,
}

impl<'a> StepCall<'a> {
    /// A call that costs nothing but the step itself.
    pub fn new(tool: &'a str, arguments: &'a [u8], class: EffectClass) -> Self {
        StepCall { tool, arguments, class, reserve: Amounts::ZERO, is_output: false }
    }
}

/// What is done to the world in a step. A closure is one that cannot be probed.
pub trait Effect {
    /// Does it under this key. An error of [`SkillError::unknown`] means that nobody knows whether it
    /// happened, or what came of it; any other says that it did not happen.
    fn perform(&mut self, key: &str) -> Result<Vec<u8>, SkillError>;
    /// Asks whether it happened under this key, when an earlier attempt left that open. A retryable
    /// error leaves it open still: the next attempt asks again.
    fn probe(&mut self, key: &str) -> Result<ProbeAnswer, SkillError> {
        let _ = key;
        Ok(ProbeAnswer::Unknown)
    }
    /// How long an effect whose attempt is gone may still be under way outside this process: nobody
    /// is asked before.
    fn settle_after(&self) -> Duration {
        Duration::ZERO
    }
    /// What it has cost, besides the step itself.
    fn spent(&self) -> Amounts {
        Amounts::ZERO
    }
}

impl<F: FnMut(&str) -> Result<Vec<u8>, SkillError>> Effect for F {
    fn perform(&mut self, key: &str) -> Result<Vec<u8>, SkillError> {
        self(key)
    }
}

/// What a probe answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// It happened, with this result.
    Happened(Vec<u8>),
    /// It did not, and will not any more.
    NotHappened,
    /// Whoever was asked cannot tell.
    Unknown,
}

/// What an attempt knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptInfo {
    /// From 1, over all retries of the task.
    pub number: u32,
    /// Id of the run.
    pub run: String,
    /// Id of the task.
    pub task: String,
    /// The layer of the agent that works, whose resource row is a ceiling.
    pub layer: Layer,
}

/// What an attempt may ask of its host while it works.
pub trait Host {
    /// Whether the attempt was cancelled; long work asks at least every second and stops.
    fn is_cancelled(&self) -> bool;
    /// Renews the lease; `done` and `total` are shown to people. Long work calls it at least
    /// every second.
    fn progress(&self, done: u64, total: u64);
    /// Partial proof of progress, and whether there is any: `mark` says how far the work has come,
    /// such as the number of things done, and only its digest is recorded. Waits until that is
    /// durable, so it is called at stages of long work and not for every item. A mark that repeats
    /// the one before is no progress: `STALL_PARTIALS_MAX` reports in a row without any park the task
    /// as stalled and cancel the attempt. Work on the loop's own thread reports none.
    fn checkpoint(&self, mark: &[u8]) {
        let _ = mark;
    }
    /// Stores bytes content-addressed and durably; answers `sha256:<hex>`.
    fn save(&self, bytes: &[u8]) -> Result<String, SkillError>;
    /// The bytes saved under `blob`.
    fn load(&self, blob: &str) -> Result<Vec<u8>, SkillError>;
    /// For a reduce: how many items there are; 0 for any other task.
    fn item_count(&self) -> usize;
    /// For a reduce: the JSON bytes of one item, loaded for this call only.
    fn item(&self, index: usize) -> Result<Vec<u8>, SkillError>;
    /// Which attempt this is.
    fn attempt(&self) -> AttemptInfo;
    /// Messages in the agent's name.
    fn post(&self) -> Result<&dyn super::Post, SkillError> {
        Err(SkillError::permanent("skill.no_messages", "use messages: this host has none"))
    }
    /// Has an external effect, recorded: its intent is durable before `effect` is performed under the
    /// step's key, its outcome before this returns. A step that an earlier attempt settled answers
    /// what was recorded, and nothing is done. One that an earlier attempt left open is done again
    /// under its key if it is repeatable, and probed first if it is `probed`.
    fn step(&self, call: &StepCall<'_>, effect: &mut dyn Effect) -> Result<Vec<u8>, SkillError> {
        let (_, _) = (call, effect);
        Err(SkillError::permanent("skill.no_steps", "have an effect: this host records none"))
    }
}

/// One skill. It keeps no state between runs: the same value serves every agent.
pub trait Skill: Send + Sync {
    /// What the skill tells about itself.
    fn spec(&self) -> &SkillSpec;

    /// Time to wait before `run`, for skills that wait; the host waits without holding a thread.
    fn delay(&self, input: &[u8]) -> Result<Option<Duration>, SkillError> {
        let _ = input;
        Ok(None)
    }

    /// Whether it could work now, or why not; asked before it is deployed.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Does the work: `input` is JSON text and so is the answer.
    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError>;
}

impl fmt::Debug for dyn Skill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Skill").field(&self.spec().name).finish()
    }
}

/// Why an attempt at a skill failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SkillError {
    code: String,
    message: String,
    hint: Option<String>,
    retryable: bool,
    is_unknown: bool,
}

impl SkillError {
    /// The code of an input that the skill cannot work with.
    pub const INVALID_INPUT: &'static str = "skill.invalid_input";
    /// The code of work that stopped because its attempt was cancelled.
    pub const CANCELLED: &'static str = "skill.cancelled";
    /// The code of work that would pass a limit.
    pub const LIMIT: &'static str = "skill.limit";
    /// The code of a failed read or write.
    pub const IO: &'static str = "skill.io";

    /// A failure that the same input would meet again.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, hint: None, retryable: false, is_unknown: false }
    }

    /// A failure that may go away when tried again.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::permanent(code, message) }
    }

    /// Nobody knows whether an effect happened, or what came of it: its step is left open. What may be repeated is tried
    /// again under the same key, what can be asked about is asked about, and anything else is in
    /// doubt.
    pub fn unknown(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { is_unknown: true, ..Self::retryable(code, message) }
    }

    /// An input that the skill cannot work with.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::permanent(Self::INVALID_INPUT, message)
    }

    /// Work that would pass a limit.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::permanent(Self::LIMIT, message)
    }

    /// Work that stopped because its attempt was cancelled.
    pub fn cancelled() -> Self {
        Self::permanent(Self::CANCELLED, "finish: the attempt was cancelled")
    }

    /// A failed read or write; `what` is a fragment fit after "failed to".
    pub fn io(what: impl fmt::Display, source: &std::io::Error) -> Self {
        Self::retryable(Self::IO, format!("{what}: {source}"))
    }

    /// The same error with advice on what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Stable, dotted, snake case.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Lower-case fragment fit after "failed to".
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether nobody knows what came of the effect that failed.
    pub fn is_outcome_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

/// The skills that a runtime knows, by name.
#[derive(Clone, Debug, Default)]
pub struct SkillSet {
    by_name: BTreeMap<Cow<'static, str>, Arc<dyn Skill>>,
    /// For those that run programs.
    jail: super::JailSource,
}

impl SkillSet {
    /// A set without any skill.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every skill that comes with the product, without a jail: those that need one do without it
    /// and say so.
    pub fn builtin() -> Self {
        Self::builtin_with(&super::JailSource::none())
    }

    /// Every skill that comes with the product.
    pub fn builtin_with(jail: &super::JailSource) -> Self {
        let mut set = Self { jail: jail.clone(), ..Self::default() };
        for skill in super::builtin_skills(jail) {
            set.insert(skill);
        }
        set
    }

    /// A set without any skill, for those that find the jail where these do.
    pub(crate) fn bare(&self) -> Self {
        Self { jail: self.jail.clone(), ..Self::default() }
    }

    /// Where its skills find the jail.
    pub(crate) fn jail(&self) -> &super::JailSource {
        &self.jail
    }

    /// Adds a skill; answers the one that had its name before.
    pub fn insert(&mut self, skill: Arc<dyn Skill>) -> Option<Arc<dyn Skill>> {
        self.by_name.insert(skill.spec().name.clone(), skill)
    }

    /// The skill called `name`.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Skill>> {
        self.by_name.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + '_ {
        self.by_name.keys().map(|name| &**name)
    }

    /// All skills, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Skill>> {
        self.by_name.values()
    }
}
