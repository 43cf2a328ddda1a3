//! The running fleet as a manifest: what is deployed, with what people have changed of it since by hand.

use std::collections::BTreeMap;

use ark_os_core::State;
use ark_os_core::payload::Payload;
use ark_os_core::text::Text;
use serde_json::{Map, Value, json};

use crate::RuntimeError;
use crate::handle::Handle;
use crate::threads;

/// What the state says of what is deployed.
#[derive(Debug, PartialEq)]
struct Standing {
    /// Agents of the built-in profile.
    profile: u32,
    /// The deployed schedules by name, and whether they are paused.
    schedules: BTreeMap<Text, bool>,
}

impl Standing {
    fn of(state: &State) -> Self {
        let deployed = state.schedules().iter().filter(|it| it.deployed);
        let schedules = deployed.map(|it| (it.spec.name.clone(), it.spec.is_paused)).collect();
        Standing { profile: state.fleet().profile(), schedules }
    }
}

impl Handle {
    /// The running fleet as a manifest: to deploy it changes nothing. Schedules that were
    /// made by hand, remote workers that nobody declared and the agents of the instance itself are not
    /// in it: a deployment does not change them.
    ///
    /// # Errors
    /// The manifest that is deployed cannot be read, or the instance is gone.
    pub async fn fleet_manifest(&self) -> Result<Value, RuntimeError> {
        let looked = self.read(|kernel| {
            let state = kernel.state();
            let deployed = state.deployments().current();
            let manifest = deployed.map(|it| (it.manifest.clone(), it.base.clone()));
            (manifest, Standing::of(state))
        });
        let (manifest, standing) = looked.await?;
        let handle = self.clone();
        let manifest = threads::aside(move || match manifest {
            Some((manifest, base)) => deployed(&handle, &manifest, base.as_deref()),
            None => Ok(Value::Object(Map::new())),
        });
        Ok(as_it_stands(manifest.await??, &standing))
    }
}

fn deployed(
    handle: &Handle,
    manifest: &Payload,
    base: Option<&str>,
) -> Result<Value, RuntimeError> {
    let text = handle.load(manifest)?;
    let manifest: Value = serde_json::from_slice(&text).map_err(|error| {
        let message = format!("read the manifest that is deployed: {error}");
        RuntimeError::new(ark_os_core::Kind::Corrupt, "manifest_invalid", message)
    })?;
    // One of before paths were made absolute at once.
    Ok(ark_os_core::manifest::rooted(manifest, base.unwrap_or("/")))
}

fn as_it_stands(mut manifest: Value, standing: &Standing) -> Value {
    let Some(sections) = manifest.as_object_mut() else { return manifest };
    let fleet = sections.entry("fleet").or_insert_with(|| json!({}));
    if let Some(fleet) = fleet.as_object_mut() {
        fleet.insert("agents".to_owned(), json!(standing.profile));
    }
    if let Some(list) = sections.get_mut("schedules").and_then(Value::as_array_mut) {
        list.retain_mut(|schedule| stands(schedule, &standing.schedules));
        if list.is_empty() {
            sections.remove("schedules");
        }
    }
    manifest
}

/// Whether a schedule is still there as a deployed one; it says whether it is paused.
fn stands(schedule: &mut Value, standing: &BTreeMap<Text, bool>) -> bool {
    let name = schedule.get("name").and_then(Value::as_str).map(Text::from);
    let Some(is_paused) = name.and_then(|name| standing.get(&name)).copied() else { return false };
    let says = schedule.get("paused").and_then(Value::as_bool).unwrap_or(false);
    if let Some(fields) = schedule.as_object_mut().filter(|_| says != is_paused) {
        fields.insert("paused".to_owned(), json!(is_paused));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_by_hand_since_stands_in_the_manifest() {
        let schedules = BTreeMap::from([("a".into(), true), ("b".into(), false)]);
        let standing = Standing { profile: 7, schedules };
        let deployed = json!({
            "x-of": 1, "fleet": {"agents": 3, "x-why": "small"},
            "schedules": [{"name": "a"}, {"name": "b", "paused": true}, {"name": "gone"}],
        });
        let expected = json!({
            "x-of": 1, "fleet": {"agents": 7, "x-why": "small"},
            "schedules": [{"name": "a", "paused": true}, {"name": "b", "paused": false}],
        });
        assert_eq!(as_it_stands(deployed, &standing), expected);
        let standing = Standing { profile: 2, schedules: BTreeMap::new() };
        let deployed = json!({"schedules": [{"name": "gone"}]});
        assert_eq!(as_it_stands(deployed, &standing), json!({"fleet": {"agents": 2}}));
    }
}
