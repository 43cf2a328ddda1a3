//! Joining and leaving: a worker becomes an agent of the fleet, and its skills become known.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ark_os_core::command::JoinAgent;
use ark_os_core::error::Failure;
use ark_os_core::event::Standing;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::fleet::profile::parse_agent_name;
use ark_os_core::layer::Layer;
use ark_os_core::limits::SKILLS_KEPT_MAX;
use ark_os_core::manifest::SkillShape;
use ark_os_core::manifest::limits::{NAME_CHARS_MAX, SCHEMA_BYTES_MAX, SKILLS_PER_AGENT_MAX};
use ark_os_core::plan::EffectClass;
use ark_os_core::text::Text;
use ark_os_core::{Command, Kind};
use serde_json::Value;
use tokio::sync::Notify;

use super::desk::{Desk, Presence};
use super::session::draw_secret;
use super::{REMOTES_MAX, RemoteSkill, Remotes, Worker};
use crate::RuntimeError;
use crate::error::Place;
use crate::handle::Handle;

/// Tasks of one worker at one time: more is a second worker.
pub const REMOTE_CONCURRENCY_MAX: u32 = 1_000;
/// Labels of one worker, and bytes of each.
const LABELS_MAX: usize = 16;
const LABEL_BYTES_MAX: usize = 200;

/// A worker that wants to join, or is back.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its name.
    pub name: String,
    /// Its layer: one that works.
    pub layer: Layer,
    /// Tasks at one time.
    pub concurrency: u32,
    /// What it offers.
    pub skills: Vec<OfferedSkill>,
    /// For people.
    pub labels: BTreeMap<String, String>,
}

/// A skill on offer.
#[derive(Clone, Debug)]
pub struct OfferedSkill {
    /// Its dotted name.
    pub name: String,
    /// What it may do to the world.
    pub class: EffectClass,
    /// JSON Schema of its input.
    pub input: Option<Value>,
    /// JSON Schema of its output.
    pub output: Option<Value>,
}

/// A worker's session.
#[derive(Clone)]
pub struct Session {
    /// The worker's name, which is its agent's.
    pub worker: Text,
    /// The secret.
    pub secret: String,
    /// The lease of what it claims.
    pub lease: Duration,
    /// How often it has to be heard of.
    pub heartbeat: Duration,
}

