//! `ark-os noa validate`.

use std::path::PathBuf;

use ark_os_api::Exit;
use ark_os_core::authority::Scopes;
use ark_os_core::manifest::{self, Finding, Manifest, Stage, over_capacity};
use ark_os_core::plan::EffectClass;
use ark_os_runtime::data::Catalogue;
use serde_json::{Value, json};

use crate::config::{Config, load};
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Check a manifest: schema, references, capacity, authority
///
/// Everything that is wrong is told at once, each with its line, column and JSON pointer. Capacity
/// and authority are those of the configuration here (`system.max_agents`,
/// `security.operator_scopes`). Ends with 0 if the manifest is valid, else with 2.
#[derive(Debug, clap::Args)]
pub(super) struct Validate {
    /// The manifest (YAML, JSON or TOML; `-` reads standard input)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What was found.
struct Verdict {
    findings: Vec<Finding>,
    /// Findings beyond the first hundred.
    more: usize,
    /// What is no mistake but good to know.
    notes: Vec<String>,
    manifest: Option<Manifest>,
}

impl Validate {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let config = load(&session.environment, self.config.as_deref(), &[])?.config;
        let file = ManifestFile::read(&self.file)?;
        let verdict = look(session, &config, &file)?;
        let document = verdict.json(&file);
        session.output.answer(&document, |terminal| verdict.lines(&file, terminal))?;
        Ok(if verdict.findings.is_empty() { Exit::Done } else { Exit::Usage })
    }
}

fn look(session: &Session, config: &Config, file: &ManifestFile) -> Result<Verdict, Failure> {
    let catalogue = Catalogue::new(&session.components.skills);
    let manifest = match manifest::parse(file.value(), &catalogue) {
        Ok(manifest) => manifest,
        Err(findings) => {
            let more = findings.more();
            let findings = findings.as_slice().to_vec();
            return Ok(Verdict { findings, more, notes: Vec::new(), manifest: None });
        }
    };
    let findings: Vec<Finding> =
        over_capacity(&manifest, config.agents, config.agents_max).into_iter().collect();
    let notes = unscoped(&manifest, config)?;
    Ok(Verdict { findings, more: 0, notes, manifest: Some(manifest) })
}

/// Skills whose work the operator's scopes do not cover: their runs will be refused.
fn unscoped(manifest: &Manifest, config: &Config) -> Result<Vec<String>, Failure> {
    let scopes = match config.operator_scopes.is_empty() {
        true => Scopes::everything(),
        false => Scopes::parse(config.operator_scopes.iter().map(String::as_str))
            .map_err(|error| Failure::usage(error.to_string()))?,
    };
    let mut notes = Vec::new();
    for skill in manifest.fleet_spec().skills {
        let scope = format!("effect:{}", skill.class.as_str());
        let needs_scope = matches!(skill.class, EffectClass::Probed | EffectClass::Effectful);
        if needs_scope && !scopes.covers(&scope) {
            notes.push(format!(
                "runs that need `{}` are refused until `security.operator_scopes` has `{scope}`",
                skill.name
            ));
        }
    }
    Ok(notes)
}

impl Verdict {
    fn json(&self, file: &ManifestFile) -> Value {
        let finding = |finding: &Finding| {
            let (line, column) = file.line_column(&finding.pointer);
            json!({
                "stage": finding.stage(), "code": finding.code, "pointer": finding.pointer,
                "line": line, "column": column, "message": finding.message,
                "hint": finding.hint,
            })
        };
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|it| (it.stage(), file.line_column(&it.pointer)));
        let findings: Vec<Value> = findings.into_iter().map(finding).collect();
        json!({
            "valid": self.findings.is_empty(), "findings": findings, "more": self.more,
            "notes": self.notes,
        })
    }

    fn lines(&self, file: &ManifestFile, terminal: &Terminal) -> Vec<String> {
        let mut lines = Vec::new();
        for stage in Stage::ALL {
            let found = self.findings.iter().filter(|it| it.stage() == stage);
            let mut found: Vec<&Finding> = found.collect();
            found.sort_by_key(|it| file.line_column(&it.pointer));
            let count = match found.len() {
                0 => terminal.out(Tone::Good, "ok"),
                1 => terminal.out(Tone::Bad, "1 error"),
                many => terminal.out(Tone::Bad, &format!("{many} errors")),
            };
            lines.push(format!("{:<12}{count}", stage.as_str()));
            for finding in found {
                let place = file.place(&finding.pointer);
                let text = format!("  {place}: {} ({})", finding.message, finding.pointer);
                lines.push(crate::terminal::one_line(&text));
                lines.extend(finding.hint.iter().map(|hint| {
                    let label = terminal.out(Tone::Good, "hint:");
                    format!("    {label} {}", crate::terminal::one_line(hint))
                }));
            }
        }
        if self.more > 0 {
            lines.push(format!("and {} more errors", self.more));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(self.manifest.as_ref().map(|manifest| summary(file.name(), manifest)));
        lines
    }
}

fn summary(name: &str, manifest: &Manifest) -> String {
    let agents: u64 = manifest.members().map(|(_, agent)| u64::from(agent.count)).sum();
    let profile =
        manifest.profile.map_or(String::new(), |it| format!(" beside {it} of the profile"));
    format!(
        "{name}: {agents} agents{profile}, {} workflows, {} schedules",
        manifest.workflows.len(),
        manifest.schedules.len()
    )
}
