//! Manifest files: read from where they lie, with their names in every message.

use std::path::Path;

use ark_os_core::manifest::Findings;
use ark_os_noa::text::TEXT_BYTES_MAX;
use ark_os_noa::{Document, Fault, Format};
use serde_json::Value;

use crate::bounded::{read_bounded, take_bounded};
use crate::failure::{Failure, Finding};
use crate::output::counted;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    /// Its name, for messages.
    name: String,
    format: Format,
    document: Document,
}

impl ManifestFile {
    /// Reads a file, or standard input for `-`. The ending tells the format; without one that is
    /// known it is YAML, of which JSON is a part.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ManifestFile::parse(&name_of(path), ending, &text)
    }

    /// Parses a text.
    pub(crate) fn parse(name: &str, ending: &str, text: &str) -> Result<Self, Failure> {
        let format = Format::of_ending(ending);
        match Document::read(format, text) {
            Ok(document) => Ok(ManifestFile { name: name.to_owned(), format, document }),
            Err(fault) => Err(unreadable(name, fault)),
        }
    }

    /// What it says.
    pub(crate) fn value(&self) -> &Value {
        &self.document.value
    }

    /// The text, with the places of its parts.
    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    /// How it is written.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// `file:line:column` of the value that a JSON pointer names, or of what is nearest above it.
    pub(crate) fn place(&self, pointer: &str) -> String {
        let (line, column) = self.line_column(pointer);
        format!("{}:{line}:{column}", self.name)
    }

    /// The same as numbers, from 1.
    pub(crate) fn line_column(&self, pointer: &str) -> (usize, usize) {
        self.document.line_column(pointer)
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
        let errors = counted(found.len() + findings.more(), "error");
        let message = format!("the manifest `{}` has {errors}", self.name());
        Failure::new("manifest_invalid", message).with_findings(list)
    }
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "(stdin)".to_owned() } else { path.display().to_string() }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let text = match path == Path::new("-") {
        true => take_bounded(&mut std::io::stdin().lock(), TEXT_BYTES_MAX as u64),
        false => read_bounded(path, TEXT_BYTES_MAX as u64),
    };
    text.map_err(|error| {
        Failure::usage(format!("cannot read the file `{}`: {error}", name_of(path)))
    })
}

fn unreadable(name: &str, fault: Fault) -> Failure {
    let mut finding = Finding::at(format!("{name}:{}:{}", fault.line, fault.column), fault.message);
    finding.hint = fault.hint;
    Failure::usage(format!("cannot read `{name}`")).with_findings(vec![finding])
}
