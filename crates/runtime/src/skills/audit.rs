//! The audit of a source tree, as three skills: `audit.inventory` walks the tree and cuts it into
//! chunks, `audit.chunk` reads the files of one, `audit.report` gathers the findings. What they
//! hand each other stands in `records`; the rest are the parts, one file each.

mod chunk;
mod content;
mod dependencies;
mod duplicates;
mod excludes;
mod inventory;
mod languages;
mod licences;
mod lines;
mod listed;
mod markdown;
mod npm;
mod paths;
mod records;
mod report;
mod secrets;
mod todos;

pub(super) use chunk::ChunkSkill;
pub(super) use inventory::InventorySkill;
pub(super) use report::ReportSkill;
