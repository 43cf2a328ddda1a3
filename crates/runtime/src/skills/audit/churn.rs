//! Reads what `git log --numstat -z` prints and counts who changed what: a pure function of foreign
//! bytes. Every commit begins with a byte that no line of numbers begins with; a log that ends in
//! the middle gives what stood before. Changes of a renamed file count under its newest name.

use std::collections::{BTreeMap, BTreeSet};

use super::listed::Keep;
use super::records::{AuthorChanges, Changes, FileChanges, HistoryDetail, MonthChanges};
use super::{paths, secrets};
use crate::skills::{SkillError, wire};

/// A commit begins with a mark, its time in seconds, the mark again, and the author's name.
pub(super) const FORMAT: &str = "--format=%x01%ct%x01%aN";
const MARK: u8 = 1;
/// Commits that are read: what the largest projects make in months; each takes about 1 ms.
pub(super) const COMMITS_MAX: u64 = 20_000;
/// Paths, names of authors and renames that are kept; the largest projects have as many in a year.
const PATHS_MAX: usize = 200_000;
const AUTHORS_MAX: usize = 20_000;
/// A name longer than this is cut.
const NAME_CHARS_MAX: usize = 80;
/// What the detail lists.
const KEEP_FILES: Keep = Keep { items: 100_000, bytes: 16 * 1024 * 1024 };
const KEEP_AUTHORS: Keep = Keep { items: 1000, bytes: 256 * 1024 };
const SECONDS_PER_DAY: i64 = 86_400;
/// The last second of the year 9999: what is later is no date of a commit.
const TIME_MAX: i64 = 253_402_300_799;

/// What was counted so far.
#[derive(Debug, Default)]
struct Churn {
    newest: i64,
    commits: u64,
    changes: Changes,
    is_full: bool,
    files: BTreeMap<Vec<u8>, File>,
    authors: BTreeMap<String, (u64, Changes)>,
    months: BTreeMap<String, (u64, Changes)>,
    /// Former names, and what they became.
    renamed: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Default)]
struct File {
    commits: u64,
    changes: Changes,
    last: i64,
}

/// Counts a log, newest commit first, and answers a [`HistoryDetail`] as JSON: what `audit.history`
/// keeps. `days` is the window that was asked for, `is_cut` whether the log is not whole.
///
/// # Errors
///
/// Only where the answer cannot be written.
pub fn history_of_log(log: &[u8], days: u64, is_cut: bool) -> Result<Vec<u8>, SkillError> {
    let mut detail = churn(log);
    detail.days = days;
    detail.is_cut |= is_cut || detail.commits >= COMMITS_MAX;
    wire::answer(&detail)
}

fn churn(log: &[u8]) -> HistoryDetail {
    let mut churn = Churn::default();
    let mut fields = log.split(|byte| *byte == 0);
    let mut commit: Option<(i64, String, String)> = None;
    let mut touched = BTreeSet::new();
    while let Some(field) = fields.next() {
        let field = field.strip_prefix(b"\n").unwrap_or(field);
        if let Some(head) = field.strip_prefix(&[MARK]) {
            commit = churn.commit(head);
            touched.clear();
            continue;
        }
        let Some((time, author, month)) = &commit else { continue };
        let Some((changes, path)) = numbers(field) else { continue };
        let path = if path.is_empty() {
            let (Some(old), Some(new)) = (fields.next(), fields.next()) else { break };
            let newest = churn.newest_name(new);
            churn.rename(old, &newest);
            newest
        } else {
            churn.newest_name(path)
        };
        let is_first = touched.insert(path.clone());
        churn.file(path, *time, changes, is_first);
        churn.changes.add(changes);
        churn.authors.entry(author.clone()).or_default().1.add(changes);
        churn.months.entry(month.clone()).or_default().1.add(changes);
    }
    churn.finish()
}

/// `12\t3\tpath`; both are `-` for what is no text, and the path is empty where a rename follows.
fn numbers(field: &[u8]) -> Option<(Changes, &[u8])> {
    let mut parts = field.splitn(3, |byte| *byte == b'\t');
    let mut number = || match parts.next()? {
        b"-" => Some(0),
        digits => std::str::from_utf8(digits).ok()?.parse().ok(),
    };
    let changes = Changes { added: number()?, removed: number()? };
    Some((changes, parts.next()?))
}

impl Churn {
    /// Time, author and month of the commit that begins; `None` where it cannot be read.
    fn commit(&mut self, head: &[u8]) -> Option<(i64, String, String)> {
        let mut parts = head.splitn(2, |byte| *byte == MARK);
        let time: i64 = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let time = Some(time).filter(|time| (0..=TIME_MAX).contains(time))?;
        let name = person(&String::from_utf8_lossy(parts.next()?));
        let is_new = !self.authors.contains_key(&name);
        let name = if is_new && self.authors.len() >= AUTHORS_MAX { "others".into() } else { name };
        let month = date(time).get(..7)?.to_owned();
        self.newest = self.newest.max(time);
        self.commits += 1;
        self.authors.entry(name.clone()).or_default().0 += 1;
        self.months.entry(month.clone()).or_default().0 += 1;
        Some((time, name, month))
    }

    fn newest_name(&self, path: &[u8]) -> Vec<u8> {
        self.renamed.get(path).map_or_else(|| path.to_vec(), Clone::clone)
    }

    /// From here back, `old` is the file that is called `newest` now.
    fn rename(&mut self, old: &[u8], newest: &[u8]) {
        if self.renamed.len() < PATHS_MAX {
            self.renamed.insert(old.to_vec(), newest.to_vec());
        }
    }

