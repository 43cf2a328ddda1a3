//! The audit of a source tree, as skills: `audit.inventory` walks the tree and cuts it into chunks,
//! `audit.chunk` reads the files of one, `audit.history` asks git, `audit.report` gathers the
//! findings, and `audit.diff` compares two reports. What they hand each other stands in `records`. A report becomes a `page`
//! (`contents`, `changes`) and that Markdown and HTML; the rest are the parts, one file each.

mod changes;
mod chunk;
mod churn;
mod comparison;
mod content;
mod contents;
mod dependencies;
mod diff;
mod duplicates;
mod excludes;
mod git;
mod golang;
mod history;
mod html;
mod installed;
mod inventory;
mod languages;
mod licences;
mod lines;
mod listed;
mod markdown;
mod npm;
mod packages;
mod page;
mod paths;
mod records;
mod report;
mod secrets;
mod spdx;
mod svg;
mod todos;

pub(super) use chunk::ChunkSkill;
pub use churn::history_of_log;
pub(super) use diff::DiffSkill;
pub(super) use git::HistorySkill;
pub(super) use inventory::InventorySkill;
pub(super) use report::ReportSkill;
