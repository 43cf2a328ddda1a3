//! The targets: everything that reads bytes which somebody else wrote.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use ark_os_core::authority::Scope;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskId};
use ark_os_core::manifest::{self, Root, Template};
use ark_os_core::{Event, manifest::parse_duration_ms};
use ark_os_noa::Format;
use ark_os_runtime::data::{Catalogue, Condition};
use ark_os_runtime::proofs::{BundleTrust, verify};
use ark_os_runtime::skills::SkillSet;
use ark_os_store::{Files, Journal, LedgerKey, MemFiles, PublicKey};
use serde_json::Value;

use super::corpus;
use super::mutate::Form;
use super::sample::{SEGMENT_BYTES, sample};
use crate::proofs::{Sample, samples};

mod noa;
mod request;
mod snapshot;
mod source;
mod worker;

/// What every target is called.
pub const NAMES: [&str; 20] = [
    "manifest",
    "template",
    "condition",
    "text",
    "journal",
    "record",
    "events",
    "note",
    "snapshot",
    "request",
    "bundle",
    "source",
    "report",
    "log",
    "yaml",
    "toml",
    "json",
    "csv",
    "crew",
    "worker",
];

/// Reads one input. It panics if something is wrong.
pub type Read = Box<dyn FnMut(&[u8])>;

/// A parser, and where its inputs come from.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What its inputs are made from.
    pub seeds: Vec<Vec<u8>>,
    /// How they are made.
    pub form: Form,
    /// What reads them.
    pub run: Read,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    let name = *NAMES.iter().find(|known| **known == name)?;
    let (seeds, form, run): (Vec<Vec<u8>>, Form, Read) = match name {
        "manifest" => (owned(corpus::MANIFESTS), Form::Json, manifests()),
        "template" => (owned(corpus::TEMPLATES), Form::Json, Box::new(template)),
        "condition" => {
            let words = corpus::CONDITION_WORDS;
            (owned(corpus::CONDITIONS), Form::Bytes(words), Box::new(condition))
        }
        "text" => (owned(corpus::TEXTS), Form::Bytes(corpus::TEXT_WORDS), Box::new(text)),
        "journal" => (journals(), Form::Bytes(&[]), Box::new(journal)),
        "record" => (sample().records.clone(), Form::Bytes(&[]), Box::new(record)),
        "events" => (sample().bodies.clone(), Form::Bytes(&[]), Box::new(events)),
        "note" => {
            let words = &["\n\n", "\u{2014} ", "ark-os/journal", "\n1\n", "=="];
            (vec![sample().note.clone().into_bytes()], Form::Bytes(words), Box::new(note))
        }
        "snapshot" => (sample().snapshots.clone(), Form::Bytes(&[]), Box::new(snapshot::read)),
        "bundle" => {
            let seeds = bundles().iter().map(|sample| sample.bundle.clone()).collect();
            (seeds, Form::Bytes(corpus::BUNDLE_WORDS), Box::new(bundle))
        }
        "request" => (owned(corpus::REQUESTS), Form::Json, request::target()),
        "source" => {
            let words = corpus::SOURCE_WORDS;
            (owned(corpus::SOURCES), Form::Bytes(words), source::target())
        }
        "yaml" => (owned(corpus::YAML), Form::Bytes(corpus::YAML_WORDS), noa::text(Format::Yaml)),
        "toml" => (owned(corpus::TOML), Form::Bytes(corpus::TOML_WORDS), noa::text(Format::Toml)),
        "json" => {
            (owned(corpus::MANIFESTS), Form::Bytes(corpus::YAML_WORDS), noa::text(Format::Json))
        }
        "csv" => (owned(corpus::DIRECTORIES), Form::Bytes(corpus::CSV_WORDS), noa::csv()),
        "worker" => (owned(corpus::WORKERS), Form::Json, worker::target()),
        "crew" => (owned(corpus::CREWS), Form::Bytes(corpus::YAML_WORDS), noa::crews()),
        "report" => (vec![source::report()], Form::Json, source::difference()),
        _ => (owned(corpus::LOGS), Form::Bytes(corpus::LOG_WORDS), Box::new(log)),
    };
    Some(Target { name, seeds, form, run })
}

