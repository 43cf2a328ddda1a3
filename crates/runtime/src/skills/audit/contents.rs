//! What stands in the report of one audit: its sections and tables, in the order in which they
//! matter. How they look is for the forms.

use super::packages::UsedPackage;
use super::page::{Cell, Chart, Page, ROWS_MAX, grouped, size};
use super::report::{Report, by_code};
use super::spdx::LicenceKind;

/// Rows of the dependency table of one ecosystem.
const PACKAGE_ROWS_MAX: usize = 500;
/// Groups of duplicates that are shown, and files of each.
const GROUP_ROWS_MAX: usize = 50;
const GROUP_PATHS_MAX: usize = 5;
/// The largest and the most changed files that are shown.
const FILE_ROWS_MAX: usize = 20;
/// Authors that are shown.
const AUTHOR_ROWS_MAX: usize = 50;

/// The whole report.
pub(super) fn of_report(report: &Report) -> Page {
    let mut page = Page::new("Audit");
    overview(&mut page, report);
    secrets(&mut page, report);
    languages(&mut page, report);
    licences(&mut page, report);
    dependencies(&mut page, report);
    history(&mut page, report);
    todos(&mut page, report);
    files(&mut page, report);
    duplicates(&mut page, report);
    left_out(&mut page, report);
    page
}

fn overview(page: &mut Page, report: &Report) {
    let totals = &report.totals;
    page.section("");
    page.sentence(vec![Cell::words("Of"), Cell::foreign(report.root.as_str())]);
    let lines = totals.code + totals.comments + totals.blank;
    let in_directories = format!(" in {} directories", grouped(report.directories));
    let parts = [totals.text_files, totals.binary_files, totals.empty_files].map(grouped);
    let spare = &report.duplicates;
    let rows = [
        ("Files", format!("{}{in_directories}", grouped(totals.files))),
        ("Size", size(totals.bytes)),
        ("Text / binary / empty", parts.join(" / ")),
        ("Lines", format!("{}, of code {}", grouped(lines), grouped(totals.code))),
        ("Languages", grouped(report.languages.len() as u64)),
        ("Dependencies", dependencies_in_words(report)),
        ("History", history_in_words(report)),
        ("To-do marks", grouped(totals.todos)),
        ("Likely secrets", grouped(totals.secrets)),
        (
            "Duplicates",
            format!(
                "{} files that could go, {}",
                grouped(spare.spare_files),
                size(spare.spare_bytes)
            ),
        ),
        ("Problems", grouped(totals.problems)),
    ];
    page.table(
        &["", ""],
        rows.into_iter().map(|(name, value)| vec![Cell::words(name), Cell::words(value)]),
    );
    findings(page, report);
}

/// Everything that somebody may want to look after, by kind.
fn findings(page: &mut Page, report: &Report) {
    let kind = |kind| report.dependencies.by_kind.get(&kind).copied().unwrap_or(0);
    let copyleft = kind(LicenceKind::WeakCopyleft)
        + kind(LicenceKind::StrongCopyleft)
        + kind(LicenceKind::NetworkCopyleft);
    let secrets = report.secrets_by_kind.iter().map(|(kind, n)| (format!("secret: {kind}"), *n));
    let marks = report.todos_by_mark.iter().map(|(mark, n)| (format!("mark: {mark}"), *n));
    let rest = [
        ("dependency under copyleft".to_owned(), copyleft),
        ("dependency with a restricted licence".to_owned(), kind(LicenceKind::Restricted)),
        ("dependency of unknown licence".to_owned(), kind(LicenceKind::Unknown)),
        ("dependency in several versions".to_owned(), report.dependencies.duplicated.total),
        ("duplicate file".to_owned(), report.duplicates.spare_files),
        ("problem".to_owned(), report.totals.problems),
    ];
    let found: Vec<_> = secrets.chain(marks).chain(rest).filter(|(_, count)| *count > 0).collect();
    if found.is_empty() {
        return;
    }
    page.title("Findings by kind".to_owned());
    let rows = found.into_iter().map(|(kind, count)| vec![Cell::words(kind), Cell::Number(count)]);
    page.chart(Chart { title: "Findings by kind", column: 1 }, &["Kind", "#Count"], rows);
}

