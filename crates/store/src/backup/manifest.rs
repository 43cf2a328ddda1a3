//! The list of a backup: which bytes of which files, their digests, the small files themselves; one signed note.

use std::collections::BTreeMap;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{CHECKPOINT, LAYOUT, damaged, unwritten};
use crate::error::StoreError;
use crate::files::{Files, read_small, write_atomic};
use crate::journal::segment::first_of;
use crate::ledger::{LedgerKey, PUBLIC_KEY_PATH, PublicKey};
use crate::merkle::Hash;

/// The list, in the root of a backup.
pub const MANIFEST_FILE: &str = "backup.note";

/// No origin has a space, so this is the first line of no checkpoint.
const TITLE: &str = "ark-os backup";
/// The format that is written. Every one up to this stays readable for ever.
const FORMAT: u32 = 1;
/// Largest list: some three million files.
const MANIFEST_BYTES_MAX: u64 = 512 << 20;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Records of the journal, all of them signed.
    pub records: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Small files, by their names.
    pub small: BTreeMap<String, Vec<u8>>,
    /// The others, by their paths.
    pub files: BTreeMap<String, Entry>,
}

/// One file of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// How many of its bytes count, from the first on.
    pub bytes: u64,
    /// SHA-256 of those.
    pub hash: Hash,
}

impl Manifest {
    /// Reads the list of a backup. Without a key the signature is verified by the one that is in it, which shows
    /// damage and no forgery. `NotFound`: there is none. `Corrupt`: it does not verify.
    pub fn load(files: &dyn Files, key: Option<&PublicKey>) -> Result<Self, StoreError> {
        let bytes = read_small(files, MANIFEST_FILE, MANIFEST_BYTES_MAX).map_err(|error| {
            let is_absent = error.kind() == io::ErrorKind::NotFound;
            let error = StoreError::io(format!("read `{MANIFEST_FILE}`"), error);
            if is_absent { error.with_hint("name a directory that holds a backup") } else { error }
        })?;
        let refused = |why: &str| damaged(MANIFEST_FILE, bytes.len() as u64, why);
        let note = std::str::from_utf8(&bytes).map_err(|_| refused("it is no text"))?;
        let own;
        let key = match key {
            Some(key) => key,
            None => {
                own = own_key(note).ok_or_else(|| refused("it names no key"))?;
                &own
            }
        };
        let text = key.signed_text(note).map_err(refused)?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) || lines.next() != Some(key.origin()) {
            return Err(refused("it is the list of no backup of this journal"));
        }
        if lines.next().and_then(|format| format.parse().ok()) != Some(FORMAT) {
            return Err(StoreError::newer(format!("read `{MANIFEST_FILE}`")));
        }
        Self::parse(lines).ok_or_else(|| refused("it is malformed"))
    }

    /// The key that signed the journal and this list.
    pub fn key(&self) -> Result<PublicKey, StoreError> {
        PublicKey::parse(&String::from_utf8_lossy(
            self.small.get(PUBLIC_KEY_PATH).map_or(&[][..], Vec::as_slice),
        ))
    }

    /// The checkpoint that it ends with.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&str> {
        std::str::from_utf8(self.small.get(CHECKPOINT)?).ok()
    }

    /// Small files that belong into a data directory.
    pub(super) fn small_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.small.iter().filter(|(name, _)| *name != CHECKPOINT);
        files.map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub(super) fn store(&self, files: &dyn Files, key: &LedgerKey) -> Result<(), StoreError> {
        let note = key.sign_text(&self.text(key.public().origin()));
        write_atomic(files, MANIFEST_FILE, note.as_bytes())
            .map_err(|error| unwritten(MANIFEST_FILE, error))
    }

    fn text(&self, origin: &str) -> String {
        let mut text = format!("{TITLE}\n{origin}\n{FORMAT}\n{}\n{}\n", self.records, self.made_ms);
        for (name, bytes) in &self.small {
            text.push_str(&format!("small {name} {}\n", STANDARD.encode(bytes)));
        }
        for (path, Entry { bytes, hash }) in &self.files {
            text.push_str(&format!("file {hash} {bytes} {path}\n"));
        }
        text
    }

    fn parse<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (records, made_ms) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
        let (mut small, mut files) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "small" => {
                    let (name, bytes) = small_of(rest)?;
                    small.insert(name, bytes);
                }
                "file" => {
                    let (hash, rest) = rest.split_once(' ')?;
                    let (bytes, path) = rest.split_once(' ')?;
                    let entry = Entry { bytes: bytes.parse().ok()?, hash: Hash::from_hex(hash)? };
                    is_ours(path).then(|| files.insert(path.to_owned(), entry))?;
                }
                _ => return None,
            }
        }
        Some(Self { records, made_ms, small, files })
    }
}

