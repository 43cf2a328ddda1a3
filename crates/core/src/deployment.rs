//! Deployments: declared agents and named workflows that take the place of those before, all at once.
//!
//! One at a time. Its new agents are checked layer by layer, the highest first, while everything goes
//! on as before; then the fleet is changed in one record, or nothing of it is.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::authority::Authority;
use crate::fleet::spec::FleetSpec;
use crate::hash::Hash;
use crate::layer::Layer;
use crate::limits::DEPLOYMENTS_KEPT_MAX;
use crate::payload::Payload;
use crate::plan::Workflow;
use crate::schedule::ScheduleSpec;
use crate::text::Text;
use crate::time::Time;

/// What is deployed.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Deployment {
    /// Its number: higher with each, also where one is rolled back.
    #[n(0)]
    pub version: u64,
    /// The manifest, in its canonical form.
    #[n(1)]
    pub manifest: Payload,
    /// Its agents.
    #[n(2)]
    pub fleet: FleetSpec,
    /// Its workflows, each with a name of its own.
    #[n(3)]
    pub workflows: Vec<NamedWorkflow>,
    /// The directory that relative paths of the manifest begin at.
    #[n(4)]
    pub base: Option<Text>,
    /// Why it was made.
    #[n(5)]
    pub reason: Text,
    /// The time for the health checks of all layers, in milliseconds.
    #[n(6)]
    pub health_ms: u64,
    /// The rules that let it in.
    #[n(7)]
    pub rules: Vec<Text>,
    /// Agents of the built-in profile; none: as many as there are.
    #[n(8)]
    pub profile: Option<u32>,
    /// Its schedules, where it has some.
    #[n(9)]
    pub schedules: Option<DeployedSchedules>,
}

/// The schedules of a deployment. They take effect when it is finished.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct DeployedSchedules {
    /// The tenant of all of them.
    #[n(0)]
    pub namespace: Text,
    /// Under whose authority their runs begin.
    #[n(1)]
    pub authority: Authority,
    /// The schedules, each with a name of its own and a workflow of the deployment.
    #[n(2)]
    pub list: Vec<DeployedSchedule>,
}

/// A schedule of a deployment.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct DeployedSchedule {
    /// What its author wants.
    #[n(0)]
    #[cbor(with = "crate::shared")]
    pub spec: Arc<ScheduleSpec>,
    /// Seed of its jitter and of the ids of its runs.
    #[n(1)]
    pub seed: u64,
}

/// A workflow that is run by its name.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(transparent)]
pub struct NamedWorkflow {
    /// The workflow.
    #[n(0)]
    #[cbor(with = "crate::shared")]
    pub workflow: Arc<Workflow>,
}

impl Deployment {
    /// Whether it brings the same agents and workflows as another, however its manifest is written.
    /// (Its relative paths are absolute by now, and the digests of agents are made from them.)
    pub fn is_same(&self, other: &Deployment) -> bool {
        self.fleet == other.fleet && self.workflows == other.workflows
    }

    /// Whether it brings neither agents nor workflows, as what is there before the first one.
    pub fn is_bare(&self) -> bool {
        self.fleet == FleetSpec::default() && self.workflows.is_empty()
    }

    /// Its schedules.
    pub fn schedules(&self) -> &[DeployedSchedule] {
        self.schedules.as_ref().map(|it| it.list.as_slice()).unwrap_or_default()
    }
}

/// The deployments that the state knows.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Deployments {
    /// The newest number given out.
    #[n(0)]
    pub(crate) newest: u64,
    #[n(1)]
    current: Option<Kept>,
    #[n(2)]
    under_way: Option<UnderWay>,
    /// Oldest first.
    #[n(3)]
    past: VecDeque<PastDeployment>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(transparent)]
struct Kept {
    #[n(0)]
    #[cbor(with = "crate::shared")]
    deployment: Arc<Deployment>,
}

