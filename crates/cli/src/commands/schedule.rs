//! `ark-os schedule`.

use std::path::{Path, PathBuf};

use ark_os_api::{DeploymentsView, Exit, Page, Reason, ScheduleStarted, ScheduleView, SkippedView};
use serde_json::json;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::table;
use crate::schedule_file::ScheduleFile;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Runs that begin by the calendar
#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    /// Whose schedules; in a file, `namespace` of a schedule goes before
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    namespace: String,
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
        /// Idempotency key: the same key and schedule give the same run
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
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
        let namespace = &*self.namespace;
        match self.action {
            Action::Add { file } => add(session, &file, namespace),
            Action::List { limit, cursor } => list(session, namespace, limit, cursor.as_deref()),
            Action::Get { name } => {
                let view: ScheduleView = session.client()?.get(&path(namespace, &name, ""))?;
                session.output.answer(&view, |_| outline(&view))?;
                Ok(Exit::Done)
            }
            Action::Pause(change) => set(session, namespace, &change, "/pause"),
            Action::Resume(change) => set(session, namespace, &change, "/resume"),
            Action::Delete(change) => {
                let reason = change.reason.as_deref();
                let query = reason.map(|it| format!("&reason={}", segment(it)));
                let path = path(namespace, &change.name, "") + &query.unwrap_or_default();
                let view: ScheduleView = session.client()?.delete(&path)?;
                session.output.answer(&view, |_| vec![format!("{} deleted", view.name)])?;
                Ok(Exit::Done)
            }
            Action::Run { name, key } => {
                let started: ScheduleStarted = session.client()?.post(
                    &path(namespace, &name, "/run-now"),
                    &json!({}),
                    key.as_deref(),
                )?;
                session.output.answer(&started, |_| vec![started.run.clone()])?;
                Ok(Exit::Done)
            }
        }
    }
}

fn path(namespace: &str, name: &str, rest: &str) -> String {
    format!("/schedules/{}{rest}?namespace={}", segment(name), segment(namespace))
}

fn set(session: &Session, namespace: &str, change: &Change, verb: &str) -> Result<Exit, Failure> {
    let body = Reason { reason: change.reason.clone() };
    let view: ScheduleView =
        session.client()?.post(&path(namespace, &change.name, verb), &body, None)?;
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

fn list(
    session: &Session,
    namespace: &str,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<Exit, Failure> {
    let mut query = vec![format!("namespace={}", segment(namespace))];
    query.extend(limit.map(|limit| format!("limit={limit}")));
    query.extend(cursor.map(|cursor| format!("cursor={}", segment(cursor))));
    let page: Page<ScheduleView> =
        session.client()?.get(&format!("/schedules?{}", query.join("&")))?;
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

fn rules(view: &ScheduleView) -> String {
    let jitter = view.jitter_ms.map(|ms| format!(", jitter {ms} ms")).unwrap_or_default();
    format!("catch_up {}, overlap {}{jitter}", word(&view.catch_up), word(&view.overlap))
}

fn outline(view: &ScheduleView) -> Vec<String> {
    let mut lines = vec![
        format!("{} {}", view.name, if view.paused { "paused" } else { "active" }),
        format!("  when      {} in {}", view.cron, view.zone),
        format!("  rules     {}", rules(view)),
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
    lines.extend(view.last_skip.iter().map(|it| format!("  skipped   {}: {}", it.time, why(it))));
    lines.extend(view.upcoming.iter().map(|next| format!("  next      {next}")));
    lines
}

/// Why a schedule began no run.
fn why(it: &SkippedView) -> String {
    match (&*it.because, &it.error) {
        (_, Some(error)) => format!("{}: {}", error.code, error.message),
        ("overlap", None) => "a run of it was not over".to_owned(),
        ("queue_full", None) => "too many of its times wait".to_owned(),
        ("missed", None) => "nobody could act on it then, and it is not made up for".to_owned(),
        (other, None) => other.to_owned(),
    }
}

fn add(session: &Session, path: &Path, namespace: &str) -> Result<Exit, Failure> {
    let file = ScheduleFile::read(path)?;
    let client = session.client()?;
    let deployed = match file.names_others() {
        true => deployed(&client)?,
        false => Vec::new(),
    };
    file.check(&session.components.skills, &deployed)?;
    let (mut views, mut refused) = (Vec::new(), Vec::new());
    for schedule in file.schedules(namespace) {
        match file.put(&client, &schedule) {
            Ok(view) => views.push(view),
            Err(failure) => refused.push(failure),
        }
    }
    if let Some(failure) = refused.into_iter().reduce(Failure::and) {
        let there: Vec<&str> = views.iter().map(|it| &*it.name).collect();
        if !there.is_empty() {
            session.output.note(&format!("in place: {}", there.join(", ")));
        }
        return Err(failure);
    }
    let human = |_: &Terminal| views.iter().map(state).collect();
    match views.first().filter(|_| file.is_one()) {
        Some(view) => session.output.answer(view, human)?,
        None => session.output.answer(&views, human)?,
    }
    Ok(Exit::Done)
}

/// The names of the workflows that are deployed.
fn deployed(client: &Client) -> Result<Vec<String>, Failure> {
    let known: DeploymentsView = client.get("/deployments")?;
    let current = known.deployments.into_iter().filter(|it| it.version == known.version);
    Ok(current.flat_map(|it| it.workflows).map(|it| it.name).collect())
}
