//! The archive: segments are read there as before; taken away they are named, and nothing else suffers; a segment
//! that was never archived is never missed quietly.

use std::sync::Arc;

use ark_os_store::files::MemFiles;
use ark_os_store::journal::Lookup;
use ark_os_store::verify::{Report, Trust, verify, verify_in};
use ark_os_store::{Anchor, Batch, DiskFiles, ErrorKind, Files, Journal, Segments, Tiles};

use super::snapshots::{grown, open_newest, write};
use super::support::{SMALL, append, body, header, key, open};

fn trust() -> Trust {
    Trust { key: Some(key().public().clone()), kept: Vec::new() }
}

/// A journal with a snapshot at its end and all segments before it archived; gives those.
fn archived(seed: u64) -> (MemFiles, Vec<u64>, u64) {
    let (files, _) = grown(seed);
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let (mut journal, _) = open(&shared).unwrap();
    append(&mut journal, 5).unwrap();
    journal.checkpoint().unwrap();
    let reader = journal.reader();
    write(&shared, &reader.anchor().unwrap()).unwrap();
    let sealed = reader.sealed_segments();
    assert!(sealed.len() > 3, "{sealed:?}");
    for first in &sealed {
        let span = reader.span(*first).unwrap().unwrap();
        reader.archive(&key(), &span).unwrap();
        // The one that reads and the one that wrote it see no difference.
        assert_eq!(reader.read(*first).unwrap().record().unwrap().body, body(*first));
    }
    let records = journal.close().unwrap().size();
    (files, sealed, records)
}

#[test]
fn archived_segments_are_read_and_verified_where_they_are() {
    let (files, sealed, records) = archived(3);
    let shared: Arc<dyn Files> = Arc::new(files);
    assert_eq!(shared.list("archive").unwrap().len(), sealed.len());
    assert_eq!(shared.list("journal").unwrap().len(), 1);
    let opened = open_newest(&shared).unwrap();
    assert_eq!(opened.from.as_ref().map(|(anchor, _)| anchor.size()), Some(records));
    let reader = opened.journal.reader();
    for seq in (1..=records).rev() {
        assert_eq!(reader.read(seq).unwrap().record().unwrap().body, body(seq));
    }
    drop(opened);
    let report = verify(shared.as_ref(), &trust()).unwrap();
    assert!(report.is_ok() && report.absent.is_empty(), "{report:?}");
    assert_eq!((report.records, report.unsigned()), (records, 0));
    let (_, mut recovered) = open(&shared).unwrap();
    assert_eq!(recovered.records(), records);
    for seq in 1..=records {
        assert_eq!(recovered.next().unwrap().unwrap().body, body(seq));
    }
}

#[test]
fn an_archive_that_was_taken_away_is_named_and_stops_nothing() {
    let (files, sealed, records) = archived(3);
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    files.make_dir("away").unwrap();
    for name in files.list("archive").unwrap() {
        files.rename(&format!("archive/{name}"), &format!("away/{name}")).unwrap();
    }
    let opened = open_newest(&shared).unwrap();
    let mut journal = opened.journal;
    let reader = journal.reader();
    for first in &sealed {
        let error = reader.read(first + 1).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Archived, true));
        assert!(error.to_string().contains(&format!("segment-{first:020}.ark")), "{error}");
    }
    let name = format!("segment-{:020}.ark", sealed[1]);
    files.rename(&format!("away/{name}"), &format!("archive/{name}")).unwrap();
    assert_eq!(reader.read(sealed[1]).unwrap().seq(), sealed[1], "it is back without a restart");
    files.rename(&format!("archive/{name}"), &format!("away/{name}")).unwrap();
    append(&mut journal, 4).unwrap();
    assert_eq!(reader.read(records + 4).unwrap().seq(), records + 4);
    journal.close().unwrap();
    let report = verify(shared.as_ref(), &trust()).unwrap();
    assert!(report.is_ok(), "{report:?}");
    let last =
        *shared.list("journal").unwrap().first().unwrap().as_bytes().last_chunk::<24>().unwrap();
    let first_here: u64 = std::str::from_utf8(&last[..20]).unwrap().parse().unwrap();
    assert_eq!(report.absent, vec![1..first_here]);
    // From the start it cannot be read, and that is said.
    assert_eq!(open(&shared).map(|_| ()).unwrap_err().kind(), ErrorKind::Archived);
}

