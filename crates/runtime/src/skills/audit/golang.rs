//! Reads `go.mod`. Since Go 1.17 it names every module that the build may need, and what it names
//! is what is built: the versions of one file are those that were chosen. Replacements count in
//! the place of what they replace, and one by a directory is a part of the project itself.

use std::collections::BTreeMap;

/// Replacements of one file that are followed; more is no real file.
const REPLACEMENTS_MAX: usize = 10_000;

/// Calls `add` with the path and version of every required module.
pub(super) fn read(text: &str, add: &mut dyn FnMut(&str, &str)) {
    let mut replaced = BTreeMap::new();
    for (_, rest) in statements(text).filter(|(verb, _)| *verb == "replace") {
        let Some((old, new)) = rest.split_once("=>") else { continue };
        let (Some((old, version)), Some(new)) = (module(old), module(new)) else { continue };
        if replaced.len() < REPLACEMENTS_MAX {
            replaced.insert((old, version), new);
        }
    }
    for (_, rest) in statements(text).filter(|(verb, _)| *verb == "require") {
        let Some((path, version)) = module(rest) else { continue };
        let new = replaced.get(&(path, version)).or_else(|| replaced.get(&(path, "")));
        match new {
            // A directory.
            Some((_, "")) => {}
            Some((path, version)) => add(path, version),
            None if version.is_empty() => {}
            None => add(path, version),
        }
    }
}

/// Each statement as verb and rest, those of a block one by one.
fn statements(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut block = None;
    text.lines().filter_map(move |line| {
        let line = line.split("//").next().unwrap_or_default().trim();
        match block {
            Some(_) if line == ")" => block = None,
            Some(verb) if !line.is_empty() => return Some((verb, line)),
            Some(_) => {}
            None => {
                let (verb, rest) = line.split_once([' ', '\t', '(']).unwrap_or((line, ""));
                if line.ends_with('(') {
                    block = Some(verb);
                } else {
                    return Some((verb, rest.trim()));
                }
            }
        }
        None
    })
}

/// Path and version; the version is empty where there is none.
fn module(text: &str) -> Option<(&str, &str)> {
    let mut words = text.split_whitespace().map(|word| word.trim_matches(['"', '`']));
    let path = words.next().filter(|path| !path.is_empty())?;
    Some((path, words.next().unwrap_or_default()))
}
