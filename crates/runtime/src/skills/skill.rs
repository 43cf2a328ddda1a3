//! The contract of a native skill: what it tells about itself, what it may ask of its host,
//! and the set in which the runtime finds it. Everything else about a skill is its own business.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How a skill's work is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// At most about 20 µs and bounded: runs on the loop's own thread.
    Tiny,
    /// Anything longer: runs on a worker thread.
    Blocking,
}

/// What a native skill may do to the world outside its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectClass {
    /// Nothing: the answer follows from the input alone.
    Pure,
    /// Looks at the world and can be repeated.
    Read,
    /// Changes the world, and doing it twice is the same as doing it once.
    Idempotent,
}

/// What a skill tells about itself.
#[derive(Clone, Debug)]
pub struct SkillSpec {
    /// Dotted name, as tasks write it.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What the skill may do outside its answer.
    pub class: EffectClass,
    /// Where the skill runs.
    pub cost: Cost,
    /// The longest answer, in bytes of JSON; a longer one is refused.
    pub output_bytes_max: usize,
    /// JSON Schema (text) of the input.
    pub input_schema: &'static str,
    /// JSON Schema (text) of the answer.
    pub output_schema: &'static str,
}

/// An external effect that an attempt is about to have.
#[derive(Clone, Copy, Debug)]
pub struct StepCall<'a> {
    /// What is called; its scope is `tool:` and this name.
    pub tool: &'a str,
    /// Canonical arguments; their digest is part of the step's key.
    pub arguments: &'a [u8],
    /// What recovery may do when the outcome is not known.
    pub class: ark_os_core::plan::EffectClass,
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
    /// The number of this attempt, from 1, over all retries of the task.
    fn attempt(&self) -> u32;
    /// Has an external effect, recorded: its intent is durable before `effect` is called with the
    /// step's key, its outcome before this returns. A step that an earlier attempt settled answers
    /// what was recorded, and `effect` is not called.
    fn step(
        &self,
        call: &StepCall<'_>,
        effect: &mut dyn FnMut(&str) -> Result<Vec<u8>, SkillError>,
    ) -> Result<Vec<u8>, SkillError> {
        let (_, _) = (call, effect);
        Err(SkillError::permanent("skill.no_steps", "have an effect: this host records none"))
    }
}

/// One native skill. It keeps no state between runs: the same value serves every agent.
pub trait Skill: Send + Sync {
    /// What the skill tells about itself.
    fn spec(&self) -> &SkillSpec;

    /// Time to wait before `run`, for skills that wait; the host waits without holding a thread.
    fn delay(&self, input: &[u8]) -> Result<Option<Duration>, SkillError> {
        let _ = input;
        Ok(None)
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
        Self { code: code.into(), message: message.into(), hint: None, retryable: false }
    }

    /// A failure that may go away when tried again.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None, retryable: true }
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

    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

/// Gives skills the jail, or says why there is none; asked when the first of them needs it.
pub type OpenJail = fn() -> Result<ark_os_sandbox::Jail, ark_os_sandbox::SandboxError>;

/// The skills that a runtime knows, by name.
#[derive(Clone, Debug, Default)]
pub struct SkillSet {
    by_name: BTreeMap<&'static str, Arc<dyn Skill>>,
}

impl SkillSet {
    /// A set without any skill.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every skill that comes with the product, without a jail: those that need one do without it
    /// and say so.
    pub fn builtin() -> Self {
        Self::builtin_with(None)
    }

    /// Every skill that comes with the product.
    pub fn builtin_with(jail: Option<OpenJail>) -> Self {
        let mut set = Self::empty();
        for skill in super::builtin_skills(jail) {
            set.insert(skill);
        }
        set
    }

    /// Adds a skill; answers the one that had its name before.
    pub fn insert(&mut self, skill: Arc<dyn Skill>) -> Option<Arc<dyn Skill>> {
        self.by_name.insert(skill.spec().name, skill)
    }

    /// The skill called `name`.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Skill>> {
        self.by_name.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }

    /// All skills, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Skill>> {
        self.by_name.values()
    }
}
