//! The journal as its users see it: appending, reading while appending, limits, rotation, settings, other keys.

use std::sync::Arc;

use ark_os_store::files::MemFiles;
use ark_os_store::journal::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use ark_os_store::merkle::{Tree, inclusion_proof, leaf_hash, verify_inclusion};
use ark_os_store::record::RECORD_BYTES_MAX;
use ark_os_store::verify::{Trust, verify};
use ark_os_store::{Batch, DiskFiles, ErrorKind, Files, Journal, LedgerKey, Settings};

use super::support::{Rng, SMALL, append, batch, body, header, key, open, replay};

fn memory() -> Arc<dyn Files> {
    Arc::new(MemFiles::default())
}

#[test]
fn what_is_appended_is_read_back_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Files> = Arc::new(DiskFiles::new(dir.path()).unwrap());
    for files in [memory(), disk] {
        let (mut journal, recovered) = open(&files).unwrap();
        assert_eq!(replay(recovered), 0);
        let reader = journal.reader();
        let mut cursor = reader.cursor(1);
        let mut tree = Tree::default();
        for round in 0..60 {
            let committed = append(&mut journal, 1 + round % 13).unwrap();
            while let Some(record) = cursor.next().unwrap() {
                assert_eq!(
                    (record.header, record.body),
                    (header(record.seq), &body(record.seq)[..])
                );
                tree.push(leaf_hash(record.bytes));
            }
            assert_eq!(cursor.seq(), reader.next_seq());
            assert_eq!((committed.size, committed.root), (tree.size(), tree.root()));
            if round % 10 == 9 {
                assert_eq!(journal.checkpoint().unwrap().root(), tree.root());
            }
        }
        let stats = journal.stats();
        assert!(stats.segments > 3 && stats.batches == 60 && stats.syncs >= 60, "{stats:?}");
        assert_eq!(stats.records, tree.size());
        for seq in 1..=tree.size() {
            let record = reader.read(seq).unwrap();
            assert_eq!((record.seq(), record.record().unwrap().body), (seq, &body(seq)[..]));
        }
        let range = reader.read_range(50, 70).unwrap();
        assert!(range.iter().map(|record| record.seq()).eq(50..120));
        assert_eq!(reader.read_range(tree.size() - 1, 10).unwrap().len(), 2);
        for absent in [0, tree.size() + 1] {
            assert_eq!(reader.read(absent).unwrap_err().kind(), ErrorKind::NotFound);
        }
        let path = inclusion_proof(&reader, 7, tree.size()).unwrap();
        let leaf = leaf_hash(reader.read(8).unwrap().record().unwrap().bytes);
        assert!(verify_inclusion(leaf, 7, tree.size(), &path, &tree.root()));
        drop(journal);
        let (journal, recovered) = open(&files).unwrap();
        assert_eq!(journal.tree(), &tree);
        assert_eq!(replay(recovered), tree.size());
    }
}

#[test]
fn readers_on_other_threads_see_whole_synced_batches_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(dir.path()).unwrap());
    let (mut journal, _) = open(&files).unwrap();
    let total = 2_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = journal.reader();
            scope.spawn(move || {
                let mut cursor = reader.cursor(1);
                while cursor.seq() <= total {
                    match cursor.next().unwrap() {
                        Some(record) => assert_eq!(record.body, body(record.seq)),
                        None => std::thread::yield_now(),
                    }
                }
            });
        }
        while journal.next_seq() <= total {
            let count = (total + 1 - journal.next_seq()).min(40);
            append(&mut journal, count).unwrap();
        }
    });
}

#[test]
fn a_clean_close_needs_no_rewriting_and_no_new_segment() {
    let files = memory();
    for round in 1..=5 {
        let (mut journal, recovered) = open(&files).unwrap();
        assert_eq!((recovered.rewritten(), recovered.torn()), (0, None));
        assert_eq!(replay(recovered), (round - 1) * 3);
        append(&mut journal, 3).unwrap();
        assert_eq!(journal.close().unwrap().size(), round * 3);
    }
    assert_eq!(files.list("journal").unwrap().len(), 1);
}

#[test]
fn a_journal_that_is_never_closed_does_not_gather_segments() {
    let files = memory();
    for round in 0..5 {
        let (mut journal, recovered) = open(&files).unwrap();
        assert_eq!(recovered.rewritten(), round * 3);
        append(&mut journal, 3).unwrap();
    }
    assert_eq!(files.list("journal").unwrap().len(), 1);
    // With a checkpoint between, each opening begins one, and the older ones hold no spare room.
    for _ in 0..5 {
        let (mut journal, _) = open(&files).unwrap();
        journal.checkpoint().unwrap();
        append(&mut journal, 1).unwrap();
    }
    let names = files.list("journal").unwrap();
    for name in names.iter().rev().skip(1) {
        assert!(files.open(&format!("journal/{name}")).unwrap().len().unwrap() < 8 << 10);
    }
}

