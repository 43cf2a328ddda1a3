//! Writing a bundle: the run's records are gone through twice, once to see what they refer to and that the run is
//! over, once to write. Memory is one record and the run's history, however many records there are.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use ark_os_core::Kind as ErrorKind;
use ark_os_core::ids::RunId;
use ark_os_store::journal::Cursor;
use ark_os_store::merkle::{Leaves, consistency_proof};
use ark_os_store::tiles::Covered;
use ark_os_store::views::Queries;
use ark_os_store::{Checkpoint, Hash, PublicKey, Reader, Tiles};

use super::facts::{Fact, facts};
use super::history::History;
use super::lines::{
    CutLine, END, Head, Kept, LOG, LOG_END, PAYLOADS, PayloadLine, RecordLine, SUMMARY, Word,
    encode, head_line, json,
};
use super::spine::cuts;
use super::{FORMAT, Fault};
use crate::RuntimeError;
use crate::data::BlobSource;

/// Record numbers asked for at a time.
const PAGE: usize = 10_000;
/// A gap up to this many records is read over; a wider one is jumped.
const READ_OVER: u64 = 256;

/// Where a bundle's parts come from.
#[derive(Debug)]
pub struct Evidence {
    /// The journal's records.
    pub reader: Reader,
    /// The hashes of what is between the run's records.
    pub tiles: Tiles,
    /// Which records are the run's, and which it refers to. They have followed the journal.
    pub views: Queries,
    /// The data that records name.
    pub blobs: Arc<dyn BlobSource>,
    /// The key that signed the checkpoint.
    pub key: PublicKey,
    /// The checkpoint that bundles are for.
    pub checkpoint: Checkpoint,
}

/// A bundle that can be written.
#[derive(Debug)]
pub struct Prepared {
    run: RunId,
    namespace: String,
    others: BTreeSet<u64>,
    embeds: bool,
    kept: Option<Checkpoint>,
}

/// A run's record numbers, in order, up to a checkpoint.
struct Records<'a> {
    views: &'a Queries,
    run: RunId,
    end: u64,
    after: u64,
    page: std::vec::IntoIter<u64>,
}

