//! Remote workers as processes: the Python client with skills that write into the sink. They are killed,
//! stopped for longer than a lease and let go on, and started anew, as a supervisor of theirs would.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::relay::Relay;
use super::support::{await_some, command, now};

/// The lease of what they hold; also how often they are to be heard of.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// A process that works writes its line in far less; one that is stopped may come back by then.
const LATE: Duration = Duration::from_secs(2);
/// What a process says when another has its name.
const FENCED: i32 = 9;
/// Names, and what each offers. The first share their skills.
const SEATS: [(&str, &[&str]); 5] = [
    ("remote-0", &["remote.read", "remote.idempotent", "remote.effectful"]),
    ("remote-1", &["remote.read", "remote.idempotent", "remote.effectful"]),
    ("remote-2", &["remote.read", "remote.idempotent", "remote.effectful"]),
    ("own-0", &["own-0.idempotent"]),
    ("own-1", &["own-1.effectful"]),
];
pub(crate) const SEATS_COUNT: usize = SEATS.len();

/// Every skill has one effect: a line in the sink under the key of the task, in one write. What is `idempotent`
/// looks for the key before, while nobody else writes. The pauses are where a worker dies or stalls.
const SCRIPT: &str = r#"
import fcntl, os, sys, time
from ark_os_worker import Fenced, Worker

name, sink, *skills = sys.argv[1:]
worker = Worker(name, concurrency=3)

def write(key, line, is_honoured):
    with open(sink, "a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not is_honoured or not any(it.startswith(key + b" ") for it in file.read().splitlines()):
            file.write(key + b" " + line + b"\n")

def offer(skill, effect):
    @worker.skill(skill, effect=effect)
    def act(input, task):
        line = input["label"] + "-0"
        time.sleep(0.02)
        write(task.key.encode(), line.encode(), effect == "idempotent")
        time.sleep(0.02)
        return {"line": line}

for skill in skills:
    offer(skill, skill.rpartition(".")[2])
try:
    worker.run()
except Fenced:
    os._exit(9)
"#;

/// What was done to workers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Harm {
    pub(crate) killed: usize,
    /// Went on when their leases were over.
    pub(crate) late: usize,
    /// Of these, some whose places were taken meanwhile.
    pub(crate) replaced: usize,
    /// By whoever had to know that an effect does not happen any more.
    pub(crate) put_down: usize,
}

struct Process {
    child: Child,
    /// Since when it does not go on, and for how long.
    stopped: Option<(Instant, Duration)>,
    /// Whether another process has had its name.
    has_rival: bool,
}

/// All workers; they end with it.
pub(crate) struct Crew {
    home: PathBuf,
    data: PathBuf,
    sink: PathBuf,
    relay: Relay,
    seats: Mutex<[Vec<Process>; SEATS_COUNT]>,
    harm: Mutex<Harm>,
}

impl Crew {
    /// Nobody yet.
    pub(crate) fn new(home: &Path, data: PathBuf, sink: PathBuf) -> Self {
        std::fs::write(home.join("worker.py"), SCRIPT).unwrap();
        Crew {
            home: home.to_path_buf(),
            relay: Relay::start(&data),
            data,
            sink,
            seats: Mutex::default(),
            harm: Mutex::default(),
        }
    }

    pub(crate) fn harm(&self) -> Harm {
        *self.harm.lock().unwrap()
    }

