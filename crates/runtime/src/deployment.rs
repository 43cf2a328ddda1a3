//! Deployments: what a manifest declares is set up beside what runs, seen to be healthy, and used from
//! the moment on at which the core says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ark_os_core::State;
use ark_os_core::agent::{Behaviour, SecretRef};
use ark_os_core::deployment::Deployment;
use ark_os_core::event::BrokenGroup;
use ark_os_core::fleet::GroupStanding;
use ark_os_core::layer::Layer;
use ark_os_core::limits::REASON_BYTES_MAX;
use ark_os_core::manifest::SkillShape;
use ark_os_core::text::{Text, beginning};
use ark_os_core::time::Time;

use crate::RuntimeError;
use crate::agents::{AgentSetup, OwnDirs, Secret};
use crate::clock::Clock;
use crate::data::{Catalogue, Payloads};
use crate::plans::Plans;
use crate::skills::{Skill, SkillSet};
use crate::threads::spawn_within;

mod blueprint;
mod export;
mod request;
mod schedules;

use blueprint::Blueprint;
pub use request::{DeployRequest, Deployed};

/// Finds a secret, whose path may begin at a directory, or says why it cannot.
pub type FindSecret = dyn Fn(&SecretRef, &Path) -> Result<Secret, String> + Send + Sync;

/// Work that could not be had when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// The declared group of agents that offers it; none: every agent does.
    pub group: Option<Text>,
    /// The skill.
    pub skill: String,
    /// Why.
    pub why: String,
}

/// Services of groups that are asked at one time whether they are there, a thread each.
const LOOKS_MAX: usize = 16;

/// What of a group, or of everybody, could not be had. All skills of a declared group are one program or service.
fn unhealthy_of(group: Option<&Text>, skills: &SkillSet) -> Vec<Unhealthy> {
    let most = if group.is_some() { 1 } else { usize::MAX };
    let look = |skill: &Arc<dyn Skill>| {
        let why = skill.health().err()?;
        let skill = skill.spec().name.to_string();
        Some(Unhealthy { group: group.cloned(), skill, why })
    };
    skills.iter().take(most).filter_map(look).collect()
}

/// The skills of declared groups, by the places of their groups in the fleet.
#[derive(Debug, Default)]
struct Behaviours {
    groups: RwLock<BTreeMap<u32, Arc<SkillSet>>>,
}

impl Behaviours {
    fn put(&self, group: u32, skills: SkillSet) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(group, Arc::new(skills));
    }

    fn is_empty(&self) -> bool {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn of(&self, group: u32) -> Option<Arc<SkillSet>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).get(&group).cloned()
    }

    fn retain(&self, kept: &BTreeSet<u32>) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|group, _| kept.contains(group));
    }
}

/// What sets declared agents up, and knows what they do.
pub(crate) struct Outfit {
    /// What every instance of this make-up can do.
    skills: Arc<SkillSet>,
    secret: Arc<FindSecret>,
    own_dirs: OwnDirs,
    payloads: Arc<Payloads>,
    plans: Arc<Plans>,
    clock: Clock,
    behaviours: Behaviours,
    /// What deployments say of the skills of remote workers, by their versions: of the one that is
    /// there, and of the one under way.
    contracts: Mutex<BTreeMap<u64, Contracts>>,
}

type Contracts = BTreeMap<String, SkillShape>;

impl fmt::Debug for Outfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outfit").field("behaviours", &self.behaviours).finish_non_exhaustive()
    }
}

/// A group whose new agents are to be checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// Its place in the fleet.
    ix: u32,
    name: Text,
}

/// The groups that offer their skills.
pub(crate) fn live_groups(state: &State) -> Vec<(u32, Text)> {
    let groups = (0u32..).zip(state.fleet().groups());
    let live = groups.filter(|(_, group)| group.standing() == GroupStanding::Live);
    live.map(|(ix, group)| (ix, group.spec().name.clone())).collect()
}

