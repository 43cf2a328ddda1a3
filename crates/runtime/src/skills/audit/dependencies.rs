//! Reads what a project depends on from its lock files. They are foreign bytes: each parser has a
//! size limit, and an error tells what is wrong without quoting the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{golang, npm};

/// The largest lock file that is parsed as a whole: those of the largest projects have about 1 MiB,
/// and a hostile one takes fifty times its size in memory.
const PARSED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Dependencies of one lock file that are kept.
const ENTRIES_MAX: usize = 50_000;
/// Names and versions longer than this are not real.
const TEXT_BYTES_MAX: usize = 256;
/// Nor are places in `node_modules` longer than this.
const PLACE_BYTES_MAX: usize = 1024;

/// The packages that a lock file names, by name and version.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) ecosystem: &'static str,
    pub(super) packages: BTreeMap<(String, String), Details>,
}

/// What a lock file says of a package besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// Where it is fetched from, without anything that could be a credential; empty if not said.
    pub(super) source: String,
    pub(super) licence: Option<String>,
    /// Where it is installed, below the lock file's directory; empty if not said.
    pub(super) place: String,
}

/// What a lock file holds; `None` for any other file.
pub(super) fn read(file_name: &str, text: &[u8]) -> Option<Result<Found, String>> {
    let parse: fn(&str) -> Result<Found, String> = match file_name {
        "Cargo.lock" => cargo,
        "package-lock.json" | "npm-shrinkwrap.json" => npm,
        "Pipfile.lock" => pipfile,
        "poetry.lock" | "uv.lock" | "pdm.lock" => python_toml,
        "go.mod" => golang,
        name if is_requirements(name) => requirements,
        _ => return None,
    };
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned());
    Some(text.and_then(parse))
}

fn is_requirements(name: &str) -> bool {
    name.strip_suffix(".txt")
        .is_some_and(|stem| stem.starts_with("requirements") || stem.ends_with("requirements"))
}

impl Found {
    fn new(ecosystem: &'static str) -> Self {
        Self { ecosystem, packages: BTreeMap::new() }
    }

    fn add(&mut self, name: &str, version: &str, details: Details) {
        let fits = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
        if name.is_empty() || !fits(name) || !fits(version) || self.packages.len() >= ENTRIES_MAX {
            return;
        }
        let known = self.packages.entry((name.to_owned(), version.to_owned())).or_default();
        // The first place that says something counts: a lock file may name a package twice.
        if known.source.is_empty() && fits(&details.source) {
            known.source = details.source;
        }
        known.licence = known.licence.take().or(details.licence);
        if known.place.is_empty() && details.place.len() <= PLACE_BYTES_MAX {
            known.place = details.place;
        }
    }
}

impl Details {
    fn from(source: String) -> Self {
        Self { source, ..Self::default() }
    }
}

#[derive(Deserialize)]
struct TomlLock {
    #[serde(default)]
    package: Vec<TomlPackage>,
}

#[derive(Deserialize)]
struct TomlPackage {
    name: String,
    #[serde(default)]
    version: String,
    source: Option<toml::Value>,
}

fn toml_lock(text: &str) -> Result<TomlLock, String> {
    if text.len() > PARSED_BYTES_MAX {
        return Err(too_large());
    }
    toml::from_str(text).map_err(|error| {
        // Not the error's own text: it may quote the line.
        let start = error.span().map_or(0, |span| span.start);
        let lines = text.as_bytes().get(..start).unwrap_or_default();
        let line = 1 + memchr::memchr_iter(b'\n', lines).count();
        format!("is not a lock file in TOML (line {line})")
    })
}

/// Not the error's own text: it may quote a value.
fn not_json(error: &serde_json::Error) -> String {
    format!("is not a lock file in JSON (line {})", error.line())
}

fn too_large() -> String {
    format!("is over {} MiB and was not parsed", PARSED_BYTES_MAX >> 20)
}

