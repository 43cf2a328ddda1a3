//! Finds the licence of a locked package where the package itself lies: vendored or installed
//! beside the lock file, or in a source the user named. Names and versions come from foreign
//! files, so nothing is read that does not lie, links followed, below the root or such a source.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::dependencies::Details;
use super::licences;
use super::records::{Licence, LicenceOrigin};
use super::spdx::{self, LicenceKind};

/// Packages of one chunk that are looked for; each takes some 50 µs where it is found.
const LOOKED_FOR_MAX: u32 = 50_000;
/// Entries of one directory that are looked at: a cargo registry of many years has fewer.
const ENTRIES_MAX: usize = 100_000;
/// Bytes of a package's manifest.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;
/// Licence files of one package, and bytes of each.
const TEXTS_MAX: usize = 8;
const TEXT_BYTES_MAX: u64 = 256 * 1024;
/// Entries of a package's own directory among which its licence files are sought.
const PACKAGE_ENTRIES_MAX: usize = 2000;
/// Directories of one kind below a source, such as the indexes of a cargo registry.
const SHELVES_MAX: usize = 16;

/// Where Python keeps what is installed, below a virtual environment.
const SITE_PACKAGES: &[&str] =
    &["Lib/site-packages", "lib/*/site-packages", "lib64/*/site-packages"];
const ENVIRONMENTS: &[&str] = &[".venv", "venv", "env", ".tox/*"];

/// What may be looked into, and what was seen there.
pub(super) struct Installed {
    root: PathBuf,
    sources: Vec<PathBuf>,
    left: u32,
    /// Names of the `.dist-info` directories, in their plain form, by place.
    dists: BTreeMap<PathBuf, BTreeMap<String, String>>,
    /// Directories below a place that a pattern names.
    shelves: BTreeMap<(PathBuf, String), Vec<PathBuf>>,
}

/// A directory in which a package may lie.
struct Candidate {
    /// The directory that must not be left.
    base: PathBuf,
    dir: PathBuf,
    /// Whether the place itself says that the version is the locked one.
    is_exact: bool,
}

impl Installed {
    /// `root` and `sources` as given; those that are not there do no harm.
    pub(super) fn new(root: &Path, sources: &[PathBuf]) -> Self {
        let real = |path: &PathBuf| fs::canonicalize(path).ok().filter(|path| path.is_dir());
        Self {
            root: fs::canonicalize(root).unwrap_or_else(|_| root.to_owned()),
            sources: sources.iter().filter_map(real).collect(),
            left: LOOKED_FOR_MAX,
            dists: BTreeMap::new(),
            shelves: BTreeMap::new(),
        }
    }

    /// The licence of a package that the lock file in `lock_dir` (below the root) names.
    pub(super) fn licence(
        &mut self,
        lock_dir: &Path,
        ecosystem: &str,
        (name, version): (&str, &str),
        details: &Details,
    ) -> Option<Licence> {
        if let Some(expression) = details.licence.clone() {
            return Some(Licence { expression, from: LicenceOrigin::LockFile });
        }
        if self.left == 0 || version.is_empty() || !is_plain(name) || !is_plain(version) {
            return None;
        }
        self.left -= 1;
        match ecosystem {
            "cargo" => of_package("Cargo.toml", version, &self.cargo(lock_dir, name, version)),
            "npm" => of_package("package.json", version, &self.npm(lock_dir, name, &details.place)),
            "go" => of_package("", version, &self.golang(lock_dir, name, version)),
            "pip" => self.python(lock_dir, name, version),
            _ => None,
        }
    }

