//! Files with a page cache, a disk, and one scripted fault: a crash or an error at the n-th changing operation.
//!
//! What is not synced when the power goes is there or not, sector by sector. A failed sync puts a part of what
//! was written on the disk and then believes that all is clean, as Linux does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ark_os_store::{File, Files};

use super::support::Rng;

const SECTOR: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The power goes in the middle of this operation.
    Crash(u64),
    /// This operation fails, and has been done in part.
    Error(u64),
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Put(String, usize),
    Move(String, String),
    Drop(String),
    Dir(String),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Put(path, inode) => drop(self.files.insert(path.clone(), *inode)),
            NameChange::Move(from, to) => {
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                }
            }
            NameChange::Drop(path) => drop(self.files.remove(path)),
            NameChange::Dir(path) => drop(self.dirs.insert(path.clone())),
        }
    }
}

#[derive(Debug)]
struct Machine {
    inodes: Vec<Inode>,
    cache: Names,
    disk: Names,
    pending: Vec<NameChange>,
    operations: u64,
    fault: Fault,
    dead: bool,
    seed: u64,
}

#[derive(Debug, Clone)]
pub(super) struct CrashFiles(Arc<Mutex<Machine>>);

impl CrashFiles {
    pub(super) fn new(fault: Fault, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Machine {
            inodes: Vec::new(),
            cache: Names::default(),
            disk: Names::default(),
            pending: Vec::new(),
            operations: 0,
            fault,
            dead: false,
            seed,
        })))
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// Another process on the same running machine: the page cache is as it was.
    pub(super) fn restart_process(&self, fault: Fault) -> Self {
        let machine = self.0.lock().unwrap();
        assert!(!machine.dead);
        Self(Arc::new(Mutex::new(Machine {
            inodes: machine.inodes.clone(),
            cache: machine.cache.clone(),
            disk: machine.disk.clone(),
            pending: machine.pending.clone(),
            operations: 0,
            fault,
            dead: false,
            seed: machine.seed.wrapping_add(77),
        })))
    }

    /// The machine after the power came back: only what the disk has.
    pub(super) fn restart_machine(&self, fault: Fault) -> Self {
        let machine = self.0.lock().unwrap();
        let mut rng = Rng::new(machine.seed.wrapping_add(1));
        let mut names = machine.disk.clone();
        // Names are journalled: a first part of the changes is there.
        let kept = rng.below(machine.pending.len() + 1);
        machine.pending.iter().take(kept).for_each(|change| names.apply(change));
        let inodes = machine
            .inodes
            .iter()
            .map(|inode| {
                let mut inode = inode.clone();
                inode.settle(&mut rng);
                inode.cache = inode.disk.clone();
                inode
            })
            .collect();
        Self(Arc::new(Mutex::new(Machine {
            inodes,
            cache: names.clone(),
            disk: names,
            pending: Vec::new(),
            operations: 0,
            fault,
            dead: false,
            seed: machine.seed.wrapping_add(2),
        })))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
        change(&mut self.0.lock().unwrap())
    }
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Length(length) => bytes.resize(*length, 0),
            Change::Write(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.cache, &change);
        self.pending.push(change);
    }

    /// Puts a random part of the pending changes on the disk and forgets the others.
    fn settle(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Length(_) if rng.coin() => {}
                Change::Length(_) => Self::apply(&mut self.disk, &change),
                Change::Write(at, data) => {
                    let mut done = 0;
                    while done < data.len() {
                        let end = ((at + done) / SECTOR + 1) * SECTOR - at;
                        let part = done..end.min(data.len());
                        if rng.coin() {
                            Self::apply(
                                &mut self.disk,
                                &Change::Write(at + part.start, data[part.clone()].to_vec()),
                            );
                        }
                        done = part.end;
                    }
                }
            }
        }
    }
}

