//! The last write torn at every byte; and damage elsewhere, which is never cut off but named.

use std::sync::Arc;

use ark_os_store::files::{MemFiles, read_small};
use ark_os_store::{ErrorKind, Files};

use super::support::{append, open, replay};

const SEGMENT: &str = "journal/segment-00000000000000000001.ark";

/// A journal of three batches with a checkpoint after the first; gives the ends of all four frames.
fn journal() -> (MemFiles, Vec<u64>) {
    let files = MemFiles::default();
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let (mut journal, _) = open(&shared).unwrap();
    let end = |files: &MemFiles| {
        let bytes = read_small(files, SEGMENT, 1 << 20).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
    };
    let mut ends = Vec::new();
    append(&mut journal, 5).unwrap();
    ends.push(end(&files));
    journal.checkpoint().unwrap();
    ends.push(end(&files));
    append(&mut journal, 4).unwrap();
    ends.push(end(&files));
    append(&mut journal, 3).unwrap();
    ends.push(end(&files));
    (files, ends)
}

#[test]
fn a_last_write_torn_at_any_byte_is_cut_off() {
    let (whole, ends) = journal();
    let (start, end) = (ends[2], ends[3]);
    for cut in start..end {
        for kind in ["tail missing", "head missing", "file short"] {
            let files = whole.copy();
            files
                .edit(SEGMENT, |bytes| match kind {
                    "tail missing" => bytes[cut as usize..].fill(0),
                    "head missing" => bytes[start as usize..=cut as usize].fill(0),
                    _ => bytes.truncate(cut as usize),
                })
                .unwrap();
            let shared: Arc<dyn Files> = Arc::new(files);
            let (mut journal, recovered) =
                open(&shared).unwrap_or_else(|error| panic!("{kind} at {cut}: {error}"));
            // The body may end in zeros that are missing without loss.
            let records = recovered.records();
            assert!(records == 9 || (records == 12 && cut + 1 == end), "{kind} at {cut}");
            assert_eq!(recovered.rewritten(), records - 5);
            replay(recovered);
            append(&mut journal, 2).unwrap();
            drop(journal);
            let (_, recovered) = open(&shared).unwrap();
            assert_eq!(recovered.torn(), None);
            assert_eq!(replay(recovered), records + 2);
        }
    }
}

#[test]
fn damage_before_the_last_write_stops_the_opening_and_is_named() {
    let (whole, ends) = journal();
    let mut bytes_seen = 0;
    for at in (0..ends[2]).step_by(3) {
        let files = whole.copy();
        files.edit(SEGMENT, |bytes| bytes[at as usize] ^= 1 << (at % 8)).unwrap();
        let shared: Arc<dyn Files> = Arc::new(files);
        let error = open(&shared).map(|_| ()).expect_err("damage");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "at {at}: {error}");
        let place = error.place().unwrap();
        assert_eq!(place.file, SEGMENT);
        assert!(place.bytes.contains(&at), "at {at}: {place}");
        assert!(error.hint().is_some());
        bytes_seen += 1;
    }
    assert!(bytes_seen > 500);
}

#[test]
fn foreign_bytes_behind_the_end_stop_the_opening() {
    let (whole, ends) = journal();
    let files = whole.copy();
    // A whole frame behind a hole: somebody wrote it, so the hole is a loss.
    files
        .edit(SEGMENT, |bytes| {
            bytes.copy_within(ends[2] as usize..ends[3] as usize, ends[3] as usize + 64)
        })
        .unwrap();
    files.edit(SEGMENT, |bytes| bytes[ends[2] as usize..ends[3] as usize].fill(0)).unwrap();
    let shared: Arc<dyn Files> = Arc::new(files);
    assert_eq!(open(&shared).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_payload_that_holds_a_frame_of_another_segment_does_not_confuse_recovery() {
    let (whole, ends) = journal();
    let frame =
        read_small(&whole, SEGMENT, 1 << 20).unwrap()[ends[1] as usize..ends[2] as usize].to_vec();
    let files = MemFiles::default();
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let key = ark_os_store::LedgerKey::from_seed("example.org/other", &[9; 32]).unwrap();
    let settings = super::support::SMALL;
    let (mut journal, _) = ark_os_store::Journal::open(Arc::clone(&shared), settings, key).unwrap();
    let mut batch = ark_os_store::Batch::new(1);
    batch.push(&super::support::header(1), |out| out.extend_from_slice(&frame)).unwrap();
    journal.append(&mut batch).unwrap();
    let used = batch.bytes();
    let end =
        read_small(&files, SEGMENT, 1 << 20).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    files.edit(SEGMENT, |bytes| bytes[end + 1 - used + 8] ^= 1).unwrap();
    let key = ark_os_store::LedgerKey::from_seed("example.org/other", &[9; 32]).unwrap();
    let (_, recovered) = ark_os_store::Journal::open(shared, settings, key).unwrap();
    assert_eq!((recovered.records(), recovered.torn().is_some()), (0, true));
}
