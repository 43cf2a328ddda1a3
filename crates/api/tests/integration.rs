//! The table of codes, its page, and the sources that use codes say the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ark_os_api::codes::{Kind, TABLE, known};
use ark_os_api::{TaskDiff, ValueChange};
use utoipa::PartialSchema;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Code → (HTTP status or none, exit code) of `docs/errors.md`.
fn documented() -> BTreeMap<String, (Option<u16>, u8)> {
    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        assert_eq!(cells.len(), 5, "{line}");
        let code = cells[0].trim_end_matches('`').to_owned();
        let (status, exit) = cells[1].split_once(", ").unwrap();
        Some((code, (status.parse().ok(), exit.parse().unwrap())))
    });
    rows.collect()
}

#[test]
fn every_code_has_its_entry_in_the_page_and_no_other_is_there() {
    let documented = documented();
    for row in TABLE {
        let (status, exit) = documented.get(row.code).unwrap_or_else(|| panic!("{}", row.code));
        assert_eq!(*exit, row.exit.code(), "{}", row.code);
        match status {
            Some(status) => assert_eq!(*status, row.status, "{}", row.code),
            None => assert_eq!(row.kind, Kind::Failed, "{}", row.code),
        }
    }
    for code in documented.keys() {
        assert!(known(code).is_some(), "{code}");
    }
}

/// Every code that a source hands to an error is in the table.
#[test]
fn every_code_that_is_used_is_in_the_table() {
    let mut missing = Vec::new();
    for package in ["core", "store", "runtime", "server", "cli"] {
        walk(&root().join("crates").join(package).join("src"), &mut |path, text| {
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            let unknown = codes_in(product).into_iter().filter(|code| known(code).is_none());
            missing.extend(unknown.map(|code| format!("{}: {code}", path.display())));
        });
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

fn walk(dir: &Path, visit: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            walk(&path, visit);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            visit(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// First string after each of these marks, if it looks like a code of ours (no dot).
fn codes_in(text: &str) -> Vec<&str> {
    const MARKS: [&str; 5] =
        ["Kind::", "Failure::fatal(", "Failure::retryable(", "Failure::new(", "Problem::new("];
    let mut found = Vec::new();
    for mark in MARKS {
        for (at, _) in text.match_indices(mark) {
            let mut rest = &text[at + mark.len()..];
            if mark == "Kind::" {
                let name = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(0);
                let Some(after) = rest[name..].strip_prefix(',') else { continue };
                rest = after;
            }
            let Some(quoted) = rest.trim_start().strip_prefix('"') else { continue };
            let code = quoted.split('"').next().unwrap_or_default();
            let is_code = code.contains(|c: char| c.is_ascii_lowercase())
                && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_code {
                found.push(code);
            }
        }
    }
    found
}

#[test]
fn codes_are_found_in_a_source() {
    let source =
        "Rejected::new(Kind::Conflict, \"run_over\", x); Failure::fatal(\n \"timeout\", y);
        RuntimeError::new(kind, code, z); SkillError::new(Kind::Invalid, \"a.b\"); \"not_one\"";
    assert_eq!(codes_in(source), ["run_over", "timeout"]);
}

/// What is left out of an answer that is empty has to be read back as empty, by a client of the same
/// types: an `Option` is, all else needs a default.
#[test]
fn every_field_that_may_be_left_out_has_a_default() {
    let mut missing = Vec::new();
    let mut seen = 0;
    walk(&root().join("crates/api/src"), &mut |path, text| {
        let (mut type_has_default, mut attributes) = (false, String::new());
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") || (!attributes.is_empty() && !attributes.ends_with(")]")) {
                attributes.push_str(line);
                continue;
            }
            let has_default = attributes.split([',', '(', ')', ' ']).any(|it| it == "default");
            if line.starts_with("pub struct ") || line.starts_with("pub enum ") {
                type_has_default = attributes.contains("#[serde(") && has_default;
            } else if attributes.contains("skip_serializing_if") {
                seen += 1;
                // Another deserializer than the type's own does not know what is absent either.
                let is_option =
                    line.contains(": Option<") && !attributes.contains("deserialize_with");
                if !type_has_default && !has_default && !is_option {
                    missing.push(format!("{}: {line}", path.display()));
                }
            }
            if !line.starts_with("///") {
                attributes.clear();
            }
        }
    });
    assert!(seen > 100, "{seen} fields");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn two_tasks_that_differ_in_their_state_alone_are_read_back() {
    let told = r#"{"name":"t","a":{"state":"failed","attempts":1,"spent":{}}}"#;
    let diff: TaskDiff = serde_json::from_str(told).unwrap();
    assert!(diff.output.is_empty());
    let again = serde_json::to_string(&diff).unwrap();
    assert!(!again.contains("output"), "{again}");
    serde_json::from_str::<TaskDiff>(&again).unwrap();
    let schema = serde_json::to_value(TaskDiff::schema()).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["name"]), "{schema}");
}

#[test]
fn a_null_is_told_apart_from_what_is_not_there() {
    for told in [r#"{"path":"/x","a":null}"#, r#"{"path":"/x","b":null}"#, r#"{"path":""}"#] {
        let change: ValueChange = serde_json::from_str(told).unwrap();
        assert_eq!(serde_json::to_string(&change).unwrap(), told);
    }
}
