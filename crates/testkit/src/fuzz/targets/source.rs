//! Files of an audited tree, and reports of audits: whatever they hold, no skill that reads them
//! breaks.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ark_os_core::hash::Hash;
use ark_os_core::layer::Layer;
use ark_os_runtime::skills::{AttemptInfo, Host, SkillError, SkillSet};
use serde_json::{Value, json};

/// Names longer than this are cut: the file system refuses them.
const NAME_BYTES_MAX: usize = 100;

/// Blobs and the answers of chunks in memory, and nothing else.
#[derive(Default)]
struct Memory {
    blobs: RefCell<BTreeMap<String, Vec<u8>>>,
    items: RefCell<Vec<Vec<u8>>>,
}

impl Host for Memory {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _done: u64, _total: u64) {}

    fn save(&self, bytes: &[u8]) -> Result<String, SkillError> {
        let name = format!("sha256:{}", Hash::of(bytes));
        self.blobs.borrow_mut().insert(name.clone(), bytes.to_vec());
        Ok(name)
    }

    fn load(&self, blob: &str) -> Result<Vec<u8>, SkillError> {
        let found = self.blobs.borrow().get(blob).cloned();
        found.ok_or_else(|| SkillError::permanent("memory.no_blob", format!("load `{blob}`")))
    }

    fn item_count(&self) -> usize {
        self.items.borrow().len()
    }

    fn item(&self, index: usize) -> Result<Vec<u8>, SkillError> {
        let found = self.items.borrow().get(index).cloned();
        found.ok_or_else(|| SkillError::permanent("memory.no_item", format!("read item {index}")))
    }

    fn attempt(&self) -> AttemptInfo {
        let (run, task) = (String::new(), String::new());
        AttemptInfo { number: 1, run, task, layer: Layer::Micro }
    }
}

pub(super) fn target() -> super::Read {
    let skills = SkillSet::builtin();
    Box::new(move |bytes| {
        let audited = audit(&skills, bytes);
        assert!(audited.is_ok(), "the audit fails: {:?}", audited.err());
    })
}

/// The JSON report of a small tree.
pub(super) fn report() -> Vec<u8> {
    let lock = b"Cargo.lock\n[[package]]\nname='a'\nversion='1.0.0'\nsource='registry+https://a'\n";
    audit(&SkillSet::builtin(), lock).unwrap_or_default()
}

/// A foreign report is compared with a sound one, or refused.
pub(super) fn difference() -> super::Read {
    let skills = SkillSet::builtin();
    let sound = report();
    Box::new(move |bytes| {
        let compared = compare(&skills, &sound, bytes);
        assert!(compared.is_ok(), "the comparison fails: {:?}", compared.err());
    })
}

fn compare(skills: &SkillSet, sound: &[u8], bytes: &[u8]) -> Made<()> {
    let dir = tempfile::tempdir()?;
    let (before, after) = (dir.path().join("a.json"), dir.path().join("b.json"));
    std::fs::write(&before, sound)?;
    std::fs::write(&after, bytes)?;
    let skill = skills.find("audit.diff").ok_or("there is no such skill")?;
    let input = json!({"before": before, "after": after}).to_string();
    match skill.run(&Memory::default(), input.as_bytes()) {
        Ok(answer) if answer.len() <= skill.spec().output_bytes_max => Ok(()),
        Err(error) if error.code() == "audit.no_report" => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

/// The first line is the name, the rest the content. Answers the JSON report.
fn audit(skills: &SkillSet, bytes: &[u8]) -> Made<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (name, content) = bytes.split_at(end);
    let safe = |c: char| if c.is_ascii_graphic() && c != '/' { c } else { '_' };
    let name: String =
        String::from_utf8_lossy(name).chars().map(safe).take(NAME_BYTES_MAX).collect();
    let name = if name.trim_matches('.').is_empty() { "file".to_owned() } else { name };
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join(name), content.get(1..).unwrap_or_default())?;

    let host = Memory::default();
    let path = dir.path().to_string_lossy().into_owned();
    let found = run(skills, &host, "audit.inventory", &json!({"path": path}))?;
    let chunks = found.get("chunks").and_then(Value::as_array).cloned().unwrap_or_default();
    for chunk in chunks {
        let input = json!({"root": found.get("root"), "chunk": chunk});
        let item = run(skills, &host, "audit.chunk", &input)?;
        host.items.borrow_mut().push(item.to_string().into_bytes());
    }
    let output = run(skills, &host, "audit.report", &json!({"inventory": found}))?;
    let blob = output.get("report_blob").and_then(Value::as_str).ok_or("there is no report")?;
    Ok(host.load(blob)?)
}

fn run(skills: &SkillSet, host: &Memory, name: &str, input: &Value) -> Made<Value> {
    let skill = skills.find(name).ok_or("there is no such skill")?;
    let answer = skill.run(host, input.to_string().as_bytes())?;
    assert!(answer.len() <= skill.spec().output_bytes_max, "{name}: {} bytes", answer.len());
    Ok(serde_json::from_slice(&answer)?)
}
