//! Snapshots: what is opened from one is what is opened from the start, damaged ones are passed over, and a crash
//! at any operation of writing them loses nothing.

use std::io::Write;
use std::sync::Arc;

use ark_os_store::files::MemFiles;
use ark_os_store::snapshots::{Opened, SNAPSHOTS_DIR};
use ark_os_store::verify::{Trust, verify};
use ark_os_store::{Anchor, ErrorKind, Files, Journal, LedgerKey, Segments, Snapshot, Snapshots};

use super::crash_files::{CrashFiles, Fault};
use super::support::{ORIGIN, Rng, SMALL, append, body, header, key, open};

pub(super) fn snapshots(files: &Arc<dyn Files>) -> Snapshots {
    Snapshots::new(Arc::clone(files), key().public().clone())
}

/// What a snapshot of the test holds: how many records it was made of.
fn payload(anchor: &Anchor) -> Vec<u8> {
    format!("{} records", anchor.size()).into_bytes()
}

pub(super) fn write(files: &Arc<dyn Files>, anchor: &Anchor) -> Result<u64, ErrorKind> {
    let encode = |out: &mut dyn Write| out.write_all(&payload(anchor));
    snapshots(files).write(&key(), anchor, encode).map_err(|error| error.kind())
}

pub(super) fn open_newest(files: &Arc<dyn Files>) -> Result<Opened<u64>, ErrorKind> {
    let segments = Segments::new(Arc::clone(files));
    let decode = |snapshot: &Snapshot| {
        let text = std::str::from_utf8(snapshot.payload()).map_err(|error| error.to_string())?;
        text.strip_suffix(" records").and_then(|size| size.parse().ok()).ok_or("foreign".to_owned())
    };
    let opened = snapshots(files).open_journal(&segments, SMALL, &key(), decode);
    opened.map_err(|error| error.kind())
}

/// Checks that everything can be read, by whatever way, and gives the number of records.
fn check(opened: Opened<u64>) -> u64 {
    let Opened { journal, mut recovered, from, .. } = opened;
    let after = from.map_or(0, |(anchor, made)| {
        assert_eq!(anchor.size(), made);
        made
    });
    let mut seen = after;
    while let Some(record) = recovered.next().unwrap() {
        seen += 1;
        assert_eq!((record.seq, record.header, record.body), (seen, header(seen), &body(seen)[..]));
    }
    assert_eq!(seen, recovered.records());
    assert_eq!(journal.next_seq(), seen + 1);
    let reader = journal.reader();
    // Backwards, so that every segment is first asked for its last record.
    for seq in (1..=seen).rev() {
        assert_eq!(reader.read(seq).unwrap().record().unwrap().body, body(seq));
    }
    recovered.seek(1);
    for seq in 1..=seen {
        assert_eq!(recovered.next().unwrap().unwrap().body, body(seq));
    }
    assert!(recovered.next().unwrap().is_none());
    seen
}

/// A journal of several segments that died a few times, and the anchors of all its checkpoints.
pub(super) fn grown(seed: u64) -> (MemFiles, Vec<Anchor>) {
    let files = MemFiles::default();
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let mut rng = Rng::new(seed);
    let mut anchors: Vec<Anchor> = Vec::new();
    for _ in 0..4 {
        let (mut journal, _) = open(&shared).unwrap();
        let reader = journal.reader();
        for _ in 0..rng.below(30) {
            append(&mut journal, 1 + rng.below(12) as u64).unwrap();
            if rng.below(4) == 0 {
                journal.checkpoint().unwrap();
            }
            anchors.extend(reader.anchor().filter(|anchor| anchors.last() != Some(anchor)));
        }
        if rng.coin() {
            journal.close().unwrap();
            anchors.extend(reader.anchor());
        }
    }
    anchors.dedup();
    (files, anchors)
}

