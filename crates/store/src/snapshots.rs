//! Snapshots: what the records up to a checkpoint come to, so that a start need not read them. Blind to what is
//! in them; derived, and made again at will.
//!
//! A file is: 8 bytes magic, version (u32, little endian), the anchor (see `journal/anchor.rs`), the payload, a
//! signed note, and the note's length (u32). The note signs number of records, length and SHA-256 of all before
//! it, so nobody without the ledger's key can slip a state in that the journal does not tell.
//!
//! A file has its name only when all of it is durable. A damaged one is refused, never repaired: an older one, or
//! the journal from its start, gives the same state.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::error::{ErrorKind, Place, StoreError};
use crate::files::{File, Files, UNFINISHED, discarded};
use crate::journal::frame::u32_at;
use crate::journal::{Anchor, Journal, Recovered, Segments, Settings};
use crate::ledger::{LedgerKey, NOTE_BYTES_MAX, PublicKey};
use crate::merkle::Hash;

/// Where snapshots stand in the data directory.
pub const SNAPSHOTS_DIR: &str = "snapshots";

/// The snapshot format that is written. Every one up to this stays readable for ever.
const SNAPSHOT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"ark-snap";
const FIXED: usize = 12;
/// No origin has a space, so this is the first line of no checkpoint.
const TITLE: &str = "ark-os snapshot";
/// Largest file: it is read into memory whole. Four million waiting runs take a tenth of it.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;
/// Written and hashed at a time.
const CHUNK: usize = 1 << 20;

/// The snapshots of one data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshots {
    files: Arc<dyn Files>,
    key: PublicKey,
}

/// A snapshot that was read and verified.
#[derive(Debug, Clone)]
pub struct Snapshot {
    anchor: Anchor,
    bytes: Vec<u8>,
    payload: Range<usize>,
}

/// A snapshot that could not be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// How many records it covers, by its name.
    pub size: u64,
    /// What is wrong with it.
    pub why: String,
}

/// A journal that was opened from a snapshot, or from its start.
#[derive(Debug)]
pub struct Opened<T> {
    /// The journal.
    pub journal: Journal,
    /// The records behind the snapshot, or all.
    pub recovered: Recovered,
    /// Where the snapshot's records end, and what was made of it; none: it was opened from its start.
    pub from: Option<(Anchor, T)>,
    /// Newer snapshots that could not be used.
    pub refused: Vec<Refused>,
}

impl Snapshot {
    /// The checkpoint that its records end with.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// What was put in.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or_default()
    }
}

impl Snapshots {
    /// Those of a data directory, signed by this key. Touches nothing.
    #[must_use]
    pub fn new(files: Arc<dyn Files>, key: PublicKey) -> Self {
        Self { files, key }
    }

    /// How many records each one covers, newest first; whether it can be read is not looked at.
    pub fn list(&self) -> Result<Vec<u64>, StoreError> {
        let names = match self.files.list(SNAPSHOTS_DIR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => {
                names.map_err(|error| StoreError::io(format!("read `{SNAPSHOTS_DIR}`"), error))?
            }
        };
        let mut sizes: Vec<u64> = names.iter().filter_map(|name| size_of(name)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        Ok(sizes)
    }

    /// Reads one and verifies all of it.
    pub fn load(&self, size: u64) -> Result<Snapshot, StoreError> {
        let name = path(size);
        let bytes = crate::files::read_small(self.files.as_ref(), &name, SNAPSHOT_BYTES_MAX)
            .map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
        let length = bytes.len() as u64;
        self.read(size, bytes).map_err(|why| {
            StoreError::corrupt(Place { file: name, bytes: 0..length, seqs: 1..size + 1 }, why)
        })
    }

    fn read(&self, size: u64, bytes: Vec<u8>) -> Result<Snapshot, &'static str> {
        let short = "it is cut short";
        let note_end = bytes.len().checked_sub(4).ok_or(short)?;
        let note_length = u32_at(&bytes, note_end).ok_or(short)? as usize;
        if note_length > NOTE_BYTES_MAX {
            return Err("its note is over the limit");
        }
        let end = note_end.checked_sub(note_length).ok_or(short)?;
        let note = bytes.get(end..note_end).ok_or(short)?;
        let note = std::str::from_utf8(note).map_err(|_| "its note is no text")?;
        let covered = bytes.get(..end).ok_or(short)?;
        let text = self.key.signed_text(note)?;
        if text != self::text(self.key.origin(), size, end as u64, &Hash::of(covered)) {
            return Err("its bytes are not those that were signed");
        }
        if covered.get(..8).ok_or(short)? != MAGIC {
            return Err("it is no snapshot");
        }
        if u32_at(covered, 8).ok_or(short)? != SNAPSHOT_VERSION {
            return Err("it is of a newer version of ark-os");
        }
        let (anchor, length) = Anchor::decode(covered.get(FIXED..).ok_or(short)?, &self.key)?;
        if anchor.size() != size {
            return Err("its name is not its own");
        }
        let payload = FIXED + length..end;
        Ok(Snapshot { anchor, bytes, payload })
    }

