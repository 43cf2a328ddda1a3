//! What a run waits for, and how its plan grows.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::{Run, Task, TaskState};
use crate::child_run::ChildRun;
use crate::ids::{SkillIx, TaskRef};
use crate::payload::Payload;
use crate::plan::TaskSpec;
use crate::step::{Step, StepStanding};
use crate::text::Text;

/// A signal that is kept.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Signal {
    /// Its number in the run, from 1.
    #[n(0)]
    pub number: u64,
    /// Its name.
    #[n(1)]
    pub name: Text,
    /// What it says.
    #[n(2)]
    pub payload: Payload,
}

impl Run {
    /// The signals that tasks wait for now, each once, in the order of the plan.
    pub fn awaited(&self) -> Vec<Text> {
        let mut names: Vec<Text> = Vec::new();
        for (spec, task) in self.workflow.tasks.iter().zip(&self.tasks) {
            let name = spec.signal().filter(|name| !names.contains(name));
            names.extend(name.filter(|_| task.state == TaskState::Waiting).cloned());
        }
        names
    }

    /// How many more signals of this name find a task that will wait for them, or does.
    pub(crate) fn room_for_signal(&self, name: &str) -> usize {
        let is_open = |(spec, task): &(&TaskSpec, &Task)| {
            spec.signal().is_some_and(|signal| &**signal == name) && !task.state.is_over()
        };
        let open = self.workflow.tasks.iter().zip(&self.tasks).filter(is_open).count();
        open.saturating_sub(self.inbox.iter().filter(|it| &*it.name == name).count())
    }

    /// Whether a task has a step that may have happened or not, and may not be repeated.
    pub(crate) fn is_doubtful(&self, task: TaskRef) -> bool {
        self.task(task).is_some_and(|it| {
            let is_open =
                |step: &Step| step.standing == StepStanding::Open && !step.class.is_repeatable();
            it.is_in_doubt() || it.steps.iter().any(is_open)
        })
    }

    /// The children that its tasks wait for, with their nodes.
    pub fn awaited_children(&self) -> impl Iterator<Item = (u32, &ChildRun)> {
        let tasks = (0u32..).zip(&self.tasks);
        tasks.filter_map(|(node, task)| Some((node, task.awaited_child()?)))
    }

    /// The plan grows by what this node has brought.
    pub(crate) fn extend(&mut self, adder: u32, nodes: &[TaskSpec], skills: &[SkillIx]) {
        let fed = self.spec(adder).map(|spec| spec.feeds.clone()).unwrap_or_default();
        self.workflow = Arc::new(self.workflow.extended(adder, nodes));
        self.added_skills.extend_from_slice(skills);
        let count = nodes.len() as u32;
        self.tasks.extend(nodes.iter().map(|spec| Task::new(spec.needs.len() as u32, 0)));
        self.counts.add(TaskState::Pending, count);
        self.open += count;
        let awaited = nodes.iter().filter(|spec| !spec.is_fallback).count() as u32;
        for fed in fed {
            if let Some(task) = self.tasks.get_mut(fed as usize) {
                task.waits_on += awaited;
            }
        }
    }
}
