//! The caller's side: what this machine can hold, and running jobs in it.

mod cgroups;
mod delegated;
mod hierarchy;
mod order;
mod probe;
mod processes;
mod spawn;
mod watch;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::SandboxError;
use crate::filter::Filters;
use crate::job::{Finished, Job};
use crate::kernel;
use crate::launcher::WHOLE_FROM;
use crate::machine::{Held, Probe, Reaped, Settings};
use crate::profile::{Profile, Strength};
use cgroups::Cgroups;
pub(crate) use probe::LANDLOCK;

/// Runs jobs. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Jail {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    probe: Probe,
    cgroups: Cgroups,
    filters: &'static Filters,
    /// Which processor the next job stays on, where no control group divides them.
    turn: AtomicU32,
}

impl Jail {
    /// Looks at the machine and tries out a jail without a program.
    ///
    /// A machine that lacks something is no error here: [`Jail::probe`] says what, and
    /// [`Jail::run`] refuses.
    ///
    /// # Errors
    ///
    /// `sandbox_failed` if the launcher cannot be started at all.
    pub fn open(settings: Settings) -> Result<Jail, SandboxError> {
        kernel::keep_ended_children()
            .map_err(|error| SandboxError::internal(format!("wait for children: {error}")))?;
        let cgroups = Cgroups::find();
        let filters = Filters::of_this_machine()?;
        let probe = probe::of_machine(&settings, &cgroups)?;
        let turn = AtomicU32::new(std::process::id());
        let inner = Inner { settings, probe, cgroups, filters, turn };
        let mut jail = Jail { inner: Arc::new(inner) };
        let trial = jail.trial();
        if let Some(inner) = Arc::get_mut(&mut jail.inner) {
            probe::add_trial(&mut inner.probe, trial)?;
        }
        Ok(jail)
    }

    /// What this machine has and lacks.
    pub fn probe(&self) -> &Probe {
        &self.inner.probe
    }

    /// How a profile would be held here.
    ///
    /// # Errors
    ///
    /// `sandbox_unavailable`, saying what is missing, if it cannot be held; `sandbox_invalid` if
    /// nothing could hold it.
    pub fn check(&self, profile: &Profile) -> Result<Held, SandboxError> {
        profile.validate()?;
        let missing = self.inner.probe.missing();
        if !missing.is_empty() {
            return Err(SandboxError::unavailable(format!(
                "confine a process on this machine: {}",
                missing.join("; ")
            )));
        }
        let held = self.held(profile);
        let limits = [
            ("memory", profile.memory_strength, held.memory, "memory"),
            ("cpu", profile.cpu_strength, held.cpu, "cpu"),
        ];
        for (limit, wanted, held, controller) in limits {
            if held < wanted {
                return Err(SandboxError::unavailable(format!(
                    "hold the limit `{limit}` for the whole tree of processes: {}",
                    self.inner.cgroups.why_not(controller)
                ))
                .with_hint(
                    "run it as root or delegate a control group to it, or accept the strength \
                     `process` in the profile",
                ));
            }
        }
        Ok(held)
    }

    fn held(&self, profile: &Profile) -> Held {
        let cgroups = &self.inner.cgroups;
        let strength = |there| if there { Strength::Tree } else { Strength::Process };
        let divides = cgroups.divides_cpu();
        let processors = order::processors(profile.cpu_milli, 0);
        let whole = u32::try_from(processors.len()).unwrap_or(u32::MAX).saturating_mul(1000);
        Held {
            memory: strength(cgroups.counts_memory()),
            cpu: strength(divides && cgroups.counts_cpu()),
            cpu_milli: if divides { profile.cpu_milli } else { whole },
            // The user namespace counts the processes of its one user, with or without a group.
            processes: Strength::Tree,
            landlock: kernel::landlock_version().is_ok_and(|version| version >= WHOLE_FROM),
        }
    }

    /// Runs a job and waits for its end. `is_stopped` is asked at least every 100 ms; once it says
    /// yes, the job is ended with all its processes. When this returns none of them is left.
    ///
    /// # Errors
    ///
    /// `sandbox_unavailable` if the profile cannot be held here, `sandbox_invalid` if the job cannot
    /// be run as it is written, `program_not_found` if there is no such program inside,
    /// `sandbox_failed` if setting up went wrong. Nothing has run then.
    pub fn run(&self, job: &Job, is_stopped: &dyn Fn() -> bool) -> Result<Finished, SandboxError> {
        job.validate()?;
        self.check(&job.profile)?;
        self.carried_out(job, is_stopped)
    }

    /// Everything but the program: what a job would meet is there or is told.
    fn trial(&self) -> Result<Finished, SandboxError> {
        let job = Job::new(Profile::default(), std::iter::empty::<&str>());
        self.carried_out(&job, &|| false)
    }

    fn carried_out(
        &self,
        job: &Job,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Finished, SandboxError> {
        let inner = &*self.inner;
        let group = inner.cgroups.make(&job.profile)?;
        let finished = order::of_job(job, inner, &group).and_then(|order| {
            let writes = writes::Writes::of(job);
            let launched = spawn::launch(&inner.settings, &order, &job.stdin)?;
            watch::to_the_end(job, launched, &group, writes, is_stopped)
        });
        inner.cgroups.remove(group);
        finished
    }

    /// Removes what a crashed instance left behind, and what could not be removed before.
    pub fn reap(&self) -> Reaped {
        self.inner.cgroups.reap()
    }
}

impl Inner {
    fn next_turn(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// The launcher's whole work, if this process was started to be it: its exit code. The first line of
/// the `main` of every binary that opens a jail, before it makes a thread or reads its arguments.
pub fn launcher_main_if_asked() -> Option<i32> {
    crate::launcher::main_if_asked()
}
