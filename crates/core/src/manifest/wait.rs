//! Reading a wait: a task that nobody works on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Dots, Fields};
use super::findings::{Pointer, Report, code, shown};
use super::moment::parse_moment_ms;
use super::shape;
use super::task::{Draft, read_template};
use super::template::Template;
use crate::payload::Bytes;
use crate::plan::{Shape, WaitOn, WaitSpec};

/// What a wait cannot have, because nobody works on it.
const OF_WORK: [&str; 9] =
    ["skill", "input", "map", "reduce", "run", "timeout", "deadline", "retry", "budget"];

/// Reads `wait`. The answer has a template where one gives the moment.
pub(super) fn read(
    value: &Value,
    at: &Pointer,
    report: &mut Report<'_>,
) -> (WaitSpec, Option<Template>) {
    let none = || WaitSpec { on: WaitOn::For(0), timeout_ms: None, goes_on: false };
    let Some(fields) = Fields::open(value, at, &shape::WAIT, report) else { return (none(), None) };
    let given = ["signal", "until", "for"].iter().filter(|key| fields.value(key).is_some());
    if given.count() != 1 {
        let message = "a wait has one of `signal`, `until` and `for`";
        report.add(at, code::CONFLICTING_FIELDS, message);
        return (none(), None);
    }
    if fields.value("signal").is_some() {
        return (read_signal(&fields, report), None);
    }
    for key in ["timeout", "on_timeout"] {
        if fields.value(key).is_some() {
            let message = format!("`{key}` is for waits for a signal");
            report.add(&at.key(key), code::CONFLICTING_FIELDS, message);
        }
    }
    let Some((until, place)) = fields.value("until") else {
        let ms = fields.duration("for", 0, report).unwrap_or(0);
        return (WaitSpec { on: WaitOn::For(ms), ..none() }, None);
    };
    let (template, text) = match read_template(until, &place, report) {
        Some((template, text)) => (Some(template), text),
        None => (None, Bytes(Arc::from(&b"null"[..]))),
    };
    if let Some(literal) = template.as_ref().and_then(Template::as_literal)
        && literal.as_str().and_then(parse_moment_ms).is_none()
    {
        let message = format!("`until` is a moment, not `{}`", shown(&literal.to_string()));
        report.add_hint(
            &place,
            code::INVALID_VALUE,
            message,
            "write it like `2026-03-01T09:00:00Z`",
        );
    }
    (WaitSpec { on: WaitOn::Until(text), ..none() }, template)
}

fn read_signal(fields: &Fields<'_>, report: &mut Report<'_>) -> WaitSpec {
    let name = fields.required_name("signal", Dots::Allowed, report).unwrap_or_default();
    let timeout_ms = fields.duration("timeout", 1, report);
    let goes_on = match fields.value("on_timeout") {
        None => false,
        Some((Value::String(rule), _)) if rule == "continue" => true,
        Some((Value::String(rule), _)) if rule == "fail" => false,
        Some((other, at)) => {
            let message = format!(
                "`on_timeout` is `fail` or `continue`, not `{}`",
                shown(&other.to_string())
            );
            report.add(&at, code::INVALID_VALUE, message);
            false
        }
    };
    if timeout_ms.is_none() && fields.value("on_timeout").is_some() {
        let message = "`on_timeout` is for waits that have a `timeout`";
        report.add(&fields.at().key("on_timeout"), code::CONFLICTING_FIELDS, message);
    }
    WaitSpec { on: WaitOn::Signal(name.into()), timeout_ms, goes_on }
}

/// What stands beside `wait` and is for work.
pub(super) fn check_beside(fields: &Fields<'_>, draft: &Draft, report: &mut Report<'_>) {
    for key in OF_WORK.iter().filter(|key| fields.value(key).is_some()) {
        let message = format!("a wait has no `{key}`: nobody works on it");
        report.add(&fields.at().key(key), code::CONFLICTING_FIELDS, message);
    }
    if fields.value("output_schema").is_some() && draft.spec.signal().is_none() {
        let message = "only the payload of a signal has an `output_schema`";
        report.add(&fields.at().key("output_schema"), code::CONFLICTING_FIELDS, message);
    }
}

/// A signal is checked when it comes, before anybody knows which wait it will end: all that wait for
/// it expect the same.
pub(super) fn check_signals(drafts: &[Draft], report: &mut Report<'_>) {
    let mut known: BTreeMap<&str, &Draft> = BTreeMap::new();
    for draft in drafts {
        let Shape::Wait(WaitSpec { on: WaitOn::Signal(name), .. }) = &draft.spec.shape else {
            continue;
        };
        let first = *known.entry(name.as_str()).or_insert(draft);
        if first.output_schema != draft.output_schema {
            let message = format!(
                "`{}` waits for the signal `{name}` too, with another `output_schema`",
                first.spec.name
            );
            report.add(&draft.at, code::CONFLICTING_FIELDS, message);
        }
    }
}
