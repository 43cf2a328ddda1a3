//! Reads one file for the audit: its digest, its bytes when it is a text of reasonable size, and
//! never more than a fixed amount of memory, whatever the file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::skills::wire;

/// The largest file that is digested: below it lies practically every source; above it are disk
/// images, whose reading would take longer than all the rest.
pub(super) const DIGEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The largest text that is read line by line; it is held in memory whole.
pub(super) const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Where a NUL byte tells that a file is binary; git looks at as much.
const BINARY_HEAD_BYTES: usize = 8000;
/// One read.
const BLOCK_BYTES: usize = 128 * 1024;

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    /// The whole text is in the buffer.
    Text,
    /// Text, too large to be held.
    LargeText,
    Binary,
}

/// What reading a file gave beside the bytes.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) kind: Kind,
    /// As read; as the file system tells where the file was not read to its end.
    pub(super) bytes: u64,
    /// The first 16 bytes of the SHA-256, in hex.
    pub(super) digest: Option<String>,
}

/// Reads the regular file at `path`; the text is left in `buffer`, whose room is used again.
pub(super) fn read(path: &Path, buffer: &mut Vec<u8>) -> io::Result<Content> {
    buffer.clear();
    // The inventory saw a regular file here. If that changed, opening a pipe would hang and a
    // link would lead out of the tree, so it is looked at again, before and after.
    check_regular(&fs::symlink_metadata(path)?)?;
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    if metadata.len() == 0 {
        // Not read: kernel files claim no length and may never end.
        return Ok(Content { kind: Kind::Empty, bytes: 0, digest: None });
    }
    if metadata.len() > DIGEST_BYTES_MAX {
        file.take(BINARY_HEAD_BYTES as u64).read_to_end(buffer)?;
        let kind = if is_binary(buffer) { Kind::Binary } else { Kind::LargeText };
        return Ok(Content { kind, bytes: metadata.len(), digest: None });
    }
    file.by_ref().take(TEXT_BYTES_MAX + 1).read_to_end(buffer)?;
    let mut digest = Sha256::new_with_prefix(&buffer);
    let mut bytes = buffer.len() as u64;
    let is_whole = bytes <= TEXT_BYTES_MAX;
    if !is_whole {
        bytes += digest_rest(&mut file, &mut digest)?;
    }
    let kind = match (is_binary(buffer), is_whole) {
        (true, _) => Kind::Binary,
        (false, true) if bytes == 0 => Kind::Empty,
        (false, true) => Kind::Text,
        (false, false) => Kind::LargeText,
    };
    // A file that grew past the limit meanwhile counts as one that is over it.
    let digest = (bytes <= DIGEST_BYTES_MAX && bytes > 0).then(|| half_hex(&digest.finalize()));
    Ok(Content { kind, bytes, digest })
}

fn digest_rest(file: &mut File, digest: &mut Sha256) -> io::Result<u64> {
    let mut rest = file.take(DIGEST_BYTES_MAX + 1 - TEXT_BYTES_MAX);
    let mut block = vec![0; BLOCK_BYTES];
    let mut bytes = 0;
    loop {
        match rest.read(&mut block)? {
            0 => return Ok(bytes),
            count => {
                digest.update(block.get(..count).unwrap_or_default());
                bytes += count as u64;
            }
        }
    }
}

fn check_regular(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no longer a regular file"))
}

fn half_hex(digest: &[u8]) -> String {
    wire::hex(digest.get(..16).unwrap_or(digest))
}

fn is_binary(bytes: &[u8]) -> bool {
    let head = bytes.get(..BINARY_HEAD_BYTES).unwrap_or(bytes);
    memchr::memchr(0, head).is_some()
}
