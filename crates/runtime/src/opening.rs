//! Opening a data directory: the state is that of the newest snapshot that can be used and the records behind it,
//! and the views have caught up.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ark_os_core::ids::RunId;
use ark_os_core::{Change, Event, Kind, State};
use ark_os_store::snapshots::{self, Refused};
use ark_os_store::views::{Follower, Queries, Views, ViewsOptions};
use ark_os_store::{
    DiskFiles, ErrorKind, Files, Journal, LedgerKey, PublicKey, Reader, Segments, Snapshot,
    Snapshots, StoreError,
};

use crate::RuntimeError;
use crate::follower;
use crate::keeper::{Keeper, Retention};
use crate::kernel::record::Appended;
use crate::settings::Settings;

mod replay;

/// The name under which the journal signs its checkpoints.
const ORIGIN: &str = "ark-os/journal";
/// The views' file in the data directory.
pub const VIEWS_FILE: &str = "views.db";

/// An open data directory.
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) follower: Follower,
    pub(crate) queries: Queries,
    pub(crate) state: State,
    pub(crate) keeper: Keeper,
    /// The files of the data directory, and the key that its checkpoints are verified by.
    pub(crate) ledger: (Arc<dyn Files>, PublicKey),
    /// Runs that the state knows and the views do not.
    pub(crate) unlisted: BTreeSet<RunId>,
}

/// Makes a directory if it is not there, and opens it; `what` names it.
pub(crate) fn directory(path: &Path, what: &str) -> Result<Arc<dyn Files>, RuntimeError> {
    let unusable = |verb: &str, error: std::io::Error| {
        let message = format!("{verb} the {what} `{}`: {error}", path.display());
        RuntimeError::new(Kind::Unavailable, "data_directory_unusable", message)
            .with_hint("choose another, or look after its owner and permissions")
            .with_source(error)
    };
    std::fs::create_dir_all(path).map_err(|error| unusable("make", error))?;
    Ok(Arc::new(DiskFiles::new(path).map_err(|error| unusable("open", error))?))
}

/// Opens everything that an instance remembers.
pub(crate) fn open(settings: &Settings, files: Arc<dyn Files>) -> Result<Opened, RuntimeError> {
    let key = LedgerKey::load_or_generate(&*files, ORIGIN)?;
    let segments = match &settings.archive_dir {
        None => Segments::new(files.clone()),
        Some(path) => Segments::with_archive(files.clone(), directory(path, "archive")?),
    };
    if let Err(error) = segments.check_archive(key.public()) {
        tracing::warn!(%error, hint = error.hint(), "nothing is archived before that is mended");
    }
    let ledger = (files.clone(), key.public().clone());
    let snapshots = Snapshots::new(files, key.public().clone());
    let segment = ark_os_store::Settings { segment_bytes: settings.segment_bytes };
    let opened = open_journal(&snapshots, &segments, segment, &key)?;
    for Refused { size, why } in &opened.refused {
        tracing::warn!(
            records = size,
            why,
            "a snapshot cannot be used; an older one or all records are"
        );
    }
    let views = Views::open(&settings.data_dir.join(VIEWS_FILE), ViewsOptions::default())?;
    let (mut follower, queries) = views.split()?;
    let (journal, mut recovered) = (opened.journal, opened.recovered);
    let (anchor, mut state) = match opened.from {
        Some((anchor, state)) => (Some(anchor), state),
        None => (None, State::default()),
    };
    let covered = state.changes();
    check_views(&mut follower, recovered.records())?;
    leave_out_absent(&mut follower, &journal.reader(), &state)?;
    let position = follower.position();
    recovered.seek(covered.min(position) + 1);
    let records = recovered.records() - covered;
    if covered.min(position) < recovered.records() {
        replay::replay(recovered, &mut state, &mut follower)?;
    }
    tracing::info!(snapshot = covered, records, live = state.live(), "journal replayed");
    let unlisted = unlisted(&state, &queries)?;
    let retention =
        Retention { age: settings.audit_retention, live_bytes_max: settings.live_bytes_max };
    let reader = journal.reader();
    let keeper = Keeper::new(snapshots, key, reader, retention, (anchor.as_ref(), &state));
    Ok(Opened { journal, follower, queries, state, keeper, ledger, unlisted })
}

/// Views follow what is durable, so those that know of later records are of another journal than this one: it was
/// put back from an older copy. What came after that is not in it, and is forgotten by them too.
fn check_views(follower: &mut Follower, records: u64) -> Result<(), RuntimeError> {
    let known = follower.position();
    if known <= records {
        return Ok(());
    }
    if records == 0 {
        let message =
            format!("open the journal: it is empty, and the views know of {known} records");
        return Err(RuntimeError::new(Kind::Corrupt, "journal_corrupt", message)
            .with_hint("put `journal/` back, or begin with an empty data directory"));
    }
    tracing::warn!(
        records,
        known,
        "the journal has fewer records than the views know of, which are made anew"
    );
    Ok(follower.rebuild()?)
}

/// Views that have to be made anew begin behind the archived segments that are not there, with the workflow versions
/// that the state knows; the rows of older runs come back with the segments and `ark-os views rebuild`.
fn leave_out_absent(
    follower: &mut Follower,
    reader: &Reader,
    state: &State,
) -> Result<(), RuntimeError> {
    let next = follower.position() + 1;
    match reader.read(next) {
        Err(error) if error.kind() == ErrorKind::Archived && next <= state.changes() => {}
        // What else is wrong with it is told by the replay.
        _ => return Ok(()),
    }
    let seq = reader.whole_from()? - 1;
    tracing::warn!(
        from = next,
        to = seq,
        "records that the views need were archived and taken away; put them back and run `ark-os views rebuild`"
    );
    follower.skip_to(seq - 1)?;
    let admissions = state.admissions().map(|it| Event::WorkflowAdmitted(Box::new((**it).clone())));
    let change = Change { run: None, at: state.now(), events: admissions.collect() };
    let known = Appended { seq, cause: 0, namespace: Default::default(), change };
    follower::follow(follower, &[known])
}

/// Runs that were over when their first records were archived have no row in views that were made anew without
/// those. There are no more of them than the state keeps for `retry`, and what was retried since.
fn unlisted(state: &State, queries: &Queries) -> Result<BTreeSet<RunId>, RuntimeError> {
    let mut unlisted = BTreeSet::new();
    for id in state.run_ids() {
        let may_be = state.run(id).is_some_and(|run| run.is_over() || run.generation > 0);
        if may_be && queries.run(id)?.is_none() {
            unlisted.insert(id);
        }
    }
    if !unlisted.is_empty() {
        tracing::warn!(
            runs = unlisted.len(),
            "runs whose first records are away are in no list and cannot be retried; put the archive back and run `ark-os views rebuild`"
        );
    }
    Ok(unlisted)
}

/// Opens a journal with the state of the newest snapshot that can be used, if there is one.
///
/// # Errors
/// The journal cannot be opened.
pub fn open_journal(
    snapshots: &Snapshots,
    segments: &Segments,
    settings: ark_os_store::Settings,
    key: &LedgerKey,
) -> Result<snapshots::Opened<State>, StoreError> {
    snapshots.open_journal(segments, settings, key, state_of)
}

/// The state that a snapshot holds; or what is wrong with it.
pub(crate) fn state_of(snapshot: &Snapshot) -> Result<State, String> {
    let state = State::decode(snapshot.payload()).map_err(|error| error.to_string())?;
    let (changes, size) = (state.changes(), snapshot.anchor().size());
    if changes == size { Ok(state) } else { Err(format!("it is of {changes} records, not {size}")) }
}
