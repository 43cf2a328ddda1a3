//! `ark-os noa import`.

use std::path::{Path, PathBuf};

use ark_os_api::Exit;
use ark_os_core::manifest;
use ark_os_noa::import::{Imported, Remark, crew, directory};
use ark_os_noa::{Document, Format};
use ark_os_runtime::data::Catalogue;
use serde_json::{Value, json};

use super::normalize::FormatName;
use crate::failure::{Failure, Finding};
use crate::manifest_file::{ManifestFile, read_text};
use crate::session::Session;

/// Make a manifest of the agent files of others
///
/// Prints the manifest; what was changed, kept aside or is still missing is told on standard error
/// with its line. What has no counterpart is kept under `x-…`. Agents whose work this version
/// cannot do become remote workers. Ends with 0 if the manifest is valid as it is, with 1 if a
/// person has to add something.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// Where the files are from
    #[arg(long, value_enum)]
    from: Source,
    /// The files: a directory in CSV, or a crew's `agents.yaml` and, if it has one, `tasks.yaml`
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    files: Vec<PathBuf>,
    /// How the manifest is written
    #[arg(long, value_enum, default_value = "yaml")]
    format: FormatName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    /// A directory of agents: one row an agent, columns such as name, layer, supervisor, skills
    Csv,
    /// A crew of CrewAI
    Crewai,
}

impl Import {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let imported = self.read()?;
        let format = Format::from(self.format);
        let text = ark_os_noa::write(&imported.manifest, format).map_err(Failure::usage)?;
        let missing = missing(session, &imported.manifest, format, &text)?;
        let is_whole = imported.faults.is_empty() && missing.is_empty();
        if session.output.is_json() {
            session.output.document(&self.report(&imported, &missing))?;
        } else {
            session.output.bytes(text.as_bytes())?;
            self.tell(session, &imported, &missing);
        }
        Ok(if is_whole { Exit::Done } else { Exit::Failed })
    }

    fn read(&self) -> Result<Imported, Failure> {
        let first = self.files.first().map(PathBuf::as_path).unwrap_or(Path::new("-"));
        let second = self.files.get(1);
        match self.from {
            Source::Csv if second.is_some() => Err(Failure::usage("a directory is one file")),
            Source::Csv => Ok(directory(&read_text(first)?)),
            Source::Crewai => {
                let agents = ManifestFile::read(first)?;
                let tasks = second.map(|path| ManifestFile::read(path)).transpose()?;
                Ok(crew(agents.document(), tasks.as_ref().map(ManifestFile::document)))
            }
        }
    }

    fn place(&self, remark: &Remark) -> String {
        let file = self.files.get(remark.file).map(PathBuf::as_path).unwrap_or(Path::new("-"));
        format!("{}:{}", file.display(), remark.line)
    }

    fn tell(&self, session: &Session, imported: &Imported, missing: &[Finding]) {
        let remarks = |label: &str, list: &[Remark]| {
            for remark in list {
                session.output.note(&format!("{label} {}: {}", self.place(remark), remark.message));
            }
        };
        remarks("note:", &imported.notes);
        remarks("error:", &imported.faults);
        for finding in missing {
            session.output.note(&format!("missing: {finding}"));
        }
    }

    fn report(&self, imported: &Imported, missing: &[Finding]) -> Value {
        let remarks = |list: &[Remark]| -> Vec<Value> {
            let of = |it: &Remark| json!({ "place": self.place(it), "message": it.message });
            list.iter().map(of).collect()
        };
        let missing: Vec<Value> = missing
            .iter()
            .map(|it| json!({ "pointer": it.pointer, "message": it.message, "hint": it.hint }))
            .collect();
        json!({
            "manifest": imported.manifest, "notes": remarks(&imported.notes),
            "faults": remarks(&imported.faults), "missing": missing,
        })
    }
}

/// What a person has to add to the manifest, with the places in it as it is printed.
fn missing(
    session: &Session,
    manifest: &Value,
    format: Format,
    text: &str,
) -> Result<Vec<Finding>, Failure> {
    let catalogue = Catalogue::new(&session.components.skills);
    let Err(findings) = manifest::parse(manifest, &catalogue) else { return Ok(Vec::new()) };
    let document = Document::read(format, text).map_err(|fault| {
        Failure::new("internal", format!("read what was written: {}", fault.message))
    })?;
    let missing = findings.as_slice().iter().map(|finding| {
        let (line, column) = document.line_column(&finding.pointer);
        Finding {
            place: Some(format!("(output):{line}:{column}")),
            pointer: Some(finding.pointer.clone()),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    });
    Ok(missing.collect())
}
