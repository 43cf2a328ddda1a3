//! Ways out by files: what may not be read or written, mounts, links, set-uid.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::system::{Target, at, call, forbidden, refused, text};
use crate::{Try, Way};

pub(crate) const WAYS: &[Way] = &[
    Way { name: "read-shadow", attempt: |_| read(Path::new("/etc/shadow")) },
    Way { name: "read-the-canary", attempt: |target| secret(target, &target.file) },
    Way { name: "read-through-proc-1-root", attempt: |target| through(target, "/proc/1/root") },
    Way {
        name: "read-through-proc-self-root",
        attempt: |target| through(target, "/proc/self/root"),
    },
    Way {
        name: "read-through-proc-1-cwd",
        attempt: |target| through(target, "/proc/1/cwd/../../../../../.."),
    },
    Way { name: "read-by-dots", attempt: dots },
    Way { name: "list-root-home", attempt: |_| list(Path::new("/root")) },
    Way { name: "list-sys", attempt: |_| list(Path::new("/sys/kernel")) },
    Way { name: "read-kernel-memory", attempt: |_| read(Path::new("/proc/kcore")) },
    Way { name: "read-kernel-log", attempt: |_| read(Path::new("/proc/kmsg")) },
    Way { name: "read-block-device", attempt: |_| read(Path::new("/dev/vda")) },
    Way { name: "read-dev-mem", attempt: |_| read(Path::new("/dev/mem")) },
    Way { name: "open-fuse", attempt: |_| write_to(Path::new("/dev/fuse"), b"") },
    Way { name: "make-block-device", attempt: make_device },
    Way { name: "write-root", attempt: |_| write_new(Path::new("/escaped")) },
    Way { name: "write-usr", attempt: |_| write_new(Path::new("/usr/escaped")) },
    Way { name: "write-etc", attempt: |_| write_new(Path::new("/etc/escaped")) },
    Way { name: "write-the-canary", attempt: |target| write_to(&target.file, b"overwritten") },
    Way { name: "write-shown", attempt: |target| write_new(&target.shown.join("escaped")) },
    Way {
        name: "write-sysctl",
        attempt: |_| write_to(Path::new("/proc/sys/kernel/core_pattern"), b"|/escaped"),
    },
    Way { name: "write-sysrq", attempt: |_| write_to(Path::new("/proc/sysrq-trigger"), b"h") },
    Way {
        name: "write-oom-score-of-1",
        attempt: |_| write_to(Path::new("/proc/1/oom_score_adj"), b"-999"),
    },
    Way { name: "write-uid-map", attempt: |_| write_to(Path::new("/proc/self/uid_map"), b"0 0 1") },
    Way {
        name: "write-own-program",
        attempt: |_| write_to(Path::new("/proc/self/exe"), b"\x7fELF"),
    },
    Way { name: "write-program-of-1", attempt: |_| write_to(Path::new("/proc/1/exe"), b"\x7fELF") },
    Way { name: "write-cgroup", attempt: write_cgroup },
    Way { name: "mount-tmpfs", attempt: |_| mount("tmpfs", "/tmp", "tmpfs", 0) },
    Way { name: "mount-proc", attempt: |_| mount("proc", "/tmp", "proc", 0) },
    Way { name: "mount-bind", attempt: |_| mount("/usr", "/tmp", "", libc::MS_BIND) },
    Way { name: "remount-writable", attempt: |target| remount(target) },
    Way { name: "unmount", attempt: unmount },
    Way { name: "pivot-root", attempt: pivot },
    Way { name: "chroot", attempt: chroot },
    Way {
        name: "fsopen",
        attempt: |_| with_text("tmpfs", |it| forbidden("fsopen", libc::SYS_fsopen, &[it, 0])),
    },
    Way { name: "open-tree", attempt: open_tree },
    Way { name: "mount-setattr", attempt: mount_setattr },
    Way { name: "open-by-handle", attempt: open_by_handle },
    Way { name: "symlink-in-output", attempt: symlink_out },
    Way { name: "symlink-directory-in-output", attempt: symlink_directory },
    Way { name: "magic-link-in-output", attempt: magic_link },
    Way {
        name: "hard-link-to-the-canary",
        attempt: |target| hard_link(target, &target.file.clone()),
    },
    Way {
        name: "hard-link-to-shown",
        attempt: |target| hard_link(target, &target.shown.join("shown.txt")),
    },
    Way {
        name: "hard-link-to-passwd",
        attempt: |target| hard_link(target, Path::new("/etc/passwd")),
    },
    Way { name: "fifo-in-output", attempt: fifo },
    Way { name: "set-uid-file", attempt: set_uid_file },
    Way { name: "file-capability", attempt: file_capability },
    Way { name: "give-away", attempt: give_away },
    Way { name: "lease-on-shown", attempt: lease },
    Way { name: "handle-of-a-file", attempt: handle },
    Way { name: "write-own-memory-file", attempt: own_memory },
];

