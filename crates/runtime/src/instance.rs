//! An instance: opens the data directory, replays the journal, starts the threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::event::{InstanceStarted, Intake};
use ark_os_core::fleet::SkillInfo;
use ark_os_core::fleet::profile::FleetPlan;
use ark_os_core::limits::AGENTS_MAX;
use ark_os_core::rules::{BuiltinRules, Rules};
use ark_os_core::text::Text;
use ark_os_core::{Command, Kind, State};
use ark_os_store::{Blobs, DataLock, Files};
use tokio::sync::{Semaphore, watch};

use crate::RuntimeError;
use crate::clock::Clock;
use crate::committer::Committer;
use crate::data::{BlobSource, Catalogue, Payloads, Schemas};
use crate::deployment::{self, FindSecret, Outfit};
use crate::driver::{Attempts, Driver, Fetcher, Forming, Line};
use crate::follower;
use crate::handle::{Handle, Message, Shared, Stopped};
use crate::keeper::KeeperThread;
use crate::kernel::{Input, Loop};
use crate::messages::Messages;
use crate::metrics::Metrics;
pub use crate::opening::VIEWS_FILE;
use crate::opening::{self, Opened};
use crate::plans::Plans;
use crate::remote::{Remotes, Terms};
use crate::run_ids::RunIds;
use crate::settings::Settings;
use crate::skills::SkillSet;
use crate::submission::{LONG_PREPARATIONS_MAX, Submissions};
use crate::threads::spawn;
use crate::workers::{InFlight, Shop, Threads, Workers};

/// The effectful scopes that the local operator holds; everything else is `*`.
const OPERATOR_SCOPES: [&str; 1] = ["*"];

/// What an instance is made of, besides its settings.
#[derive(Clone)]
pub struct Components {
    /// The skills of its native agents.
    pub skills: SkillSet,
    /// The rules in force.
    pub rules: Arc<dyn Rules>,
    /// Scopes of the local operator, under whose authority runs are submitted.
    pub operator: Scopes,
    /// The clock.
    pub clock: Clock,
    /// Finds the secrets of declared agents.
    pub secret: Arc<FindSecret>,
    /// Where journal, blobs and keys lie; none: in the data directory.
    pub files: Option<Arc<dyn Files>>,
}

impl std::fmt::Debug for Components {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Components").field("skills", &self.skills).finish_non_exhaustive()
    }
}

impl Components {
    /// The built-in skills under the built-in rules.
    pub fn builtin() -> Self {
        Components {
            skills: SkillSet::builtin(),
            rules: Arc::new(BuiltinRules),
            operator: Scopes::parse(OPERATOR_SCOPES).unwrap_or_default(),
            clock: Clock::new(),
            secret: Arc::new(|_, _| Err("this program looks up no secrets".to_owned())),
            files: None,
        }
    }
}

/// A running instance: dropping it without [`Instance::stop`] is like a crash. Nothing more is
/// written or acknowledged, and attempts under way get no more answers.
#[derive(Debug)]
pub struct Instance {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    _lock: DataLock,
}

/// What was found when the journal was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Records in the journal.
    pub records: u64,
    /// Runs that were in flight.
    pub live: usize,
}

impl Instance {
    /// Opens the data directory, making it if need be, and starts. Runs in flight go on.
    ///
    /// # Errors
    /// The directory is in use, damaged, or cannot be written; the settings are out of range.
    pub fn start(settings: Settings, components: Components) -> Result<Self, RuntimeError> {
        if settings.agents == 0 || settings.agents > AGENTS_MAX {
            let message = format!("start with {} agents", settings.agents);
            return Err(RuntimeError::new(Kind::Invalid, "agents_out_of_range", message)
                .with_hint(format!("a fleet has 1 to {AGENTS_MAX} agents")));
        }
        check_skills(&settings, &components.skills)?;
        let on_disk = opening::directory(&settings.data_dir, "data directory")?;
        let files = components.files.clone().unwrap_or(on_disk);
        let lock = DataLock::acquire(&settings.data_dir)?;
        let opened = opening::open(&settings, files.clone())?;
        let clock = components.clock.not_before(opened.state.now());
        let components = Components { clock, ..components };
        let blobs: Arc<dyn BlobSource> = Arc::new(Blobs::open(files)?);
        let (handle, threads) = Parts { settings, components, opened, blobs }.start()?;
        Ok(Instance { handle, threads, _lock: lock })
    }

    /// What the rest of the program holds of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes nothing new and starts nothing more; returns when what runs is over, or after
    /// `patience`. Whether everything came to its end.
    ///
    /// # Errors
    /// The instance is gone.
    pub async fn drain(&self, patience: Duration) -> Result<bool, RuntimeError> {
        self.handle.drain(patience).await
    }

