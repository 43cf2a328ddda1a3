//! The simulated world: one clock, one queue of events, one disk, one instance at a time.
//!
//! Everything that happens is drawn from the seed and happens in the order (time, number), so a
//! seed is replayed by running it again.

use std::collections::{BTreeMap, VecDeque};

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::ids::{PtId, RunId};
use ark_os_core::plan::EffectClass;
use ark_os_core::rules::Mode;
use ark_os_core::step::StepKey;
use ark_os_core::time::Time;

use crate::Options;
use crate::bug::Bug;
use crate::checker::Checker;
use crate::disk::SimFiles;
use crate::fault_kinds::{FaultKind, FaultKinds, Injected};
use crate::rng::Rng;
use crate::sink::Sink;
use crate::subject::Subject;
use crate::violation::{Check, Violation};

mod agents;
mod clients;
mod end;
mod faults;
mod fleet;
mod forks;
mod node;
mod schedules;
mod signals;
mod snapshots;
mod start;
mod steps;
mod subject;
mod workers;

use agents::{Attempt, Move};
use clients::Clients;
use node::Node;
use workers::Workers;

/// The wall clock at the beginning.
const EPOCH_MS: i64 = 1_700_000_000_000;
/// Events of one seed; more mean that something spins without getting anywhere.
const EVENTS_MAX: u64 = 400_000;
/// What makes a seed the seed of its places in memory.
const PLACES: u64 = 0x706c_6163_6573;
/// What makes a seed the seed of its waits and signals.
const FLOW: u64 = 0x0066_6c6f_7721;
/// What makes a seed the seed of its remote workers.
const WORKERS: u64 = 0x776f_726b_6572;
/// What makes a seed the seed of settings that change while the process runs.
const SETTINGS: u64 = 0x7365_7474_696e_6773;
/// What makes a seed the seed of its declared seats for remote workers.
const SEATS: u64 = 0x0073_6561_7473;
/// What makes a seed the seed of its forks.
const FORKS: u64 = 0x666f_726b_7321;
/// What makes a seed the seed of its schedules.
const SCHEDULES: u64 = 0x7363_6865_6475_6c65;
/// Events in a row at one moment; more mean the same.
const STANDSTILL_MAX: u64 = 20_000;

/// Something that is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// The process starts.
    Start,
    /// The loop takes a turn.
    Turn { life: u32 },
    /// The write of the present batch is over.
    Committed { life: u32 },
    /// A checkpoint is due.
    Sign { life: u32 },
    /// Runs are read from disk, each by the record that accepted it.
    Fetched { life: u32, runs: Vec<(RunId, u64)> },
    /// An agent does something.
    Agent { life: u32, pt: PtId, step: Move },
    /// An agent of a process that died presents its result.
    Ghost(Box<Command>),
    /// What a process had sent before it died arrives.
    Arrival { key: StepKey, class: EffectClass },
    /// A client does something.
    Client,
    /// A lost submission is sent again.
    Again(u64),
    /// Somebody sends a signal.
    Signal,
    /// Somebody does something about a schedule.
    Schedule,
    /// Somebody forks a run.
    Fork,
    /// A worker joins, in this life of the process; none: something happens to one.
    Worker { life: Option<u32>, place: usize },
    /// A command that a planted bug has held back.
    Late(Box<Command>),
    /// Something breaks.
    Fault,
    /// The disk has space again.
    Space,
}

/// What differs from seed to seed besides the draws themselves.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) agents: u32,
    pub(crate) concurrency: u32,
    pub(crate) concurrent_tasks_max: u32,
    /// Runs in memory; in some worlds so few that most wait on disk.
    pub(crate) runs_resident_max: Option<u32>,
    pub(crate) mode: Mode,
    pub(crate) namespace_budget: Amounts,
    pub(crate) segment_bytes: u64,
    /// Attempts of a thousand that do not go as they should.
    pub(crate) bad_agents: u64,
    /// Whether there are tasks that kill every agent that tries them.
    pub(crate) has_poison: bool,
    /// Milliseconds between faults, about.
    pub(crate) fault_ms: u64,
    /// Milliseconds between acts of clients, about.
    pub(crate) act_ms: u64,
}

impl Profile {
    /// The size of the fleet; a restart may change it.
    pub(crate) fn draw_agents(rng: &mut Rng) -> u32 {
        *rng.pick(&[1, 6, 10, 25, 40]).unwrap_or(&10)
    }

