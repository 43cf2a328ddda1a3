//! Ways to take everything: processes, memory, files, inodes, output, time. They never say that
//! they got out; the test looks at how they ended and at what the host lost meanwhile.

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::time::Duration;

use crate::system::{Target, call};
use crate::{Try, Way};

pub(crate) const WAYS: &[Way] = &[
    Way { name: "bomb-processes", attempt: processes },
    Way { name: "bomb-threads", attempt: threads },
    Way { name: "bomb-memory", attempt: |_| memory(64 << 20) },
    Way { name: "bomb-memory-in-many", attempt: memory_in_many },
    Way { name: "bomb-shared-memory", attempt: shared_memory },
    Way { name: "bomb-zeros", attempt: zeros },
    Way { name: "bomb-growing-stack", attempt: growing_stack },
    Way { name: "bomb-sealed-memory", attempt: sealed_memory },
    Way { name: "bomb-stretched-stack", attempt: stretched_stack },
    Way { name: "bomb-nameless-files", attempt: |target| nameless(target, Keep::Open) },
    Way { name: "bomb-nameless-maps", attempt: |target| nameless(target, Keep::Mapped) },
    Way { name: "bomb-nameless-in-threads", attempt: |target| nameless(target, Keep::InThread) },
    Way { name: "bomb-file", attempt: |_| file("/tmp/bomb") },
    Way {
        name: "bomb-output-file",
        attempt: |target| file(&target.out.join("bomb").display().to_string()),
    },
    Way { name: "bomb-inodes", attempt: inodes },
    Way { name: "bomb-stdout", attempt: |_| flood(&mut std::io::stdout()) },
    Way { name: "bomb-stderr", attempt: |_| flood(&mut std::io::stderr()) },
    Way { name: "bomb-descriptors", attempt: descriptors },
    Way { name: "bomb-processor", attempt: processor },
    Way { name: "bomb-processor-in-many", attempt: processor_in_many },
    Way { name: "bomb-sleep", attempt: sleep },
    Way { name: "bomb-orphan", attempt: orphan },
];

fn fork() -> Option<usize> {
    call(libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0]).ok()
}

fn processes(_: &Target) -> Try {
    let mut made = 0_u32;
    for _ in 0..20_000 {
        match fork() {
            Some(0) => loop {
                std::thread::sleep(Duration::from_secs(60));
            },
            Some(_) => made += 1,
            None => return Err(format!("stopped at {made} processes")),
        }
    }
    Ok(format!("made {made} processes"))
}

fn threads(_: &Target) -> Try {
    let mut made = 0_u32;
    for _ in 0..20_000 {
        let thread = std::thread::Builder::new().stack_size(16 << 10).spawn(|| {
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        });
        match thread {
            Ok(_) => made += 1,
            Err(error) => return Err(format!("stopped at {made} threads: {error}")),
        }
    }
    Ok(format!("made {made} threads"))
}

/// Touches every page of ever more memory, up to 64 GiB.
fn memory(step: usize) -> Try {
    let mut held = Vec::new();
    for _ in 0..1_024 {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(step).is_err() {
            return Err(format!("no more after {} MiB", held.len() * (step >> 20)));
        }
        block.resize(step, 1);
        held.push(std::hint::black_box(block));
    }
    Ok("took 64 GiB".into())
}

fn memory_in_many(_: &Target) -> Try {
    for _ in 0..16 {
        if fork() == Some(0) {
            let _ = memory(16 << 20);
            std::process::exit(0);
        }
    }
    while call(libc::SYS_wait4, &[usize::MAX, 0, 0, 0]).is_ok() {}
    Err("the children are gone; the test looks at the peak".into())
}

/// Memory that belongs to no process: a file without a name.
fn shared_memory(_: &Target) -> Try {
    let name = crate::system::text("bomb");
    let fd = call(libc::SYS_memfd_create, &[crate::system::at(&name), 0])
        .map_err(|error| error.to_string())?;
    let block = vec![1_u8; 1 << 20];
    for written in 0..65_536_u32 {
        if let Err(error) = call(libc::SYS_write, &[fd, block.as_ptr() as usize, block.len()]) {
            return Err(format!("stopped at {written} MiB: {error}"));
        }
    }
    Ok("wrote 64 GiB into memory".into())
}

const PAGE: usize = 4096;
/// Many times the limit of the job that tries it.
const MUCH: usize = 1536 << 20;
/// What is taken between two looks of whoever counts; a quicker attacker gets further by as much.
const STEP: usize = 16 << 20;
const STEP_PAUSE: Duration = Duration::from_millis(10);
const READ_WRITE: usize = (libc::PROT_READ | libc::PROT_WRITE) as usize;
const OWN: usize = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;

fn map(bytes: usize, flags: usize, fd: i32) -> Result<usize, String> {
    let args = [0, bytes, READ_WRITE, flags, fd as isize as usize, 0];
    call(libc::SYS_mmap, &args).map_err(|error| format!("mmap: {error}"))
}

fn touch(start: usize, bytes: usize) {
    for at in (start..start + bytes).step_by(PAGE) {
        // SAFETY: the caller has mapped this for writing.
        unsafe { std::ptr::write_volatile(at as *mut u8, 1) };
    }
}

/// A shared mapping of zeros belongs to no process.
fn zeros(_: &Target) -> Try {
    let file = fs::OpenOptions::new().read(true).write(true).open("/dev/zero");
    let file = file.map_err(|error| format!("/dev/zero: {error}"))?;
    touch(map(MUCH, libc::MAP_SHARED as usize, file.as_raw_fd())?, MUCH);
    Ok("touched 1.5 GiB of zeros".into())
}