    /// Stops when everything decided is durable, with a checkpoint over all of it. What runs is
    /// told to stop and goes on at the next start.
    ///
    /// # Errors
    /// It failed on the way; the code says how.
    pub fn stop(mut self) -> Result<(), RuntimeError> {
        self.handle.stop();
        for thread in std::mem::take(&mut self.threads) {
            thread.join().map_err(|_| RuntimeError::closed())?;
        }
        let stopped = self.handle.shared.stopped.borrow().clone();
        match stopped {
            Some(Stopped::Failed { code, message }) => {
                Err(RuntimeError::new(Kind::Unavailable, code, message))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Instance {
    /// The lock is given back only when nobody writes any more.
    fn drop(&mut self) {
        // A loop that is gone has stopped.
        let _ = self.handle.shared.tx.send(Message::Failed(RuntimeError::closed()));
        for thread in std::mem::take(&mut self.threads) {
            // One that panicked is gone too.
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// Takes nothing new and starts nothing more; returns when what runs is over, or after
    /// `patience`. Whether everything came to its end.
    ///
    /// # Errors
    /// The instance is gone.
    pub async fn drain(&self, patience: Duration) -> Result<bool, RuntimeError> {
        let reason = Text::from("shutdown");
        self.command(Command::SetIntake { intake: Intake::Draining, reason }).await?;
        let mut viewed = self.viewed();
        let idle = async {
            loop {
                if self.read(|kernel| kernel.state().fleet().in_use()).await? == 0 {
                    return Ok(true);
                }
                // Every end of an attempt is a record, and every record reaches the views.
                if viewed.changed().await.is_err() {
                    return Err(RuntimeError::closed());
                }
            }
        };
        tokio::time::timeout(patience, idle).await.unwrap_or(Ok(false))
    }
}

/// A limit for a skill that nobody has would limit nothing.
fn check_skills(settings: &Settings, skills: &SkillSet) -> Result<(), RuntimeError> {
    let is_known = |name: &str| skills.iter().any(|skill| skill.spec().name == name);
    let Some(name) = settings.skill_concurrency.keys().find(|name| !is_known(name)) else {
        return Ok(());
    };
    let names: Vec<_> = skills.names().collect();
    let message = format!("limit the concurrency of the unknown skill `{name}`");
    Err(RuntimeError::new(Kind::Invalid, "unknown_skill", message)
        .with_hint(format!("there are the skills {}", names.join(", "))))
}

/// Everything at hand when the threads are about to start.
struct Parts {
    settings: Settings,
    components: Components,
    opened: Opened,
    blobs: Arc<dyn BlobSource>,
}

impl Parts {
    fn start(self) -> Result<(Handle, Vec<JoinHandle<()>>), RuntimeError> {
        let (tx, rx) = channel();
        let metrics = Arc::new(Metrics::default());
        let shop = self.shop(&tx, &metrics);
        let Opened { journal, follower, queries, state, keeper, ledger, unlisted } = self.opened;
        let (viewed_tx, viewed) = watch::channel(journal.next_seq() - 1);
        let (stopped_tx, stopped) = watch::channel(None);
        let waiting = Arc::new(AtomicUsize::new(0));
        let messages = shop.messages.clone();
        let skills = Arc::new(self.components.skills.clone());
        let remotes = Arc::new(Remotes::new(shop.clone(), Terms::of(&self.settings)));
        let newest = journal.next_seq() - 1;
        let reader = journal.reader();
        let fetcher = Fetcher::new(reader.clone(), tx.clone(), self.components.clock);
        let outfit = Arc::new(outfit_of(&self.settings, &self.components, &shop));
        let started = instance_started(&self.settings, &self.components, (&outfit, &state));
        let clock = self.components.clock;
        let (committer, changes) = Committer::start(journal, tx.clone(), metrics.clone(), clock)?;
        let keeper =
            KeeperThread::start(keeper, clock, metrics.clone(), self.settings.snapshot_records)?;
        let shared = Shared {
            tx: tx.clone(),
            waiting: waiting.clone(),
            submissions: submissions(&self.components, &shop),
            queries,
            reader,
            metrics: metrics.clone(),
            messages: messages.clone(),
            settings: self.settings.clone(),
            skills: skills.clone(),
            outfit: outfit.clone(),
            remotes: remotes.clone(),
            note: committer.note(),
            ledger,
            viewed,
            stopped,
        };
        metrics.agents.set(u64::from(self.settings.agents));
        let fleet = FleetPlan::for_agents(self.settings.agents);
        let views =
            follower::start(follower, changes, tx.clone(), viewed_tx, metrics.clone(), fleet)?;
        let workers = Workers::start(threads(&self.settings), shop.clone())?;
        let driver = Driver {
            lp: Loop::new(state, self.components.rules.clone(), newest).with_unlisted(unlisted),
            rx,
            waiting,
            committer,
            keeper,
            attempts: Attempts::new((skills, outfit), remotes, shop, workers, fetcher),
            settings: self.settings,
            clock,
            metrics,
            messages,
            stopped: stopped_tx,
            batch: Forming::default(),
            line: Line::default(),
            aside: VecDeque::new(),
        };
        begin(&tx, started)?;
        let looping = spawn("ark-loop", move || driver.run())?;
        Ok((Handle { shared: Arc::new(shared) }, vec![looping, views]))
    }
}

impl Parts {
    /// What all attempts share. Messages know what was taken before the process came to an end.
    fn shop(&self, tx: &Sender<Message>, metrics: &Arc<Metrics>) -> Arc<Shop> {
        let (clock, state) = (self.components.clock, &self.opened.state);
        let messages = Arc::new(Messages::new(state.fleet(), self.settings.mailbox, clock));
        let payloads = Arc::new(Payloads::new(self.blobs.clone()));
        messages.recall(state, &payloads);
        Arc::new(Shop {
            payloads,
            schemas: Arc::new(Schemas::new()),
            plans: Arc::new(Plans::new(Catalogue::new(&self.components.skills))),
            to_loop: tx.clone(),
            metrics: metrics.clone(),
            clock,
            lease: self.settings.lease,
            in_flight: InFlight::default(),
            messages,
        })
    }
}

/// What turns requests into submissions, under the local operator's authority.
fn submissions(components: &Components, shop: &Shop) -> Submissions {
    Submissions {
        clock: components.clock,
        ids: RunIds::new(),
        grant: Arc::new(operator_grant(components)),
        plans: shop.plans.clone(),
        payloads: shop.payloads.clone(),
        schemas: shop.schemas.clone(),
        turns: Arc::new(Semaphore::new(LONG_PREPARATIONS_MAX)),
    }
}

/// What sets declared agents up.
fn outfit_of(settings: &Settings, components: &Components, shop: &Shop) -> Outfit {
    let skills = Arc::new(components.skills.clone());
    Outfit::new(
        (skills, shop.payloads.clone(), shop.plans.clone()),
        (components.secret.clone(), deployment::own_dirs(settings)),
        components.clock,
    )
}

/// The first thing that the loop takes.
fn begin(tx: &Sender<Message>, started: InstanceStarted) -> Result<(), RuntimeError> {
    let command = Command::StartInstance(Box::new(started));
    let input = Input::Command { command, cause: 0, reply: None };
    tx.send(Message::One(input)).map_err(|_| RuntimeError::closed())
}

/// The make-up of the instance; what is deployed is set up, as far as it can be.
fn instance_started(
    settings: &Settings,
    components: &Components,
    (outfit, state): (&Outfit, &State),
) -> InstanceStarted {
    let broken = state.deployments().current().map(|it| outfit.restore(it));
    let limits = &settings.skill_concurrency;
    let skills = components.skills.iter().map(|skill| skill.spec()).map(|spec| SkillInfo {
        name: Text::from(&*spec.name),
        class: spec.class,
        // What the operator of the instance says goes before what the agent says.
        concurrency_max: limits.get(&*spec.name).copied().or(spec.concurrency_max),
    });
    InstanceStarted {
        version: Text::from(env!("CARGO_PKG_VERSION")),
        mode: settings.mode,
        agents: settings.agents,
        skills: skills.collect(),
        agent_concurrency: settings.agent_concurrency,
        concurrent_tasks_max: settings.concurrent_tasks_max,
        task_timeout_ms: u64::try_from(settings.task_timeout.as_millis()).unwrap_or(u64::MAX),
        rules: components.rules.hash(),
        namespace_budget: settings.namespace_budget,
        lease_ms: Some(u64::try_from(settings.lease.as_millis()).unwrap_or(u64::MAX)),
        runs_resident_max: Some(settings.runs_resident_max),
        agents_max: Some(settings.agents_max),
        broken: broken.filter(|broken| !broken.is_empty()),
    }
}

/// Who holds the instance's token acts as its local operator.
fn operator_grant(components: &Components) -> Grant {
    let id = RevocationId::derive(&[b"local-operator"]);
    Grant::new(Authority::root(Text::from("local-operator"), components.operator.clone(), id))
}

fn threads(settings: &Settings) -> Threads {
    Threads { workers: worker_count(settings), external_max: settings.external_concurrency }
}

fn worker_count(settings: &Settings) -> usize {
    match settings.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
        workers => workers,
    }
}