impl Machine {
    /// Counts an operation: `Ok(true)` = do it, `Ok(false)` = do it in part and then fail.
    fn operate(&mut self) -> io::Result<bool> {
        if self.dead {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        match self.fault {
            Fault::Crash(at) if at == self.operations => {
                self.dead = true;
                Ok(false)
            }
            Fault::Error(at) => Ok(at != self.operations),
            _ => Ok(true),
        }
    }

    fn failure(&self) -> io::Error {
        if self.operations.is_multiple_of(2) {
            io::ErrorKind::StorageFull.into()
        } else {
            io::Error::other("device error")
        }
    }

    fn rename(&mut self, change: NameChange) -> io::Result<()> {
        let whole = self.operate()?;
        if whole || self.seed.is_multiple_of(2) {
            self.cache.apply(&change);
            self.pending.push(change);
        }
        if whole { Ok(()) } else { Err(self.failure()) }
    }
}

impl Files for CrashFiles {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.with(|machine| {
            let inode = *machine.cache.files.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(Arc::new(CrashFile { files: self.clone(), inode }) as Arc<dyn File>)
        })
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.with(|machine| {
            if machine.cache.files.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let mut inode = Inode::default();
            inode.change(Change::Length(len as usize));
            machine.inodes.push(inode);
            let inode = machine.inodes.len() - 1;
            machine.rename(NameChange::Put(path.to_owned(), inode))?;
            Ok(Arc::new(CrashFile { files: self.clone(), inode }) as Arc<dyn File>)
        })
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.with(|machine| {
            if machine.cache.dirs.contains(path) {
                return Ok(());
            }
            machine.rename(NameChange::Dir(path.to_owned()))
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.with(|machine| {
            if !dir.is_empty() && !machine.cache.dirs.contains(dir) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
            let names = machine.cache.files.keys().filter_map(|path| path.strip_prefix(&prefix));
            Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.with(|machine| {
            if !machine.cache.files.contains_key(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            machine.rename(NameChange::Drop(path.to_owned()))
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|machine| machine.rename(NameChange::Move(from.to_owned(), to.to_owned())))
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        self.with(|machine| {
            if !machine.operate()? {
                return Err(machine.failure());
            }
            for change in std::mem::take(&mut machine.pending) {
                machine.disk.apply(&change);
            }
            Ok(())
        })
    }
}

#[derive(Debug)]
struct CrashFile {
    files: CrashFiles,
    inode: usize,
}

impl CrashFile {
    fn change(&self, change: Change) -> io::Result<()> {
        self.files.with(|machine| {
            let whole = machine.operate()?;
            let change = match change {
                Change::Write(at, data) if !whole => {
                    let mut rng = Rng::new(machine.seed ^ machine.operations);
                    let part = rng.below(data.len() + 1);
                    Change::Write(at, data[..part].to_vec())
                }
                other => other,
            };
            machine.inodes[self.inode].change(change);
            if whole { Ok(()) } else { Err(machine.failure()) }
        })
    }
}

impl File for CrashFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write(offset as usize, bytes.to_vec()))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.files.with(|machine| {
            let cache = &machine.inodes[self.inode].cache;
            let available = cache.get(offset as usize..).unwrap_or_default();
            let count = available.len().min(bytes.len());
            bytes[..count].copy_from_slice(&available[..count]);
            Ok(count)
        })
    }

    fn sync(&self) -> io::Result<Duration> {
        self.files.with(|machine| {
            let whole = machine.operate()?;
            let mut rng = Rng::new(machine.seed ^ machine.operations);
            let inode = &mut machine.inodes[self.inode];
            if !whole {
                // A sync that the power cut is settled when the power is back; one that failed settles now.
                if !machine.dead {
                    inode.settle(&mut rng);
                }
                return Err(machine.failure());
            }
            for change in std::mem::take(&mut inode.pending) {
                Inode::apply(&mut inode.disk, &change);
            }
            Ok(Duration::from_micros(200))
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.files.with(|machine| Ok(machine.inodes[self.inode].cache.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(len as usize))
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        if self.len()? >= len {
            return Ok(());
        }
        self.change(Change::Length(len as usize))
    }
}
