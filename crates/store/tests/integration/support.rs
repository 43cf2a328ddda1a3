//! What the tests share: keys, records whose content follows from their sequence, and reading all back.

use std::sync::Arc;

use ark_os_store::{
    Batch, Committed, Files, Journal, LedgerKey, RecordHeader, Recovered, Settings, StoreError,
};

pub(super) const ORIGIN: &str = "example.org/ark-os-test";
pub(super) const SMALL: Settings = Settings { segment_bytes: 16 << 10 };

pub(super) fn key() -> LedgerKey {
    LedgerKey::from_seed(ORIGIN, &[42; 32]).unwrap()
}

pub(super) fn open(files: &Arc<dyn Files>) -> Result<(Journal, Recovered), StoreError> {
    Journal::open(Arc::clone(files), SMALL, key())
}

/// The body of record `seq`: of varying length, different for each.
pub(super) fn body(seq: u64) -> Vec<u8> {
    let length = 20 + seq.wrapping_mul(7919) % 400;
    let mut body = format!("record {seq} ").into_bytes();
    body.extend((0..length).map(|at| (seq.wrapping_mul(31).wrapping_add(at * at) & 0xff) as u8));
    body
}

pub(super) fn header(seq: u64) -> RecordHeader<'static> {
    RecordHeader {
        format: 1,
        namespace: if seq.is_multiple_of(2) { "even" } else { "odd" },
        run: (seq.is_multiple_of(3)).then_some([seq as u8; 16]),
        cause: seq / 2,
        data_key: seq % 5,
        labels: seq % 4,
        time_ms: 1_790_000_000_000 + seq,
    }
}

pub(super) fn batch(first: u64, count: u64) -> Batch {
    let mut batch = Batch::new(first);
    for seq in first..first + count {
        assert_eq!(batch.push(&header(seq), |out| out.extend_from_slice(&body(seq))).unwrap(), seq);
    }
    batch
}

pub(super) fn append(journal: &mut Journal, count: u64) -> Result<Committed, StoreError> {
    let mut batch = batch(journal.next_seq(), count);
    journal.append(&mut batch)
}

/// Reads everything, checks that it is records 1, 2, 3, … as written, and gives their number.
pub(super) fn replay(mut recovered: Recovered) -> u64 {
    let mut count = 0;
    while let Some(record) = recovered.next().unwrap() {
        count += 1;
        assert_eq!(record.seq, count);
        assert_eq!(record.header, header(count));
        assert_eq!(record.body, body(count));
    }
    assert_eq!(count, recovered.records());
    count
}

/// A small generator: the same seed gives the same numbers.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 40 & 1 == 1
    }
}