fn owned(seeds: &[&[u8]]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.to_vec()).collect()
}

/// A manifest against the real skills: a plan, or findings that say where.
fn manifests() -> Read {
    let catalogue = Catalogue::new(&SkillSet::builtin());
    Box::new(move |bytes| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
        if let Err(findings) = manifest::parse(&value, &catalogue) {
            assert!(!findings.as_slice().is_empty(), "refused without a reason");
        }
        let options = value.get("options").unwrap_or(&value);
        if let Err(findings) = manifest::single_task("echo", options, &catalogue) {
            assert!(!findings.as_slice().is_empty(), "refused without a reason");
        }
    })
}

/// Every root has the same odd value.
struct Odd(Value);

impl manifest::Scope for Odd {
    fn value(&self, root: &Root) -> Option<Cow<'_, Value>> {
        (!matches!(root, Root::Index)).then_some(Cow::Borrowed(&self.0))
    }
}

fn template(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    // Whoever calls the template's reader has looked at the depth before.
    if depth(&value, 0) >= manifest::DOCUMENT_DEPTH_MAX {
        return;
    }
    let Ok(template) = Template::parse(&value) else { return };
    let is_constant = template.references().is_empty();
    let resolved = template.resolve(&Odd(value));
    assert!(!is_constant || resolved.is_ok(), "a constant does not resolve: {resolved:?}");
}

fn depth(value: &Value, at: usize) -> usize {
    match value {
        Value::Array(list) => list.iter().map(|it| depth(it, at + 1)).max().unwrap_or(at),
        Value::Object(map) => map.values().map(|it| depth(it, at + 1)).max().unwrap_or(at),
        _ => at,
    }
}

fn condition(bytes: &[u8]) {
    let Ok(cel) = std::str::from_utf8(bytes) else { return };
    if let Err(why) = Condition::compile(cel) {
        assert!(!why.is_empty(), "refused without a reason");
    }
}

/// What reads back must say the same again.
fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = parse_duration_ms(text);
    if let Ok(scope) = Scope::parse(text) {
        assert_eq!(scope.as_str(), text);
        assert!(scope.contains(&scope));
    }
    if let Some(run) = RunId::parse(text) {
        assert_eq!(RunId::parse(&run.to_string()), Some(run));
    }
    if let Some(task) = TaskId::parse(text) {
        assert_eq!(TaskId::parse(&task.to_string()), Some(task));
    }
    if let Some(hash) = Hash::parse(text) {
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
    }
    let _ = PublicKey::parse(text);
}

/// The seeds are whole segments; the first byte says which of them the input takes the place of.
fn journals() -> Vec<Vec<u8>> {
    let files = &sample().files;
    let names = files.list(ark_os_store::journal::JOURNAL_DIR).unwrap_or_default();
    let read = |(ix, name): (usize, &String)| {
        let path = format!("{}/{name}", ark_os_store::journal::JOURNAL_DIR);
        let bytes = ark_os_store::files::read_small(files, &path, 4 * SEGMENT_BYTES).ok()?;
        Some(std::iter::once(ix as u8).chain(bytes).collect())
    };
    names.iter().enumerate().filter_map(read).collect()
}