/// The secret is not shown.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Handle {
    /// The remote workers.
    pub fn remotes(&self) -> &Remotes {
        &self.shared.remotes
    }

    /// Takes a worker in; returns when it durably is an agent of the fleet. One that registers under
    /// the name of another takes its place: what the older session had in hand is lost to it. Who is
    /// refused changes nothing.
    ///
    /// # Errors
    /// The registration is wrong (with every place), a skill is somebody else's, or there are too many.
    pub async fn register_worker(
        &self,
        mut registration: Registration,
    ) -> Result<Session, RuntimeError> {
        let remotes = self.remotes();
        self.fill_in(&mut registration);
        self.check(&registration)?;
        let (worker, secret) = remotes.worker_of(registration)?;
        loop {
            // A name that nobody has is taken before the fleet may give it work; that of an older
            // session stays its own until the fleet has agreed.
            let older = remotes.sit_down(&worker)?;
            let joined = self.command(Command::JoinAgent(Box::new(join(&worker)))).await;
            if let Err(error) = joined {
                remotes.forget(&worker);
                return Err(error);
            }
            if older.is_none_or(|older| remotes.take_over(&worker, &older)) {
                break;
            }
        }
        for skill in worker.skills.values() {
            self.shared.submissions.plans.offer(&skill.name, shape(skill));
        }
        // An older session may have gone quiet.
        worker.mark(Standing::Ready, "the worker has registered");
        Ok(Session {
            worker: worker.name.clone(),
            secret,
            lease: remotes.terms.lease,
            heartbeat: remotes.terms.heartbeat,
        })
    }

    /// A worker takes nothing new; how many tasks it has in hand. What waited for it is given to others.
    ///
    /// # Errors
    /// There is no such worker, the session is not its newest, or the instance is gone.
    pub async fn leave_worker(&self, name: &str, session: &str) -> Result<usize, RuntimeError> {
        let worker = self.remotes().of_session(name, session)?;
        worker.desk().presence = Presence::Leaving;
        worker.changed.notify_waiters();
        let reason = Text::from("the worker leaves");
        self.command(Command::LeaveAgent { name: worker.name.clone(), reason }).await?;
        let late = worker.desk().unclaimed(Duration::ZERO, worker.now());
        worker.give_back(late, "the worker leaves");
        Ok(worker.desk().under_way())
    }

    /// Schemas of skills that a manifest describes stand there: a worker need not repeat them.
    fn fill_in(&self, it: &mut Registration) {
        for skill in &mut it.skills {
            let Some(declared) = self.shared.submissions.plans.declared(&skill.name) else {
                continue;
            };
            if skill.input.is_none() {
                skill.input = declared.input_schema;
            }
            if skill.output.is_none() {
                skill.output = declared.output_schema;
            }
        }
    }

    /// Everything that is wrong with a registration, each with its place.
    fn check(&self, it: &Registration) -> Result<(), RuntimeError> {
        let mut places = Vec::new();
        let mut wrong = |pointer: String, message: String| {
            places.push(Place { pointer, message, hint: None });
        };
        if !is_name(&it.name, false) {
            let message = format!("a name is 1 to {NAME_CHARS_MAX} letters, digits, `_` and `-`");
            wrong("/name".to_owned(), message);
        } else if parse_agent_name(&it.name).is_some() {
            wrong("/name".to_owned(), "names of this form are those of built-in agents".to_owned());
        }
        if !it.layer.works() {
            wrong("/layer".to_owned(), "a worker is a `specialist` or a `micro`".to_owned());
        }
        if !(1..=REMOTE_CONCURRENCY_MAX).contains(&it.concurrency) {
            let message = format!("it is 1 to {REMOTE_CONCURRENCY_MAX}");
            wrong("/concurrency".to_owned(), message);
        }
        if it.skills.is_empty() || it.skills.len() > SKILLS_PER_AGENT_MAX {
            let message = format!("a worker has 1 to {SKILLS_PER_AGENT_MAX} skills");
            wrong("/skills".to_owned(), message);
        }
        let is_long =
            |(name, value): (&String, &String)| name.len() + value.len() > LABEL_BYTES_MAX;
        if it.labels.len() > LABELS_MAX || it.labels.iter().any(is_long) {
            let message =
                format!("there are at most {LABELS_MAX} labels of {LABEL_BYTES_MAX} bytes");
            wrong("/labels".to_owned(), message);
        }
        for (i, skill) in it.skills.iter().take(SKILLS_PER_AGENT_MAX).enumerate() {
            self.check_skill(it, i, skill, &mut wrong);
        }
        if places.is_empty() {
            return Ok(());
        }
        let message = "accept the registration";
        Err(RuntimeError::new(Kind::Invalid, "worker_invalid", message).with_places(places))
    }

    fn check_skill(
        &self,
        it: &Registration,
        i: usize,
        skill: &OfferedSkill,
        wrong: &mut impl FnMut(String, String),
    ) {
        let at = |field: &str| format!("/skills/{i}/{field}");
        if !is_name(&skill.name, true) {
            let letters = "letters, digits, `.`, `_` and `-`";
            wrong(at("name"), format!("a skill's name is 1 to {NAME_CHARS_MAX} {letters}"));
        }
        if it.skills.iter().take(i).any(|other| other.name == skill.name) {
            wrong(at("name"), "the skill stands twice".to_owned());
        }
        if self.shared.skills.find(&skill.name).is_some() {
            wrong(at("name"), "the instance itself has a skill of this name".to_owned());
        }
        use EffectClass::{Effectful, Idempotent, Read};
        if !matches!(skill.class, Read | Idempotent | Effectful) {
            wrong(at("effect"), "it is `read`, `idempotent` or `effectful`".to_owned());
        }
        if let Some(declared) = self.shared.submissions.plans.declared(&skill.name) {
            let otherwise = "the manifest that is deployed says otherwise";
            if declared.class != skill.class {
                wrong(at("effect"), format!("{otherwise}: `{}`", declared.class.as_str()));
            }
            if declared.input_schema != skill.input {
                wrong(at("input"), otherwise.to_owned());
            }
            if declared.output_schema != skill.output {
                wrong(at("output"), otherwise.to_owned());
            }
        }
        for (field, schema) in [("input", &skill.input), ("output", &skill.output)] {
            let Some(schema) = schema else { continue };
            let text = schema.to_string();
            if text.len() > SCHEMA_BYTES_MAX {
                wrong(at(field), format!("a schema has at most {SCHEMA_BYTES_MAX} bytes"));
            } else if let Err(why) = self.shared.submissions.schemas.check(&text) {
                wrong(at(field), why);
            }
        }
    }
}

