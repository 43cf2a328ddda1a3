//! Log lines about what somebody may have to look after. Telemetry: the journal is the evidence.
//!
//! Names, ids and codes only: a payload, or a message made of one, is never logged.

use ark_os_core::event::{AttemptEnd, AttemptEnded, ParkReason, Standing, Supervised};
use ark_os_core::ids::{AgentIx, RunId, TaskId, TaskRef};
use ark_os_core::supervision::Desk;
use ark_os_core::text::Text;
use ark_os_core::{Change, Event};

/// The id of a run's trace in the form of W3C Trace Context: the run's own 128 bits as 32
/// hexadecimal digits, so that it can be told from the run and needs no storage.
pub fn trace_id(run: RunId) -> String {
    format!("{:032x}", run.0)
}

/// Logs what in a change needs an operator: a task or run that is parked, an agent that is restarted
/// or replaced, an attempt that is lost. `name` tells an agent's name.
pub fn observe(change: &Change, name: impl Fn(AgentIx) -> String) {
    // Made only for what is told: hardly a record has anything.
    let trace = || change.run.map(trace_id);
    // An attempt is lost with its agent: the agent's change stands before it in the same record.
    let mut failed = None;
    for event in &change.events {
        match event {
            Event::AgentChanged { agent, standing, reason, name: own, .. } => {
                let what = match standing {
                    Standing::Restarting => "an agent failed and is restarted",
                    Standing::Replaced => "an agent failed too often and is replaced",
                    Standing::Suspect => "an agent has not been heard of",
                    Standing::Quarantined => "an agent is kept from work",
                    Standing::Ready
                    | Standing::Offline
                    | Standing::Starting
                    | Standing::Draining
                    | Standing::Retired => continue,
                };
                let named = own.as_ref().map_or_else(|| name(*agent), Text::to_string);
                let reason = &**reason;
                tracing::warn!(agent_id = named, trace_id = trace(), reason, "{what}");
                failed = Some(named);
            }
            Event::AttemptEnded(ended) if ended.end == AttemptEnd::Lost => {
                let agent = failed.take();
                let task = change.run.map(|run| task_id(run, ended.task));
                lost(ended, agent.as_deref(), task.as_deref(), trace().as_deref());
            }
            Event::TaskParked { task, reason, .. } => {
                let task = change.run.map(|run| task_id(run, *task));
                let (task_id, reason) = (task.as_deref(), words(*reason));
                tracing::warn!(task_id, trace_id = trace(), reason, "a task is parked");
            }
            Event::RunParked => {
                let run_id = change.run.map(|run| run.to_string());
                tracing::warn!(
                    run_id = run_id.as_deref(),
                    trace_id = trace(),
                    "a run is parked until somebody decides"
                );
            }
            Event::Supervised(event) => of_supervision(event),
            _ => {}
        }
    }
}

/// What a person is to see to, and emergency measures. Nothing that was escalated is told before that.
fn of_supervision(event: &Supervised) {
    let waits = |id: u64| tracing::warn!(escalation = id, "an escalation waits for a person");
    match event {
        Supervised::EscalationRaised(it) if it.to == Desk::Human => waits(it.id),
        Supervised::EscalationPassed { id, to: Desk::Human, .. } => waits(*id),
        Supervised::MeasureTaken(it) => {
            tracing::warn!(measure = it.id, "an emergency measure is in force");
        }
        Supervised::MeasureEnded { id, .. } => {
            tracing::info!(measure = id, "an emergency measure is over");
        }
        _ => {}
    }
}

fn lost(ended: &AttemptEnded, agent: Option<&str>, task: Option<&str>, trace: Option<&str>) {
    tracing::warn!(
        agent_id = agent,
        task_id = task,
        trace_id = trace,
        fence = ended.fence.0,
        code = &*ended.failure.code,
        "an attempt is lost"
    );
}

fn task_id(run: RunId, task: TaskRef) -> String {
    TaskId { run, task }.to_string()
}

fn words(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::Stalled => "stalled",
        ParkReason::InDoubt => "in_doubt",
        ParkReason::Poison => "poison",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::sync::{Arc, Mutex};

    use ark_os_core::budget::Amounts;
    use ark_os_core::error::Failure;
    use ark_os_core::ids::Fence;
    use ark_os_core::time::Time;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Metadata, Subscriber};

    use super::*;

    type Line = BTreeMap<&'static str, String>;

    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<Line>>>);

    struct Fields(Line);

    impl Visit for Fields {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name(), value.to_owned());
        }

        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }
    }

    impl Subscriber for Recorder {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = Fields(Line::new());
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    fn logged(run: Option<RunId>, events: Vec<Event>) -> Vec<Line> {
        let recorder = Recorder::default();
        let change = Change { run, at: Time(0), events };
        tracing::subscriber::with_default(recorder.clone(), || {
            observe(&change, |agent| format!("micro-{:05}", agent.0));
        });
        let lines = recorder.0.lock().unwrap();
        lines.clone()
    }

    fn changed(standing: Standing) -> Event {
        let reason = "lease_expired".into();
        Event::AgentChanged { agent: AgentIx(7), standing, reason, until: None, name: None }
    }

    #[test]
    fn a_lost_attempt_names_its_agent_its_task_and_its_trace() {
        let ended = AttemptEnded {
            task: TaskRef::child(2, 3),
            fence: Fence(4),
            end: AttemptEnd::Lost,
            failure: Failure::retryable("lease_expired", "words that may be anybody's"),
            retry_at: None,
            spent: Amounts::ZERO,
        };
        let run = RunId(0xa1);
        let events = vec![changed(Standing::Replaced), Event::AttemptEnded(Box::new(ended))];
        let lines = logged(Some(run), events);
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in &lines {
            assert_eq!(line["agent_id"], "micro-00007");
            assert_eq!(line["trace_id"], "000000000000000000000000000000a1");
        }
        let task = TaskId { run, task: TaskRef::child(2, 3) };
        assert_eq!(lines[1]["task_id"], task.to_string());
        assert_eq!(lines[1]["code"], "lease_expired");
        assert!(!format!("{lines:?}").contains("anybody"), "messages are not logged");
    }

    #[test]
    fn parked_work_is_told_and_what_goes_well_is_not() {
        let task = TaskRef::node(0);
        let (reason, message) = (ParkReason::InDoubt, "anybody's words".into());
        let run = Some(RunId(1));
        let events = vec![
            Event::TaskReady { task },
            Event::TaskParked { task, reason, message },
            Event::RunParked,
        ];
        let lines = logged(run, events);
        let told: Vec<_> = lines.iter().map(|line| line["message"].as_str()).collect();
        assert_eq!(told, ["a task is parked", "a run is parked until somebody decides"]);
        assert_eq!(lines[0]["reason"], "in_doubt");
        assert!(logged(None, vec![changed(Standing::Ready)]).is_empty());
        assert_eq!(logged(None, vec![changed(Standing::Restarting)]).len(), 1);
    }
}
