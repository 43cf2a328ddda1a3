//! Marks of unfinished work: to-do comments, ignored tests, bodies that are not there.

use super::finding::Finding;
use super::rust_file::{RustFile, starts};
use super::tree::Tree;

// Taken apart so that this file does not find itself.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const MISSING: [&str; 2] = ["todo", "unimplemented"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.rust().iter().flat_map(check_file).collect();
    for (path, text) in tree.texts(".toml") {
        for (line, text) in (1..).zip(text.lines()) {
            if text.split_once('#').is_some_and(|(_, comment)| is_mark(comment)) {
                findings.push(left_open(path, line));
            }
        }
    }
    findings
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let mut findings: Vec<Finding> = file
        .comment_lines()
        .filter(|(_, comment)| is_mark(comment))
        .map(|(line, _)| left_open(file.path(), line))
        .collect();
    let tokens = file.tokens();
    for at in 0..tokens.len() {
        let rest = tokens.get(at..).unwrap_or_default();
        let Some(first) = rest.first() else { continue };
        if starts(rest, &["#", "[", "ignore"]) {
            findings.push(Finding::new(
                file.path(),
                first.line,
                "an ignored test".into(),
                "mend it or delete it: a test that does not run proves nothing",
            ));
        }
        if MISSING.contains(&first.text) && starts(rest, &[first.text, "!"]) {
            findings.push(Finding::new(
                file.path(),
                first.line,
                format!("`{}!`", first.text),
                "what is there works; what does not is not there",
            ));
        }
    }
    findings
}

fn left_open(path: &str, line: usize) -> Finding {
    Finding::new(path, line, "a to-do mark".into(), "do it, or write an issue")
}

/// A mark opens a comment, or is followed by `:` or `(`. A text *about* marks is none.
fn is_mark(comment: &str) -> bool {
    let opening = comment.trim_start_matches(|c: char| c.is_whitespace() || "/*!#".contains(c));
    MARKS.iter().any(|mark| {
        let opens = opening
            .strip_prefix(mark)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
        let names = comment.match_indices(mark).any(|(at, _)| {
            let before = comment.get(..at).unwrap_or_default();
            let after = comment.get(at + mark.len()..).unwrap_or_default();
            before.ends_with(' ') && after.starts_with([':', '('])
        });
        opens || names
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(code: &str) -> usize {
        let text = format!("//! Says what it is.\n{code}\n");
        places(&check(&Tree::planted(&[("crates/a/src/x.rs", &text)]))).len()
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        let [to_do, fix_me] = MARKS;
        assert_eq!(found(&format!("// {to_do} later")), 1);
        assert_eq!(found(&format!("fn a() {{}} // soon, {fix_me}(me)")), 1);
        assert_eq!(found(&format!("/* {to_do}: x */")), 1);
        assert_eq!(found(concat!("fn a() { to", "do!() }")), 1);
        assert_eq!(found("#[test]\n#[ignore = \"slow\"]\nfn a() {}"), 1);
    }

    #[test]
    fn texts_about_marks_are_not() {
        let [to_do, fix_me] = MARKS;
        assert_eq!(found(&format!("/// Counts `{to_do}` and {fix_me} marks.")), 0);
        assert_eq!(found(&format!("const MARK: &str = \"{to_do}:\";")), 0);
    }

    #[test]
    fn manifests_are_read_too() {
        let [to_do, _] = MARKS;
        let tree = Tree::planted(&[("Cargo.toml", &format!("[workspace]\n# {to_do}: split\n"))]);
        assert_eq!(places(&check(&tree)), ["Cargo.toml:2"]);
    }
}