fn read(path: &Path) -> Try {
    let mut first = [0_u8; 64];
    match File::open(path).and_then(|mut file| file.read(&mut first)) {
        Ok(0) => Err(format!("{}: empty", path.display())),
        Ok(bytes) => Ok(format!("read {bytes} bytes of {}", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn secret(target: &Target, path: &Path) -> Try {
    match fs::read_to_string(path) {
        Ok(content) if content.contains(&target.secret) => Ok(format!("read {}", path.display())),
        Ok(_) => Err(format!("{} is another file", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn through(target: &Target, prefix: &str) -> Try {
    secret(target, Path::new(&format!("{prefix}{}", target.file.display())))
}

fn dots(target: &Target) -> Try {
    let up = target.shown.join("../../../../../../../../..");
    secret(target, Path::new(&format!("{}{}", up.display(), target.file.display())))
}

fn list(path: &Path) -> Try {
    match fs::read_dir(path) {
        Ok(entries) => match entries.count() {
            0 => Err(format!("{} is empty", path.display())),
            count => Ok(format!("{} shows {count} entries", path.display())),
        },
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn write_new(path: &Path) -> Try {
    match fs::write(path, b"escaped") {
        Ok(()) => Ok(format!("wrote {}", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn write_to(path: &Path, bytes: &[u8]) -> Try {
    match OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes)) {
        Ok(()) => Ok(format!("wrote to {}", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn make_device(_: &Target) -> Try {
    with_text("/tmp/device", |path| {
        let device = 253_usize << 8;
        forbidden(
            "mknod",
            libc::SYS_mknodat,
            &[libc::AT_FDCWD as usize, path, (libc::S_IFBLK | 0o600) as usize, device],
        )
    })
}

fn write_cgroup(_: &Target) -> Try {
    for path in [
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/pids/cgroup.procs",
        "/sys/fs/cgroup/memory/tasks",
    ] {
        if OpenOptions::new().write(true).open(path).is_ok() {
            return Ok(format!("may write {path}"));
        }
    }
    Err("no cgroup can be written".into())
}

fn with_text(value: &str, then: impl FnOnce(usize) -> Try) -> Try {
    let value = text(value);
    then(at(&value))
}

fn mount(source: &str, target: &str, kind: &str, flags: u64) -> Try {
    let (source, target, kind) = (text(source), text(target), text(kind));
    forbidden("mount", libc::SYS_mount, &[at(&source), at(&target), at(&kind), flags as usize, 0])
}

fn remount(target: &Target) -> Try {
    let shown = target.shown.display().to_string();
    let flags = libc::MS_REMOUNT | libc::MS_BIND;
    mount("none", &shown, "", flags).or_else(|_| mount("none", "/", "", flags))
}

fn unmount(_: &Target) -> Try {
    with_text("/proc", |path| {
        forbidden("umount", libc::SYS_umount2, &[path, libc::MNT_DETACH as usize])
    })
}

fn pivot(_: &Target) -> Try {
    let (new, old) = (text("/tmp"), text("/tmp"));
    forbidden("pivot_root", libc::SYS_pivot_root, &[at(&new), at(&old)])
}

/// The classic: chroot below an open directory, then walk up from that directory.
fn chroot(target: &Target) -> Try {
    let above = File::open("/").or_else(refused("open /"))?;
    with_text("/tmp", |path| {
        forbidden("chroot", libc::SYS_chroot, &[path])?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&above) as usize;
        forbidden("fchdir", libc::SYS_fchdir, &[fd])?;
        secret(target, Path::new(&format!("../../../../..{}", target.file.display())))
            .or_else(|_| Ok("chroot is allowed".into()))
    })
}

fn open_tree(_: &Target) -> Try {
    const OPEN_TREE_CLONE: usize = 1;
    with_text("/", |path| {
        forbidden(
            "open_tree",
            libc::SYS_open_tree,
            &[libc::AT_FDCWD as usize, path, OPEN_TREE_CLONE],
        )
    })
}

fn mount_setattr(_: &Target) -> Try {
    // attr_set, attr_clr, propagation, userns_fd: clear read-only.
    let attributes: [u64; 4] = [0, 1, 0, 0];
    with_text("/", |path| {
        forbidden(
            "mount_setattr",
            libc::SYS_mount_setattr,
            &[
                libc::AT_FDCWD as usize,
                path,
                0,
                attributes.as_ptr() as usize,
                size_of_val(&attributes),
            ],
        )
    })
}

/// Inode 2 is the root of an ext4 file system, whatever is mounted over it.
fn open_by_handle(_: &Target) -> Try {
    let root = File::open("/usr").or_else(refused("open /usr"))?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&root) as usize;
    let handle: [u32; 4] = [8, 1, 2, 0];
    forbidden(
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        &[fd, handle.as_ptr() as usize, libc::O_RDONLY as usize],
    )
}

/// The links themselves are no way out: collecting them is. The test looks at what is collected.
fn symlink_out(target: &Target) -> Try {
    symlink(&target.file, target.out.join("result.json")).or_else(refused("symlink"))?;
    Err("planted a link; the collector has to refuse it".into())
}

fn symlink_directory(target: &Target) -> Try {
    let above = target.file.parent().unwrap_or(Path::new("/"));
    symlink(above, target.out.join("deep")).or_else(refused("symlink"))?;
    Err("planted a link; the collector has to refuse it".into())
}

fn magic_link(target: &Target) -> Try {
    symlink("/proc/self/root/etc/passwd", target.out.join("result.json"))
        .or_else(refused("symlink"))?;
    Err("planted a link; the collector has to refuse it".into())
}

fn hard_link(target: &Target, to: &Path) -> Try {
    match fs::hard_link(to, target.out.join("linked")) {
        Ok(()) => Ok(format!("linked {} into the output", to.display())),
        Err(error) => Err(format!("{}: {error}", to.display())),
    }
}

fn fifo(target: &Target) -> Try {
    let path = text(&target.out.join("result.json").display().to_string());
    let made = call(
        libc::SYS_mknodat,
        &[libc::AT_FDCWD as usize, at(&path), (libc::S_IFIFO | 0o666) as usize, 0],
    );
    Err(format!("planted a fifo ({made:?}); the collector must not hang on it"))
}

/// A set-uid copy of this program, executed: does it gain another uid?
fn set_uid_file(target: &Target) -> Try {
    let copy = target.out.join("set-uid");
    fs::copy("/proc/self/exe", &copy).or_else(refused("copy"))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o6755)).or_else(refused("chmod u+s"))?;
    let before = call(libc::SYS_geteuid, &[]).unwrap_or(0);
    match call(libc::SYS_setuid, &[0]) {
        Ok(_) if before != 0 => Ok("became root".into()),
        _ => Err("planted a set-uid file; the test looks at its owner and mount".into()),
    }
}

fn file_capability(target: &Target) -> Try {
    let file = target.out.join("capable");
    fs::copy("/proc/self/exe", &file).or_else(refused("copy"))?;
    // VFS_CAP_REVISION_2 with every capability permitted and effective.
    let value: [u32; 5] = [0x0200_0001, u32::MAX, 0, u32::MAX, 0];
    let (path, name) = (text(&file.display().to_string()), text("security.capability"));
    forbidden(
        "setxattr",
        libc::SYS_setxattr,
        &[at(&path), at(&name), value.as_ptr() as usize, size_of_val(&value), 0],
    )
}

fn give_away(target: &Target) -> Try {
    let file = target.out.join("given");
    fs::write(&file, b"x").or_else(refused("write"))?;
    let path = text(&file.display().to_string());
    let owner = 12_345_usize;
    forbidden("chown", libc::SYS_fchownat, &[libc::AT_FDCWD as usize, at(&path), owner, owner, 0])
}

/// Whoever opens a leased file outside has to wait for who holds the lease.
fn lease(target: &Target) -> Try {
    let file = File::open(target.shown.join("shown.txt")).or_else(refused("open"))?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as usize;
    let args = [fd, libc::F_SETLEASE as usize, libc::F_RDLCK as usize];
    forbidden("lease", libc::SYS_fcntl, &args)
}

fn handle(_: &Target) -> Try {
    let (path, mut handle, mut mount) = (text("/usr"), [0_u32; 40], 0_i32);
    handle[0] = 128;
    let (handle, mount) = (handle.as_mut_ptr() as usize, &raw mut mount as usize);
    let args = [libc::AT_FDCWD as usize, at(&path), handle, mount, 0];
    forbidden("name_to_handle_at", libc::SYS_name_to_handle_at, &args)
}

/// Writes past the protection of pages, into memory that is not counted.
fn own_memory(_: &Target) -> Try {
    write_to(Path::new("/proc/self/mem"), b"")
}
