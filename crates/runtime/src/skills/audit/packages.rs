//! Gathers the packages of all lock files: which there are, under which licences, and which of them
//! in more than one version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::listed::{Keep, Listed};
use super::records::{Dependency, Licence, LicenceOrigin};
use super::spdx::{self, LicenceKind};

/// Different packages of all lock files: several times what the largest projects have.
const PACKAGES_MAX: usize = 50_000;
/// What the report lists of them.
const KEEP: Keep = Keep { items: PACKAGES_MAX, bytes: 16 * 1024 * 1024 };
const KEEP_DUPLICATED: Keep = Keep { items: 2000, bytes: 512 * 1024 };
/// Lock files named for one package.
const PACKAGE_PATHS_MAX: usize = 3;
/// Different licence expressions that are counted by themselves.
const EXPRESSIONS_MAX: usize = 1000;

/// What the lock files of a tree name.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Dependencies {
    /// Different packages by ecosystem.
    pub(super) by_ecosystem: BTreeMap<String, u64>,
    /// The same by what their licences ask.
    pub(super) by_kind: BTreeMap<LicenceKind, u64>,
    /// The same by licence, those of unknown licence left out.
    pub(super) by_licence: BTreeMap<String, u64>,
    /// The same by what told the licence.
    pub(super) by_origin: BTreeMap<LicenceOrigin, u64>,
    /// Names that are there in several versions.
    pub(super) duplicated: Listed<Duplicated>,
    /// Entries of lock files that are not listed because there are too many.
    pub(super) not_listed: u64,
    pub(super) listed: Vec<UsedPackage>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct UsedPackage {
    pub(super) ecosystem: String,
    pub(super) name: String,
    pub(super) version: String,
    /// Where it is fetched from; empty where no lock file says.
    pub(super) source: String,
    pub(super) licence: Option<Licence>,
    pub(super) kind: LicenceKind,
    /// How many lock files name it, and the first of them.
    pub(super) lock_files: u64,
    pub(super) paths: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Duplicated {
    pub(super) ecosystem: String,
    pub(super) name: String,
    pub(super) versions: Vec<String>,
}

#[derive(Debug, Default)]
struct Entry {
    source: String,
    licence: Option<Licence>,
    lock_files: u64,
    paths: Vec<String>,
}

/// Collects packages, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// By ecosystem, name and version.
    entries: BTreeMap<(String, String, String), Entry>,
    not_listed: u64,
}

impl Packages {
    pub(super) fn chunk(&mut self, dependencies: Listed<Dependency>) {
        let cut = dependencies.total.saturating_sub(dependencies.listed.len() as u64);
        self.not_listed = self.not_listed.saturating_add(cut);
        for package in dependencies.listed {
            self.add(package);
        }
    }

    fn add(&mut self, package: Dependency) {
        let key = (package.ecosystem, package.name, package.version);
        if self.entries.len() >= PACKAGES_MAX && !self.entries.contains_key(&key) {
            self.not_listed += 1;
            return;
        }
        // What the first lock file says that says anything counts.
        let entry = self.entries.entry(key).or_default();
        if entry.source.is_empty() {
            entry.source = package.source;
        }
        entry.licence = entry.licence.take().or(package.licence);
        entry.lock_files += 1;
        if entry.paths.len() < PACKAGE_PATHS_MAX {
            entry.paths.push(package.path);
        }
    }

    pub(super) fn finish(self) -> Dependencies {
        let mut found = Dependencies { not_listed: self.not_listed, ..Dependencies::default() };
        let mut listed = Listed::default();
        let mut same: Option<Duplicated> = None;
        for ((ecosystem, name, version), entry) in self.entries {
            let kind =
                spdx::kind(entry.licence.as_ref().map(|licence| licence.expression.as_str()));
            found.count(&ecosystem, kind, entry.licence.as_ref());
            match same.as_mut().filter(|it| (&it.ecosystem, &it.name) == (&ecosystem, &name)) {
                Some(same) => same.versions.push(version.clone()),
                None => {
                    let (ecosystem, name) = (ecosystem.clone(), name.clone());
                    let next = Duplicated { ecosystem, name, versions: vec![version.clone()] };
                    found.several(same.replace(next));
                }
            }
            let Entry { source, licence, lock_files, paths } = entry;
            let package =
                UsedPackage { ecosystem, name, version, source, licence, kind, lock_files, paths };
            listed.add(package, KEEP);
        }
        found.several(same);
        found.not_listed += listed.total - listed.listed.len() as u64;
        found.listed = listed.listed;
        found
    }
}

impl Dependencies {
    fn count(&mut self, ecosystem: &str, kind: LicenceKind, licence: Option<&Licence>) {
        *self.by_ecosystem.entry(ecosystem.to_owned()).or_default() += 1;
        *self.by_kind.entry(kind).or_default() += 1;
        let Some(Licence { expression, from }) = licence else { return };
        *self.by_origin.entry(*from).or_default() += 1;
        if self.by_licence.len() < EXPRESSIONS_MAX || self.by_licence.contains_key(expression) {
            *self.by_licence.entry(expression.clone()).or_default() += 1;
        }
    }

    fn several(&mut self, package: Option<Duplicated>) {
        if let Some(package) = package.filter(|package| package.versions.len() > 1) {
            self.duplicated.add(package, KEEP_DUPLICATED);
        }
    }
}
