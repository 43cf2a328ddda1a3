//! What the caller's process and the launcher say to each other: frames of CBOR on a socket.

use std::io::{self, Read, Write};

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::error::{Kind, SandboxError};

/// The name under which an executable is started to be the launcher.
pub(crate) const LAUNCHER_NAME: &str = "ark-os-jail";
/// The largest plan: its words are limited to 2 MiB, filters and paths need less than as much again.
const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the launcher is to do.
#[derive(Debug, Encode, Decode)]
pub(crate) enum Order {
    /// Find out what this machine has.
    #[n(0)]
    Probe,
    /// Run this. The bytes of standard input follow the frame.
    #[n(1)]
    Run(#[n(0)] Box<Plan>),
}

/// Everything the launcher has to know.
#[derive(Debug, Encode, Decode)]
pub(crate) struct Plan {
    /// The program and its arguments; nothing: everything is set up and the job ends well.
    #[n(0)]
    pub(crate) argv: Vec<ByteVec>,
    /// `NAME=value`.
    #[n(1)]
    pub(crate) env: Vec<ByteVec>,
    /// What a name without a slash is looked up in.
    #[n(2)]
    pub(crate) path: ByteVec,
    #[n(3)]
    pub(crate) workdir: ByteVec,
    #[n(4)]
    pub(crate) stdin_bytes: u64,
    #[n(5)]
    pub(crate) mounts: Vec<Bind>,
    /// Files to write `0` to, to join a control group.
    #[n(6)]
    pub(crate) join: Vec<ByteVec>,
    #[n(7)]
    pub(crate) bounds: Bounds,
    /// Processors to stay on; none: all.
    #[n(8)]
    pub(crate) processors: Vec<u32>,
    /// Filters in the order in which they are to be set.
    #[n(9)]
    pub(crate) filters: Vec<ByteVec>,
    #[n(10)]
    pub(crate) landlock: bool,
}

/// A file or directory of the host.
#[derive(Debug, Encode, Decode)]
pub(crate) struct Bind {
    #[n(0)]
    pub(crate) source: ByteVec,
    #[n(1)]
    pub(crate) target: ByteVec,
    #[n(2)]
    pub(crate) write: bool,
    /// What has to be at the source.
    #[n(3)]
    pub(crate) device: u64,
    #[n(4)]
    pub(crate) inode: u64,
}

/// The limits that the launcher itself sets.
#[derive(Debug, Encode, Decode)]
pub(crate) struct Bounds {
    /// Writable private memory of each process; none where a control group counts it.
    #[n(0)]
    pub(crate) memory_bytes: Option<u64>,
    #[n(1)]
    pub(crate) processes: u64,
    #[n(2)]
    pub(crate) cpu_seconds: u64,
    #[n(3)]
    pub(crate) file_bytes: u64,
    #[n(4)]
    pub(crate) open_files: u64,
    #[n(5)]
    pub(crate) tmp_bytes: u64,
    #[n(6)]
    pub(crate) tmp_inodes: u64,
}

/// What the launcher and the first process tell.
#[derive(Debug, Encode, Decode)]
pub(crate) enum Message {
    /// The first process is there, a child of the caller.
    #[n(0)]
    Made {
        #[n(0)]
        pid: i32,
    },
    /// The program ended by itself.
    #[n(1)]
    Exited {
        #[n(0)]
        code: i32,
    },
    /// A signal ended the program.
    #[n(2)]
    Signaled {
        #[n(0)]
        signal: i32,
    },
    /// It could not be run.
    #[n(3)]
    Refused(#[n(0)] Refused),
    /// What this machine has.
    #[n(4)]
    Probed(#[n(0)] Vec<Found>),
}

/// Why it could not be run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Refused {
    #[n(0)]
    kind: u8,
    #[n(1)]
    message: String,
}

impl Refused {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let kind = match kind {
            Kind::Invalid => 0,
            Kind::NotFound => 1,
            Kind::Unavailable => 2,
            Kind::Internal => 3,
        };
        Refused { kind, message: message.into() }
    }
}

impl From<Refused> for SandboxError {
    fn from(refused: Refused) -> Self {
        match refused.kind {
            0 => SandboxError::invalid(refused.message),
            1 => SandboxError::new(Kind::NotFound, refused.message),
            2 => SandboxError::unavailable(refused.message),
            _ => SandboxError::internal(refused.message),
        }
    }
}

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Found {
    #[n(0)]
    pub(crate) name: String,
    /// Why it is missing.
    #[n(1)]
    pub(crate) missing: Option<String>,
}

/// The bytes of a frame.
pub(crate) fn frame(value: &impl Encode<()>) -> io::Result<Vec<u8>> {
    let body = minicbor::to_vec(value).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    Ok(frame)
}

/// Sends one.
pub(crate) fn send(to: &mut impl Write, value: &impl Encode<()>) -> io::Result<()> {
    to.write_all(&frame(value)?)
}

/// Waits for one.
pub(crate) fn receive<T: for<'b> Decode<'b, ()>>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("the frame is too long"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    minicbor::decode(&body).map_err(io::Error::other)
}

/// Takes one off the front of what has been read so far, if it is all there.
pub(crate) fn take<T: for<'b> Decode<'b, ()>>(bytes: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).map_err(io::Error::other)?;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("the frame is too long"));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let value = minicbor::decode(body).map_err(io::Error::other)?;
    bytes.drain(..4 + length);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_off_only_when_whole() {
        let frames = [Message::Made { pid: 7 }, Message::Exited { code: 3 }];
        let all: Vec<u8> = frames.iter().flat_map(|message| frame(message).unwrap()).collect();
        let mut seen = Vec::new();
        let mut pids = Vec::new();
        for byte in all {
            seen.push(byte);
            while let Some(message) = take::<Message>(&mut seen).unwrap() {
                pids.push(format!("{message:?}"));
            }
        }
        assert_eq!(pids, ["Made { pid: 7 }", "Exited { code: 3 }"]);
        assert!(seen.is_empty());
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
        let mut bytes = u32::MAX.to_be_bytes().to_vec();
        assert!(take::<Message>(&mut bytes).is_err());
        assert!(receive::<Message>(&mut bytes.as_slice()).is_err());
    }
}
