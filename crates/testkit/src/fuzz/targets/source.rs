//! Files of an audited tree: whatever they hold, the chunk that reads them does not fail.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ark_os_core::hash::Hash;
use ark_os_runtime::skills::{Host, SkillError, SkillSet};
use serde_json::{Value, json};

/// Names longer than this are cut: the file system refuses them.
const NAME_BYTES_MAX: usize = 100;

/// Blobs in memory, and nothing else.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Host for Memory {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _done: u64, _total: u64) {}

    fn save(&self, bytes: &[u8]) -> Result<String, SkillError> {
        let name = format!("sha256:{}", Hash::of(bytes));
        self.0.borrow_mut().insert(name.clone(), bytes.to_vec());
        Ok(name)
    }

    fn load(&self, blob: &str) -> Result<Vec<u8>, SkillError> {
        let found = self.0.borrow().get(blob).cloned();
        found.ok_or_else(|| SkillError::permanent("memory.no_blob", format!("load `{blob}`")))
    }

    fn item_count(&self) -> usize {
        0
    }

    fn item(&self, index: usize) -> Result<Vec<u8>, SkillError> {
        Err(SkillError::permanent("memory.no_item", format!("read item {index}")))
    }

    fn attempt(&self) -> u32 {
        1
    }
}

pub(super) fn target() -> super::Read {
    let skills = SkillSet::builtin();
    Box::new(move |bytes| {
        let audited = audit(&skills, bytes);
        assert!(audited.is_ok(), "the audit fails: {:?}", audited.err());
    })
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

/// The first line is the name, the rest the content.
fn audit(skills: &SkillSet, bytes: &[u8]) -> Made<()> {
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
        run(skills, &host, "audit.chunk", &json!({"root": found.get("root"), "chunk": chunk}))?;
    }
    Ok(())
}

fn run(skills: &SkillSet, host: &Memory, name: &str, input: &Value) -> Made<Value> {
    let skill = skills.find(name).ok_or("there is no such skill")?;
    let answer = skill.run(host, input.to_string().as_bytes())?;
    assert!(answer.len() <= skill.spec().output_bytes_max, "{name}: {} bytes", answer.len());
    Ok(serde_json::from_slice(&answer)?)
}
