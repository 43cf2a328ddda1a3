//! Escalations and emergency measures as JSON.

use ark_os_core::event::Supervised;
use ark_os_core::ids::TaskId;
use ark_os_core::supervision::{Concern, Desk, Escalation, Measure, MeasureKind, Rung};
use ark_os_core::time::Time;

use super::{Field, Fields, moment, value};

/// The type of such an event.
pub(super) fn kind(event: &Supervised) -> &'static str {
    match event {
        Supervised::EscalationRaised(_) => "escalation_raised",
        Supervised::EscalationPassed { .. } => "escalation_passed",
        Supervised::RemedyApplied { .. } => "remedy_applied",
        Supervised::RemedyChecked { .. } => "remedy_checked",
        Supervised::EscalationResolved { .. } => "escalation_resolved",
        Supervised::MeasureTaken(_) => "measure_taken",
        Supervised::MeasureVoted { .. } => "measure_voted",
        Supervised::MeasureEnded { .. } => "measure_ended",
    }
}

pub(super) fn of_supervision(event: &Supervised) -> Fields {
    match event {
        Supervised::EscalationRaised(it) => raised(it),
        Supervised::EscalationPassed { id, to, deadline } => {
            let mut fields = vec![value("escalation", id), desk(to)];
            fields.extend(until(*deadline));
            fields
        }
        Supervised::RemedyApplied { id, rung } => {
            let mut fields = vec![value("escalation", id)];
            fields.extend(remedy(rung));
            fields
        }
        Supervised::RemedyChecked { id, healthy } => {
            vec![value("escalation", id), value("healthy", healthy)]
        }
        Supervised::EscalationResolved { id, closing } => vec![
            value("escalation", id),
            value("action", &closing.action),
            value("reason", &closing.reason),
        ],
        Supervised::MeasureTaken(it) => taken(it),
        Supervised::MeasureVoted { id, vote } => {
            vec![value("measure", id), value("seat", &vote.seat), value("reason", &vote.reason)]
        }
        Supervised::MeasureEnded { id, reason } => {
            vec![value("measure", id), value("reason", reason)]
        }
    }
}

fn raised(it: &Escalation) -> Fields {
    let mut fields = vec![value("escalation", it.id), value("class", it.class.as_str())];
    if let Concern::Task(run, task) = it.concern {
        fields.push(value("task", TaskId { run, task }.to_string()));
    }
    fields.extend(it.by.as_ref().map(|by| value("agent", by)));
    fields.extend([value("message", &it.message), desk(&it.to)]);
    fields.extend(until(it.deadline));
    fields
}

/// A person has no deadline.
fn until(deadline: Time) -> Option<(&'static str, Field)> {
    (deadline != Time::NEVER).then(|| moment("deadline", deadline))
}

fn desk(to: &Desk) -> (&'static str, Field) {
    match to {
        Desk::Seat(name) => value("to", name),
        Desk::Human => value("to", "human"),
    }
}

fn remedy(rung: &Rung) -> Fields {
    let mut fields = vec![value("remedy", rung.remedy.as_str())];
    fields.extend(rung.by.as_ref().map(|by| value("by", by)));
    fields.extend(rung.check.map(|at| moment("check", at)));
    fields
}

fn taken(it: &Measure) -> Fields {
    let mut fields = vec![value("measure", it.id)];
    fields.extend(match &it.kind {
        MeasureKind::Freeze => vec![value("kind", "freeze")],
        MeasureKind::Quarantine(name) => vec![value("kind", "quarantine"), value("agent", name)],
        MeasureKind::Mode(mode) => vec![value("kind", "mode"), value("mode", mode.as_str())],
    });
    fields.extend(it.by.as_ref().map(|by| value("by", by)));
    fields.extend([value("reason", &it.reason), moment("until", it.until)]);
    fields
}