#[test]
fn a_checkpoint_without_new_records_is_the_one_before() {
    let files = memory();
    let (mut journal, _) = open(&files).unwrap();
    assert_eq!(journal.checkpoint().unwrap().size(), 0);
    append(&mut journal, 1).unwrap();
    let first = journal.checkpoint().unwrap();
    let stats = journal.stats();
    assert_eq!(journal.checkpoint().unwrap(), first);
    assert_eq!(journal.stats(), stats);
}

#[test]
fn a_cursor_finds_scattered_records_in_any_order() {
    let files = memory();
    let (mut journal, _) = open(&files).unwrap();
    for frame in 0..60 {
        append(&mut journal, 1 + frame % 13).unwrap();
    }
    let newest = journal.next_seq() - 1;
    assert!(files.list("journal").unwrap().len() > 2);
    let mut cursor = journal.reader().lookup(1);
    let mut rng = Rng::new(5);
    let forward = (1..=newest).filter(|seq| seq % 3 != 0);
    let back = (1..=newest).rev();
    let anywhere: Vec<u64> = (0..500).map(|_| 1 + rng.below(newest as usize) as u64).collect();
    for seq in forward.chain(back).chain(anywhere) {
        cursor.seek(seq).unwrap();
        let record = cursor.next().unwrap().unwrap();
        assert_eq!((record.seq, record.body), (seq, &body(seq)[..]));
    }
    cursor.seek(newest + 1).unwrap();
    assert!(cursor.next().unwrap().is_none(), "it is not there yet");
    append(&mut journal, 2).unwrap();
    cursor.seek(newest + 2).unwrap();
    assert_eq!(cursor.next().unwrap().unwrap().seq, newest + 2);
}

#[test]
fn limits_are_refused_and_change_nothing() {
    let files = memory();
    let (mut journal, _) = open(&files).unwrap();
    let mut large = Batch::new(1);
    let error =
        large.push(&header(1), |out| out.resize(out.len() + RECORD_BYTES_MAX, 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = large.push(&header(1), Vec::clear).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut large = Batch::new(1);
    let long = ark_os_store::RecordHeader { namespace: &"n".repeat(256), ..header(1) };
    assert_eq!(large.push(&long, |_| ()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(journal.append(&mut large).unwrap_err().kind(), ErrorKind::Invalid);
    let mut wrong = batch(2, 1);
    assert_eq!(journal.append(&mut wrong).unwrap_err().kind(), ErrorKind::Conflict);
    let half = BATCH_BYTES_MAX / 2 - 1024;
    large.push(&header(1), |out| out.resize(out.len() + half, 1)).unwrap();
    large.push(&header(2), |out| out.resize(out.len() + half, 2)).unwrap();
    let error = large.push(&header(3), |out| out.resize(out.len() + half, 3)).unwrap_err();
    assert_eq!((error.kind(), large.count()), (ErrorKind::Exhausted, 2));
    journal.append(&mut large).unwrap();
    large.reset(3);
    for _ in 0..BATCH_RECORDS_MAX {
        large.push(&header(1), |_| ()).unwrap();
    }
    assert_eq!(large.push(&header(1), |_| ()).unwrap_err().kind(), ErrorKind::Exhausted);
    journal.append(&mut large).unwrap();
    drop(journal);
    let (journal, recovered) = open(&files).unwrap();
    assert_eq!(recovered.records(), 2 + u64::from(BATCH_RECORDS_MAX));
    let second = journal.reader().read(2).unwrap();
    assert_eq!(second.record().unwrap().body.len(), half);
    let report =
        verify(files.as_ref(), &Trust { key: Some(key().public().clone()), kept: Vec::new() });
    assert!(report.unwrap().is_ok());
}

#[test]
fn another_key_does_not_open_the_journal() {
    let files = memory();
    let (mut journal, _) = open(&files).unwrap();
    append(&mut journal, 1).unwrap();
    drop(journal);
    let other = LedgerKey::from_seed(super::support::ORIGIN, &[43; 32]).unwrap();
    let error = Journal::open(Arc::clone(&files), SMALL, other).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let tiny = Settings { segment_bytes: 100 };
    assert_eq!(
        Journal::open(files, tiny, key()).map(|_| ()).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn a_missing_segment_is_named() {
    let files = memory();
    let (mut journal, _) = open(&files).unwrap();
    for _ in 0..20 {
        append(&mut journal, 10).unwrap();
    }
    drop(journal);
    let names = files.list("journal").unwrap();
    assert!(names.len() >= 4);
    files.remove(&format!("journal/{}", names[1])).unwrap();
    let error = open(&files).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("another segment follows it"), "{error}");
    let trust = Trust { key: Some(key().public().clone()), kept: Vec::new() };
    let fault = verify(files.as_ref(), &trust).unwrap().fault.unwrap();
    assert!(fault.why.contains("another segment follows it"), "{fault}");
}

#[test]
fn what_crosses_threads_may_cross_threads() {
    fn sends<T: Send>() {}
    fn shares<T: Send + Sync + Clone>() {}
    sends::<Journal>();
    sends::<Batch>();
    sends::<ark_os_store::Recovered>();
    shares::<ark_os_store::Reader>();
    shares::<ark_os_store::Blobs>();
}
