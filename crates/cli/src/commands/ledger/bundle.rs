//! `ark-os ledger verify BUNDLE`: a proof bundle, with nothing but its bytes and what was kept elsewhere.

use std::io::BufReader;
use std::path::Path;

use ark_os_api::Exit;
use ark_os_runtime::proofs::{BundleTrust, NOT_PROVEN, PROVEN, Refused, Verified, verify as check};
use serde_json::{Value, json};

use super::{keep, read_key};
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Said where no key was given.
const KEY_OF_ITS_OWN: &str =
    "the key is the bundle's own: whose it is was NOT checked; give yours with --key";

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

fn lines(verdict: &Result<Verified, Refused>, terminal: &Terminal) -> Vec<String> {
    let it = match verdict {
        Ok(it) => it,
        Err(refused) => {
            let head = terminal.out(Tone::Bad, "the bundle does NOT verify");
            return vec![head, format!("  {refused} ({})", refused.class.as_str())];
        }
    };
    let summary = &it.summary;
    let mut lines = vec![
        terminal.out(Tone::Good, "the bundle verifies"),
        format!("  {} of `{}` {}", it.run, it.namespace, summary.ended.state),
        format!(
            "  workflow `{}` version `{}`, digest {}",
            summary.workflow.name, summary.workflow.version, summary.workflow.digest
        ),
        format!(
            "  {} records of the run and {} that it refers to, in a journal of {}",
            summary.records, summary.others, it.size
        ),
        format!("  {} proofs of progress by {} agents", summary.proofs, summary.agents.len()),
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
        lines.push(format!("  the journal goes on from the kept checkpoint of {kept} records"));
    }
    lines.push(format!("  key {}", it.key));
    if !it.key_was_given {
        lines.push(terminal.out(Tone::Bad, &format!("  {KEY_OF_ITS_OWN}")));
    }
    if !summary.ended.seals {
        lines.push(
            "  note: the end of the run names no last proof; later ones could be missing"
                .to_owned(),
        );
    }
    lines.push(format!("  proven: {PROVEN}"));
    lines.push(format!("  not proven: {NOT_PROVEN}"));
    lines
}