    fn file(&mut self, path: Vec<u8>, time: i64, changes: Changes, is_first: bool) {
        if self.files.len() >= PATHS_MAX && !self.files.contains_key(&path) {
            self.is_full = true;
            return;
        }
        let file = self.files.entry(path).or_default();
        file.commits += u64::from(is_first);
        file.changes.add(changes);
        file.last = file.last.max(time);
    }

    fn finish(self) -> HistoryDetail {
        let mut detail = HistoryDetail {
            newest: if self.commits == 0 { String::new() } else { date(self.newest) },
            commits: self.commits,
            is_cut: self.is_full,
            changes: self.changes,
            ..HistoryDetail::default()
        };
        let newest = self.newest;
        let mut files: Vec<FileChanges> = self
            .files
            .into_iter()
            .map(|(path, file)| FileChanges {
                path: paths::text_of_bytes(&path),
                commits: file.commits,
                changes: file.changes,
                age_days: u64::try_from((newest - file.last) / SECONDS_PER_DAY).unwrap_or(0),
            })
            .collect();
        files.sort_by(|a, b| {
            (b.commits, b.changes.lines(), &a.path).cmp(&(a.commits, a.changes.lines(), &b.path))
        });
        files.into_iter().for_each(|file| detail.files.add(file, KEEP_FILES));
        let authors = self.authors.into_iter();
        let mut authors: Vec<AuthorChanges> = authors
            .map(|(name, (commits, changes))| AuthorChanges { name, commits, changes })
            .collect();
        authors.sort_by(|a, b| (b.commits, &a.name).cmp(&(a.commits, &b.name)));
        authors.into_iter().for_each(|author| detail.authors.add(author, KEEP_AUTHORS));
        let months = self.months.into_iter();
        detail.months = months
            .map(|(month, (commits, changes))| MonthChanges { month, commits, changes })
            .collect();
        detail
    }
}

/// The name of a person; an address in its place is cut at the `@`.
fn person(name: &str) -> String {
    let name = name.split('@').next().unwrap_or_default().trim();
    let name: String = secrets::hide(name).chars().take(NAME_CHARS_MAX).collect();
    if name.is_empty() { "nobody".to_owned() } else { name }
}

/// The day of a moment in UTC, as `2026-01-31`. Days are counted from a first of March, so that
/// the odd day of a leap year is the last (the civil calendar repeats after 400 years).
fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = SECONDS_PER_DAY;

    fn row(detail: &HistoryDetail, path: &str) -> (u64, u64, u64, u64) {
        let file = detail.files.listed.iter().find(|file| file.path == path).unwrap();
        (file.commits, file.changes.added, file.changes.removed, file.age_days)
    }

    #[test]
    fn commits_lines_and_authors_are_counted() {
        let (new, old) = (1_700_000_000, 1_700_000_000 - 40 * DAY);
        let log = format!(
            "\x01{new}\x01Ann\0\n3\t1\ta\0-\t-\timage.png\0\x01{new}\x01Bob\0\x01{old}\x01Ann\0\n10\t0\ta\0"
        );
        let detail = churn(log.as_bytes());
        assert_eq!((detail.commits, detail.newest.as_str()), (3, "2023-11-14"));
        assert_eq!(row(&detail, "a"), (2, 13, 1, 0));
        assert_eq!(row(&detail, "image.png"), (1, 0, 0, 0));
        let authors: Vec<_> =
            detail.authors.listed.iter().map(|a| (a.name.as_str(), a.commits)).collect();
        assert_eq!(authors, [("Ann", 2), ("Bob", 1)]);
        let months: Vec<_> = detail.months.iter().map(|m| (m.month.as_str(), m.commits)).collect();
        assert_eq!(months, [("2023-10", 1), ("2023-11", 2)]);
    }

    #[test]
    fn a_renamed_file_keeps_its_changes() {
        let log = "\x012000\x01A\0\n1\t0\tc\0\x011500\x01A\0\n0\t0\t\0b\0c\0\x011000\x01A\0\n2\t0\t\0a\0b\0\
                   \x01500\x01A\0\n5\t0\ta\0";
        let detail = churn(log.as_bytes());
        assert_eq!(detail.files.total, 1);
        assert_eq!(row(&detail, "c"), (4, 8, 0, 0));
    }

    #[test]
    fn a_log_that_breaks_off_gives_what_stood_before() {
        let log = "\x012000\x01A\0\n1\t0\tc\0\x011500\x01A\0\n0\t0\t\0b";
        assert_eq!(row(&churn(log.as_bytes()), "c"), (1, 1, 0, 0));
    }

    #[test]
    fn addresses_and_odd_paths_do_not_come_out_raw() {
        let detail = churn(b"\x012000\x01me@acme.io\0\n1\t0\tcaf\xe9\0");
        assert_eq!(detail.authors.listed[0].name, "me");
        assert_eq!(detail.files.listed[0].path, "caf\\xe9");
    }

    #[test]
    fn days_of_the_calendar_are_right() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (4_107_542_399, "2100-02-28"),
            (TIME_MAX, "9999-12-31"),
        ];
        for (seconds, day) in cases {
            assert_eq!(date(seconds), day);
        }
    }

    proptest! {
        #[test]
        fn no_log_breaks_the_count(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(&["\x01", "\0", "\n", "\t", "1", "-", "99999999999999999999", "18446744073709551615"][..])
                        .prop_map(|text| text.as_bytes().to_vec()),
                    prop::collection::vec(any::<u8>(), 0..4),
                ],
                0..60,
            ),
        ) {
            let _ = churn(&parts.concat());
        }
    }
}
