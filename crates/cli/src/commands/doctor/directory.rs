//! The data directory: there, ours, free, private, with space, on a disk that keeps its word.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ark_os_runtime::clock::Clock;
use ark_os_store::journal::Lookup;
use ark_os_store::verify::{Trust, verify_in};
use ark_os_store::{DataLock, DiskFiles, ErrorKind, Files, PublicKey, Segments, Snapshots};

use super::{Check, Health};
use crate::client::{InstanceRecord, TOKEN_FILE};

/// Below it a busy instance fills the disk within the hour.
const SPACE_BYTES_MIN: u64 = 1 << 30;
/// Syncs that are measured; the median of so many is steady.
const SYNCS: usize = 21;
/// Above it every answer that has to be durable is felt by people.
const SYNC_SLOW: Duration = Duration::from_millis(20);
/// A journal up to this size is verified in a few seconds.
const VERIFY_BYTES_MAX: u64 = 1 << 30;

/// Everything about the data directory.
pub(super) fn checks(data_dir: &Path, archive: Option<&Path>, listen: SocketAddr) -> Vec<Check> {
    let name = "data directory";
    let metadata = match std::fs::metadata(data_dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let found = format!("{} is no directory", data_dir.display());
            return vec![Check::new(name, Health::Bad, found)];
        }
        Err(error) => return vec![absent(data_dir, &error), port(listen)],
    };
    let mut checks = vec![Check::new(name, Health::Good, data_dir.display().to_string())];
    checks.push(permissions(&metadata));
    let (held, is_running) = holder(data_dir);
    checks.push(held);
    checks.push(space(data_dir));
    checks.push(sync_latency(data_dir));
    checks.push(token(data_dir));
    checks.push(journal(data_dir, archive));
    checks.extend(archive.and_then(|dir| elsewhere(data_dir, dir)));
    checks.extend(snapshots(data_dir));
    if !is_running {
        checks.push(port(listen));
    }
    checks
}

fn absent(data_dir: &Path, error: &std::io::Error) -> Check {
    let found = format!("{}: {error}", data_dir.display());
    if error.kind() != std::io::ErrorKind::NotFound {
        return Check::new("data directory", Health::Bad, found).hint("choose another: --data-dir");
    }
    let nearest = data_dir.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    match rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK) {
        Ok(()) => {
            let found = format!("{} is not there yet; a start makes it", data_dir.display());
            Check::new("data directory", Health::Good, found)
        }
        Err(_) => Check::new("data directory", Health::Bad, found)
            .hint(format!("`{}` cannot be written; choose another: --data-dir", nearest.display())),
    }
}

fn permissions(metadata: &std::fs::Metadata) -> Check {
    let mode = metadata.permissions().mode() & 0o777;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let found = format!("mode {mode:04o}");
    match (is_ours, mode & 0o077) {
        (false, _) => Check::new("permissions", Health::Bad, format!("{found}, of another user"))
            .hint("run ark-os as the directory's owner"),
        (true, 0) => Check::new("permissions", Health::Good, found),
        (true, _) => {
            Check::new("permissions", Health::Less, format!("{found}: others may look in"))
                .hint("chmod 700 closes it")
        }
    }
}

/// Who has the directory, and whether it serves.
fn holder(data_dir: &Path) -> (Check, bool) {
    let name = "lock";
    match DataLock::acquire(data_dir) {
        Ok(_) => (Check::new(name, Health::Good, "free: no instance runs"), false),
        Err(error) if error.kind() == ErrorKind::Conflict => match InstanceRecord::load(data_dir) {
            Some(record) => {
                let found = format!("process {} serves at {}", record.pid, record.endpoint);
                (Check::new(name, Health::Good, found), true)
            }
            None => (Check::new(name, Health::Less, error.to_string()), true),
        },
        Err(error) => (Check::new(name, Health::Bad, error.to_string()), false),
    }
}

fn space(data_dir: &Path) -> Check {
    let name = "disk space";
    match rustix::fs::statvfs(data_dir) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} MiB free", free >> 20);
            match free >= SPACE_BYTES_MIN {
                true => Check::new(name, Health::Good, found),
                false => Check::new(name, Health::Less, found)
                    .hint("a full disk stops the instance; what was acknowledged is kept"),
            }
        }
        Err(error) => Check::new(name, Health::Less, format!("cannot tell: {error}")),
    }
}

fn sync_latency(data_dir: &Path) -> Check {
    let name = "sync latency";
    match measured(data_dir) {
        Ok(median) => {
            let found = format!("{:.2} ms a sync (median of {SYNCS})", median.as_secs_f64() * 1e3);
            match median <= SYNC_SLOW {
                true => Check::new(name, Health::Good, found),
                false => Check::new(name, Health::Less, found)
                    .hint("every durable answer waits for one; a faster disk helps"),
            }
        }
        Err(error) => Check::new(name, Health::Bad, format!("cannot write and sync: {error}"))
            .hint("check the disk and who owns the directory"),
    }
}

