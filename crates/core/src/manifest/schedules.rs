//! Reading the `schedules` of a manifest.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Dots, Fields, name};
use super::findings::{Pointer, Report, code, shown};
use super::limits::{
    CRON_BYTES_MAX, DESCRIPTION_BYTES_MAX, SCHEDULE_CATCH_UP_MAX, SCHEDULES_MAX, ZONE_BYTES_MAX,
};
use super::{amounts, shape};
use crate::budget::Amounts;
use crate::plan::Workflow;
use crate::priority::Priority;
use crate::text::Text;

/// A schedule of a manifest.
#[derive(Clone, PartialEq, Debug)]
pub struct ScheduleEntry {
    /// Its name.
    pub name: Text,
    /// When: a cron pattern of five fields, or six with seconds first.
    pub cron: Text,
    /// The time zone of the pattern.
    pub zone: Text,
    /// What becomes of times that passed: 0 nothing, 1 one run for all of them, else one for each of
    /// the newest so many.
    pub catch_up: CatchUpRule,
    /// What happens when it is due and its run is not over.
    pub overlap: OverlapRule,
    /// The workflow that is run.
    pub workflow: Text,
    /// The input of each run.
    pub input: Value,
    /// How urgent its runs are.
    pub priority: Priority,
    /// What each run may use up.
    pub budget: Option<Amounts>,
    /// Time for the whole of each run, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Each run begins up to so many milliseconds later.
    pub jitter_ms: Option<u64>,
    /// Whether it does nothing until it is resumed.
    pub is_paused: bool,
}

/// What becomes of times that passed while nobody could act on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CatchUpRule {
    /// Nothing.
    Skip,
    /// One run for all of them.
    #[default]
    One,
    /// A run for each of the newest so many.
    All(u32),
}

/// What happens when a schedule is due and its run is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OverlapRule {
    /// Another run begins beside it.
    Allow,
    /// Nothing.
    #[default]
    Skip,
    /// The next one begins when that run is over.
    Queue,
    /// That run is cancelled, and the next one begins.
    CancelPrevious,
}

impl OverlapRule {
    /// The word of a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            OverlapRule::Allow => "allow",
            OverlapRule::Skip => "skip",
            OverlapRule::Queue => "queue",
            OverlapRule::CancelPrevious => "cancel_previous",
        }
    }
}

/// The time zone of a schedule that names none.
const ZONE: &str = "UTC";

