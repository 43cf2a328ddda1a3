//! Names: endings that hide a missing noun are not used, nor is `get_`.

use super::finding::Finding;
use super::rust_file::Token;
use super::tree::Tree;

const ENDINGS: [&str; 8] =
    ["Manager", "Helper", "Helpers", "Util", "Utils", "Factory", "Wrapper", "Processor"];
const KINDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
/// Names of the standard library's own pattern.
const GET_KNOWN: [&str; 2] = ["get_mut", "get_or_"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for pair in file.tokens().windows(2) {
            let [keyword, name] = pair else { continue };
            findings.extend(breach(file.path(), keyword, name));
        }
    }
    findings
}

fn breach(path: &str, keyword: &Token<'_>, name: &Token<'_>) -> Option<Finding> {
    let find = |what, hint| Some(Finding::new(path, name.line, what, hint));
    if KINDS.contains(&keyword.text) {
        let ending = ENDINGS.iter().find(|ending| name.text.ends_with(**ending))?;
        return find(
            format!("the type `{}` ends in `{ending}`", name.text),
            "name the thing: what does it hold, or decide?",
        );
    }
    let getter = keyword.text == "fn"
        && name.text.starts_with("get_")
        && !GET_KNOWN.iter().any(|known| name.text.starts_with(known));
    if getter {
        return find(format!("`fn {}`", name.text), "no `get_`: name what is given");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(code: &str) -> Vec<String> {
        let text = format!("//! Says what it is.\n{code}\n");
        places(&check(&Tree::planted(&[("crates/a/src/x.rs", &text)])))
    }

    #[test]
    fn names_that_hide_a_noun_are_found() {
        for code in [
            "pub struct TaskManager;",
            "enum DateUtils {}",
            "trait Factory {}",
            "type RunHelper = u8;",
        ] {
            assert_eq!(found(code), ["crates/a/src/x.rs:2"], "{code}");
        }
        assert!(
            found("struct Task; // no TaskManager\nconst A: &str = \"struct TaskManager\";")
                .is_empty()
        );
    }

    #[test]
    fn getters_are_found_but_not_the_standard_pattern() {
        assert_eq!(found("fn get_name() {}"), ["crates/a/src/x.rs:2"]);
        assert!(found("fn get_or_insert() {}\nfn get_mut() {}\nfn get() {}").is_empty());
    }
}
