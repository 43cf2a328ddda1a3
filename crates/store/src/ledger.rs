//! The ledger's identity: an Ed25519 key and the signed checkpoints (C2SP signed-note and tlog-checkpoint).

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{ErrorKind, StoreError};
use crate::files::{Files, read_small, write_atomic};
use crate::merkle::{HASH_BYTES, Hash};

/// Where the private key stands in the data directory (mode 0600).
pub const KEY_PATH: &str = "ledger.key";
/// Where the public key stands in the data directory, for those who verify.
pub const PUBLIC_KEY_PATH: &str = "ledger.pub";

/// Longest origin: it is repeated in every checkpoint.
const ORIGIN_BYTES_MAX: usize = 200;
/// Longest note that is read: origin, size, hash, a few extension lines, some witnesses' signatures.
pub const NOTE_BYTES_MAX: usize = 16 << 10;
/// Key files are one line.
const KEY_FILE_BYTES_MAX: u64 = 1024;
/// Ed25519 in the signed-note format.
const ALGORITHM: u8 = 1;
const SEED_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 4;
const SIGNATURE: &str = "— ";
const PREVIOUS: &str = "ark-os previous ";
const SEALED_AT: &str = "ark-os sealed-at ";

/// The key that signs checkpoints, snapshots and the list of what was archived. `Debug` shows the public
/// part only.
#[derive(Clone)]
pub struct LedgerKey {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

impl fmt::Debug for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LedgerKey").field(&self.public).finish()
    }
}

impl LedgerKey {
    /// The key of this seed: the same seed and origin give the same key and signatures.
    pub fn from_seed(origin: &str, seed: &[u8; SEED_BYTES]) -> Result<Self, StoreError> {
        check_origin(origin)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| StoreError::invalid("make a signing key of this seed"))?;
        let key = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| StoreError::new(ErrorKind::Internal, "read the public key"))?;
        let public = PublicKey { origin: origin.to_owned(), key };
        Ok(Self { pair: Arc::new(pair), public })
    }

    /// Loads the key of the data directory; `NotFound` if it has none yet.
    pub fn load(files: &dyn Files) -> Result<Self, StoreError> {
        let bytes = read_small(files, KEY_PATH, KEY_FILE_BYTES_MAX)
            .map_err(|error| StoreError::io(format!("read `{KEY_PATH}`"), error))?;
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(text.trim()).ok_or_else(|| {
            StoreError::invalid(format!("read `{KEY_PATH}`: it holds no ledger key"))
                .with_hint("restore the file from a backup; without it nothing can be appended")
        })
    }

    /// Loads the key of the data directory, or makes one for `origin` and stores it. Call it under the data
    /// directory's lock.
    pub fn load_or_generate(files: &dyn Files, origin: &str) -> Result<Self, StoreError> {
        let key = match Self::load(files) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The public key is written after the private one, so there was one, and it has signed.
                if files.open(PUBLIC_KEY_PATH).is_ok() {
                    return Err(error.with_hint(
                        "restore `ledger.key` from a backup; nothing can be appended without it",
                    ));
                }
                let key = Self::from_seed(origin, &random_seed()?)?;
                key.store(files)?;
                key
            }
            other => other?,
        };
        let line = format!("{}\n", key.public);
        match read_small(files, PUBLIC_KEY_PATH, KEY_FILE_BYTES_MAX) {
            Ok(bytes) if bytes == line.as_bytes() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io(format!("read `{PUBLIC_KEY_PATH}`"), error));
            }
            _ => write_atomic(files, PUBLIC_KEY_PATH, line.as_bytes())
                .map_err(|error| StoreError::io(format!("write `{PUBLIC_KEY_PATH}`"), error))?,
        }
        Ok(key)
    }

    /// Writes the private key file, replacing what is there.
    pub fn store(&self, files: &dyn Files) -> Result<(), StoreError> {
        let seed = self.pair.seed().and_then(|seed| seed.as_be_bytes());
        let seed = seed.map_err(|_| StoreError::new(ErrorKind::Internal, "export the seed"))?;
        let encoded = STANDARD.encode([&[ALGORITHM], seed.as_ref()].concat());
        let PublicKey { origin, .. } = &self.public;
        let line = format!(
            "PRIVATE+KEY+{origin}+{:08x}+{encoded}\n",
            u32::from_be_bytes(self.public.id())
        );
        write_atomic(files, KEY_PATH, line.as_bytes())
            .map_err(|error| StoreError::io(format!("write `{KEY_PATH}`"), error))
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a checkpoint.
    pub(crate) fn sign(&self, statement: &Statement) -> Checkpoint {
        let note = self.sign_text(&statement.text(&self.public.origin));
        Checkpoint { origin: self.public.origin.clone(), statement: statement.clone(), note }
    }

    /// A signed note over lines of text. A text that is no checkpoint begins with a line that is no origin,
    /// so that the one can never pass for the other.
    pub(crate) fn sign_text(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let line = [&self.public.id()[..], signature.as_ref()].concat();
        format!("{text}\n— {} {}\n", self.public.origin, STANDARD.encode(line))
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("PRIVATE+KEY+")?;
        let (origin, id, encoded) = key_parts(rest)?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (&ALGORITHM, seed) = decoded.split_first()? else { return None };
        let key = Self::from_seed(origin, seed.try_into().ok()?).ok()?;
        (key.public.id() == id).then_some(key)
    }
}

