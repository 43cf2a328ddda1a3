//! A run that begins from another one's history: tasks that are over before it begins.

use super::{Child, Fan, Run, Task, TaskState};
use crate::event::{SkipCause, TaskReused};
use crate::payload::Payload;
use crate::progress::reuse_proof;

impl Run {
    /// A task that nothing happened to yet is over, as it was in the run's source; its stand-ins are
    /// told of by an event of their own.
    pub(crate) fn reuse(&mut self, reused: &TaskReused) {
        let node = reused.node;
        let is_fresh = |task: &Task| task.state == TaskState::Pending && task.fan.is_none();
        let Some(task) = self.tasks.get_mut(node as usize).filter(|task| is_fresh(task)) else {
            return;
        };
        self.counts.take(TaskState::Pending, 1);
        self.open = self.open.saturating_sub(1);
        match (&reused.output, &reused.children) {
            (None, _) => {
                task.state = TaskState::Skipped;
                task.skipped = Some(SkipCause::Condition);
                self.counts.add(TaskState::Skipped, 1);
            }
            (Some(output), None) => {
                task.state = TaskState::Succeeded;
                task.output = Some(output.clone());
                self.counts.add(TaskState::Succeeded, 1);
            }
            (Some(output), Some(children)) => {
                let count = children.outputs.len() as u32;
                task.state = TaskState::Succeeded;
                task.output = Some(output.clone());
                task.fan = Some(Box::new(Fan {
                    list: children.list.clone(),
                    next: count,
                    running: 0,
                    succeeded: count,
                    failed: 0,
                    children: children.outputs.iter().cloned().map(Child::Done).collect(),
                }));
                self.counts.add(TaskState::Succeeded, count);
            }
        }
        self.proof = reuse_proof(self.id, reused, self.proof);
        let workflow = self.workflow.clone();
        for fed in workflow.tasks.get(node as usize).into_iter().flat_map(|spec| &spec.feeds) {
            if let Some(task) = self.tasks.get_mut(*fed as usize) {
                task.waits_on = task.waits_on.saturating_sub(1);
            }
        }
    }

    /// The output of a map of so many children, all of which are done.
    pub fn map_output(count: usize) -> Payload {
        Payload::inline(
            format!(r#"{{"count":{count},"succeeded":{count},"failed":0}}"#).into_bytes(),
        )
    }
}
