//! Verification of a bundle, line by line: memory is one line and the run's history, and not more than about
//! three times the file even where somebody made it to cost much.

use std::io::{self, BufRead, Read};

use ark_os_core::ids::RunId;
use ark_os_store::merkle::{leaf_hash, verify_consistency};
use ark_os_store::{Checkpoint, Hash, PublicKey};

use super::history::History;
use super::lines::{
    CutLine, END, Entry, Head, LOG, LOG_END, PAYLOADS, PayloadLine, RecordLine, SUMMARY, decode,
    fault, hash, json, parse, parse_entry, parse_head,
};
use super::spine::Spine;
use super::summary::Summary;
use super::{BundleTrust, Class, ENTRIES_MAX, FORMAT, Fault, LINE_BYTES_MAX, Refused};

/// What a bundle that verifies says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The run.
    pub run: String,
    /// Its namespace.
    pub namespace: String,
    /// The verifier key.
    pub key: String,
    /// Whether it was given, and not taken from the bundle.
    pub key_was_given: bool,
    /// How many records the checkpoint covers.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Size of the checkpoint that was kept elsewhere, if the journal was shown to go on from one.
    pub kept: Option<u64>,
    /// What its records say.
    pub summary: Summary,
    /// Blobs that they name.
    pub payloads: u64,
    /// Whether the blobs are in the bundle.
    pub embeds: bool,
}

/// Verifies a bundle. The outer error is the reader's own.
///
/// # Errors
/// The first thing that does not verify, with its line.
pub fn verify(
    bundle: &mut dyn BufRead,
    trust: &BundleTrust,
) -> io::Result<Result<Verified, Refused>> {
    let mut lines = Lines { source: bundle, line: Vec::new(), number: 0 };
    match lines.bundle(trust) {
        Ok(verified) => Ok(Ok(verified)),
        Err(Stop::Fault(Fault(class, why))) => Ok(Err(Refused { class, line: lines.number, why })),
        Err(Stop::Io(error)) => Err(error),
    }
}

enum Stop {
    Fault(Fault),
    Io(io::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

struct Lines<'a> {
    source: &'a mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

/// The first line, and what follows from it.
struct Begun {
    head: Head,
    run: RunId,
    key: PublicKey,
    checkpoint: Checkpoint,
    kept: Option<u64>,
}

impl Lines<'_> {
    /// The next line, without its end.
    fn next(&mut self) -> Result<&[u8], Stop> {
        self.line.clear();
        self.number += 1;
        let mut source = (&mut *self.source).take(LINE_BYTES_MAX as u64 + 1);
        source.read_until(b'\n', &mut self.line).map_err(Stop::Io)?;
        if self.line.pop() != Some(b'\n') {
            return Err(fault("the file ends too early, or a line is too long").into());
        }
        Ok(&self.line)
    }

    fn expect(&mut self, words: &str) -> Result<(), Stop> {
        if self.next()? == words.as_bytes() {
            return Ok(());
        }
        Err(Fault::new(Class::Format, format!("here stands `{words}`")).into())
    }

    fn bundle(&mut self, trust: &BundleTrust) -> Result<Verified, Stop> {
        let begun = begin(parse_head(self.next()?)?, trust)?;
        self.expect(LOG)?;
        let mut history = History::new(begun.run, &begun.head.namespace);
        self.log(&begun, &mut history)?;
        let (summary, blobs) = history.finish()?;
        let expected = [SUMMARY.as_bytes(), &json(&summary), b","].concat();
        if self.next()? != expected {
            return Err(Fault::new(Class::Summary, "the summary is not that of the records").into());
        }
        self.payloads(&blobs, begun.head.embeds)?;
        Ok(Verified {
            run: begun.head.run,
            namespace: begun.head.namespace,
            key: begun.key.to_string(),
            key_was_given: trust.key.is_some(),
            size: begun.checkpoint.size(),
            root: begun.checkpoint.root(),
            kept: begun.kept,
            summary,
            payloads: blobs.len() as u64,
            embeds: begun.head.embeds,
        })
    }

    fn log(&mut self, begun: &Begun, history: &mut History) -> Result<(), Stop> {
        let mut spine = Spine::new(begun.checkpoint.size());
        for _ in 0..ENTRIES_MAX {
            let line = self.next()?;
            // Of the entries only the last has no comma.
            let (body, is_last) = match line.strip_suffix(b",") {
                Some(body) => (body, false),
                None => (line, true),
            };
            match parse_entry(body)? {
                Entry::Record(line) => record(&line, &mut spine, history)?,
                Entry::Cut(CutLine { node: (height, index), hash: text }) => {
                    spine.cut(height, index, hash(&text.0)?)?;
                }
            }
            if is_last {
                self.expect(LOG_END)?;
                if spine.root()? != begun.checkpoint.root() {
                    let why = "the records are not those of the signed tree";
                    return Err(Fault::new(Class::Tree, why).into());
                }
                return Ok(());
            }
        }
        Err(fault("the log has too many entries").into())
    }

    fn payloads(&mut self, blobs: &[Hash], embeds: bool) -> Result<(), Stop> {
        self.expect(PAYLOADS)?;
        for (at, blob) in blobs.iter().enumerate() {
            let line = self.next()?;
            let body = if at + 1 < blobs.len() { line.strip_suffix(b",") } else { Some(line) };
            let body = body.ok_or_else(|| fault("the list of payloads ends too early"))?;
            let PayloadLine { hash: name, data } = parse(body)?;
            let refuse = |why: &str| Stop::from(Fault::new(Class::Payload, why));
            if hash(&name.0)? != *blob {
                return Err(refuse("the payload is not the one that the records name next"));
            }
            match data {
                Some(data) if embeds => {
                    if Hash::of(&decode(&data.0)?) != *blob {
                        return Err(refuse("the payload is not what its name says"));
                    }
                }
                None if !embeds => {}
                _ => return Err(refuse("payloads are embedded all or none")),
            }
        }
        self.expect(END)?;
        match self.source.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => {
                self.number += 1;
                Err(fault("something follows the end").into())
            }
            Err(error) => Err(Stop::Io(error)),
        }
    }
}