/// The one place of this crate that takes random bytes: the kernel's, which are there at once, while
/// the library's own generator spends tens of milliseconds on gathering its first.
fn random_seed() -> Result<[u8; SEED_BYTES], StoreError> {
    let mut seed = [0; SEED_BYTES];
    match rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty()) {
        Ok(SEED_BYTES) => Ok(seed),
        Ok(_) => {
            Err(StoreError::new(ErrorKind::Unavailable, "get random bytes for the ledger key"))
        }
        Err(error) => Err(StoreError::io("get random bytes for the ledger key", error.into())),
    }
}

/// The key that verifies checkpoints. Its text form is the verifier key of C2SP signed-note:
/// `<origin>+<key id in hex>+<base64 of 0x01 and the key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    origin: String,
    key: [u8; 32],
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([&[ALGORITHM], &self.key[..]].concat());
        write!(f, "{}+{:08x}+{encoded}", self.origin, u32::from_be_bytes(self.id()))
    }
}

impl PublicKey {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        Self::from_text(text.trim())
            .ok_or_else(|| StoreError::invalid(format!("read the public key `{}`", text.trim())))
    }

    /// Loads the one in the data directory.
    pub fn load(files: &dyn Files) -> Result<Self, StoreError> {
        let bytes = read_small(files, PUBLIC_KEY_PATH, KEY_FILE_BYTES_MAX)
            .map_err(|error| StoreError::io(format!("read `{PUBLIC_KEY_PATH}`"), error))?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The name of the log whose checkpoints this key signs.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Reads a signed note and checks that this key signed it; says what is wrong otherwise.
    pub fn open(&self, note: &str) -> Result<Checkpoint, StoreError> {
        self.check(note).map_err(|why| StoreError::invalid(format!("verify the checkpoint: {why}")))
    }

    pub(crate) fn check(&self, note: &str) -> Result<Checkpoint, &'static str> {
        if note.len() > NOTE_BYTES_MAX {
            return Err("it is too long");
        }
        let text = self.signed_text(note)?;
        let (origin, statement) = Statement::parse(text).ok_or("its text is malformed")?;
        if origin != self.origin {
            return Err("it is of another origin");
        }
        Ok(Checkpoint { origin: origin.to_owned(), statement, note: note.to_owned() })
    }

    /// The text of a note that this key signed.
    pub(crate) fn signed_text<'a>(&self, note: &'a str) -> Result<&'a str, &'static str> {
        let end = note.rfind("\n\n").ok_or("it has no signatures")?;
        let (text, signatures) = note.split_at_checked(end + 1).ok_or("it has no signatures")?;
        let signatures = signatures.strip_prefix('\n').ok_or("it has no signatures")?;
        if !signatures.ends_with('\n') {
            return Err("it is cut short");
        }
        let mut signed = false;
        for line in signatures.lines() {
            let rest = line.strip_prefix(SIGNATURE).ok_or("a signature line is malformed")?;
            let (name, encoded) = rest.split_once(' ').ok_or("a signature line is malformed")?;
            let decoded = STANDARD.decode(encoded).map_err(|_| "a signature is not base64")?;
            let (id, signature) =
                decoded.split_at_checked(KEY_ID_BYTES).ok_or("a signature is too short")?;
            // Other keys' lines are witnesses': they neither help nor harm here.
            if name == self.origin && id == self.id() {
                UnparsedPublicKey::new(&ED25519, &self.key)
                    .verify(text.as_bytes(), signature)
                    .map_err(|_| "the signature is wrong")?;
                signed = true;
            }
        }
        if !signed {
            return Err("this key has not signed it");
        }
        Ok(text)
    }

    fn id(&self) -> [u8; KEY_ID_BYTES] {
        let Hash(hash) =
            Hash::of(&[self.origin.as_bytes(), &[b'\n', ALGORITHM], &self.key[..]].concat());
        let [a, b, c, d, ..] = hash;
        [a, b, c, d]
    }

    fn from_text(text: &str) -> Option<Self> {
        let (origin, id, encoded) = key_parts(text)?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (&ALGORITHM, key) = decoded.split_first()? else { return None };
        let public = Self { origin: origin.to_owned(), key: key.try_into().ok()? };
        (public.id() == id && check_origin(origin).is_ok()).then_some(public)
    }
}

