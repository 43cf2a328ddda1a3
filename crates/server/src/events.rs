//! The journal's events as JSON: `type` in snake case, and the fields of each.
//!
//! Total: every event has a form. Inputs and outputs that are inline are passed on as they are,
//! larger ones as `{"blob", "bytes"}`.

use ark_os_api::Json;
use ark_os_core::Event;
use ark_os_core::deployment::Deployment;
use ark_os_core::event::{
    AttemptEnded, AttemptStarted, Resolution, RunAccepted, TaskReused, TaskSucceeded,
};
use ark_os_core::fleet::Place;
use ark_os_core::fleet::profile::{FleetPlan, Seat, agent_name};
use ark_os_core::ids::{AgentIx, PtId, RunId, TaskId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::step::{Finding, StepOutcome};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::{Handle, RecordedEvents, RuntimeError};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::words;

mod supervision;

use supervision::of_supervision;

/// Names agents by their place in the fleet of the record that speaks of them.
#[derive(Clone, Debug, Default)]
pub struct AgentNames {
    /// Fleets, oldest first, each with the first record that speaks of it.
    pub fleets: Vec<(u64, FleetPlan)>,
}

impl AgentNames {
    /// The fleets that records `from..=to` speak of.
    ///
    /// # Errors
    /// The views cannot be read.
    pub fn load(handle: &Handle, from: u64, to: u64) -> Result<Self, RuntimeError> {
        Ok(AgentNames { fleets: handle.fleets(from, to)? })
    }

    /// The fleets that a page of a history speaks of.
    ///
    /// # Errors
    /// The views cannot be read.
    pub fn of_page(handle: &Handle, records: &[RecordedEvents]) -> Result<Self, RuntimeError> {
        match (records.first(), records.last()) {
            (Some(first), Some(last)) => AgentNames::load(handle, first.seq, last.seq),
            _ => Ok(AgentNames::default()),
        }
    }

    /// An agent's place in the fleet of a record; none: nobody knows that fleet.
    pub fn seat(&self, agent: AgentIx, seq: u64) -> Option<Seat> {
        let after = self.fleets.partition_point(|(first, _)| *first <= seq);
        let (_, plan) = self.fleets.get(after.checked_sub(1)?)?;
        plan.seat(agent)
    }

    /// An agent's name.
    pub fn name(&self, agent: AgentIx, seq: u64) -> Option<String> {
        self.seat(agent, seq).map(|seat| agent_name(seat.layer, seat.ordinal))
    }

    /// Where the agent of an attempt stands: what the record says, or what follows from the start.
    pub fn place(&self, started: &AttemptStarted, seq: u64) -> Option<Place> {
        if let Some(place) = &started.place {
            return Some(Place::clone(place));
        }
        let Seat { layer, ordinal, stack, .. } = self.seat(started.agent, seq)?;
        Some(Place { name: agent_name(layer, ordinal).into(), layer, stack })
    }

    fn of(&self, agent: AgentIx, seq: u64) -> Value {
        self.name(agent, seq).map_or_else(|| Value::from(agent.0), Value::from)
    }
}

/// One event of a run, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct EventJson<'a> {
    /// Its run.
    pub run: RunId,
    /// The record that it stands in.
    pub recorded: &'a RecordedEvents,
    /// Its place in the record, from 0.
    pub index: usize,
    /// Names of agents.
    pub names: &'a AgentNames,
}

impl EventJson<'_> {
    /// Its id: what `Last-Event-ID` and `after` take.
    pub fn id(&self) -> String {
        format!("{}.{}", self.recorded.seq, self.index)
    }

    /// Its type; none beyond the record's last event.
    pub fn kind(&self) -> Option<&'static str> {
        self.recorded.change.events.get(self.index).map(kind)
    }
}

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id())?;
        map.serialize_entry("seq", &self.recorded.seq)?;
        map.serialize_entry("cause", &self.recorded.cause)?;
        map.serialize_entry("at", &words::stamp(self.recorded.change.at))?;
        map.serialize_entry("run", &self.run)?;
        if let Some(event) = self.recorded.change.events.get(self.index) {
            map.serialize_entry("type", kind(event))?;
            let ids = Ids { run: self.run, seq: self.recorded.seq, names: self.names };
            for (name, field) in ids.fields(event) {
                match field {
                    Field::Value(value) => map.serialize_entry(name, &value)?,
                    Field::Text(text) => map.serialize_entry(name, &text)?,
                }
            }
        }
        map.end()
    }
}

