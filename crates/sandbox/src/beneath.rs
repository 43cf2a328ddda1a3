//! Reading what a job left behind, without following it anywhere.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file below a directory for reading.
///
/// The path is resolved inside the directory only: no symbolic link, no `..` out of it, no other
/// file system. A job may plant any of these where its output is expected; a reader that follows
/// them reads the host's files in the job's name. Only plain files and directories are opened, so that
/// a planted pipe cannot make the reader wait.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if there is none; any other if it is not such a file.
#[cfg(target_os = "linux")]
pub fn open_beneath(dir: &Path, relative: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
    let dir = openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    // Without NONBLOCK the open itself would wait for the writer of a planted pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat2(&dir, relative, flags, Mode::empty(), resolve)?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile | FileType::Directory => Ok(File::from(file)),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` is not a file but a {other:?}", relative.display()),
        )),
    }
}

/// Opens a file below a directory for reading: nowhere but on Linux.
///
/// # Errors
///
/// Always: [`io::ErrorKind::Unsupported`].
#[cfg(not(target_os = "linux"))]
pub fn open_beneath(_dir: &Path, _relative: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn only_what_is_really_there_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/real"), "yes").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("in/link")).unwrap();
        std::os::unix::fs::symlink("/etc", at("in/dir")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("in/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let open = |name: &str| open_beneath(dir.path(), Path::new(name));
        let mut text = String::new();
        open("in/real").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "yes");
        for planted in ["in/link", "in/dir/passwd", "../etc/passwd", "/etc/passwd", "in/pipe"] {
            assert!(open(planted).is_err(), "{planted}");
        }
        assert_eq!(open("in/none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
