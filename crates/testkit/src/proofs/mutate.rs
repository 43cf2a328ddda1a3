//! The mutator of bundles: from a flipped bit to a forger who leaves a record out and signs the rest anew.

use serde_json::{Value, json};

use super::document::{Document, leaf, scalars, set_leaf};
use super::forge::{leave_out, sign_anew};
use super::sample::Sample;
use crate::fuzz::Rng;

/// Bytes that are moved, dropped or doubled at a time, at most.
const PIECE_MAX: usize = 40;

/// A case: what both verifiers are given.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// What was done.
    pub what: &'static str,
    /// The file.
    pub bundle: Vec<u8>,
    /// The key that is trusted.
    pub key: Option<String>,
    /// The checkpoint that is trusted.
    pub kept: Option<String>,
    /// Whether a verifier may accept it though it is not the original: it was signed by a key that nobody
    /// asked about, or something was left out that a bundle does not show the lack of.
    pub may_pass: bool,
}

/// Damage to bytes.
type OfBytes = fn(&mut Vec<u8>, &mut Rng);
/// Damage to a document; none if this one has nothing to damage so.
type OfDocument = fn(&mut Document, &mut Rng) -> Option<()>;

const OF_BYTES: &[(&str, OfBytes)] = &[
    ("flip a bit", |it, rng| flip(it, rng)),
    ("set a byte", |it, rng| set(it, rng)),
    ("drop bytes", drop_piece),
    ("double bytes", double),
    ("insert bytes", insert),
    ("swap bytes", |it, rng| swap(it, rng)),
    ("cut off", truncate),
    ("append", append),
    ("swap lines", swap_lines),
    ("drop a line", drop_line),
    ("double a line", double_line),
    ("escape a letter", escape),
];

const OF_DOCUMENTS: &[(&str, OfDocument)] = &[
    ("edit the first line", |it, rng| edit(&mut it.head, rng)),
    ("edit an entry", |it, rng| edit(pick(&mut it.log, rng)?, rng)),
    ("edit the summary", |it, rng| edit(&mut it.summary, rng)),
    ("edit a payload", |it, rng| edit(pick(&mut it.payloads, rng)?, rng)),
    ("edit a record", edit_record),
    ("edit a number of a record", edit_head),
    ("swap two records", swap_records),
    ("swap two entries", |it, rng| swap_two(&mut it.log, rng)),
    ("drop an entry", |it, rng| drop_one(&mut it.log, rng)),
    ("double an entry", |it, rng| double_one(&mut it.log, rng)),
    ("drop a payload", |it, rng| drop_one(&mut it.payloads, rng)),
    ("split a hash", split),
    ("add a field", add_field),
    ("drop a field", drop_field),
];

/// The case of this number.
#[must_use]
pub fn mutant(samples: &[Sample], seed: u64, case: u64) -> Option<Mutant> {
    let mut rng = Rng::of(&[seed, case]);
    let sample = rng.pick(samples)?.clone();
    let other = rng.pick(samples)?;
    let mut mutant = Mutant {
        what: "nothing",
        bundle: sample.bundle,
        key: rng.one_in(2).then_some(sample.key),
        kept: sample.kept.filter(|_| !rng.one_in(3)),
        may_pass: false,
    };
    if mutant.kept.is_none() && rng.one_in(8) {
        mutant.kept.clone_from(&other.kept);
    }
    match rng.below(20) {
        0..=8 => {
            for _ in 0..=rng.below(2) {
                let (what, damage) = rng.pick(OF_BYTES)?;
                mutant.what = what;
                damage(&mut mutant.bundle, &mut rng);
            }
        }
        9..=14 => {
            let mut document = Document::read(&mutant.bundle)?;
            let (what, damage) = rng.pick(OF_DOCUMENTS)?;
            mutant.what = what;
            damage(&mut document, &mut rng)?;
            mutant.bundle = document.write();
        }
        15 => {
            let donor = Document::read(&other.bundle)?;
            let mut document = Document::read(&mutant.bundle)?;
            mutant.what = "a part of another bundle";
            transplant(&mut document, donor, &mut rng);
            mutant.bundle = document.write();
        }
        16 | 17 => omit(&mut mutant, &mut rng)?,
        _ => forge(&mut mutant, &mut rng)?,
    }
    Some(mutant)
}

/// Leaves a record out, as whoever makes a bundle could without any key.
fn omit(mutant: &mut Mutant, rng: &mut Rng) -> Option<()> {
    mutant.what = "leave a record out";
    let mut document = Document::read(&mutant.bundle)?;
    let records = document.records();
    leave_out(&mut document, *rng.pick(&records)?)?;
    if rng.one_in(2) {
        mutant.what = "leave a record out and say so";
        let name = if rng.one_in(4) { "others" } else { "records" };
        let count = document.summary.get_mut(name)?;
        *count = json!(count.as_u64()?.checked_sub(1)?);
        mutant.may_pass = true;
    }
    mutant.bundle = document.write();
    Some(())
}

