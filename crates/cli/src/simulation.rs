//! What the commands of the simulator share: kinds of faults as people name them, and how they are told.

use std::collections::BTreeMap;

use ark_os_sim::{FaultKind, FaultKinds};

use crate::failure::Failure;

/// Reads `--faults`.
pub(crate) fn fault_kinds(text: &str) -> Result<FaultKinds, Failure> {
    FaultKinds::parse(text).map_err(|unknown| {
        let names: Vec<_> = FaultKind::ALL.into_iter().map(FaultKind::as_str).collect();
        Failure::usage(format!("there are no faults `{unknown}`"))
            .with_hint(format!("use all, none, or some of {}", names.join(", ")))
    })
}

/// The faults that were met, a line each.
pub(crate) fn injected_lines<K: std::fmt::Display>(injected: &BTreeMap<K, u64>) -> Vec<String> {
    if injected.is_empty() {
        return vec!["faults: none".to_owned()];
    }
    let total: u64 = injected.values().sum();
    let mut lines = vec![format!("faults: {total}")];
    lines.extend(injected.iter().map(|(what, count)| format!("{count:>7}  {what}")));
    lines
}
