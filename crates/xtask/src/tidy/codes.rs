//! Error codes: each code of the API has exactly one entry in docs/errors.md, and no entry
//! speaks of a code that is not there.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::tree::Tree;

const CODES: &str = "crates/api/src/codes.rs";
const DOCUMENT: &str = "docs/errors.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.text(CODES) else { return Vec::new() };
    let codes = codes(source);
    let document = tree.text(DOCUMENT).unwrap_or_default();
    let mut entries: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (line, code) in
        (1..).zip(document.lines()).filter_map(|(line, text)| Some((line, entry(text)?)))
    {
        entries.entry(code).or_default().push(line);
    }
    let mut findings = Vec::new();
    if codes.is_empty() {
        findings.push(Finding::new(
            CODES,
            1,
            "no error code is found".into(),
            "write each as `code: \"snake_case\"` or `=> \"snake_case\"`",
        ));
    }
    for (code, line) in &codes {
        if !entries.contains_key(code) {
            let what = format!("the code `{code}` has no entry in {DOCUMENT}");
            findings.push(Finding::new(
                CODES,
                *line,
                what,
                "add a heading or a table row that starts with it",
            ));
        }
    }
    for (code, lines) in &entries {
        let known = codes.contains_key(code);
        let extra = if known { lines.get(1..).unwrap_or_default() } else { lines };
        for line in extra {
            let what = if known {
                format!("a second entry for `{code}`")
            } else {
                format!("no code `{code}`")
            };
            findings.push(Finding::new(
                DOCUMENT,
                *line,
                what,
                "one entry for each code of the API",
            ));
        }
    }
    findings
}

/// The codes of the source with the line of their first mention; tests apart.
fn codes(source: &str) -> BTreeMap<&str, usize> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = BTreeMap::new();
    for (line, text) in (1..).zip(product.lines()) {
        for mark in ["code: \"", "=> \""] {
            for after in text.split(mark).skip(1) {
                if let Some((code, _)) = after.split_once('"').filter(|(code, _)| is_code(code)) {
                    found.entry(code).or_insert(line);
                }
            }
        }
    }
    found
}

/// The code a line is the entry of: a heading or a table row that starts with it in backticks.
fn entry(line: &str) -> Option<&str> {
    let start = line
        .strip_prefix('|')
        .or_else(|| line.starts_with("##").then(|| line.trim_start_matches('#')))?;
    let (code, _) = start.trim_start().strip_prefix('`')?.split_once('`')?;
    is_code(code).then_some(code)
}

fn is_code(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    const SOURCE: &str = "//! Codes.
Self::RunNotFound => \"run_not_found\",
Row { code: \"queue_full\", status: 429 },
#[cfg(test)]
mod tests { const A: X = X { code: \"only_a_test\" }; }
";

    fn found(document: &str) -> Vec<String> {
        places(&check(&Tree::planted(&[(CODES, SOURCE), (DOCUMENT, document)])))
    }

    #[test]
    fn one_entry_for_each_code_is_clean() {
        assert!(found("## `run_not_found`\n\n| `queue_full` | 429 |\nsee `other`\n").is_empty());
    }

    #[test]
    fn a_missing_a_second_and_an_unknown_entry_are_found() {
        assert_eq!(found("## `run_not_found`\n"), ["crates/api/src/codes.rs:3"]);
        assert_eq!(
            found("## `run_not_found`\n## `queue_full`\n## `queue_full`\n## `gone`\n").len(),
            2
        );
    }

    #[test]
    fn without_a_document_every_code_is_missing() {
        assert_eq!(check(&Tree::planted(&[(CODES, SOURCE)])).len(), 2);
    }
}
