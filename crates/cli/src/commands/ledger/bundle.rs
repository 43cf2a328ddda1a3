//! `ark-os ledger verify BUNDLE`: a proof bundle, with nothing but its bytes and what was kept elsewhere.

use std::io::BufReader;
use std::path::Path;

use ark_os_api::Exit;
use ark_os_runtime::proofs::{BundleTrust, NOT_PROVEN, PROVEN, Refused, Verified, verify as check};
use serde_json::{Value, json};

use super::{keep, read_key};
use crate::failure::Failure;
use crate::output::counted;
use crate::session::Session;
use crate::terminal::{Terminal, Tone, one_line};

/// Said where no key was given.
const KEY_OF_ITS_OWN: &str =
    "the key is the bundle's own: whose it is was NOT checked; give yours with --key";
/// Said where the end of the run seals nothing.
const NOT_SEALED: &str = "the end of the run names no last proof; later ones could be missing";

/// Verifies and tells.
pub(super) fn verify(
    session: &Session,
    path: &Path,
    key: Option<&Path>,
    kept: Option<&Path>,
) -> Result<Exit, Failure> {
    let unreadable = |error| Failure::usage(format!("cannot read `{}`: {error}", path.display()));
    let trust = BundleTrust {
        key: key.map(read_key).transpose()?.map(|key| key.to_string()),
        kept: kept.map(keep::newest).transpose()?,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let verdict = check(&mut BufReader::new(file), &trust).map_err(unreadable)?;
    session.output.answer(&document(path, &verdict), |terminal| lines(&verdict, terminal))?;
    Ok(if verdict.is_ok() { Exit::Done } else { Exit::Unverified })
}

fn document(path: &Path, verdict: &Result<Verified, Refused>) -> Value {
    match verdict {
        Ok(it) => json!({
            "bundle": path,
            "ok": true,
            "run": it.run,
            "namespace": it.namespace,
            "key": it.key,
            "key_was_given": it.key_was_given,
            "journal_records": it.size,
            "root": it.root.to_string(),
            "kept": it.kept,
            "payloads": it.payloads,
            "payloads_embedded": it.embeds,
            "summary": it.summary,
            "proven": PROVEN,
            "not_proven": NOT_PROVEN,
        }),
        Err(refused) => json!({
            "bundle": path,
            "ok": false,
            "fault": { "class": refused.class, "line": refused.line, "why": refused.why },
        }),
    }
}

/// What to tell, of which everything that a bundle says is foreign.
fn lines(verdict: &Result<Verified, Refused>, terminal: &Terminal) -> Vec<String> {
    match verdict {
        Ok(it) => {
            let mut lines = vec![terminal.out(Tone::Good, "the bundle verifies")];
            lines.extend(said(it).iter().map(|line| one_line(line)));
            lines.push(format!("  key {}", one_line(&it.key)));
            if !it.key_was_given {
                lines.push(terminal.out(Tone::Bad, &format!("  {KEY_OF_ITS_OWN}")));
            }
            if !it.summary.ended.seals {
                lines.push(format!("  note: {NOT_SEALED}"));
            }
            lines.push(format!("  proven: {PROVEN}"));
            lines.push(format!("  not proven: {NOT_PROVEN}"));
            lines
        }
        Err(refused) => vec![
            terminal.out(Tone::Bad, "the bundle does NOT verify"),
            one_line(&format!("  {refused} ({})", refused.class.as_str())),
        ],
    }
}

fn said(it: &Verified) -> Vec<String> {
    let summary = &it.summary;
    let mut lines = vec![
        format!("  {} of `{}` {}", it.run, it.namespace, summary.ended.state),
        format!(
            "  workflow `{}` version `{}`, digest {}",
            summary.workflow.name, summary.workflow.version, summary.workflow.digest
        ),
        format!(
            "  {} of the run and {} that it refers to, in a journal of {}",
            counted(summary.records, "record"),
            summary.others,
            it.size
        ),
        format!(
            "  {} of progress by {}",
            counted(summary.proofs, "proof"),
            counted(summary.agents.len(), "agent")
        ),
    ];
    for admission in &summary.admissions {
        let by: Vec<&str> = admission.decisions.iter().map(|it| it.agent.as_str()).collect();
        lines.push(format!("  let in by {} (record {})", by.join(", "), admission.record));
    }
    let data = match (it.payloads, it.embeds) {
        (0, _) => "all data is in the records".to_owned(),
        (blobs, true) => format!("{blobs} payloads are embedded"),
        (blobs, false) => format!("{blobs} payloads are named and not embedded"),
    };
    lines.push(format!("  {data}"));
    if let Some(kept) = it.kept {
        let kept = counted(kept, "record");
        lines.push(format!("  the journal goes on from the kept checkpoint of {kept}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_runtime::proofs::{
        Admission, AgentLine, Class, Decision, Ended, Summary, WorkflowLine,
    };
    use ark_os_store::Hash;

    const HOSTILE: &str = "w\u{1b}[2A\u{1b}[J\r\nthe bundle verifies\u{9b}K";

    fn verified() -> Verified {
        let hostile = || HOSTILE.to_owned();
        Verified {
            run: hostile(),
            namespace: hostile(),
            key: hostile(),
            key_was_given: false,
            size: 1,
            root: Hash([0; 32]),
            kept: Some(1),
            summary: Summary {
                records: 1,
                others: 1,
                workflow: WorkflowLine { name: hostile(), version: hostile(), digest: hostile() },
                accepted_ms: 1,
                input: hostile(),
                ended: Ended { state: hostile(), ms: 1, output: Some(hostile()), seals: false },
                proofs: 1,
                head: hostile(),
                forked: None,
                admissions: vec![Admission {
                    id: 1,
                    record: 1,
                    rules: hostile(),
                    decisions: vec![Decision { layer: "board", agent: hostile() }],
                }],
                agents: vec![AgentLine { name: hostile(), layer: "micro", stack: 1, attempts: 1 }],
            },
            payloads: 0,
            embeds: false,
        }
    }

    #[test]
    fn nothing_of_a_bundle_can_move_the_cursor_or_forge_a_line() {
        let refused = Refused { class: Class::Format, line: 1, why: HOSTILE.to_owned() };
        for verdict in [Ok(verified()), Err(refused)] {
            let lines = lines(&verdict, &Terminal::default());
            assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
            let heads = lines.iter().filter(|line| line.starts_with("the bundle"));
            assert_eq!(heads.count(), 1, "{lines:?}");
        }
    }
}
