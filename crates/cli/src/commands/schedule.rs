//! `ark-os schedule`.

use std::path::{Path, PathBuf};

use ark_os_api::{Exit, Json, Page, Reason, ScheduleStarted, ScheduleView};
use serde_json::{Value, json};

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::output::table;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Runs that begin by the calendar
#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Have the schedules of a file; those of the same name are replaced
    ///
    /// The file (YAML, JSON or TOML) is one schedule, or a manifest with `schedules`. A schedule
    /// has `name`, `cron`, `workflow`, and may have `zone`, `catch_up`, `overlap`, `input`,
    /// `priority`, `budget`, `deadline`, `jitter`, `paused`. Its workflow is a workflow, or the name
    /// of one of the file's `workflows`, or of a deployed one.
    Add {
        /// The file; `-` reads standard input
        file: PathBuf,
    },
    /// List schedules
    List {
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a schedule and its next times
    Get {
        /// Its name
        name: String,
    },
    /// Have a schedule do nothing until it is resumed; its runs go on
    Pause(Change),
    /// Let a schedule go on with the next of its times
    Resume(Change),
    /// Have a schedule no more; its runs go on
    Delete(Change),
    /// Begin a run of a schedule now; prints its id
    Run {
        /// Its name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The schedule's name
    name: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

const HEAD: [&str; 6] = ["schedule", "cron", "zone", "workflow", "next", "last run"];

impl Schedule {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.action {
            Action::Add { file } => add(session, &file),
            Action::List { limit, cursor } => list(session, limit, cursor.as_deref()),
            Action::Get { name } => {
                let view: ScheduleView = session.client()?.get(&path(&name, ""))?;
                session.output.answer(&view, |_| outline(&view))?;
                Ok(Exit::Done)
            }
            Action::Pause(change) => set(session, &change, "/pause"),
            Action::Resume(change) => set(session, &change, "/resume"),
            Action::Delete(change) => {
                let reason = change.reason.as_deref();
                let query = reason.map(|it| format!("?reason={}", segment(it)));
                let path = path(&change.name, query.as_deref().unwrap_or_default());
                let view: ScheduleView = session.client()?.delete(&path)?;
                session.output.answer(&view, |_| vec![format!("{} deleted", view.name)])?;
                Ok(Exit::Done)
            }
            Action::Run { name } => {
                let started: ScheduleStarted =
                    session.client()?.post(&path(&name, "/run-now"), &json!({}), None)?;
                session.output.answer(&started, |_| vec![started.run.clone()])?;
                Ok(Exit::Done)
            }
        }
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("/schedules/{}{rest}", segment(name))
}

fn set(session: &Session, change: &Change, verb: &str) -> Result<Exit, Failure> {
    let body = Reason { reason: change.reason.clone() };
    let view: ScheduleView = session.client()?.post(&path(&change.name, verb), &body, None)?;
    session.output.answer(&view, |_| vec![state(&view)])?;
    Ok(Exit::Done)
}

fn state(view: &ScheduleView) -> String {
    match view.upcoming.first() {
        Some(next) => format!("{} next {next}", view.name),
        None if view.paused => format!("{} paused", view.name),
        None => format!("{} is not due again", view.name),
    }
}

fn list(session: &Session, limit: Option<u32>, cursor: Option<&str>) -> Result<Exit, Failure> {
    let mut query = Vec::new();
    query.extend(limit.map(|limit| format!("limit={limit}")));
    query.extend(cursor.map(|cursor| format!("cursor={}", segment(cursor))));
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let page: Page<ScheduleView> = session.client()?.get(&format!("/schedules{query}"))?;
    session.output.answer(&page, |terminal| rows(terminal, &page.items))?;
    if let Some(next) = &page.next {
        session.output.note(&format!("more: --cursor {next}"));
    }
    Ok(Exit::Done)
}

fn rows(terminal: &Terminal, items: &[ScheduleView]) -> Vec<String> {
    let plain = |text: String| (Tone::Plain, text);
    let row = |it: &ScheduleView| {
        let next = it.upcoming.first().map(ToString::to_string);
        let next = next.unwrap_or_else(|| if it.paused { "paused".into() } else { "–".into() });
        vec![
            plain(it.name.clone()),
            plain(it.cron.clone()),
            plain(it.zone.clone()),
            plain(it.workflow.clone()),
            plain(next),
            plain(it.last.as_ref().map(|last| last.run.clone()).unwrap_or_default()),
        ]
    };
    table(terminal, &HEAD, &items.iter().map(row).collect::<Vec<_>>())
}

/// A rule as it is written in a file.
fn word(rule: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(rule).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

fn outline(view: &ScheduleView) -> Vec<String> {
    let mut lines = vec![
        format!("{} {}", view.name, if view.paused { "paused" } else { "active" }),
        format!("  when      {} in {}", view.cron, view.zone),
        format!("  rules     catch_up {}, overlap {}", word(&view.catch_up), word(&view.overlap)),
        format!("  workflow  {}", view.workflow),
        format!(
            "  runs      {} begun, {} skipped, {} going on",
            view.fired, view.skipped, view.running
        ),
    ];
    if view.waiting > 0 {
        lines.push(format!("  waiting   {} times", view.waiting));
    }
    if let Some(last) = &view.last {
        lines.push(format!("  last      {} for {}", last.run, last.time));
    }
    lines.extend(view.upcoming.iter().map(|next| format!("  next      {next}")));
    lines
}

fn add(session: &Session, path: &Path) -> Result<Exit, Failure> {
    let file = ManifestFile::read(path)?;
    let found = found(file.value())?;
    let client = session.client()?;
    let mut views = Vec::new();
    for (index, schedule) in found.into_iter().enumerate() {
        views.push(put(&client, &file, index, &schedule)?);
    }
    let is_one = file.value().get("schedules").is_none();
    let human = |_: &Terminal| views.iter().map(state).collect();
    match views.first().filter(|_| is_one) {
        Some(view) => session.output.answer(view, human)?,
        None => session.output.answer(&views, human)?,
    }
    Ok(Exit::Done)
}

/// The schedules of a file, with the file's own workflows in place of their names.
fn found(file: &Value) -> Result<Vec<Value>, Failure> {
    let mut schedules = match file.get("schedules") {
        None => vec![file.clone()],
        Some(Value::Array(list)) if !list.is_empty() => list.clone(),
        Some(_) => return Err(Failure::usage("the file's `schedules` are no list of schedules")),
    };
    let workflows = file.get("workflows").and_then(Value::as_array);
    for schedule in &mut schedules {
        let Some(workflow) = schedule.get_mut("workflow") else { continue };
        let own = workflows.into_iter().flatten().find(|it| it.get("name") == Some(workflow));
        if let Some(own) = own.filter(|_| workflow.is_string()) {
            *workflow = json!({ "workflows": [own] });
        }
    }
    Ok(schedules)
}

fn put(
    client: &Client,
    file: &ManifestFile,
    index: usize,
    schedule: &Value,
) -> Result<ScheduleView, Failure> {
    let body: Json = serde_json::value::to_raw_value(schedule)
        .map_err(|error| Failure::usage(format!("cannot write the request: {error}")))?;
    let base = match file.value().get("schedules") {
        Some(_) => format!("/schedules/{index}"),
        None => String::new(),
    };
    client.post("/schedules", &body, None).map_err(|failure| {
        failure.with_places(|pointer| {
            let is_own = pointer.starts_with("/workflow/workflows/0");
            (!is_own).then(|| file.place(&format!("{base}{pointer}")))
        })
    })
}