/// Splits `<origin>+<hex id>+<base64>`; base64 may hold a `+` itself, origin and id may not.
fn key_parts(text: &str) -> Option<(&str, [u8; KEY_ID_BYTES], &str)> {
    let (origin, rest) = text.split_once('+')?;
    let (id, encoded) = rest.split_once('+')?;
    let id = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 2 * KEY_ID_BYTES)?;
    Some((origin, id.to_be_bytes(), encoded))
}

fn check_origin(origin: &str) -> Result<(), StoreError> {
    let bad = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX || origin.contains(bad) {
        return Err(StoreError::invalid(format!("use `{origin}` as origin")).with_hint(
            "an origin is 1 to 200 bytes without spaces and `+`, such as `example.org/ark-os`",
        ));
    }
    Ok(())
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// SHA-256 of the checkpoint before this one, so that none can be left out. The first has none.
    pub(crate) previous: Option<Hash>,
    /// In the checkpoint that begins a segment: the byte at which the segment before it ends.
    pub(crate) sealed_at: Option<u64>,
}

impl Statement {
    fn text(&self, origin: &str) -> String {
        let mut text = format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.0));
        if let Some(previous) = &self.previous {
            text.push_str(&format!("{PREVIOUS}{}\n", STANDARD.encode(previous.0)));
        }
        if let Some(sealed_at) = self.sealed_at {
            text.push_str(&format!("{SEALED_AT}{sealed_at}\n"));
        }
        text
    }

    fn parse(text: &str) -> Option<(&str, Self)> {
        let mut lines = text.lines();
        let origin = lines.next()?;
        let size = lines.next()?.parse().ok()?;
        let root = parse_hash(lines.next()?)?;
        let mut statement = Self { size, root, previous: None, sealed_at: None };
        for line in lines {
            if let Some(hash) = line.strip_prefix(PREVIOUS) {
                statement.previous = Some(parse_hash(hash)?);
            } else if let Some(offset) = line.strip_prefix(SEALED_AT) {
                statement.sealed_at = Some(offset.parse().ok()?);
            } else if line.is_empty() {
                return None;
            }
        }
        // One text form for one statement: numbers with signs or leading zeros are refused.
        let head = format!("{origin}\n{size}\n");
        text.starts_with(&head).then_some((origin, statement))
    }
}

/// What a note states, whoever signed it: records and origin. None: it is no checkpoint.
pub(crate) fn stated(note: &str) -> Option<(u64, &str)> {
    let (text, _) = note.split_at_checked(note.rfind("\n\n")? + 1)?;
    Statement::parse(text).map(|(origin, statement)| (statement.size, origin))
}

