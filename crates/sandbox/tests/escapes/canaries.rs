//! What an escape would reach or harm: put up outside the jail, looked at afterwards.

#![allow(unsafe_code)]

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ark_os_sandbox::open_beneath;

static NUMBER: AtomicU32 = AtomicU32::new(0);
const SHOWN: &str = "shown to the job";

pub(super) struct Canaries {
    dir: tempfile::TempDir,
    secret: String,
    port: u16,
    tcp: TcpListener,
    udp: UdpSocket,
    unix: UnixListener,
    abstract_name: String,
    by_name: UnixListener,
    datagram: UnixDatagram,
    victim: Child,
    memory: SharedMemory,
    host: String,
    mounts: String,
}

/// A System V segment, gone with its owner.
struct SharedMemory {
    key: i32,
    id: i32,
}

impl Canaries {
    pub(super) fn put_up() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let secret = format!("canary-{}-{number}", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("canary"), &secret).unwrap();
        for name in ["out", "shown"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("shown/shown.txt"), SHOWN).unwrap();
        let (tcp, udp, port) = one_port();
        let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
        let datagram = UnixDatagram::bind(dir.path().join("shown/datagram")).unwrap();
        datagram.set_nonblocking(true).unwrap();
        let name = SocketAddr::from_abstract_name(&secret).unwrap();
        let by_name = UnixListener::bind_addr(&name).unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        unix.set_nonblocking(true).unwrap();
        by_name.set_nonblocking(true).unwrap();
        // It waits for its input to end, which is when the canaries are taken down.
        let victim =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Canaries {
            memory: SharedMemory::make(number),
            host: host_name(),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            abstract_name: secret.clone(),
            dir,
            secret,
            port,
            tcp,
            udp,
            unix,
            by_name,
            datagram,
            victim,
        }
    }

    pub(super) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(super) fn shown(&self) -> PathBuf {
        self.dir.path().join("shown")
    }

    /// What the attacker is told, with the directories as it sees them.
    pub(super) fn environment(&self, out: &Path, shown: &Path) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        [
            ("CANARY_FILE", path(&self.dir.path().join("canary"))),
            ("CANARY_SECRET", self.secret.clone()),
            ("CANARY_PORT", self.port.to_string()),
            ("CANARY_SOCKET", path(&self.dir.path().join("socket"))),
            ("CANARY_ABSTRACT", self.abstract_name.clone()),
            ("CANARY_PID", self.victim.id().to_string()),
            ("CANARY_SHM", self.memory.key.to_string()),
            ("CANARY_OUT", path(out)),
            ("CANARY_SHOWN", path(shown)),
            ("PATH", "/usr/bin:/bin".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    pub(super) fn are_unharmed(mut self) -> Result<(), String> {
        let secret = fs::read_to_string(self.dir.path().join("canary")).unwrap_or_default();
        let is = |fact: bool, what: &str| if fact { Ok(()) } else { Err(what.to_owned()) };
        is(secret == self.secret, "the canary file was changed")?;
        is(
            fs::metadata(self.dir.path().join("canary")).unwrap().nlink() == 1,
            "the canary file was linked",
        )?;
        is(entries(&self.shown()) == ["datagram", "shown.txt"], "what was shown has other files")?;
        is(
            fs::read_to_string(self.shown().join("shown.txt")).unwrap() == SHOWN,
            "what was shown was changed",
        )?;
        is(self.nobody_called(), "something connected to a canary")?;
        is(self.victim.try_wait().unwrap().is_none(), "a process of the host was killed")?;
        is(host_name() == self.host, "the host's name was changed")?;
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        is(mounts == self.mounts, "the host's mounts were changed")?;
        for path in ["/escaped", "/usr/escaped", "/etc/escaped"] {
            is(!Path::new(path).exists(), "a file of the host was made")?;
        }
        self.output_leads_nowhere()?;
        is(!self.left_somebody(), "a process of the job lives on")
    }

    fn nobody_called(&self) -> bool {
        let waits = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        let mut datagram = [0_u8; 256];
        self.tcp.accept().is_err_and(waits)
            && self.udp.recv(&mut datagram).is_err_and(waits)
            && self.unix.accept().is_err_and(waits)
            && self.by_name.accept().is_err_and(waits)
            && self.datagram.recv(&mut datagram).is_err_and(waits)
    }

    /// Whatever the job planted there, collecting it reads nothing of the host, and no file there
    /// makes anybody root.
    fn output_leads_nowhere(&self) -> Result<(), String> {
        for name in ["result.json", "deep/canary", "deep/passwd"] {
            let Ok(mut file) = open_beneath(&self.out(), Path::new(name)) else { continue };
            let mut content = String::new();
            file.read_to_string(&mut content).map_err(|error| error.to_string())?;
            return Err(format!("`{name}` was collected: {content}"));
        }
        for entry in fs::read_dir(self.out()).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            if meta.mode() & 0o6000 != 0 && (meta.uid() == 0 || meta.gid() == 0) {
                return Err(format!("{:?} is set-uid root", entry.file_name()));
            }
        }
        Ok(())
    }

    /// Whether any process outside carries the job's environment.
    fn left_somebody(&self) -> bool {
        let marked = format!("CANARY_SECRET={}", self.secret);
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes.into_iter().any(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&marked)
        })
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

impl SharedMemory {
    fn make(number: u32) -> Self {
        let key = i32::try_from(std::process::id()).unwrap() * 1_000
            + i32::try_from(number % 1_000).unwrap();
        // SAFETY: `shmget` touches no memory of ours.
        let id = unsafe { libc::shmget(key, 4_096, libc::IPC_CREAT | 0o600) };
        assert!(id >= 0, "no shared memory: {}", std::io::Error::last_os_error());
        SharedMemory { key, id }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: removing a segment that is not attached touches no memory of ours.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

/// The same port for both: another process may have the one that is free for the other.
fn one_port() -> (TcpListener, UdpSocket, u16) {
    let mut found = (0..100).filter_map(|_| {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = tcp.local_addr().ok()?.port();
        Some((tcp, UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?, port))
    });
    found.next().unwrap()
}

fn entries(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap()
}
