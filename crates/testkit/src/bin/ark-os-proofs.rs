//! `ark-os-proofs`: holds the two verifiers of proof bundles against each other, prints a JSON summary, and
//! fails at the first case in which they differ; its bundle is kept. With `--cost` it tells what one bundle takes.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ark_os_runtime::proofs::{BundleTrust, verify};
use ark_os_testkit::proofs::{Campaign, Disagreement};

const USAGE: &str = "ark-os-proofs [--mutations N] [--seed S] [--python PROGRAM] [--script FILE] [--keep FILE]\nark-os-proofs --cost BUNDLE";
/// Enough to meet every kind of mutation and every class of fault, in seconds.
const MUTATIONS: u64 = 3_000;
/// Where the bundle of a disagreement is kept unless it is said otherwise.
const KEEP: &str = "target/proofs-disagree.json";

fn main() -> ExitCode {
    let arguments = arguments();
    if let [flag, path] = arguments.as_slice()
        && flag == "--cost"
    {
        return match cost(path) {
            Ok(bytes) => told(&mut std::io::stdout(), &bytes.to_string(), 0),
            Err(error) => told(&mut std::io::stderr(), &error.to_string(), 1),
        };
    }
    let (campaign, keep) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(why) => return told(&mut std::io::stderr(), &format!("{why}\n{USAGE}"), 2),
    };
    match campaign.run() {
        Ok(summary) => told(&mut std::io::stdout(), &format!("{:#}", summary.to_json()), 0),
        Err(error) => {
            let mut text = error.to_string();
            if let Some(Disagreement { bundle, .. }) = error.downcast_ref() {
                text += &match std::fs::write(&keep, bundle) {
                    Ok(()) => format!("\nthe bundle is kept in `{}`", keep.display()),
                    Err(error) => format!("\nthe bundle is lost: {error}"),
                };
            }
            told(&mut std::io::stderr(), &text, 1)
        }
    }
}

/// Bytes of address space that the verification of a bundle takes, in a process that did nothing else.
///
/// What is resident would count the pages of the program itself, as many as the kernel likes to map at a time.
fn cost(path: &str) -> std::io::Result<u64> {
    let mut bundle = std::io::BufReader::new(std::fs::File::open(path)?);
    let before = memory("VmSize")?;
    // What it says of the bundle is not asked here.
    let _ = verify(&mut bundle, &BundleTrust::default())?;
    Ok(memory("VmPeak")?.saturating_sub(before))
}

/// A number of `/proc/self/status`, in bytes.
fn memory(name: &str) -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| std::io::Error::other("the kernel does not say"))
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

fn parse(arguments: &[String]) -> Result<(Campaign, PathBuf), String> {
    let mut campaign = Campaign {
        mutations: MUTATIONS,
        seed: 1,
        interpreter: PathBuf::from("python3"),
        script: PathBuf::from("tools/verify_bundle.py"),
    };
    let mut keep = PathBuf::from(KEEP);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("`{value}` is no number"));
        match flag.as_str() {
            "--mutations" => campaign.mutations = number()?,
            "--seed" => campaign.seed = number()?,
            "--python" => campaign.interpreter = PathBuf::from(value),
            "--script" => campaign.script = PathBuf::from(value),
            "--keep" => keep = PathBuf::from(value),
            _ => return Err(format!("there is no flag `{flag}`")),
        }
    }
    Ok((campaign, keep))
}