    fn cargo(&mut self, lock_dir: &Path, name: &str, version: &str) -> Vec<Candidate> {
        let full = format!("{name}-{version}");
        let mut found = Vec::new();
        let mut shelf = |base: &Path, shelf: &Path| {
            found.push(candidate(base, shelf.join(&full), true));
            found.push(candidate(base, shelf.join(name), false));
        };
        let root = self.root.clone();
        shelf(&root, &root.join(lock_dir).join("vendor"));
        for source in self.sources.clone() {
            shelf(&source, &source);
            for pattern in ["src/*", "registry/src/*"] {
                for place in self.shelves(&source, pattern) {
                    shelf(&source, &place);
                }
            }
        }
        found
    }

    fn npm(&self, lock_dir: &Path, name: &str, place: &str) -> Vec<Candidate> {
        let mut found = Vec::new();
        if let Some(place) = relative(place) {
            found.push(candidate(&self.root, self.root.join(lock_dir).join(place), false));
        }
        for source in &self.sources {
            found.push(candidate(source, source.join(name), false));
            found.push(candidate(source, source.join("node_modules").join(name), false));
        }
        found
    }

    fn golang(&self, lock_dir: &Path, name: &str, version: &str) -> Vec<Candidate> {
        let vendored = self.root.join(lock_dir).join("vendor").join(name);
        let mut found = vec![candidate(&self.root, vendored, true)];
        // The module cache writes capitals as `!` and the small letter.
        let mut cached = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                cached.push('!');
            }
            cached.push(c.to_ascii_lowercase());
        }
        let cached = format!("{cached}@{version}");
        for source in &self.sources {
            found.push(candidate(source, source.join(&cached), true));
            found.push(candidate(source, source.join("pkg/mod").join(&cached), true));
        }
        found
    }

    fn python(&mut self, lock_dir: &Path, name: &str, version: &str) -> Option<Licence> {
        let root = self.root.clone();
        let mut places = Vec::new();
        for environment in ENVIRONMENTS {
            for site in SITE_PACKAGES {
                let pattern = format!("{environment}/{site}");
                for place in self.shelves(&root.join(lock_dir), &pattern) {
                    places.push((root.clone(), place));
                }
            }
        }
        for source in self.sources.clone() {
            places.push((source.clone(), source.clone()));
            for site in SITE_PACKAGES {
                for place in self.shelves(&source, site) {
                    places.push((source.clone(), place));
                }
            }
        }
        let wanted = format!("{}-{version}", plain_name(name));
        places.into_iter().find_map(|(base, place)| {
            let dist = self.dists(&place).get(&wanted)?.clone();
            let dir = place.join(dist);
            let text = read_below(&base, &dir.join("METADATA"), MANIFEST_BYTES_MAX)?;
            let declared = metadata_licence(&String::from_utf8_lossy(&text));
            let declared = declared.map(|expression| licence(expression, LicenceOrigin::Manifest));
            declared
                .or_else(|| of_texts(&base, &dir))
                .or_else(|| of_texts(&base, &dir.join("licenses")))
        })
    }

    /// The directories below `place` that a pattern names; its `*` stands for any one name.
    fn shelves(&mut self, place: &Path, pattern: &str) -> Vec<PathBuf> {
        let key = (place.to_owned(), pattern.to_owned());
        self.shelves
            .entry(key)
            .or_insert_with(|| {
                let mut found = vec![place.to_owned()];
                for part in pattern.split('/') {
                    found = found.iter().flat_map(|dir| children(dir, part)).collect();
                    found.truncate(SHELVES_MAX);
                }
                found
            })
            .clone()
    }

    fn dists(&mut self, place: &Path) -> &BTreeMap<String, String> {
        self.dists.entry(place.to_owned()).or_insert_with(|| {
            let names = names(place, ENTRIES_MAX).into_iter().filter_map(|name| {
                let (package, version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
                Some((format!("{}-{version}", plain_name(package)), name.clone()))
            });
            names.collect()
        })
    }
}

fn candidate(base: &Path, dir: PathBuf, is_exact: bool) -> Candidate {
    Candidate { base: base.to_owned(), dir, is_exact }
}

fn licence(expression: String, from: LicenceOrigin) -> Licence {
    Licence { expression, from }
}

