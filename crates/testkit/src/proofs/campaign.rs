//! Many cases: each judged by both verifiers, and the first disagreement told with what reproduces it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ark_os_runtime::proofs::{BundleTrust, verify};
use serde_json::{Value, json};

use super::crafted::crafted;
use super::mutate::{Mutant, mutant};
use super::python::Python;
use super::sample::{Sample, samples};

/// Tasks of a bundle that is made to be large; its verification takes time in proportion.
const CRAFTED_TASKS: u64 = 100_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// How many cases.
    pub mutations: u64,
    /// Whence they are drawn.
    pub seed: u64,
    /// The Python to run.
    pub interpreter: PathBuf,
    /// The second verifier.
    pub script: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Cases judged.
    pub judged: u64,
    /// How often each verdict was both's.
    pub verdicts: BTreeMap<String, u64>,
    /// Of what was done to them.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Samples they were made from.
    pub samples: usize,
    /// Cases that both accepted though they differ from every sample, by what was done to them.
    pub passed_changed: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// As one document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "judged": self.judged, "samples": self.samples, "verdicts": self.verdicts, "kinds": self.kinds,
            "accepted_though_changed": self.passed_changed,
        })
    }
}

/// Why the verifiers do not agree, or both are wrong.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed} case {case} ({what}): {why}")]
pub struct Disagreement {
    /// The seed.
    pub seed: u64,
    /// The case.
    pub case: u64,
    /// What was done.
    pub what: &'static str,
    /// What they say.
    pub why: String,
    /// The file.
    pub bundle: Vec<u8>,
}

impl Campaign {
    /// Judges every case.
    ///
    /// # Errors
    /// The first case in which the verifiers differ, or accept what was changed.
    pub fn run(&self) -> Result<Summary, Box<dyn std::error::Error>> {
        let samples = samples()?;
        let mut python = Python::start(&self.interpreter, &self.script)?;
        let mut summary = Summary { samples: samples.len(), ..Summary::default() };
        for sample in &samples {
            let untouched = Mutant {
                what: "nothing",
                bundle: sample.bundle.clone(),
                key: Some(sample.key.clone()),
                kept: sample.kept.clone(),
                may_pass: true,
            };
            let verdict = judge(&untouched, &mut python)?;
            if verdict != Ok("ok".to_owned()) {
                return Err(format!("the untouched bundle `{}`: {verdict:?}", sample.name).into());
            }
        }
        for crafted in crafted(CRAFTED_TASKS)? {
            let case = Mutant {
                what: crafted.name,
                bundle: crafted.bundle,
                key: None,
                kept: None,
                may_pass: true,
            };
            match judge(&case, &mut python)? {
                Ok(verdict) if verdict.split(' ').next() == Some(crafted.verdict) => {}
                verdict => {
                    return Err(format!("the crafted bundle `{}`: {verdict:?}", case.what).into());
                }
            }
        }
        // Some cases have nothing to damage; they are not counted.
        for case in 0..self.mutations.saturating_mul(2) {
            if summary.judged == self.mutations {
                return Ok(summary);
            }
            let Some(mutant) = mutant(&samples, self.seed, case) else { continue };
            self.case(case, &mutant, &samples, &mut python, &mut summary)?;
        }
        Err(format!("only {} of {} cases could be judged", summary.judged, self.mutations).into())
    }

    fn case(
        &self,
        case: u64,
        mutant: &Mutant,
        samples: &[Sample],
        python: &mut Python,
        summary: &mut Summary,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let wrong = |why: String| Disagreement {
            seed: self.seed,
            case,
            what: mutant.what,
            why,
            bundle: mutant.bundle.clone(),
        };
        let verdict = judge(mutant, python)?.map_err(wrong)?;
        let is_sample = || samples.iter().any(|sample| sample.bundle == mutant.bundle);
        if verdict == "ok" && !is_sample() {
            if !mutant.may_pass {
                return Err(wrong("both accept what was changed".to_owned()).into());
            }
            *summary.passed_changed.entry(mutant.what).or_default() += 1;
        }
        let class = verdict.split(' ').next().unwrap_or_default().to_owned();
        *summary.verdicts.entry(class).or_default() += 1;
        *summary.kinds.entry(mutant.what).or_default() += 1;
        summary.judged += 1;
        Ok(())
    }
}

/// The verdict of both; or what each says, if they differ.
fn judge(
    mutant: &Mutant,
    python: &mut Python,
) -> Result<Result<String, String>, Box<dyn std::error::Error>> {
    let Mutant { bundle, key, kept, .. } = mutant;
    let trust = BundleTrust { key: key.clone(), kept: kept.clone() };
    let (ours, why) = match verify(&mut bundle.as_slice(), &trust)? {
        Ok(_) => ("ok".to_owned(), String::new()),
        Err(refused) => (format!("{} {}", refused.class.as_str(), refused.line), refused.why),
    };
    let theirs = python.judge(bundle, key.as_deref(), kept.as_deref())?;
    if ours == theirs {
        return Ok(Ok(ours));
    }
    Ok(Err(format!("the first verifier says `{ours}` ({why}), the second `{theirs}`")))
}
