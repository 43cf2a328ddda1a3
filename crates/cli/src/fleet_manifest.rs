//! A manifest beside the running fleet: what it would change, and what the instance says to it.

use std::path::Path;

use ark_os_api::{Deploy, DeploymentView, DeploymentsView};
use ark_os_core::manifest::{self, Becomes, Change, Declared, Subject, difference, rooted};
use serde_json::Value;

use crate::agents::base_of;
use crate::client::Client;
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::output::counted;
use crate::session::Session;
use crate::submission::{AnySkill, raw};

/// What a manifest would change.
pub(crate) struct Compared {
    /// The version that it was compared with; 0: nothing is deployed.
    pub(crate) version: u64,
    /// What is different.
    pub(crate) changes: Vec<Change>,
    /// The directory that its relative paths begin at.
    base: String,
}

impl Compared {
    /// Compares the manifest of a file with the running fleet.
    ///
    /// # Errors
    /// The manifest is wrong, or there is no instance.
    pub(crate) fn of(
        session: &Session,
        client: &Client,
        (path, file): (&Path, &ManifestFile),
    ) -> Result<Self, Failure> {
        let skills = AnySkill::of(&session.components.skills);
        let base = base_of(path).display().to_string();
        let wanted = manifest::parse(&rooted(file.value().clone(), &base), &skills)
            .map_err(|findings| file.findings(&findings))?;
        let version = client.get::<DeploymentsView>("/deployments")?.version;
        let running: Value = client.get("/fleet/manifest")?;
        let running = manifest::parse(&running, &skills).map_err(|findings| {
            let count = findings.as_slice().len() + findings.more();
            let found = counted(count, "finding");
            let message = format!("the running fleet's manifest has {found} here");
            Failure::new("manifest_invalid", message)
                .with_hint("use an ark-os of the instance's own version")
        })?;
        let changes = difference(&Declared::from(&running), &Declared::from(&wanted));
        Ok(Compared { version, changes, base })
    }

    /// A request to deploy it, on top of what it was compared with.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn request(&self, file: &ManifestFile) -> Result<Deploy, Failure> {
        Ok(Deploy {
            manifest: raw(file.value())?,
            base: Some(self.base.clone()),
            // What is told as different is so.
            expected_version: Some(self.version),
            health_timeout: None,
            reason: None,
            dry_run: false,
        })
    }
}

/// Sends a request to deploy the manifest of a file.
///
/// # Errors
/// The instance refuses, with the places in the file.
pub(crate) fn post(
    client: &Client,
    request: &Deploy,
    file: &ManifestFile,
) -> Result<DeploymentView, Failure> {
    client.post("/deployments", request, None).map_err(|failure| {
        let below = |pointer: &str| pointer.strip_prefix("/manifest").map(str::to_owned);
        failure.with_places(|pointer| Some(file.place(&below(pointer)?)))
    })
}

/// Where a manifest says what a change is about; of what it does not have any more, where that would
/// stand.
pub(crate) fn pointer_of(manifest: &Value, change: &Change) -> String {
    let sections: &[&str] = match change.subject {
        Subject::Profile => return "/fleet/agents".to_owned(),
        Subject::Agents => &["agents", "groups"],
        Subject::Skill => &["skills"],
        Subject::Workflow => &["workflows"],
        Subject::Schedule => &["schedules"],
    };
    let is_it = |entry: &Value| entry.get("name").and_then(Value::as_str) == Some(&change.name);
    let found =
        sections.iter().filter(|_| change.becomes != Becomes::Removed).find_map(|section| {
            let list = manifest.get(section)?.as_array()?;
            Some(format!("/{section}/{}", list.iter().position(is_it)?))
        });
    let offered = || (change.subject == Subject::Skill).then(|| offer_of(manifest, &change.name));
    let section = || sections.first().map_or(String::new(), |section| format!("/{section}"));
    found.or_else(|| offered().flatten()).unwrap_or_else(section)
}

/// Where an agent offers a skill that has no contract.
fn offer_of(manifest: &Value, name: &str) -> Option<String> {
    let is_it = |offer: &Value| {
        offer.as_str().or_else(|| offer.get("name").and_then(Value::as_str)) == Some(name)
    };
    ["agents", "groups"].iter().find_map(|section| {
        let members = manifest.get(section)?.as_array()?.iter().enumerate();
        members.filter_map(|(i, member)| Some((i, member.get("skills")?.as_array()?))).find_map(
            |(i, skills)| Some(format!("/{section}/{i}/skills/{}", skills.iter().position(is_it)?)),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_where_the_manifest_says_it() {
        let manifest = json!({
            "agents": [{"name": "a", "skills": [{"name": "s.one"}, "s.two"]}],
            "groups": [{"name": "g"}], "skills": [{"name": "s.one"}],
            "schedules": [{"name": "daily"}],
        });
        let at = |subject, name: &str, becomes| {
            let name = name.to_owned();
            pointer_of(&manifest, &Change { subject, name, becomes, layer: None, fields: vec![] })
        };
        assert_eq!(at(Subject::Agents, "g", Becomes::Added), "/groups/0");
        assert_eq!(at(Subject::Agents, "gone", Becomes::Removed), "/agents");
        assert_eq!(at(Subject::Skill, "s.one", Becomes::Changed), "/skills/0");
        assert_eq!(at(Subject::Skill, "s.two", Becomes::Added), "/agents/0/skills/1");
        assert_eq!(at(Subject::Schedule, "daily", Becomes::Added), "/schedules/0");
        assert_eq!(at(Subject::Profile, "built-in", Becomes::Changed), "/fleet/agents");
    }
}
