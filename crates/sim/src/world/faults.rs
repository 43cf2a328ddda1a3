//! What breaks: processes, power, disk space, syncs, the wall clock.

use ark_os_store::Batch;

use super::{Due, World};
use crate::fault_kinds::FaultKind;
use crate::violation::Check;

/// How far the wall clock jumps at most, in milliseconds.
const JUMP_MS_MAX: u64 = 60_000;
/// How long the disk stays full at most, in microseconds.
const FULL_MAX: u64 = 4_000_000;

impl World {
    /// Something breaks, and the next fault has its time.
    pub(super) fn fault(&mut self) -> Check {
        if self.is_calm {
            return Ok(());
        }
        let pause = self.rng.range(1, self.profile.fault_ms * 2_000);
        self.after(pause, Due::Fault);
        let drawn = self.rng.weighted(&[3, 3, 4, 3, 2, 3, 1]);
        let (kind, what) = match drawn {
            0 => (FaultKind::Crash, "the process is killed"),
            1 => (FaultKind::Power, "the power goes"),
            2 => (FaultKind::Power, "the power goes in the middle of a write"),
            3 => (FaultKind::Disk, "syncs fail"),
            4 => (FaultKind::Disk, "writes fail"),
            5 => (FaultKind::Clock, "the wall clock jumps"),
            _ => (FaultKind::Disk, "the disk is full"),
        };
        match drawn {
            _ if !self.may(kind, what) => {}
            0 => {
                if self.faults.has(FaultKind::Power) {
                    self.write_half();
                }
                if self.files.is_dead() {
                    return self.die_of_power();
                }
                if self.node.is_some() {
                    self.killed();
                }
            }
            1 => {
                self.write_half();
                return self.die_if_up();
            }
            2 => {
                let after = self.rng.below(12);
                self.files.set_faults(|faults| faults.crash_after = Some(after));
            }
            3 => {
                let syncs = self.rng.below(300);
                self.files.set_faults(|faults| faults.failed_syncs = syncs);
            }
            4 => {
                let writes = self.rng.below(100);
                self.files.set_faults(|faults| faults.failed_writes = writes);
            }
            5 => self.jump(),
            _ => {
                self.files.set_faults(|faults| faults.full = true);
                let until = self.rng.below(FULL_MAX);
                self.after(until, Due::Space);
            }
        }
        // Most trouble with the disk passes, or nothing else would be seen.
        if self.rng.per_mille(600) {
            self.files.set_faults(|faults| {
                faults.failed_syncs = 0;
                faults.failed_writes = 0;
            });
        }
        Ok(())
    }

    fn die_if_up(&mut self) -> Check {
        if self.node.is_some() { self.die_of_power() } else { Ok(()) }
    }

    /// A death in the middle of a commit: some of its operations are done, none is told of.
    fn write_half(&mut self) {
        let after = self.rng.below(4);
        let Some(node) = &mut self.node else { return };
        let Some(mut batch) = node.committing.take() else { return };
        self.files.set_faults(|faults| faults.crash_after = Some(after));
        if let Ok(committed) = node.journal.append(&mut batch) {
            self.checker.synced(committed.size);
        }
        self.files.set_faults(|faults| faults.crash_after = None);
        drop::<Batch>(batch);
    }

    /// The wall clock jumps forwards or back; the monotonic clock never does.
    fn jump(&mut self) {
        let by = self.rng.below(JUMP_MS_MAX) as i64;
        let back = self.rng.per_mille(600);
        self.wall_off_ms += if back { -by } else { by };
        self.note(|| format!("the wall clock jumps by {by} ms, back: {back}"));
    }

    /// Nothing breaks any more.
    pub(crate) fn calm_down(&mut self) {
        self.is_calm = true;
        self.note(|| "calm".to_owned());
        self.files.set_faults(|faults| {
            faults.crash_after = None;
            faults.failed_syncs = 0;
            faults.failed_writes = 0;
            faults.full = false;
        });
        self.workers_back();
    }
}
