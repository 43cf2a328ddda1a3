//! The simulator is deterministic, finds every planted bug, and finds nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "integration/found.rs"]
mod found;

use ark_os_sim::{Bug, Options, run_seed, sweep};

/// Every planted bug has to be found within so many seeds.
const SEEDS_FOR_A_BUG: u64 = 500;
/// Worlds lived through here; `cargo xtask test` runs 500, `cargo xtask sim` any number.
const SEEDS: u64 = 100;

#[test]
fn every_promise_is_kept_whatever_fails() {
    let found = sweep(0, SEEDS, &Options::default(), false);
    assert_eq!(found.seeds, SEEDS);
    assert!(found.broken.is_empty(), "{:#?}", found.broken);
    let total = found.total;
    for (what, count) in [
        ("kills", total.kills),
        ("power losses", total.power_losses),
        ("failed journals", total.fail_stops),
        ("starts from a snapshot", total.from_snapshots),
        ("archived segments", total.archived),
        ("effects", total.effects),
        ("stale results", total.strikes),
        ("doubts", total.doubts),
        ("runs from disk", total.loads),
        ("probes", total.probes),
        ("runs of schedules", total.fires),
        ("forks", total.forks),
        ("tasks that forks reuse", total.reused),
        ("seats of workers", total.seats),
    ] {
        assert!(count > SEEDS / 5, "the simulation meets too few {what}: {count}");
    }
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in [1, 2, 3, 1_000_003] {
        let (first, again) =
            (run_seed(seed, &Options::default()), run_seed(seed, &Options::default()));
        assert_eq!(first, again, "seed {seed}");
        let noted = run_seed(seed, &Options { notes: 50, ..Options::default() });
        assert_eq!(first.fingerprint, noted.fingerprint, "notes change nothing");
    }
}

#[test]
fn different_seeds_are_different_worlds() {
    let mut fingerprints: Vec<u64> =
        (0..20).map(|seed| run_seed(seed, &Options::default()).fingerprint).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 20);
}

#[test]
fn a_broken_promise_is_replayed_by_its_seed() {
    let options = Options { bug: Some(Bug::IntentForgotten), ..Options::default() };
    let found = sweep(0, SEEDS_FOR_A_BUG, &options, true);
    let broken = found.broken.first().expect("it is found");
    let again = run_seed(broken.seed, &Options { notes: 50, ..options });
    assert_eq!(again.violation, broken.violation);
    assert_eq!(again.counts, broken.counts);
    assert!(!again.notes.is_empty());
}

#[test]
fn every_bug_has_a_name_of_its_own() {
    for bug in Bug::ALL {
        assert_eq!(Bug::parse(bug.name()), Some(bug));
    }
    assert_eq!(Bug::parse("none"), None);
}

/// Invariants by which a bug may be found: by the first that it breaks.
fn is_found(bug: Bug, by: &[&str]) {
    let options = Options { bug: Some(bug), ..Options::default() };
    let found = sweep(0, SEEDS_FOR_A_BUG, &options, true);
    let broken = found.broken.first().unwrap_or_else(|| panic!("`{bug}` is not found"));
    let violation = broken.violation.as_ref().unwrap();
    assert!(by.contains(&violation.invariant), "`{bug}` is found as {violation}");
}

#[test]
fn acknowledgement_before_sync_is_found() {
    is_found(Bug::AcknowledgedBeforeSync, &["I1", "I6"]);
}

#[test]
fn effect_released_early_is_found() {
    is_found(Bug::EffectReleasedEarly, &["I6"]);
}

#[test]
fn accepted_stale_fence_is_found() {
    is_found(Bug::StaleFenceAccepted, &["I4"]);
}

#[test]
fn lost_retry_is_found() {
    is_found(Bug::LostRetry, &["liveness"]);
}

#[test]
fn lost_escalation_is_found() {
    is_found(Bug::LostEscalation, &["liveness", "I21"]);
}

#[test]
fn lost_wakeup_is_found() {
    is_found(Bug::LostWakeup, &["liveness"]);
}

#[test]
fn double_join_is_found() {
    is_found(Bug::DoubleJoin, &["I4", "I6"]);
}

#[test]
fn record_skipped_by_the_replay_is_found() {
    is_found(Bug::LastRecordSkipped, &["I8"]);
}

#[test]
fn effect_without_a_durable_intent_is_found() {
    is_found(Bug::IntentForgotten, &["I10"]);
}

#[test]
fn cancellation_acknowledged_early_is_found() {
    is_found(Bug::CancelAcknowledgedEarly, &["I6", "I7"]);
}

#[test]
fn budget_reserved_after_the_call_is_found() {
    is_found(Bug::BudgetReservedAfter, &["I11"]);
}

#[test]
fn repeated_effect_in_doubt_is_found() {
    is_found(Bug::DoubtRepeated, &["I3"]);
}

#[test]
fn forgotten_idempotency_key_is_found() {
    is_found(Bug::KeyForgotten, &["I1"]);
}

#[test]
fn sync_that_does_nothing_is_found() {
    is_found(Bug::SyncLies, &["I1", "I8"]);
}

#[test]
fn sync_of_a_directory_that_does_nothing_is_found() {
    is_found(Bug::DirSyncLies, &["I1", "I8"]);
}

#[test]
fn run_that_is_loaded_twice_after_a_crash_is_found() {
    is_found(Bug::LoadedTwice, &["I2"]);
}

