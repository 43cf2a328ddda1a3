//! `ark-os trace`.

use ark_os_api::{Exit, RunView, TraceRow};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::session::Session;
use crate::waterfall::{Waterfall, head};

/// Rows asked for at a time; as many as the instance gives.
const PAGE: u64 = 500;

/// Explain a run: who decided, who worked, how long it took and what it cost
///
/// A waterfall through the layers: each line has the time since the run was accepted, how long it
/// took, a bar (`-` in line or waiting, `#` at work), what it was, its cost (`3c 2s`: three calls, two steps), and
/// the record of the journal that proves it. An attempt names its agent and stack: `micro-00042/s3`.
/// The children of a map are one line with the shortest, the middle and the longest time; --expand
/// tells each. With --json every row is a line of its own with all its fields, in the order
/// of the journal: rules and policy, tokens and fences, step keys, digests, file and byte.
#[derive(Debug, clap::Args)]
pub(crate) struct Trace {
    /// The run
    run: String,
    /// Only this task: its name, `map[17]`, or its id
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// 1: only the run, 2: tasks too, 3: attempts too, 4: steps and leases too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4))]
    depth: Option<u32>,
    /// A line for every child of a map
    #[arg(long)]
    expand: bool,
    /// At most so many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Begin after this row's id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// A page as it comes: rows that are passed on keep every digit.
#[derive(Deserialize)]
struct Listed {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
    #[serde(default)]
    open: Vec<Box<RawValue>>,
}

impl Trace {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let view: RunView = client.get(&format!("/runs/{}", segment(&self.run)))?;
        let terminal = session.output.terminal();
        if !session.output.is_json() {
            head(&terminal, &view).iter().try_for_each(|line| session.output.line(line))?;
        }
        let total = view.ended.map(|ended| ended.0.saturating_sub(view.accepted.0));
        let mut waterfall = Waterfall::new(terminal, total);
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut after = self.after.clone();
        loop {
            let page = self.page(&client, after.as_deref(), left.min(PAGE))?;
            left = left.saturating_sub(page.items.len() as u64);
            for row in page.items.iter().chain(page.open.iter().filter(|_| left > 0)) {
                print(session, &mut waterfall, row)?;
            }
            after = page.next;
            if after.is_none() || left == 0 {
                break;
            }
        }
        waterfall.finish(&mut |line| session.output.line(line))?;
        if let Some(after) = after {
            session.output.note(&format!("more: --after {after}"));
        }
        Ok(Exit::Done)
    }

    fn page(&self, client: &Client, after: Option<&str>, limit: u64) -> Result<Listed, Failure> {
        let mut query = format!("limit={limit}");
        if let Some(after) = after {
            query.push_str(&format!("&after={}", segment(after)));
        }
        if let Some(task) = &self.task {
            query.push_str(&format!("&task={}", segment(task)));
        }
        if let Some(depth) = self.depth {
            query.push_str(&format!("&depth={depth}"));
        }
        if self.expand {
            query.push_str("&expand=true");
        }
        client.get(&format!("/runs/{}/trace?{query}", segment(&self.run)))
    }
}

fn print(session: &Session, waterfall: &mut Waterfall, row: &RawValue) -> Result<(), Failure> {
    if session.output.is_json() {
        return session.output.line(row.get());
    }
    let row: TraceRow = serde_json::from_str(row.get()).map_err(|error| {
        Failure::new("internal", format!("cannot understand a row of the trace: {error}"))
    })?;
    waterfall.add(row, &mut |line| session.output.line(line))
}
