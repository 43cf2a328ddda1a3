//! The state, written down and read back: a snapshot is what replaying the journal up to a record
//! would give, without the replay.
//!
//! One CBOR map with integer keys; its first entry is the format. Only what cannot be worked out
//! is written: who is idle, who waits in line and how many tasks are in which state follow from the
//! rows of agents and runs, so a snapshot cannot contradict itself about them. What is shared
//! (plans, admissions) is written once and referred to by number.
//!
//! Whatever is added raises [`FORMAT`], and every format up to it stays readable: a program that
//! does not know of an entry must not go on without it.

use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::State;
use crate::error::Kind;
use crate::event::{InstanceStarted, Intake};
use crate::ids::RunId;
use crate::supervision::Supervision;
use crate::time::Time;

mod read;
pub(crate) mod tables;

use tables::Tables;

/// The newest format: what is written.
pub const FORMAT: u32 = 4;

/// Keys of the entries, in the order in which they are written and read.
mod entry {
    pub(super) const FORMAT: u32 = 0;
    pub(super) const HEAD: u32 = 1;
    pub(super) const SKILLS: u32 = 2;
    pub(super) const AGENTS: u32 = 3;
    pub(super) const BACKS: u32 = 4;
    pub(super) const WORKFLOWS: u32 = 5;
    pub(super) const ADMISSIONS: u32 = 6;
    pub(super) const ACCOUNTS: u32 = 7;
    pub(super) const REVOKED: u32 = 8;
    pub(super) const KEYS: u32 = 9;
    pub(super) const RUNS: u32 = 10;
    pub(super) const ENDED: u32 = 11;
    pub(super) const INTERRUPTED: u32 = 12;
    pub(super) const LINES: u32 = 13;
    pub(super) const TIMERS: u32 = 14;
    /// Since format 2.
    pub(super) const SHELVES: u32 = 15;
    /// Since format 2.
    pub(super) const WAITING: u32 = 16;
    /// Since format 3.
    pub(super) const FLEET: u32 = 60;
    /// Since format 3.
    pub(super) const DEPLOYMENTS: u32 = 61;
    /// Since format 3.
    pub(super) const SCHEDULES: u32 = 80;
    /// Of format 3 too, where there is any: whoever does not know of limits must not go on with them.
    pub(super) const LIMITS: u32 = 81;
    /// Since format 3.
    pub(super) const ERRANDS: u32 = 90;
    /// Since format 3; where nothing was escalated and no measure taken yet it is left out.
    pub(super) const SUPERVISION: u32 = 110;
    /// How many there always are.
    pub(super) const COUNT: u64 = 21;
}

/// A snapshot that is not taken for a state, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read the snapshot: {what}")]
pub struct SnapshotError {
    kind: Kind,
    what: String,
}

impl SnapshotError {
    fn corrupt(what: impl Into<String>) -> Self {
        SnapshotError { kind: Kind::Corrupt, what: what.into() }
    }

    /// `Corrupt`: these bytes are no snapshot. `Unavailable`: a newer program wrote it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            Kind::Unavailable => "start the program that wrote it, or a newer one",
            _ => "start from an older snapshot, or from the journal alone",
        }
    }
}

impl From<minicbor::decode::Error> for SnapshotError {
    fn from(error: minicbor::decode::Error) -> Self {
        SnapshotError::corrupt(error.to_string())
    }
}

/// The single values of a state.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Head {
    #[n(0)]
    now: Time,
    #[n(1)]
    changes: u64,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    fences: u64,
    #[n(4)]
    instance: Option<Box<InstanceStarted>>,
    #[n(5)]
    intake: Intake,
    #[n(6)]
    admission_count: u64,
    /// The newest place in the order of idle agents.
    #[n(7)]
    idle_order: u64,
    /// The newest place in line.
    #[n(8)]
    turn_order: u64,
}

/// Whether new runs refer to an admission.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
enum Validity {
    /// No: only runs that began under it do.
    #[n(0)]
    Past,
    /// It is known, and another stands for its subject.
    #[n(1)]
    Known,
    /// Yes.
    #[n(2)]
    Current,
}

type Written<W> = Result<(), EncodeError<<W as Write>::Error>>;

