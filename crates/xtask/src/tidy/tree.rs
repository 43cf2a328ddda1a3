//! The tree as the checks see it: every path, and the text of the files that rules speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::rust_file::{RustFile, external_test_modules};

/// Folders that hold no work of ours, wherever they are.
const PASSED_OVER: [&str; 3] = [".git", "target", "node_modules"];
/// Folders of files that tests read as data: anything may stand in them.
const DATA: [&str; 4] = ["data", "fixtures", "snapshots", "corpus"];

/// All paths below the root, with `/` between the parts, and the texts.
#[derive(Debug, Default)]
pub(super) struct Tree {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
    rust: Vec<RustFile>,
}

impl Tree {
    /// Reads the tree from disk; links are not followed.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.read_rust();
        Ok(tree)
    }

    /// A tree of the given files, for the tests of the checks.
    #[cfg(test)]
    pub(super) fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            for (at, _) in path.match_indices('/') {
                tree.paths.extend(path.get(..at).map(str::to_owned));
            }
            tree.add(path, (*text).to_owned());
        }
        tree.read_rust();
        tree
    }

    /// Is there a file or folder of this path?
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Texts whose path ends so, data of tests apart.
    pub(super) fn texts<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust sources of the crates.
    pub(super) fn rust(&self) -> &[RustFile] {
        &self.rust
    }

    /// `(crate's folder name, manifest's path, text)` of each crate.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.texts("/Cargo.toml").filter_map(|(path, text)| {
            let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some((name, path, text))
        })
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !PASSED_OVER.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                    self.paths.insert(path);
                }
            } else if kind.is_file() && is_text_of_ours(&path) {
                let bytes = std::fs::read(entry.path())?;
                self.add(&path, String::from_utf8_lossy(&bytes).into_owned());
            } else {
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: String) {
        self.paths.insert(path.to_owned());
        if is_text_of_ours(path) {
            self.texts.insert(path.to_owned(), text);
        }
    }

    fn read_rust(&mut self) {
        let mut files: Vec<RustFile> = self
            .texts
            .iter()
            .filter(|(path, _)| path.starts_with("crates/") && path.ends_with(".rs"))
            .map(|(path, text)| RustFile::new(path, text))
            .collect();
        let of_tests: Vec<String> = files.iter().flat_map(external_test_modules).collect();
        for file in &mut files {
            if of_tests.iter().any(|stem| belongs_to(file.path(), stem)) {
                file.mark_as_test();
            }
        }
        self.rust = files;
    }
}

/// `a/b` holds `a/b.rs` and all of `a/b/`.
fn belongs_to(path: &str, stem: &str) -> bool {
    path.strip_prefix(stem).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_text_of_ours(path: &str) -> bool {
    let known = [".rs", ".toml", ".md"].iter().any(|ending| path.ends_with(ending));
    known && !path.split('/').any(|part| DATA.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_declared_for_tests_in_another_file_is_test_code_with_all_below_it() {
        let tree = Tree::planted(&[
            ("crates/a/src/lib.rs", "//! A.\n#[cfg(test)]\nmod checks;\nmod real;\n"),
            ("crates/a/src/checks.rs", "//! C.\nfn f() {}\n"),
            ("crates/a/src/checks/more.rs", "//! M.\nfn f() {}\n"),
            ("crates/a/src/real.rs", "//! R.\nfn f() {}\n"),
        ]);
        let product: Vec<_> = tree
            .rust()
            .iter()
            .filter(|file| file.product_lines() > 0)
            .map(RustFile::path)
            .collect();
        assert_eq!(product, ["crates/a/src/lib.rs", "crates/a/src/real.rs"]);
    }

    #[test]
    fn data_of_tests_is_not_read_but_is_there() {
        let tree = Tree::planted(&[("crates/a/tests/data/x.rs", "anything")]);
        assert!(tree.has("crates/a/tests/data/x.rs") && tree.has("crates/a/tests"));
        assert!(tree.rust().is_empty());
    }
}