/// The licence of the first candidate that is the locked package. Without the name of a manifest
/// only the licence files speak.
fn of_package(manifest: &str, version: &str, candidates: &[Candidate]) -> Option<Licence> {
    candidates.iter().find_map(|Candidate { base, dir, is_exact }| {
        if manifest.is_empty() {
            return of_texts(base, dir);
        }
        let text = read_below(base, &dir.join(manifest), MANIFEST_BYTES_MAX)?;
        let said = licences::manifest(manifest, &text)?;
        if !is_exact && said.version != version {
            return None;
        }
        match said.licence {
            Some(expression) => Some(licence(expression, LicenceOrigin::Manifest)),
            None => of_texts(base, dir),
        }
    })
}

/// What the licence files of a package say.
fn of_texts(base: &Path, dir: &Path) -> Option<Licence> {
    // Before the listing: a link may lead anywhere.
    fs::canonicalize(dir).ok().filter(|real| real.starts_with(base))?;
    let mut ids: Vec<&str> = names(dir, PACKAGE_ENTRIES_MAX)
        .into_iter()
        .filter(|name| licences::is_licence_file(name))
        .take(TEXTS_MAX)
        .filter_map(|name| read_below(base, &dir.join(name), TEXT_BYTES_MAX))
        .flat_map(|text| licences::detect(&text))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    (!ids.is_empty()).then(|| licence(ids.join(" AND "), LicenceOrigin::LicenceText))
}

/// What the metadata of a Python package say.
fn metadata_licence(text: &str) -> Option<String> {
    let (mut expression, mut free, mut classified) = (None, None, Vec::new());
    for line in text.lines().take_while(|line| !line.is_empty()) {
        if let Some(value) = line.strip_prefix("License-Expression:") {
            expression = spdx::expression(value);
        } else if let Some(value) = line.strip_prefix("License:") {
            free = spdx::expression(value);
        } else if let Some(value) = line.strip_prefix("Classifier: License ::") {
            let last = value.rsplit("::").next().unwrap_or_default();
            classified.extend(spdx::expression(last).filter(|id| id != "OSI Approved"));
        }
    }
    // Several classifiers do not say whether one may choose; so all of them count.
    let classified = (!classified.is_empty()).then(|| classified.join(" AND "));
    let clear = free.clone().filter(|text| spdx::kind(Some(text)) != LicenceKind::Other);
    expression.or(clear).or(classified).or(free)
}

/// The names of a directory, in order.
fn names(dir: &Path, names_max: usize) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().take(names_max);
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

fn children(dir: &Path, part: &str) -> Vec<PathBuf> {
    let children = match part {
        "*" => names(dir, PACKAGE_ENTRIES_MAX),
        name => vec![name.to_owned()],
    };
    children.into_iter().map(|name| dir.join(name)).filter(|path| path.is_dir()).collect()
}

/// Letters, digits and the marks that names of packages have; no part of it leads upwards.
fn is_plain(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@/~^".contains(c);
    text.chars().all(is_plain) && relative(text).is_some()
}

fn relative(text: &str) -> Option<&Path> {
    let path = Path::new(text);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    (stays && !text.is_empty() && !text.contains('\0')).then_some(path)
}

/// How Python compares names: case and separators do not count.
fn plain_name(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}

