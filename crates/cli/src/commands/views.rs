//! `ark-os views`.

use std::path::{Path, PathBuf};

use ark_os_api::Exit;
use ark_os_core::Change;
use ark_os_runtime::instance::VIEWS_FILE;
use ark_os_runtime::kernel::record::decode;
use ark_os_store::views::{Followed, Follower, Views as Tables, ViewsOptions};
use ark_os_store::{DataLock, Journal, LedgerKey, Settings};
use serde_json::json;

use super::ledger::segments_in;
use crate::failure::Failure;
use crate::output::counted;
use crate::session::Session;

/// Records that go into the tables in one transaction.
const BATCH: usize = 4_096;

/// Look after the tables that answer queries
#[derive(Debug, clap::Args)]
pub(crate) struct Views {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Rebuild(Rebuild),
}

/// Make the tables anew from the journal; no instance may run on it
///
/// The journal is the only truth: nothing is lost.
#[derive(Debug, clap::Args)]
struct Rebuild {
    /// Directory of the archived segments [default: as `store.archive_dir` says]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

impl Views {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let Action::Rebuild(Rebuild { archive }) = self.action;
        rebuild(session, archive.as_deref())
    }
}

fn rebuild(session: &Session, archive: Option<&Path>) -> Result<Exit, Failure> {
    let data_dir = session.reach.data_dir(&session.environment);
    let segments = segments_in(session, &data_dir, archive)?;
    let _lock = DataLock::acquire(&data_dir)?;
    let key = LedgerKey::load(&**segments.files())?;
    let (_journal, mut recovered) = Journal::open_from(segments, Settings::default(), key, None)?;
    let records = recovered.records();
    let mut tables = Tables::open(&data_dir.join(VIEWS_FILE), ViewsOptions::default())?;
    tables.rebuild()?;
    let (mut follower, _) = tables.split()?;
    let mut batch = Vec::new();
    while let Some(record) = recovered.next()? {
        batch.push((record.seq, decode(&record)?));
        if batch.len() >= BATCH {
            follow(&mut follower, &batch)?;
            batch.clear();
        }
    }
    follow(&mut follower, &batch)?;
    follower.close()?;
    let document = json!({ "data_dir": data_dir, "records": records });
    session.output.answer(&document, |_| {
        vec![format!("the views are rebuilt from {}", counted(records, "record"))]
    })?;
    Ok(Exit::Done)
}

fn follow(follower: &mut Follower, batch: &[(u64, Change)]) -> Result<(), Failure> {
    let rows: Vec<Followed<'_>> = batch
        .iter()
        .map(|(seq, change)| Followed {
            seq: *seq,
            at: change.at,
            run: change.run,
            events: &change.events,
        })
        .collect();
    Ok(follower.follow(&rows)?)
}
