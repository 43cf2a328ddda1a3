//! Crashes and errors at every changing file operation: what was acknowledged is there after recovery, and
//! what is there is a prefix of what was submitted. The same for crashes within recovery.

use std::sync::Arc;

use ark_os_store::verify::{Trust, verify};
use ark_os_store::{ErrorKind, Files};

use super::crash_files::{CrashFiles, Fault};
use super::support::{append, key, open, replay};

/// Appends through two segments with checkpoints between, reopening once; gives what was acknowledged. After
/// an error it checks that the journal is closed.
fn work(files: &CrashFiles, acknowledged: &mut u64) {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    for round in 0..2u64 {
        let Ok((mut journal, recovered)) = open(&files) else { return };
        assert!(recovered.records() <= *acknowledged + 9);
        *acknowledged = recovered.records().max(*acknowledged);
        for step in 0..14u64 {
            let outcome = match step % 5 {
                4 => journal.checkpoint().map(|_| ()),
                _ => append(&mut journal, 1 + (step + round) % 9).map(|_| ()),
            };
            if let Err(error) = outcome {
                assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert_eq!(append(&mut journal, 1).unwrap_err().kind(), ErrorKind::Closed);
                assert_eq!(journal.checkpoint().unwrap_err().kind(), ErrorKind::Closed);
                assert_eq!(journal.reader().next_seq(), *acknowledged + 1);
                return;
            }
            *acknowledged = journal.next_seq() - 1;
        }
        if round == 0 {
            continue; // ends without closing, as after kill -9
        }
        let _ = journal.close();
    }
}

/// Opens without faults, checks the promise, and goes on.
fn recover(files: &CrashFiles, acknowledged: u64, submitted_max: u64, what: &str) -> u64 {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    let (mut journal, recovered) = open(&files).unwrap_or_else(|error| panic!("{what}: {error}"));
    let records = replay(recovered);
    assert!(records >= acknowledged, "{what}: {records} records, {acknowledged} were acknowledged");
    assert!(records <= submitted_max, "{what}: {records} records, {submitted_max} were submitted");
    append(&mut journal, 3).unwrap();
    let checkpoint = journal.close().unwrap();
    let trust = Trust { key: Some(key().public().clone()), kept: vec![checkpoint.note().into()] };
    let report = verify(files.as_ref(), &trust).unwrap();
    assert!(report.is_ok() && report.oddities.is_empty(), "{what}: {report:?}");
    assert_eq!(report.records, records + 3);
    records
}

fn operations() -> u64 {
    let files = CrashFiles::new(Fault::None, 1);
    work(&files, &mut 0);
    let operations = files.operations();
    assert!((60..400).contains(&operations), "{operations}");
    operations
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    for at in 1..=operations() {
        for seed in 0..6 {
            let files = CrashFiles::new(Fault::Crash(at), seed);
            let mut acknowledged = 0;
            work(&files, &mut acknowledged);
            let what = format!("crash at {at}, seed {seed}");
            recover(&files.restart_machine(Fault::None), acknowledged, acknowledged + 9, &what);
        }
    }
}

#[test]
fn a_crash_within_recovery_loses_nothing_either() {
    for at in (1..=operations()).step_by(3) {
        let files = CrashFiles::new(Fault::Crash(at), at);
        let mut acknowledged = 0;
        work(&files, &mut acknowledged);
        for again in 1.. {
            let second = files.restart_machine(Fault::Crash(again));
            let shared: Arc<dyn Files> = Arc::new(second.clone());
            // What recovery served may have been seen, so from then on it counts as acknowledged.
            let served = open(&shared).map(|(_, recovered)| recovered.records());
            let finished = second.operations() < again;
            let floor = served.unwrap_or(acknowledged);
            let what = format!("crash at {at}, then at {again} of recovery");
            recover(&second.restart_machine(Fault::None), floor, acknowledged + 9, &what);
            if finished {
                break;
            }
        }
    }
}

#[test]
fn an_error_at_any_operation_closes_the_journal_and_loses_nothing() {
    for at in 1..=operations() {
        for seed in 0..3 {
            let files = CrashFiles::new(Fault::Error(at), seed);
            let mut acknowledged = 0;
            work(&files, &mut acknowledged);
            // A new process sees the page cache. What it serves must be on the disk, too.
            let what = format!("error at {at}, seed {seed}");
            let process = files.restart_process(Fault::None);
            let shared: Arc<dyn Files> = Arc::new(process.clone());
            let (mut journal, recovered) =
                open(&shared).unwrap_or_else(|error| panic!("{what}: {error}"));
            let served = recovered.records();
            assert!(served >= acknowledged, "{what}");
            append(&mut journal, 2).unwrap();
            drop(journal);
            let machine = process.restart_machine(Fault::None);
            recover(&machine, served + 2, acknowledged + 11, &what);
        }
    }
}