impl State {
    /// Writes the state down, piece by piece: nothing but the ids of its runs and the tables of
    /// what they share is gathered in memory. Equal states give equal bytes.
    ///
    /// # Errors
    /// The sink's own.
    pub fn encode<W: Write>(&self, sink: W) -> Written<W> {
        let ids = self.run_ids();
        let mut tables = Tables::of(self, &ids);
        let e = &mut Encoder::new(sink);
        let is_supervised = self.supervision != Supervision::default();
        let has_limits = self.limits.newest() > 0;
        let count = entry::COUNT + u64::from(is_supervised) + u64::from(has_limits);
        e.map(count)?.u32(entry::FORMAT)?.u32(FORMAT)?;
        e.u32(entry::HEAD)?.encode(self.head())?;
        e.u32(entry::SKILLS)?.encode(self.fleet.skill_table())?;
        list(e, entry::AGENTS, self.fleet.worn_rows())?;
        e.u32(entry::BACKS)?.encode(&self.backs)?;
        list(e, entry::WORKFLOWS, tables.workflows.iter().map(|it| &**it))?;
        self.encode_admissions(e, &tables)?;
        e.u32(entry::ACCOUNTS)?.encode(&self.accounts)?;
        e.u32(entry::REVOKED)?.encode(&self.revoked)?;
        let keys = self.keys.by_age.iter().map(|(at, name)| (at, name, self.keys.used.get(name)));
        list(e, entry::KEYS, keys)?;
        self.encode_runs(e, &ids, &mut tables)?;
        list(e, entry::ENDED, &self.ended)?;
        e.u32(entry::INTERRUPTED)?.encode(&self.interrupted)?;
        list(e, entry::LINES, self.queue.known_skills())?;
        e.u32(entry::TIMERS)?.encode(&self.timers)?;
        let shelves: Vec<_> =
            self.backlog.shelved().map(|(_, under)| tables.bare_under(under)).collect();
        list(e, entry::SHELVES, &shelves)?;
        list(e, entry::WAITING, self.backlog.rows())?;
        e.u32(entry::FLEET)?.encode(self.fleet.shape())?;
        e.u32(entry::DEPLOYMENTS)?.encode(&self.deployments)?;
        e.u32(entry::SCHEDULES)?.array(2)?.u64(self.schedules.newest())?;
        e.array(self.schedules.len() as u64)?;
        self.schedules.iter().try_for_each(|it| e.encode(it)?.ok())?;
        if has_limits {
            e.u32(entry::LIMITS)?.array(2)?.u64(self.limits.newest())?;
            e.array(self.limits.len() as u64)?;
            self.limits.rows().try_for_each(|it| e.encode(it)?.ok())?;
        }
        list(e, entry::ERRANDS, &self.all_errands())?;
        match is_supervised {
            true => e.u32(entry::SUPERVISION)?.encode(&self.supervision)?.ok(),
            false => Ok(()),
        }
    }

    fn head(&self) -> Head {
        Head {
            now: self.now,
            changes: self.changes,
            epoch: self.epoch,
            fences: self.fences,
            instance: self.instance.clone(),
            intake: self.intake,
            admission_count: self.admission_count,
            idle_order: self.fleet.idle_order(),
            turn_order: self.queue.order(),
        }
    }

    fn encode_admissions<W: Write>(&self, e: &mut Encoder<W>, tables: &Tables) -> Written<W> {
        let rows = tables.admissions.values().filter_map(|admission| {
            let validity = if self.admitted.get(&admission.subject) == Some(&admission.id) {
                Validity::Current
            } else if self.admissions.contains_key(&admission.id) {
                Validity::Known
            } else {
                Validity::Past
            };
            Some((validity, tables.bare_admission(admission)?))
        });
        e.u32(entry::ADMISSIONS)?.array(tables.admissions.len() as u64)?;
        rows.into_iter().try_for_each(|row| e.encode(row)?.ok())
    }

    fn encode_runs<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ids: &[RunId],
        tables: &mut Tables,
    ) -> Written<W> {
        e.u32(entry::RUNS)?.array(ids.len() as u64)?;
        let mut runs = ids.iter().filter_map(|id| self.run(*id));
        runs.try_for_each(|run| e.encode_with(run, tables)?.ok())
    }
}

/// An entry that is a list.
fn list<W: Write, T: Encode<()>>(
    e: &mut Encoder<W>,
    entry: u32,
    items: impl IntoIterator<Item = T, IntoIter: Clone>,
) -> Written<W> {
    let mut items = items.into_iter();
    e.u32(entry)?.array(items.clone().count() as u64)?;
    items.try_for_each(|item| e.encode(item)?.ok())
}
