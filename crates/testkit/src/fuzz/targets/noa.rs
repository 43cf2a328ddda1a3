//! Manifests as text, agent directories and crews: whatever they hold, they are read or refused with a
//! place, what was read is written back the same, and healing heals once.

use ark_os_core::manifest::parse;
use ark_os_noa::import::{Imported, crew, directory};
use ark_os_noa::normalize::normalize;
use ark_os_noa::{Document, Format, write};
use ark_os_runtime::data::Catalogue;
use ark_os_runtime::skills::SkillSet;
use serde_json::Value;

/// A manifest in this format.
pub(super) fn text(format: Format) -> super::Read {
    let catalogue = Catalogue::new(&SkillSet::builtin());
    Box::new(move |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let document = match Document::read(format, text) {
            Ok(document) => document,
            Err(fault) => {
                assert!(fault.line > 0 && fault.column > 0, "refused nowhere: {fault:?}");
                assert!(!fault.message.is_empty(), "refused without a reason");
                return;
            }
        };
        reads_back(&document.value, format);
        let once = normalize(&document.value);
        let twice = normalize(&once.value);
        assert_eq!(once.value, twice.value, "healed twice");
        assert!(twice.heals.is_empty(), "healed again: {:?}", twice.heals);
        judge(&document.value, &catalogue);
        judge(&once.value, &catalogue);
    })
}

fn reads_back(value: &Value, format: Format) {
    let written = write(value, format);
    assert!(written.is_ok() || format == Format::Toml, "not written: {written:?}");
    let Ok(written) = written else { return };
    let again = Document::read(format, &written);
    assert!(again.is_ok(), "written and not readable: {again:?}");
    assert_eq!(again.ok().map(|it| it.value).as_ref(), Some(value), "reads back as something else");
}

/// A manifest or findings, each with a pointer to something that is there.
fn judge(value: &Value, catalogue: &Catalogue) {
    if let Err(findings) = parse(value, catalogue) {
        assert!(!findings.as_slice().is_empty(), "refused without a reason");
        for finding in findings.as_slice() {
            assert!(value.pointer(&finding.pointer).is_some(), "nothing at `{}`", finding.pointer);
        }
    }
}

/// An agent directory.
pub(super) fn csv() -> super::Read {
    let catalogue = Catalogue::new(&SkillSet::builtin());
    Box::new(move |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        told(&directory(text), &[text], &catalogue);
    })
}

/// A crew: agents and tasks, apart at a line of dashes.
pub(super) fn crews() -> super::Read {
    let catalogue = Catalogue::new(&SkillSet::builtin());
    Box::new(move |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let (agents, tasks) = text.split_once("\n---\n").unwrap_or((text, ""));
        let Ok(first) = Document::read(Format::Yaml, agents) else { return };
        let second = Document::read(Format::Yaml, tasks).ok();
        told(&crew(&first, second.as_ref()), &[agents, tasks], &catalogue);
    })
}

/// Whatever was imported can be written and judged, and every remark has a line of its file.
fn told(imported: &Imported, files: &[&str], catalogue: &Catalogue) {
    reads_back(&imported.manifest, Format::Yaml);
    judge(&imported.manifest, catalogue);
    for remark in imported.faults.iter().chain(&imported.notes) {
        let lines = files.get(remark.file).map_or(0, |text| text.lines().count());
        assert!((1..=lines + 1).contains(&remark.line), "no line {}: {remark:?}", remark.line);
    }
}
