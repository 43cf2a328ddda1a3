//! `ark-os orchestrator-sim`.

use ark_os_api::Exit;
use ark_os_sim::{Options, Outcome, Sweep, run_seed, sweep};
use serde_json::Value;

use crate::failure::Failure;
use crate::session::Session;
use crate::simulation::{fault_kinds, injected_lines};
use crate::terminal::{Terminal, Tone};

/// Try the engine itself against simulated faults, from a seed
///
/// Each seed is a whole simulated life of an instance: the very code that decides, records and
/// recovers, with simulated time, disk, agents and clients around it. Processes are killed, the power
/// goes, disks fail and fill, clocks jump, agents hang, lie and come late; then every promise is checked:
/// nothing accepted is lost, no effect happens twice, everything ends. The same seed gives the same life.
/// A broken promise is told with its seed, and is a fault of ours; the exit code is then 1.
#[derive(Debug, clap::Args)]
pub(crate) struct OrchestratorSim {
    /// Live through this one, and print its last steps
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds
    #[arg(long, value_name = "M", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// What breaks: `all`, `none`, or some of crash, power, disk, clock, agent, slow, zombie, duplicate
    #[arg(long, value_name = "KINDS", default_value = "all")]
    faults: String,
    /// How many of the last steps of one seed to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    steps: usize,
}

impl OrchestratorSim {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let faults = fault_kinds(&self.faults)?;
        let is_whole = match self.seed {
            Some(seed) => {
                let options = Options { notes: self.steps, faults, ..Options::default() };
                let outcome = run_seed(seed, &options);
                session.output.answer(&outcome, |terminal| of_one(&outcome, terminal))?;
                outcome.violation.is_none()
            }
            None => {
                let options = Options { faults, ..Options::default() };
                let found = sweep(self.from, self.seeds, &options, false);
                session.output.answer(&found, |terminal| self.of_many(&found, terminal))?;
                found.broken.is_empty()
            }
        };
        Ok(if is_whole { Exit::Done } else { Exit::Failed })
    }

    fn of_many(&self, found: &Sweep, terminal: &Terminal) -> Vec<String> {
        let mut lines = Vec::new();
        for outcome in &found.broken {
            let Some(violation) = &outcome.violation else { continue };
            lines.push(terminal.out(Tone::Bad, &format!("seed {}: {violation}", outcome.seed)));
            lines.push(format!(
                "  again: ark-os orchestrator-sim --seed {} --faults {}",
                outcome.seed, self.faults
            ));
        }
        lines.extend(injected_lines(&found.injected));
        lines.push(counted(&found.total));
        let (seeds, broken) = (found.seeds, found.broken.len());
        lines.push(match broken {
            0 => terminal.out(Tone::Good, &format!("{seeds} seeds, every promise was kept")),
            _ => format!("{seeds} seeds, in {broken} of them a promise was broken"),
        });
        lines
    }
}

fn of_one(outcome: &Outcome, terminal: &Terminal) -> Vec<String> {
    let mut lines = outcome.notes.clone();
    lines.extend(injected_lines(&outcome.injected));
    lines.push(counted(&outcome.counts));
    lines.push(format!(
        "seed {}, fingerprint {:016x}, {} s of simulated time",
        outcome.seed,
        outcome.fingerprint,
        outcome.micros / 1_000_000
    ));
    lines.push(match &outcome.violation {
        None => terminal.out(Tone::Good, "every promise was kept"),
        Some(violation) => terminal.out(Tone::Bad, &format!("broken: {violation}")),
    });
    lines
}

/// What was met, in numbers.
fn counted(counts: &ark_os_sim::Counts) -> String {
    let counts = serde_json::to_value(counts).unwrap_or_default();
    let fields = counts.as_object().cloned().unwrap_or_default();
    let shown = |(name, value): (&String, &Value)| format!("{value} {}", name.replace('_', " "));
    fields.iter().map(shown).collect::<Vec<_>>().join(", ")
}