/// The notes of a keep file, in which one follows the other. What is none is left for whoever opens it.
#[must_use]
pub fn split_notes(text: &str) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut in_signatures = false;
    for line in text.split_inclusive('\n') {
        let is_signature = line.starts_with(SIGNATURE);
        if notes.is_empty() || (in_signatures && !is_signature) {
            notes.push(String::new());
        }
        in_signatures = is_signature;
        if let Some(note) = notes.last_mut() {
            note.push_str(line);
        }
    }
    notes
}

fn parse_hash(text: &str) -> Option<Hash> {
    <[u8; HASH_BYTES]>::try_from(STANDARD.decode(text).ok()?).ok().map(Hash)
}

/// A signed statement about the first `size` records. `note` is what to keep outside the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    statement: Statement,
    note: String,
}

impl Checkpoint {
    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many records it covers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.statement.size
    }

    /// The Merkle root over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.statement.root
    }

    /// The signed note.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    pub(crate) fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What the next checkpoint names as its previous one.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of(self.note.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemFiles;

    fn statement() -> Statement {
        Statement {
            size: 12,
            root: Hash::of(b"root"),
            previous: Some(Hash::of(b"p")),
            sealed_at: Some(7),
        }
    }

    #[test]
    fn a_signed_checkpoint_opens_with_its_key_only() {
        let key = LedgerKey::from_seed("example.org/log", &[1; 32]).unwrap();
        let checkpoint = key.sign(&statement());
        assert_eq!(key.public().open(checkpoint.note()).unwrap(), checkpoint);
        let other = LedgerKey::from_seed("example.org/log", &[2; 32]).unwrap();
        assert!(other.public().open(checkpoint.note()).is_err());
        let elsewhere = LedgerKey::from_seed("example.org/other", &[1; 32]).unwrap();
        assert!(elsewhere.public().open(checkpoint.note()).is_err());
        for (index, _) in checkpoint.note().char_indices() {
            let cut = &checkpoint.note()[..index];
            assert!(key.public().open(cut).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_keep_file_gives_its_notes_back() {
        let key = LedgerKey::from_seed("example.org/log", &[1; 32]).unwrap();
        let note = key.sign(&statement()).note().to_owned();
        let witnessed = format!("{note}— witness.org AAAAAAAA\n");
        let notes = split_notes(&format!("{note}{witnessed}{note}"));
        assert_eq!(notes, [note.clone(), witnessed, note]);
        assert_eq!(stated(&notes[0]), Some((12, "example.org/log")));
        assert_eq!((split_notes(""), stated("junk\n\n")), (Vec::<String>::new(), None));
    }

    #[test]
    fn a_witness_may_add_its_line() {
        let key = LedgerKey::from_seed("example.org/log", &[1; 32]).unwrap();
        let note = key.sign(&statement()).note().to_owned() + "— witness.org AAAAAAAA\n";
        assert_eq!(key.public().open(&note).unwrap().size(), 12);
    }

    #[test]
    fn keys_are_made_once_and_read_back() {
        let files = MemFiles::default();
        assert_eq!(LedgerKey::load(&files).unwrap_err().kind(), ErrorKind::NotFound);
        let key = LedgerKey::load_or_generate(&files, "example.org/log").unwrap();
        let again = LedgerKey::load_or_generate(&files, "ignored").unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(PublicKey::load(&files).unwrap(), *key.public());
        assert_eq!(PublicKey::parse(&key.public().to_string()).unwrap(), *key.public());
        let whole = files.copy();
        whole.remove(KEY_PATH).unwrap();
        let lost = LedgerKey::load_or_generate(&whole, "example.org/log").unwrap_err();
        assert_eq!((lost.kind(), lost.hint().is_some()), (ErrorKind::NotFound, true));
        files.edit(KEY_PATH, |bytes| bytes[20] ^= 1).unwrap();
        assert_eq!(LedgerKey::load(&files).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn origins_that_break_the_note_format_are_refused() {
        for origin in ["", "a b", "a+b", "a\nb", &"x".repeat(201)] {
            assert!(LedgerKey::from_seed(origin, &[1; 32]).is_err(), "{origin:?}");
        }
    }

    #[test]
    fn the_verifier_key_of_the_published_example_is_read() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(PublicKey::parse(key).unwrap().to_string(), key);
    }
}
