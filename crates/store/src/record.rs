//! One record: a small CBOR header and an opaque body. Its bytes are the leaf of the Merkle tree.
//!
//! Layout of format 1: a definite-length CBOR map with ascending integer keys in shortest form, then the body
//! up to the end. Fields that are zero or absent are left out, so there is one encoding of each record.
//!
//! | key | field | CBOR type |
//! |---|---|---|
//! | 0 | format, always there and first | unsigned |
//! | 1 | namespace, always there | text |
//! | 2 | run | 16 bytes |
//! | 3 | cause | unsigned, not 0 |
//! | 4 | data_key | unsigned, not 0 |
//! | 5 | labels | unsigned, not 0 |
//! | 6 | time_ms, always there | unsigned |

use minicbor::{Decoder, Encoder};

use crate::StoreError;

/// The format that is written. Every format up to this one stays readable for ever.
pub const RECORD_FORMAT: u8 = 1;

/// Largest record, header and body: larger data belongs into a blob, and replay holds one record in memory.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// Longest namespace in bytes: it is repeated in every record.
pub const NAMESPACE_BYTES_MAX: usize = 255;

/// What the store knows about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordHeader<'a> {
    /// Format the record was written in; ignored when encoding, which writes `RECORD_FORMAT`.
    pub format: u8,
    /// The namespace it belongs to.
    pub namespace: &'a str,
    /// The run it belongs to, if any.
    pub run: Option<[u8; 16]>,
    /// Sequence of the record that caused it; 0 = none.
    pub cause: u64,
    /// Id of the key that the body's data is sealed with; 0 = none.
    pub data_key: u64,
    /// Classification labels, one bit each.
    pub labels: u64,
    /// When it was decided, in milliseconds since 1970.
    pub time_ms: u64,
}

/// A record as it is read, borrowed from a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the journal; the first is 1.
    pub seq: u64,
    /// Its header, in today's format.
    pub header: RecordHeader<'a>,
    /// What the writer put in; the store does not look into it.
    pub body: &'a [u8],
    /// Header and body as stored: the leaf data of the Merkle tree.
    pub bytes: &'a [u8],
}

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    seq: u64,
    bytes: Vec<u8>,
}

impl OwnedRecord {
    pub(crate) fn new(record: Record<'_>) -> Self {
        Self { seq: record.seq, bytes: record.bytes.to_vec() }
    }

    /// Its place in the journal.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The record; its bytes were checked when it was read.
    pub fn record(&self) -> Result<Record<'_>, StoreError> {
        decode(self.seq, &self.bytes)
    }
}

/// Appends the header of format 1 to `out`.
pub(crate) fn encode_header(header: &RecordHeader<'_>, out: &mut Vec<u8>) {
    let fields = 3
        + u64::from(header.run.is_some())
        + u64::from(header.cause != 0)
        + u64::from(header.data_key != 0)
        + u64::from(header.labels != 0);
    let mut encoder = Encoder::new(out);
    // A vector takes everything, so there is no error to pass on.
    let _: Result<(), minicbor::encode::Error<core::convert::Infallible>> = (|| {
        encoder.map(fields)?.u8(0)?.u8(RECORD_FORMAT)?.u8(1)?.str(header.namespace)?;
        if let Some(run) = &header.run {
            encoder.u8(2)?.bytes(run)?;
        }
        for (key, value) in [(3, header.cause), (4, header.data_key), (5, header.labels)] {
            if value != 0 {
                encoder.u8(key)?.u64(value)?;
            }
        }
        encoder.u8(6)?.u64(header.time_ms)?;
        Ok(())
    })();
}

