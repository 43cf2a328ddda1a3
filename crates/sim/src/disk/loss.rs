//! What is left after a kill and after a loss of power.

use super::file::{Inode, sectors};
use super::{Disk, NameChange, SimFiles, lock};
use crate::rng::Rng;

/// What the device wrote back before the power went.
#[derive(Clone, Copy)]
enum WrittenBack {
    Nothing,
    /// Up to some byte of the writes in their order.
    Prefix,
    /// Any sectors in any order.
    Sectors,
    Everything,
}

impl SimFiles {
    /// The process died: open files are void, the page cache stays, except that the kernel may
    /// have dropped clean pages and read the platter again.
    pub fn kill(&self) {
        let mut guard = lock(&self.disk);
        let disk = &mut *guard;
        let drops = disk.rng.per_mille(500);
        for inode in disk.inodes.iter_mut().filter(|inode| inode.is_tainted && drops) {
            inode.drop_clean_pages();
        }
        disk.start_again();
    }

    /// The power went: the platter is left, and what was written back in time.
    pub fn lose_power(&self) {
        let mut guard = lock(&self.disk);
        let disk = &mut *guard;
        disk.counts.power_losses += 1;
        let all = [
            WrittenBack::Nothing,
            WrittenBack::Prefix,
            WrittenBack::Sectors,
            WrittenBack::Everything,
        ];
        let how = disk.rng.pick(&all).copied().unwrap_or(WrittenBack::Nothing);
        for inode in &mut disk.inodes {
            inode.lose(how, &mut disk.rng);
        }
        for change in std::mem::take(&mut disk.pending) {
            let survives = match how {
                WrittenBack::Nothing => false,
                WrittenBack::Everything => true,
                WrittenBack::Prefix | WrittenBack::Sectors => disk.rng.per_mille(500),
            };
            if survives {
                disk.make_durable(&change);
            }
        }
        disk.names = disk.durable_names.clone();
        disk.dirs = disk.durable_dirs.clone();
        disk.start_again();
    }
}

impl Disk {
    fn start_again(&mut self) {
        self.generation += 1;
        self.is_dead = false;
        self.faults.crash_after = None;
    }

    pub(super) fn make_durable(&mut self, change: &NameChange) {
        match change {
            NameChange::Set { path, inode } => {
                // A file has one name: wherever it was before, it is not there any more.
                self.durable_names.retain(|_, other| other != inode);
                self.durable_names.insert(path.clone(), *inode);
            }
            NameChange::Gone { path } => {
                self.durable_names.remove(path);
            }
            NameChange::Dir { path } => {
                self.durable_dirs.insert(path.clone());
            }
        }
    }
}

impl Inode {
    fn lose(&mut self, how: WrittenBack, rng: &mut Rng) {
        let dirty = std::mem::take(&mut self.dirty);
        let total: usize = dirty.iter().map(ExactSizeIterator::len).sum();
        let mut left = match how {
            WrittenBack::Nothing => 0,
            WrittenBack::Prefix => rng.below(total as u64 + 1) as usize,
            WrittenBack::Sectors | WrittenBack::Everything => total,
        };
        for range in dirty {
            let end = range.end.min(range.start.saturating_add(left));
            left = left.saturating_sub(range.len());
            for sector in sectors(range.start..end) {
                if !matches!(how, WrittenBack::Sectors) || rng.per_mille(500) {
                    self.write_back(sector);
                }
            }
        }
        let keeps_length = matches!(how, WrittenBack::Everything)
            || !matches!(how, WrittenBack::Nothing) && rng.per_mille(500);
        if keeps_length {
            self.platter.resize(self.cache.len(), 0);
        }
        self.cache.clone_from(&self.platter);
        self.is_tainted = false;
    }

    /// Pages that count as clean are read from the platter again.
    fn drop_clean_pages(&mut self) {
        let mut fresh = self.platter.clone();
        fresh.resize(self.cache.len(), 0);
        for range in &self.dirty {
            let range = range.start..range.end.min(self.cache.len());
            if let (Some(from), Some(to)) = (self.cache.get(range.clone()), fresh.get_mut(range)) {
                to.copy_from_slice(from);
            }
        }
        self.cache = fresh;
    }
}

#[cfg(test)]
mod tests {
    use ark_os_store::{File, Files};

    use super::*;

    fn read(file: &dyn File) -> Vec<u8> {
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn synced_bytes_and_names_survive_a_loss_of_power() {
        for seed in 0..50 {
            let files = SimFiles::new(Rng::new(seed));
            let file = files.create("a", 4).unwrap();
            file.write_at(b"1234", 0).unwrap();
            file.sync().unwrap();
            files.sync_dir("").unwrap();
            file.write_at(b"5678", 4).unwrap();
            files.lose_power();
            assert!(file.write_at(b"x", 0).is_err(), "a handle of before is void");
            let bytes = read(&*files.open("a").unwrap());
            assert_eq!(&bytes[..4], b"1234");
        }
    }

    #[test]
    fn unsynced_names_and_bytes_are_lost_for_some_seed_and_kept_for_another() {
        let survives = |seed| {
            let files = SimFiles::new(Rng::new(seed));
            files.create("a", 0).unwrap().write_at(b"12", 0).unwrap();
            files.lose_power();
            files.open("a").is_ok()
        };
        assert!((0..50).any(survives) && !(0..50).all(survives));
    }

    #[test]
    fn failed_sync_shows_bytes_that_a_loss_of_power_takes() {
        let mut lost = 0;
        for seed in 0..50 {
            let files = SimFiles::new(Rng::new(seed));
            let file = files.create("a", 8).unwrap();
            file.sync().unwrap();
            files.sync_dir("").unwrap();
            file.write_at(b"new", 0).unwrap();
            files.set_faults(|faults| faults.failed_syncs = 1_000);
            assert!(file.sync().is_err());
            files.set_faults(|faults| faults.failed_syncs = 0);
            assert_eq!(&read(&*file)[..3], b"new", "the page cache still has it");
            file.sync().unwrap();
            files.lose_power();
            lost += usize::from(&read(&*files.open("a").unwrap())[..3] != b"new");
        }
        assert!(lost > 0, "a later sync does not write what counts as clean");
    }

    #[test]
    fn power_goes_at_the_armed_operation_and_a_full_disk_says_so() {
        let files = SimFiles::new(Rng::new(1));
        let file = files.create("a", 0).unwrap();
        files.set_faults(|faults| faults.full = true);
        let error = file.write_at(b"1", 0).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        files.set_faults(|faults| {
            faults.full = false;
            faults.crash_after = Some(1);
        });
        file.write_at(b"1", 0).unwrap();
        assert!(file.sync().is_err() && files.is_dead());
        files.kill();
        assert!(files.open("a").is_ok(), "a kill loses no names");
    }
}
