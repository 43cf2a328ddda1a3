//! A disk that fails like real ones: what is not synced may be lost, torn or reordered; a failed
//! sync marks pages clean that never reached the platter; space runs out; power goes at any
//! operation.
//!
//! The page cache and the platter are kept apart for every file, and names as they are now and as
//! they are durable. A kill leaves the page cache; a loss of power leaves the platter and whatever
//! of the rest chance wrote back in time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ark_os_store::{File, Files};

use crate::rng::Rng;

mod file;
mod loss;

use file::{Inode, OpenFile};

/// Bytes that reach the platter whole or not at all, if not torn on purpose.
pub(crate) const SECTOR: usize = 512;

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The power goes after so many more operations that change something.
    pub crash_after: Option<u64>,
    /// Syncs of a thousand that fail.
    pub failed_syncs: u64,
    /// Other changes of a thousand that fail half-way.
    pub failed_writes: u64,
    /// No space is left.
    pub full: bool,
    /// A planted bug: syncs of files that do nothing and report success.
    pub lying_syncs: bool,
    /// A planted bug: syncs of directories that do nothing and report success.
    pub lying_dir_syncs: bool,
}

/// What operations were asked for and how they failed, for the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Operations that change something.
    pub changes: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Other changes that failed.
    pub failed_writes: u64,
    /// Losses of power.
    pub power_losses: u64,
}

/// A tree of files on the simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimFiles {
    disk: Arc<Mutex<Disk>>,
}

/// A change of a directory that is not durable yet.
#[derive(Debug)]
enum NameChange {
    Set { path: String, inode: usize },
    Gone { path: String },
    Dir { path: String },
}

impl NameChange {
    fn path(&self) -> &str {
        match self {
            NameChange::Set { path, .. } | NameChange::Gone { path } | NameChange::Dir { path } => {
                path
            }
        }
    }
}

#[derive(Debug)]
struct Disk {
    rng: Rng,
    faults: Faults,
    counts: DiskCounts,
    /// The power is gone: nothing works until the machine starts again.
    is_dead: bool,
    /// Raised by every start: handles of a process that died are void.
    generation: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
    durable_names: BTreeMap<String, usize>,
    durable_dirs: BTreeSet<String>,
    pending: Vec<NameChange>,
}

/// Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dead() -> io::Error {
    io::Error::other("the power is gone")
}

fn broken() -> io::Error {
    io::Error::other("the device failed")
}

impl Disk {
    /// Before every change: whether the power holds and the device works.
    fn begin_change(&mut self) -> io::Result<()> {
        self.begin()?;
        if self.rng.per_mille(self.faults.failed_writes) {
            self.counts.failed_writes += 1;
            return Err(broken());
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.is_dead {
            return Err(dead());
        }
        self.counts.changes += 1;
        match &mut self.faults.crash_after {
            Some(0) => {
                self.is_dead = true;
                return Err(dead());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn check_parent(&self, path: &str) -> io::Result<()> {
        let dir = parent(path);
        if dir.is_empty() || self.dirs.contains(dir) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn inode(&mut self, inode: usize, generation: u64) -> io::Result<&mut Inode> {
        if self.is_dead || generation != self.generation {
            return Err(dead());
        }
        self.inodes.get_mut(inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The directory part of a path; the root is the empty path.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl SimFiles {
    /// An empty disk.
    pub fn new(rng: Rng) -> Self {
        let disk = Disk {
            rng,
            faults: Faults::default(),
            counts: DiskCounts::default(),
            is_dead: false,
            generation: 0,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            dirs: BTreeSet::new(),
            durable_names: BTreeMap::new(),
            durable_dirs: BTreeSet::new(),
            pending: Vec::new(),
        };
        SimFiles { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut lock(&self.disk).faults);
    }

    /// Whether the power went.
    pub fn is_dead(&self) -> bool {
        lock(&self.disk).is_dead
    }

    /// What happened so far.
    pub fn counts(&self) -> DiskCounts {
        lock(&self.disk).counts
    }

    fn open_file(&self, inode: usize, generation: u64) -> Arc<dyn File> {
        Arc::new(OpenFile { disk: Arc::clone(&self.disk), inode, generation })
    }
}

impl Files for SimFiles {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let disk = lock(&self.disk);
        if disk.is_dead {
            return Err(dead());
        }
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.open_file(inode, disk.generation))
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>> {
        let mut disk = lock(&self.disk);
        disk.begin_change()?;
        disk.check_parent(path)?;
        if disk.names.contains_key(path) || disk.dirs.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if disk.faults.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::new(usize::try_from(len).map_err(io::Error::other)?));
        disk.names.insert(path.to_owned(), inode);
        disk.pending.push(NameChange::Set { path: path.to_owned(), inode });
        Ok(self.open_file(inode, disk.generation))
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.begin_change()?;
        disk.check_parent(path)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if disk.dirs.insert(path.to_owned()) {
            disk.pending.push(NameChange::Dir { path: path.to_owned() });
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let disk = lock(&self.disk);
        if disk.is_dead {
            return Err(dead());
        }
        if !dir.is_empty() && !disk.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = disk.names.keys().chain(disk.dirs.iter());
        let mut names: Vec<String> = paths
            .filter(|path| parent(path) == dir)
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.begin_change()?;
        disk.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        disk.pending.push(NameChange::Gone { path: path.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.begin_change()?;
        disk.check_parent(to)?;
        let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), inode);
        // The new name takes the place of the old one, durable or not: a rename is never half done.
        disk.pending
            .retain(|it| !matches!(it, NameChange::Set { inode: other, .. } if *other == inode));
        disk.pending.push(NameChange::Set { path: to.to_owned(), inode });
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.begin()?;
        if disk.faults.lying_dir_syncs {
            return Ok(());
        }
        let odds = disk.faults.failed_syncs;
        if disk.rng.per_mille(odds) {
            disk.counts.failed_syncs += 1;
            return Err(broken());
        }
        let pending = std::mem::take(&mut disk.pending);
        for change in pending {
            if parent(change.path()) == dir {
                disk.make_durable(&change);
            } else {
                disk.pending.push(change);
            }
        }
        Ok(())
    }
}
