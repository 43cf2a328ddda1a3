//! `ark-os-fuzz`: runs the fuzz targets for a while, prints a JSON summary, and fails if one did.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ark_os_testkit::fuzz::{Campaign, NAMES};

const USAGE: &str = "ark-os-fuzz [--seconds N] [--cases N] [--seed S] [--target T [--case N | --input FILE]] [--keep DIR]";
/// Where inputs that fail are kept unless it is said otherwise.
const KEEP: &str = "target/fuzz";
/// Seconds for all targets together.
const SECONDS: u64 = 30;

fn main() -> ExitCode {
    let campaign = match parse(&arguments()) {
        Ok(campaign) => campaign,
        Err(why) => return told(&mut std::io::stderr(), &format!("{why}\n{USAGE}"), 2),
    };
    match campaign.run() {
        Ok(summary) => {
            let code = if summary.is_ok() { 0 } else { 1 };
            told(&mut std::io::stdout(), &format!("{:#}", summary.to_json()), code)
        }
        Err(error) => told(&mut std::io::stderr(), &error.to_string(), 2),
    }
}

fn told(to: &mut dyn Write, what: &str, code: u8) -> ExitCode {
    // If nobody reads it, the exit code still tells.
    let _ = writeln!(to, "{what}");
    ExitCode::from(code)
}

#[expect(clippy::disallowed_methods, reason = "the one place of this program that reads arguments")]
fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}

fn parse(arguments: &[String]) -> Result<Campaign, String> {
    let mut campaign = Campaign {
        seed: 1,
        time: Duration::from_secs(SECONDS),
        target: None,
        case: None,
        input: None,
        cases_max: u64::MAX,
        keep: PathBuf::from(KEEP),
    };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("`{value}` is no number"));
        match flag.as_str() {
            "--seconds" => campaign.time = Duration::from_secs(number()?),
            "--cases" => campaign.cases_max = number()?.max(1),
            "--seed" => campaign.seed = number()?,
            "--case" => campaign.case = Some(number()?),
            "--target" if NAMES.contains(&value.as_str()) => campaign.target = Some(value.clone()),
            "--target" => return Err(format!("--target takes one of {}", NAMES.join(", "))),
            "--keep" => campaign.keep = PathBuf::from(value),
            "--input" => {
                let read = std::fs::read(value).map_err(|error| format!("read `{value}`: {error}"));
                campaign.input = Some(read?);
            }
            _ => return Err(format!("there is no flag `{flag}`")),
        }
    }
    if campaign.target.is_none() && (campaign.case.is_some() || campaign.input.is_some()) {
        return Err("--case and --input need --target".to_owned());
    }
    Ok(campaign)
}