fn small_of(rest: &str) -> Option<(String, Vec<u8>)> {
    let (name, encoded) = rest.split_once(' ')?;
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.');
    let bytes = STANDARD.decode(encoded).ok()?;
    (is_plain && !name.starts_with('.')).then(|| (name.to_owned(), bytes))
}

/// The key in a note that nobody has verified yet.
fn own_key(note: &str) -> Option<PublicKey> {
    let small = |line: &str| small_of(line.strip_prefix("small ")?);
    let (_, bytes) = note.lines().filter_map(small).find(|(name, _)| name == PUBLIC_KEY_PATH)?;
    PublicKey::parse(&String::from_utf8(bytes).ok()?).ok()
}

/// Whether a path is one that a backup may have: what a list says is written below a directory.
fn is_ours(path: &str) -> bool {
    let Some((dir, name)) = path.split_once('/') else { return false };
    let is_blob = |name: &str| {
        let parts = name.split_once('/');
        parts.is_some_and(|(shard, name)| shard.len() == 2 && name.starts_with(shard))
            && parts.is_some_and(|(_, name)| Hash::from_hex(name).is_some())
    };
    LAYOUT.contains(&dir)
        && (first_of(name).is_some() || is_blob(name) || crate::snapshots::size_of(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::files::MemFiles;

    fn manifest(key: &LedgerKey) -> Manifest {
        let hash = Hash::of(b"x");
        let blob = format!("blobs/{}/{hash}", &hash.to_string()[..2]);
        let small = [("ledger.pub", format!("{}\n", key.public())), ("token", "t\n".to_owned())];
        let paths = [blob.as_str(), "journal/segment-00000000000000000001.ark"];
        Manifest {
            records: 7,
            made_ms: 9,
            small: small.map(|(name, text)| (name.to_owned(), text.into_bytes())).into(),
            files: paths.map(|path| (path.to_owned(), Entry { bytes: 1, hash })).into(),
        }
    }

    #[test]
    fn a_list_reads_back_and_every_edit_of_it_is_refused() {
        let key = LedgerKey::from_seed("example.org/log", &[7; 32]).unwrap();
        let files = MemFiles::default();
        let manifest = manifest(&key);
        manifest.store(&files, &key).unwrap();
        assert_eq!(Manifest::load(&files, None).unwrap(), manifest);
        assert_eq!(Manifest::load(&files, Some(key.public())).unwrap(), manifest);
        let other = LedgerKey::from_seed("example.org/log", &[8; 32]).unwrap();
        let error = Manifest::load(&files, Some(other.public())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let len = files.open(MANIFEST_FILE).unwrap().len().unwrap() as usize;
        for at in 0..len {
            let damaged = files.copy();
            damaged.edit(MANIFEST_FILE, |bytes| bytes[at] ^= 1).unwrap();
            assert!(Manifest::load(&damaged, None).is_err(), "byte {at}");
        }
    }

    #[test]
    fn no_list_leads_out_of_the_directory() {
        let bad = ["../x", "journal/../../x", "journal/x", "blobs/../x", "token", "/etc/passwd"];
        assert!(bad.iter().all(|path| !is_ours(path)));
    }
}
