//! The real disk behind `Files`: private modes, reserved space, positioned reads and writes, fdatasync.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;

use super::{File, FileId, Files, check_path};

/// Only the owner reads or writes: journals hold what users sent.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Files below one directory of the disk.
#[derive(Debug, Clone)]
pub struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    /// Uses `root`, creating it (and its parents) with mode 0700 if it is not there.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        let present = root.ancestors().find(|dir| dir.is_dir()).unwrap_or(&root).to_owned();
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(&root)?;
        // A directory made just now must not vanish with the power, and all that is in it.
        for parent in root.ancestors().skip(1).take_while(|dir| dir.starts_with(&present)) {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(Self { root: fs::canonicalize(root)? })
    }

    fn path(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(self.root.join(path))
    }
}

impl Files for DiskFiles {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path(path)?;
        let file = match fs::OpenOptions::new().read(true).write(true).open(&path) {
            // An archive may be on a medium that nobody can write.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                fs::File::open(path)?
            }
            file => file?,
        };
        Ok(Arc::new(DiskFile(file)))
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>> {
        let path = self.path(path)?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        let file = DiskFile(file);
        file.reserve(len)?;
        Ok(Arc::new(file))
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        match fs::DirBuilder::new().mode(DIR_MODE).create(self.path(path)?) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(dir)?)? {
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.path(dir)?)?.sync_all()
    }

    fn dir_id(&self, dir: &str) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(&fs::metadata(self.path(dir)?)?)))
    }
}

fn id_of(metadata: &fs::Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

#[derive(Debug)]
struct DiskFile(fs::File);

impl File for DiskFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that times the device; the value is only shown"
    )]
    fn sync(&self) -> io::Result<Duration> {
        let start = Instant::now();
        rustix::fs::fdatasync(&self.0)?;
        Ok(start.elapsed())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if len <= now {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), now, len - now) {
            // Some file systems cannot reserve; the length alone still spares a growing file.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(len),
            other => Ok(other?),
        }
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(&self.0.metadata()?)))
    }
}