/// Packages without a source are the project's own.
fn cargo(text: &str) -> Result<Found, String> {
    let mut found = Found::new("cargo");
    for package in toml_lock(text)?.package {
        if let Some(source) = package.source {
            let source = source.as_str().map(place_of).unwrap_or_default();
            let is_public = source == "github.com/rust-lang/crates.io-index"
                || source.starts_with("index.crates.io");
            let source = if is_public { "crates.io".to_owned() } else { source };
            found.add(&package.name, &package.version, Details::from(source));
        }
    }
    Ok(found)
}

/// poetry.lock, uv.lock and pdm.lock; uv marks the project's own packages by their source.
fn python_toml(text: &str) -> Result<Found, String> {
    let mut found = Found::new("pip");
    for package in toml_lock(text)?.package {
        let source = package.source.as_ref().and_then(toml::Value::as_table);
        let is_own = ["virtual", "editable", "directory"]
            .iter()
            .any(|kind| source.is_some_and(|source| source.contains_key(*kind)));
        if !is_own {
            // uv: { registry = … } or { git = … }; poetry: { type = …, url = … }.
            let said =
                ["git", "registry", "url"].iter().find_map(|key| source?.get(*key)?.as_str());
            let is_git = source.is_some_and(|source| {
                source.contains_key("git")
                    || source.get("type").and_then(toml::Value::as_str) == Some("git")
            });
            let place = said.map(place_of).unwrap_or_default();
            let place = match is_git {
                true if !place.starts_with("git ") => format!("git {place}"),
                true => place,
                false => host_of(&place),
            };
            found.add(&package.name, &package.version, Details::from(place));
        }
    }
    Ok(found)
}

fn npm(text: &str) -> Result<Found, String> {
    let mut found = Found::new("npm");
    let mut add = |entry: &npm::Entry<'_>| {
        let from = if entry.resolved.is_empty() { entry.version } else { entry.resolved };
        let is_address = from.contains("://");
        let place = if is_address { place_of(from) } else { String::new() };
        let source = if place.starts_with("git ") { place } else { host_of(&place) };
        let licence = entry.licence.clone();
        let details = Details { source, licence, place: entry.place.to_owned() };
        found.add(entry.name, &origin(entry.version), details);
    };
    npm::read(text, &mut add).map_err(|error| not_json(&error))?;
    Ok(found)
}

fn golang(text: &str) -> Result<Found, String> {
    let mut found = Found::new("go");
    golang::read(text, &mut |name, version| found.add(name, version, Details::default()));
    Ok(found)
}

/// Where an address leads, without scheme, user, query and fragment; `git ` before a repository.
fn place_of(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let rest = rest.get(..end).unwrap_or_default().trim_end_matches('/');
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let git = if scheme.starts_with("git") { "git " } else { "" };
    let slash = if path.is_empty() { "" } else { "/" };
    // A path with an `@` may hold a credential that stands where none belongs.
    if path.contains('@') { format!("{git}{host}") } else { format!("{git}{host}{slash}{path}") }
}

fn host_of(place: &str) -> String {
    place.split('/').next().unwrap_or_default().to_owned()
}

/// A version, or the kind of address that stands in its place: an address may hold a credential.
fn origin(version: &str) -> String {
    let is_address = version.contains("://") || version.contains('@') || version.contains('/');
    if !is_address {
        return version.to_owned();
    }
    let kind = if version.starts_with("git") {
        "git"
    } else if version.starts_with("file:") {
        "file"
    } else {
        "address"
    };
    kind.to_owned()
}

#[derive(Deserialize)]
struct PipfileLock {
    #[serde(default)]
    default: BTreeMap<String, PipfilePackage>,
    #[serde(default)]
    develop: BTreeMap<String, PipfilePackage>,
}

#[derive(Deserialize)]
struct PipfilePackage {
    version: Option<String>,
    git: Option<IgnoredAny>,
}

fn pipfile(text: &str) -> Result<Found, String> {
    let mut found = Found::new("pip");
    if text.len() > PARSED_BYTES_MAX {
        return Err(too_large());
    }
    let lock: PipfileLock = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    for (name, package) in lock.default.into_iter().chain(lock.develop) {
        let version = package.version.unwrap_or_default();
        let version = if package.git.is_some() { "git" } else { version.trim_start_matches("==") };
        let source = if version == "git" { "git" } else { "" };
        found.add(&name, &origin(version), Details::from(source.to_owned()));
    }
    Ok(found)
}

