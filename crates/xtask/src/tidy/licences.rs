//! Others' code: licences, bans and sources of the whole graph, by the rules of deny.toml. The
//! gate is here too because cargo-deny is not installed everywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::{Table, Value};

use super::finding::Finding;
use super::spdx::Expression;
use super::tree::Tree;
use crate::shell::Failed;

const RULES: &str = "deny.toml";

/// What cargo tells of the graph; the rest of its answer is passed over.
#[derive(Debug, Deserialize)]
struct Graph {
    packages: Vec<Package>,
    #[serde(default)]
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    #[serde(default)]
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// None for a package of the workspace.
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    optional: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
    features: BTreeSet<String>,
}

impl Graph {
    /// Whether anybody builds it. Cargo also lists what only a weak feature (`name?/feature`) speaks
    /// of, which is never built.
    fn is_built(&self, package: &Package) -> bool {
        let needs = |node: &Node| {
            let by = self.packages.iter().find(|by| by.id == node.id);
            by.is_none_or(|by| by.needs(&package.name, &node.features))
        };
        let nodes = self.resolve.nodes.iter();
        let mut above = nodes.filter(|node| node.dependencies.contains(&package.id));
        let is_known = self.resolve.nodes.iter().any(|node| node.id == package.id);
        !is_known || above.any(needs)
    }
}

impl Package {
    fn needs(&self, name: &str, enabled: &BTreeSet<String>) -> bool {
        let mut entries = self.dependencies.iter().filter(|dependency| dependency.name == name);
        let enables = |text: &str| {
            let text = text.strip_prefix("dep:").unwrap_or(text);
            text.split('/').next() == Some(name)
        };
        let mut on = self.features.iter().filter(|(feature, _)| enabled.contains(*feature));
        entries.any(|dependency| !dependency.optional)
            || enabled.contains(name)
            || on.any(|(_, list)| list.iter().any(|text| enables(text)))
    }
}

/// Reads the rules, then asks for the graph; without rules nothing is asked.
pub(super) fn check(tree: &Tree, graph: impl FnOnce() -> Result<String, Failed>) -> Vec<Finding> {
    let Some(text) = tree.text(RULES) else { return Vec::new() };
    let find = |what: String, hint| vec![Finding::new(RULES, 1, what, hint)];
    let Ok(rules) = text.parse::<Table>() else {
        return find("not TOML".into(), "mend the file");
    };
    let graph = match graph() {
        Ok(graph) => graph,
        Err(failed) => return find(failed.to_string(), "the lock file must be up to date"),
    };
    match serde_json::from_str::<Graph>(&graph) {
        Ok(graph) => judge(text, &rules, &graph),
        Err(error) => {
            find(format!("cargo's answer is unreadable: {error}"), "is cargo up to date?")
        }
    }
}

fn judge(text: &str, rules: &Table, graph: &Graph) -> Vec<Finding> {
    let allowed: BTreeSet<&str> =
        list(rules, "licenses", "allow").filter_map(Value::as_str).collect();
    let banned: BTreeSet<&str> = list(rules, "bans", "deny")
        .filter_map(|entry| entry.get("crate").and_then(Value::as_str).or_else(|| entry.as_str()))
        .collect();
    let mut used = BTreeSet::new();
    let mut findings = Vec::new();
    let mut find = |what: String, hint| findings.push(Finding::new("Cargo.lock", 1, what, hint));
    for package in &graph.packages {
        let Package { name, version, license, source, .. } = package;
        let expression = license.as_deref().and_then(Expression::read);
        let met = expression.is_some_and(|expression| {
            expression.met(&|name| allowed.contains(name), &mut |name| {
                used.insert(name.to_owned());
            })
        });
        if !met {
            let what = license.as_deref().unwrap_or("none");
            find(
                format!("`{name}` {version}: its licence is {what}"),
                "permissive licences only, listed in deny.toml",
            );
        }
        if banned.contains(name.as_str()) && graph.is_built(package) {
            find(
                format!("`{name}` {version} is banned"),
                "turn off the feature that brings it (`cargo tree -i`)",
            );
        }
        if source.as_deref().is_some_and(|source| !source.starts_with("registry+")) {
            find(format!("`{name}` {version} is not from the registry"), "published versions only");
        }
    }
    let registries: BTreeSet<&str> =
        graph.packages.iter().filter_map(|package| package.source.as_deref()).collect();
    if registries.len() > 1 {
        find(format!("{} sources of packages", registries.len()), "the default registry only");
    }
    for unused in allowed.iter().filter(|name| !used.contains(**name)) {
        let line = text
            .lines()
            .position(|line| line.contains(&format!("\"{unused}\"")))
            .map_or(1, |at| at + 1);
        findings.push(Finding::new(
            RULES,
            line,
            format!("nothing needs `{unused}`"),
            "allow what is needed only",
        ));
    }
    findings
}