fn record(line: &RecordLine<'_>, spine: &mut Spine, history: &mut History) -> Result<(), Fault> {
    let bytes = decode(&line.leaf.0)?;
    spine.leaf(line.record, leaf_hash(&bytes))?;
    let (mut stated, mut is_same) = (line.proofs.iter(), true);
    history.record(line.record, &bytes, &mut |proof| is_same &= stated.next() == Some(&proof))?;
    if !is_same || stated.next().is_some() {
        return Err(Fault::new(
            Class::Summary,
            "the proofs of progress are not those of the record",
        ));
    }
    Ok(())
}

/// Checks the first line: key, checkpoint, and what was kept.
fn begin(head: Head, trust: &BundleTrust) -> Result<Begun, Fault> {
    if head.format != FORMAT {
        return Err(Fault::new(Class::Format, format!("the format is not `{FORMAT}`")));
    }
    let run = RunId::parse(&head.run).filter(|run| run.to_string() == head.run);
    let run = run.ok_or_else(|| fault("this is no id of a run"))?;
    let key = PublicKey::parse(&head.key).ok().filter(|key| key.to_string() == head.key);
    let key = key.ok_or_else(|| fault("this is no verifier key"))?;
    if key.origin() != head.origin {
        return Err(fault("the origin is not that of the key"));
    }
    if trust.key.as_ref().is_some_and(|trusted| *trusted != head.key) {
        return Err(Fault::new(Class::Key, "the bundle is not of the key that is trusted"));
    }
    let checkpoint = open(&key, &head.checkpoint, Class::Checkpoint)?;
    let shown = shown(&head, &key, &checkpoint)?;
    let kept = goes_on(trust, &key, &[Some(&checkpoint), shown.as_ref()])?;
    let kept = kept.or(shown.map(|shown| shown.size()));
    Ok(Begun { head, run, key, checkpoint, kept })
}

/// A note with one signature, that of the key. Witnesses' lines have no place in a bundle: anybody could add one.
fn open(key: &PublicKey, note: &str, class: Class) -> Result<Checkpoint, Fault> {
    let checkpoint = key.open(note).map_err(|error| Fault::new(class, error.to_string()))?;
    let signatures = note.rsplit_once("\n\n").map_or(0, |(_, lines)| lines.lines().count());
    if signatures != 1 {
        return Err(Fault::new(class, "the checkpoint has more than one signature"));
    }
    Ok(checkpoint)
}

/// The kept checkpoint that the bundle itself goes on from.
fn shown(head: &Head, key: &PublicKey, to: &Checkpoint) -> Result<Option<Checkpoint>, Fault> {
    let Some(kept) = &head.kept else { return Ok(None) };
    let from = open(key, &kept.checkpoint, Class::Kept)?;
    let path = kept.consistency.iter().map(|text| hash(text)).collect::<Result<Vec<_>, _>>()?;
    if !verify_consistency((from.size(), from.root()), (to.size(), to.root()), &path) {
        let why = "the journal does not go on from the checkpoint that was kept";
        return Err(Fault::new(Class::Kept, why));
    }
    Ok(Some(from))
}

/// Whether the checkpoint that is trusted is one of those that the bundle is about.
fn goes_on(
    trust: &BundleTrust,
    key: &PublicKey,
    known: &[Option<&Checkpoint>],
) -> Result<Option<u64>, Fault> {
    let Some(note) = &trust.kept else { return Ok(None) };
    let kept = key.open(note).map_err(|error| Fault::new(Class::Kept, error.to_string()))?;
    let same = |it: &&Checkpoint| it.size() == kept.size() && it.root() == kept.root();
    if !known.iter().flatten().any(same) {
        let why = "the bundle does not say that the journal goes on from the checkpoint that was kept: prove it \
                   anew with that one";
        return Err(Fault::new(Class::Kept, why));
    }
    Ok(Some(kept.size()))
}