/// Changes something, or nothing, and signs it by another key.
fn forge(mutant: &mut Mutant, rng: &mut Rng) -> Option<()> {
    mutant.what = "sign by another key";
    let mut document = Document::read(&mutant.bundle)?;
    let damages: [OfDocument; 5] = [
        |_, _| Some(()),
        edit_record,
        edit_head,
        swap_records,
        |it, rng| edit(pick(&mut it.log, rng)?, rng),
    ];
    rng.pick(&damages)?(&mut document, rng)?;
    sign_anew(&mut document)?;
    mutant.may_pass = mutant.key.is_none() && mutant.kept.is_none();
    mutant.bundle = document.write();
    Some(())
}

fn transplant(document: &mut Document, donor: Document, rng: &mut Rng) {
    match rng.below(4) {
        0 => document.head = donor.head,
        1 => document.log = donor.log,
        2 => document.summary = donor.summary,
        _ => document.payloads = donor.payloads,
    }
}

fn pick<'a, T>(from: &'a mut [T], rng: &mut Rng) -> Option<&'a mut T> {
    let at = rng.below(from.len());
    from.get_mut(at)
}

fn span(bytes: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    let from = rng.below(bytes.len());
    from..(from + 1 + rng.below(PIECE_MAX)).min(bytes.len())
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    let bit = 1 << rng.below(8);
    if let Some(byte) = pick(bytes, rng) {
        *byte ^= bit;
    }
}

fn set(bytes: &mut [u8], rng: &mut Rng) {
    const MEANINGFUL: &[u8] = b"\"\\,:{}[]0a9=+/\n\r \x00\xff";
    let value = rng.pick(MEANINGFUL).copied().unwrap_or_default();
    if let Some(byte) = pick(bytes, rng) {
        *byte = value;
    }
}

fn drop_piece(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let span = span(bytes, rng);
    bytes.drain(span);
}

fn double(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let span = span(bytes, rng);
    let piece = bytes.get(span.clone()).unwrap_or_default().to_vec();
    bytes.splice(span.end..span.end, piece);
}

fn insert(bytes: &mut Vec<u8>, rng: &mut Rng) {
    const PIECES: &[&[u8]] =
        &[b" ", b"\n", b"\r", b",", b"0", b"\"\":0,", b"null", b"\xef\xbb\xbf", b"\\u0000"];
    let piece = rng.pick(PIECES).copied().unwrap_or_default();
    let at = rng.below(bytes.len() + 1);
    bytes.splice(at..at, piece.iter().copied());
}

fn swap(bytes: &mut [u8], rng: &mut Rng) {
    let (one, other) = (rng.below(bytes.len()), rng.below(bytes.len()));
    if one < bytes.len() && other < bytes.len() {
        bytes.swap(one, other);
    }
}

fn truncate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    bytes.truncate(rng.below(bytes.len()));
}

fn append(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let piece = bytes.get(span(bytes, rng)).unwrap_or_default().to_vec();
    bytes.extend(if rng.one_in(2) { b"\n".to_vec() } else { piece });
}

fn with_lines(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    *bytes = lines.concat();
}

fn swap_lines(bytes: &mut Vec<u8>, rng: &mut Rng) {
    with_lines(bytes, |lines| _ = swap_two(lines, rng));
}

fn drop_line(bytes: &mut Vec<u8>, rng: &mut Rng) {
    with_lines(bytes, |lines| _ = drop_one(lines, rng));
}

fn double_line(bytes: &mut Vec<u8>, rng: &mut Rng) {
    with_lines(bytes, |lines| _ = double_one(lines, rng));
}

/// Another way to write the same text.
fn escape(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let from = rng.below(bytes.len());
    let letter = bytes.iter().skip(from).position(u8::is_ascii_alphanumeric).map(|at| from + at);
    if let Some((at, byte)) = letter.and_then(|at| Some((at, *bytes.get(at)?))) {
        bytes.splice(at..=at, format!("\\u{byte:04x}").into_bytes());
    }
}

fn swap_two<T>(list: &mut [T], rng: &mut Rng) -> Option<()> {
    let (one, other) = (rng.below(list.len()), rng.below(list.len()));
    (one < list.len() && other < list.len()).then(|| list.swap(one, other))
}

fn drop_one<T>(list: &mut Vec<T>, rng: &mut Rng) -> Option<()> {
    let at = rng.below(list.len());
    (at < list.len()).then(|| _ = list.remove(at))
}

fn double_one<T: Clone>(list: &mut Vec<T>, rng: &mut Rng) -> Option<()> {
    let at = rng.below(list.len());
    let one = list.get(at)?.clone();
    list.insert(rng.below(list.len() + 1), one);
    Some(())
}

