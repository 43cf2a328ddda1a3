//! What the journal said so far, in the simplest terms: runs, tasks, tokens, intents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ark_os_core::event::{RunAccepted, RunEnd, SkipCause};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, Fence, PtId, RunId, TaskRef};
use ark_os_core::keyed_limit::LimitId;
use ark_os_core::layer::Layer;
use ark_os_core::plan::Workflow;
use ark_os_core::step::StepKey;
use ark_os_core::text::Text;
use ark_os_core::time::Time;

use super::forks::{Asked, Past};
use super::schedules::Book;
use super::settings::Settings;

/// How a task came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed,
    Skipped(SkipCause),
    Cancelled,
}

/// A token in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) fence: Fence,
    pub(super) agent: AgentIx,
    pub(super) epoch: u64,
}

/// A task of the present generation.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskModel {
    /// Whether its turn has come.
    pub(super) is_open: bool,
    pub(super) over: Option<End>,
    /// Attempts that count.
    pub(super) attempts: u32,
    pub(super) lost: u32,
    pub(super) token: Option<Token>,
    pub(super) parked: bool,
    /// Whether it began to wait.
    pub(super) waits: bool,
    /// Whether it has added tasks to its run.
    pub(super) has_added: bool,
    /// What its limit counts it under.
    pub(super) key: Option<Text>,
    /// Children of an expanded map.
    pub(super) children: Option<u32>,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct RunModel {
    pub(super) workflow: Arc<Workflow>,
    pub(super) namespace: Text,
    pub(super) accepted_seq: u64,
    pub(super) accepted: RunAccepted,
    /// Whether it waits on disk.
    pub(super) waits: bool,
    pub(super) parked_seq: Option<u64>,
    pub(super) ended: bool,
    /// Every end that it came to, with its record.
    pub(super) ends: Vec<(RunEnd, u64)>,
    pub(super) tasks: BTreeMap<TaskRef, TaskModel>,
    pub(super) signals: Signals,
    pub(super) past: Past,
}

/// The signals of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// Everything that came, by the digest of what it said, with its record.
    pub(super) came: BTreeMap<Hash, u64>,
    /// What no wait has used, by number.
    pub(super) kept: BTreeMap<u64, Hash>,
}

/// An intended step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intent {
    pub(super) fence: Fence,
    pub(super) seq: u64,
    /// Whether nothing is known of it yet.
    pub(super) is_open: bool,
    /// Whether its sink has to be asked first: an earlier attempt left it open.
    pub(super) is_unasked: bool,
}

/// Everything that the journal said.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) runs: BTreeMap<RunId, RunModel>,
    pub(super) workflows: BTreeMap<u64, Arc<Workflow>>,
    /// The namespace of each admission.
    pub(super) namespaces: BTreeMap<u64, Text>,
    /// When attempts began under limits with a rate, as far back as its period.
    pub(super) starts: BTreeMap<LimitId, Vec<Time>>,
    pub(super) intents: BTreeMap<StepKey, Intent>,
    pub(super) started: BTreeMap<PtId, u64>,
    /// Tokens of this start of the instance in use, by agent.
    pub(super) in_use: BTreeMap<AgentIx, u32>,
    pub(super) fence: Fence,
    pub(super) epoch: u64,
    pub(super) at: Time,
    /// The wall clock when the newest record was decided.
    pub(super) wall: Time,
    /// Every child that a task ever asked for.
    pub(super) asked: BTreeMap<RunId, (RunId, TaskRef)>,
    pub(super) fleet: FleetModel,
    pub(super) schedules: Book,
    pub(super) settings: Settings,
    /// Forks that were asked for.
    pub(super) forks: BTreeMap<RunId, Asked>,
}

/// What the journal said of the fleet.
#[derive(Debug, Default)]
pub(super) struct FleetModel {
    /// Agents of the profile.
    pub(super) profile: u32,
    /// The newest version given out.
    pub(super) newest: u64,
    /// The version that is deployed.
    pub(super) current: u64,
    /// The groups that are, without those of remote workers.
    pub(super) groups: BTreeSet<Text>,
    /// The deployment under way and its groups.
    pub(super) next: Option<(u64, BTreeSet<Text>)>,
    /// Layers of deployments whose agents were found healthy.
    pub(super) healthy: BTreeSet<(u64, Option<Layer>)>,
    /// Remote workers that are there, and those of them that are not heard of.
    pub(super) joined: BTreeSet<Text>,
    pub(super) away: BTreeSet<Text>,
}

impl FleetModel {
    pub(super) fn under_way(&self) -> Option<u64> {
        self.next.as_ref().map(|(version, _)| *version)
    }
}

impl Model {
    pub(super) fn run(&self, run: RunId) -> Option<&RunModel> {
        self.runs.get(&run)
    }

    /// The record that started an attempt.
    pub(super) fn started(&self, pt: PtId) -> Option<u64> {
        self.started.get(&pt).copied()
    }

    pub(super) fn intent(&self, key: StepKey) -> Option<Intent> {
        self.intents.get(&key).copied()
    }

    /// A run and those above it, which it goes with.
    pub(super) fn line_of(&self, run: RunId) -> impl Iterator<Item = RunId> {
        let above = |run: &RunId| {
            let parent = self.runs.get(run)?.accepted.parent.as_ref()?;
            (!parent.is_detached).then_some(parent.run)
        };
        std::iter::successors(Some(run), above)
    }

    /// Takes a task's token away.
    pub(super) fn put_back(&mut self, run: RunId, task: TaskRef) {
        let epoch = self.epoch;
        let Some(it) = self.runs.get_mut(&run).and_then(|run| run.tasks.get_mut(&task)) else {
            return;
        };
        let Some(token) = it.token.take().filter(|token| token.epoch == epoch) else { return };
        let left = self.in_use.get(&token.agent).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            self.in_use.remove(&token.agent);
        } else {
            self.in_use.insert(token.agent, left);
        }
    }

    /// The children of a map, those that have begun.
    pub(super) fn children(&self, run: RunId, node: u32) -> Vec<TaskRef> {
        let Some(run) = self.runs.get(&run) else { return Vec::new() };
        let range = TaskRef::child(node, 0)..=TaskRef::child(node, u32::MAX);
        run.tasks.range(range).map(|(task, _)| *task).collect()
    }
}

impl RunModel {
    pub(super) fn task(&self, task: TaskRef) -> Option<&TaskModel> {
        self.tasks.get(&task)
    }

    pub(super) fn over(&self, node: u32) -> Option<&End> {
        self.task(TaskRef::node(node))?.over.as_ref()
    }
}
