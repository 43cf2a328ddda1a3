//! `ark-os compat`.

use std::path::PathBuf;

use ark_os_api::Exit;
use serde_json::json;

use crate::bounded::read_bounded;
use crate::compat::{COMMITTED, Comparison, DEPRECATIONS, Deprecations, Registry};
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::Tone;

/// A registry has some thousand lines.
const REGISTRY_BYTES_MAX: u64 = 16 << 20;

/// Compare what this version promises with what an earlier one did
#[derive(Debug, clap::Args)]
pub(crate) struct Compat {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Check(Check),
    Export(Export),
}

/// Say what an earlier version promised and this one does not keep
///
/// Commands, flags, routes, fields, configuration keys, skills, error codes and event numbers. What
/// was taken away, made narrower or is demanded since, without a record of its deprecation, is told,
/// with exit code 6.
#[derive(Debug, clap::Args)]
struct Check {
    /// Registry of the earlier version [default: what this version is held against]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Records of deprecations (TOML) [default: those that this version has]
    #[arg(long, value_name = "FILE")]
    deprecations: Option<PathBuf>,
}

/// Print the registry of this version, as JSON
#[derive(Debug, clap::Args)]
struct Export {}

impl Compat {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.action {
            Action::Check(check) => check.carry_out(session),
            Action::Export(Export {}) => {
                session.output.document(&current())?;
                Ok(Exit::Done)
            }
        }
    }
}

fn current() -> Registry {
    let mut definition = super::definition();
    definition.build();
    Registry::current(&definition)
}

impl Check {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let text = |path: &Option<PathBuf>, (ours, what, hint): (&str, &str, &str)| match path {
            None => Ok(ours.to_owned()),
            Some(path) => read_bounded(path, REGISTRY_BYTES_MAX).map_err(|error| {
                Failure::usage(format!("cannot read the {what} `{}`: {error}", path.display()))
                    .with_hint(hint)
            }),
        };
        let registry = "name a file that `ark-os compat export` of the earlier version has written, or leave \
                        --against out for what this version is held against";
        let records = "name a TOML file with a `[[deprecated]]` table (`entry`, `since`, `why`) for each promise \
                       that is not kept any more, or leave --deprecations out for this version's own";
        let earlier = text(&self.against, (COMMITTED, "registry", registry))?;
        let deprecations = text(&self.deprecations, (DEPRECATIONS, "deprecations", records))?;
        let earlier = Registry::parse(&earlier).map_err(|it| it.with_hint(registry))?;
        let deprecations =
            Deprecations::parse(&deprecations).map_err(|it| it.with_hint(records))?;
        let current = current();
        let found = current.compare(&earlier, &deprecations);
        let Comparison { broken, deprecated, added } = &found;
        let document = json!({
            "against": earlier.version, "version": current.version, "ok": broken.is_empty(),
            "broken": broken, "deprecated": deprecated, "added": added,
        });
        session.output.answer(&document, |terminal| {
            let mut lines: Vec<_> =
                broken.iter().map(|it| terminal.out(Tone::Bad, &format!("broken: {it}"))).collect();
            lines.extend(deprecated.iter().map(|it| format!("deprecated: {it}")));
            lines.push(format!(
                "of {} lines of {}, {} are broken and {} deprecated; {added} are new",
                earlier.entries.len(),
                earlier.version,
                broken.len(),
                deprecated.len()
            ));
            lines
        })?;
        Ok(if broken.is_empty() { Exit::Done } else { Exit::Unverified })
    }
}
