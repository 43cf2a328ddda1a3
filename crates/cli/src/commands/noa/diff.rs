//! `ark-os noa diff`.

use std::path::PathBuf;

use ark_os_api::Exit;
use ark_os_core::manifest::{Declared, difference};
use serde_json::json;

use super::{change_lines, manifest_of};
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::session::Session;

/// Say what is different between two manifests, agents in the order of their layers
#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// The manifest as it is (YAML, JSON or TOML; `-` reads standard input)
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// The manifest as it is wanted
    #[arg(value_name = "TO")]
    to: PathBuf,
}

impl Diff {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let declared = |path| {
            let file = ManifestFile::read(path)?;
            Ok::<_, Failure>(Declared::from(&manifest_of(session, &file)?))
        };
        let changes = difference(&declared(&self.from)?, &declared(&self.to)?);
        session.output.answer(&json!({ "changes": changes }), |terminal| {
            match change_lines(&changes, terminal) {
                lines if lines.is_empty() => vec!["no difference".to_owned()],
                lines => lines,
            }
        })?;
        Ok(Exit::Done)
    }
}
