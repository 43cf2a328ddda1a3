//! ARCHITECTURE.md: short enough to be read, and each invariant names tests that exist.
//!
//! An invariant is a line that starts with `I` and a number (after list or table marks), with the
//! lines that continue it. It is held by the tests it names in backticks (words joined by
//! underscores, a path before them allowed), or says `later` where nothing needs it yet.

use super::finding::Finding;
use super::tree::Tree;

const DOCUMENT: &str = "ARCHITECTURE.md";
/// What is read in a quarter of an hour.
const LINES_MAX: usize = 300;
/// I1 … I19.
const INVARIANTS: u32 = 19;

struct Invariant<'a> {
    number: u32,
    line: usize,
    text: Vec<&'a str>,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(DOCUMENT) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut find =
        |line, what: String, hint| findings.push(Finding::new(DOCUMENT, line, what, hint));
    let lines = text.lines().count();
    if lines > LINES_MAX {
        find(lines, format!("{lines} lines"), "at most 300: move detail to docs/");
    }
    let invariants = read(text);
    for number in 1..=INVARIANTS {
        if !invariants.iter().any(|invariant| invariant.number == number) {
            find(
                1,
                format!("no line for I{number}"),
                "each invariant has a line that names its tests",
            );
        }
    }
    for invariant in &invariants {
        let names: Vec<&str> = invariant.text.iter().flat_map(|line| tests_named(line)).collect();
        let later = invariant.text.iter().any(|line| says_later(line));
        if names.is_empty() && !later {
            let what = format!("I{} names no test", invariant.number);
            find(invariant.line, what, "name its tests in backticks, or say `later`");
        }
        for name in names.iter().filter(|name| !exists(tree, name)) {
            let what =
                format!("I{} names `{name}`, which is no function of the tree", invariant.number);
            find(invariant.line, what, "name a test that exists");
        }
    }
    findings
}

fn read(text: &str) -> Vec<Invariant<'_>> {
    let mut found: Vec<Invariant<'_>> = Vec::new();
    let mut open = false;
    for (line, text) in (1..).zip(text.lines()) {
        if let Some(number) = number(text) {
            found.push(Invariant { number, line, text: vec![text] });
            open = true;
        } else if text.trim().is_empty() || text.starts_with('#') {
            open = false;
        } else if let Some(last) = found.last_mut().filter(|_| open) {
            last.text.push(text);
        }
    }
    found
}

fn number(line: &str) -> Option<u32> {
    let line = line.trim_start_matches([' ', '|', '-', '*', '`']);
    let rest = line.strip_prefix('I')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at_checked(digits)?;
    // `I1-I8` and `I14, I15` speak of invariants; they are none.
    let speaks = after.starts_with(['-', '–', ','])
        || after.starts_with(" and")
        || after.starts_with(" to ");
    if speaks { None } else { digits.parse().ok() }
}

/// Names in backticks that look like a test's.
fn tests_named(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let name = quoted.rsplit("::").next()?;
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        (plain && name.contains('_')).then_some(name)
    })
}

fn says_later(line: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("later"))
}

fn exists(tree: &Tree, name: &str) -> bool {
    tree.rust().iter().any(|file| {
        file.tokens()
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.text == "fn" && b.text == name))
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn tree(lines: &[&str]) -> Tree {
        let named: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let has = |number: u32| named.iter().any(|line| super::number(line) == Some(number));
        let rest = (1..=INVARIANTS).filter(|number| !has(*number)).map(|n| format!("- I{n} later"));
        let text = named.iter().cloned().chain(rest).collect::<Vec<_>>().join("\n");
        Tree::planted(&[
            ("ARCHITECTURE.md", &text),
            ("crates/a/tests/x.rs", "#[test]\nfn an_acknowledged_run_survives() {}\n"),
        ])
    }

    #[test]
    fn an_invariant_held_by_a_test_or_put_off_is_clean() {
        let held = "| I1 | survives, else `unknown` | `store::an_acknowledged_run_survives` |";
        assert!(check(&tree(&[held])).is_empty());
        let wrapped = ["- **I2** one terminal record:", "  `an_acknowledged_run_survives`"];
        assert!(check(&tree(&wrapped)).is_empty());
    }

    #[test]
    fn an_invariant_that_names_no_test_or_one_that_is_not_there_is_found() {
        assert_eq!(places(&check(&tree(&["- I1 survives"]))), ["ARCHITECTURE.md:1"]);
        assert_eq!(places(&check(&tree(&["- I1 `no_such_test`"]))), ["ARCHITECTURE.md:1"]);
    }

    #[test]
    fn a_missing_invariant_and_a_long_document_are_found() {
        let text = "- I1 later\n".repeat(301);
        let found = check(&Tree::planted(&[("ARCHITECTURE.md", &text)]));
        assert_eq!(found.len(), 1 + 18);
    }

    #[test]
    fn a_line_that_only_speaks_of_invariants_is_none() {
        assert_eq!(number("I1-I8 are checked by the simulator"), None);
        assert_eq!(number("- **I17** safety"), Some(17));
        assert_eq!(number("In the beginning"), None);
    }
}
