//! The store through its public interface: crashes, failed syncs, tampering, formats, and files on each backend.

#[cfg(test)]
mod integration {
    mod archive;
    mod archive_elsewhere;
    mod backup;
    mod crash;
    mod crash_files;
    mod files;
    mod fixture;
    mod journal;
    mod merkle;
    mod mutations;
    mod snapshots;
    mod support;
    mod torn;
}
