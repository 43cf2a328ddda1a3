//! The step `compat`: this build keeps what every committed registry promises since the last release. So nothing goes by
//! writing the registry anew: what was promised once goes with a record, or not at all.

use std::path::Path;

use super::Session;
use crate::place::Place;
use crate::shell::{self, Failed, say};

const REGISTRY: &str = "docs/registry.json";
const DEPRECATIONS: &str = "docs/deprecations.toml";
/// Since then lines tell promises from demands; what is older cannot be compared.
const FORMAT: &str = "\"format\": 2";
/// Commits of the registry that are looked at, newest first: more than there are between two releases.
const COMMITS_MAX: &str = "200";

pub(super) fn run(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    let place = session.place;
    let own = std::fs::read_to_string(place.root.join(REGISTRY))
        .map_err(|error| Failed::new(format!("{REGISTRY} is unreadable: {error}")))?;
    check(place, &own)?;
    let Some(committed) = committed(&place.root) else {
        return Ok(Some("there is no history here: only the registry itself was compared".into()));
    };
    let others: Vec<_> = committed.iter().filter(|text| **text != own).collect();
    say(&format!("and what {} other committed registries promise", others.len()));
    others.into_iter().try_for_each(|text| check(place, text)).map(|()| None)
}

fn check(place: &Place, registry: &str) -> Result<(), Failed> {
    let path = place.tools().join("registry.json");
    std::fs::create_dir_all(place.tools())
        .and_then(|()| std::fs::write(&path, registry))
        .map_err(|error| Failed::new(format!("{} was not written: {error}", path.display())))?;
    let mut command = shell::command(place.debug_binary("ark-os"), &place.root);
    command.args(["compat", "check", "--deprecations", DEPRECATIONS, "--against"]).arg(&path);
    shell::run(command)
}

/// Every registry that was committed since the last release, and that of the release; none: nobody knows.
fn committed(root: &Path) -> Option<Vec<String>> {
    let git = |args: &[&str]| {
        let mut command = shell::command("git", root);
        command.args(args);
        shell::output(command).ok()
    };
    let tags = git(&["tag", "--merged", "HEAD", "--sort=-creatordate"])?;
    let release = tags.lines().next();
    let since = release.map_or("HEAD".to_owned(), |tag| format!("{tag}..HEAD"));
    let commits = git(&["log", "--format=%H", "-n", COMMITS_MAX, &since, "--", REGISTRY])?;
    let texts = commits.lines().chain(release).filter_map(|commit| {
        let text = git(&["show", &format!("{commit}:{REGISTRY}")])?;
        text.contains(FORMAT).then_some(text)
    });
    let mut found: Vec<String> = texts.collect();
    found.dedup();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(root: &Path, args: &[&str]) {
        let mut command = shell::command("git", root);
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(args);
        shell::output(command).unwrap();
    }

    #[test]
    fn every_registry_since_the_last_release_is_found_and_none_before() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        git(root, &["init", "--quiet"]);
        std::fs::create_dir(root.join("docs")).unwrap();
        let commit = |line: &str| {
            let text = format!("{{{FORMAT}, \"entries\": [{line:?}]}}\n");
            std::fs::write(root.join(REGISTRY), &text).unwrap();
            git(root, &["add", "."]);
            git(root, &["commit", "--quiet", "-m", line]);
            text
        };
        std::fs::write(root.join(REGISTRY), "{\"entries\": []}").unwrap();
        git(root, &["add", "."]);
        git(root, &["commit", "--quiet", "-m", "of another format"]);
        let (first, second) = (commit("a"), commit("b"));
        assert_eq!(committed(root), Some(vec![second.clone(), first]));
        git(root, &["tag", "v1"]);
        let third = commit("c");
        assert_eq!(committed(root), Some(vec![third, second]));
    }

    #[test]
    fn without_a_history_nobody_knows() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(committed(dir.path()), None);
    }
}
