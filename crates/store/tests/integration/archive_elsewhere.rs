//! An archive with a directory of its own, which may be somebody else's, the journal's, or not mounted: nothing is
//! lost in it, and nothing is put where it would be.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ark_os_store::files::MemFiles;
use ark_os_store::{DiskFiles, ErrorKind, File, Files, Journal, LedgerKey, Segments};

use super::crash_files::{CrashFiles, Fault};
use super::snapshots::write;
use super::support::{ORIGIN, SMALL, append, body, key, replay};

fn disk(dir: &Path) -> Arc<dyn Files> {
    Arc::new(DiskFiles::new(dir).unwrap())
}

/// A journal of some segments, written in batches of so many records.
fn grown(segments: &Segments, key: LedgerKey, batch: u64) -> Journal {
    let (mut journal, _) = Journal::open_from(segments.clone(), SMALL, key, None).unwrap();
    while journal.reader().sealed_segments().len() < 4 {
        append(&mut journal, batch).unwrap();
    }
    journal.checkpoint().unwrap();
    journal
}

/// Archives the oldest segment that is not archived.
fn archive_next(journal: &Journal, key: &LedgerKey) -> Result<u64, ErrorKind> {
    let reader = journal.reader();
    let sealed = reader.sealed_segments();
    let is_here = |first: &&u64| reader.segments().bytes(**first).is_ok();
    let first = *sealed.iter().find(is_here).unwrap();
    let span = reader.span(first).unwrap().unwrap();
    reader.archive(key, &span).map(|()| first).map_err(|error| error.kind())
}

fn segments_in(files: &Arc<dyn Files>, dir: &str) -> usize {
    files.list(dir).unwrap().iter().filter(|name| name.ends_with(".ark")).count()
}

#[test]
fn an_archive_in_the_journals_own_directory_is_refused_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let files = disk(dir.path());
    files.make_dir("journal").unwrap();
    let link = dir.path().join("elsewhere");
    std::os::unix::fs::symlink(dir.path().join("journal"), &link).unwrap();
    for archive in [dir.path().join("journal"), link] {
        let segments = Segments::with_archive(files.clone(), disk(&archive));
        let journal = grown(&segments, key(), 9);
        let before = files.list("journal").unwrap();
        assert_eq!(archive_next(&journal, &key()), Err(ErrorKind::Conflict));
        assert_eq!(files.list("journal").unwrap(), before);
        journal.close().unwrap();
        let (_, recovered) = Journal::open_from(segments, SMALL, key(), None).unwrap();
        assert!(replay(recovered) > 100);
    }
}

/// One directory of a tree by another path, as a link or a mount makes it; nobody can tell that it is the same.
#[derive(Debug)]
struct Mounted {
    files: Arc<dyn Files>,
    dir: &'static str,
}

impl Mounted {
    fn path(&self, path: &str) -> String {
        if path.is_empty() { self.dir.to_owned() } else { format!("{}/{path}", self.dir) }
    }
}