    fn draw(rng: &mut Rng) -> Profile {
        let limited = Amounts { calls: rng.range(20, 400), ..Amounts::UNLIMITED };
        let modes = [Mode::Autonomous, Mode::Supervised];
        Profile {
            agents: Profile::draw_agents(rng),
            concurrency: rng.range(2, 4) as u32,
            concurrent_tasks_max: rng.range(4, 60) as u32,
            runs_resident_max: None,
            mode: *rng.pick(&modes).unwrap_or(&Mode::Supervised),
            namespace_budget: if rng.per_mille(100) { limited } else { Amounts::UNLIMITED },
            segment_bytes: *rng.pick(&[16 << 10, 64 << 10, 256 << 10]).unwrap_or(&(64 << 10)),
            bad_agents: *rng.pick(&[0, 100, 300, 600]).unwrap_or(&100),
            has_poison: rng.per_mille(200),
            fault_ms: *rng.pick(&[800, 2_500, 6_000, 40_000]).unwrap_or(&2_500),
            act_ms: *rng.pick(&[150, 500, 1_500]).unwrap_or(&500),
        }
    }
}

/// Counters of what happened, to see that the simulation meets what it should meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Events of the simulation.
    pub events: u64,
    /// Records in the journal at the end.
    pub records: u64,
    /// Runs acknowledged.
    pub runs: u64,
    /// Starts of the instance.
    pub starts: u64,
    /// Those that began with a snapshot.
    pub from_snapshots: u64,
    /// Snapshots made.
    pub snapshots: u64,
    /// Segments archived.
    pub archived: u64,
    /// Kills of the process.
    pub kills: u64,
    /// Losses of power.
    pub power_losses: u64,
    /// Journals that failed and stopped the instance.
    pub fail_stops: u64,
    /// Effects performed.
    pub effects: u64,
    /// Results refused because of their token.
    pub strikes: u64,
    /// Steps that were in doubt and resolved.
    pub doubts: u64,
    /// Runs that waited on disk and were loaded.
    pub loads: u64,
    /// Questions whether a step happened.
    pub probes: u64,
    /// Signals that were acknowledged.
    pub signals: u64,
    /// Runs that schedules began.
    pub fires: u64,
    /// Declared seats that a worker has taken.
    pub seats: u64,
    /// Forks that were acknowledged.
    pub forks: u64,
    /// Tasks that they took along.
    pub reused: u64,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    /// Microseconds since the beginning; never goes back.
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Due>,
    order: u64,
    /// How far the wall clock is off.
    pub(crate) wall_off_ms: i64,
    pub(crate) profile: Profile,
    pub(crate) bug: Option<Bug>,
    /// What may break; the draws are the same whatever it is.
    pub(crate) faults: FaultKinds,
    pub(crate) injected: Injected,
    /// The workflow that is tried, if somebody brought one.
    pub(crate) subject: Option<std::sync::Arc<Subject>>,
    pub(crate) files: SimFiles,
    pub(crate) node: Option<Node>,
    /// Of a stream of its own: how often and how the keeper is at work.
    pub(crate) keeper_rng: Rng,
    /// Of a stream of its own: waits, and the signals that end them.
    pub(crate) flow: Rng,
    pub(crate) has_waits: bool,
    /// Of a stream of its own.
    pub(crate) workers: Workers,
    /// Of a stream of its own, in some worlds: limits that change while the process runs.
    pub(crate) settings: Option<Rng>,
    /// Of a stream of its own, in some worlds: schedules.
    pub(crate) schedules: Option<Rng>,
    /// Of a stream of its own, in some worlds: forks.
    pub(crate) forks: Option<Rng>,
    /// Raised with every death of the process, so that what it had under way is void.
    pub(crate) life: u32,
    pub(crate) attempts: BTreeMap<PtId, Attempt>,
    pub(crate) clients: Clients,
    pub(crate) sink: Sink,
    pub(crate) checker: Checker,
    /// No faults any more, and every agent does what it should.
    pub(crate) is_calm: bool,
    pub(crate) counts: Counts,
    trace: u64,
    notes: VecDeque<String>,
    notes_max: usize,
}

