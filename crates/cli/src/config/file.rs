//! A configuration file: TOML, each value with its line and column.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, KEYS, unknown_key};
use crate::bounded::read_bounded;
use crate::failure::{Failure, Finding};

/// A configuration is a page of text; more is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FileValues {
    /// Its values.
    pub(super) values: Vec<FileValue>,
    /// What cannot be one.
    pub(super) findings: Vec<Finding>,
}

/// One value.
#[derive(Debug)]
pub(super) struct FileValue {
    /// Index of its key.
    pub(super) key: usize,
    /// `file:line:column`.
    pub(super) place: String,
    /// As the key reads it.
    pub(super) text: String,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<FileValues, Failure> {
    let name = path.display();
    let unreadable = |why: String| {
        Failure::usage(format!("cannot read the configuration `{name}`: {why}"))
            .with_hint("name a TOML file with --config")
    };
    let text = read_bounded(path, FILE_BYTES_MAX).map_err(|error| unreadable(error.to_string()))?;
    let table = DeTable::parse(&text).map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        let finding = Finding::at(place_of(path, &text, place), error.message());
        Failure::usage(format!("the configuration `{name}` is not TOML"))
            .with_findings(vec![finding])
    })?;
    let mut reading = Reading { path, text: &text, read: FileValues::default() };
    reading.sections(table.get_ref());
    Ok(reading.read)
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    read: FileValues,
}

impl Reading<'_> {
    fn sections(&mut self, table: &DeTable<'_>) {
        for (section, value) in table {
            match value.get_ref().as_table() {
                Some(keys) if has_section(section.get_ref()) => {
                    for (key, value) in keys {
                        let name = format!("{}.{}", section.get_ref(), key.get_ref());
                        self.value(&name, key.span().start, value);
                    }
                }
                _ => {
                    let place = self.place(section.span().start);
                    self.read.findings.push(unknown_key(place, section.get_ref()));
                }
            }
        }
    }

    fn value(&mut self, name: &str, key_at: usize, value: &Spanned<DeValue<'_>>) {
        let Some(index) = KEYS.iter().position(|key| key.name == name) else {
            let place = self.place(key_at);
            return self.read.findings.push(unknown_key(place, name));
        };
        let place = self.place(value.span().start);
        let form = KEYS.get(index).map(|key| key.form);
        let text = form.and_then(|form| text_of(value.get_ref(), form));
        match text {
            Some(text) => self.read.values.push(FileValue { key: index, place, text }),
            None => {
                let form = match form {
                    Some(Form::Number) => "a whole number",
                    Some(Form::List) => "a list of strings",
                    Some(Form::Table) => "a table of whole numbers and strings",
                    _ => "a string",
                };
                let found = value.get_ref().type_str();
                let message = match value.get_ref() {
                    DeValue::Array(_) | DeValue::Table(_) => format!("`{name}` is {form}"),
                    _ => format!("`{name}` is {form}, not of type {found}"),
                };
                self.read.findings.push(Finding::at(place, message));
            }
        }
    }

    fn place(&self, at: usize) -> String {
        place_of(self.path, self.text, at)
    }
}

/// A value as its key reads it; none: it has another form.
fn text_of(value: &DeValue<'_>, form: Form) -> Option<String> {
    match (value, form) {
        (DeValue::String(text), Form::Text) => Some(text.to_string()),
        (DeValue::Integer(number), Form::Number) if number.radix() == 10 => {
            Some(number.as_str().to_owned())
        }
        (DeValue::Array(items), Form::List) => {
            let texts: Option<Vec<_>> = items.iter().map(|it| part(it.get_ref())).collect();
            Some(texts?.join(","))
        }
        (DeValue::Table(table), Form::Table) => {
            let mut parts = Vec::new();
            flatten("", table, &mut parts)?;
            Some(parts.join(","))
        }
        _ => None,
    }
}

/// `name=value` of everything in a table. A name with a dot need not be quoted: what TOML then takes
/// for a table within the table is the same name.
fn flatten(inside: &str, table: &DeTable<'_>, parts: &mut Vec<String>) -> Option<()> {
    for (name, value) in table {
        let name = format!("{inside}{}", is_part(name.get_ref())?);
        match value.get_ref() {
            DeValue::Table(table) => flatten(&format!("{name}."), table, parts)?,
            DeValue::Integer(number) if number.radix() == 10 => {
                parts.push(format!("{name}={}", number.as_str()));
            }
            value => parts.push(format!("{name}={}", part(value)?)),
        }
    }
    Some(())
}

fn part<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    is_part(value.as_str()?)
}

/// What would be taken for several parts is none.
fn is_part(text: &str) -> Option<&str> {
    (!text.is_empty() && !text.contains([',', '='])).then_some(text)
}

/// Whether keys of the section are looked into, to name each.
fn has_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

fn place_of(path: &Path, text: &str, at: usize) -> String {
    let (line, column) = line_column(text, at);
    format!("{}:{line}:{column}", path.display())
}

/// Line and column, both from 1, of a byte of a text.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}
