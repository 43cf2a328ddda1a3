//! What version control remembers of the tree, in the report: which files change most, who changes
//! them, and how long the others have rested. Only files that the audit saw are named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::listed::Listed;
use super::records::{
    AuthorChanges, Changes, FileChanges, HistoryDetail, HistorySummary, MonthChanges,
};
use crate::skills::wire;
use crate::skills::{Host, SkillError};

/// The most changed files that are listed.
const MOST_CHANGED_MAX: usize = 50;
/// Ages of files: at most so many days.
const AGES: [(&str, u64); 5] = [
    ("7 days", 7),
    ("30 days", 30),
    ("90 days", 90),
    ("180 days", 180),
    ("longer, within the commits read", u64::MAX),
];
const NOT_ASKED: &str = "it was not asked for";

/// The history of a tree, or why there is none.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct History {
    /// In words; then all the rest is empty.
    pub(super) why_none: Option<String>,
    pub(super) days: u64,
    pub(super) newest: String,
    pub(super) commits: u64,
    pub(super) is_cut: bool,
    pub(super) changes: Changes,
    pub(super) months: Vec<MonthChanges>,
    pub(super) authors: Listed<AuthorChanges>,
    pub(super) most_changed: Vec<FileChanges>,
    /// Files by the days since their last change, counted from the newest commit.
    pub(super) ages: Vec<AgeClass>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct AgeClass {
    pub(super) label: String,
    pub(super) files: u64,
}

/// The history while the files of the tree pass by.
#[derive(Debug, Default)]
pub(super) struct Present {
    history: History,
    waiting: BTreeMap<String, FileChanges>,
    ages: [u64; AGES.len()],
}

impl Present {
    pub(super) fn load(
        host: &dyn Host,
        summary: Option<HistorySummary>,
    ) -> Result<Self, SkillError> {
        let none = |why: String| {
            let history = History { why_none: Some(why), ..History::default() };
            Ok(Self { history, ..Self::default() })
        };
        let Some(summary) = summary else { return none(NOT_ASKED.to_owned()) };
        let Some(blob) = summary.detail else {
            return none(summary.why_none.unwrap_or_else(|| NOT_ASKED.to_owned()));
        };
        let detail: HistoryDetail = wire::read(&host.load(&blob)?)?;
        let files = detail.files.listed.into_iter();
        let history = History {
            why_none: None,
            days: detail.days,
            newest: detail.newest,
            commits: detail.commits,
            is_cut: detail.is_cut,
            changes: detail.changes,
            months: detail.months,
            authors: detail.authors,
            ..History::default()
        };
        let waiting = files.map(|file| (file.path.clone(), file)).collect();
        Ok(Self { history, waiting, ..Self::default() })
    }

    /// A file of the tree.
    pub(super) fn saw(&mut self, path: &str) {
        let Some(file) = self.waiting.remove(path) else { return };
        let class = self.ages.iter_mut().zip(AGES).find(|(_, (_, days))| file.age_days <= *days);
        if let Some((count, _)) = class {
            *count += 1;
        }
        self.history.most_changed.push(file);
    }

    /// `files`: how many the tree has.
    pub(super) fn finish(mut self, files: u64) -> History {
        if self.history.why_none.is_some() {
            return self.history;
        }
        let changed = self.history.most_changed.len() as u64;
        let class = |(label, files): (&str, u64)| AgeClass { label: label.to_owned(), files };
        let labels = AGES.iter().map(|(label, _)| *label);
        self.history.ages = labels.zip(self.ages).map(class).collect();
        let rest = ("not changed in the commits read", files.saturating_sub(changed));
        self.history.ages.push(class(rest));
        let most = &mut self.history.most_changed;
        most.sort_by(|a, b| {
            (b.commits, b.changes.lines(), &a.path).cmp(&(a.commits, a.changes.lines(), &b.path))
        });
        most.truncate(MOST_CHANGED_MAX);
        self.history
    }
}
