//! The driver draws the same cases from the same seed, and every target stands its seeds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use ark_os_runtime::proofs::{BundleTrust, verify};
use ark_os_testkit::proofs::{crafted, mutant, samples};

use ark_os_testkit::fuzz::{Campaign, NAMES, Rng, input_of, target};

fn campaign(seed: u64) -> Campaign {
    Campaign {
        seed,
        time: Duration::from_secs(60),
        target: None,
        case: None,
        input: None,
        cases_max: 60,
        keep: std::env::temp_dir().join("ark-os-fuzz-tests"),
    }
}

#[test]
fn every_target_stands_its_seeds_and_some_damage() {
    let summary = campaign(7).run().unwrap();
    assert!(summary.is_ok(), "{:#}", summary.to_json());
    assert_eq!(summary.targets.len(), NAMES.len());
    assert!(summary.targets.iter().all(|target| target.cases == 60));
}

#[test]
fn a_case_is_named_by_target_seed_and_number() {
    for name in ["manifest", "condition", "source"] {
        let target = target(name).unwrap();
        for case in 0..200 {
            assert_eq!(input_of(&target, 3, case), input_of(&target, 3, case));
        }
        assert_ne!(input_of(&target, 3, 1), input_of(&target, 4, 1));
    }
}

#[test]
fn damage_is_done_to_most_cases_and_not_beyond_recognition() {
    let target = target("manifest").unwrap();
    let inputs: Vec<_> = (0..500).map(|case| input_of(&target, 1, case)).collect();
    let same = inputs.iter().filter(|input| target.seeds.contains(input)).count();
    let json = inputs.iter().filter(|it| serde_json::from_slice::<serde_json::Value>(it).is_ok());
    assert!(same < 150, "{same} of 500 are seeds");
    assert!(json.count() > 100, "hardly a document is left");
}

#[test]
fn the_generator_does_not_change_with_time() {
    let mut rng = Rng::of(&[1, 2, 3]);
    let drawn: Vec<u64> = (0..3).map(|_| rng.draw()).collect();
    assert_eq!(drawn, [0xd2e8_cf0c_cbe3_2185, 0x40e3_2fe0_9b36_0687, 0xa422_49a5_6009_eca8]);
}

#[test]
fn an_unknown_target_is_refused_with_the_names() {
    let error = Campaign { target: Some("no".to_owned()), ..campaign(1) }.run().unwrap_err();
    assert!(error.to_string().contains("manifest"), "{error}");
}

#[test]
fn mutations_of_bundles_are_drawn_from_the_seed_and_refused_unless_they_may_pass() {
    let samples = samples().unwrap();
    let verdict = |bundle: &[u8], key: Option<String>, kept: Option<String>| {
        let trust = BundleTrust { key, kept };
        verify(&mut &bundle[..], &trust).unwrap()
    };
    for sample in &samples {
        let (key, kept) = (Some(sample.key.clone()), sample.kept.clone());
        verdict(&sample.bundle, key, kept).unwrap();
    }
    for case in 0..400 {
        let (Some(one), Some(same)) = (mutant(&samples, 1, case), mutant(&samples, 1, case)) else {
            continue;
        };
        assert_eq!(one.bundle, same.bundle, "case {case}");
        let is_sample = samples.iter().any(|sample| sample.bundle == one.bundle);
        let passes = verdict(&one.bundle, one.key, one.kept).is_ok();
        assert!(!passes || is_sample || one.may_pass, "case {case}: {}", one.what);
    }
}

/// Processor time of this thread, in nanoseconds.
fn spent() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Time of a verification.
fn time(bundle: &[u8]) -> u64 {
    let began = spent();
    let _ = verify(&mut &bundle[..], &BundleTrust::default()).unwrap();
    spent() - began
}

#[test]
#[expect(clippy::disallowed_methods, reason = "memory is measured in a process of its own")]
fn no_bundle_costs_more_memory_than_three_times_its_size() {
    /// What the heap grows by at a time, twice.
    const SLACK: u64 = 256 << 10;
    let dir = tempfile::tempdir().unwrap();
    for it in crafted(200_000).unwrap() {
        let path = dir.path().join("bundle");
        std::fs::write(&path, &it.bundle).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ark-os-proofs"));
        let told = command.arg("--cost").arg(&path).output().unwrap().stdout;
        let peak: u64 = String::from_utf8(told).unwrap().trim().parse().unwrap();
        let size = it.bundle.len() as u64;
        println!("{}: {} KiB of {} KiB", it.name, peak >> 10, size >> 10);
        assert!(peak <= 3 * size + SLACK, "{}: {peak} bytes for {size}", it.name);
    }
}

#[test]
fn the_time_of_a_verification_grows_with_the_bundle_and_not_faster() {
    let (small, large) = (crafted(10_000).unwrap(), crafted(100_000).unwrap());
    for (small, large) in small.iter().zip(&large) {
        let verdict = verify(&mut &large.bundle[..], &BundleTrust::default()).unwrap();
        let verdict = verdict.map_or_else(|refused| refused.class.as_str(), |_| "ok");
        assert_eq!(verdict, large.verdict, "{}", large.name);
        let (few, many) = (time(&small.bundle), time(&large.bundle));
        println!("{}: {} us, {} us", large.name, few / 1_000, many / 1_000);
        // Ten times in proportion, a hundred times if it were quadratic.
        assert!(many < 40 * few.max(1_000_000), "{}: {few} ns and {many} ns", large.name);
    }
}
