//! A campaign: targets in turn, cases until the time is up, and what went wrong with what.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::input_of;
use super::targets::{NAMES, Target, target};

/// A case that takes longer is a failure: nothing that is read may cost so much.
const SLOW: Duration = Duration::from_secs(10);
/// A case that takes so long does not end.
const HUNG: Duration = Duration::from_secs(60);
/// How often the watch looks at the clock.
const WATCH: Duration = Duration::from_millis(250);
/// Failures of one target before it is left: more say the same.
const FAILURES_MAX: usize = 5;
/// Panics of one case that are told.
const PANICS_TOLD_MAX: usize = 4;
/// Panics inside these are caught where they are called, which is why they are called there.
const CAUGHT_INSIDE: [&str; 2] = ["/cel-", "/antlr4rust-"];

/// What to try.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// All cases follow from it.
    pub seed: u64,
    /// Time for all targets together.
    pub time: Duration,
    /// Just this target.
    pub target: Option<String>,
    /// Just this case of it.
    pub case: Option<u64>,
    /// Just this input of it.
    pub input: Option<Vec<u8>>,
    /// Cases of each target, at most.
    pub cases_max: u64,
    /// Where inputs that fail are kept.
    pub keep: PathBuf,
}

/// There is no target of this name.
#[derive(Debug, thiserror::Error)]
#[error("no target is called `{0}`; there are {all}", all = NAMES.join(", "))]
pub struct UnknownTarget(String);

/// What came of a campaign.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its seed.
    pub seed: u64,
    /// Each target.
    pub targets: Vec<TargetSummary>,
}

/// What came of a target.
#[derive(Clone, Debug)]
pub struct TargetSummary {
    /// Its name.
    pub target: &'static str,
    /// How many cases there were.
    pub cases: u64,
    /// How long they took.
    pub took: Duration,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its target.
    pub target: &'static str,
    /// Its number under the campaign's seed.
    pub case: u64,
    /// What the target said.
    pub message: String,
    /// The input, and where it is kept.
    pub input: Vec<u8>,
    /// None: it could not be written.
    pub kept: Option<PathBuf>,
}

impl Summary {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.targets.iter().all(|target| target.failures.is_empty())
    }

    /// For machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let failure = |it: &Failure| {
            json!({
                "target": it.target, "seed": self.seed, "case": it.case, "message": it.message,
                "input": it.kept,
                "again": format!("ark-os-fuzz --target {} --seed {} --case {}", it.target, self.seed, it.case),
            })
        };
        let target = |it: &TargetSummary| json!({"target": it.target, "cases": it.cases, "seconds": it.took.as_secs_f64()});
        json!({
            "seed": self.seed,
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
            "failures": self.targets.iter().flat_map(|it| &it.failures).map(failure).collect::<Vec<_>>(),
        })
    }
}

/// Where the thread at work stands, for the watch.
#[derive(Default)]
struct Progress {
    case: AtomicU64,
}

impl Campaign {
    /// Tries everything; panics are caught and told in the summary.
    ///
    /// # Errors
    /// There is no such target.
    pub fn run(&self) -> Result<Summary, UnknownTarget> {
        let names = match &self.target {
            None => NAMES.to_vec(),
            Some(name) => vec![
                *NAMES.iter().find(|it| *it == name).ok_or_else(|| UnknownTarget(name.clone()))?,
            ],
        };
        let share = self.time / u32::try_from(names.len()).unwrap_or(1);
        listen();
        let targets = names.into_iter().map(|name| self.watched(name, share)).collect();
        Ok(Summary { seed: self.seed, targets })
    }

    /// Runs a target on a thread of its own, so that a case that does not end is noticed.
    fn watched(&self, name: &'static str, share: Duration) -> TargetSummary {
        let (tx, done) = channel();
        let progress = Arc::new(Progress::default());
        let (campaign, at) = (self.clone(), progress.clone());
        let started = spawn(move || {
            // If nobody waits for it any more, it has been given up.
            let _ = tx.send(campaign.on(name, share, &at));
        });
        match started {
            Ok(()) => self.watch(name, &progress, &done),
            Err(error) => self.gone(name, 0, format!("no thread: {error}")),
        }
    }

