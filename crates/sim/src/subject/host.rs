//! What a skill finds around it in the simulated world: its input, the items of a reduce, and little else.

use ark_os_core::layer::Layer;
use ark_os_runtime::skills::{AttemptInfo, Host, SkillError};

/// The code of what there is not in the simulated world.
pub(super) const NOT_HERE: &str = "sim.not_here";

/// The host of one attempt.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The items of a reduce.
    pub(crate) items: Vec<Vec<u8>>,
    /// Which attempt this is, from 1.
    pub(crate) number: u32,
    pub(crate) run: String,
    pub(crate) task: String,
}

impl Host for Desk {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _done: u64, _total: u64) {}

    fn save(&self, _bytes: &[u8]) -> Result<String, SkillError> {
        Err(SkillError::permanent(NOT_HERE, "save: there are no blobs of agents here"))
    }

    fn load(&self, _blob: &str) -> Result<Vec<u8>, SkillError> {
        Err(SkillError::permanent(NOT_HERE, "load: there are no blobs of agents here"))
    }

    fn item_count(&self) -> usize {
        self.items.len()
    }

    fn item(&self, index: usize) -> Result<Vec<u8>, SkillError> {
        let item = self.items.get(index).cloned();
        item.ok_or_else(|| SkillError::invalid_input(format!("there is no item {index}")))
    }

    fn attempt(&self) -> AttemptInfo {
        AttemptInfo {
            number: self.number,
            run: self.run.clone(),
            task: self.task.clone(),
            layer: Layer::Micro,
        }
    }
}