impl Remotes {
    /// A worker with a session of its own, which nobody sees yet.
    fn worker_of(&self, it: Registration) -> Result<(Arc<Worker>, String), RuntimeError> {
        let skills = self.skills_of(&it)?;
        let secret = draw_secret();
        let worker = Arc::new(Worker {
            desk: Mutex::new(Desk::new(secret.clone(), self.shop.clock.instant())),
            name: Text::from(it.name),
            layer: it.layer,
            concurrency: it.concurrency,
            skills,
            labels: it.labels,
            changed: Notify::new(),
            dismissed: AtomicBool::new(false),
            shop: self.shop.clone(),
            terms: self.terms,
        });
        Ok((worker, secret))
    }

    /// Takes the place of a name that nobody has; else whose it is.
    fn sit_down(&self, worker: &Arc<Worker>) -> Result<Option<Arc<Worker>>, RuntimeError> {
        {
            let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(older) = workers.get(&worker.name) {
                return Ok(Some(older.clone()));
            }
            if workers.len() >= REMOTES_MAX {
                let message = format!("take in more than {REMOTES_MAX} workers");
                return Err(RuntimeError::new(Kind::Exhausted, "too_many_workers", message)
                    .with_hint("let others leave first"));
            }
            workers.insert(worker.name.clone(), worker.clone());
        }
        self.keep_skills(worker);
        Ok(None)
    }

    /// Takes the place of an older session; `false`: it is not there any more.
    fn take_over(&self, worker: &Arc<Worker>, older: &Arc<Worker>) -> bool {
        {
            let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
            if !workers.get(&worker.name).is_some_and(|it| Arc::ptr_eq(it, older)) {
                return false;
            }
            workers.insert(worker.name.clone(), worker.clone());
        }
        self.keep_skills(worker);
        older.fence_off();
        true
    }

    /// The skills of a worker, shared with everybody who offers the same.
    fn skills_of(
        &self,
        it: &Registration,
    ) -> Result<BTreeMap<Text, Arc<RemoteSkill>>, RuntimeError> {
        let text =
            |schema: &Option<Value>| schema.as_ref().map_or("true".to_owned(), Value::to_string);
        let known = self.skills.lock().unwrap_or_else(PoisonError::into_inner);
        let mut skills = BTreeMap::new();
        for (i, offer) in it.skills.iter().enumerate() {
            let skill = RemoteSkill {
                name: Text::from(&*offer.name),
                class: offer.class,
                input_schema: text(&offer.input),
                output_schema: text(&offer.output),
            };
            let same = known.get(&skill.name).filter(|it| ***it == skill).cloned();
            if same.is_none() && self.is_offered_by_others(&offer.name, &it.name) {
                return Err(skill_taken(i, &offer.name));
            }
            let skill = same.unwrap_or_else(|| Arc::new(skill));
            skills.insert(skill.name.clone(), skill);
        }
        Ok(skills)
    }

