//! One file: its page cache, its platter, and what of the first is not on the second.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ark_os_store::File;

use super::{Disk, SECTOR, broken, lock};
use crate::rng::Rng;

/// How long a sync takes, as far as the store is told.
const SYNC_TAKES: Duration = Duration::from_micros(200);

/// The bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// As every process sees them.
    pub(super) cache: Vec<u8>,
    /// As they are after a loss of power.
    pub(super) platter: Vec<u8>,
    /// Written and not synced, in order.
    pub(super) dirty: Vec<Range<usize>>,
    /// Whether a failed sync marked bytes clean that are not on the platter.
    pub(super) is_tainted: bool,
}

impl Inode {
    pub(super) fn new(len: usize) -> Self {
        Inode { cache: vec![0; len], ..Inode::default() }
    }

    fn write(&mut self, bytes: &[u8], start: usize) {
        let end = start.saturating_add(bytes.len());
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        if let Some(target) = self.cache.get_mut(start..end) {
            target.copy_from_slice(bytes);
        }
        self.dirty.push(start..end);
    }

    /// Brings bytes of the cache to the platter.
    pub(super) fn write_back(&mut self, range: Range<usize>) {
        let range = range.start..range.end.min(self.cache.len());
        if self.platter.len() < range.end {
            self.platter.resize(range.end, 0);
        }
        if let (Some(from), Some(to)) = (self.cache.get(range.clone()), self.platter.get_mut(range))
        {
            to.copy_from_slice(from);
        }
    }

    fn sync(&mut self) {
        for range in std::mem::take(&mut self.dirty) {
            self.write_back(range);
        }
        self.platter.resize(self.cache.len(), 0);
    }

    /// As Linux does it: some pages made it, and all of them count as clean from now on.
    fn fail_sync(&mut self, rng: &mut Rng) {
        for range in std::mem::take(&mut self.dirty) {
            for sector in sectors(range) {
                if rng.per_mille(500) {
                    self.write_back(sector);
                }
            }
        }
        self.is_tainted = true;
    }
}

/// A range cut at the borders of sectors.
pub(super) fn sectors(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let end = (at / SECTOR + 1).saturating_mul(SECTOR).min(range.end);
        let sector = at..end;
        at = end;
        Some(sector)
    })
}

/// A file as a process holds it.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) inode: usize,
    pub(super) generation: u64,
}

impl OpenFile {
    fn change<T>(&self, change: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        lock(&self.disk).inode(self.inode, self.generation).map(change)
    }
}

impl File for OpenFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut disk = lock(&self.disk);
        let was_dead = disk.is_dead;
        let begun = disk.begin_change();
        let done = disk.rng.below(bytes.len() as u64) as usize;
        let full = disk.faults.full;
        if was_dead || disk.generation != self.generation {
            return Err(super::dead());
        }
        let Some(inode) = disk.inodes.get_mut(self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = begun {
            // Any part may have been written, also when the power goes in the middle.
            inode.write(bytes.get(..done).unwrap_or_default(), start);
            return Err(error);
        }
        if full && start + bytes.len() > inode.cache.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.write(bytes, start);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(|inode| {
            let available = inode.cache.get(start..).unwrap_or_default();
            let count = available.len().min(bytes.len());
            if let (Some(to), Some(from)) = (bytes.get_mut(..count), available.get(..count)) {
                to.copy_from_slice(from);
            }
            count
        })
    }

    fn sync(&self) -> io::Result<Duration> {
        let mut guard = lock(&self.disk);
        let disk = &mut *guard;
        disk.begin()?;
        if disk.generation != self.generation {
            return Err(super::dead());
        }
        if disk.faults.lying_syncs {
            return Ok(SYNC_TAKES);
        }
        let Some(inode) = disk.inodes.get_mut(self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if disk.rng.per_mille(disk.faults.failed_syncs) {
            disk.counts.failed_syncs += 1;
            inode.fail_sync(&mut disk.rng);
            return Err(broken());
        }
        inode.sync();
        Ok(SYNC_TAKES)
    }

    fn len(&self) -> io::Result<u64> {
        self.change(|inode| inode.cache.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        lock(&self.disk).begin_change()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.change(|inode| inode.cache.resize(len, 0))
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut disk = lock(&self.disk);
        disk.begin_change()?;
        let full = disk.faults.full;
        let inode = disk.inode(self.inode, self.generation)?;
        if inode.cache.len() >= len {
            return Ok(());
        }
        if full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.cache.resize(len, 0);
        Ok(())
    }
}
