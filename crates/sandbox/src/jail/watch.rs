//! Watching a job: its output, its time, its memory and its caller's patience.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::cgroups::Group;
use super::processes;
use super::spawn::Launched;
use super::writes::Writes;
use crate::clock::Watch;
use crate::error::SandboxError;
use crate::job::{Exit, Finished, Job, Usage};
use crate::kernel::{self, Used};
use crate::plan::{self, Message};

/// How often limits that nobody reports are looked at, and the caller is asked.
const TICK: Duration = Duration::from_millis(80);
/// Bytes read at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// One stream of output, as far as it is kept.
struct Stream<R> {
    from: Option<R>,
    kept: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

impl<R: Read + AsFd> Stream<R> {
    fn new(from: R, bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Stream { from: Some(from), kept: Vec::new(), bytes_max, is_over: false }
    }

    /// Reads once; what is beyond the limit is dropped.
    fn read(&mut self) {
        let Some(from) = &mut self.from else { return };
        let mut chunk = [0; CHUNK];
        match from.read(&mut chunk) {
            Ok(0) => self.from = None,
            Ok(length) => {
                let room = self.bytes_max.saturating_sub(self.kept.len());
                self.kept.extend(chunk.iter().take(length.min(room)));
                self.is_over |= length > room;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.from = None,
        }
    }

    /// Reads what is left when nobody writes any more.
    fn drain(&mut self) {
        while self.from.is_some() {
            self.read();
        }
    }
}

/// A job under way.
struct Watched<'a> {
    job: &'a Job,
    group: &'a Group,
    writes: Writes,
    since: Watch,
    stdout: Stream<std::process::ChildStdout>,
    stderr: Stream<std::process::ChildStderr>,
    told: Vec<u8>,
    /// The first process, a child of this one that nobody else waits for: as long as it has not been
    /// waited for, the number is its own.
    first: Option<Pid>,
    /// What the first process said about the program's end.
    ended: Option<Exit>,
    refused: Option<SandboxError>,
    /// Why it was ended from here.
    killed: Option<Exit>,
    /// When the limits were looked at last.
    looked: Duration,
}

/// Waits until nothing of the job is left.
pub(super) fn to_the_end(
    job: &Job,
    launched: Launched,
    group: &Group,
    writes: Writes,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Finished, SandboxError> {
    let Launched { mut launcher, control, stdout, stderr } = launched;
    let mut watched = Watched {
        job,
        group,
        writes,
        since: Watch::start(),
        stdout: Stream::new(stdout, job.profile.stdout_bytes),
        stderr: Stream::new(stderr, job.profile.stderr_bytes),
        told: Vec::new(),
        first: None,
        ended: None,
        refused: None,
        killed: None,
        looked: Duration::ZERO,
    };
    let mut control = Some(control);
    // Only the launcher and the first process hold the other end: it closes when both have ended.
    while control.is_some() {
        watched.wait(&mut control)?;
        watched.look(is_stopped);
        if watched.killed.is_some() && watched.first.is_none() {
            // It may hang at a mount of a file server; what it has made ends with it.
            let _ = launcher.kill();
        }
    }
    let waited = launcher.wait();
    // The first process can be waited for when the kernel has ended all others of its namespace.
    let used = watched.first.map_or(Ok(Used::default()), kernel::wait_for);
    watched.stdout.drain();
    watched.stderr.drain();
    waited.map_err(|error| SandboxError::internal(format!("wait for the launcher: {error}")))?;
    let used =
        used.map_err(|error| SandboxError::internal(format!("wait for the job: {error}")))?;
    watched.finished(used)
}

impl Watched<'_> {
    /// Waits for something to happen, at most until the next look is due.
    fn wait(&mut self, control: &mut Option<UnixStream>) -> Result<(), SandboxError> {
        let left = self.job.profile.wall_time.saturating_sub(self.since.so_far());
        // A job that was ended may take a moment to die; it is not asked for its time again.
        let pause = if self.killed.is_some() { TICK } else { left.min(TICK) };
        let sources = [
            control.as_ref().map(AsFd::as_fd),
            self.stdout.from.as_ref().map(AsFd::as_fd),
            self.stderr.from.as_ref().map(AsFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        let pause = Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: pause.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&pause)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                self.kill(Exit::Stopped);
                return Err(SandboxError::internal(format!("watch the job: {error}")));
            }
        }
        let mut events = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut is_ready = |is_there: bool| is_there && events.next().unwrap_or(false);
        let ready = sources.map(|source| is_ready(source.is_some()));
        drop(fds);
        let [is_told, has_out, has_err] = ready;
        if has_out {
            self.stdout.read();
        }
        if has_err {
            self.stderr.read();
        }
        if is_told {
            self.hear(control);
        }
        Ok(())
    }