/// A deployment whose agents are checked.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct UnderWay {
    /// What is deployed.
    #[n(0)]
    #[cbor(with = "crate::shared")]
    pub deployment: Arc<Deployment>,
    /// Layers whose new agents were found healthy.
    #[n(1)]
    pub healthy: BTreeSet<Layer>,
    /// The layer that is checked now; none: the deployment brings no new agents, and only what the
    /// runtime has to set up for it is.
    #[n(2)]
    pub layer: Option<Layer>,
    /// When all have to be.
    #[n(3)]
    pub deadline: Time,
    /// When it began.
    #[n(4)]
    pub began: Time,
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct PastDeployment {
    /// Its number.
    #[n(0)]
    pub version: u64,
    /// Digest of its manifest.
    #[n(1)]
    pub manifest: Hash,
    /// When it began.
    #[n(2)]
    pub began: Time,
    /// When it was over.
    #[n(3)]
    pub ended: Time,
    /// Why it was rolled back; none: it was finished.
    #[n(4)]
    pub rolled_back: Option<Text>,
    /// Why it was made.
    #[n(5)]
    pub reason: Text,
}

impl Deployments {
    /// What is deployed.
    pub fn current(&self) -> Option<&Arc<Deployment>> {
        self.current.as_ref().map(|kept| &kept.deployment)
    }

    /// The version of what is deployed; 0: nothing was yet.
    pub fn version(&self) -> u64 {
        self.current().map_or(0, |it| it.version)
    }

    /// The deployment under way.
    pub fn under_way(&self) -> Option<&UnderWay> {
        self.under_way.as_ref()
    }

    /// What became of the last ones, oldest first.
    pub fn past(&self) -> impl DoubleEndedIterator<Item = &PastDeployment> + '_ {
        self.past.iter()
    }

    /// The newest workflow of this name.
    pub fn workflow(&self, name: &str) -> Option<&Arc<Workflow>> {
        let workflows = self.current().map(|it| it.workflows.as_slice()).unwrap_or_default();
        workflows.iter().map(|it| &it.workflow).find(|it| &*it.name == name)
    }

    pub(crate) fn begin(&mut self, deployment: Deployment, layer: Option<Layer>, at: Time) {
        self.newest = self.newest.max(deployment.version);
        let deadline = at.plus(deployment.health_ms);
        let (deployment, healthy) = (Arc::new(deployment), BTreeSet::new());
        self.under_way = Some(UnderWay { deployment, healthy, layer, deadline, began: at });
    }

    /// A layer was found healthy; the next one is checked.
    pub(crate) fn go_on(&mut self, version: u64, layer: Layer, next: Option<Layer>) {
        let ours = |it: &&mut UnderWay| it.deployment.version == version;
        if let Some(it) = self.under_way.as_mut().filter(ours) {
            it.healthy.insert(layer);
            it.layer = next;
        }
    }

    /// The deployment under way is over; what it was, if it is this one. One that leaves the profile alone does not
    /// take back that the one before has set it.
    pub(crate) fn end(
        &mut self,
        version: u64,
        rolled_back: Option<&Text>,
        (profile, at): (u32, Time),
    ) -> Option<UnderWay> {
        let over = self.under_way.take_if(|it| it.deployment.version == version)?;
        self.past.push_back(PastDeployment {
            version,
            manifest: over.deployment.manifest.hash(),
            began: over.began,
            ended: at,
            rolled_back: rolled_back.cloned(),
            reason: over.deployment.reason.clone(),
        });
        if self.past.len() > DEPLOYMENTS_KEPT_MAX {
            self.past.pop_front();
        }
        if rolled_back.is_none() {
            let was_set = self.current().is_some_and(|it| it.profile.is_some());
            let deployment = match over.deployment.profile {
                None if was_set => {
                    let deployment = Deployment::clone(&over.deployment);
                    Arc::new(Deployment { profile: Some(profile), ..deployment })
                }
                _ => over.deployment.clone(),
            };
            self.current = Some(Kept { deployment });
        }
        Some(over)
    }
}
