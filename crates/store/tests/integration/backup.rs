//! Backups: they end with a checkpoint, go on from each other, name what is damaged, and restore to the same journal.

use std::sync::Arc;

use ark_os_store::backup::{self, MANIFEST_FILE, Manifest};
use ark_os_store::files::{MemFiles, read_small};
use ark_os_store::{
    Blobs, ErrorKind, Files, Journal, LedgerKey, PublicKey, Segments, Snapshots, StoreError,
};

use super::snapshots::write as write_snapshot;
use super::support::{ORIGIN, SMALL, append, key, open, replay};

/// A data directory with a key, and its journal.
fn source() -> (MemFiles, Journal) {
    let files = MemFiles::default();
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    key().store(shared.as_ref()).unwrap();
    LedgerKey::load_or_generate(shared.as_ref(), ORIGIN).unwrap();
    let (journal, _) = open(&shared).unwrap();
    (files, journal)
}

fn shared(files: &MemFiles) -> Arc<dyn Files> {
    Arc::new(files.clone())
}

fn back_up(files: &MemFiles, target: &MemFiles) -> Result<backup::Written, StoreError> {
    backup::write(&Segments::new(shared(files)), &key(), &["token"], (target, 5))
}

/// Restores a backup, and gives the records that a start finds in it.
fn restored(target: &MemFiles) -> Result<u64, StoreError> {
    let manifest = Manifest::load(target, None)?;
    backup::check(&manifest, target)?;
    let files = MemFiles::default();
    backup::restore(&manifest, target, &files)?;
    let report = backup::verified(&files, &manifest.key()?, Vec::new())?;
    assert_eq!((report.records, report.unsigned()), (manifest.records, 0));
    let key = LedgerKey::load(&files)?;
    let shared: Arc<dyn Files> = Arc::new(files);
    let snapshots = Snapshots::new(shared.clone(), key.public().clone());
    let segments = Segments::new(shared);
    let opened = snapshots.open_journal(&segments, SMALL, &key, |_| Ok(()))?;
    Ok(opened.recovered.records())
}

#[test]
fn a_backup_ends_with_a_checkpoint_while_the_journal_goes_on() {
    let (files, mut journal) = source();
    let blob = Blobs::open(shared(&files)).unwrap().put(&[7; 30_000]).unwrap();
    files.create("token", 0).unwrap().write_at(b"secret\n", 0).unwrap();
    for _ in 0..40 {
        append(&mut journal, 5).unwrap();
    }
    journal.checkpoint().unwrap();
    append(&mut journal, 3).unwrap();
    let segments = Segments::new(shared(&files));
    let tail = backup::tail(&segments, key().public()).unwrap();
    assert_eq!((tail.records, tail.signed), (203, 200));
    let target = MemFiles::default();
    let written = back_up(&files, &target).unwrap();
    assert_eq!((written.manifest.records, written.absent.len()), (200, 0));
    assert_eq!(written.manifest.small["token"], b"secret\n");
    assert!(target.list("journal").unwrap().len() > 3);
    assert_eq!(restored(&target).unwrap(), 200);
    let shard = format!("blobs/{}/{blob}", &blob.to_string()[..2]);
    assert_eq!(target.open(&shard).unwrap().len().unwrap(), 30_000);
    // Nothing of the source was touched.
    append(&mut journal, 3).unwrap();
    journal.close().unwrap();
    assert_eq!(replay(open(&shared(&files)).unwrap().1), 206);
}

#[test]
fn a_backup_goes_on_where_the_one_before_ended() {
    let (files, mut journal) = source();
    let target = MemFiles::default();
    let mut copied = Vec::new();
    let mut earlier: Vec<(MemFiles, u64)> = Vec::new();
    for round in 1..=4 {
        for _ in 0..20 {
            append(&mut journal, 5).unwrap();
        }
        journal.checkpoint().unwrap();
        let written = back_up(&files, &target).unwrap();
        assert_eq!(written.manifest.records, round * 100);
        assert_eq!(restored(&target).unwrap(), round * 100);
        copied.push(written.bytes);
        // What an interruption just before the new list leaves.
        for (old, records) in &earlier {
            let interrupted = target.copy();
            interrupted.remove(MANIFEST_FILE).unwrap();
            let list = read_small(old, MANIFEST_FILE, 1 << 20).unwrap();
            interrupted.create(MANIFEST_FILE, 0).unwrap().write_at(&list, 0).unwrap();
            assert_eq!(restored(&interrupted).unwrap(), *records);
        }
        earlier.push((target.copy(), round * 100));
    }
    assert!(copied[3] < 2 * copied[0], "what was there is not copied again: {copied:?}");
    assert_eq!(back_up(&files, &target).unwrap().files, 1, "the newest segment alone");
}

