//! The lines of a bundle. Each is read as JSON, written again, and must be the same bytes: so there is one file
//! for one content, and no reader can see another meaning in it.

use std::borrow::Cow;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Class, Fault};

pub(super) const LOG: &str = "\"log\":[";
pub(super) const LOG_END: &str = "],";
pub(super) const SUMMARY: &str = "\"summary\":";
pub(super) const PAYLOADS: &str = "\"payloads\":[";
pub(super) const END: &str = "]}";
const HEAD: &str = "{\"bundle\":";
/// Bytes of the first line: two notes, and at most 65 hashes between them, take less than a tenth of it.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) run: String,
    pub(super) namespace: String,
    pub(super) origin: String,
    pub(super) key: String,
    pub(super) checkpoint: String,
    pub(super) kept: Option<Kept>,
    pub(super) embeds: bool,
}

/// That the journal goes on from a checkpoint that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) checkpoint: String,
    pub(super) consistency: Vec<String>,
}

/// A line of the log: a record, or the hash of a subtree without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Record(RecordLine<'a>),
    Cut(CutLine<'a>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordLine<'a> {
    pub(super) record: u64,
    #[serde(borrow)]
    pub(super) leaf: Word<'a>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) proofs: Vec<ProofLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CutLine<'a> {
    pub(super) node: (u32, u64),
    #[serde(borrow)]
    pub(super) hash: Word<'a>,
}

/// A proof of progress, and its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofLine {
    pub(super) task: String,
    pub(super) fence: u64,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) effects: Option<String>,
    pub(super) proof: String,
}

/// A blob that a record names; the data is there if the bundle embeds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayloadLine<'a> {
    #[serde(borrow)]
    pub(super) hash: Word<'a>,
    #[serde(borrow)]
    pub(super) data: Option<Word<'a>>,
}

/// A text that is not copied out of its line where it stands there as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Word<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Word<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Owned(text.to_owned())))
    }
}

/// Takes only what stands there already: comparing takes no memory.
struct Same<'a>(&'a [u8]);

impl io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn fault(why: &str) -> Fault {
    Fault::new(Class::Format, why)
}

/// Plain data always has a JSON form.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) fn head_line(head: &Head) -> Vec<u8> {
    [HEAD.as_bytes(), &json(head), b","].concat()
}

pub(super) fn parse_head(line: &[u8]) -> Result<Head, Fault> {
    if line.len() > HEAD_BYTES_MAX {
        return Err(fault("the first line is too long"));
    }
    let body = line.strip_prefix(HEAD.as_bytes()).and_then(|rest| rest.strip_suffix(b","));
    parse(body.ok_or_else(|| fault("this is no proof bundle"))?)
}

pub(super) fn parse_entry(body: &[u8]) -> Result<Entry<'_>, Fault> {
    if body.starts_with(b"{\"record\":") {
        parse(body).map(Entry::Record)
    } else {
        parse(body).map(Entry::Cut)
    }
}

/// Reads a value that stands there in its only form. What is wrong is told without words of the file.
pub(super) fn parse<'a, T: Deserialize<'a> + Serialize>(body: &'a [u8]) -> Result<T, Fault> {
    let value: T = serde_json::from_slice(body).map_err(|error| {
        Fault::new(Class::Format, format!("the line is malformed at byte {}", error.column()))
    })?;
    let mut same = Same(body);
    if serde_json::to_writer(&mut same, &value).is_err() || !same.0.is_empty() {
        return Err(fault("the line is not in the one way in which it may be written"));
    }
    Ok(value)
}

/// Reads base64 in its only form.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(text).map_err(|_| fault("this is not base64"))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads 64 lower-case hex digits.
pub(super) fn hash(text: &str) -> Result<ark_os_store::Hash, Fault> {
    ark_os_store::Hash::from_hex(text)
        .filter(|hash| hash.to_string() == text)
        .ok_or_else(|| fault("this is no hash"))
}
