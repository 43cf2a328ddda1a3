//! Files: a first line that says what and why, a bounded length, a flat shape, no `mod.rs`.

use super::finding::Finding;
use super::rust_file::RustFile;
use super::tree::Tree;

/// Beyond this nobody reads a file in one sitting; tests do not count.
const LINES_MAX: usize = 800;
/// Folders between `src` and a file.
const NESTING_MAX: usize = 2;
/// A header shorter than this says nothing.
const HEADER_CHARS_MIN: usize = 10;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().iter().flat_map(check_file).collect()
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let path = file.path();
    let mut findings = Vec::new();
    let mut find = |what: String, hint| findings.push(Finding::new(path, 1, what, hint));
    let header = file.first_line().strip_prefix("//!").map(str::trim);
    if header.is_none_or(|header| header.chars().count() < HEADER_CHARS_MIN) {
        find("no header".into(), "the first line is `//!` and says what the file is and why");
    }
    let lines = file.product_lines();
    if lines > LINES_MAX {
        find(
            format!("{lines} lines without tests"),
            "at most 800; aim at 300: split by what changes together",
        );
    }
    if path.ends_with("/mod.rs") {
        find("a `mod.rs`".into(), "name the file after its module: `foo.rs` beside `foo/`");
    }
    let below = path.split_once("/src/").map_or(0, |(_, below)| below.matches('/').count());
    if below > NESTING_MAX {
        find(
            format!("{below} folders below `src`"),
            "at most two: a deeper tree hides its borders",
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&Tree::planted(&[(path, text)])))
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        assert_eq!(found("crates/a/src/x.rs", "fn a() {}\n").len(), 1);
        assert_eq!(found("crates/a/src/x.rs", "//! X.\nfn a() {}\n").len(), 1);
        assert_eq!(found("crates/a/tests/x.rs", "\n//! Says what it is.\n").len(), 1);
        assert!(found("crates/a/src/x.rs", "//! Says what it is.\nfn a() {}\n").is_empty());
    }

    #[test]
    fn a_long_file_is_found_but_its_tests_do_not_count() {
        let header = "//! Says what it is.\n";
        let long = format!("{header}{}", "fn a() {}\n".repeat(800));
        assert_eq!(found("crates/a/src/x.rs", &long), ["crates/a/src/x.rs:1"]);
        let tests = "fn a() {}\n".repeat(900);
        let tested = format!("{header}#[cfg(test)]\nmod tests {{\n{tests}}}\n");
        assert!(found("crates/a/src/x.rs", &tested).is_empty());
        assert!(found("crates/a/tests/x.rs", &long).is_empty());
    }

    #[test]
    fn mod_rs_and_deep_folders_are_found() {
        let header = "//! Says what it is.\n";
        assert_eq!(found("crates/a/src/b/mod.rs", header).len(), 1);
        assert_eq!(found("crates/a/src/b/c/d/e.rs", header).len(), 1);
        assert!(found("crates/a/src/b/c/e.rs", header).is_empty());
    }
}