/// Changes one value inside a line.
fn edit(line: &mut Value, rng: &mut Rng) -> Option<()> {
    let mut values = scalars(line);
    let replacement = rng.pick(&values).map(|value| (*value).clone())?;
    let value = pick(&mut values, rng)?;
    let choice = rng.below(8);
    **value = match (&**value, choice) {
        (_, 0) => Value::Null,
        (_, 1) => replacement,
        (_, 2) => json!([(**value).clone()]),
        (Value::Number(number), _) => other_number(number.as_u64()?, rng),
        (Value::Bool(it), _) => json!(!it),
        (Value::String(text), 3) => json!(text.to_uppercase()),
        (Value::String(text), 4) => json!(format!("{text} ")),
        (Value::String(text), _) => json!(other_letter(text, rng)),
        _ => json!(rng.below(3)),
    };
    Some(())
}

fn other_number(number: u64, rng: &mut Rng) -> Value {
    match rng.below(6) {
        0 => json!(number.wrapping_add(1)),
        1 => json!(number.wrapping_sub(1)),
        2 => json!(u64::MAX),
        3 => json!(-1),
        4 => json!(number as f64),
        _ => json!(rng.draw()),
    }
}

fn other_letter(text: &str, rng: &mut Rng) -> String {
    const LETTERS: &[char] =
        &['0', 'f', 'A', '/', '+', '=', '\n', '"', '\u{7f}', '\u{e9}', '\u{2014}', ' '];
    let mut letters: Vec<char> = text.chars().collect();
    if let (Some(letter), Some(other)) = (pick(&mut letters, rng), rng.pick(LETTERS)) {
        *letter = *other;
    }
    letters.into_iter().collect()
}

fn record<'a>(document: &'a mut Document, rng: &mut Rng) -> Option<&'a mut Value> {
    let records = document.records();
    document.log.get_mut(*rng.pick(&records)?)
}

/// Changes the bytes of a record.
fn edit_record(document: &mut Document, rng: &mut Rng) -> Option<()> {
    let entry = record(document, rng)?;
    let mut bytes = leaf(entry)?;
    let damages: [OfBytes; 6] = [
        |it, rng| flip(it, rng),
        |it, rng| flip(it, rng),
        |it, rng| swap(it, rng),
        drop_piece,
        double,
        truncate,
    ];
    rng.pick(&damages)?(&mut bytes, rng);
    set_leaf(entry, &bytes);
    Some(())
}

/// Changes a small number of a record, which most heads and fields of CBOR are: what is meant changes, its form
/// does not.
fn edit_head(document: &mut Document, rng: &mut Rng) -> Option<()> {
    let entry = record(document, rng)?;
    let mut bytes = leaf(entry)?;
    let small: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte < 24).map(|(at, _)| at).collect();
    let value = rng.below(24) as u8;
    *bytes.get_mut(*rng.pick(&small)?)? = value;
    set_leaf(entry, &bytes);
    Some(())
}

/// Swaps the contents of two records.
fn swap_records(document: &mut Document, rng: &mut Rng) -> Option<()> {
    let records = document.records();
    let (one, other) = (*rng.pick(&records)?, *rng.pick(&records)?);
    let (first, second) = (leaf(document.log.get(one)?)?, leaf(document.log.get(other)?)?);
    set_leaf(document.log.get_mut(one)?, &second);
    set_leaf(document.log.get_mut(other)?, &first);
    Some(())
}

/// Puts two hashes in the place of one.
fn split(document: &mut Document, rng: &mut Rng) -> Option<()> {
    let cuts: Vec<usize> = (0..document.log.len())
        .filter(|at| document.log.get(*at).is_some_and(|entry| entry.get("node").is_some()))
        .collect();
    let at = *rng.pick(&cuts)?;
    let entry = document.log.get(at)?;
    let (height, index) =
        (entry.get("node")?.get(0)?.as_u64()?, entry.get("node")?.get(1)?.as_u64()?);
    let hash = entry.get("hash")?.clone();
    let half = |index: u64| json!({"node": [height.saturating_sub(1), index], "hash": hash});
    let halves = [half(index * 2), half(index * 2 + 1)];
    document.log.splice(at..=at, halves);
    Some(())
}

fn fields<'a>(
    document: &'a mut Document,
    rng: &mut Rng,
) -> Option<&'a mut serde_json::Map<String, Value>> {
    let line = match rng.below(4) {
        0 => &mut document.head,
        1 => &mut document.summary,
        _ => pick(&mut document.log, rng)?,
    };
    line.as_object_mut()
}

fn add_field(document: &mut Document, rng: &mut Rng) -> Option<()> {
    const NAMES: &[&str] = &["proofs", "note", "", "record", "kept", "zzz"];
    let name = (*rng.pick(NAMES)?).to_owned();
    let values = [Value::Null, json!([]), json!(1)];
    let value = rng.pick(&values)?.clone();
    fields(document, rng)?.insert(name, value);
    Some(())
}

fn drop_field(document: &mut Document, rng: &mut Rng) -> Option<()> {
    let fields = fields(document, rng)?;
    let names: Vec<String> = fields.keys().cloned().collect();
    fields.remove(rng.pick(&names)?);
    Some(())
}
