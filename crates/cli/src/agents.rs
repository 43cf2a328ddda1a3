//! Manifests of agents: read and checked before anything is started, then made part of what the
//! instance is made of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ark_os_core::agent::SecretRef;
use ark_os_core::authority::Scopes;
use ark_os_core::manifest;
use ark_os_runtime::Components;
use ark_os_runtime::agents::{AgentSetup, DeclaredAgent, OwnDirs, Secret};
use ark_os_runtime::data::Catalogue;

use crate::bounded::read_bounded;
use crate::config::Config;
use crate::environment::variable;
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;

/// The code of agents that cannot be set up.
const UNUSABLE: &str = "agent_unusable";
/// A secret is a token or a key; a longer file is another one.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What an instance is made of by its configuration: with the agents of its manifests, but for those
/// of `besides`, which come later.
///
/// # Errors
/// A manifest is wrong, with every place; or agents cannot be set up, with every place of all manifests.
pub(crate) fn components(
    components: &Components,
    config: &Config,
    besides: Option<&Path>,
) -> Result<Components, Failure> {
    let mut components = Components { secret: Arc::new(secret), ..components.clone() };
    if !config.operator_scopes.is_empty() {
        let scopes = config.operator_scopes.iter().map(String::as_str);
        components.operator =
            Scopes::parse(scopes).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let is_besides = |path: &Path| besides.is_some_and(|other| is_same(path, other));
    let mut unusable: Option<Failure> = None;
    for path in config.manifests.iter().filter(|path| !is_besides(path)) {
        let installed = match declared(path, &components) {
            Ok((file, agents)) => install(&mut components, config, &agents, &file),
            Err(failure) => Err(failure),
        };
        match (installed, unusable.take()) {
            (Ok(()), before) => unusable = before,
            (Err(failure), None) if failure.code() == UNUSABLE => unusable = Some(failure),
            (Err(failure), Some(before)) if failure.code() == UNUSABLE => {
                unusable = Some(before.and(failure));
            }
            // What is missing in it may be a skill of an agent that cannot be set up: that one first.
            (Err(failure), before) => return Err(before.unwrap_or(failure)),
        }
    }
    unusable.map_or(Ok(components), Err)
}

/// The agents of a manifest.
fn declared(
    path: &Path,
    components: &Components,
) -> Result<(ManifestFile, Vec<DeclaredAgent>), Failure> {
    let file = ManifestFile::read(path)?;
    let catalogue = Catalogue::new(&components.skills);
    let manifest =
        manifest::parse(file.value(), &catalogue).map_err(|findings| file.findings(&findings))?;
    let declared = manifest.members().map(|(at, agent)| DeclaredAgent {
        agent: agent.clone(),
        at,
        base: base_of(path),
    });
    let declared = declared.collect();
    Ok((file, declared))
}

/// Adds the agents of a file.
///
/// # Errors
/// Some cannot be set up; each fault of each has its place in the file.
pub(crate) fn install(
    components: &mut Components,
    config: &Config,
    declared: &[DeclaredAgent],
    file: &ManifestFile,
) -> Result<(), Failure> {
    let own_dirs =
        OwnDirs::new([config.data_dir.clone()].into_iter().chain(config.archive_dir.clone()));
    let setup = AgentSetup { secret: &secret, own_dirs };
    components.skills.install(declared, &setup).map_err(|error| {
        let mut places = error.places().to_vec();
        places.sort_by_key(|place| file.line_column(&place.pointer));
        let failure = Failure::from(error.with_places(places));
        failure.with_places(|pointer| Some(file.place(pointer)))
    })
}

/// Where the relative paths of a manifest begin: at its own directory, wherever it is read from.
pub(crate) fn base_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|_| path != Path::new("-"));
    let parent = parent.filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    crate::node::absolute(parent)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|path| real(other) == Some(path))
}

fn secret(place: &SecretRef, base: &Path) -> Result<Secret, String> {
    let text = match place {
        SecretRef::Env(name) => {
            variable(name).ok_or_else(|| format!("the variable `{name}` is not set"))?
        }
        SecretRef::File(path) => read_bounded(&base.join(path), SECRET_BYTES_MAX)
            .map_err(|error| format!("cannot read the secret `{path}`: {error}"))?,
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("a secret is empty".to_owned()) } else { Ok(Secret::new(text)) }
}