enum Field {
    Value(Value),
    /// JSON that is passed on as it is: numbers keep their digits.
    Text(Json),
}

type Fields = Vec<(&'static str, Field)>;

/// The type of an event.
pub fn kind(event: &Event) -> &'static str {
    match event {
        Event::InstanceStarted(_) => "instance_started",
        Event::IntakeChanged { .. } => "intake_changed",
        Event::AgentChanged { .. } => "agent_changed",
        Event::AgentStruck { .. } => "agent_struck",
        Event::AgentJoined(_) => "agent_joined",
        Event::AgentLeft(_) => "agent_left",
        Event::FleetScaled { .. } => "fleet_scaled",
        Event::SettingsChanged(_) => "settings_changed",
        Event::DeploymentStarted(_) => "deployment_started",
        Event::LayerDeployed { .. } => "layer_deployed",
        Event::DeploymentFinished { .. } => "deployment_finished",
        Event::DeploymentRolledBack { .. } => "deployment_rolled_back",
        Event::WorkflowAdmitted(_) => "workflow_admitted",
        Event::AuthorityRevoked { .. } => "authority_revoked",
        Event::RunAccepted(_) => "run_accepted",
        Event::RunLoaded { .. } => "run_loaded",
        Event::RunWaited { .. } => "run_waited",
        Event::RunStarted { .. } => "run_started",
        Event::RunRecovered => "run_recovered",
        Event::RunPaused { .. } => "run_paused",
        Event::RunResumed { .. } => "run_resumed",
        Event::RunParked => "run_parked",
        Event::RunEnded(_) => "run_ended",
        Event::RunRetried { .. } => "run_retried",
        Event::RunGathering => "run_gathering",
        Event::TaskPreparing { .. } => "task_preparing",
        Event::MapExpanded { .. } => "map_expanded",
        Event::TaskReady { .. } => "task_ready",
        Event::AttemptStarted(_) => "attempt_started",
        Event::LeaseRenewed { .. } => "lease_renewed",
        Event::ProgressMade { .. } => "progress_made",
        Event::AttemptEnded(_) => "attempt_ended",
        Event::TaskSucceeded(_) => "task_succeeded",
        Event::TaskFailed { .. } => "task_failed",
        Event::TasksSkipped { .. } => "tasks_skipped",
        Event::TasksCancelled { .. } => "tasks_cancelled",
        Event::TaskParked { .. } => "task_parked",
        Event::TaskUnparked { .. } => "task_unparked",
        Event::MapDone { .. } => "map_done",
        Event::StepIntended(_) => "step_intended",
        Event::StepSettled { .. } => "step_settled",
        Event::StepInDoubt { .. } => "step_in_doubt",
        Event::StepResolved { .. } => "step_resolved",
        Event::StepProbed { .. } => "step_probed",
        Event::TaskWaiting { .. } => "task_waiting",
        Event::SignalReceived(_) => "signal_received",
        Event::WaitEnded { .. } => "wait_ended",
        Event::SchedulePut(_) => "schedule_put",
        Event::ScheduleChanged { .. } => "schedule_changed",
        Event::ScheduleRemoved { .. } => "schedule_removed",
        Event::ScheduleFired(_) => "schedule_fired",
        Event::ScheduleSkipped(_) => "schedule_skipped",
        Event::ScheduleQueued { .. } => "schedule_queued",
        Event::RunPrioritized { .. } => "run_prioritized",
        Event::ChildRequested { .. } => "child_requested",
        Event::ChildEnded(_) => "child_ended",
        Event::TasksAdded(_) => "tasks_added",
        Event::RunForked(_) => "run_forked",
        Event::TaskReused(_) => "task_reused",
        Event::Supervised(event) => supervision::kind(event),
        Event::TaskKeyed { .. } => "task_keyed",
        Event::LimitEased { .. } => "limit_eased",
    }
}

/// What turns references into ids.
struct Ids<'a> {
    run: RunId,
    seq: u64,
    names: &'a AgentNames,
}