/// The groups of a layer that have agents who start.
pub(crate) fn candidates(state: &State, layer: Layer) -> Vec<Candidate> {
    let fleet = state.fleet();
    let groups: BTreeSet<u32> =
        fleet.starting(layer).filter_map(|agent| fleet.group_place(agent)).collect();
    let name = |ix: u32| fleet.groups().get(ix as usize).map(|group| group.spec().name.clone());
    groups.into_iter().filter_map(|ix| Some(Candidate { ix, name: name(ix)? })).collect()
}

impl Outfit {
    pub(crate) fn new(
        (skills, payloads, plans): (Arc<SkillSet>, Arc<Payloads>, Arc<Plans>),
        (secret, own_dirs): (Arc<FindSecret>, OwnDirs),
        clock: Clock,
    ) -> Self {
        let (behaviours, contracts) = (Behaviours::default(), Mutex::default());
        Outfit { skills, secret, own_dirs, payloads, plans, clock, behaviours, contracts }
    }

    /// What an agent of a group does for a skill; none: what everybody does.
    pub(crate) fn skill(&self, group: u32, name: &str) -> Option<Arc<dyn Skill>> {
        self.behaviours.of(group)?.find(name).cloned()
    }

    fn blueprint(&self, deployment: &Deployment) -> Result<Blueprint, RuntimeError> {
        let text = self.payloads.load(&deployment.manifest).map_err(|error| {
            let message =
                format!("read the manifest of deployment {}: {error}", deployment.version);
            RuntimeError::new(ark_os_core::Kind::Unavailable, "blob_unreadable", message)
        })?;
        let base = deployment.base.as_deref().map(Path::new).unwrap_or(Path::new("/"));
        Blueprint::of_agents(&text, base, &self.skills)
    }

    /// Sets the groups of a layer up and sees whether they are healthy; when the deployment's schedules
    /// are due next.
    ///
    /// # Errors
    /// One is not: which, and why.
    pub(crate) fn check(
        &self,
        deployment: &Deployment,
        groups: &[Candidate],
    ) -> Result<Vec<Option<Time>>, String> {
        let has_workers = deployment.fleet.groups.iter().any(|group| group.workers);
        if groups.is_empty() && !has_workers {
            return Ok(schedules::due(deployment, self.clock.now()));
        }
        let blueprint = self.blueprint(deployment).map_err(|error| told(&error))?;
        self.keep_contracts(deployment.version, &blueprint);
        for Candidate { ix, name } in groups {
            let skills = self.open(&blueprint, name)?;
            let unwell = unhealthy_of(Some(name), &skills).into_iter().next();
            if let Some(Unhealthy { why, .. }) = unwell {
                return Err(format!("`{name}` is not healthy: {why}"));
            }
            self.behaviours.put(*ix, skills);
        }
        Ok(schedules::due(deployment, self.clock.now()))
    }

    fn keep_contracts(&self, version: u64, blueprint: &Blueprint) {
        let mut contracts = self.contracts.lock().unwrap_or_else(PoisonError::into_inner);
        contracts.insert(version, blueprint.of_workers());
    }

    /// What a deployment says of the skills of remote workers; what others said is forgotten.
    fn contracts(&self, version: u64) -> Contracts {
        let mut contracts = self.contracts.lock().unwrap_or_else(PoisonError::into_inner);
        contracts.retain(|other, _| *other == version);
        contracts.get(&version).cloned().unwrap_or_default()
    }

    /// Whether there are declared groups at all.
    pub(crate) fn has_groups(&self) -> bool {
        !self.behaviours.is_empty()
    }

    /// Looks at everything that agents work with: of everybody, and of the declared groups. It may wait for services.
    pub(crate) fn unhealthy(&self, groups: &[(u32, Text)]) -> Vec<Unhealthy> {
        let mut found = unhealthy_of(None, &self.skills);
        let declared =
            groups.iter().filter_map(|(ix, name)| Some((name, self.behaviours.of(*ix)?)));
        let declared: Vec<_> = declared.collect();
        for some in declared.chunks(LOOKS_MAX) {
            std::thread::scope(|scope| {
                let look =
                    |(name, skills): &(&Text, Arc<SkillSet>)| unhealthy_of(Some(name), skills);
                let begun =
                    some.iter().map(|it| spawn_within(scope, "ark-health", move || look(it)));
                // All of them begin before the first is waited for.
                let begun: Vec<_> = begun.collect();
                for (begun, it) in begun.into_iter().zip(some) {
                    // Without a thread this one looks.
                    let told = begun.ok().and_then(|begun| begun.join().ok());
                    found.extend(told.unwrap_or_else(|| look(it)));
                }
            });
        }
        found
    }