impl Files for Mounted {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.files.open(&self.path(path))
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.files.create(&self.path(path), len)
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.files.make_dir(&self.path(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.files.list(&self.path(dir))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove(&self.path(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(&self.path(from), &self.path(to))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.files.sync_dir(&self.path(dir))
    }
}

/// A data directory whose archive is its journal's own directory.
fn upon_itself(files: &CrashFiles) -> Segments {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    Segments::with_archive(files.clone(), Arc::new(Mounted { files, dir: "journal" }))
}

/// Archives again and again, over restarts: it is refused each time and all segments stay.
fn stays_refused(files: &CrashFiles, records: u64, what: &str) {
    for _ in 0..3 {
        let files = files.restart_process(Fault::None);
        let segments = upon_itself(&files);
        let (journal, _) = Journal::open_from(segments.clone(), SMALL, key(), None).unwrap();
        for _ in 0..3 {
            assert_eq!(archive_next(&journal, &key()), Err(ErrorKind::Conflict), "{what}");
        }
        journal.close().unwrap();
        let (_, recovered) = Journal::open_from(segments, SMALL, key(), None).unwrap();
        assert_eq!(replay(recovered), records, "{what}");
        let left = files.restart_machine(Fault::None).list("journal").unwrap();
        assert!(left.iter().all(|name| !name.starts_with("archive")), "{what}: {left:?}");
    }
}

#[test]
fn a_crash_while_an_archive_is_tried_out_in_the_journals_own_directory_loses_nothing() {
    let (mut crashes, mut at) = (0, 1);
    loop {
        let mut was_refused = 0;
        for seed in 0..16 {
            let files = CrashFiles::new(Fault::None, seed);
            let journal = grown(&upon_itself(&files), key(), 9);
            let records = journal.close().unwrap().size();
            let open = |fault| {
                let files = files.restart_process(Fault::None);
                let opened = Journal::open_from(upon_itself(&files), SMALL, key(), None);
                drop(opened.unwrap());
                let done = files.operations();
                let fault = match fault {
                    Fault::Crash(at) => Fault::Crash(done + at),
                    Fault::Error(at) => Fault::Error(done + at),
                    Fault::None => Fault::None,
                };
                let files = files.restart_process(fault);
                let opened = Journal::open_from(upon_itself(&files), SMALL, key(), None);
                (files, opened.unwrap().0)
            };
            for fault in [Fault::Crash(at), Fault::Error(at)] {
                let what = format!("{fault:?}, seed {seed}");
                let (files, journal) = open(fault);
                let tried = archive_next(&journal, &key());
                drop(journal);
                was_refused += u64::from(tried == Err(ErrorKind::Conflict));
                crashes += u64::from(tried != Err(ErrorKind::Conflict));
                let after = match fault {
                    Fault::Crash(_) => files.restart_machine(Fault::None),
                    _ => files.restart_process(Fault::None),
                };
                stays_refused(&after, records, &what);
            }
        }
        if was_refused == 32 {
            break;
        }
        at += 1;
    }
    assert!(at > 6 && crashes > 32, "{at} {crashes}");
}

#[test]
fn what_a_crash_left_in_the_journals_directory_does_not_make_it_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let files = disk(dir.path());
    files.make_dir("journal").unwrap();
    let place = dir.path().join("journal");
    let segments = Segments::with_archive(files.clone(), disk(&place));
    let journal = grown(&segments, key(), 9);
    let before = segments_in(&files, "journal");
    let left = || std::fs::write(place.join("archive.owner"), format!("{}\n", key().public()));
    left().unwrap();
    assert_eq!(archive_next(&journal, &key()), Err(ErrorKind::Conflict));
    let told = segments.check_archive(key().public()).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Conflict, "{told}");
    assert_eq!(segments_in(&files, "journal"), before);
    drop(journal);

    // With another directory it is no harm, and goes.
    left().unwrap();
    let other = tempfile::tempdir().unwrap();
    let segments = Segments::with_archive(files.clone(), disk(other.path()));
    let (journal, _) = Journal::open_from(segments, SMALL, key(), None).unwrap();
    archive_next(&journal, &key()).unwrap();
    assert!(!place.join("archive.owner").exists());
}

#[test]
fn a_segment_that_the_archive_has_by_another_name_only_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let files = disk(dir.path());
    let segments = Segments::new(files.clone());
    let journal = grown(&segments, key(), 9);
    let before = segments_in(&files, "journal");
    std::os::unix::fs::symlink("journal", dir.path().join("archive")).unwrap();
    assert_eq!(archive_next(&journal, &key()), Err(ErrorKind::Conflict));
    assert_eq!(segments_in(&files, "journal"), before);
    drop(journal);

    let other = tempfile::tempdir().unwrap();
    let segments = Segments::with_archive(files.clone(), disk(other.path()));
    let (journal, _) = Journal::open_from(segments, SMALL, key(), None).unwrap();
    let name = format!("segment-{:020}.ark", 1);
    let from = dir.path().join("journal").join(&name);
    std::os::unix::fs::symlink(&from, other.path().join(&name)).unwrap();
    assert_eq!(archive_next(&journal, &key()), Err(ErrorKind::Conflict));
    assert!(from.exists());
}

#[test]
fn an_archive_of_another_journal_is_not_used() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shared = tempfile::tempdir().unwrap();
    let archive = disk(shared.path());
    let other = LedgerKey::from_seed(ORIGIN, &[9; 32]).unwrap();
    let segments = Segments::with_archive(disk(theirs.path()), archive.clone());
    let journal = grown(&segments, other.clone(), 9);
    let first = archive_next(&journal, &other).unwrap();
    let segments = Segments::with_archive(disk(ours.path()), archive.clone());
    let ours = grown(&segments, key(), 9);
    assert_eq!(archive_next(&ours, &key()), Err(ErrorKind::Conflict));
    // Whose they are is seen by the segments too.
    archive.remove("archive.owner").unwrap();
    assert_eq!(archive_next(&ours, &key()), Err(ErrorKind::Conflict));
    assert_eq!(journal.reader().read(first).unwrap().record().unwrap().body, body(first));
    assert_eq!(segments_in(&archive, ""), 1);
    archive_next(&journal, &other).unwrap();
}

