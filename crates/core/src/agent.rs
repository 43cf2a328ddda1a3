//! Declared agents: which skills somebody offers, and how the work is done. Plain data, read from a
//! manifest; what is here has passed every check of `manifest`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::hash::Hash;
use crate::layer::Layer;
use crate::plan::EffectClass;
use crate::text::Text;

/// An agent of a manifest, or a group of agents that are alike.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentSpec {
    /// Its name.
    pub name: Text,
    /// One line for people.
    pub description: Option<Text>,
    /// How many of them there are: one, unless it is a group.
    pub count: u32,
    /// Its layer.
    pub layer: Layer,
    /// Who supervises it; none: whoever the built-in profile has there.
    pub supervisor: Option<Text>,
    /// What it offers.
    pub skills: Vec<SkillOffer>,
    /// Tasks of one agent at one time; none: as the instance says.
    pub concurrency: Option<u32>,
    /// How it works.
    pub behaviour: Behaviour,
    /// Digest of behaviour and skills as they are declared.
    pub digest: Hash,
}

/// A skill on offer.
#[derive(Clone, PartialEq, Debug)]
pub struct SkillOffer {
    /// Its dotted name.
    pub name: Text,
    /// JSON Schema of its input; none accepts everything.
    pub input: Option<Value>,
    /// JSON Schema of its output; none promises nothing.
    pub output: Option<Value>,
    /// What its work may do to the world.
    pub class: EffectClass,
}

/// What a skill promises, whoever offers it.
#[derive(Clone, PartialEq, Debug)]
pub struct SkillContract {
    /// Its dotted name.
    pub name: Text,
    /// What it is for.
    pub description: Option<Text>,
    /// JSON Schema of its input.
    pub input: Option<Value>,
    /// JSON Schema of its output.
    pub output: Option<Value>,
    /// The most that whoever offers it may do to the world.
    pub effect: Option<EffectClass>,
}

/// How an agent works.
#[derive(Clone, PartialEq, Debug)]
pub enum Behaviour {
    /// By skills that are built in.
    Native,
    /// Somewhere else: it pulls its work.
    Worker(WorkerSpec),
    /// A program in the jail.
    Command(Box<CommandSpec>),
    /// A service that is posted to.
    Http(Box<HttpSpec>),
}

impl Behaviour {
    /// What its work may do to the world.
    pub fn effect(&self) -> EffectClass {
        match self {
            // Each native skill has a class of its own.
            Behaviour::Native => EffectClass::Pure,
            Behaviour::Worker(worker) => worker.effect.unwrap_or_default(),
            Behaviour::Command(command) => command.effect,
            Behaviour::Http(http) => http.effect,
        }
    }

    /// The word of the vocabulary.
    pub fn as_str(&self) -> &'static str {
        match self {
            Behaviour::Native => "native",
            Behaviour::Worker(_) => "worker",
            Behaviour::Command(_) => "command",
            Behaviour::Http(_) => "http",
        }
    }
}

/// A remote worker: how it works is its own matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WorkerSpec {
    /// What its work may do to the world; none: what the contracts of its skills say, else anything.
    pub effect: Option<EffectClass>,
}

/// A program in the jail: JSON on its standard input, JSON on its standard output.
#[derive(Clone, PartialEq, Debug)]
pub struct CommandSpec {
    /// Program and arguments; no shell.
    pub argv: Vec<String>,
    /// Name of the jail's profile.
    pub profile: Text,
    /// What is stricter than the profile.
    pub limits: CommandLimits,
    /// What it sees of the host besides programs and libraries.
    pub mounts: Vec<MountSpec>,
    /// Its environment, besides what the attempt adds.
    pub env: BTreeMap<String, String>,
    /// Where it works; none: at the first mount, else in its own `/tmp`.
    pub workdir: Option<String>,
    /// What it may do to the world.
    pub effect: EffectClass,
    /// Exit codes after which another attempt may succeed.
    pub retryable_exits: BTreeSet<i32>,
    /// How it is found out whether it happened.
    pub probe: Option<CommandProbe>,
}

/// Limits of a command; none: the profile's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommandLimits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processor time, in milliseconds.
    pub cpu_time_ms: Option<u64>,
    /// Time on the wall, in milliseconds.
    pub wall_time_ms: Option<u64>,
    /// Bytes of standard output.
    pub stdout: Option<u64>,
    /// Bytes of `/tmp`.
    pub tmp: Option<u64>,
}

/// A part of the host that a command sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountSpec {
    /// Where it lies; a relative path is one from the manifest's directory.
    pub source: String,
    /// Where the command sees it.
    pub target: String,
    /// Whether the command may change it.
    pub is_writable: bool,
}

/// A command that says whether an effect happened: it exits with 0 and prints the result if it did,
/// with 3 if it did not, and with anything else if it cannot tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandProbe {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// How long an effect whose attempt is gone may still be under way, in milliseconds.
    pub settle_after_ms: u64,
}

/// A service that is posted to, with the step key in `Idempotency-Key`.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpSpec {
    /// Where.
    pub url: String,
    /// What it may do to the world.
    pub effect: EffectClass,
    /// Time for the whole call, in milliseconds.
    pub timeout_ms: u64,
    /// Time for the connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The longest answer.
    pub response_bytes_max: u64,
    /// Statuses that say: not done, another attempt may succeed.
    pub retry_statuses: BTreeSet<u16>,
    /// Headers as they are written.
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are kept elsewhere.
    pub secret_headers: BTreeMap<String, SecretRef>,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// Whether it may lie at an address that is not public.
    pub allows_private: bool,
    /// How it is found out whether it happened.
    pub probe: Option<HttpProbe>,
}

/// A question whether an effect happened: 200 with the result if it did, 404 if it did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpProbe {
    /// Where to ask; `{key}` stands for the step key.
    pub url: String,
    /// Time for the whole call, in milliseconds.
    pub timeout_ms: u64,
    /// How long an effect whose attempt is gone may still be under way, in milliseconds.
    pub settle_after_ms: u64,
}

/// Where a secret is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SecretRef {
    /// In a variable of the environment.
    Env(String),
    /// In a file, without the line's end.
    File(String),
}

impl SecretRef {
    /// Reads `env:NAME` or `file:PATH`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match text.split_once(':')? {
            ("env", name) if is_name(name) => Some(SecretRef::Env(name.to_owned())),
            ("file", path) if !path.is_empty() && !path.contains('\0') => {
                Some(SecretRef::File(path.to_owned()))
            }
            _ => None,
        }
    }
}
