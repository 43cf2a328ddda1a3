//! `ark-os noa normalize`.

use std::io::Write;
use std::path::{Path, PathBuf};

use ark_os_api::Exit;
use ark_os_noa::Format;
use ark_os_noa::normalize::{Heal, Kept, Normalized, RULES, normalize};
use serde_json::{Value, json};

use super::shown;
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::session::Session;

/// Originals of one file that are kept beside it.
const ORIGINALS_MAX: u32 = 100;

/// Heal a manifest: what is merely written differently becomes what the format has
///
/// Names with space around them, `5 minutes` for `5m`, objects of named entries for lists and the
/// like. Nothing is lost: what is not understood stays where it is and is told. Nobody may do more
/// afterwards than before. Prints the manifest, and on standard error every change with its rule.
#[derive(Debug, clap::Args)]
pub(super) struct Normalize {
    /// The manifest (YAML, JSON or TOML; `-` reads standard input)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How it is written [default: as the file is]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Change the file, and keep the original as FILE.orig
    ///
    /// Comments and layout are in the original only. A file in which there is nothing to heal is not
    /// touched.
    #[arg(long, conflicts_with = "format")]
    write: bool,
}

/// The formats, as options name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FormatName {
    /// For programs
    Json,
    /// For people
    Yaml,
    /// For people who prefer it
    Toml,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Json => Format::Json,
            FormatName::Yaml => Format::Yaml,
            FormatName::Toml => Format::Toml,
        }
    }
}

impl Normalize {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let file = ManifestFile::read(&self.file)?;
        let done = normalize(file.value());
        let format = self.format.map_or(file.format(), Format::from);
        let text = ark_os_noa::write(&done.value, format).map_err(Failure::usage)?;
        let mut kept_as = None;
        if self.write && !done.heals.is_empty() {
            if self.file == Path::new("-") {
                return Err(Failure::usage("standard input cannot be changed"));
            }
            kept_as = Some(replace(&self.file, &text)?);
        }
        if session.output.is_json() {
            session.output.document(&report(&file, &done, kept_as.as_deref()))?;
            return Ok(Exit::Done);
        }
        for line in lines(&file, &done) {
            session.output.note(&line);
        }
        match kept_as {
            Some(original) => session.output.note(&format!(
                "`{}` was healed; the original, with its comments, is `{}`",
                file.name(),
                original.display()
            )),
            None if self.write => {
                session.output.note(&format!("`{}`: nothing to heal", file.name()))
            }
            None => session.output.bytes(text.as_bytes())?,
        }
        Ok(Exit::Done)
    }
}

fn lines(file: &ManifestFile, done: &Normalized) -> Vec<String> {
    let heal = |heal: &Heal| {
        let change = format!("{} → {}", shown(&heal.from), shown(&heal.to));
        format!("{}: {}: {change} ({})", file.place(&heal.pointer), heal.rule, heal.pointer)
    };
    let kept = |kept: &Kept| {
        let reason = kept.reason.map_or(String::new(), |reason| format!(": {reason}"));
        let place = file.place(&kept.pointer);
        format!("{place}: kept, because the format has no such field{reason} ({})", kept.pointer)
    };
    done.heals.iter().map(heal).chain(done.kept.iter().map(kept)).collect()
}

fn report(file: &ManifestFile, done: &Normalized, kept_as: Option<&Path>) -> Value {
    let heals = done.heals.iter().map(|heal| {
        let (line, column) = file.line_column(&heal.pointer);
        let why = RULES.iter().find(|(id, _)| *id == heal.rule).map(|(_, why)| why);
        json!({
            "rule": heal.rule, "why": why, "pointer": heal.pointer, "line": line,
            "column": column, "from": heal.from, "to": heal.to,
        })
    });
    let heals: Vec<Value> = heals.collect();
    json!({
        "manifest": done.value, "heals": heals, "kept": done.kept, "original": kept_as,
    })
}

/// Puts a text in the place of a file; the original goes beside it first. Either file is whole at
/// any moment.
fn replace(path: &Path, text: &str) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("cannot change `{}`: {error}", path.display()))
    };
    let original = keep(path).map_err(failed)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        file.set_permissions(std::fs::metadata(path)?.permissions())?;
        std::fs::rename(&beside, path)
    };
    write().map_err(failed)?;
    Ok(original)
}

/// Copies a file to a name that nothing has yet.
fn keep(path: &Path) -> std::io::Result<PathBuf> {
    for number in 0..ORIGINALS_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { ".orig".to_owned() } else { format!(".orig.{number}") });
        let name = PathBuf::from(name);
        let mut copy = match std::fs::OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(copy) => copy,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        std::io::copy(&mut std::fs::File::open(path)?, &mut copy)?;
        copy.sync_all()?;
        return Ok(name);
    }
    Err(std::io::Error::other(format!("there are {ORIGINALS_MAX} originals of it already")))
}
