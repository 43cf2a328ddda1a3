//! `ark-os-sim`: runs seeds and prints what broke, with the command that replays it.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use ark_os_sim::{Bug, Options, Outcome, Sweep, run_seed, sweep};
use clap::Parser;

/// Seeded faults around the real loop: crashes, torn writes, failed syncs, full disks, clock jumps,
/// and agents that hang, lie, loop and come late.
#[derive(Debug, Parser)]
#[command(name = "ark-os-sim")]
struct Flags {
    /// How many seeds to run.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replay one seed and print its last events.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many of the last steps of a replayed seed to print.
    #[arg(long, default_value_t = 80)]
    steps: usize,
    /// Plant a bug, to see that it is found; `list` names them.
    #[arg(long)]
    bug: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(code) => code,
        // Nobody reads the output any more.
        Err(_) => ExitCode::from(2),
    }
}

fn run(flags: &Flags) -> std::io::Result<ExitCode> {
    let mut out = stdout().lock();
    let bug = match flags.bug.as_deref() {
        Some("list") => {
            for bug in Bug::ALL {
                writeln!(out, "{bug}")?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Some(name) => match Bug::parse(name) {
            Some(bug) => Some(bug),
            None => {
                writeln!(stderr(), "there is no bug `{name}`; `--bug list` names them")?;
                return Ok(ExitCode::from(2));
            }
        },
        None => None,
    };
    let is_whole = match flags.seed {
        Some(seed) => {
            let outcome =
                run_seed(seed, &Options { bug, notes: flags.steps, ..Options::default() });
            show_seed(&mut out, &outcome, flags)?;
            outcome.violation.is_none()
        }
        None => {
            let found =
                sweep(flags.from, flags.seeds, &Options { bug, ..Options::default() }, false);
            show_sweep(&mut out, &found, flags)?;
            found.broken.is_empty()
        }
    };
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show_seed(out: &mut impl Write, outcome: &Outcome, flags: &Flags) -> std::io::Result<()> {
    if flags.json {
        return writeln!(out, "{}", serde_json::to_string(outcome)?);
    }
    for note in &outcome.notes {
        writeln!(out, "{note}")?;
    }
    writeln!(
        out,
        "seed {}: {:?}, fingerprint {:016x}, {} ms simulated",
        outcome.seed,
        outcome.counts,
        outcome.fingerprint,
        outcome.micros / 1_000
    )?;
    match &outcome.violation {
        Some(violation) => writeln!(out, "BROKEN at event {}: {violation}", outcome.counts.events),
        None => writeln!(out, "every promise was kept"),
    }
}

fn show_sweep(out: &mut impl Write, found: &Sweep, flags: &Flags) -> std::io::Result<()> {
    if flags.json {
        return writeln!(out, "{}", serde_json::to_string(found)?);
    }
    let bug = flags.bug.as_ref().map(|bug| format!(" --bug {bug}")).unwrap_or_default();
    for outcome in &found.broken {
        let Some(violation) = &outcome.violation else { continue };
        writeln!(out, "seed {} at event {}: {violation}", outcome.seed, outcome.counts.events)?;
        writeln!(out, "  replay: cargo xtask sim --seed {}{bug}", outcome.seed)?;
    }
    writeln!(out, "{} seeds, {} broken; {:?}", found.seeds, found.broken.len(), found.total)
}
