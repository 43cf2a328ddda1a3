//! `ark-os noa validate`.

use std::path::{Path, PathBuf};

use ark_os_api::{Deploy, Exit};
use ark_os_core::authority::Scopes;
use ark_os_core::manifest::{
    self, Change, Finding, Manifest, SkillCatalogue, Stage, over_capacity,
};
use ark_os_core::plan::EffectClass;
use ark_os_runtime::calendar::Calendar;
use ark_os_runtime::data::Catalogue;
use serde_json::{Value, json};

use super::change_lines;
use crate::config::{Config, load};
use crate::failure::Failure;
use crate::fleet_manifest::{Compared, pointer_of, post};
use crate::manifest_file::ManifestFile;
use crate::output::counted;
use crate::session::Session;
use crate::submission::AnySkill;
use crate::terminal::{Terminal, Tone};

/// Check a manifest: schema, references, capacity, authority, difference from the running fleet
///
/// Everything that is wrong is told at once, each with its line, column and JSON pointer. Capacity
/// and authority are those of the configuration here (`system.max_agents`,
/// `security.operator_scopes`). The last stage needs an instance: with --attach or --endpoint. It says what a deployment
/// would change and why the instance would refuse it. Ends with 0 if the manifest is valid, else with 2.
#[derive(Debug, clap::Args)]
pub(super) struct Validate {
    /// The manifest (YAML, JSON or TOML; `-` reads standard input)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Compare with the fleet of the instance that runs
    #[arg(long)]
    attach: bool,
}

/// What was found.
struct Verdict {
    findings: Vec<Finding>,
    /// Findings beyond the first hundred.
    more: usize,
    /// What is no mistake but good to know.
    notes: Vec<String>,
    manifest: Option<Manifest>,
    /// What the running fleet says to it, where it was asked.
    fleet: Option<BesideFleet>,
}

/// A manifest beside the running fleet.
struct BesideFleet {
    compared: Compared,
    refused: Option<Failure>,
}

impl BesideFleet {
    fn of(session: &Session, path: &Path, file: &ManifestFile) -> Result<Self, Failure> {
        let client = session.client()?;
        let compared = Compared::of(session, &client, (path, file))?;
        let request = Deploy { dry_run: true, ..compared.request(file)? };
        let refused = match post(&client, &request, file) {
            Ok(_) => None,
            Err(failure) if matches!(failure.exit(), Exit::Usage | Exit::Refused) => Some(failure),
            Err(failure) => return Err(failure),
        };
        Ok(BesideFleet { compared, refused })
    }

    /// Why it would be refused: the pointer and the reason of each.
    fn findings(&self) -> Vec<(String, String, Option<String>)> {
        let below = |pointer: &str| pointer.strip_prefix("/manifest").unwrap_or("").to_owned();
        let Some(failure) = &self.refused else { return Vec::new() };
        if failure.findings().is_empty() {
            let hint = failure.hint().map(str::to_owned);
            return vec![(String::new(), failure.message().to_owned(), hint)];
        }
        let findings = failure.findings().iter().map(|it| {
            (below(it.pointer.as_deref().unwrap_or("")), it.message.clone(), it.hint.clone())
        });
        findings.collect()
    }

    fn json(&self, file: &ManifestFile) -> Value {
        let placed = |change: &Change| {
            let pointer = pointer_of(file.value(), change);
            let (line, column) = file.line_column(&pointer);
            json!({ "pointer": pointer, "line": line, "column": column, "change": change })
        };
        let changes: Vec<Value> = self.compared.changes.iter().map(placed).collect();
        json!({ "version": self.compared.version, "changes": changes })
    }

    fn lines(&self, file: &ManifestFile, terminal: &Terminal) -> Vec<String> {
        let findings = self.findings();
        let changes = self.compared.changes.len();
        let count = match (findings.len(), changes) {
            (0, 0) => terminal.out(Tone::Good, "none"),
            (0, 1) => terminal.out(Tone::Warning, "1 change"),
            (0, many) => terminal.out(Tone::Warning, &format!("{many} changes")),
            _ => terminal.out(Tone::Bad, "refused"),
        };
        let mut lines = vec![format!("{STAGE:<12}{count}")];
        for change in &self.compared.changes {
            let pointer = pointer_of(file.value(), change);
            let mut told = change_lines(std::slice::from_ref(change), terminal);
            if let Some(first) = told.first_mut() {
                *first = format!("{}: {first} ({pointer})", file.place(&pointer));
            }
            lines.extend(told.into_iter().map(|line| format!("  {line}")));
        }
        for (pointer, message, hint) in findings {
            let text = format!("  {}: {message} ({pointer})", file.place(&pointer));
            lines.push(crate::terminal::one_line(&text));
            lines.extend(hint.iter().map(|hint| hint_line(hint, terminal)));
        }
        lines
    }
}