fn secrets(page: &mut Page, report: &Report) {
    page.section("Likely secrets");
    if report.secrets.total == 0 {
        return page.words("None found.");
    }
    page.words("Values are never shown: a fingerprint is the begin of the value's SHA-256.");
    page.list(&["Where", "#Line", "Kind", "Fingerprint"], &report.secrets, |secret| {
        let (path, line) = (Cell::foreign(secret.path.as_str()), Cell::Number(secret.line));
        vec![
            path,
            line,
            Cell::words(secret.kind.as_str()),
            Cell::foreign(secret.fingerprint.as_str()),
        ]
    });
}

fn languages(page: &mut Page, report: &Report) {
    page.section("Languages");
    let titles = ["Language", "#Code", "#Comment", "#Blank", "#Files", "#Size"];
    let rows = by_code(&report.languages).into_iter().map(|(name, lines)| {
        let numbers = [lines.code, lines.comments, lines.blank, lines.files].map(Cell::Number);
        let mut row = vec![Cell::words(name)];
        row.extend(numbers);
        row.push(Cell::Bytes(lines.bytes));
        row
    });
    page.chart(Chart { title: "Lines of code by language", column: 1 }, &titles, rows);
}

fn licences(page: &mut Page, report: &Report) {
    page.section("Licences");
    let licences = &report.licences;
    if licences.files.total == 0 {
        page.words("No licence file found.");
    } else {
        page.list(&["File", "Licence"], &licences.files, |file| {
            let ids = file.licences.join(", ");
            let ids = if ids.is_empty() { "not recognised".to_owned() } else { ids };
            vec![Cell::foreign(file.path.as_str()), Cell::words(ids)]
        });
    }
    if licences.declared.total > 0 {
        page.words("Declared by package manifests:");
        page.list(&["Manifest", "Licence"], &licences.declared, |declared| {
            vec![Cell::foreign(declared.path.as_str()), Cell::foreign(declared.expression.as_str())]
        });
    }
    if !licences.tags.is_empty() {
        page.words("SPDX tags in sources:");
        let rows = licences.tags.iter().take(ROWS_MAX);
        let rows = rows.map(|(tag, files)| vec![Cell::foreign(tag.as_str()), Cell::Number(*files)]);
        page.table(&["Expression", "#Files"], rows);
        page.cut(licences.tags.len().min(ROWS_MAX), licences.tags.len() as u64);
    }
}

fn dependencies(page: &mut Page, report: &Report) {
    page.section("Dependencies");
    let dependencies = &report.dependencies;
    if dependencies.listed.is_empty() {
        return page.words("No lock file names any.");
    }
    page.title("Their licences".to_owned());
    page.words(licences_in_words(report));
    let mut by_licence: Vec<_> = dependencies.by_licence.iter().collect();
    by_licence.sort_by_key(|(expression, count)| (std::cmp::Reverse(**count), *expression));
    let total = by_licence.len() as u64;
    let rows = by_licence.into_iter().take(ROWS_MAX).map(|(expression, count)| {
        let kind = super::spdx::kind(Some(expression));
        vec![Cell::foreign(expression.as_str()), Cell::Number(*count), Cell::words(kind.name())]
    });
    let chart = Chart { title: "Dependencies by licence", column: 1 };
    page.chart(chart, &["Licence", "#Packages", "Kind"], rows);
    page.cut(ROWS_MAX.min(usize::try_from(total).unwrap_or(ROWS_MAX)), total);
    flagged(page, report);
    if dependencies.duplicated.total > 0 {
        page.title("In several versions".to_owned());
        page.list(&["Package", "Ecosystem", "Versions"], &dependencies.duplicated, |package| {
            let versions = package.versions.iter().take(GROUP_PATHS_MAX).cloned().collect();
            let more = package.versions.len().saturating_sub(GROUP_PATHS_MAX);
            let more = if more > 0 { format!("and {more} more") } else { String::new() };
            let name = Cell::foreign(package.name.as_str());
            vec![name, Cell::words(package.ecosystem.as_str()), Cell::Lines(versions, more)]
        });
    }
    for (ecosystem, total) in &dependencies.by_ecosystem {
        page.title(format!("{ecosystem}: {}", grouped(*total)));
        let packages = dependencies.listed.iter().filter(|p| p.ecosystem == *ecosystem);
        let titles = ["Package", "Version", "Licence", "Source", "Locked in"];
        page.table(&titles, packages.take(PACKAGE_ROWS_MAX).map(package_row));
        page.cut(PACKAGE_ROWS_MAX, *total);
    }
    if dependencies.not_listed > 0 {
        let left = grouped(dependencies.not_listed);
        page.words(format!("{left} further entries of lock files are not listed."));
    }
}