/// One requirement a line; options, comments, hashes and markers are left out.
fn requirements(text: &str) -> Result<Found, String> {
    let mut found = Found::new("pip");
    let mut continues = false;
    for line in text.lines() {
        let is_rest = std::mem::replace(&mut continues, line.trim_end().ends_with('\\'));
        let line = line.split(" #").next().unwrap_or_default().trim();
        if is_rest || line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        let line = line.split([';', '\\']).next().unwrap_or_default();
        let line = line.split(" --").next().unwrap_or_default().trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let rest = rest.trim_start();
        // `name[extra]==1`: the extras say nothing about the version.
        let rest = match rest.strip_prefix('[') {
            Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest).trim_start(),
            None => rest,
        };
        if rest.is_empty() || rest.starts_with(['=', '<', '>', '!', '~', '(', '@']) {
            let version = origin(rest.trim_start_matches('=').trim());
            found.add(name, &version, Details::default());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packages(name: &str, text: &str) -> Vec<String> {
        let found = read(name, text.as_bytes()).unwrap().unwrap();
        let line =
            |(name, version): &(String, String)| format!("{} {name} {version}", found.ecosystem);
        found.packages.keys().map(line).collect()
    }

    fn details(name: &str, text: &str) -> Details {
        let found = read(name, text.as_bytes()).unwrap().unwrap();
        found.packages.into_values().next().unwrap()
    }

    #[test]
    fn sources_are_told_without_credentials() {
        let cargo = |source: &str| {
            details(
                "Cargo.lock",
                &format!("[[package]]\nname='a'\nversion='1'\nsource='{source}'\n"),
            )
            .source
        };
        assert_eq!(cargo("registry+https://github.com/rust-lang/crates.io-index"), "crates.io");
        assert_eq!(cargo("sparse+https://index.crates.io/"), "crates.io");
        assert_eq!(cargo("sparse+https://me:pw@acme.io/index/?t=pw"), "acme.io/index");
        assert_eq!(cargo("git+https://pw@github.com/x/y?rev=1#ab"), "git github.com/x/y");
        let npm = r#"{"packages":{"node_modules/a":{"version":"1","license":"MIT",
            "resolved":"https://u:p@registry.npmjs.org/a/-/a-1.tgz"}}}"#;
        let expected = Details {
            source: "registry.npmjs.org".into(),
            licence: Some("MIT".into()),
            place: "node_modules/a".into(),
        };
        assert_eq!(details("package-lock.json", npm), expected);
        let uv =
            "[[package]]\nname='a'\nversion='1'\nsource={registry='https://pypi.org/simple'}\n";
        assert_eq!(details("uv.lock", uv).source, "pypi.org");
        let poetry = "[[package]]\nname='a'\nversion='1'\n[package.source]\ntype='git'\n\
                      url='https://github.com/x/y.git'\n";
        assert_eq!(details("poetry.lock", poetry).source, "git github.com/x/y.git");
    }

    #[test]
    fn places_of_nested_packages_are_told() {
        let v1 =
            r#"{"dependencies":{"a":{"version":"1","dependencies":{"@s/b":{"version":"2"}}}}}"#;
        let found = read("package-lock.json", v1.as_bytes()).unwrap().unwrap();
        let places: Vec<_> = found.packages.values().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["node_modules/a/node_modules/@s/b", "node_modules/a"]);
    }

    #[test]
    fn go_requirements_are_read() {
        let text = "module acme.io/x // own\n\ngo 1.22\nrequire github.com/a/b v1.2.3\nrequire (\n\
                    \tgolang.org/x/net v0.1.0 // indirect\n\t\"quoted.io/q\" v2.0.0+incompatible\n)\n\
                    replace github.com/a/b => ../b\nexclude github.com/no/no v1.0.0\n\
                    replace (\n golang.org/x/net v0.1.0 => example.com/net v0.2.0\n)\n";
        let expected = ["go example.com/net v0.2.0", "go quoted.io/q v2.0.0+incompatible"];
        assert_eq!(packages("go.mod", text), expected);
    }

    #[test]
    fn cargo_locks_give_foreign_packages() {
        let text = "version = 4\n[[package]]\nname='own'\nversion='0.1.0'\n[[package]]\nname='serde'\n\
                    version='1.0.1'\nsource='registry+https://x'\nchecksum='00'\ndependencies=['a']\n";
        assert_eq!(packages("Cargo.lock", text), ["cargo serde 1.0.1"]);
    }

    #[test]
    fn npm_locks_of_all_versions_are_read() {
        let v1 = r#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","requires":{"b":"^1"},
            "dependencies":{"b":{"version":"2.0.0"}}}}}"#;
        assert_eq!(packages("package-lock.json", v1), ["npm a 1.0.0", "npm b 2.0.0"]);
        let v2 = r#"{"lockfileVersion":2,"packages":{"":{"name":"own"},"node_modules/@s/a":
            {"version":"1.0.0","dependencies":{"b":"^1"}},"node_modules/@s/a/node_modules/b":
            {"version":"2.0.0"},"ws":{"version":"0.1.0"},"node_modules/ws":{"link":true}},
            "dependencies":{"@s/a":{"version":"1.0.0"}}}"#;
        assert_eq!(packages("package-lock.json", v2), ["npm @s/a 1.0.0", "npm b 2.0.0"]);
    }

    #[test]
    fn python_locks_and_requirements_are_read() {
        let text = "# c\nflask==2.0 # why\nreq[sec] >= 1.2 ; python_version<'3'\n-r base.txt\n\
                    pkg==1 \\\n  --hash=sha256:aa \\\n  --hash=sha256:bb\nx @ https://me:pw@h/x.whl\n\
                    not a requirement\nplain\n";
        let expected =
            ["pip flask 2.0", "pip pkg 1", "pip plain ", "pip req >= 1.2", "pip x address"];
        assert_eq!(packages("requirements-dev.txt", text), expected);
        let text = r#"{"default":{"a":{"version":"==1.0","hashes":[]},"g":{"git":"https://u:p@x"}},
            "develop":{"b":{"version":"==2"}}}"#;
        assert_eq!(packages("Pipfile.lock", text), ["pip a 1.0", "pip b 2", "pip g git"]);
        let text = "[[package]]\nname='a'\nversion='1'\n[[package]]\nname='own'\nversion='1'\n\
                    source={editable='.'}\n";
        assert_eq!(packages("uv.lock", text), ["pip a 1"]);
    }

    #[test]
    fn errors_tell_the_line_and_quote_nothing() {
        for (name, text) in [
            ("Cargo.lock", "a = 1\nb = SECRET\n"),
            ("Cargo.lock", "package = 'SECRET'\n"),
            ("package-lock.json", "{\n\"packages\": \"SECRET\"}"),
            ("Pipfile.lock", "{\"default\": \n SECRET}"),
        ] {
            let error = read(name, text.as_bytes()).unwrap().unwrap_err();
            assert!(error.contains("line ") && !error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn hostile_locks_end_in_errors() {
        let deep = "{\"dependencies\":{\"a\":".repeat(5000);
        let cases = [
            ("package-lock.json", deep),
            ("Cargo.lock", format!("a = {}", "[".repeat(100_000))),
            ("Cargo.lock", format!("a{} = 1", ".a".repeat(100_000))),
            ("Cargo.lock", "#\n".repeat(PARSED_BYTES_MAX)),
            ("poetry.lock", "[[package]]\nname = 1".to_owned()),
        ];
        for (name, text) in cases {
            assert!(read(name, text.as_bytes()).unwrap().is_err(), "{name}");
        }
        assert!(read("Cargo.lock", b"\xff").unwrap().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_a_parser(
            text in prop::collection::vec(any::<u8>(), 0..200),
            start in prop::sample::select(&["", "[[package]]\nname=", "require (\n", "replace a => ", "{\"packages\":{\"", "{\"dependencies\":{\"a\":{", "a[", "x@"][..]),
        ) {
            let text = [start.as_bytes(), &text].concat();
            for name in ["Cargo.lock", "package-lock.json", "Pipfile.lock", "poetry.lock", "requirements.txt", "go.mod"] {
                let _ = read(name, &text);
            }
        }
    }
}
