//! Reading the `limit` of a task: how many like it may be worked on at one time, and begin in a period.

use serde_json::Value;

use super::fields::{Dots, Fields};
use super::findings::{Pointer, Report, code};
use super::limits::CONCURRENCY_MAX;
use super::shape;
use super::task::{Draft, read_template};
use crate::limits::{RATE_COUNT_MAX, RATE_PER_MS_MAX};
use crate::plan::{LimitSpec, Rate};
use crate::text::Text;

/// Reads `limit`; its name is the task's skill where nobody says.
pub(super) fn read(fields: &Fields<'_>, draft: &mut Draft, report: &mut Report<'_>) {
    let Some((value, at)) = fields.value("limit") else { return };
    if !draft.spec.is_work() {
        let message = "only a task that is worked on has a `limit`";
        report.add(&at, code::CONFLICTING_FIELDS, message);
        return;
    }
    let Some(fields) = Fields::open(value, &at, &shape::LIMIT, report) else { return };
    let name = match fields.value("name") {
        None => draft.spec.skill.clone(),
        Some(_) => Text::from(fields.required_name("name", Dots::Allowed, report).unwrap_or("")),
    };
    let at_once = fields.count("at_once", 1..=CONCURRENCY_MAX, report);
    let mut limit = LimitSpec {
        name,
        key: None,
        at_once: at_once.and_then(|count| u32::try_from(count).ok()),
        rate: fields.value("rate").and_then(|(value, at)| read_rate(value, &at, report)),
    };
    if let Some((value, at)) = fields.value("key")
        && let Some((template, text)) = read_template(value, &at, report)
    {
        (limit.key, draft.key) = (Some(text), Some(template));
    }
    if fields.value("at_once").is_none() && fields.value("rate").is_none() {
        let message = "a limit has `at_once`, `rate` or both";
        report.add(&at, code::MISSING_FIELD, message);
    }
    draft.spec.limit = Some(Box::new(limit));
}

fn read_rate(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Rate> {
    let fields = Fields::open(value, at, &shape::RATE, report)?;
    fields.required("count", report)?;
    fields.required("per", report)?;
    let count = fields.count("count", 1..=u64::from(RATE_COUNT_MAX), report)?;
    let per_ms = fields.duration("per", 1, report)?;
    if per_ms > RATE_PER_MS_MAX {
        let message = "`per` is at most 31d: a key takes up a place for as long";
        report.add(&at.key("per"), code::OUT_OF_RANGE, message.to_owned());
        return None;
    }
    Some(Rate { count: u32::try_from(count).ok()?, per_ms })
}