#[test]
fn a_journal_opens_from_every_checkpoint_as_it_does_from_its_start() {
    let mut opened_from = 0;
    for seed in 0..12 {
        let (files, anchors) = grown(seed);
        for anchor in anchors {
            let copy: Arc<dyn Files> = Arc::new(files.copy());
            write(&copy, &anchor).unwrap();
            let opened = open_newest(&copy).unwrap();
            assert_eq!(opened.from, Some((anchor.clone(), anchor.size())));
            let tree = opened.journal.tree().clone();
            let whole: Arc<dyn Files> = Arc::new(files.copy());
            let (journal, _) = open(&whole).unwrap();
            assert_eq!((&tree, journal.tree()), (journal.tree(), &tree));
            assert_eq!(opened.journal.last_checkpoint(), journal.last_checkpoint());
            let records = check(opened);
            opened_from += 1;
            // It goes on from there, and nobody sees a difference.
            let mut journal = open_newest(&copy).unwrap().journal;
            append(&mut journal, 30).unwrap();
            journal.close().unwrap();
            assert_eq!(check(open_newest(&copy).unwrap()), records + 30);
            let trust = Trust { key: Some(key().public().clone()), kept: Vec::new() };
            let report = verify(copy.as_ref(), &trust).unwrap();
            assert!(report.is_ok() && report.records == records + 30, "{report:?}");
        }
    }
    assert!(opened_from > 150, "{opened_from}");
}