/// What grows downwards is counted as a stack.
fn growing_stack(_: &Target) -> Try {
    touch(map(MUCH, OWN | libc::MAP_GROWSDOWN as usize, -1)?, MUCH);
    Ok("touched 1.5 GiB of stack".into())
}

/// What may only be read is not counted any more once it is written.
fn sealed_memory(_: &Target) -> Try {
    for _ in 0..MUCH / STEP {
        let start = map(STEP, OWN, -1)?;
        touch(start, STEP);
        call(libc::SYS_mprotect, &[start, STEP, libc::PROT_READ as usize])
            .map_err(|error| format!("mprotect: {error}"))?;
        std::thread::sleep(STEP_PAUSE);
    }
    Ok("holds 1.5 GiB to read".into())
}

/// A page of the real stack, moved to where there is room for more.
fn stretched_stack(_: &Target) -> Try {
    let maps = fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let line = maps.lines().find(|line| line.ends_with("[stack]")).ok_or("no stack")?;
    let start = line.split('-').next().and_then(|it| usize::from_str_radix(it, 16).ok());
    let start = start.ok_or("no start")?;
    let args = [start, PAGE, MUCH, libc::MREMAP_MAYMOVE as usize, 0];
    let moved = call(libc::SYS_mremap, &args).map_err(|error| format!("mremap: {error}"))?;
    for step in 0..MUCH / STEP {
        touch(moved + step * STEP, STEP);
        std::thread::sleep(STEP_PAUSE);
    }
    Ok("touched 1.5 GiB of stack".into())
}

/// How a file lives on that has no name.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Open,
    Mapped,
    /// In a table of files that only one thread has.
    InThread,
}

/// Files in the output that no search by name finds.
fn nameless(target: &Target, keep: Keep) -> Try {
    if keep != Keep::InThread {
        return fill_nameless(target, keep);
    }
    let out = target.out.clone();
    let thread = std::thread::spawn(move || {
        let apart = [3, u32::MAX as usize, libc::CLOSE_RANGE_UNSHARE as usize];
        call(libc::SYS_close_range, &apart).map_err(|error| format!("close_range: {error}"))?;
        fill_nameless(&Target { out, ..Target::from_environment() }, Keep::Open)
    });
    thread.join().unwrap_or_else(|_| Err("the thread ended".into()))
}

fn fill_nameless(target: &Target, keep: Keep) -> Try {
    let block = vec![1_u8; 3 << 20];
    for number in 0..50_u32 {
        let path = target.out.join(format!("nameless-{number}"));
        let open = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let mut file = open.map_err(|error| format!("{number} files: {error}"))?;
        fs::remove_file(&path).map_err(|error| error.to_string())?;
        file.write_all(&block).map_err(|error| format!("{number} files: {error}"))?;
        if keep == Keep::Mapped {
            let args = [0, PAGE, libc::PROT_READ as usize, libc::MAP_SHARED as usize];
            let fd = file.as_raw_fd() as usize;
            call(libc::SYS_mmap, &[args[0], args[1], args[2], args[3], fd, 0])
                .map_err(|error| format!("mmap: {error}"))?;
        } else {
            let _ = file.into_raw_fd();
        }
        std::thread::sleep(STEP_PAUSE * 4);
    }
    Ok("holds 150 MiB in files without a name".into())
}

fn file(path: &str) -> Try {
    let mut file = fs::File::create(path).map_err(|error| error.to_string())?;
    let block = vec![1_u8; 1 << 20];
    for written in 0..65_536_u32 {
        if let Err(error) = file.write_all(&block) {
            return Err(format!("stopped at {written} MiB: {error}"));
        }
    }
    Ok("wrote 64 GiB".into())
}

fn inodes(_: &Target) -> Try {
    for made in 0..10_000_000_u32 {
        if let Err(error) = fs::File::create(format!("/tmp/inode-{made}")) {
            return Err(format!("stopped at {made} files: {error}"));
        }
    }
    Ok("made 10 million files".into())
}

fn flood(to: &mut dyn Write) -> Try {
    let block = vec![b'x'; 1 << 20];
    for written in 0..65_536_u32 {
        if let Err(error) = to.write_all(&block) {
            return Err(format!("stopped at {written} MiB: {error}"));
        }
    }
    Ok("wrote 64 GiB".into())
}

fn descriptors(_: &Target) -> Try {
    let mut held = Vec::new();
    for _ in 0..10_000_000_u32 {
        match fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => return Err(format!("stopped at {} descriptors: {error}", held.len())),
        }
    }
    Ok("opened 10 million descriptors".into())
}

fn processor(_: &Target) -> Try {
    let mut spun = 0_u64;
    loop {
        spun = std::hint::black_box(spun.wrapping_add(1));
    }
}

fn processor_in_many(target: &Target) -> Try {
    for _ in 0..8 {
        if fork() == Some(0) {
            return processor(target);
        }
    }
    processor(target)
}

/// Ignores every polite request to end.
fn sleep(_: &Target) -> Try {
    for signal in 1..31 {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Leaves a child of a child behind, in a session of its own, that touches the output for ever.
fn orphan(target: &Target) -> Try {
    let path = target.out.join("orphan");
    if fork() == Some(0) {
        let _ = call(libc::SYS_setsid, &[]);
        if fork() == Some(0) {
            loop {
                let _ = fs::write(&path, format!("{:?}", std::time::SystemTime::now()));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        std::process::exit(0);
    }
    std::thread::sleep(Duration::from_millis(100));
    Err("left an orphan; the test looks whether it lives".into())
}