/// Reads a record of any format there ever was, as one of today.
pub fn decode(seq: u64, bytes: &[u8]) -> Result<Record<'_>, StoreError> {
    let bad = |error: minicbor::decode::Error| {
        StoreError::invalid(format!("decode the header of record {seq}: {error}"))
    };
    let mut decoder = Decoder::new(bytes);
    let fields = decoder.map().map_err(bad)?;
    let first = decoder.u8().map_err(bad)?;
    let format = decoder.u8().map_err(bad)?;
    let header = match (fields, first, format) {
        (Some(fields), 0, 1) => decode_v1(&mut decoder, fields).map_err(bad)?,
        (_, _, newer) => {
            return Err(StoreError::newer(format!("decode record {seq} of format {newer}")));
        }
    };
    let body = bytes.get(decoder.position()..).unwrap_or_default();
    Ok(Record { seq, header, body, bytes })
}

fn decode_v1<'a>(
    decoder: &mut Decoder<'a>,
    fields: u64,
) -> Result<RecordHeader<'a>, minicbor::decode::Error> {
    let message = minicbor::decode::Error::message;
    let mut header = RecordHeader { format: 1, ..RecordHeader::default() };
    let mut last = 0;
    let mut seen = 0u8;
    for _ in 1..fields {
        let key = decoder.u8()?;
        if key <= last || key > 6 {
            return Err(message("keys do not ascend from 1 to 6"));
        }
        last = key;
        seen |= 1 << key;
        match key {
            1 => header.namespace = decoder.str()?,
            2 => {
                let run = decoder.bytes()?;
                header.run = Some(run.try_into().map_err(|_| message("run is not of 16 bytes"))?);
            }
            3 => header.cause = decoder.u64()?,
            4 => header.data_key = decoder.u64()?,
            5 => header.labels = decoder.u64()?,
            _ => header.time_ms = decoder.u64()?,
        }
    }
    if seen & 0b100_0010 != 0b100_0010 {
        return Err(message("namespace or time is missing"));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> RecordHeader<'static> {
        RecordHeader {
            format: RECORD_FORMAT,
            namespace: "team-a",
            run: Some([7; 16]),
            cause: 41,
            data_key: 3,
            labels: 0b101,
            time_ms: 1_790_000_000_000,
        }
    }

    fn bytes_of(header: &RecordHeader<'_>, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_header(header, &mut out);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let small = RecordHeader { format: 1, namespace: "", ..RecordHeader::default() };
        for header in [full(), small] {
            let bytes = bytes_of(&header, b"body");
            let record = decode(9, &bytes).unwrap();
            assert_eq!((record.seq, record.header, record.body), (9, header, &b"body"[..]));
        }
    }

    #[test]
    fn the_encoding_of_format_1_never_changes() {
        let bytes = bytes_of(&full(), &[0xff]);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "a700010166746561 6d2d610250070707070707070707070707070707070318290403050506 1b000001a0c4506c00ff"
                .replace(' ', "")
        );
    }

    #[test]
    fn other_formats_and_disorder_are_refused() {
        let newer = [0xa3, 0x00, 0x02, 0x01, 0x60, 0x06, 0x00];
        assert!(decode(1, &newer).unwrap_err().hint().is_some());
        let unordered = [0xa3, 0x00, 0x01, 0x06, 0x00, 0x01, 0x60];
        assert!(decode(1, &unordered).is_err());
        let without_time = [0xa2, 0x00, 0x01, 0x01, 0x60];
        assert!(decode(1, &without_time).is_err());
        for end in 0..bytes_of(&full(), b"").len() {
            assert!(decode(1, &bytes_of(&full(), b"")[..end]).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn every_header_reads_back(
            namespace in "\\PC{0,60}",
            run in proptest::option::of(proptest::array::uniform16(0u8..)),
            numbers in proptest::array::uniform4(0u64..),
            body in proptest::collection::vec(0u8.., 0..100),
        ) {
            let [cause, data_key, labels, time_ms] = numbers;
            let header =
                RecordHeader { format: 1, namespace: &namespace, run, cause, data_key, labels, time_ms };
            let bytes = bytes_of(&header, &body);
            let record = decode(1, &bytes).unwrap();
            assert_eq!((record.header, record.body), (header, &body[..]));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let _ = decode(1, &bytes);
        }
    }
}