    /// What they said, all of them.
    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("workers.log")).unwrap_or_default()
    }

    fn hire(&self, seat: usize, has_rival: bool) -> Process {
        let (name, skills) = SEATS[seat];
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/src");
        let token = std::fs::read_to_string(self.data.join("token")).unwrap();
        let log = self.home.join("workers.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut python = command("python3");
        python.arg(self.home.join("worker.py")).arg(name).arg(&self.sink).args(skills);
        python.env("PYTHONPATH", client.canonicalize().unwrap());
        python.env("ARK_OS_ENDPOINT", self.relay.endpoint()).env("ARK_OS_TOKEN", token.trim());
        python.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = python.spawn().unwrap_or_else(|error| panic!("{python:?}: {error}"));
        Process { child, stopped: None, has_rival }
    }

    /// Lets go on whose time it is, and starts anew who is not there any more.
    pub(crate) fn tend(&self) {
        self.let_go_on(|since, pause| now().duration_since(since) >= pause);
        let mut seats = self.seats.lock().unwrap();
        for (seat, processes) in seats.iter_mut().enumerate() {
            processes.retain_mut(|it| match it.child.try_wait().unwrap() {
                Some(status) => self.has_ended_well(seat, it, status),
                None => true,
            });
            if processes.is_empty() {
                processes.push(self.hire(seat, false));
            }
        }
    }

    /// Nobody is stopped any more, and everybody is there.
    pub(crate) fn mend(&self) {
        self.let_go_on(|_, _| true);
        self.tend();
    }

    fn let_go_on(&self, is_time: impl Fn(Instant, Duration) -> bool) {
        let (mut seats, mut harm) = (self.seats.lock().unwrap(), self.harm.lock().unwrap());
        for process in seats.iter_mut().flatten() {
            let Some((since, pause)) = process.stopped else { continue };
            if is_time(since, pause) {
                send(&process.child, Signal::CONT);
                process.stopped = None;
                let is_late = now().duration_since(since) > LEASE;
                harm.late += usize::from(is_late);
                harm.replaced += usize::from(is_late && process.has_rival);
            }
        }
    }

    /// `false`, for whoever is to be forgotten: only who has a rival ends by itself.
    fn has_ended_well(&self, seat: usize, process: &Process, status: ExitStatus) -> bool {
        let is_fenced = process.has_rival && status.code() == Some(FENCED);
        assert!(is_fenced, "{} has ended by itself: {status}\n{}", SEATS[seat].0, self.log());
        false
    }

    /// Kills a worker where it is, if it goes on.
    pub(crate) fn kill(&self, seat: usize) {
        let mut seats = self.seats.lock().unwrap();
        let going = seats[seat].iter().position(|it| it.stopped.is_none());
        let Some(mut process) = going.map(|at| seats[seat].remove(at)) else { return };
        if end(&mut process) {
            self.harm.lock().unwrap().killed += 1;
        }
    }

    /// Stops a worker for so long, longer than a lease. Another process may take its name.
    pub(crate) fn stop(&self, seat: usize, pause: Duration, is_replaced: bool) {
        let mut seats = self.seats.lock().unwrap();
        let processes = &mut seats[seat];
        let Some(process) = processes.iter_mut().find(|it| it.stopped.is_none()) else { return };
        send(&process.child, Signal::STOP);
        process.stopped = Some((now(), pause));
        if is_replaced {
            processes.iter_mut().for_each(|it| it.has_rival = true);
            processes.push(self.hire(seat, true));
        }
    }

    /// The number of a worker's seat.
    pub(crate) fn seat_of(name: &str) -> Option<usize> {
        SEATS.iter().position(|seat| seat.0 == name)
    }

    /// Waits until a worker has said its last word about something: it is gone, or has had time for it and is put
    /// down.
    pub(crate) fn await_last_word(&self, worker: &str, is_said: impl Fn() -> bool) {
        let seat = Crew::seat_of(worker).unwrap_or_else(|| panic!("{worker} is no worker"));
        let is_gone = || self.seats.lock().unwrap()[seat].is_empty();
        await_some(LATE, || (is_said() || is_gone()).then_some(()));
        if !is_said() {
            let mut processes = std::mem::take(&mut self.seats.lock().unwrap()[seat]);
            let ended = processes.iter_mut().filter_map(|it| end(it).then_some(())).count();
            self.harm.lock().unwrap().put_down += ended;
            self.tend();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Also after a test that failed while it held them.
        let seats = self.seats.get_mut().unwrap_or_else(PoisonError::into_inner);
        for process in seats.iter_mut().flatten() {
            end(process);
        }
    }
}

/// Kills a process; whether it had not ended before.
fn end(process: &mut Process) -> bool {
    let was_there = process.child.try_wait().is_ok_and(|status| status.is_none());
    // It may have ended by now.
    let _ = process.child.kill();
    let _ = process.child.wait();
    was_there
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // It may have ended by now.
        let _ = kill_process(pid, signal);
    }
}
