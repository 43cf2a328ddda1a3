//! Turning a job into what the launcher is told.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use minicbor::bytes::ByteVec;
use rustix::thread::{CpuSet, sched_getaffinity};

use super::Inner;
use super::cgroups::Group;
use super::probe::LANDLOCK;
use crate::error::SandboxError;
use crate::job::{Access, Job};
use crate::plan::{Bind, Bounds, Order, Plan};

/// Where programs are looked up if the job's environment does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

pub(super) fn of_job(job: &Job, inner: &Inner, group: &Group) -> Result<Order, SandboxError> {
    let profile = &job.profile;
    let counts_memory = inner.cgroups.counts_memory();
    let processors = if inner.cgroups.divides_cpu() {
        Vec::new()
    } else {
        processors(profile.cpu_milli, inner.next_turn())
    };
    let filters = inner.filters.chosen(profile.seccomp, counts_memory);
    let path = job.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let plan = Plan {
        argv: job.argv.iter().map(|word| bytes(word)).collect(),
        env: job.env.iter().map(variable).collect(),
        path: bytes(path.unwrap_or(OsStr::new(PATH))),
        workdir: bytes(job.workdir.as_os_str()),
        stdin_bytes: u64::try_from(job.stdin.len()).unwrap_or(u64::MAX),
        mounts: job.mounts.iter().map(bind).collect(),
        join: group.joins().map(|path| bytes(path.as_os_str())).collect(),
        bounds: Bounds {
            memory_bytes: (!counts_memory).then_some(profile.memory_bytes),
            processes: profile.processes.into(),
            cpu_seconds: cpu_seconds(profile.cpu_time, inner.cgroups.counts_cpu()),
            file_bytes: profile.file_bytes,
            open_files: profile.open_files.into(),
            tmp_bytes: profile.tmp_bytes,
            tmp_inodes: profile.tmp_inodes,
        },
        processors,
        filters: filters.into_iter().map(|filter| filter.to_vec().into()).collect(),
        landlock: inner.probe.has(LANDLOCK),
    };
    Ok(Order::Run(Box::new(plan)))
}

fn bind(mount: &crate::job::Mount) -> Bind {
    Bind {
        source: bytes(mount.source().as_os_str()),
        target: bytes(mount.target.as_os_str()),
        write: mount.access == Access::Write,
        device: mount.pin().device,
        inode: mount.pin().inode,
    }
}

fn bytes(word: &OsStr) -> ByteVec {
    word.as_bytes().to_vec().into()
}

fn variable((name, value): &(OsString, OsString)) -> ByteVec {
    [name.as_bytes(), b"=", value.as_bytes()].concat().into()
}

/// What one process may use. The kernel counts whole seconds, and by looking at every tick who runs,
/// which may be off by a quarter; where a group counts exactly, this is only the second net.
fn cpu_seconds(time: Duration, is_counted: bool) -> u64 {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    if is_counted { seconds.saturating_mul(2) } else { seconds }
}

/// The processors that a job with this share stays on; another set at each turn.
pub(super) fn processors(cpu_milli: u32, turn: u32) -> Vec<u32> {
    let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let all: Vec<u32> = (0..CpuSet::MAX_CPU)
        .filter(|number| allowed.is_set(*number))
        .filter_map(|number| u32::try_from(number).ok())
        .collect();
    let count = usize::try_from(cpu_milli.div_ceil(1000)).unwrap_or(usize::MAX).min(all.len());
    let start = usize::try_from(turn).unwrap_or(0).checked_rem(all.len()).unwrap_or(0);
    all.iter().cycle().skip(start).take(count).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_to_whole_processors_and_turns_go_round() {
        let all = processors(u32::MAX, 0);
        for turn in 0..8 {
            let one = processors(500, turn);
            assert_eq!(one.len(), 1);
            assert_eq!(one.first(), all.get(turn as usize % all.len()));
        }
        assert_eq!(processors(1001, 0).len(), 2.min(all.len()));
    }

    #[test]
    fn a_part_of_a_second_is_a_second_to_the_kernel() {
        assert_eq!(cpu_seconds(Duration::from_millis(1), false), 1);
        assert_eq!(cpu_seconds(Duration::from_secs(2), false), 2);
        assert_eq!(cpu_seconds(Duration::from_secs(2), true), 4);
    }
}