    /// Reads what there is on the control socket.
    fn hear(&mut self, control: &mut Option<UnixStream>) {
        let Some(socket) = control else { return };
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk) {
            Ok(0) => *control = None,
            Ok(length) => self.told.extend(chunk.iter().take(length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => *control = None,
        }
        self.understand();
    }

    fn understand(&mut self) {
        loop {
            match plan::take::<Message>(&mut self.told) {
                Ok(Some(Message::Made { pid })) => self.made(pid),
                Ok(Some(Message::Exited { code })) => self.ended = Some(Exit::Code(code)),
                Ok(Some(Message::Signaled { signal })) => self.ended = Some(Exit::Signal(signal)),
                Ok(Some(Message::Refused(refused))) => self.refused = Some(refused.into()),
                Ok(Some(Message::Probed(_))) => {}
                Ok(None) => return,
                Err(error) => {
                    let what = format!("understand the launcher: {error}");
                    self.refused = Some(SandboxError::internal(what));
                    self.told.clear();
                }
            }
        }
    }

    fn made(&mut self, pid: i32) {
        self.first = Pid::from_raw(pid);
        // It may be told of after it was decided that it has to end.
        if let Some(exit) = self.killed {
            self.kill(exit);
        }
    }

    /// Looks at every limit; ends the job at the first that is passed.
    fn look(&mut self, is_stopped: &dyn Fn() -> bool) {
        let profile = &self.job.profile;
        let now = self.since.so_far();
        let is_urgent = self.stdout.is_over || now >= profile.wall_time;
        if self.killed.is_some() || !(is_urgent || now.saturating_sub(self.looked) >= TICK) {
            return;
        }
        self.looked = now;
        let passed = if self.stdout.is_over {
            Some(Exit::Output)
        } else if now >= profile.wall_time {
            Some(Exit::WallTime)
        } else if self.group.is_out_of_memory() || self.has_a_greedy_process() {
            Some(Exit::Memory)
        } else if self.group.cpu_time().is_some_and(|used| used >= profile.cpu_time) {
            Some(Exit::CpuTime)
        } else if self.writes.are_too_many(self.first) {
            Some(Exit::Files)
        } else if is_stopped() {
            Some(Exit::Stopped)
        } else {
            None
        };
        if let Some(exit) = passed {
            self.kill(exit);
        }
    }

    /// Whether a process has more memory than the profile allows, where no control group counts it. The
    /// kernel's own limit for a process can be got round: it forgets what was written once that may only
    /// be read, and what belongs to a stack.
    fn has_a_greedy_process(&self) -> bool {
        if self.group.counts_memory() {
            return false;
        }
        let all = self.first.map(processes::all).unwrap_or_default();
        all.into_iter().any(|pid| processes::private_bytes(pid) > self.job.profile.memory_bytes)
    }

    /// Ends the first process; the kernel ends all others of its namespace with it.
    fn kill(&mut self, exit: Exit) {
        self.killed = Some(exit);
        if let Some(first) = self.first {
            // It may have ended already; then there is nothing to end.
            let _ = kill_process(first, Signal::KILL);
        }
    }

    fn finished(self, used: Used) -> Result<Finished, SandboxError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let cpu = self.group.cpu_time().unwrap_or(used.cpu).max(used.cpu);
        let exit = self.exit(cpu)?;
        let usage = Usage {
            wall: self.since.so_far(),
            cpu,
            memory_peak: self.group.memory_peak().or(Some(used.memory_peak)),
            processes_peak: self.group.processes_peak(),
        };
        Ok(Finished {
            exit,
            stdout: self.stdout.kept,
            stderr: self.stderr.kept,
            stderr_cut: self.stderr.is_over,
            usage,
        })
    }

    fn exit(&self, cpu: Duration) -> Result<Exit, SandboxError> {
        const SIGKILL: i32 = 9;
        const SIGXCPU: i32 = 24;
        // The launcher was not quick enough for the profile, or nobody waited for it.
        if let Some(killed) = self.killed {
            return Ok(killed);
        }
        if self.group.is_out_of_memory() {
            return Ok(Exit::Memory);
        }
        match self.ended {
            Some(Exit::Signal(SIGXCPU)) => Ok(Exit::CpuTime),
            Some(Exit::Signal(SIGKILL)) if cpu >= self.job.profile.cpu_time => Ok(Exit::CpuTime),
            Some(_) if self.stdout.is_over => Ok(Exit::Output),
            Some(ended) => Ok(ended),
            None => Err(SandboxError::internal("run the job: its first process ended too early")),
        }
    }
}