impl Ids<'_> {
    fn fields(&self, event: &Event) -> Fields {
        match event {
            Event::InstanceStarted(_)
            | Event::IntakeChanged { .. }
            | Event::AgentChanged { .. }
            | Event::AgentStruck { .. }
            | Event::AgentJoined(_)
            | Event::AgentLeft(_)
            | Event::FleetScaled { .. }
            | Event::SettingsChanged(_)
            | Event::DeploymentStarted(_)
            | Event::LayerDeployed { .. }
            | Event::DeploymentFinished { .. }
            | Event::DeploymentRolledBack { .. }
            | Event::WorkflowAdmitted(_)
            | Event::AuthorityRevoked { .. } => self.of_instance(event),
            Event::Supervised(event) => of_supervision(event),
            Event::ScheduleFired(_)
            | Event::SchedulePut(_)
            | Event::ScheduleChanged { .. }
            | Event::ScheduleRemoved { .. }
            | Event::ScheduleSkipped(_)
            | Event::ScheduleQueued { .. } => of_schedule(event),
            Event::StepIntended(_)
            | Event::StepSettled { .. }
            | Event::StepInDoubt { .. }
            | Event::StepProbed { .. }
            | Event::StepResolved { .. } => self.of_step(event),
            Event::RunAccepted(accepted) => of_accepted(accepted),
            Event::RunLoaded { accepted } => {
                accepted.iter().flat_map(|it| of_accepted(it)).collect()
            }
            Event::RunWaited { layer } => vec![value("layer", layer)],
            Event::RunStarted { admission } => vec![value("admission", admission)],
            Event::RunPaused { reason } => vec![value("reason", reason)],
            Event::RunEnded(ended) => {
                let mut fields = vec![value("end", ended.end)];
                fields.extend(ended.output.iter().map(|it| payload("output", it)));
                fields.extend(ended.failure.iter().map(|it| value("failure", words::failure(it))));
                fields.extend(ended.proof.map(|it| value("proof", it.to_string())));
                fields
            }
            Event::RunRetried { task, nodes, reason } => {
                let mut fields = vec![self.task(*task), value("nodes", nodes)];
                fields.extend(reason_of(reason));
                fields
            }
            Event::RunResumed { reason } => reason_of(reason).into_iter().collect(),
            Event::RunForked(forked) => vec![
                value("source", forked.source),
                value("source_seq", forked.at),
                value("head", forked.head.to_string()),
                value("reason", &forked.reason),
            ],
            Event::TaskReused(reused) => self.of_reused(reused),
            Event::TaskKeyed { task, key } => vec![self.task(*task), value("key", key)],
            Event::LimitEased { limit } => vec![value("limit", limit)],
            Event::RunPrioritized { priority, reason } => {
                vec![value("priority", priority.as_str()), value("reason", reason)]
            }
            Event::RunRecovered | Event::RunParked | Event::RunGathering => Vec::new(),
            Event::TaskWaiting { .. }
            | Event::SignalReceived(_)
            | Event::WaitEnded { .. }
            | Event::ChildRequested { .. }
            | Event::ChildEnded(_)
            | Event::TasksAdded(_) => self.of_wait(event),
            _ => self.of_task(event),
        }
    }

    fn of_wait(&self, event: &Event) -> Fields {
        match event {
            Event::TaskWaiting { task, until } => {
                let mut fields = vec![self.task(*task)];
                fields.extend(until.map(|until| moment("until", until)));
                fields
            }
            Event::SignalReceived(signal) => {
                let mut fields = vec![
                    value("signal", signal.number),
                    value("name", &signal.name),
                    payload("payload", &signal.payload),
                ];
                fields.extend(signal.key.as_ref().map(|key| value("key", &key.key)));
                fields
            }
            Event::WaitEnded { task, output, signal } => {
                let mut fields = vec![self.task(*task), payload("output", output)];
                fields.extend(signal.map(|signal| value("signal", signal)));
                fields
            }
            Event::ChildRequested { task, child } => {
                let mut fields = vec![self.task(*task), value("child", child.run)];
                fields.extend(child.input.iter().map(|input| payload("input", input)));
                fields.push(value("reserved", words::amounts(child.reserved, 0)));
                fields
            }
            Event::TasksAdded(added) => {
                let name = |spec: &ark_os_core::plan::TaskSpec| json!({ "name": &spec.name, "skill": &spec.skill, "needs": &spec.needs });
                let tasks: Vec<Value> = added.nodes.iter().map(name).collect();
                vec![self.task(added.task), value("added", tasks)]
            }
            Event::ChildEnded(ended) => {
                let mut fields = vec![
                    self.task(ended.task),
                    value("child", ended.run),
                    value("end", ended.end),
                    value("spent", words::amounts(ended.spent, 0)),
                ];
                fields.extend(ended.output.iter().map(|output| payload("output", output)));
                fields
            }
            _ => Vec::new(),
        }
    }

    fn of_instance(&self, event: &Event) -> Fields {
        match event {
            Event::InstanceStarted(started) => vec![
                value("version", &started.version),
                value("mode", words::mode(started.mode)),
                value("agents", started.agents),
                value("skills", started.skills.iter().map(|it| &it.name).collect::<Vec<_>>()),
                value("rules", started.rules.to_string()),
            ],
            Event::IntakeChanged { intake, reason } => {
                vec![value("intake", intake), value("reason", reason)]
            }
            Event::AgentChanged { agent, standing, reason, until, name } => {
                let mut fields = vec![
                    self.agent(*agent, name.as_ref()),
                    value("standing", words::standing(*standing)),
                    value("reason", reason),
                ];
                fields.extend(until.map(|until| moment("until", until)));
                fields
            }
            Event::AgentStruck { agent, reason, name } => {
                vec![self.agent(*agent, name.as_ref()), value("reason", reason)]
            }
            Event::AgentJoined(joined) => vec![
                value("agent", &joined.group.name),
                value("layer", joined.group.layer),
                value("concurrency", joined.group.concurrency),
                value("skills", &joined.group.skills),
            ],
            Event::AgentLeft(left) => {
                vec![value("agent", &left.name), value("reason", &left.reason)]
            }
            Event::FleetScaled { agents, reason } => {
                vec![value("agents", agents), value("reason", reason)]
            }
            Event::SettingsChanged(changed) => vec![
                value("by", &changed.by),
                value("reason", &changed.reason),
                value("changes", &changed.changes),
            ],
            Event::DeploymentStarted(it) => of_deployment(it),
            Event::LayerDeployed { version, layer, .. } => {
                vec![value("version", version), value("layer", layer)]
            }
            Event::DeploymentFinished { version } => vec![value("version", version)],
            Event::DeploymentRolledBack { version, reason } => {
                vec![value("version", version), value("reason", reason)]
            }
            Event::WorkflowAdmitted(admission) => vec![
                value("admission", admission.id),
                value("namespace", &admission.namespace),
                value("workflow", &admission.workflow.name),
                value("version", &admission.workflow.version),
                value("workflow_hash", admission.workflow.hash.to_string()),
                value("decisions", &admission.decisions),
                value("rules", admission.rules.to_string()),
            ],
            Event::AuthorityRevoked { id, reason } => {
                vec![value("authority", id), value("reason", reason)]
            }
            _ => Vec::new(),
        }
    }

    fn of_task(&self, event: &Event) -> Fields {
        match event {
            Event::TaskPreparing { task } | Event::TaskReady { task } | Event::MapDone { task } => {
                vec![self.task(*task)]
            }
            Event::TaskUnparked { task, reason } => {
                let mut fields = vec![self.task(*task)];
                fields.extend(reason_of(reason));
                fields
            }
            Event::MapExpanded { task, count, list } => {
                vec![
                    self.task(*task),
                    value("count", count),
                    value("list", list.hash().to_string()),
                ]
            }
            Event::AttemptStarted(started) => self.of_started(started),
            Event::LeaseRenewed { task, until } => vec![self.task(*task), moment("until", *until)],
            Event::ProgressMade { task, checkpoint } => {
                let mut fields = vec![self.task(*task)];
                fields.extend(checkpoint.map(|it| value("checkpoint", it.to_string())));
                fields
            }
            Event::AttemptEnded(ended) => self.of_ended(ended),
            Event::TaskSucceeded(succeeded) => self.of_succeeded(succeeded),
            Event::TaskFailed { task, failure } => {
                vec![self.task(*task), value("failure", words::failure(failure))]
            }
            Event::TasksSkipped { tasks, cause } => {
                vec![self.tasks(tasks), value("because", words::skip_cause(cause))]
            }
            Event::TasksCancelled { tasks } => vec![self.tasks(tasks)],
            Event::TaskParked { task, reason, message } => vec![
                self.task(*task),
                value("reason", words::park_reason(*reason)),
                value("message", message),
            ],
            _ => Vec::new(),
        }
    }

    fn of_started(&self, started: &AttemptStarted) -> Fields {
        let pt = PtId { run: self.run, task: started.task, fence: started.fence };
        let mut fields = vec![
            self.task(started.task),
            value("attempt", started.attempt),
            self.agent(started.agent, started.place.as_ref().map(|place| &place.name)),
            value("token", pt),
            value("class", started.class.as_str()),
        ];
        fields.extend(started.reserved.map(|it| value("reserved", words::amounts(it, 0))));
        fields.extend(started.held_until.map(|at| moment("held_until", at)));
        fields
    }

    fn of_ended(&self, ended: &AttemptEnded) -> Fields {
        let mut fields = vec![
            self.task(ended.task),
            value("fence", ended.fence),
            value("end", ended.end),
            value("failure", words::failure(&ended.failure)),
        ];
        fields.extend(ended.retry_at.map(|at| moment("retry_at", at)));
        fields.push(value("spent", words::amounts(ended.spent, 0)));
        fields
    }

    fn of_reused(&self, reused: &TaskReused) -> Fields {
        let mut fields = vec![
            self.task(TaskRef::node(reused.node)),
            value("source_node", reused.source_node),
            value("source_proof", reused.proof.to_string()),
        ];
        fields.extend(reused.output.iter().map(|it| payload("output", it)));
        fields.extend(reused.children.iter().map(|it| value("children", it.outputs.len())));
        fields
    }

    fn of_succeeded(&self, succeeded: &TaskSucceeded) -> Fields {
        let mut fields = vec![
            self.task(succeeded.task),
            value("fence", succeeded.fence),
            payload("output", &succeeded.output),
            value("input_hash", succeeded.input.to_string()),
            value("output_hash", succeeded.output.hash().to_string()),
            value("micros", succeeded.micros),
            value("spent", words::amounts(succeeded.spent, 0)),
        ];
        fields.extend(succeeded.effects.map(|root| value("effects_root", root.to_string())));
        if let Some(blobs) = &succeeded.blobs {
            let blobs: Vec<String> = blobs.iter().map(|hash| format!("sha256:{hash}")).collect();
            fields.push(value("blobs", blobs));
        }
        fields
    }

    fn of_step(&self, event: &Event) -> Fields {
        match event {
            Event::StepIntended(step) => vec![
                self.task(step.task),
                value("step", step.key.0.to_string()),
                value("number", step.number),
                value("tool", &step.tool),
                value("arguments", step.arguments.to_string()),
                value("class", step.class.as_str()),
                value("reserved", words::amounts(step.reserved, 0)),
                value("fence", step.fence),
            ],
            Event::StepSettled { task, key, outcome, spent } => vec![
                self.task(*task),
                value("step", key.0.to_string()),
                match outcome {
                    StepOutcome::Done(result) => payload("result", result),
                    StepOutcome::Failed(failure) => value("failure", words::failure(failure)),
                },
                value("spent", words::amounts(*spent, 0)),
            ],
            Event::StepInDoubt { task, key } => {
                vec![self.task(*task), value("step", key.0.to_string())]
            }
            Event::StepProbed { task, key, finding } => vec![
                self.task(*task),
                value("step", key.0.to_string()),
                match finding {
                    Finding::Happened(result) => payload("happened", result),
                    Finding::NotHappened => value("not_happened", true),
                    Finding::Unknown => value("unknown", true),
                },
            ],
            Event::StepResolved { task, key, resolution, reason } => vec![
                self.task(*task),
                value("step", key.0.to_string()),
                match resolution {
                    Resolution::Happened(result) => payload("happened", result),
                    Resolution::NotHappened => value("not_happened", true),
                    Resolution::GiveUp => value("give_up", true),
                },
                value("reason", reason),
            ],
            _ => Vec::new(),
        }
    }

    fn task(&self, task: TaskRef) -> (&'static str, Field) {
        value("task", TaskId { run: self.run, task })
    }

    fn tasks(&self, tasks: &[TaskRef]) -> (&'static str, Field) {
        let ids: Vec<TaskId> =
            tasks.iter().map(|task| TaskId { run: self.run, task: *task }).collect();
        value("tasks", ids)
    }

    /// The name that the event gives, or the one that follows from the start of the instance.
    fn agent(&self, agent: AgentIx, own: Option<&Text>) -> (&'static str, Field) {
        let own = own.map(|name| Value::from(name.as_str()));
        ("agent", Field::Value(own.unwrap_or_else(|| self.names.of(agent, self.seq))))
    }
}

