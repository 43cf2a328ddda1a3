//! One conformance suite for every implementation of `Files`.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use ark_os_store::files::{read_small, write_atomic};
use ark_os_store::{DiskFiles, Files, MemFiles};

use super::crash_files::{CrashFiles, Fault};

fn conforms(files: &dyn Files) {
    assert_eq!(files.open("a").unwrap_err().kind(), ErrorKind::NotFound);
    let file = files.create("a", 100).unwrap();
    assert_eq!(files.create("a", 1).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (100, false));
    file.write_at(b"hello", 98).unwrap();
    file.sync().unwrap();
    assert_eq!(file.len().unwrap(), 103);
    let mut bytes = [9; 10];
    assert_eq!(file.read_at(&mut bytes, 96).unwrap(), 7);
    assert_eq!(bytes, *b"\0\0hello\x09\x09\x09");
    assert_eq!(file.read_at(&mut bytes, 500).unwrap(), 0);
    file.truncate(99).unwrap();
    file.reserve(50).unwrap();
    assert_eq!(file.len().unwrap(), 99);
    file.reserve(104).unwrap();
    assert_eq!(files.open("a").unwrap().read_at(&mut bytes, 98).unwrap(), 6);
    assert_eq!(bytes[..6], *b"h\0\0\0\0\0");
    files.make_dir("d").unwrap();
    files.make_dir("d").unwrap();
    files.rename("a", "d/b").unwrap();
    write_atomic(files, "d/c", b"one").unwrap();
    write_atomic(files, "d/c", b"two").unwrap();
    assert_eq!(read_small(files, "d/c", 3).unwrap(), b"two");
    assert_eq!(read_small(files, "d/c", 2).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(files.list("d").unwrap(), ["b", "c"]);
    files.rename("d/c", "d/b").unwrap();
    assert_eq!(read_small(files, "d/b", 10).unwrap(), b"two");
    files.sync_dir("d").unwrap();
    files.remove("d/b").unwrap();
    assert_eq!(files.remove("d/b").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(files.list("d").unwrap().is_empty());
}

#[test]
fn every_implementation_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(&DiskFiles::new(dir.path().join("deep/er")).unwrap());
    conforms(&MemFiles::default());
    conforms(&CrashFiles::new(Fault::None, 1));
}

#[test]
fn paths_cannot_leave_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Files> = Arc::new(DiskFiles::new(dir.path()).unwrap());
    for files in [disk, Arc::new(MemFiles::default())] {
        for path in ["../x", "/x", "a/../../x", "a//b", "./a", "a\0b"] {
            assert_eq!(
                files.create(path, 0).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{path}"
            );
        }
    }
}

#[test]
fn the_disk_keeps_everything_private() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let files = DiskFiles::new(&root).unwrap();
    files.make_dir("d").unwrap();
    files.create("d/f", 10).unwrap();
    let mode = |path: &str| root.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("d"), mode("d/f")), (0o700, 0o700, 0o600));
}