    /// Opens the journal from the newest snapshot that can be used, or from its start if there is none.
    ///
    /// `decode` makes of a snapshot what it is for; one that it refuses counts as damaged.
    pub fn open_journal<T>(
        &self,
        segments: &Segments,
        settings: Settings,
        key: &LedgerKey,
        mut decode: impl FnMut(&Snapshot) -> Result<T, String>,
    ) -> Result<Opened<T>, StoreError> {
        let mut refused = Vec::new();
        let is_empty = segments.is_empty()?;
        for size in self.list()? {
            let usable = self.load(size).map_err(|error| error.to_string()).and_then(|snapshot| {
                let made = decode(&snapshot)?;
                Ok((snapshot.anchor, made))
            });
            let (anchor, made) = match usable {
                Ok(usable) => usable,
                Err(why) => {
                    refused.push(Refused { size, why });
                    continue;
                }
            };
            // To begin with record 1 again would be another log under the same key.
            if is_empty {
                let why = format!("there is none, and a snapshot of {size} records");
                return Err(StoreError::no_segments(1..size + 1, why));
            }
            match Journal::open_from(segments.clone(), settings, key.clone(), Some(&anchor)) {
                // Of another journal, or of one that was put back from an older copy.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    refused.push(Refused { size, why: error.to_string() });
                }
                opened => {
                    let (journal, recovered) = opened?;
                    return Ok(Opened { journal, recovered, from: Some((anchor, made)), refused });
                }
            }
        }
        let (journal, recovered) =
            Journal::open_from(segments.clone(), settings, key.clone(), None)?;
        Ok(Opened { journal, recovered, from: None, refused })
    }

    /// Writes what the records up to the anchor come to, and makes it durable; gives the bytes of the file.
    ///
    /// The anchor is of a durable checkpoint, and `encode` writes what was made of its records and no others.
    pub fn write(
        &self,
        key: &LedgerKey,
        anchor: &Anchor,
        encode: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<u64, StoreError> {
        let name = path(anchor.size());
        self.write_file(key, anchor, &name, encode)
            .map_err(|error| StoreError::io(format!("write `{name}`"), error))
    }

    fn write_file(
        &self,
        key: &LedgerKey,
        anchor: &Anchor,
        name: &str,
        encode: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<u64> {
        let files = self.files.as_ref();
        files.make_dir(SNAPSHOTS_DIR)?;
        files.sync_dir("")?;
        let unfinished = format!("{name}{UNFINISHED}");
        match files.remove(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = || {
            let file = files.create(&unfinished, 0)?;
            let (at, hash, buffer) = (0, Sha256::new(), Vec::new());
            let mut sink = Sink { file: file.as_ref(), at, hash, buffer };
            let mut head = Vec::from(MAGIC);
            head.extend_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
            anchor.encode(&mut head);
            sink.write_all(&head)?;
            encode(&mut sink)?;
            let bytes = sink.finish(key, anchor.size())?;
            if bytes > SNAPSHOT_BYTES_MAX {
                let why = format!("more than {SNAPSHOT_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            file.sync()?;
            files.rename(&unfinished, name)?;
            Ok(bytes)
        };
        let bytes = discarded(files, &unfinished, written())?;
        files.sync_dir(SNAPSHOTS_DIR)?;
        Ok(bytes)
    }

    /// Removes all but these, and what was left unfinished.
    pub fn keep(&self, sizes: &[u64]) -> Result<(), StoreError> {
        let remove = || {
            for name in self.files.list(SNAPSHOTS_DIR)? {
                let stays = size_of(&name).is_some_and(|size| sizes.contains(&size));
                let is_ours = size_of(&name).is_some() || name.ends_with(UNFINISHED);
                if is_ours && !stays {
                    self.files.remove(&format!("{SNAPSHOTS_DIR}/{name}"))?;
                }
            }
            Ok(())
        };
        remove().map_err(|error| StoreError::io("remove old snapshots", error))
    }
}

/// Writes in large pieces and hashes on the way.
struct Sink<'a> {
    file: &'a dyn File,
    at: u64,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Sink<'_> {
    /// Ends with the signature; gives the length of the file.
    fn finish(mut self, key: &LedgerKey, size: u64) -> io::Result<u64> {
        self.flush()?;
        let hash = Hash(self.hash.finalize().into());
        let text = text(key.public().origin(), size, self.at, &hash);
        let mut note = key.sign_text(&text).into_bytes();
        let length = u32::try_from(note.len()).map_err(io::Error::other)?;
        note.extend_from_slice(&length.to_le_bytes());
        self.file.write_at(&note, self.at)?;
        Ok(self.at + note.len() as u64)
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn text(origin: &str, size: u64, bytes: u64, hash: &Hash) -> String {
    format!("{TITLE}\n{origin}\n{size}\n{bytes}\n{}\n", STANDARD.encode(hash.0))
}

/// The path of the snapshot that covers so many records.
pub(crate) fn path(size: u64) -> String {
    format!("{SNAPSHOTS_DIR}/{size:020}.snap")
}

/// How many records a file name promises, if it is a snapshot's.
pub(crate) fn size_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".snap")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