/// The bytes of a regular file that lies below `base` (a real path), links followed.
fn read_below(base: &Path, path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let real = fs::canonicalize(path).ok().filter(|real| real.starts_with(base))?;
    if !fs::symlink_metadata(&real).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(&real).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn told(installed: &mut Installed, ecosystem: &str, name: &str, version: &str) -> String {
        let place = if ecosystem == "npm" { format!("node_modules/{name}") } else { String::new() };
        let details = Details { place, ..Details::default() };
        let found = installed.licence(Path::new(""), ecosystem, (name, version), &details);
        found.map_or("unknown".to_owned(), |it| format!("{} {:?}", it.expression, it.from))
    }

    const MIT: &str = "Permission is hereby granted, free of charge, to any person obtaining a copy of \
                       this software and associated documentation files\nThe above copyright notice and \
                       this permission notice shall be included in";

    #[test]
    fn licences_of_installed_and_vendored_packages_are_found() {
        let dir = tree(&[
            (
                "vendor/a/Cargo.toml",
                "[package]\nname='a'\nversion='1.0.0'\nlicense='MIT/Apache-2.0'\n",
            ),
            ("vendor/old/Cargo.toml", "[package]\nname='old'\nversion='0.9.0'\nlicense='MIT'\n"),
            (
                "vendor/t-2.0.0/Cargo.toml",
                "[package]\nname='t'\nversion='2.0.0'\nlicense-file='LICENSE'\n",
            ),
            ("vendor/t-2.0.0/LICENSE", MIT),
            ("vendor/github.com/x/y/LICENSE", MIT),
            ("node_modules/@s/n/package.json", r#"{"version":"1.2.3","license":{"type":"ISC"}}"#),
            (
                ".venv/lib/python3.11/site-packages/Py_Yaml-6.0.dist-info/METADATA",
                "Name: Py.Yaml\nLicense: see the file\nClassifier: License :: OSI Approved :: MIT License\n\nLicense: x\n",
            ),
        ]);
        let mut installed = Installed::new(dir.path(), &[]);
        let cases = [
            ("cargo", "a", "1.0.0", "MIT OR Apache-2.0 Manifest"),
            ("cargo", "old", "1.0.0", "unknown"),
            ("cargo", "t", "2.0.0", "MIT LicenceText"),
            ("go", "github.com/x/y", "v1.0.0", "MIT LicenceText"),
            ("npm", "@s/n", "1.2.3", "ISC Manifest"),
            ("npm", "@s/n", "1.2.4", "unknown"),
            ("pip", "py-yaml", "6.0", "MIT Manifest"),
            ("pip", "py-yaml", "6.1", "unknown"),
        ];
        for (ecosystem, name, version, expected) in cases {
            assert_eq!(told(&mut installed, ecosystem, name, version), expected, "{name}");
        }
    }

    #[test]
    fn sources_outside_the_root_are_read_only_when_they_are_named() {
        let dir = tree(&[]);
        let cargo = "[package]\nname='a'\nversion='1.0.0'\nlicense='MIT'\n";
        let cache = tree(&[("registry/src/index-1/a-1.0.0/Cargo.toml", cargo)]);
        assert_eq!(told(&mut Installed::new(dir.path(), &[]), "cargo", "a", "1.0.0"), "unknown");
        let mut named = Installed::new(dir.path(), &[cache.path().to_owned()]);
        assert_eq!(told(&mut named, "cargo", "a", "1.0.0"), "MIT Manifest");
    }

    #[test]
    #[cfg(unix)]
    fn names_and_links_cannot_lead_out() {
        let cargo = "[package]\nname='a'\nversion='1.0.0'\nlicense='MIT'\n";
        let outside = tree(&[("a/Cargo.toml", cargo), ("t/LICENSE", MIT)]);
        let dir = tree(&[("vendor/x", "")]);
        for name in ["a", "t"] {
            let link = dir.path().join("vendor").join(name);
            std::os::unix::fs::symlink(outside.path().join(name), link).unwrap();
        }
        let mut installed = Installed::new(dir.path(), &[]);
        let upwards = format!("../../{}/a", outside.path().file_name().unwrap().to_str().unwrap());
        let absolute = outside.path().join("a").to_str().unwrap().to_owned();
        for name in ["a", &upwards, &absolute] {
            assert_eq!(told(&mut installed, "cargo", name, "1.0.0"), "unknown", "{name}");
        }
        assert_eq!(told(&mut installed, "go", "t", "v1.0.0"), "unknown");
    }
}