/// The median time of making a small write durable.
fn measured(data_dir: &Path) -> std::io::Result<Duration> {
    let path = data_dir.join(format!("doctor-{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let times = timed_syncs(&mut file);
    std::fs::remove_file(&path)?;
    let mut times = times?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn timed_syncs(file: &mut File) -> std::io::Result<Vec<Duration>> {
    let block = [0x5a; 4_096];
    let clock = Clock::new();
    let one = |_| {
        let before = clock.instant();
        file.write_all(&block)?;
        file.sync_data()?;
        Ok(clock.instant().duration_since(before))
    };
    (0..SYNCS).map(one).collect()
}

fn token(data_dir: &Path) -> Check {
    let name = "token file";
    match std::fs::metadata(data_dir.join(TOKEN_FILE)) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            let found = format!("mode {mode:04o}");
            match mode & 0o077 {
                0 => Check::new(name, Health::Good, found),
                _ => Check::new(name, Health::Bad, format!("{found}: others can read it"))
                    .hint("remove it: the next start makes a new one"),
            }
        }
        Err(_) => Check::new(name, Health::Good, "none yet; the first start makes one"),
    }
}

fn journal(data_dir: &Path, archive: Option<&Path>) -> Check {
    let name = "journal";
    let dir = data_dir.join("journal");
    let Ok(segments) = std::fs::read_dir(&dir) else {
        return Check::new(name, Health::Good, "none yet");
    };
    let sizes = segments.flatten().filter_map(|entry| entry.metadata().ok());
    let bytes: u64 = sizes.map(|metadata| metadata.len()).sum();
    if bytes > VERIFY_BYTES_MAX {
        let found = format!("{} MiB, not verified here", bytes >> 20);
        return Check::new(name, Health::Note, found).hint("`ark-os ledger verify` does");
    }
    let files = match DiskFiles::new(data_dir) {
        Ok(files) => files,
        Err(error) => return Check::new(name, Health::Bad, error.to_string()),
    };
    let elsewhere = match archive.filter(|dir| dir.is_dir()).map(DiskFiles::new).transpose() {
        Ok(elsewhere) => elsewhere,
        Err(error) => return Check::new(name, Health::Bad, error.to_string()),
    };
    let lookup = match &elsewhere {
        None => Lookup::new(&files),
        Some(archive) => Lookup::with_archive(&files, archive),
    };
    match verify_in(lookup, &Trust::default()) {
        Ok(report) => match &report.fault {
            None => {
                let absent: u64 = report.absent.iter().map(|it| it.end - it.start).sum();
                let found = format!("{} records verify", report.records - absent);
                match absent {
                    0 => Check::new(name, Health::Good, found),
                    _ => Check::new(
                        name,
                        Health::Note,
                        format!("{found}, {absent} are archived elsewhere"),
                    )
                    .hint("histories and proofs of those need the archived segments back"),
                }
            }
            Some(fault) => Check::new(name, Health::Bad, format!("does not verify: {fault}"))
                .hint("keep a copy of the directory, then restore from a backup"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Check::new(name, Health::Good, "none yet")
        }
        Err(error) => Check::new(name, Health::Bad, error.to_string()),
    }
}

/// Where archived segments go, if that is not in the data directory.
fn elsewhere(data_dir: &Path, archive: &Path) -> Option<Check> {
    let name = "archive";
    let shown = archive.display();
    let later = "segments stay in `journal/` until then";
    if !archive.is_dir() {
        let check = Check::new(name, Health::Less, format!("{shown} is not there"));
        return Some(check.hint(format!("a start makes it, unless it is to be mounted; {later}")));
    }
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(data_dir).ok()?);
    // Without a key there is no journal, which is told elsewhere.
    let key = PublicKey::load(&*files).ok()?;
    let checked = DiskFiles::new(archive).map_err(|error| (error.to_string(), None));
    let checked = checked.and_then(|archive| {
        let segments = Segments::with_archive(files, Arc::new(archive));
        segments.check_archive(&key).map_err(|error| (error.to_string(), error.hint()))
    });
    Some(match checked {
        Ok(()) => Check::new(name, Health::Good, shown.to_string()),
        Err((error, hint)) => Check::new(name, Health::Less, format!("{shown}: {error}"))
            .hint(format!("{}; {later}", hint.unwrap_or("mend the directory"))),
    })
}

/// What a start begins with.
fn snapshots(data_dir: &Path) -> Option<Check> {
    let name = "snapshots";
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(data_dir).ok()?);
    // Without a key there is no journal, which is told elsewhere.
    let key = PublicKey::load(&*files).ok()?;
    let snapshots = Snapshots::new(files, key);
    let sizes = match snapshots.list() {
        Ok(sizes) => sizes,
        Err(error) => return Some(Check::new(name, Health::Less, error.to_string())),
    };
    let Some(newest) = sizes.first() else {
        return Some(Check::new(name, Health::Note, "none yet: a start reads all records"));
    };
    let found = format!("{}, the newest of {newest} records", sizes.len());
    let damaged: Vec<_> = sizes.iter().filter_map(|size| snapshots.load(*size).err()).collect();
    Some(match damaged.first() {
        None => Check::new(name, Health::Good, found),
        Some(error) => Check::new(name, Health::Less, format!("{found}; {error}"))
            .hint("a start uses another, or all records; the next snapshot replaces it"),
    })
}

fn port(listen: SocketAddr) -> Check {
    let name = "port";
    match TcpListener::bind(listen) {
        Ok(_) => Check::new(name, Health::Good, format!("{listen} is free")),
        Err(error) => Check::new(name, Health::Less, format!("{listen}: {error}"))
            .hint("choose another with --listen; port 0 takes a free one"),
    }
}