    fn watch(
        &self,
        name: &'static str,
        progress: &Progress,
        done: &Receiver<TargetSummary>,
    ) -> TargetSummary {
        let (mut seen, mut since) = (u64::MAX, now());
        loop {
            match done.recv_timeout(WATCH) {
                Ok(summary) => return summary,
                Err(RecvTimeoutError::Disconnected) => {
                    return self.gone(name, seen, "its thread is gone".to_owned());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let case = progress.case.load(Ordering::Relaxed);
            if case != seen {
                (seen, since) = (case, now());
            } else if now().duration_since(since) >= HUNG {
                return self.gone(name, case, format!("does not end within {HUNG:?}"));
            }
        }
    }

    fn gone(&self, name: &'static str, case: u64, message: String) -> TargetSummary {
        let input = target(name).map(|it| self.input(&it, case)).unwrap_or_default();
        let failure = self.kept(Failure { target: name, case, message, input, kept: None });
        TargetSummary { target: name, cases: case, took: HUNG, failures: vec![failure] }
    }

    fn on(&self, name: &'static str, share: Duration, progress: &Progress) -> TargetSummary {
        let begun = now();
        let mut summary =
            TargetSummary { target: name, cases: 0, took: Duration::ZERO, failures: Vec::new() };
        let Some(mut target) = target(name) else { return summary };
        let first = self.case.unwrap_or(0);
        let single = self.case.is_some() || self.input.is_some();
        let last = if single { first } else { first.saturating_add(self.cases_max - 1) };
        for case in first..=last {
            progress.case.store(case, Ordering::Relaxed);
            let input = self.input(&target, case);
            if let Some(message) = fault(&mut target, &input) {
                let failure = Failure { target: name, case, message, input, kept: None };
                summary.failures.push(self.kept(failure));
            }
            summary.cases += 1;
            let is_over = now().duration_since(begun) >= share;
            if is_over || summary.failures.len() >= FAILURES_MAX {
                break;
            }
        }
        summary.took = now().duration_since(begun);
        summary
    }

    fn input(&self, target: &Target, case: u64) -> Vec<u8> {
        self.input.clone().unwrap_or_else(|| match target.seeds.get(case as usize) {
            // The first cases are the seeds as they are.
            Some(seed) => seed.clone(),
            None => input_of(target, self.seed, case),
        })
    }

    fn kept(&self, mut failure: Failure) -> Failure {
        let name = format!("{}-{}-{}.bin", failure.target, self.seed, failure.case);
        let path = self.keep.join(name);
        let written = std::fs::create_dir_all(&self.keep)
            .and_then(|()| std::fs::write(&path, &failure.input));
        failure.kept = written.is_ok().then_some(path);
        failure
    }
}

/// Runs one case; what was wrong with it.
fn fault(target: &mut Target, input: &[u8]) -> Option<String> {
    panics().clear();
    let begun = now();
    let run = std::panic::AssertUnwindSafe(|| (target.run)(input));
    let result = std::panic::catch_unwind(run);
    let took = now().duration_since(begun);
    let told = panics();
    let told: Vec<&str> = told
        .iter()
        .filter(|it| result.is_err() || !CAUGHT_INSIDE.iter().any(|inside| it.contains(inside)))
        .map(String::as_str)
        .collect();
    if result.is_err() || !told.is_empty() {
        return Some(told.join("; and "));
    }
    (took >= SLOW).then(|| format!("took {took:?}"))
}

/// What panicked since the case began, on whatever thread.
fn panics() -> std::sync::MutexGuard<'static, Vec<String>> {
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes panics instead of printing them: a target that fails does so on purpose.
fn listen() {
    std::panic::set_hook(Box::new(|info| {
        let mut panics = panics();
        if panics.len() < PANICS_TOLD_MAX {
            panics.push(info.to_string());
        }
    }));
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the driver; cases do not see it")]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one thread of the driver; the watch waits for it"
)]
fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("fuzz".to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::mutate::Form;
    use super::*;

    /// A parser with a bug that no seed shows: it takes the fifth byte for granted.
    fn planted() -> Target {
        let run = Box::new(|bytes: &[u8]| {
            if bytes.starts_with(b"ab") {
                assert!(bytes.len() > 4, "a planted bug");
            }
        });
        Target { name: "planted", seeds: vec![b"abcdefgh".to_vec()], form: Form::Bytes(&[]), run }
    }

    #[test]
    fn a_planted_bug_is_found_and_its_case_shows_it_again() {
        listen();
        let mut target = planted();
        let found = (0..10_000).find(|case| {
            let input = input_of(&target, 1, *case);
            fault(&mut target, &input).is_some()
        });
        let input = input_of(&target, 1, found.expect("the bug is found"));
        let message = fault(&mut planted(), &input).expect("the case shows it again");
        assert!(message.contains("a planted bug"), "{message}");
        assert_eq!(fault(&mut planted(), b"abcdefgh"), None);
    }

    #[test]
    fn a_panic_on_another_thread_is_a_failure_too() {
        listen();
        let run = Box::new(|_: &[u8]| {
            let thread = std::thread::scope(|scope| {
                scope.spawn(|| panic!("on another thread")).join().is_err()
            });
            assert!(thread);
        });
        let mut target = Target { name: "threads", seeds: Vec::new(), form: Form::Bytes(&[]), run };
        let message = fault(&mut target, b"").expect("it is noticed");
        assert!(message.contains("on another thread"), "{message}");
    }
}
