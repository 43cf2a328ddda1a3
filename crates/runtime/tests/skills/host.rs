//! A host that keeps everything in memory and can be told to cancel.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ark_os_core::layer::Layer;
use ark_os_runtime::skills::{AttemptInfo, Host, SkillError, SkillSet};
use serde_json::Value;

#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) blobs: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) items: Vec<Vec<u8>>,
    pub(crate) attempt: u32,
    /// Cancels after so many questions.
    pub(crate) cancel_after: Cell<Option<u32>>,
    pub(crate) progress: RefCell<Vec<(u64, u64)>>,
    pub(crate) marks: RefCell<Vec<String>>,
}

impl Host for FakeHost {
    fn is_cancelled(&self) -> bool {
        match self.cancel_after.get() {
            Some(0) => true,
            Some(left) => {
                self.cancel_after.set(Some(left - 1));
                false
            }
            None => false,
        }
    }

    fn progress(&self, done: u64, total: u64) {
        self.progress.borrow_mut().push((done, total));
    }

    fn checkpoint(&self, mark: &[u8]) {
        self.marks.borrow_mut().push(String::from_utf8_lossy(mark).into_owned());
    }

    fn save(&self, bytes: &[u8]) -> Result<String, SkillError> {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let name = format!("sha256:{hash:064x}");
        self.blobs.borrow_mut().insert(name.clone(), bytes.to_vec());
        Ok(name)
    }

    fn load(&self, blob: &str) -> Result<Vec<u8>, SkillError> {
        let found = self.blobs.borrow().get(blob).cloned();
        found.ok_or_else(|| SkillError::permanent("fake.no_blob", format!("load `{blob}`")))
    }

    fn item_count(&self) -> usize {
        self.items.len()
    }

    fn item(&self, index: usize) -> Result<Vec<u8>, SkillError> {
        Ok(self.items[index].clone())
    }

    fn attempt(&self) -> AttemptInfo {
        let (run, task) = (String::new(), String::new());
        AttemptInfo { number: self.attempt, run, task, layer: Layer::Micro }
    }
}

/// Runs a skill of the built-in set and holds it to its own limit.
pub(crate) fn run(host: &FakeHost, skill: &str, input: &Value) -> Result<Value, SkillError> {
    let set = SkillSet::builtin();
    let skill = set.find(skill).expect("a built-in skill");
    let answer = skill.run(host, &serde_json::to_vec(input).unwrap())?;
    assert!(answer.len() <= skill.spec().output_bytes_max, "{} bytes", answer.len());
    Ok(serde_json::from_slice(&answer).unwrap())
}

/// Everything the host was given, as one text to search in.
pub(crate) fn everything(host: &FakeHost) -> String {
    let blobs = host.blobs.borrow();
    blobs.values().map(|blob| String::from_utf8_lossy(blob).into_owned()).collect()
}
