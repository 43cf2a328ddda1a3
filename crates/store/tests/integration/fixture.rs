//! A committed journal of format 1: it opens for ever, and as long as 1 is written, it is written just so.

use std::sync::Arc;

use ark_os_store::files::{MemFiles, read_small};
use ark_os_store::verify::{Trust, verify};
use ark_os_store::{Files, LedgerKey, PublicKey};

use super::support::{ORIGIN, append, key, open, replay};

const SEGMENTS: [(&str, &[u8]); 2] = [
    (
        "journal/segment-00000000000000000001.ark",
        include_bytes!("../fixtures/journal-v1/journal/segment-00000000000000000001.ark"),
    ),
    (
        "journal/segment-00000000000000000006.ark",
        include_bytes!("../fixtures/journal-v1/journal/segment-00000000000000000006.ark"),
    ),
];
const PUBLIC_KEY: &str = include_str!("../fixtures/journal-v1/ledger.pub");
const PRIVATE_KEY: &str = include_str!("../fixtures/journal-v1/ledger.key");

fn fixture() -> Arc<dyn Files> {
    let files = MemFiles::default();
    files.make_dir("journal").unwrap();
    for (path, bytes) in SEGMENTS {
        files.create(path, 0).unwrap().write_at(bytes, 0).unwrap();
    }
    for (path, text) in [("ledger.key", PRIVATE_KEY), ("ledger.pub", PUBLIC_KEY)] {
        files.create(path, 0).unwrap().write_at(text.as_bytes(), 0).unwrap();
    }
    Arc::new(files)
}

#[test]
fn a_journal_of_format_1_opens_and_goes_on() {
    let files = fixture();
    let key = LedgerKey::load_or_generate(files.as_ref(), "ignored").unwrap();
    assert_eq!(*key.public(), PublicKey::parse(PUBLIC_KEY).unwrap());
    let report = verify(files.as_ref(), &Trust::default()).unwrap();
    assert!(report.is_ok() && !report.key_was_given, "{report:?}");
    assert_eq!((report.records, report.unsigned()), (8, 0));
    let (mut journal, recovered) =
        ark_os_store::Journal::open(Arc::clone(&files), super::support::SMALL, key).unwrap();
    assert_eq!(replay(recovered), 8);
    append(&mut journal, 4).unwrap();
    drop(journal);
    assert_eq!(replay(open(&files).unwrap().1), 12);
}

#[test]
fn the_same_work_writes_the_same_bytes() {
    let files: Arc<dyn Files> = Arc::new(MemFiles::default());
    let key = key();
    key.store(files.as_ref()).unwrap();
    LedgerKey::load_or_generate(files.as_ref(), ORIGIN).unwrap();
    let (mut journal, _) = open(&files).unwrap();
    append(&mut journal, 2).unwrap();
    append(&mut journal, 3).unwrap();
    journal.checkpoint().unwrap();
    append(&mut journal, 2).unwrap();
    drop(journal); // the two are rewritten into a second segment
    let (mut journal, _) = open(&files).unwrap();
    append(&mut journal, 1).unwrap();
    journal.close().unwrap();
    for (path, bytes) in SEGMENTS {
        assert!(read_small(files.as_ref(), path, 1 << 20).unwrap() == bytes, "{path} has changed");
    }
    assert_eq!(read_small(files.as_ref(), "ledger.key", 1000).unwrap(), PRIVATE_KEY.as_bytes());
}