/// Reads the section; the workflows are those of the same manifest.
pub(super) fn read_all(
    list: &[Value],
    at: &Pointer,
    workflows: &[Arc<Workflow>],
    report: &mut Report<'_>,
) -> Vec<ScheduleEntry> {
    if list.len() > SCHEDULES_MAX {
        let text = format!("a manifest has at most {SCHEDULES_MAX} schedules");
        report.add(at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut schedules = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        // Whatever else may be wrong with one of them.
        let name = value.get("name").and_then(Value::as_str);
        if let Some(name) = name.filter(|name| !names.insert(name)) {
            let message = format!("there is another schedule `{}` before this one", shown(name));
            report.add(&at.key("name"), code::DUPLICATE_NAME, message);
        }
        schedules.extend(read(value, &at, workflows, report));
    }
    schedules
}

fn read(
    value: &Value,
    at: &Pointer,
    workflows: &[Arc<Workflow>],
    report: &mut Report<'_>,
) -> Option<ScheduleEntry> {
    let fields = Fields::open(value, at, &shape::SCHEDULE, report)?;
    fields.text("description", DESCRIPTION_BYTES_MAX, report);
    let schedule = fields.required_name("name", Dots::Refused, report);
    let cron = read_cron(&fields, report);
    let zone = read_zone(&fields, report);
    let workflow = read_workflow(&fields, workflows, report);
    let overlap = match fields.word("overlap", report) {
        Some("allow") => OverlapRule::Allow,
        Some("queue") => OverlapRule::Queue,
        Some("cancel_previous") => OverlapRule::CancelPrevious,
        _ => OverlapRule::Skip,
    };
    let priority = fields.word("priority", report);
    let priority = Priority::ALL.into_iter().find(|it| Some(it.as_str()) == priority);
    let catch_up = read_catch_up(&fields, report);
    let budget = fields.value("budget").map(|(value, at)| amounts::read(value, &at, report));
    let deadline_ms = fields.duration("deadline", 1, report);
    let jitter_ms = fields.duration("jitter", 0, report);
    let is_paused = fields.flag("paused", report).unwrap_or(false);
    Some(ScheduleEntry {
        name: Text::from(schedule?),
        cron: Text::from(cron?),
        zone: Text::from(zone.unwrap_or(ZONE)),
        catch_up,
        overlap,
        workflow: Text::from(workflow?),
        input: fields.value("input").map(|(value, _)| value.clone()).unwrap_or_default(),
        priority: priority.unwrap_or_default(),
        budget,
        deadline_ms,
        jitter_ms,
        is_paused,
    })
}

/// Five fields, or six; what stands in them is for whoever knows the calendar to say.
fn read_cron<'v>(fields: &Fields<'v>, report: &mut Report<'_>) -> Option<&'v str> {
    fields.required("cron", report)?;
    let cron = fields.text("cron", CRON_BYTES_MAX, report)?;
    let is_cron = |c: char| c.is_ascii_alphanumeric() || " \t*/,-#?".contains(c);
    let count = cron.split_whitespace().count();
    if !matches!(count, 5 | 6) || !cron.chars().all(is_cron) {
        let message = format!("`{}` is no cron pattern", shown(cron));
        let hint = "write five fields: minute, hour, day of month, month, day of week, such as \
                    `30 4 * * mon-fri`";
        report.add_hint(&fields.at().key("cron"), code::INVALID_VALUE, message, hint);
        return None;
    }
    Some(cron)
}

fn read_zone<'v>(fields: &Fields<'v>, report: &mut Report<'_>) -> Option<&'v str> {
    let zone = fields.text("zone", ZONE_BYTES_MAX, report)?;
    let is_zone = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    if zone.is_empty() || !zone.chars().all(is_zone) {
        let message = format!("`{}` is no time zone", shown(zone));
        let hint = "write it like `UTC` or `Europe/Berlin`";
        report.add_hint(&fields.at().key("zone"), code::INVALID_VALUE, message, hint);
        return None;
    }
    Some(zone)
}

fn read_workflow<'v>(
    fields: &Fields<'v>,
    workflows: &[Arc<Workflow>],
    report: &mut Report<'_>,
) -> Option<&'v str> {
    let (value, at) = fields.required("workflow", report)?;
    let workflow = name(value, &at, Dots::Allowed, report)?;
    if !workflows.iter().any(|it| *it.name == *workflow) {
        let message = format!("there is no workflow `{workflow}` in this manifest");
        let known = workflows.iter().map(|it| it.name.as_str());
        report.unknown(&at, code::UNKNOWN_WORKFLOW, message, workflow, known);
    }
    Some(workflow)
}

fn read_catch_up(fields: &Fields<'_>, report: &mut Report<'_>) -> CatchUpRule {
    let Some((value, at)) = fields.value("catch_up") else { return CatchUpRule::default() };
    match value.as_str() {
        Some("skip") => return CatchUpRule::Skip,
        Some("one") => return CatchUpRule::One,
        Some(text) => {
            let rule =
                format!("`catch_up` is `skip`, `one` or `all: {{max: N}}`, not `{}`", shown(text));
            report.add(&at, code::INVALID_VALUE, rule);
            return CatchUpRule::default();
        }
        None => {}
    }
    let max = Fields::open(value, &at, &shape::CATCH_UP, report)
        .and_then(|fields| fields.required("all", report))
        .and_then(|(value, at)| Fields::open(value, &at, &shape::CATCH_UP_ALL, report))
        .and_then(|fields| {
            fields.required("max", report)?;
            fields.count("max", 1..=u64::from(SCHEDULE_CATCH_UP_MAX), report)
        });
    max.and_then(|it| u32::try_from(it).ok()).map_or(CatchUpRule::default(), CatchUpRule::All)
}
