//! A batch: the records of one commit, encoded as they are decided into one buffer that is used again.

use crate::error::{ErrorKind, StoreError};
use crate::record::{NAMESPACE_BYTES_MAX, RECORD_BYTES_MAX, RecordHeader, encode_header};

use super::frame::{
    FRAME_HEADER, FrameHeader, FrameKind, PAYLOAD_MAX, RECORD_PREFIX, RECORDS_MAX, put,
    seal_records,
};

/// A buffer larger than this is given back after use: one large record must not hold memory for ever.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Records waiting for one commit. Pushing costs the encoding only; checksums and hashes are the append's.
#[derive(Debug)]
pub struct Batch {
    /// Room for the frame header, then records, each behind its length and room for its CRC.
    buffer: Vec<u8>,
    first: u64,
    count: u32,
}

impl Batch {
    /// An empty batch whose first record will have the sequence `first`.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { buffer: vec![0; FRAME_HEADER], first, count: 0 }
    }

    /// Empties it for use from `first` on; keeps the memory.
    pub fn reset(&mut self, first: u64) {
        if self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.resize(FRAME_HEADER, 0);
        self.first = first;
        self.count = 0;
    }

    /// Adds a record and returns its sequence. `body` appends the body to the vector, and must not touch what
    /// is in it. On an error the batch is as before: `Exhausted` = it is full, append it first; `Invalid` = the
    /// record breaks a limit.
    pub fn push(
        &mut self,
        header: &RecordHeader<'_>,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, StoreError> {
        if header.namespace.len() > NAMESPACE_BYTES_MAX {
            return Err(StoreError::invalid(format!(
                "append a record with a namespace of more than {NAMESPACE_BYTES_MAX} bytes"
            )));
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; RECORD_PREFIX]);
        encode_header(header, &mut self.buffer);
        body(&mut self.buffer);
        let result = self.finish(start);
        match result {
            Ok(()) => self.count += 1,
            Err(_) => self.buffer.truncate(start),
        }
        result.map(|()| self.next() - 1)
    }

    /// The sequence of its first record.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The sequence that the next record gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// How many records are in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes it will write.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there are no records in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn finish(&mut self, start: usize) -> Result<(), StoreError> {
        let length = self.buffer.len().saturating_sub(start + RECORD_PREFIX);
        if length > RECORD_BYTES_MAX {
            return Err(StoreError::invalid(format!(
                "append a record of {length} bytes, the limit is {RECORD_BYTES_MAX}"
            ))
            .with_hint("put large data into a blob and its hash into the record"));
        }
        if self.buffer.len() > FRAME_HEADER + PAYLOAD_MAX || self.count >= RECORDS_MAX {
            return Err(StoreError::new(ErrorKind::Exhausted, "append to a full batch"));
        }
        let broken = || StoreError::invalid("append a record whose body removed bytes");
        let length = u32::try_from(length).map_err(|_| broken())?;
        put(&mut self.buffer, start, &length.to_le_bytes()).ok_or_else(broken)
    }

    /// Fills in checksums and the frame header; shows each record's bytes to `visit`. Returns what to write.
    pub(super) fn seal(
        &mut self,
        salt: u64,
        visit: impl FnMut(&[u8]),
    ) -> Result<&[u8], StoreError> {
        seal_records(self.buffer.get_mut(FRAME_HEADER..).unwrap_or_default(), visit)?;
        FrameHeader::seal(FrameKind::Batch, self.first, self.count, salt, &mut self.buffer)
            .ok_or_else(|| StoreError::new(ErrorKind::Internal, "seal a batch"))?;
        Ok(&self.buffer)
    }
}