/// Packages whose licence asks for more than a notice, or is not known.
fn flagged(page: &mut Page, report: &Report) {
    let kinds = &report.dependencies.by_kind;
    let total: u64 =
        kinds.iter().filter(|(k, _)| **k > LicenceKind::Permissive).map(|(_, n)| n).sum();
    let listed = report.dependencies.listed.iter();
    let mut flagged: Vec<&UsedPackage> =
        listed.filter(|package| package.kind > LicenceKind::Permissive).collect();
    if flagged.is_empty() {
        return;
    }
    // What somebody may have to act on first; unknown comes last because there may be many.
    flagged.sort_by_key(|package| package.kind);
    page.title(format!("Licences to look at: {}", grouped(total)));
    let rows = flagged.iter().take(ROWS_MAX).map(|package| {
        let licence = package.licence.as_ref().map_or("", |licence| licence.expression.as_str());
        vec![
            Cell::foreign(package.name.as_str()),
            Cell::foreign(package.version.as_str()),
            Cell::words(package.ecosystem.as_str()),
            Cell::foreign(licence),
            Cell::words(package.kind.name()),
        ]
    });
    page.table(&["Package", "Version", "Ecosystem", "Licence", "Kind"], rows);
    page.cut(flagged.len().min(ROWS_MAX), total);
}

fn package_row(package: &UsedPackage) -> Vec<Cell> {
    let licence = match &package.licence {
        Some(licence) => Cell::foreign(licence.expression.as_str()),
        None => Cell::words("unknown"),
    };
    let more = match package.lock_files {
        0 | 1 => String::new(),
        files => format!("and {} more", grouped(files - 1)),
    };
    let first = package.paths.iter().take(1).cloned().collect();
    vec![
        Cell::foreign(package.name.as_str()),
        Cell::foreign(package.version.as_str()),
        licence,
        Cell::foreign(package.source.as_str()),
        Cell::Lines(first, more),
    ]
}

fn history(page: &mut Page, report: &Report) {
    page.section("History");
    let history = &report.history;
    if let Some(why) = &history.why_none {
        return page.words(format!("No history: {why}."));
    }
    let cut = if history.is_cut { "; there are more, the log was cut" } else { "" };
    page.words(format!(
        "{} commits of the {} days up to {}, merges left out{cut}. Lines: {} added, {} removed.",
        grouped(history.commits),
        grouped(history.days),
        history.newest,
        grouped(history.changes.added),
        grouped(history.changes.removed)
    ));
    page.title("Most changed files".to_owned());
    let rows = history.most_changed.iter().take(FILE_ROWS_MAX).map(|file| {
        let numbers = [file.commits, file.changes.added, file.changes.removed, file.age_days];
        let mut row = vec![Cell::foreign(file.path.as_str())];
        row.extend(numbers.map(Cell::Number));
        row
    });
    let titles = ["File", "#Commits", "#Added", "#Removed", "#Days ago"];
    page.chart(Chart { title: "Commits by file", column: 1 }, &titles, rows);
    page.title("Authors".to_owned());
    let rows = history.authors.listed.iter().take(AUTHOR_ROWS_MAX).map(|author| {
        let numbers = [author.commits, author.changes.added, author.changes.removed];
        let mut row = vec![Cell::foreign(author.name.as_str())];
        row.extend(numbers.map(Cell::Number));
        row
    });
    let titles = ["Author", "#Commits", "#Added", "#Removed"];
    page.chart(Chart { title: "Commits by author", column: 1 }, &titles, rows);
    page.cut(history.authors.listed.len().min(AUTHOR_ROWS_MAX), history.authors.total);
    page.title("By month".to_owned());
    let rows = history.months.iter().map(|month| {
        let numbers = [month.commits, month.changes.added, month.changes.removed];
        let mut row = vec![Cell::words(month.month.as_str())];
        row.extend(numbers.map(Cell::Number));
        row
    });
    let titles = ["Month", "#Commits", "#Added", "#Removed"];
    page.chart(Chart { title: "Commits by month", column: 1 }, &titles, rows);
    page.title("Last changed".to_owned());
    let rows = history.ages.iter();
    let rows = rows.map(|age| vec![Cell::words(age.label.as_str()), Cell::Number(age.files)]);
    let chart = Chart { title: "Files by the time since their last change", column: 1 };
    page.chart(chart, &["Within", "#Files"], rows);
}

