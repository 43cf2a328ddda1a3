//! What changed between two audits: a pure function of their reports. Both sides are foreign data;
//! where a report's own list was cut, that is said and nothing is made up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::listed::{Keep, Listed};
use super::records::Lines;
use super::report::Report;

/// What a comparison lists of one thing; all are counted.
const KEEP: Keep = Keep { items: 5000, bytes: 2 * 1024 * 1024 };

/// Everything that is not the same.
#[derive(Debug, Default, Serialize)]
pub(super) struct Comparison {
    pub(super) format: u32,
    pub(super) before: Side,
    pub(super) after: Side,
    pub(super) totals: BTreeMap<&'static str, Delta>,
    /// Those whose numbers changed.
    pub(super) languages: BTreeMap<String, LanguageDelta>,
    /// Lists of either report that are cut, so that their comparison is not complete.
    pub(super) incomplete: Vec<&'static str>,
    pub(super) files: Files,
    pub(super) dependencies: Packages,
    pub(super) secrets: Findings<SecretFound>,
    pub(super) todos: Findings<TodoFound>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Side {
    pub(super) root: String,
    pub(super) files: u64,
    /// The day of the newest commit, where there is a history.
    pub(super) newest: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Delta {
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) change: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct LanguageDelta {
    pub(super) files: Delta,
    pub(super) code: Delta,
    pub(super) comments: Delta,
    pub(super) blank: Delta,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Files {
    pub(super) unchanged: u64,
    pub(super) added: Listed<FileNow>,
    pub(super) removed: Listed<FileNow>,
    pub(super) changed: Listed<FileChange>,
    /// The same content under another name.
    pub(super) moved: Listed<Moved>,
}

#[derive(Debug, Serialize)]
pub(super) struct FileNow {
    pub(super) path: String,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct FileChange {
    pub(super) path: String,
    pub(super) bytes: Delta,
}

#[derive(Debug, Serialize)]
pub(super) struct Moved {
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Packages {
    pub(super) added: Listed<PackageChange>,
    pub(super) removed: Listed<PackageChange>,
    pub(super) updated: Listed<PackageChange>,
    /// Those, of the updated and of the others, whose licence is another one now.
    pub(super) licence_changed: Listed<PackageChange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PackageChange {
    pub(super) ecosystem: String,
    pub(super) name: String,
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
    /// Of all its versions; a licence that is not known is not among them.
    pub(super) licences_before: Vec<String>,
    pub(super) licences_after: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Findings<T> {
    pub(super) new: Listed<T>,
    pub(super) gone: Listed<T>,
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self { new: Listed::default(), gone: Listed::default() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct SecretFound {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) fingerprint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct TodoFound {
    pub(super) path: String,
    pub(super) mark: String,
    pub(super) text: String,
}

/// Compares two reports.
pub(super) fn compare(before: &Report, after: &Report) -> Comparison {
    let mut found = Comparison {
        format: super::report::FORMAT,
        before: side(before),
        after: side(after),
        totals: totals(before, after),
        languages: languages(before, after),
        incomplete: incomplete(before, after),
        dependencies: packages(before, after),
        ..Comparison::default()
    };
    let moves = files(&mut found.files, before, after);
    // What moved along with its file is neither new nor gone.
    let now = |path: &String| moves.get(path.as_str()).map_or(path, |to| *to).clone();
    let secrets = |report: &Report, path: &dyn Fn(&String) -> String| {
        counted(report.secrets.listed.iter().map(|secret| SecretFound {
            path: path(&secret.path),
            kind: secret.kind.clone(),
            fingerprint: secret.fingerprint.clone(),
        }))
    };
    found.secrets = findings(&secrets(before, &now), &secrets(after, &String::clone));
    let todos = |report: &Report, path: &dyn Fn(&String) -> String| {
        counted(report.todos.listed.iter().map(|todo| TodoFound {
            path: path(&todo.path),
            mark: todo.mark.clone(),
            text: todo.text.clone(),
        }))
    };
    found.todos = findings(&todos(before, &now), &todos(after, &String::clone));
    found
}

fn side(report: &Report) -> Side {
    let newest = report.history.newest.clone();
    Side { root: report.root.clone(), files: report.totals.files, newest }
}

fn delta(before: u64, after: u64) -> Delta {
    let change = i128::from(after) - i128::from(before);
    let most = if change < 0 { i64::MIN } else { i64::MAX };
    Delta { before, after, change: i64::try_from(change).unwrap_or(most) }
}

fn totals(before: &Report, after: &Report) -> BTreeMap<&'static str, Delta> {
    type Part = (&'static str, fn(&Report) -> u64);
    let parts: [Part; 11] = [
        ("files", |report| report.totals.files),
        ("bytes", |report| report.totals.bytes),
        ("code", |report| report.totals.code),
        ("comments", |report| report.totals.comments),
        ("blank", |report| report.totals.blank),
        ("todos", |report| report.totals.todos),
        ("secrets", |report| report.totals.secrets),
        ("problems", |report| report.totals.problems),
        ("duplicate_files", |report| report.duplicates.spare_files),
        ("duplicate_bytes", |report| report.duplicates.spare_bytes),
        ("dependencies", |report| {
            report.dependencies.by_ecosystem.values().fold(0, |sum: u64, n| sum.saturating_add(*n))
        }),
    ];
    parts.into_iter().map(|(name, part)| (name, delta(part(before), part(after)))).collect()
}

fn languages(before: &Report, after: &Report) -> BTreeMap<String, LanguageDelta> {
    let none = Lines::default();
    let names: BTreeSet<&String> = before.languages.keys().chain(after.languages.keys()).collect();
    let mut found = BTreeMap::new();
    for name in names {
        let was = before.languages.get(name).unwrap_or(&none);
        let is = after.languages.get(name).unwrap_or(&none);
        if was != is {
            let change = LanguageDelta {
                files: delta(was.files, is.files),
                code: delta(was.code, is.code),
                comments: delta(was.comments, is.comments),
                blank: delta(was.blank, is.blank),
            };
            found.insert(name.clone(), change);
        }
    }
    found
}

fn incomplete(before: &Report, after: &Report) -> Vec<&'static str> {
    fn is_cut<T>(list: &Listed<T>) -> bool {
        list.total > list.listed.len() as u64
    }
    let either = |part: fn(&Report) -> bool| part(before) || part(after);
    let parts = [
        ("files", either(|report| is_cut(&report.files))),
        ("dependencies", either(|report| report.dependencies.not_listed > 0)),
        ("secrets", either(|report| is_cut(&report.secrets))),
        ("todos", either(|report| is_cut(&report.todos))),
    ];
    parts.into_iter().filter(|(_, is_cut)| *is_cut).map(|(name, _)| name).collect()
}

type Paths<'a> = BTreeMap<&'a str, (u64, &'a str)>;

fn paths(report: &Report) -> Paths<'_> {
    let rows = report.files.listed.iter();
    rows.map(|row| (row.0.as_str(), (row.1, row.2.as_str()))).collect()
}

/// Compares the lists of files; answers where the moved ones went. A list that is cut does not say
/// what is missing, so then there is nothing to compare.
fn files<'a>(
    found: &mut Files,
    before: &'a Report,
    after: &'a Report,
) -> BTreeMap<&'a str, &'a String> {
    if incomplete(before, after).contains(&"files") {
        return BTreeMap::new();
    }
    let (was, is) = (paths(before), paths(after));
    for (path, (bytes, digest)) in &is {
        match was.get(path) {
            Some(old) if *old == (*bytes, *digest) => found.unchanged += 1,
            Some((old, _)) => {
                let bytes = delta(*old, *bytes);
                found.changed.add(FileChange { path: (*path).to_owned(), bytes }, KEEP);
            }
            None => {}
        }
    }
    let moves = moves(before, after, &was, &is);
    for (from, to) in &moves {
        found.moved.add(Moved { from: (*from).to_owned(), to: (*to).clone() }, KEEP);
    }
    let arrived: BTreeSet<&str> = moves.values().map(|to| to.as_str()).collect();
    let file = |path: &str, bytes: u64| FileNow { path: path.to_owned(), bytes };
    for (path, (bytes, _)) in &is {
        if !was.contains_key(path) && !arrived.contains(path) {
            found.added.add(file(path, *bytes), KEEP);
        }
    }
    for (path, (bytes, _)) in &was {
        if !is.contains_key(path) && !moves.contains_key(path) {
            found.removed.add(file(path, *bytes), KEEP);
        }
    }
    moves
}

/// Files whose content left one place and came to another, where both are the only ones with it.
fn moves<'a>(
    before: &'a Report,
    after: &'a Report,
    was: &Paths<'_>,
    is: &Paths<'_>,
) -> BTreeMap<&'a str, &'a String> {
    type ByContent<'a> = BTreeMap<(u64, &'a str), Vec<&'a String>>;
    fn only<'a>(report: &'a Report, other: &Paths<'_>) -> ByContent<'a> {
        let mut by_content = ByContent::new();
        for row in &report.files.listed {
            if !row.2.is_empty() && !other.contains_key(row.0.as_str()) {
                by_content.entry((row.1, row.2.as_str())).or_default().push(&row.0);
            }
        }
        by_content
    }
    let arrived = only(after, was);
    let left = only(before, is).into_iter();
    let pairs = left.filter_map(|(content, from)| match (from.as_slice(), arrived.get(&content)) {
        ([from], Some(to)) => match to.as_slice() {
            [to] => Some((from.as_str(), *to)),
            _ => None,
        },
        _ => None,
    });
    pairs.collect()
}

#[derive(Debug, Default)]
struct Versions {
    versions: BTreeSet<String>,
    licences: BTreeSet<String>,
}

fn versions(report: &Report) -> BTreeMap<(&str, &str), Versions> {
    let mut found: BTreeMap<(&str, &str), Versions> = BTreeMap::new();
    for package in &report.dependencies.listed {
        let entry = found.entry((&package.ecosystem, &package.name)).or_default();
        entry.versions.insert(package.version.clone());
        entry.licences.extend(package.licence.iter().map(|licence| licence.expression.clone()));
    }
    found
}

fn packages(before: &Report, after: &Report) -> Packages {
    let (was, is) = (versions(before), versions(after));
    let none = Versions::default();
    let mut found = Packages::default();
    let names: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    for name in names {
        let (old, new) = (was.get(name), is.get(name));
        let (old_ones, new_ones) = (old.unwrap_or(&none), new.unwrap_or(&none));
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect();
        let change = PackageChange {
            ecosystem: name.0.to_owned(),
            name: name.1.to_owned(),
            before: list(&old_ones.versions),
            after: list(&new_ones.versions),
            licences_before: list(&old_ones.licences),
            licences_after: list(&new_ones.licences),
        };
        if old.is_some() && new.is_some() && change.licences_before != change.licences_after {
            found.licence_changed.add(change.clone(), KEEP);
        }
        match (old, new) {
            (None, _) => found.added.add(change, KEEP),
            (_, None) => found.removed.add(change, KEEP),
            _ if change.before != change.after => found.updated.add(change, KEEP),
            _ => {}
        }
    }
    found
}

fn counted<T: Ord>(findings: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counted = BTreeMap::new();
    findings.for_each(|finding| *counted.entry(finding).or_default() += 1);
    counted
}

/// The line of a finding does not count: what stands above it may have changed.
fn findings<T: Ord + Clone + Serialize>(
    before: &BTreeMap<T, u64>,
    after: &BTreeMap<T, u64>,
) -> Findings<T> {
    let more = |these: &BTreeMap<T, u64>, than: &BTreeMap<T, u64>| {
        let mut list = Listed::default();
        for (finding, count) in these {
            let left = count.saturating_sub(than.get(finding).copied().unwrap_or(0));
            (0..left).for_each(|_| list.add(finding.clone(), KEEP));
        }
        list
    };
    Findings { new: more(after, before), gone: more(before, after) }
}