#[test]
fn deadline_that_is_forgotten_on_disk_is_found() {
    is_found(Bug::DeadlineForgotten, &["I1"]);
}

#[test]
fn run_that_is_called_in_and_never_comes_is_found() {
    is_found(Bug::FetchLost, &["liveness", "I18"]);
}

#[test]
fn signal_that_is_acknowledged_and_dropped_is_found() {
    is_found(Bug::SignalForgotten, &["I6"]);
}

#[test]
fn signal_that_counts_twice_is_found() {
    is_found(Bug::SignalRepeated, &["I1"]);
}

#[test]
fn signal_that_ends_two_waits_is_found() {
    is_found(Bug::SignalUsedTwice, &["I2"]);
}

#[test]
fn child_that_begins_twice_is_found() {
    is_found(Bug::ChildStartedTwice, &["I2"]);
}

#[test]
fn child_that_ends_for_its_task_before_it_is_over_is_found() {
    is_found(Bug::ChildEndedEarly, &["I6"]);
}

#[test]
fn tasks_that_are_added_twice_are_found() {
    is_found(Bug::TasksAddedTwice, &["I2"]);
}

#[test]
fn timers_before_the_start_are_found() {
    is_found(Bug::TimersBeforeStart, &["I5"]);
}

#[test]
fn snapshot_of_what_is_not_synced_is_found() {
    is_found(Bug::SnapshotOfUnsynced, &["I8"]);
}

#[test]
fn fences_forgotten_by_a_snapshot_are_found() {
    is_found(Bug::SnapshotForgetsFences, &["I8"]);
}

#[test]
fn step_that_is_repeated_unasked_is_found() {
    is_found(Bug::ProbeSkipped, &["I3"]);
}

#[test]
fn deployment_whose_agents_nobody_looked_at_is_found() {
    is_found(Bug::HealthUnasked, &["I20"]);
}

#[test]
fn limit_that_is_forgotten_is_found() {
    is_found(Bug::LimitForgotten, &["limit"]);
}

#[test]
fn time_of_a_schedule_that_begins_two_runs_is_found() {
    is_found(Bug::FiredTwice, &["I22"]);
}

#[test]
fn forgotten_catch_up_rule_is_found() {
    is_found(Bug::CatchUpForgotten, &["I22"]);
}

#[test]
fn forgotten_overlap_rule_is_found() {
    is_found(Bug::OverlapForgotten, &["I22"]);
}

#[test]
fn fork_that_forgets_what_was_done_is_found() {
    is_found(Bug::ForkForgets, &["I23"]);
}

#[test]
fn fork_that_takes_along_what_was_done_after_its_point_is_found() {
    is_found(Bug::ForkOfLater, &["I23"]);
}

#[test]
fn changed_settings_that_hold_for_nothing_are_found() {
    is_found(Bug::SettingsForgotten, &["I24"]);
}

#[test]
fn answer_that_is_trusted_while_the_effect_is_on_its_way_is_found() {
    is_found(Bug::ProbeTooEarly, &["I3"]);
}

#[test]
fn snapshot_named_before_it_is_durable_is_found() {
    is_found(Bug::SnapshotSyncLies, &["I8"]);
}

#[test]
fn archived_segment_that_a_run_needs_is_found() {
    is_found(Bug::NeededArchived, &["archive", "I8"]);
}

/// A workflow of one task, as somebody might bring it.
fn subject(skill: &str, class: ark_os_core::plan::EffectClass) -> ark_os_sim::Subject {
    let skills =
        vec![ark_os_core::fleet::SkillInfo { name: skill.into(), class, concurrency_max: None }];
    ark_os_sim::Subject {
        workflow: ark_os_core::plan::Workflow::single(skill).sealed(),
        input: b"{\"n\":1}".to_vec(),
        skills,
        answers: Default::default(),
        expected: Default::default(),
        natives: ark_os_runtime::skills::SkillSet::empty(),
        schemas: Default::default(),
    }
}

#[test]
fn a_planted_bug_is_found_with_a_workflow_that_somebody_brings_too() {
    let class = ark_os_core::plan::EffectClass::Effectful;
    let subject = std::sync::Arc::new(subject("mail.send", class));
    let whole = Options { subject: Some(subject), ..Options::default() };
    let found = sweep(0, 30, &whole, false);
    assert!(found.broken.is_empty(), "{:#?}", found.broken);
    assert_eq!(found.ends.values().sum::<u64>(), 30 * ark_os_sim::SUBJECT_RUNS as u64);
    for bug in [Bug::AcknowledgedBeforeSync, Bug::IntentForgotten, Bug::SyncLies] {
        let options = Options { bug: Some(bug), ..whole.clone() };
        let found = sweep(0, SEEDS_FOR_A_BUG, &options, true);
        assert!(!found.broken.is_empty(), "`{bug}` is not found");
    }
}

#[test]
fn every_promise_that_a_violation_names_is_in_the_list() {
    let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut named = std::collections::BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for part in text.split('"').skip(1).step_by(2) {
            let is_number = part.strip_prefix('I').is_some_and(|it| it.parse::<u32>().is_ok());
            if is_number || ["liveness", "keeper", "archive", "limit"].contains(&part) {
                named.insert(part.to_owned());
            }
        }
    }
    let listed = ark_os_sim::PROMISES.map(|it| it.invariant.to_owned());
    assert_eq!(named, listed.into_iter().collect());
}
