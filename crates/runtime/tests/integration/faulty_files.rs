//! Files in memory whose syncs fail or whose space ends, when told to, and which remember what a
//! crash would leave in the worst case: what was synced last.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use ark_os_store::{File, Files, MemFiles};

/// What goes wrong from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Syncs of files fail; bytes are written all the same.
    Sync = 1,
    /// There is no space for another byte.
    Full = 2,
    /// The process has no handle left for another segment.
    Handles = 3,
}

/// What a system says that has no handle left.
const NO_HANDLE: i32 = 24;

#[derive(Clone, Debug)]
pub(crate) struct FaultyFiles {
    files: MemFiles,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fault: AtomicU8,
    durable: Mutex<MemFiles>,
    blob_writers: Mutex<Vec<ThreadId>>,
    refused: AtomicUsize,
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    of: FaultyFiles,
}

impl FaultyFiles {
    pub(crate) fn new() -> Self {
        let files = MemFiles::default();
        FaultyFiles::over(files)
    }

    fn over(files: MemFiles) -> Self {
        let durable = Mutex::new(files.copy());
        let fault = AtomicU8::new(0);
        let (blob_writers, refused) = (Mutex::default(), AtomicUsize::new(0));
        FaultyFiles { files, shared: Arc::new(Shared { fault, durable, blob_writers, refused }) }
    }

    /// The threads that made blobs, in order.
    pub(crate) fn blob_writers(&self) -> Vec<ThreadId> {
        self.shared.blob_writers.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.shared.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.shared.fault.store(0, Ordering::SeqCst);
    }

    /// How often there was no handle.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// The files after a crash: what was not synced is lost, and they are sound again.
    pub(crate) fn after_crash(&self) -> Self {
        let files = self.shared.durable.lock().unwrap().copy();
        FaultyFiles::over(files)
    }

    /// The files as they are: a failed sync lost nothing after all.
    pub(crate) fn mended(&self) -> Self {
        let files = self.files.copy();
        FaultyFiles::over(files)
    }

    fn fails(&self, fault: Fault) -> bool {
        self.shared.fault.load(Ordering::SeqCst) == fault as u8
    }

    fn room(&self) -> io::Result<()> {
        if self.fails(Fault::Full) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn synced(&self) -> io::Result<()> {
        if self.fails(Fault::Sync) {
            return Err(io::Error::other("the device has lost its mind"));
        }
        let mut durable = self.shared.durable.lock().unwrap();
        *durable = self.files.copy();
        Ok(())
    }

    fn wrapped(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultyFile { file, of: self.clone() })
    }
}

impl Files for FaultyFiles {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        if self.fails(Fault::Handles) && path.starts_with("journal/") {
            self.shared.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(NO_HANDLE));
        }
        Ok(self.wrapped(self.files.open(path)?))
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.room()?;
        if path.starts_with("blobs/") {
            self.shared.blob_writers.lock().unwrap().push(std::thread::current().id());
        }
        Ok(self.wrapped(self.files.create(path, len)?))
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.files.make_dir(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.files.sync_dir(dir)?;
        self.synced()
    }
}

impl File for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.of.room()?;
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<Duration> {
        let took = self.file.sync()?;
        self.of.synced()?;
        Ok(took)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.of.room()?;
        self.file.reserve(len)
    }
}
