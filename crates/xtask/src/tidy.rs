//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy can hold.
//! Every check reads one picture of the tree and answers with all its findings at once.

mod codes;
mod core_purity;
mod documents;
mod edges;
mod files;
mod finding;
mod functions;
mod invariants;
mod licences;
mod manifests;
mod marks;
mod mask;
mod names;
mod rust_file;
mod spdx;
mod tree;

use crate::place::Place;
use crate::shell::{self, Failed, say};
use finding::Finding;
use tree::Tree;

/// A check that needs nothing but the tree.
type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    edges::check,
    manifests::check,
    files::check,
    functions::check,
    names::check,
    core_purity::check,
    marks::check,
    invariants::check,
    codes::check,
    documents::check,
];

/// Prints every finding, in the order of the tree; fails if there is one.
pub(crate) fn run(place: &Place) -> Result<(), Failed> {
    let tree = Tree::read(&place.root)
        .map_err(|error| Failed::new(format!("the tree is unreadable: {error}")))?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.extend(licences::check(&tree, || metadata(place)));
    findings.sort();
    findings.iter().for_each(|finding| say(&finding.to_string()));
    match findings.len() {
        0 => Ok(()),
        1 => Err(Failed::new("tidy: 1 finding".into())),
        many => Err(Failed::new(format!("tidy: {many} findings"))),
    }
}

/// What cargo knows of every package in the graph.
fn metadata(place: &Place) -> Result<String, Failed> {
    let mut command = shell::command("cargo", &place.root);
    command.args(["metadata", "--format-version", "1", "--locked"]);
    shell::output(command)
}
