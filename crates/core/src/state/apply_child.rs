//! `apply` for child runs: what a task's event means for its child, and a run's for its parent.

use std::collections::BTreeSet;

use super::State;
use super::apply::Scope;
use crate::child_run::{ChildRun, Errand};
use crate::event::{ChildEnded, Event, RunEnd};
use crate::ids::{RunId, TaskRef};
use crate::run::TaskState;

/// A child that its task does not wait for any more.
pub(crate) struct Left {
    pub(crate) run: RunId,
    pub(crate) is_detached: bool,
}

impl Scope<'_> {
    pub(super) fn request_child(&mut self, task: TaskRef, child: &ChildRun) {
        self.begin_wait(task, None);
        self.run.account.reserve(child.reserved);
        self.with(task, |it| it.child = Some(Box::new(child.clone())));
    }

    pub(super) fn end_child(&mut self, ended: &ChildEnded) {
        let child = self.with(ended.task, |it| it.child.clone()).flatten();
        if let Some(child) = child {
            self.run.account.settle(child.reserved, ended.spent);
        }
        self.with(ended.task, |it| {
            if let Some(child) = &mut it.child {
                child.reserved = crate::budget::Amounts::ZERO;
                child.ended = Some(ended.end);
                child.input = None;
            }
        });
        if ended.end != RunEnd::Succeeded {
            return;
        }
        self.set_state(ended.task, TaskState::Succeeded);
        self.with(ended.task, |it| it.output.clone_from(&ended.output));
        self.settle_needs(ended.task.node);
    }

    /// The task is over before its child: what was set aside for that is charged in full, since it
    /// goes on.
    pub(super) fn leave_child(&mut self, task: TaskRef) {
        let detached =
            self.run.spec(task.node).and_then(|spec| spec.child()).is_some_and(|it| it.is_detached);
        let left = self.with(task, |it| {
            it.awaited_child()?;
            let child = it.child.as_mut()?;
            let reserved = std::mem::take(&mut child.reserved);
            Some((child.run, reserved))
        });
        let Some((run, reserved)) = left.flatten() else { return };
        self.run.account.settle(reserved, reserved);
        self.left.push(Left { run, is_detached: detached });
    }
}

impl State {
    /// What runs still have to tell each other, now or when one of them is read.
    pub(super) fn all_errands(&self) -> BTreeSet<Errand> {
        self.errands.union(&self.errands_later).copied().collect()
    }

    /// Which errands cannot be done yet, and which children are on disk, follows from the rest.
    pub(super) fn sort_family(&mut self) {
        let is_paused = |parent: &RunId| self.runs.get(parent).is_some_and(|run| run.paused);
        let is_later = |errand: &Errand| match errand {
            Errand::Start(run) => self.children.get(run).is_some_and(|(it, _)| is_paused(it)),
            Errand::Pause(run) | Errand::Resume(run) => self.backlog.contains(*run),
            Errand::Settle(_) | Errand::Cancel(_) => false,
        };
        (self.errands_later, self.errands) = self.errands.iter().partition(|it| is_later(it));
        let children = self.children.keys().filter(|child| self.backlog.contains(**child));
        self.children_on_disk = children.copied().collect();
    }

    /// A child that waited on disk is in memory: what it is to be told can be told.
    pub(super) fn load_child(&mut self, child: RunId) {
        self.children_on_disk.remove(&child);
        for errand in [Errand::Pause(child), Errand::Resume(child)] {
            if self.errands_later.remove(&errand) {
                self.errands.insert(errand);
            }
        }
    }

    /// What an event of a run means for its children, and for its parent.
    pub(super) fn keep_family(&mut self, id: RunId, event: &Event, left: Vec<Left>) {
        match event {
            Event::ChildRequested { task, child } => {
                self.children.insert(child.run, (id, task.node));
                let is_paused = self.runs.get(&id).is_some_and(|run| run.paused);
                let errands = if is_paused { &mut self.errands_later } else { &mut self.errands };
                errands.insert(Errand::Start(child.run));
            }
            Event::ChildEnded(ended) => {
                self.take_back(id, ended);
                self.release_child(ended.run);
            }
            Event::RunPaused { .. } => {
                self.errands.remove(&Errand::Pause(id));
                self.pass_on(id, true);
            }
            Event::RunResumed { .. } => {
                self.errands.remove(&Errand::Resume(id));
                self.pass_on(id, false);
            }
            Event::RunEnded(_) => {
                for done in
                    [Errand::Start(id), Errand::Cancel(id), Errand::Pause(id), Errand::Resume(id)]
                {
                    self.errands.remove(&done);
                }
                if self.children.contains_key(&id) {
                    self.errands.insert(Errand::Settle(id));
                }
            }
            _ => {}
        }
        for Left { run, is_detached } in left {
            self.release_child(run);
            if !is_detached && self.lives(run) {
                for other in [Errand::Pause(run), Errand::Resume(run)] {
                    self.errands.remove(&other);
                    self.errands_later.remove(&other);
                }
                self.errands.insert(Errand::Cancel(run));
            }
        }
    }

    /// What a detached child did not use went back: it may not use it any more, should it be retried.
    fn take_back(&mut self, parent: RunId, ended: &ChildEnded) {
        let Some(above) = self.runs.get(&parent).map(|parent| self.limit_of(parent)) else {
            return;
        };
        let child = self.runs.get_mut(&ended.run);
        if let Some(child) = child.filter(|it| it.parent.as_ref().is_some_and(|it| it.is_detached))
        {
            child.account.lower(ended.spent.within(above));
        }
    }

    /// Children that go with their parent are paused and resumed with it; what is paused begins none.
    fn pass_on(&mut self, id: RunId, pause: bool) {
        let Some(run) = self.runs.get(&id) else { return };
        let (from, to) = match pause {
            true => (&mut self.errands, &mut self.errands_later),
            false => (&mut self.errands_later, &mut self.errands),
        };
        let starts = run.awaited_children().map(|(_, child)| Errand::Start(child.run));
        to.extend(starts.filter(|start| from.remove(start)));
        let is_bound = |node: u32| {
            run.spec(node).and_then(|spec| spec.child()).is_some_and(|it| !it.is_detached)
        };
        let children: Vec<RunId> = run
            .awaited_children()
            .filter(|(node, _)| is_bound(*node))
            .map(|(_, child)| child.run)
            .collect();
        for child in children {
            let is_paused = self.runs.get(&child).is_some_and(|child| child.paused);
            let is_told = is_paused != pause && self.lives(child);
            // One that waits on disk hears of it when it is read: until then the other takes it back.
            let errands = match self.backlog.contains(child) {
                true => &mut self.errands_later,
                false => &mut self.errands,
            };
            errands.remove(&Errand::Pause(child));
            errands.remove(&Errand::Resume(child));
            if is_told {
                errands.insert(if pause { Errand::Pause(child) } else { Errand::Resume(child) });
            }
        }
    }

    /// Nobody waits for the child any more: one that is over leaves as others do.
    fn release_child(&mut self, child: RunId) {
        if self.children.remove(&child).is_none() {
            return;
        }
        self.children_on_disk.remove(&child);
        self.errands.remove(&Errand::Start(child));
        self.errands_later.remove(&Errand::Start(child));
        self.errands.remove(&Errand::Settle(child));
        let Some(run) = self.runs.get(&child).filter(|run| run.is_over()) else { return };
        let state = run.state();
        self.retire(child, state);
    }
}