/// The stage of the running fleet, beside those of the reader.
const STAGE: &str = "difference";

fn hint_line(hint: &str, terminal: &Terminal) -> String {
    format!("    {} {}", terminal.out(Tone::Good, "hint:"), crate::terminal::one_line(hint))
}

impl Validate {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let config = load(&session.environment, self.config.as_deref(), &[])?.config;
        let file = ManifestFile::read(&self.file)?;
        let is_attached = self.attach || session.reach.endpoint.is_some();
        let skills = &session.components.skills;
        let mut verdict = match is_attached {
            // Of skills that only the instance knows it says itself whether they are used rightly.
            true => look(&AnySkill::of(skills), &config, &file)?,
            false => look(&Catalogue::new(skills), &config, &file)?,
        };
        if is_attached && verdict.manifest.is_some() {
            verdict.fleet = Some(BesideFleet::of(session, &self.file, &file)?);
        }
        let document = verdict.json(&file);
        session.output.answer(&document, |terminal| verdict.lines(&file, terminal))?;
        Ok(if verdict.is_valid() { Exit::Done } else { Exit::Usage })
    }
}

fn look(
    skills: &dyn SkillCatalogue,
    config: &Config,
    file: &ManifestFile,
) -> Result<Verdict, Failure> {
    let manifest = match manifest::parse(file.value(), skills) {
        Ok(manifest) => manifest,
        Err(findings) => {
            let more = findings.more();
            let findings = findings.as_slice().to_vec();
            return Ok(Verdict { findings, more, notes: Vec::new(), manifest: None, fleet: None });
        }
    };
    let mut findings = calendars(&manifest);
    findings.extend(over_capacity(&manifest, config.agents, config.agents_max));
    let notes = unscoped(&manifest, config)?;
    Ok(Verdict { findings, more: 0, notes, manifest: Some(manifest), fleet: None })
}

/// Patterns and zones that no calendar knows: the reader of manifests sees only their form.
fn calendars(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, entry) in manifest.schedules.iter().enumerate() {
        let Err(error) = Calendar::parse(&entry.cron, &entry.zone) else { continue };
        findings.extend(error.places().iter().map(|place| Finding {
            pointer: format!("/schedules/{i}{}", place.pointer),
            code: "invalid_value",
            message: place.message.clone(),
            hint: place.hint.clone(),
        }));
    }
    findings
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
    fn is_valid(&self) -> bool {
        self.findings.is_empty() && self.fleet.as_ref().is_none_or(|it| it.refused.is_none())
    }

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
        let mut findings: Vec<Value> = findings.into_iter().map(finding).collect();
        let refused = self.fleet.as_ref().and_then(|it| it.refused.as_ref());
        let of_fleet = self.fleet.iter().flat_map(BesideFleet::findings);
        findings.extend(of_fleet.map(|(pointer, message, hint)| {
            let (line, column) = file.line_column(&pointer);
            json!({
                "stage": STAGE, "code": refused.map(Failure::code), "pointer": pointer,
                "line": line, "column": column, "message": message, "hint": hint,
            })
        }));
        json!({
            "valid": self.is_valid(), "findings": findings, "more": self.more,
            "notes": self.notes, "fleet": self.fleet.as_ref().map(|it| it.json(file)),
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
                many => terminal.out(Tone::Bad, &counted(many, "error")),
            };
            lines.push(format!("{:<12}{count}", stage.as_str()));
            for finding in found {
                let place = file.place(&finding.pointer);
                let text = format!("  {place}: {} ({})", finding.message, finding.pointer);
                lines.push(crate::terminal::one_line(&text));
                lines.extend(finding.hint.iter().map(|hint| hint_line(hint, terminal)));
            }
        }
        lines.extend(self.fleet.iter().flat_map(|it| it.lines(file, terminal)));
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
        "{name}: {}{profile}, {}, {}",
        counted(agents, "agent"),
        counted(manifest.workflows.len(), "workflow"),
        counted(manifest.schedules.len(), "schedule")
    )
}