fn of_deployment(it: &Deployment) -> Fields {
    vec![
        value("version", it.version),
        value("manifest", it.manifest.hash().to_string()),
        value("groups", it.fleet.groups.iter().map(|group| &group.name).collect::<Vec<_>>()),
        value("workflows", it.workflows.iter().map(|it| &it.workflow.name).collect::<Vec<_>>()),
        value("reason", &it.reason),
        value("rules", &it.rules),
    ]
}

fn of_accepted(accepted: &RunAccepted) -> Fields {
    let mut fields =
        vec![value("priority", accepted.priority.as_str()), payload("input", &accepted.input)];
    fields.extend(accepted.admission.map(|number| value("admission", number)));
    if let Some(pending) = &accepted.pending {
        fields.push(value("workflow", &pending.workflow.name));
        fields.push(value("workflow_hash", pending.workflow.hash.to_string()));
    }
    fields.extend(accepted.deadline.map(|deadline| moment("deadline", deadline)));
    fields.extend(accepted.budget.map(|it| value("budget", words::amounts(it, u64::MAX))));
    fields.extend(accepted.key.as_ref().map(|key| value("key", &key.key)));
    fields.extend(accepted.waits.map(|waits| value("waits", waits)));
    fields.extend(accepted.start_at.map(|start| moment("start_at", start)));
    if let Some(parent) = &accepted.parent {
        fields.push(value("parent", parent.run));
        let task = TaskId { run: parent.run, task: TaskRef::node(parent.node) };
        fields.push(value("parent_task", task));
    }
    fields
}

