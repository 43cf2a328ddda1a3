//! `ark-os noa`.

mod diff;
mod export;
mod import;
mod normalize;
mod validate;

use ark_os_api::Exit;
use ark_os_core::manifest::shape::json_schema;
use ark_os_core::manifest::{self, Change, Manifest};
use ark_os_runtime::data::Catalogue;
use serde_json::Value;

use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Check, heal, compare, import and export manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Noa {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Validate(validate::Validate),
    Normalize(normalize::Normalize),
    Diff(diff::Diff),
    Import(import::Import),
    Export(export::Export),
    Schema(Schema),
}

/// Print the JSON Schema of manifests, for editors
#[derive(Debug, clap::Args)]
struct Schema {}

impl Noa {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.action {
            Action::Validate(command) => command.carry_out(session),
            Action::Normalize(command) => command.carry_out(session),
            Action::Diff(command) => command.carry_out(session),
            Action::Import(command) => command.carry_out(session),
            Action::Export(command) => command.carry_out(session),
            Action::Schema(Schema {}) => {
                session.output.document(&json_schema())?;
                Ok(Exit::Done)
            }
        }
    }
}

/// The manifest that a file is.
///
/// # Errors
/// Everything that is wrong with it, with its places.
fn manifest_of(session: &Session, file: &ManifestFile) -> Result<Manifest, Failure> {
    let catalogue = Catalogue::new(&session.components.skills);
    manifest::parse(file.value(), &catalogue).map_err(|findings| file.findings(&findings))
}

/// Changes as lines for people: what becomes of what, and its fields below.
pub(super) fn change_lines(changes: &[Change], terminal: &Terminal) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes {
        let (sign, tone) = match change.becomes {
            manifest::Becomes::Added => ("+", Tone::Good),
            manifest::Becomes::Changed => ("~", Tone::Warning),
            manifest::Becomes::Removed => ("-", Tone::Bad),
        };
        let layer = change.layer.map_or(String::new(), |layer| format!(" ({layer})"));
        let head = format!("{sign} {} {}{layer}", change.subject.as_str(), change.name);
        lines.push(terminal.out(tone, &head));
        for field in &change.fields {
            let line = match (&field.from, &field.to) {
                (Some(from), Some(to)) => format!("    {}: {from} → {to}", field.field),
                (Some(it), None) | (None, Some(it))
                    if change.becomes != manifest::Becomes::Changed =>
                {
                    format!("    {}: {it}", field.field)
                }
                (None, Some(to)) => format!("    {}: (none) → {to}", field.field),
                (Some(from), None) => format!("    {}: {from} → (none)", field.field),
                (None, None) => continue,
            };
            lines.push(terminal.out(Tone::Faint, &crate::terminal::one_line(&line)));
        }
    }
    lines
}

/// A value on one line, for people.
fn shown(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