    /// The skills of one group; none of its own for a native one.
    fn open(&self, blueprint: &Blueprint, name: &Text) -> Result<SkillSet, String> {
        let mut skills = self.skills.bare();
        // The skills of workers are theirs.
        let declared = blueprint.agent(name);
        if let Some(declared) = declared.filter(|it| !is_worker(&it.agent.behaviour)) {
            let secret = |place: &SecretRef, base: &Path| (self.secret)(place, base);
            let setup = AgentSetup { secret: &secret, own_dirs: self.own_dirs.clone() };
            skills.install(std::slice::from_ref(declared), &setup).map_err(|it| told(&it))?;
        }
        Ok(skills)
    }

    /// Sets up what is deployed when an instance starts: all that can be. The rest is told by group.
    pub(crate) fn restore(&self, deployment: &Deployment) -> Vec<BrokenGroup> {
        let blueprint = self.blueprint(deployment);
        if let Ok(blueprint) = &blueprint {
            self.keep_contracts(deployment.version, blueprint);
        }
        let mut broken = Vec::new();
        for (ix, group) in (0u32..).zip(deployment.fleet.in_order()) {
            let opened = match &blueprint {
                Ok(blueprint) => self.open(blueprint, &group.name),
                Err(error) => Err(told(error)),
            };
            match opened {
                Ok(skills) => self.behaviours.put(ix, skills),
                Err(why) => {
                    let reason = beginning(&why, REASON_BYTES_MAX / 4);
                    tracing::warn!(group = &*group.name, reason, "a declared group is offline");
                    broken.push(BrokenGroup { group: group.name.clone(), reason: reason.into() });
                }
            }
        }
        let places = (0u32..).zip(deployment.fleet.in_order()).map(|(ix, _)| ix);
        self.publish(deployment, places);
        broken
    }

    /// A deployment is over: what nobody uses any more is forgotten, and what was deployed is what
    /// plans are checked against.
    pub(crate) fn end(&self, state: &State) {
        let fleet = state.fleet();
        self.behaviours.retain(&fleet.groups_present());
        let Some(deployment) = state.deployments().current() else { return };
        let live = (0u32..).zip(fleet.groups());
        let live = live.filter(|(_, group)| group.standing() == GroupStanding::Live);
        self.publish(deployment, live.map(|(ix, _)| ix));
    }

    fn publish(&self, deployment: &Deployment, groups: impl Iterator<Item = u32>) {
        let mut catalogue = Catalogue::new(&self.skills);
        for info in &deployment.fleet.skills {
            // What nobody could set up, and what is done elsewhere, promises nothing.
            let (class, input_schema, output_schema) = (info.class, None, None);
            if self.skills.find(&info.name).is_none() {
                catalogue.insert(&info.name, SkillShape { class, input_schema, output_schema });
            }
        }
        for skills in groups.filter_map(|group| self.behaviours.of(group)) {
            catalogue.add(&skills);
        }
        let workflows = deployment.workflows.iter().map(|it| it.workflow.clone());
        self.plans.publish(catalogue, self.contracts(deployment.version), workflows);
    }
}

fn is_worker(behaviour: &Behaviour) -> bool {
    matches!(behaviour, Behaviour::Worker(_))
}

/// An error with all of its places, on one line.
fn told(error: &RuntimeError) -> String {
    let places: Vec<String> = error
        .places()
        .iter()
        .map(|place| format!("{}: {}", place.pointer, place.message))
        .collect();
    match places.is_empty() {
        true => error.to_string(),
        false => format!("{error}: {}", places.join("; ")),
    }
}

/// The directories that no declared agent is shown.
pub(crate) fn own_dirs(settings: &crate::settings::Settings) -> OwnDirs {
    let dirs: [Option<PathBuf>; 2] =
        [Some(settings.data_dir.clone()), settings.archive_dir.clone()];
    OwnDirs::new(dirs.into_iter().flatten())
}