/// A journal with one foreign segment: opened or refused, and never opened where offline
/// verification finds a fault in what is signed.
fn journal(bytes: &[u8]) {
    let Some((which, segment)) = bytes.split_first() else { return };
    let files = sample().files.copy();
    let names = files.list(ark_os_store::journal::JOURNAL_DIR).unwrap_or_default();
    let which = usize::from(*which).checked_rem(names.len()).unwrap_or(0);
    let Some(name) = names.get(which) else { return };
    let path = format!("{}/{name}", ark_os_store::journal::JOURNAL_DIR);
    let edited = files.edit(&path, |bytes| *bytes = segment.to_vec());
    assert!(edited.is_ok(), "edit a segment: {edited:?}");
    let verified = ark_os_store::verify::verify(&files, &ark_os_store::verify::Trust::default());
    let is_sound = verified.as_ref().is_ok_and(ark_os_store::verify::Report::is_ok);
    match open(&files) {
        Ok(records) => {
            assert!(is_sound, "opened with {records} records, but: {verified:?}");
            let again = open(&files);
            assert_eq!(again.as_ref().ok(), Some(&records), "opened otherwise the second time");
        }
        Err(error) => assert!(!is_sound, "sound, and does not open: {error}"),
    }
}

/// Opens a journal and reads it to its end: how many records.
fn open(files: &MemFiles) -> Result<u64, ark_os_store::StoreError> {
    let key = LedgerKey::load(files)?;
    let settings = ark_os_store::Settings { segment_bytes: SEGMENT_BYTES };
    let (_, mut recovered) = Journal::open(Arc::new(files.clone()), settings, key)?;
    let mut read = 0;
    while let Some(record) = recovered.next()? {
        read = record.seq;
    }
    assert_eq!(read, recovered.records(), "records are missing");
    Ok(read)
}

fn record(bytes: &[u8]) {
    let Ok(record) = ark_os_store::record::decode(7, bytes) else { return };
    assert!(record.body.len() < bytes.len(), "a record without a header");
    assert_eq!(record.bytes, bytes);
    if let Ok(change) = ark_os_runtime::kernel::record::decode(&record) {
        assert_eq!(change.at.0, record.header.time_ms);
    }
}

/// What was read is written, and reads back the same.
fn events(bytes: &[u8]) {
    let Ok(events) = minicbor::decode::<Vec<Event>>(bytes) else { return };
    let written = minicbor::to_vec(&events).unwrap_or_default();
    let again = minicbor::decode::<Vec<Event>>(&written);
    assert!(again.is_ok(), "written and not readable: {:?}", again.err());
    let twice = minicbor::to_vec(again.unwrap_or_default()).unwrap_or_default();
    assert_eq!(written, twice, "reads back as something else");
}

/// Bundles of real runs, made once.
fn bundles() -> &'static [Sample] {
    static BUNDLES: OnceLock<Vec<Sample>> = OnceLock::new();
    BUNDLES.get_or_init(|| {
        let made = samples();
        assert!(made.is_ok(), "make sample bundles: {:?}", made.as_ref().err());
        made.unwrap_or_default()
    })
}

/// A bundle is refused at a line, or is one that was made.
fn bundle(bytes: &[u8]) {
    let samples = bundles();
    let key = samples.first().map(|sample| sample.key.clone());
    let Ok(verdict) = verify(&mut &bytes[..], &BundleTrust { key, kept: None }) else { return };
    match verdict {
        Ok(_) => {
            let is_made = samples.iter().any(|sample| sample.bundle == bytes);
            assert!(is_made, "a bundle passes that nobody made");
        }
        Err(refused) => assert!(refused.line > 0 && !refused.why.is_empty(), "refused: {refused}"),
    }
}

/// No note but the signed one is accepted.
fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(key) = PublicKey::load(&sample().files) else { return };
    if let Ok(checkpoint) = key.open(text) {
        let signed = sample().note.split_once("\n\n").map(|(body, _)| body);
        let opened = text.split_once("\n\n").map(|(body, _)| body);
        assert_eq!(opened, signed, "another note passes for signed: {checkpoint:?}");
    }
}

/// What `git log` prints is counted, whatever it holds.
fn log(bytes: &[u8]) {
    let counted = ark_os_runtime::skills::history_of_log(bytes, 365, false);
    let counted = counted.ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let commits = counted.as_ref().and_then(|it| it.get("commits")).and_then(Value::as_u64);
    let begun = bytes.iter().filter(|byte| **byte == 1).count() as u64;
    assert!(commits.is_some_and(|commits| commits <= begun), "{commits:?} of {begun}");
}