#[test]
fn nothing_before_the_snapshot_is_read_until_somebody_asks_for_it() {
    let (files, anchors) = grown(3);
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let anchor = anchors.last().unwrap();
    assert!(anchor.segment() > 1);
    write(&shared, anchor).unwrap();
    files.edit("journal/segment-00000000000000000001.ark", |bytes| bytes[1_000] ^= 1).unwrap();
    let opened = open_newest(&shared).unwrap();
    let error = opened.journal.reader().read(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(open(&shared).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt);
    let trust = Trust { key: Some(key().public().clone()), kept: Vec::new() };
    assert!(!verify(shared.as_ref(), &trust).unwrap().is_ok());
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_an_older_one_and_then_for_all_records() {
    let (files, anchors) = grown(5);
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let (older, newest) = (&anchors[anchors.len() / 2], anchors.last().unwrap());
    for anchor in [older, newest] {
        write(&shared, anchor).unwrap();
    }
    assert_eq!(snapshots(&shared).list().unwrap(), [newest.size(), older.size()]);
    let path = |anchor: &Anchor| format!("{SNAPSHOTS_DIR}/{:020}.snap", anchor.size());
    let mut whole = Vec::new();
    files.edit(&path(newest), |bytes| whole.clone_from(bytes)).unwrap();
    for at in 0..whole.len() {
        files.edit(&path(newest), |bytes| bytes[at] ^= 0x10).unwrap();
        let error = snapshots(&shared).load(newest.size()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
        files.edit(&path(newest), |bytes| bytes.clone_from(&whole)).unwrap();
    }
    for length in 0..whole.len() {
        files.edit(&path(newest), |bytes| bytes.truncate(length)).unwrap();
        assert!(snapshots(&shared).load(newest.size()).is_err(), "{length} bytes");
        files.edit(&path(newest), |bytes| bytes.clone_from(&whole)).unwrap();
    }
    assert_eq!(snapshots(&shared).load(newest.size()).unwrap().payload(), payload(newest));
    files.edit(&path(newest), |bytes| bytes[100] ^= 1).unwrap();
    let opened = open_newest(&shared).unwrap();
    assert_eq!(opened.from, Some((older.clone(), older.size())));
    assert_eq!(opened.refused.len(), 1);
    assert_eq!(opened.refused[0].size, newest.size());
    drop(opened);
    files.edit(&path(older), |bytes| bytes.clear()).unwrap();
    let opened = open_newest(&shared).unwrap();
    assert_eq!((&opened.from, opened.refused.len()), (&None, 2));
    check(opened);
}

#[test]
fn a_snapshot_of_another_journal_or_key_is_not_used() {
    let (files, anchors) = grown(7);
    let shared: Arc<dyn Files> = Arc::new(files);
    // The journal was put back from a copy that is older than the snapshot.
    let old: Arc<dyn Files> = Arc::new(MemFiles::default());
    let (mut journal, _) = open(&old).unwrap();
    append(&mut journal, 3).unwrap();
    journal.close().unwrap();
    write(&old, anchors.last().unwrap()).unwrap();
    let opened = open_newest(&old).unwrap();
    assert_eq!((&opened.from, opened.refused.len()), (&None, 1));
    assert_eq!(check(opened), 3);
    // Somebody writes a state of his own and signs it with a key of his own.
    let other = LedgerKey::from_seed(ORIGIN, &[9; 32]).unwrap();
    let theirs = Snapshots::new(Arc::clone(&shared), other.public().clone());
    theirs.write(&other, anchors.last().unwrap(), |out| out.write_all(b"7 records")).unwrap();
    assert_eq!(open_newest(&shared).unwrap().refused.len(), 1);
}

#[test]
fn only_the_snapshots_that_are_kept_stay() {
    let (files, anchors) = grown(4);
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    for anchor in &anchors[..3] {
        write(&shared, anchor).unwrap();
    }
    files.create("snapshots/00000000000000000009.snap.tmp", 10).unwrap();
    files.create("snapshots/notes.txt", 10).unwrap();
    snapshots(&shared).keep(&[anchors[1].size(), anchors[2].size()]).unwrap();
    assert_eq!(snapshots(&shared).list().unwrap(), [anchors[2].size(), anchors[1].size()]);
    assert_eq!(shared.list(SNAPSHOTS_DIR).unwrap().len(), 3, "what is not ours stays");
}

/// Appends, writes snapshots and archives; gives what was acknowledged.
fn work(files: &CrashFiles, acknowledged: &mut u64) -> Result<(), ErrorKind> {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    for _ in 0..2 {
        let Opened { mut journal, recovered, .. } = open_newest(&files)?;
        *acknowledged = recovered.records().max(*acknowledged);
        for step in 0..8u64 {
            append(&mut journal, 12 + step).map_err(|error| error.kind())?;
            *acknowledged = journal.next_seq() - 1;
            if step % 3 == 2 {
                journal.checkpoint().map_err(|error| error.kind())?;
                let anchor = journal.reader().anchor().unwrap();
                write(&files, &anchor)?;
                let older = snapshots(&files).list().map_err(|error| error.kind())?;
                snapshots(&files).keep(&older[..older.len().min(2)]).map_err(|it| it.kind())?;
                archive_one(&journal, older[older.len().min(2) - 1])?;
            }
        }
    }
    Ok(())
}

/// Archives the oldest segment if nothing behind `size` records stands in it.
fn archive_one(journal: &Journal, size: u64) -> Result<(), ErrorKind> {
    let reader = journal.reader();
    for first in reader.sealed_segments() {
        let here = reader.segments().bytes(first);
        let span = reader.span(first).map_err(|error| error.kind())?;
        if let (Ok(_), Some(span)) = (here, span)
            && span.next <= size + 1
        {
            return reader.archive(&key(), &span).map_err(|error| error.kind());
        }
    }
    Ok(())
}

#[test]
fn a_crash_at_any_operation_of_snapshots_and_archive_loses_nothing() {
    let all = CrashFiles::new(Fault::None, 1);
    work(&all, &mut 0).unwrap();
    let operations = all.operations();
    assert!((100..600).contains(&operations), "{operations}");
    let as_files: Arc<dyn Files> = Arc::new(all);
    assert!(as_files.list("archive").unwrap().len() > 1);
    let mut from_snapshot = 0;
    for at in 1..=operations {
        for seed in 0..3 {
            for fault in [Fault::Crash(at), Fault::Error(at)] {
                let files = CrashFiles::new(fault, seed);
                let mut acknowledged = 0;
                let _ = work(&files, &mut acknowledged);
                let what = format!("{fault:?}, seed {seed}");
                let files = match fault {
                    Fault::Error(_) => files.restart_process(Fault::None),
                    _ => files.restart_machine(Fault::None),
                };
                let shared: Arc<dyn Files> = Arc::new(files.clone());
                let opened = open_newest(&shared).unwrap_or_else(|kind| panic!("{what}: {kind:?}"));
                assert!(opened.refused.is_empty(), "{what}: {:?}", opened.refused);
                from_snapshot += u64::from(opened.from.is_some());
                let records = check(opened);
                assert!(records >= acknowledged, "{what}: {records} of {acknowledged}");
                let mut journal = open_newest(&shared).unwrap().journal;
                append(&mut journal, 3).unwrap();
                archive_one(&journal, records).unwrap();
                journal.close().unwrap();
                let again: Arc<dyn Files> = Arc::new(files.restart_machine(Fault::None));
                let trust = Trust { key: Some(key().public().clone()), kept: Vec::new() };
                let report = verify(again.as_ref(), &trust).unwrap();
                assert!(report.is_ok() && report.absent.is_empty(), "{what}: {report:?}");
                assert_eq!(report.records, records + 3, "{what}");
                assert_eq!(open(&again).unwrap().1.records(), records + 3, "{what}");
            }
        }
    }
    assert!(from_snapshot > operations, "{from_snapshot}");
}