#[test]
fn whole_archived_segments_may_be_absent_and_nothing_else() {
    let (files, sealed, _) = archived(5);
    let at = |first: u64| format!("archive/segment-{first:020}.ark");
    let verified = |change: &dyn Fn(&MemFiles)| -> Report {
        let copy = files.copy();
        change(&copy);
        verify(&copy, &trust()).unwrap()
    };
    let (second, third) = (sealed[1], sealed[2]);
    let report = verified(&|files| files.remove(&at(second)).unwrap());
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(report.absent, vec![second..third]);
    let report = verified(&|files| files.remove("archive.note").unwrap());
    assert!(report.is_ok(), "all are there: {report:?}");
    // Not said to be archived, or not as it was when it was archived.
    let report = verified(&|files| {
        files.remove(&at(second)).unwrap();
        files.remove("archive.note").unwrap();
    });
    assert!(!report.is_ok());
    let report = verified(&|files| files.edit("archive.note", |bytes| bytes[40] ^= 1).unwrap());
    assert!(!report.is_ok());
    for cut in [1, 60, 200] {
        let report = verified(&|files| {
            files.edit(&at(second), |bytes| bytes.truncate(bytes.len() - cut)).unwrap();
        });
        assert!(!report.is_ok(), "cut {cut}");
        let report = verified(&|files| {
            files.edit(&at(second), |bytes| bytes.truncate(bytes.len() - cut)).unwrap();
            files.remove(&at(third)).unwrap();
        });
        // Only whole segments are archived, so nothing may be missing at the end of one.
        assert!(!report.is_ok(), "cut {cut}: {report:?}");
    }
}

#[test]
fn a_kept_checkpoint_among_absent_records_is_compared_with_tiles_or_not_at_all() {
    let (files, anchors) = grown(3);
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let (mut journal, _) = open(&shared).unwrap();
    append(&mut journal, 1).unwrap();
    journal.checkpoint().unwrap();
    let reader = journal.reader();
    let mut tiles = Tiles::open(Arc::clone(&shared), key().public()).unwrap();
    tiles.extend(&reader, journal.last_checkpoint()).unwrap();
    let sealed = reader.sealed_segments();
    let (first, second) = (sealed[0], sealed[1]);
    reader.archive(&key(), &reader.span(first).unwrap().unwrap()).unwrap();
    journal.close().unwrap();
    files.remove(&format!("archive/segment-{first:020}.ark")).unwrap();
    let with = |anchor: &Anchor| {
        let kept = vec![anchor.checkpoint().note().to_owned()];
        verify(shared.as_ref(), &Trust { kept, ..trust() }).unwrap()
    };
    let with_tiles = |kept: Vec<String>| {
        let lookup = Lookup::new(shared.as_ref()).with_tiles(&tiles);
        verify_in(lookup, &Trust { kept, ..trust() }).unwrap()
    };
    let all = anchors.iter().map(|anchor| anchor.checkpoint().note().to_owned());
    assert!(with_tiles(all.collect()).is_ok());
    let (within, after): (Vec<_>, Vec<_>) =
        anchors.iter().partition(|anchor| anchor.size() + 1 < second);
    assert!(!within.is_empty() && !after.is_empty());
    for anchor in within {
        assert!(with(anchor).fault.unwrap().why.contains("absent"));
        assert!(with_tiles(vec![forked(anchor.size())]).fault.unwrap().why.contains("forked"));
    }
    for anchor in after {
        assert!(with(anchor).is_ok());
    }
}

/// A checkpoint of this size over other records, signed by the same key.
fn forked(size: u64) -> String {
    let files: Arc<dyn Files> = Arc::new(MemFiles::default());
    let (mut journal, _) = open(&files).unwrap();
    let mut batch = Batch::new(1);
    for _ in 0..size {
        batch.push(&header(1), |out| out.push(7)).unwrap();
    }
    journal.append(&mut batch).unwrap();
    journal.checkpoint().unwrap().note().to_owned()
}

#[test]
fn an_archive_may_have_a_directory_of_its_own() {
    let (files, _) = grown(3);
    let shared: Arc<dyn Files> = Arc::new(files);
    let dir = tempfile::tempdir().unwrap();
    let archive: Arc<dyn Files> = Arc::new(DiskFiles::new(dir.path()).unwrap());
    let segments = Segments::with_archive(Arc::clone(&shared), Arc::clone(&archive));
    let (journal, _) = Journal::open_from(segments.clone(), SMALL, key(), None).unwrap();
    let reader = journal.reader();
    let sealed = reader.sealed_segments();
    for first in &sealed {
        let span = reader.span(*first).unwrap().unwrap();
        reader.archive(&key(), &span).unwrap();
        assert!(reader.segments().bytes(*first).is_err(), "it is not here any more");
        // Once more, as after a crash before the original was removed.
        let name = format!("segment-{first:020}.ark");
        let moved = archive.open(&name).unwrap();
        let mut bytes = vec![0; moved.len().unwrap() as usize];
        moved.read_at(&mut bytes, 0).unwrap();
        let copy = shared.create(&format!("journal/{name}"), 0).unwrap();
        copy.write_at(&bytes, 0).unwrap();
        reader.archive(&key(), &span).unwrap();
    }
    let names = archive.list("").unwrap();
    let moved = names.iter().filter(|name| name.ends_with(".ark")).count();
    assert_eq!(moved, sealed.len());
    let records = journal.close().unwrap().size();
    let (_, mut recovered) = Journal::open_from(segments, SMALL, key(), None).unwrap();
    for seq in 1..=records {
        assert_eq!(recovered.next().unwrap().unwrap().body, body(seq));
    }
    let lookup = Lookup::with_archive(shared.as_ref(), archive.as_ref());
    assert!(verify_in(lookup, &trust()).unwrap().absent.is_empty());
    assert_eq!(verify(shared.as_ref(), &trust()).unwrap().absent.len(), 1);
}