/// A stream of its own for so many worlds of a thousand, where nobody has brought a workflow.
fn stream(seed: u64, of_1000: u64, options: &Options) -> Option<Rng> {
    let mut rng = Rng::new(seed);
    (rng.per_mille(of_1000) && options.subject.is_none()).then_some(rng)
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options) -> Result<World, Violation> {
        let mut rng = Rng::new(seed);
        let mut profile = Profile::draw(&mut rng);
        // From a generator of its own, so that worlds without it stay what they were.
        let mut places = Rng::new(seed ^ PLACES);
        if places.per_mille(400) {
            profile.runs_resident_max = places.pick(&[1, 2, 4, 8]).copied();
        }
        let files = SimFiles::new(rng.fork());
        match options.bug {
            Some(Bug::SyncLies) => files.set_faults(|faults| faults.lying_syncs = true),
            Some(Bug::DirSyncLies) => files.set_faults(|faults| faults.lying_dir_syncs = true),
            _ => {}
        }
        let mut flow = Rng::new(seed ^ FLOW);
        let has_waits = flow.per_mille(500) || options.subject.is_some();
        let seats = stream(seed ^ SEATS, 750, options);
        let mut workers = Workers::new(Rng::new(seed ^ WORKERS), seats);
        let far = workers.is_on.then_some(&mut workers.rng);
        let mut clients = Clients::new(rng.fork(), has_waits.then_some(&mut flow), far)?;
        if let Some(subject) = &options.subject {
            profile.suit_subject(&mut rng);
            clients.only_run(subject);
        }
        Ok(World {
            rng,
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            wall_off_ms: 0,
            profile,
            bug: options.bug,
            faults: options.faults,
            injected: Injected::new(),
            subject: options.subject.clone(),
            files,
            node: None,
            keeper_rng: Rng::new(!seed),
            flow,
            has_waits,
            workers,
            settings: stream(seed ^ SETTINGS, 200, options),
            schedules: stream(seed ^ SCHEDULES, 350, options),
            forks: stream(seed ^ FORKS, 350, options),
            life: 0,
            attempts: BTreeMap::new(),
            clients,
            sink: Sink::default(),
            checker: Checker::default(),
            is_calm: false,
            counts: Counts::default(),
            trace: seed,
            notes: VecDeque::new(),
            notes_max: options.notes,
        })
    }

    /// Runs events until `until`, in microseconds, or until nothing is due.
    pub(crate) fn run_until(&mut self, until: u64) -> Check {
        let mut standstill = 0;
        while let Some(entry) = self.queue.first_entry() {
            let (at, _) = *entry.key();
            if at > until {
                break;
            }
            let due = entry.remove();
            standstill = if at > self.now { 0 } else { standstill + 1 };
            self.now = self.now.max(at);
            self.counts.events += 1;
            if standstill > STANDSTILL_MAX || self.counts.events > EVENTS_MAX {
                return Err(Violation::new("liveness", "events follow each other without an end"));
            }
            self.happen(due)?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    fn happen(&mut self, due: Due) -> Check {
        match due {
            Due::Start => self.start(),
            Due::Turn { life } if self.is_turn(life) => self.turn(),
            Due::Committed { life } if life == self.life => self.committed(),
            Due::Sign { life } if life == self.life => self.sign(),
            Due::Agent { life, pt, step } if life == self.life => self.move_agent(pt, step),
            Due::Fetched { life, runs } if life == self.life => self.fetched(runs),
            Due::Turn { .. }
            | Due::Committed { .. }
            | Due::Sign { .. }
            | Due::Agent { .. }
            | Due::Fetched { .. } => Ok(()),
            Due::Ghost(command) => {
                let command = self.forge(*command);
                self.send(command, 0, None);
                Ok(())
            }
            Due::Late(command) => {
                self.send(*command, 0, None);
                Ok(())
            }
            Due::Arrival { key, class } => {
                self.note(|| format!("{} arrives late", key.0));
                self.sink.perform(key, class)
            }
            Due::Client => self.act(),
            Due::Signal => self.send_signals(),
            Due::Schedule => self.act_on_schedules(),
            Due::Fork => self.fork_some(),
            Due::Worker { life, place } => {
                if life.is_none_or(|life| life == self.life) {
                    self.stir_workers(life, place);
                }
                Ok(())
            }
            Due::Again(operation) => {
                self.submit_again(operation);
                Ok(())
            }
            Due::Fault => self.fault(),
            Due::Space => {
                self.files.set_faults(|faults| faults.full = false);
                Ok(())
            }
        }
    }

    /// Puts something in the queue, so many microseconds from now.
    pub(crate) fn after(&mut self, micros: u64, due: Due) {
        self.order += 1;
        self.queue.insert((self.now.saturating_add(micros), self.order), due);
    }

    /// What the wall clock says.
    pub(crate) fn wall(&self) -> Time {
        let ms = EPOCH_MS + (self.now / 1_000) as i64 + self.wall_off_ms;
        Time(u64::try_from(ms).unwrap_or(0))
    }

    /// Takes something into the trace, whose value is the fingerprint of everything that happened.
    pub(crate) fn trace(&mut self, value: u64) {
        let mixed = self.trace ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.now;
        self.trace = mixed.rotate_left(23).wrapping_mul(0x2545_f491_4f6c_dd1d);
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.trace
    }

    /// Remembers what happens, if somebody wants to read it.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.notes_max == 0 {
            return;
        }
        if self.notes.len() >= self.notes_max {
            self.notes.pop_front();
        }
        let note = format!("{:>12.3} ms  {}", self.now as f64 / 1_000.0, text());
        self.notes.push_back(note);
    }

    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes).into()
    }

    /// Whether faults of a kind may be; one that is will be counted.
    pub(crate) fn may(&mut self, kind: FaultKind, what: &'static str) -> bool {
        let may = self.faults.has(kind);
        if may {
            *self.injected.entry(what).or_default() += 1;
        }
        may
    }

    pub(crate) fn take_injected(&mut self) -> Injected {
        std::mem::take(&mut self.injected)
    }

    /// Whether a planted bug is on.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