#[test]
fn every_damaged_or_missing_file_of_a_backup_is_named() {
    let (files, mut journal) = source();
    Blobs::open(shared(&files)).unwrap().put(&[7; 30_000]).unwrap();
    for _ in 0..20 {
        append(&mut journal, 5).unwrap();
    }
    journal.checkpoint().unwrap();
    write_snapshot(&shared(&files), &journal.reader().anchor().unwrap()).unwrap();
    let target = MemFiles::default();
    let written = back_up(&files, &target).unwrap();
    assert!(written.manifest.files.keys().any(|path| path.starts_with("snapshots/")));
    for path in written.manifest.files.keys() {
        let (flipped, without) = (target.copy(), target.copy());
        flipped
            .edit(path, |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            })
            .unwrap();
        without.remove(path).unwrap();
        for damaged in [flipped, without] {
            let error = restored(&damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{path}");
            assert!(error.to_string().contains(path.as_str()), "{error}");
            let error = backup::restore(&written.manifest, &damaged, &MemFiles::default());
            assert!(error.unwrap_err().to_string().contains(path.as_str()));
        }
    }
}

#[test]
fn archived_segments_are_in_a_backup_and_stay_there_when_they_are_taken_away() {
    let (files, mut journal) = source();
    for _ in 0..40 {
        append(&mut journal, 5).unwrap();
    }
    journal.checkpoint().unwrap();
    let reader = journal.reader();
    write_snapshot(&shared(&files), &reader.anchor().unwrap()).unwrap();
    let target = MemFiles::default();
    // Some go before the backup, some after it.
    let sealed = reader.sealed_segments();
    let (first, second) = sealed.split_at(sealed.len() / 2);
    let archive = |firsts: &[u64]| {
        for first in firsts {
            reader.archive(&key(), &reader.span(*first).unwrap().unwrap()).unwrap();
        }
    };
    archive(first);
    back_up(&files, &target).unwrap();
    assert_eq!(restored(&target).unwrap(), 200);
    archive(second);
    assert_eq!(back_up(&files, &target).unwrap().absent, []);
    assert_eq!(restored(&target).unwrap(), 200);
    for name in files.list("archive").unwrap() {
        files.remove(&format!("archive/{name}")).unwrap();
    }
    assert_eq!(back_up(&files, &target).unwrap().absent, [], "the backup has them");
    assert_eq!(restored(&target).unwrap(), 200);
    let new = MemFiles::default();
    assert_eq!(back_up(&files, &new).unwrap().absent.len(), 1, "this one cannot");
    assert_eq!(restored(&new).unwrap(), 200, "a start goes on from the snapshot");
}

#[test]
fn nothing_is_written_over_another_journal_s_backup_or_a_newer_one() {
    let (files, mut journal) = source();
    append(&mut journal, 5).unwrap();
    journal.checkpoint().unwrap();
    let rolled_back = files.copy();
    append(&mut journal, 5).unwrap();
    journal.checkpoint().unwrap();
    let target = MemFiles::default();
    back_up(&files, &target).unwrap();
    assert_eq!(back_up(&rolled_back, &target).unwrap_err().kind(), ErrorKind::Conflict);
    // One that went on otherwise from there.
    let (mut forked, _) = open(&shared(&rolled_back)).unwrap();
    append(&mut forked, 9).unwrap();
    forked.checkpoint().unwrap();
    let error = back_up(&rolled_back, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("another one than was backed up"), "{error}");
    let other = LedgerKey::from_seed(ORIGIN, &[1; 32]).unwrap();
    let segments = Segments::new(shared(&files));
    let error = backup::write(&segments, &other, &[], (&target, 5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let occupied = MemFiles::default();
    occupied.create("letters", 0).unwrap();
    assert_eq!(back_up(&files, &occupied).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(restored(&target).unwrap(), 10);
    PublicKey::load(&target).unwrap();
}