fn todos(page: &mut Page, report: &Report) {
    page.section("To-do marks");
    if report.totals.todos == 0 {
        return page.words("None found.");
    }
    let marks = report.todos_by_mark.iter();
    let marks: Vec<_> = marks.map(|(mark, n)| format!("{mark} {}", grouped(*n))).collect();
    page.words(marks.join(" · "));
    page.list(&["Where", "#Line", "Text"], &report.todos, |todo| {
        let (path, line) = (Cell::foreign(todo.path.as_str()), Cell::Number(todo.line));
        vec![path, line, Cell::foreign(todo.text.as_str())]
    });
}

fn files(page: &mut Page, report: &Report) {
    page.section("Files by size");
    let classes = report.sizes.iter();
    let rows = classes.map(|class| {
        vec![Cell::words(class.label.as_str()), Cell::Number(class.files), Cell::Bytes(class.bytes)]
    });
    page.chart(
        Chart { title: "Files by size", column: 1 },
        &["Class", "#Files", "#Together"],
        rows,
    );
    page.words("The largest:");
    let largest = report.largest.iter().take(FILE_ROWS_MAX);
    let rows = largest.map(|file| vec![Cell::foreign(file.path.as_str()), Cell::Bytes(file.bytes)]);
    page.chart(Chart { title: "The largest files", column: 1 }, &["File", "#Size"], rows);
}

fn duplicates(page: &mut Page, report: &Report) {
    page.section("Duplicates");
    let duplicates = &report.duplicates;
    if duplicates.groups == 0 {
        return page.words("No two files are the same.");
    }
    let rows = duplicates.listed.iter().take(GROUP_ROWS_MAX).map(|same| {
        let more = same.files.saturating_sub(GROUP_PATHS_MAX as u64);
        let more = if more > 0 { format!("and {} more", grouped(more)) } else { String::new() };
        let paths = same.paths.iter().take(GROUP_PATHS_MAX).cloned().collect();
        let wasted = same.bytes.saturating_mul(same.files.saturating_sub(1));
        let (wasted, each) = (Cell::Bytes(wasted), Cell::Bytes(same.bytes));
        vec![wasted, Cell::Number(same.files), each, Cell::Lines(paths, more)]
    });
    page.table(&["#Wasted", "#Files", "#Each", "Where"], rows);
    page.cut(duplicates.listed.len().min(GROUP_ROWS_MAX), duplicates.groups);
}

fn left_out(page: &mut Page, report: &Report) {
    page.section("Not looked into");
    if report.problems.total > 0 {
        page.words("Problems:");
        page.list(&["Where", "What"], &report.problems, |problem| {
            vec![Cell::foreign(problem.path.as_str()), Cell::words(problem.problem.as_str())]
        });
    }
    if report.skipped.total > 0 {
        page.words("Left out on purpose:");
        page.list(&["Where", "Why"], &report.skipped, |skipped| {
            vec![Cell::foreign(skipped.path.as_str()), Cell::words(skipped.reason.as_str())]
        });
    }
    if report.links.total > 0 {
        page.words("Symbolic links, not followed:");
        page.list(&["Link", "To"], &report.links, |link| {
            vec![Cell::foreign(link.path.as_str()), Cell::foreign(link.target.as_str())]
        });
    }
    if report.special.total > 0 {
        page.words("Sockets, pipes and devices, not opened:");
        page.list(&["Where"], &report.special, |path| vec![Cell::foreign(path.as_str())]);
    }
    let totals = &report.totals;
    page.words(format!(
        "{} files were too large to compare, {} texts too large to count.",
        grouped(totals.unhashed_files),
        grouped(totals.uncounted_files)
    ));
}

fn dependencies_in_words(report: &Report) -> String {
    let ecosystems = report.dependencies.by_ecosystem.iter();
    let words: Vec<_> = ecosystems.map(|(name, n)| format!("{} {name}", grouped(*n))).collect();
    if words.is_empty() { "none locked".to_owned() } else { words.join(", ") }
}

fn licences_in_words(report: &Report) -> String {
    let kinds = report.dependencies.by_kind.iter();
    let words: Vec<_> = kinds.map(|(kind, n)| format!("{} {}", grouped(*n), kind.name())).collect();
    format!("By what they ask: {}.", words.join(", "))
}

fn history_in_words(report: &Report) -> String {
    let history = &report.history;
    match &history.why_none {
        Some(why) => format!("none: {why}"),
        None => format!(
            "{} commits by {} authors in {} days",
            grouped(history.commits),
            grouped(history.authors.total),
            grouped(history.days)
        ),
    }
}
