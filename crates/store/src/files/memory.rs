//! Files in memory: for tests, and for fuzzing the readers of the journal. Nothing ever fails or is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{File, Files, check_path, parent};

/// A tree of files in memory. Clones share the tree.
#[derive(Debug, Clone, Default)]
pub struct MemFiles {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    dirs: BTreeSet<String>,
    files: BTreeMap<String, Arc<MemFile>>,
}

#[derive(Debug, Default)]
struct MemFile(Mutex<Vec<u8>>);

/// Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemFiles {
    /// A deep copy: later changes of one are not seen by the other.
    #[must_use]
    pub fn copy(&self) -> Self {
        let tree = lock(&self.tree);
        let files = tree
            .files
            .iter()
            .map(|(path, file)| {
                (path.clone(), Arc::new(MemFile(Mutex::new(lock(&file.0).clone()))))
            })
            .collect();
        Self { tree: Arc::new(Mutex::new(Tree { dirs: tree.dirs.clone(), files })) }
    }

    /// Changes the bytes of a file in place, as an intruder or a bad disk would; `NotFound` if there is none.
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let file = self.file(path)?;
        change(&mut lock(&file.0));
        Ok(())
    }

    fn file(&self, path: &str) -> io::Result<Arc<MemFile>> {
        check_path(path)?;
        lock(&self.tree).files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for MemFiles {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path)?)
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>> {
        check_path(path)?;
        let mut tree = lock(&self.tree);
        let dir = parent(path);
        if !dir.is_empty() && !tree.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if tree.files.contains_key(path) || tree.dirs.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let file = Arc::new(MemFile(Mutex::new(bytes)));
        tree.files.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        let mut tree = lock(&self.tree);
        let dir = parent(path);
        if !dir.is_empty() && !tree.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if tree.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.dirs.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        check_path(dir)?;
        let tree = lock(&self.tree);
        if !dir.is_empty() && !tree.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = tree.files.keys().chain(tree.dirs.iter());
        let mut names: Vec<String> = paths
            .filter(|path| !path.is_empty() && parent(path) == dir)
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        lock(&self.tree).files.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_path(from)?;
        check_path(to)?;
        let mut tree = lock(&self.tree);
        let file = tree.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.list(dir).map(drop)
    }
}

impl File for MemFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if content.len() < end {
            content.resize(end, 0);
        }
        if let Some(target) = content.get_mut(start..end) {
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let available = content.get(start..).unwrap_or_default();
        let count = available.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn sync(&self) -> io::Result<Duration> {
        Ok(Duration::ZERO)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        lock(&self.0).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if content.len() < len {
            content.resize(len, 0);
        }
        Ok(())
    }
}
