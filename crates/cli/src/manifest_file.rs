//! Workflow files: YAML, JSON or TOML into one value, with the line and column of everything in
//! it, so that a finding can say where to look.

mod json;
mod places;
mod toml;
mod yaml;

use std::path::Path;

use ark_os_core::manifest::Findings;
use serde_json::Value;

use crate::bounded::{read_bounded, take_bounded};
use crate::failure::{Failure, Finding};
use places::Places;

/// Bytes of a workflow file; a plan has at most 1 MiB, the rest is for descriptions and layout.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Values in one file, aliases expanded: a bomb of aliases ends here.
const VALUES_MAX: usize = 200_000;
/// Levels of nesting; the manifest format has the same limit.
const DEPTH_MAX: usize = ark_os_core::manifest::DOCUMENT_DEPTH_MAX;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    /// Its name, for messages.
    name: String,
    /// What it says.
    pub(crate) value: Value,
    places: Places,
}

/// What is wrong with a text, and where.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: usize,
    column: usize,
    message: String,
    hint: Option<String>,
}

impl Fault {
    fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        Fault { line, column, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// A value with the places of its parts.
#[derive(Debug)]
struct Parsed {
    value: Value,
    places: Places,
}

impl ManifestFile {
    /// Reads a file, or standard input for `-`. The ending tells the format; without one that is
    /// known it is YAML, of which JSON is a part.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { "(stdin)".to_owned() } else { path.display().to_string() };
        let text = match is_stdin {
            true => take_bounded(&mut std::io::stdin().lock(), FILE_BYTES_MAX),
            false => read_bounded(path, FILE_BYTES_MAX),
        };
        let text = text.map_err(|error| {
            let message = format!("cannot read the workflow file `{name}`: {error}");
            Failure::usage(message)
        })?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ManifestFile::parse(&name, ending, &text)
    }

    /// Parses a text.
    pub(crate) fn parse(name: &str, ending: &str, text: &str) -> Result<Self, Failure> {
        let parsed = match ending {
            "json" => json::parse(text),
            "toml" => toml::parse(text),
            _ => yaml::parse(text),
        };
        match parsed {
            Ok(Parsed { value, places }) => {
                Ok(ManifestFile { name: name.to_owned(), value, places })
            }
            Err(fault) => {
                let place = format!("{name}:{}:{}", fault.line, fault.column);
                let mut finding = Finding::at(place, fault.message);
                finding.hint = fault.hint;
                Err(Failure::usage(format!("cannot read `{name}`")).with_findings(vec![finding]))
            }
        }
    }

    /// `file:line:column` of the value that a JSON pointer names, or of what is nearest above it.
    pub(crate) fn place(&self, pointer: &str) -> String {
        let (line, column) = self.line_column(pointer);
        format!("{}:{line}:{column}", self.name)
    }

    /// The same as numbers, from 1.
    pub(crate) fn line_column(&self, pointer: &str) -> (usize, usize) {
        self.places.nearest(pointer)
    }

    /// The name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with it, as somebody goes through the file with an editor.
    pub(crate) fn findings(&self, findings: &Findings) -> Failure {
        let mut found: Vec<_> = findings.as_slice().iter().collect();
        found.sort_by_key(|finding| self.line_column(&finding.pointer));
        let mut list: Vec<Finding> = found
            .iter()
            .map(|finding| Finding {
                place: Some(self.place(&finding.pointer)),
                pointer: Some(finding.pointer.clone()),
                message: finding.message.clone(),
                hint: finding.hint.clone(),
            })
            .collect();
        if findings.more() > 0 {
            let message = format!("and {} more", findings.more());
            list.push(Finding { message, ..Finding::default() });
        }
        let count = found.len() + findings.more();
        let errors = if count == 1 { "error" } else { "errors" };
        let message = format!("the manifest `{}` has {count} {errors}", self.name());
        Failure::new("manifest_invalid", message).with_findings(list)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(ending: &str, text: &str) -> ManifestFile {
        match ManifestFile::parse("f", ending, text) {
            Ok(file) => file,
            Err(failure) => panic!("{failure:?}"),
        }
    }

    fn fault(ending: &str, text: &str) -> String {
        let failure = ManifestFile::parse("f", ending, text).unwrap_err();
        failure.lines().get(1).map(|(_, line)| line.clone()).unwrap_or_default()
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let yaml = parsed("yaml", "a:\n  - x: 1\n    y: [true, null, 1.5]\n  - \"2\"\n");
        let json = parsed("json", r#"{"a": [{"x": 1, "y": [true, null, 1.5]}, "2"]}"#);
        assert_eq!(yaml.value, json.value);
        assert_eq!(yaml.value, json!({ "a": [{ "x": 1, "y": [true, null, 1.5] }, "2"] }));
        let toml = parsed("toml", "a = [{ x = 1 }, \"2\"]\n");
        assert_eq!(toml.value, json!({ "a": [{ "x": 1 }, "2"] }));
    }

    #[test]
    fn every_value_has_its_line_and_column() {
        let yaml = parsed("yaml", "a:\n  - x: 1\n    y: [true, 7]\n  - \"2\"\n");
        for (pointer, place) in [
            ("/a", "f:1:1"),
            ("/a/0", "f:2:5"),
            ("/a/0/x", "f:2:8"),
            ("/a/0/y/1", "f:3:15"),
            ("/a/1", "f:4:5"),
            ("/a/1/deeper/still", "f:4:5"),
            ("/b", "f:1:1"),
        ] {
            assert_eq!(yaml.place(pointer), place, "{pointer}");
        }
        let json = parsed("json", "{\n  \"a/b\": [1,\n   {\"c\": 2}]}");
        assert_eq!(json.place("/a~1b/1/c"), "f:3:10");
        assert_eq!(json.place("/a~1b/0"), "f:2:11");
        let toml = parsed("toml", "[[workflows]]\nname = \"x\"\n");
        assert_eq!(toml.place("/workflows/0/name"), "f:2:8");
    }

    #[test]
    fn what_reads_in_two_ways_is_refused_with_its_place() {
        let table = [
            ("yaml", "a: 1\nb: 2\na: 3\n", "f:3:1: the key `a` is there twice"),
            ("yaml", "1: x\n", "f:1:1: a key is a string, not a number"),
            ("yaml", "a: [1\n", "f:2:1: "),
            ("yaml", "a: !secret x\n", "f:1:4: the tag `!secret` is not supported"),
            ("yaml", "a: .nan\n", "f:1:4: `.nan` is no number that JSON has"),
            ("yaml", "a: &x [*x]\n", "f:1:8: the alias names a value that is not complete"),
            ("yaml", "a: 1\n---\nb: 2\n", "f:2:1: a second document begins"),
            ("yaml", "", "f:1:1: the file is empty"),
            ("yaml", "a: &b {x: 1}\nc:\n  <<: *b\n", "f:3:3: merge keys are not supported"),
            ("json", "{\"a\": 1, \"a\": 2}", "f:1:10: the key `a` is there twice"),
            ("json", "{\"a\": }", "f:1:7: expected value"),
            ("toml", "a = \n", "f:1:5: "),
            ("toml", "a = 1\na = 2\n", "f:2:1: duplicate key"),
        ];
        for (ending, text, want) in table {
            let found = fault(ending, text);
            assert!(found.starts_with(want), "{text:?}: {found}");
        }
    }

    #[test]
    fn bombs_of_aliases_and_depth_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..10 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert!(
            fault("yaml", &bomb).contains("more than 200000 values"),
            "{}",
            fault("yaml", &bomb)
        );
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(fault("yaml", &deep).contains("recursion limit"), "{}", fault("yaml", &deep));
        let flat = format!("{}{}", "[".repeat(150), "]".repeat(150));
        assert!(fault("yaml", &flat).contains("nested deeper"), "{}", fault("yaml", &flat));
        assert!(fault("json", &deep).contains("recursion limit"), "{}", fault("json", &deep));
        let deep = format!("a = {deep}");
        assert!(fault("toml", &deep).contains("f:1:"), "{}", fault("toml", &deep));
    }

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        let text = "[yes, on, ~, NULL, True, 0x1F, 0o17, 010, +7, -3, 1e3, .5, 1_000, 12:30, !!str 5, '5', 18446744073709551615]";
        let want = json!([
            "yes",
            "on",
            null,
            null,
            true,
            31,
            15,
            10,
            7,
            -3,
            1000.0,
            0.5,
            "1_000",
            "12:30",
            "5",
            "5",
            18_446_744_073_709_551_615_u64
        ]);
        assert_eq!(parsed("yaml", text).value, want);
    }
}