#[test]
fn a_segment_in_the_archive_is_never_replaced_by_another_of_its_name() {
    // A journal that was put back from a copy, or a copy that is used beside it, has the same key.
    for elsewhere in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let archive = disk(dir.path());
        let segments = |files: Arc<dyn Files>| match elsewhere {
            true => Segments::with_archive(files, archive.clone()),
            false => Segments::new(files),
        };
        let files: Arc<dyn Files> = Arc::new(MemFiles::default());
        let journal = grown(&segments(files.clone()), key(), 9);
        let first = archive_next(&journal, &key()).unwrap();
        let copy: Arc<dyn Files> = Arc::new(MemFiles::default());
        let other = grown(&segments(copy.clone()), key(), 7);
        if !elsewhere {
            copy.make_dir("archive").unwrap();
            let name = format!("archive/segment-{first:020}.ark");
            let theirs = files.open(&name).unwrap();
            let mut bytes = vec![0; theirs.len().unwrap() as usize];
            theirs.read_at(&mut bytes, 0).unwrap();
            copy.create(&name, 0).unwrap().write_at(&bytes, 0).unwrap();
        }
        let before = segments_in(&copy, "journal");
        assert_eq!(archive_next(&other, &key()), Err(ErrorKind::Conflict));
        assert_eq!(segments_in(&copy, "journal"), before, "its own is still there");
        let last = journal.next_seq() - 1;
        for seq in 1..=last {
            assert_eq!(journal.reader().read(seq).unwrap().record().unwrap().body, body(seq));
        }
    }
}

#[test]
fn an_archive_that_is_not_mounted_gets_nothing() {
    let (mounted, mount_point) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files: Arc<dyn Files> = Arc::new(MemFiles::default());
    let with = |dir: &Path| Segments::with_archive(files.clone(), disk(dir));
    let journal = grown(&with(mounted.path()), key(), 9);
    archive_next(&journal, &key()).unwrap();
    let records = journal.close().unwrap().size();

    let anchor = {
        let (journal, _) = Journal::open_from(with(mounted.path()), SMALL, key(), None).unwrap();
        journal.reader().anchor().unwrap()
    };
    let open = |dir: &Path| Journal::open_from(with(dir), SMALL, key(), Some(&anchor)).unwrap().0;
    let journal = open(mount_point.path());
    assert_eq!(archive_next(&journal, &key()), Err(ErrorKind::Unavailable));
    assert_eq!(std::fs::read_dir(mount_point.path()).unwrap().count(), 0);
    drop(journal);
    let journal = open(mounted.path());
    archive_next(&journal, &key()).unwrap();
    drop(journal);

    // The archive has moved, with or without the file that says whose it is.
    for entry in std::fs::read_dir(mounted.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "archive.owner" {
            std::fs::rename(entry.path(), mount_point.path().join(entry.file_name())).unwrap();
        }
    }
    let journal = open(mount_point.path());
    archive_next(&journal, &key()).unwrap();
    for seq in 1..=records {
        assert_eq!(journal.reader().read(seq).unwrap().seq(), seq);
    }
}

#[test]
fn what_could_not_be_finished_takes_no_space() {
    let mut failures = 0;
    for at in 1..60 {
        let files = CrashFiles::new(Fault::None, 3);
        let dir = tempfile::tempdir().unwrap();
        let journal = {
            let files: Arc<dyn Files> = Arc::new(files.clone());
            grown(&Segments::with_archive(files, disk(dir.path())), key(), 9)
        };
        let anchor = journal.reader().anchor().unwrap();
        drop(journal);
        let failing = files.restart_process(Fault::Error(at));
        let shared: Arc<dyn Files> = Arc::new(failing.clone());
        if write(&shared, &anchor).is_ok() {
            break;
        }
        failures += 1;
        let names = shared.list("snapshots").unwrap_or_default();
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{at}: {names:?}");
    }
    assert!(failures > 4, "{failures}");

    // The same in an archive that is full.
    for at in 1..60 {
        let files: Arc<dyn Files> = Arc::new(MemFiles::default());
        let archive = CrashFiles::new(Fault::Error(at), 3);
        let archive: Arc<dyn Files> = Arc::new(archive);
        let segments = Segments::with_archive(files, archive.clone());
        let journal = grown(&segments, key(), 9);
        if archive_next(&journal, &key()).is_ok() {
            assert!(at > 6, "{at}");
            return;
        }
        let names = archive.list("").unwrap();
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{at}: {names:?}");
    }
    panic!("it never succeeds");
}

#[test]
fn a_copy_that_is_told_to_stop_ends_at_once_and_leaves_the_segment_where_it_was() {
    let files: Arc<dyn Files> = Arc::new(MemFiles::default());
    let dir = tempfile::tempdir().unwrap();
    let archive = disk(dir.path());
    let segments = Segments::with_archive(files.clone(), archive.clone());
    let journal = grown(&segments, key(), 9);
    let reader = journal.reader();
    let span = reader.span(1).unwrap().unwrap();
    for pieces in 0.. {
        let asked = std::cell::Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            asked.get() <= pieces
        };
        match reader.archive_while(&key(), &span, &go_on) {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        assert_eq!(asked.get(), pieces + 1, "it is asked once more and not again");
        assert!(segments.bytes(1).is_ok());
        assert_eq!(archive.list("").unwrap(), ["archive.owner"]);
    }
    assert_eq!(segments_in(&archive, ""), 1);
    assert!(segments.bytes(1).is_err());
    assert_eq!(reader.read(1).unwrap().record().unwrap().body, body(1));
}
