//! Functions: at most 70 lines of code. Clippy counts so too, but not inside macros.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::rust_file::{Token, item_end};
use super::tree::Tree;

/// What fits a screen.
const LINES_MAX: usize = 70;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let tokens = file.tokens();
        for at in 0..tokens.len() {
            let Some([keyword, name, ..]) = tokens.get(at..) else { continue };
            // `fn(` is a type, not a function.
            if keyword.text != "fn"
                || !name.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
            {
                continue;
            }
            let lines = body_lines(tokens.get(at..).unwrap_or_default());
            if lines > LINES_MAX {
                findings.push(Finding::new(
                    file.path(),
                    keyword.line,
                    format!("`fn {}` has {lines} lines of code", name.text),
                    "at most 70: name a part of it and take it out",
                ));
            }
        }
    }
    findings
}

/// Lines with code between the braces, blank lines and comments apart, as clippy counts.
fn body_lines(function: &[Token<'_>]) -> usize {
    let Some(end) = item_end(function).filter(|end| end.text == "}") else { return 0 };
    let mut depth = 0_i32;
    let open = function.iter().find(|token| {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            _ => {}
        }
        token.text == "{" && depth == 0
    });
    let Some(open) = open else { return 0 };
    let lines: BTreeSet<usize> = function
        .iter()
        .map(|token| token.line)
        .filter(|line| (open.line + 1..end.line).contains(line))
        .collect();
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let text = format!(
            "//! Says what it is.\nfn long(a: [u8; 4]) -> fn() {{\n{body}}}\nfn next() {{}}\n"
        );
        places(&check(&Tree::planted(&[("crates/a/src/x.rs", &text)])))
    }

    #[test]
    fn a_long_function_is_found_at_its_first_line() {
        assert_eq!(found(&"    a();\n".repeat(71)), ["crates/a/src/x.rs:2"]);
        assert!(found(&"    a();\n".repeat(70)).is_empty());
    }

    #[test]
    fn comments_and_blank_lines_do_not_count_but_long_strings_do() {
        assert!(found(&"    // why\n\n".repeat(71)).is_empty());
        assert_eq!(found(&format!("    \"\n{}\"\n", "x }\n".repeat(71))).len(), 1);
    }

    #[test]
    fn declarations_have_no_length() {
        let text = format!(
            "//! Says what it is.\ntrait T {{\n    fn a(&self);\n{}}}\n",
            "    fn b(&self);\n".repeat(90)
        );
        assert!(check(&Tree::planted(&[("crates/a/src/x.rs", &text)])).is_empty());
    }
}