fn of_schedule(event: &Event) -> Fields {
    match event {
        Event::ScheduleFired(fired) => {
            let mut fields = vec![
                value("schedule", &fired.name),
                moment("time", fired.time),
                value("trigger", fired.trigger),
            ];
            fields.extend(fired.next.map(|next| moment("next", next)));
            fields.extend(fired.since.map(|since| moment("since", since)));
            fields
        }
        Event::SchedulePut(put) => {
            let mut fields = vec![value("number", put.schedule), value("schedule", &put.spec.name)];
            fields.extend(put.deployed.then(|| value("deployed", true)));
            fields
        }
        Event::ScheduleChanged { schedule, is_paused, reason, .. } => {
            vec![value("number", schedule), value("paused", is_paused), value("reason", reason)]
        }
        Event::ScheduleRemoved { schedule, reason } => {
            vec![value("number", schedule), value("reason", reason)]
        }
        Event::ScheduleSkipped(skipped) => vec![
            value("number", skipped.schedule),
            moment("time", skipped.time),
            value("because", &skipped.cause),
        ],
        Event::ScheduleQueued { schedule, time, .. } => {
            vec![value("number", schedule), moment("time", *time)]
        }
        _ => Vec::new(),
    }
}

fn reason_of(reason: &Option<Text>) -> Option<(&'static str, Field)> {
    reason.as_ref().map(|reason| value("reason", reason))
}

