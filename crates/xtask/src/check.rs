//! `cargo xtask test`: the one check command. Runs the steps of the table in order, all of them
//! even after a failure, and ends with each step's time and the test runner's own summary line.

mod api;
mod compat;
mod setup;
mod steps;

use std::time::Duration;

use crate::place::Place;
use crate::shell::{Failed, say, timed, variable};
use steps::{Outcome, STEPS, Step};

/// A Python that the second verifier of proof bundles runs on.
pub(crate) fn python(place: &Place) -> Option<std::path::PathBuf> {
    setup::python(place)
}

/// What the caller chose, and what earlier steps found out.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) place: &'a Place,
    /// CI asks for the `ci` profile of the test runner.
    pub(crate) ci: bool,
    /// The test runner's own last words.
    pub(crate) summary: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    quick: bool,
    list: bool,
    only: Vec<String>,
}

/// Runs the chosen steps.
pub(crate) fn run(place: &Place, args: &[String]) -> Result<(), Failed> {
    let choice = choose(args)?;
    let chosen: Vec<&Step> = STEPS.iter().filter(|step| choice.takes(step)).collect();
    if choice.list {
        chosen.iter().for_each(|step| say(&format!("{:<9} {}", step.name, step.what)));
        return Ok(());
    }
    let ci = variable("CI").is_some_and(|value| value == "true" || value == "1");
    let mut session = Session { place, ci, summary: None };
    let mut done = Vec::new();
    for step in chosen {
        say(&format!("\n== {}: {}", step.name, step.what));
        let (outcome, took) = timed(|| step.run(&mut session));
        if let Outcome::Failed(why) = &outcome {
            say(&format!("xtask: {why}"));
        }
        done.push((step.name, outcome, took));
    }
    conclude(&session, &done)
}

fn choose(args: &[String]) -> Result<Choice, Failed> {
    let mut choice = Choice::default();
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--quick" => choice.quick = true,
            "--list" => choice.list = true,
            "--step" => choice.only.push(known(args.next())?),
            _ => {
                return Err(Failed::new(format!(
                    "no flag `{arg}`: test takes --quick, --list and --step NAME"
                )));
            }
        }
    }
    Ok(choice)
}

fn known(name: Option<&str>) -> Result<String, Failed> {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    match name {
        Some(name) if names.contains(&name) => Ok(name.to_owned()),
        _ => Err(Failed::new(format!("--step takes one of {}", names.join(", ")))),
    }
}

impl Choice {
    fn takes(&self, step: &Step) -> bool {
        if self.only.is_empty() {
            !self.quick || step.quick
        } else {
            self.only.iter().any(|name| name == step.name)
        }
    }
}

/// Says what each step came to; the test runner's summary is the last line but for a failure's.
fn conclude(session: &Session<'_>, done: &[(&str, Outcome, Duration)]) -> Result<(), Failed> {
    say("\n== summary");
    for (name, outcome, took) in done {
        say(&format!("{name:<9} {:>8.1} s  {}", took.as_secs_f64(), outcome.in_words()));
    }
    let whole: Duration = done.iter().map(|(_, _, took)| *took).sum();
    say(&format!("{:<9} {:>8.1} s", "all", whole.as_secs_f64()));
    if let Some(summary) = &session.summary {
        say(summary.trim());
    }
    let failed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
        .map(|(name, _, _)| *name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failed::new(format!("failed: {}", failed.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(args: &[&str]) -> Result<Choice, Failed> {
        choose(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_step_runs_unless_told_otherwise() {
        let all = chosen(&[]).unwrap();
        assert!(STEPS.iter().all(|step| all.takes(step)));
    }

    #[test]
    fn quick_takes_the_inner_loop_only() {
        let quick = chosen(&["--quick"]).unwrap();
        let names: Vec<_> =
            STEPS.iter().filter(|step| quick.takes(step)).map(|step| step.name).collect();
        assert!(names.contains(&"tidy") && names.contains(&"tests"), "{names:?}");
        assert!(!names.contains(&"sim") && !names.contains(&"setup"), "{names:?}");
    }

    #[test]
    fn one_step_can_be_chosen_and_an_unknown_one_is_refused_with_the_names() {
        let one = chosen(&["--step", "tidy"]).unwrap();
        assert_eq!(STEPS.iter().filter(|step| one.takes(step)).count(), 1);
        let refused = chosen(&["--step", "tidi"]).unwrap_err().to_string();
        assert!(refused.contains("tidy"), "{refused}");
        assert!(chosen(&["--fast"]).is_err());
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
