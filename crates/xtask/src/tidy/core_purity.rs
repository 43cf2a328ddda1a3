//! The core decides and does nothing else: no files, clock, environment, threads, random order,
//! floating point, logs. A clippy.toml in the crate would replace the root one, so it is here.

use super::finding::Finding;
use super::manifests::{Kind, dependencies};
use super::rust_file::{RustFile, Token, starts};
use super::tree::Tree;

const SOURCES: &str = "crates/core/src/";
const MANIFEST: &str = "crates/core/Cargo.toml";

/// Modules of `std` that touch the world.
const MODULES: [&str; 6] = ["fs", "io", "net", "env", "process", "thread"];
/// Words that may not stand in the code, and what to use.
const WORDS: [(&str, &str); 8] = [
    ("SystemTime", "`now` is an argument"),
    ("Instant", "`now` is an argument"),
    ("HashMap", "use BTreeMap, or FxHashMap whose order nothing depends on"),
    ("HashSet", "use BTreeSet, or FxHashSet whose order nothing depends on"),
    ("RandomState", "use BTreeMap, or FxHashMap whose order nothing depends on"),
    ("f32", "floats differ between machines: use integers with the unit in the type"),
    ("f64", "floats differ between machines: use integers with the unit in the type"),
    ("async", "the core is synchronous"),
];
const MACROS: [&str; 5] = ["println", "print", "eprintln", "eprint", "dbg"];
/// Packages whose presence alone would break the rule.
const PACKAGES: [&str; 7] =
    ["tokio", "tracing", "rand", "futures-util", "rustix", "tracing-subscriber", "jiff"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().iter().filter(|file| file.path().starts_with(SOURCES));
    let mut findings: Vec<Finding> = files.flat_map(check_file).collect();
    for dependency in tree.text(MANIFEST).map(dependencies).unwrap_or_default() {
        if dependency.kind == Kind::Normal && PACKAGES.contains(&dependency.package.as_str()) {
            findings.push(Finding::new(
                MANIFEST,
                dependency.line,
                format!("the core depends on `{}`", dependency.package),
                "the core decides; doing is the runtime's",
            ));
        }
    }
    findings
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let tokens = file.tokens();
    let mut findings = Vec::new();
    for at in 0..tokens.len() {
        let rest = tokens.get(at..).unwrap_or_default();
        let Some(first) = rest.first().filter(|first| !file.is_test(first.line)) else { continue };
        let mut find = |what: &str, hint| {
            let what = format!("`{what}` in the core");
            findings.push(Finding::new(file.path(), first.line, what, hint));
        };
        for module in touched(rest) {
            find(
                &format!("std::{module}"),
                "the core does no I/O: take what is needed as an argument",
            );
        }
        if let Some((word, hint)) = WORDS.iter().find(|(word, _)| *word == first.text) {
            find(word, hint);
        }
        if MACROS.contains(&first.text) && starts(rest, &[first.text, "!"]) {
            find(first.text, "the core is silent: return the reason");
        }
        if ["tokio", "tracing"].contains(&first.text) && starts(rest, &[first.text, ":", ":"]) {
            find(first.text, "the core is synchronous and silent: return the reason");
        }
    }
    findings
}

/// The forbidden modules named by `std::x` or by a group `std::{x, y::{…}}` that starts here.
fn touched<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    if !starts(tokens, &["std", ":", ":"]) {
        return Vec::new();
    }
    let rest = tokens.get(3..).unwrap_or_default();
    let mut names = Vec::new();
    let mut depth = 0_i32;
    let mut previous = "{";
    for token in rest {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if depth <= 1 && (depth == 0 || matches!(previous, "{" | ",")) => names.push(name),
            _ => {}
        }
        previous = token.text;
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| MODULES.contains(name));
    names
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(code: &str) -> usize {
        let text = format!("//! Says what it is.\n{code}\n");
        places(&check(&Tree::planted(&[("crates/core/src/x.rs", &text)]))).len()
    }

    #[test]
    fn calls_that_touch_the_world_are_found() {
        for code in [
            "use std::fs;",
            "use std::{collections::BTreeMap, env};",
            "fn a() { std::thread::yield_now(); }",
            "use std::time::Instant;",
            "use std::collections::{BTreeMap, HashMap};",
            "fn a() -> f64 { 0.0 }",
            "fn a() { println!(\"x\"); }",
            "fn a() { tracing::info!(\"x\"); }",
        ] {
            assert_eq!(found(code), 1, "{code}");
        }
    }

    #[test]
    fn pure_code_words_in_text_and_tests_are_not() {
        for code in [
            "use std::collections::{BTreeMap, btree_map::Entry};\nuse rustc_hash::FxHashMap;",
            "use std::{fmt, collections::{self, env_map}};",
            "// no std::fs, no HashMap\nconst A: &str = \"std::env f64\";",
            "fn a(v: &Value) { v.as_f64(); }",
            "#[cfg(test)]\nmod tests {\n    use std::collections::HashSet;\n}",
        ] {
            assert_eq!(found(code), 0, "{code}");
        }
    }

    #[test]
    fn other_crates_may() {
        let tree = Tree::planted(&[("crates/store/src/x.rs", "//! Says.\nuse std::fs;\n")]);
        assert!(check(&tree).is_empty());
    }

    #[test]
    fn a_package_that_acts_is_found_in_the_manifest() {
        let text =
            "[dependencies]\ntokio.workspace = true\n[dev-dependencies]\nrand.workspace = true\n";
        let found = places(&check(&Tree::planted(&[(MANIFEST, text)])));
        assert_eq!(found, ["crates/core/Cargo.toml:2"]);
    }
}