/// What every event has; a field of one kind of event that had such a name would stand twice in its object.
const COMMON: [&str; 6] = ["id", "seq", "cause", "at", "run", "type"];

/// Plain data always has a JSON form.
fn value(name: &'static str, it: impl Serialize) -> (&'static str, Field) {
    debug_assert!(!COMMON.contains(&name), "`{name}` stands in every event");
    (name, Field::Value(serde_json::to_value(it).unwrap_or_default()))
}

fn moment(name: &'static str, time: Time) -> (&'static str, Field) {
    value(name, words::stamp(time))
}

fn payload(name: &'static str, payload: &Payload) -> (&'static str, Field) {
    let field = match payload {
        Payload::Inline(bytes) => json_text(&bytes.0)
            .map_or_else(|| Field::Value(String::from_utf8_lossy(&bytes.0).into()), Field::Text),
        Payload::Blob { hash, len } => {
            Field::Value(json!({ "blob": format!("sha256:{hash}"), "bytes": len }))
        }
    };
    (name, field)
}

/// JSON text as such; none if it is none.
pub(crate) fn json_text(bytes: &[u8]) -> Option<Json> {
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_core::Change;
    use ark_os_core::authority::RevocationId;
    use ark_os_core::budget::Amounts;
    use ark_os_core::event::{RunForked, SkipCause};
    use ark_os_core::hash::Hash;
    use ark_os_core::ids::Fence;
    use ark_os_runtime::RecordPlace;

    fn shown(seq: u64, event: Event) -> String {
        let change = Change { run: Some(RunId(1)), at: Time(0), events: vec![event] };
        let recorded = RecordedEvents { seq, cause: 3, place: RecordPlace::default(), change };
        let names = AgentNames { fleets: vec![(10, FleetPlan::for_agents(100))] };
        let event = EventJson { run: RunId(1), recorded: &recorded, index: 0, names: &names };
        serde_json::to_string(&event).unwrap()
    }

    fn succeeded(output: Payload) -> Event {
        Event::TaskSucceeded(Box::new(TaskSucceeded {
            task: TaskRef::child(2, 7),
            fence: Fence(9),
            output,
            input: Hash::ZERO,
            effects: None,
            spent: Amounts { calls: 1, ..Amounts::ZERO },
            micros: 12,
            blobs: None,
        }))
    }

    #[test]
    fn a_reason_is_shown_where_one_was_given() {
        let task = TaskRef::node(0);
        let unparked = |reason| shown(12, Event::TaskUnparked { task, reason });
        assert!(unparked(Some("seen to".into())).ends_with(r#""reason":"seen to"}"#));
        assert!(!unparked(None).contains("reason"));
    }

    #[test]
    fn no_field_stands_twice_in_an_event() {
        let forked =
            RunForked { source: RunId(1), at: 21, head: Hash::ZERO, reason: "again".into() };
        let tasks = vec![TaskRef::node(0)];
        let events = [
            Event::RunForked(Box::new(forked)),
            Event::TasksSkipped { tasks, cause: SkipCause::Condition },
            Event::AuthorityRevoked { id: RevocationId([3; 16]), reason: "done".into() },
        ];
        for event in events {
            let text = shown(12, event);
            for name in COMMON {
                assert_eq!(text.matches(&format!("\"{name}\":")).count(), 1, "{name}: {text}");
            }
        }
    }

    #[test]
    fn outputs_are_passed_on_digit_by_digit() {
        let text = shown(
            12,
            succeeded(Payload::inline(&br#"{"n":1e999,"m":12345678901234567890123}"#[..])),
        );
        assert!(text.starts_with(
            r#"{"id":"12.0","seq":12,"cause":3,"at":"1970-01-01T00:00:00.000Z","run":"run_0000"#
        ));
        assert!(
            text.contains(
                r#""type":"task_succeeded","task":"task_00000000000000000000000001_2.7""#
            )
        );
        assert!(text.contains(r#""output":{"n":1e999,"m":12345678901234567890123},"#));
        assert!(text.contains(r#""spent":{"calls":1}"#));
    }

    #[test]
    fn what_is_large_or_no_json_still_has_a_form() {
        let blob = Payload::Blob { hash: Hash::ZERO, len: 70_000 };
        assert!(shown(1, succeeded(blob)).contains(r#""bytes":70000"#));
        assert!(
            shown(1, succeeded(Payload::inline(&b"not json"[..])))
                .contains(r#""output":"not json""#)
        );
    }

    #[test]
    fn agents_of_a_fleet_that_nobody_knows_have_a_number_only() {
        let struck = Event::AgentStruck { agent: AgentIx(0), reason: "late".into(), name: None };
        assert!(shown(12, struck.clone()).contains(r#""agent":"cecca-00000""#));
        assert!(shown(9, struck).contains(r#""agent":0"#));
    }
}
