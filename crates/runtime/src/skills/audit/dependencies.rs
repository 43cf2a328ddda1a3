//! Reads what a project depends on from its lock files. They are foreign bytes: each parser has a
//! size limit, and an error tells what is wrong without quoting the file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::npm;

/// The largest lock file that is parsed as a whole: those of the largest projects have about 1 MiB,
/// and a hostile one takes fifty times its size in memory.
const PARSED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Dependencies of one lock file that are kept.
const ENTRIES_MAX: usize = 50_000;
/// Names and versions longer than this are not real.
const TEXT_BYTES_MAX: usize = 256;

/// One package that a lock file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) ecosystem: &'static str,
    pub(super) name: String,
    pub(super) version: String,
}

/// What a lock file holds, sorted and without doubles; `None` for any other file.
pub(super) fn read(file_name: &str, text: &[u8]) -> Option<Result<BTreeSet<Package>, String>> {
    let parse: fn(&str) -> Result<Found, String> = match file_name {
        "Cargo.lock" => cargo,
        "package-lock.json" | "npm-shrinkwrap.json" => npm,
        "Pipfile.lock" => pipfile,
        "poetry.lock" | "uv.lock" | "pdm.lock" => python_toml,
        name if is_requirements(name) => requirements,
        _ => return None,
    };
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned());
    Some(text.and_then(parse).map(Found::packages))
}

fn is_requirements(name: &str) -> bool {
    name.strip_suffix(".txt")
        .is_some_and(|stem| stem.starts_with("requirements") || stem.ends_with("requirements"))
}

/// Packages of one ecosystem as they are found.
struct Found {
    ecosystem: &'static str,
    packages: BTreeSet<Package>,
}

impl Found {
    fn new(ecosystem: &'static str) -> Self {
        Self { ecosystem, packages: BTreeSet::new() }
    }

    fn add(&mut self, name: &str, version: &str) {
        let fits = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
        if !name.is_empty() && fits(name) && fits(version) && self.packages.len() < ENTRIES_MAX {
            let (name, version) = (name.to_owned(), version.to_owned());
            self.packages.insert(Package { ecosystem: self.ecosystem, name, version });
        }
    }

    fn packages(self) -> BTreeSet<Package> {
        self.packages
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
        if package.source.is_some() {
            found.add(&package.name, &package.version);
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
            found.add(&package.name, &package.version);
        }
    }
    Ok(found)
}

fn npm(text: &str) -> Result<Found, String> {
    let mut found = Found::new("npm");
    let mut add = |name: &str, version: &str| found.add(name, &origin(version));
    npm::read(text, &mut add).map_err(|error| not_json(&error))?;
    Ok(found)
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
        found.add(&name, &origin(version));
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
            found.add(name, &origin(rest.trim_start_matches('=').trim()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packages(name: &str, text: &str) -> Vec<String> {
        let packages = read(name, text.as_bytes()).unwrap().unwrap();
        packages.iter().map(|p| format!("{} {} {}", p.ecosystem, p.name, p.version)).collect()
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
            start in prop::sample::select(&["", "[[package]]\nname=", "{\"packages\":{\"", "{\"dependencies\":{\"a\":{", "a[", "x@"][..]),
        ) {
            let text = [start.as_bytes(), &text].concat();
            for name in ["Cargo.lock", "package-lock.json", "Pipfile.lock", "poetry.lock", "requirements.txt"] {
                let _ = read(name, &text);
            }
        }
    }
}