fn list<'a>(rules: &'a Table, section: &str, key: &str) -> impl Iterator<Item = &'a Value> {
    let list = rules.get(section).and_then(|section| section.get(key)).and_then(Value::as_array);
    list.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES_TEXT: &str =
        "[licenses]\nallow = [\n  \"MIT\",\n]\n[bans]\ndeny = [{ crate = \"ring\" }]\n";

    fn found(packages: &str) -> Vec<String> {
        let tree = Tree::planted(&[(RULES, RULES_TEXT)]);
        let graph = format!("{{\"packages\": [{packages}], \"version\": 1}}");
        check(&tree, || Ok(graph)).iter().map(ToString::to_string).collect()
    }

    fn package(name: &str, license: &str, source: &str) -> String {
        format!(r#"{{"name":"{name}","version":"1.0.0","license":{license},"source":{source}}}"#)
    }

    #[test]
    fn an_allowed_graph_is_clean() {
        assert!(found(&package("a", r#""MIT OR GPL-3.0""#, r#""registry+x""#)).is_empty());
    }

    #[test]
    fn another_licence_or_none_a_banned_package_and_another_source_are_found() {
        let good = package("ours", r#""MIT""#, "null");
        let plant = |bad: String| found(&format!("{good},{bad}")).len();
        assert_eq!(plant(package("a", r#""GPL-3.0""#, "null")), 1);
        assert_eq!(plant(package("a", "null", "null")), 1);
        assert_eq!(plant(package("ring", r#""MIT""#, "null")), 1);
        assert_eq!(plant(package("a", r#""MIT""#, r#""git+x""#)), 1);
    }

    #[test]
    fn a_banned_package_that_only_a_weak_feature_speaks_of_is_not_built() {
        let graph = |feature: &str| {
            format!(
                r#"{{"packages":[{{"id":"a","name":"a","version":"1.0.0","license":"MIT","source":null,
                "dependencies":[{{"name":"ring","optional":true}}],"features":{{"std":["{feature}"]}}}},
                {{"id":"r","name":"ring","version":"1.0.0","license":"MIT","source":null}}],
                "resolve":{{"nodes":[{{"id":"a","dependencies":["r"],"features":["std"]}},
                {{"id":"r","dependencies":[],"features":[]}}]}}}}"#
            )
        };
        let tree = Tree::planted(&[(RULES, RULES_TEXT)]);
        for (feature, count) in [("ring?/std", 0), ("ring/std", 1), ("dep:ring", 1)] {
            assert_eq!(check(&tree, || Ok(graph(feature))).len(), count, "{feature}");
        }
    }

    #[test]
    fn a_licence_nobody_needs_is_found_at_its_line() {
        assert!(found("").first().unwrap().starts_with("deny.toml:3: "));
    }

    #[test]
    fn an_outdated_lock_file_is_a_finding() {
        let tree = Tree::planted(&[(RULES, RULES_TEXT)]);
        assert_eq!(check(&tree, || Err(Failed::new("outdated".into()))).len(), 1);
    }
}