impl<'a> Records<'a> {
    /// Those of `run` that the checkpoint covers.
    fn new(views: &'a Queries, run: RunId, checkpoint: &Checkpoint) -> Self {
        Records { views, run, end: checkpoint.size(), after: 0, page: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<u64>, RuntimeError> {
        if self.page.as_slice().is_empty() {
            self.page = self.views.records_of(self.run, self.after, PAGE)?.into_iter();
        }
        let next = self.page.next().filter(|seq| *seq <= self.end);
        self.after = next.unwrap_or(self.after);
        Ok(next)
    }
}

/// Looks at a run's records. `kept` is the note of a checkpoint that the bundle is to go on from.
///
/// # Errors
/// There is no such run, it is not over, or the checkpoint does not cover it yet.
pub fn prepare(
    source: &Evidence,
    run: RunId,
    embeds: bool,
    kept: Option<&str>,
) -> Result<Prepared, RuntimeError> {
    let row = source.views.run(run)?.ok_or_else(|| {
        RuntimeError::new(ErrorKind::NotFound, "run_not_found", format!("find the run `{run}`"))
            .with_hint("`ark-os list runs` shows what there is")
    })?;
    if row.ended.is_none() {
        return Err(RuntimeError::new(
            ErrorKind::Conflict,
            "run_not_over",
            format!("prove the run `{run}`: it is not over"),
        )
        .with_hint("wait until it is over, or cancel it"));
    }
    let kept = kept.map(|note| source.key.open(note)).transpose()?;
    if kept.as_ref().is_some_and(|kept| kept.size() > source.checkpoint.size()) {
        return Err(behind("the checkpoint that was kept is of more records than are signed here"));
    }
    let mut looked = Looked { is_over: false, admissions: BTreeSet::new() };
    let mut is_first = true;
    let mut records = Records::new(&source.views, run, &source.checkpoint);
    let mut steps = Stepping::new(&source.reader);
    let mut starts = Starts::default();
    while let Some(seq) = records.next()? {
        if std::mem::take(&mut is_first) {
            let all = source.views.instances(seq, source.checkpoint.size())?;
            starts.all = all.into_iter().map(|(seq, _)| seq).collect();
        }
        starts.used(seq);
        steps.read(seq, |bytes| looked.record(bytes).map_err(unprovable))?;
    }
    if !looked.is_over || source.views.records_of(run, source.checkpoint.size(), 1)?.len() == 1 {
        return Err(behind("the newest records of the run are not signed yet"));
    }
    let mut others = starts.needed;
    for id in looked.admissions {
        let row = source.views.admission(id)?.ok_or_else(|| {
            RuntimeError::new(ErrorKind::NotFound, "internal", format!("find admission {id}"))
        })?;
        others.insert(row.seq);
    }
    Ok(Prepared { run, namespace: row.namespace.to_string(), others, embeds, kept })
}

fn behind(why: &str) -> RuntimeError {
    RuntimeError::new(ErrorKind::NotFound, "checkpoint_not_found", format!("prove the run: {why}"))
        .with_hint("ask again in two seconds")
}

fn unprovable(Fault(_, why): Fault) -> RuntimeError {
    RuntimeError::new(ErrorKind::Corrupt, "verification_failed", format!("prove the run: {why}"))
        .with_hint("run `ark-os ledger verify`")
}

struct Looked {
    is_over: bool,
    admissions: BTreeSet<u64>,
}

impl Looked {
    fn record(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for fact in facts(bytes)?.events() {
            match fact? {
                Fact::RunAccepted { admission, .. } | Fact::RunLoaded { admission, .. } => {
                    self.admissions.extend(admission);
                }
                Fact::RunStarted { admission } => _ = self.admissions.insert(admission),
                Fact::RunEnded { .. } => self.is_over = true,
                Fact::RunRetried { .. } => self.is_over = false,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The starts of instances, and those that wrote records of the run.
#[derive(Default)]
struct Starts {
    all: Vec<u64>,
    needed: BTreeSet<u64>,
}

impl Starts {
    fn used(&mut self, seq: u64) {
        let after = self.all.partition_point(|start| *start < seq);
        self.needed.extend(after.checked_sub(1).and_then(|at| self.all.get(at)));
    }
}

/// Reads records that come in order, some near each other and some far apart.
struct Stepping<'a> {
    reader: &'a Reader,
    cursor: Option<Cursor>,
}

impl<'a> Stepping<'a> {
    fn new(reader: &'a Reader) -> Self {
        Stepping { reader, cursor: None }
    }

    fn read<T>(
        &mut self,
        seq: u64,
        look: impl FnOnce(&[u8]) -> Result<T, RuntimeError>,
    ) -> Result<T, RuntimeError> {
        let is_near = |it: &Cursor| it.seq() <= seq && seq - it.seq() <= READ_OVER;
        let mut cursor = match self.cursor.take().filter(is_near) {
            Some(cursor) => cursor,
            None => self.reader.lookup(seq),
        };
        while cursor.seq() < seq && cursor.next()?.is_some() {}
        let found = match cursor.next()? {
            Some(record) => look(record.bytes),
            None => Err(RuntimeError::new(
                ErrorKind::Corrupt,
                "journal_corrupt",
                format!("find record {seq}, which the views name"),
            )),
        };
        self.cursor = Some(cursor);
        found
    }
}

impl Prepared {
    /// Writes the bundle.
    ///
    /// # Errors
    /// The journal or a blob cannot be read, or `out` does not take more.
    pub fn write(&self, source: &Evidence, out: &mut dyn Write) -> Result<(), RuntimeError> {
        let leaves = Covered::new(&source.tiles, &source.reader);
        out.write_all(&head_line(&self.head(source, &leaves)?)).map_err(unwritten)?;
        out.write_all(format!("\n{LOG}\n").as_bytes()).map_err(unwritten)?;
        let mut writing = Writing {
            out,
            leaves,
            size: source.checkpoint.size(),
            position: 0,
            history: History::new(self.run, &self.namespace),
        };
        let mut own = Records::new(&source.views, self.run, &source.checkpoint);
        let mut steps = Stepping::new(&source.reader);
        let mut others = self.others.iter().copied().peekable();
        while let Some(seq) = own.next()? {
            while let Some(other) = others.next_if(|other| *other <= seq) {
                if other < seq {
                    steps.read(other, |bytes| writing.record(other, bytes))?;
                }
            }
            steps.read(seq, |bytes| writing.record(seq, bytes))?;
        }
        writing.finish(&*source.blobs, self.embeds)
    }

    fn head(&self, source: &Evidence, leaves: &dyn Leaves) -> Result<Head, RuntimeError> {
        let size = source.checkpoint.size();
        let kept = match &self.kept {
            Some(kept) => {
                let path = consistency_proof(leaves, kept.size(), size)?;
                Some(Kept {
                    checkpoint: kept.note().to_owned(),
                    consistency: path.iter().map(ToString::to_string).collect(),
                })
            }
            None => None,
        };
        Ok(Head {
            format: FORMAT.to_owned(),
            run: self.run.to_string(),
            namespace: self.namespace.clone(),
            origin: source.key.origin().to_owned(),
            key: source.key.to_string(),
            checkpoint: source.checkpoint.note().to_owned(),
            kept,
            embeds: self.embeds,
        })
    }
}

fn unwritten(error: std::io::Error) -> RuntimeError {
    RuntimeError::new(ErrorKind::Unavailable, "internal", format!("write the bundle: {error}"))
        .with_source(error)
}

struct Writing<'a> {
    out: &'a mut dyn Write,
    leaves: Covered<'a>,
    size: u64,
    /// The leaf that comes next.
    position: u64,
    history: History,
}

impl Writing<'_> {
    fn record(&mut self, seq: u64, bytes: &[u8]) -> Result<(), RuntimeError> {
        self.cut(seq - 1)?;
        let mut proofs = Vec::new();
        self.history.record(seq, bytes, &mut |proof| proofs.push(proof)).map_err(unprovable)?;
        let leaf = Word(encode(bytes).into());
        self.entry(&json(&RecordLine { record: seq, leaf, proofs }))?;
        self.position = seq;
        Ok(())
    }

    /// Hashes in place of everything up to a leaf.
    fn cut(&mut self, to: u64) -> Result<(), RuntimeError> {
        for (height, index) in cuts(self.position, to) {
            let hash = self.leaves.root_of(index << height, (index + 1) << height)?;
            self.entry(&json(&CutLine {
                node: (height, index),
                hash: Word(hash.to_string().into()),
            }))?;
            self.position = (index + 1) << height;
        }
        Ok(())
    }

    fn entry(&mut self, line: &[u8]) -> Result<(), RuntimeError> {
        let before: &[u8] = if self.position == 0 { b"" } else { b",\n" };
        self.out.write_all(before).and_then(|()| self.out.write_all(line)).map_err(unwritten)
    }

    fn finish(mut self, blobs: &dyn BlobSource, embeds: bool) -> Result<(), RuntimeError> {
        self.cut(self.size)?;
        let (summary, named) = self.history.finish().map_err(unprovable)?;
        let out = self.out;
        let summary = [format!("\n{LOG_END}\n{SUMMARY}").as_bytes(), &json(&summary)].concat();
        out.write_all(&summary).map_err(unwritten)?;
        out.write_all(format!(",\n{PAYLOADS}\n").as_bytes()).map_err(unwritten)?;
        for (at, hash) in named.iter().enumerate() {
            let data = data(blobs, hash, embeds)?.map(|data| Word(data.into()));
            let line = PayloadLine { hash: Word(hash.to_string().into()), data };
            let after: &[u8] = if at + 1 < named.len() { b",\n" } else { b"\n" };
            out.write_all(&json(&line)).and_then(|()| out.write_all(after)).map_err(unwritten)?;
        }
        out.write_all(format!("{END}\n").as_bytes()).and_then(|()| out.flush()).map_err(unwritten)
    }
}

fn data(blobs: &dyn BlobSource, hash: &Hash, embeds: bool) -> Result<Option<String>, RuntimeError> {
    if !embeds {
        return Ok(None);
    }
    let bytes = blobs.load(ark_os_core::hash::Hash(hash.0)).map_err(|error| {
        RuntimeError::new(ErrorKind::Unavailable, "blob_unreadable", error.to_string())
            .with_hint("prove it without payloads")
    })?;
    Ok(Some(encode(&bytes)))
}