    /// From now on this is what its skills are.
    fn keep_skills(&self, worker: &Worker) {
        let mut known = self.skills.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody offers any more makes room for what somebody does.
        if known.len() + worker.skills.len() > SKILLS_KEPT_MAX {
            let all = self.all();
            known.retain(|name, _| all.iter().any(|worker| worker.skill(name).is_some()));
        }
        known.extend(worker.skills.iter().map(|(name, skill)| (name.clone(), skill.clone())));
    }

    /// What registered workers promise of a skill.
    pub(crate) fn shape(&self, name: &str) -> Option<SkillShape> {
        self.all().iter().find_map(|worker| worker.skill(name).map(|skill| shape(skill)))
    }

    fn is_offered_by_others(&self, skill: &str, name: &str) -> bool {
        self.all().iter().any(|other| &*other.name != name && other.skill(skill).is_some())
    }

    /// A worker could not join.
    fn forget(&self, worker: &Arc<Worker>) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if workers.get(&worker.name).is_some_and(|known| Arc::ptr_eq(known, worker)) {
            workers.remove(&worker.name);
        }
    }

    /// A worker is gone for good, and the fleet is told. Said while nobody else can take its place:
    /// whoever does then joins later.
    pub(super) fn let_go(&self, worker: &Arc<Worker>) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if workers.get(&worker.name).is_some_and(|known| Arc::ptr_eq(known, worker)) {
            workers.remove(&worker.name);
            worker.part();
        }
    }
}

impl Worker {
    /// Another process is the worker now: this session may say nothing more, and what it had is lost.
    fn fence_off(self: &Arc<Self>) {
        let (in_hand, queued) = {
            let mut desk = self.desk();
            desk.session = draw_secret();
            desk.presence = Presence::Offline;
            let queued = desk.unclaimed(Duration::ZERO, self.now());
            let in_hand = desk.tokens().into_iter().filter(|pt| !queued.contains(pt));
            (in_hand.collect(), queued)
        };
        self.changed.notify_waiters();
        self.give_back(queued, "another process is the worker");
        let reason = "another process has registered as this worker";
        self.lose(in_hand, &Failure::retryable("worker_replaced", reason));
    }
}

/// The agent that a worker is.
fn join(worker: &Worker) -> JoinAgent {
    let info = |skill: &Arc<RemoteSkill>| SkillInfo {
        name: skill.name.clone(),
        class: skill.class,
        concurrency_max: None,
    };
    JoinAgent {
        name: worker.name.clone(),
        layer: worker.layer,
        concurrency: worker.concurrency,
        skills: worker.skills.values().map(info).collect(),
    }
}

/// What plans are checked against.
fn shape(skill: &RemoteSkill) -> SkillShape {
    let schema = |text: &str| {
        let value: Option<Value> = serde_json::from_str(text).ok();
        value.filter(|schema| *schema != Value::Bool(true))
    };
    SkillShape {
        class: skill.class,
        input_schema: schema(&skill.input_schema),
        output_schema: schema(&skill.output_schema),
    }
}

fn is_name(name: &str, dots: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || (dots && c == '.');
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(fits)
}

fn skill_taken(i: usize, name: &str) -> RuntimeError {
    let place = Place {
        pointer: format!("/skills/{i}"),
        message: "other workers offer this skill with another effect or other schemas".to_owned(),
        hint: Some("offer it as they do, or under a name of its own".to_owned()),
    };
    let message = format!("offer the skill `{name}`: it means something else here");
    RuntimeError::new(Kind::Conflict, "skill_taken", message).with_places(vec![place])
}
