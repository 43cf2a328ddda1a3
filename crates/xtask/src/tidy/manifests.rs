//! The crates' manifests: every version stands in the root manifest, every crate takes the
//! workspace's lints. Reads them for the other checks too.

use toml::{Table, Value};

use super::finding::Finding;
use super::tree::Tree;

/// Whether the product is built with it, or its tests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Test,
}

/// One entry of a dependency table.
#[derive(Debug)]
pub(super) struct Dependency {
    pub(super) package: String,
    pub(super) kind: Kind,
    pub(super) line: usize,
    from_workspace: bool,
}

/// The keys of `[package]` that the workspace decides.
const SHARED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
/// The one crate with unsafe code: it repeats the workspace's lints but for those about it.
const UNSAFE_CRATE: &str = "crates/sandbox/Cargo.toml";
/// The lints that may differ there.
const ABOUT_UNSAFE: [&str; 4] = [
    "unsafe_code",
    "unsafe_op_in_unsafe_fn",
    "undocumented_unsafe_blocks",
    "multiple_unsafe_ops_per_block",
];

/// Checks that no crate has a version or a rule of its own.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, path, text) in tree.manifests() {
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_at(text, span.start));
                let what = format!("not TOML: {}", error.message());
                findings.push(Finding::new(path, line, what, "mend the manifest"));
                continue;
            }
        };
        for dependency in dependencies(text).iter().filter(|dep| !dep.from_workspace) {
            findings.push(Finding::new(
                path,
                dependency.line,
                format!("`{}` is not taken from the workspace", dependency.package),
                "versions stand in the root manifest: `name.workspace = true`",
            ));
        }
        findings.extend(own_rules(path, text, &table));
        findings.extend(own_lints(tree, path, text, &table));
    }
    findings
}

fn own_rules(path: &str, text: &str, table: &Table) -> Vec<Finding> {
    let package = table.get("package").and_then(Value::as_table);
    let own = SHARED
        .iter()
        .filter(|key| !package.is_some_and(|package| from_workspace(package.get(**key))));
    own.map(|key| {
        Finding::new(
            path,
            line_of(text, key),
            format!("`{key}` is not the workspace's"),
            "write `key.workspace = true`",
        )
    })
    .collect()
}

fn own_lints(tree: &Tree, path: &str, text: &str, table: &Table) -> Option<Finding> {
    let own = table.get("lints");
    if from_workspace(own) {
        return None;
    }
    let root: Option<Table> = tree.text("Cargo.toml").and_then(|text| text.parse().ok());
    let shared = root.as_ref().and_then(|root| root.get("workspace")?.get("lints"));
    if path == UNSAFE_CRATE && own.is_some() && others(own) == others(shared) {
        return None;
    }
    Some(Finding::new(
        path,
        line_of(text, "[lints"),
        "the workspace's lints are not taken".into(),
        "write `[lints]` and `workspace = true`",
    ))
}

/// Every lint but those about unsafe code, with its level.
fn others(lints: Option<&Value>) -> Vec<(&str, &str, &Value)> {
    let tools = lints.and_then(Value::as_table).into_iter().flatten();
    let each = tools.flat_map(|(tool, lints)| {
        let lints = lints.as_table().into_iter().flatten();
        lints.map(|(lint, level)| (tool.as_str(), lint.as_str(), level))
    });
    each.filter(|(_, lint, _)| !ABOUT_UNSAFE.contains(lint)).collect()
}

fn from_workspace(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool).unwrap_or(false)
}

/// The package's name and its line.
pub(super) fn package_name(text: &str) -> Option<(String, usize)> {
    let table: Table = text.parse().ok()?;
    let name = table.get("package")?.get("name")?.as_str()?.to_owned();
    Some((name, line_of(text, "name")))
}

/// Every dependency of a manifest, those of single targets too.
pub(super) fn dependencies(text: &str) -> Vec<Dependency> {
    let Ok(table) = text.parse::<Table>() else { return Vec::new() };
    let mut found = Vec::new();
    collect(text, &table, &mut found);
    let targets = table.get("target").and_then(Value::as_table);
    for target in targets.into_iter().flat_map(Table::values).filter_map(Value::as_table) {
        collect(text, target, &mut found);
    }
    found
}

fn collect(text: &str, table: &Table, found: &mut Vec<Dependency>) {
    let tables = [
        ("dependencies", Kind::Normal),
        ("build-dependencies", Kind::Normal),
        ("dev-dependencies", Kind::Test),
    ];
    for (key, kind) in tables {
        for (name, value) in table.get(key).and_then(Value::as_table).into_iter().flatten() {
            let renamed = value.get("package").and_then(Value::as_str);
            found.push(Dependency {
                package: renamed.unwrap_or(name).to_owned(),
                kind,
                line: line_in_section(text, key, name),
                from_workspace: from_workspace(Some(value)),
            });
        }
    }
}

/// The line of a key, for a person to find: the first line that starts with it.
fn line_of(text: &str, key: &str) -> usize {
    text.lines().position(|line| is_key(line, key)).map_or(1, |at| at + 1)
}

fn line_in_section(text: &str, section: &str, key: &str) -> usize {
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(header) = line.trim().strip_prefix('[') {
            let header = header.trim_end_matches(']');
            inside = header == section || header.ends_with(&format!(".{section}"));
            if header.ends_with(&format!("{section}.{key}")) {
                return number;
            }
        } else if inside && is_key(line, key) {
            return number;
        }
    }
    1
}

fn is_key(line: &str, key: &str) -> bool {
    let rest = line.trim_start().strip_prefix(key);
    rest.is_some_and(|rest| {
        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-')
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    const GOOD: &str = "[package]
name = \"x\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true
[lints]
workspace = true
[dependencies]
serde.workspace = true
tokio = { workspace = true, features = [\"net\"] }
";

    fn found(text: &str) -> Vec<String> {
        places(&check(&Tree::planted(&[("crates/x/Cargo.toml", text)])))
    }

    #[test]
    fn a_manifest_that_leaves_everything_to_the_workspace_is_clean() {
        assert!(found(GOOD).is_empty());
    }

    #[test]
    fn a_version_or_a_path_in_a_crate_is_found() {
        let text = format!("{GOOD}rand = \"0.9\"\n[dev-dependencies]\ny = {{ path = \"../y\" }}\n");
        assert_eq!(found(&text), ["crates/x/Cargo.toml:13", "crates/x/Cargo.toml:15"]);
    }

    #[test]
    fn an_own_edition_and_missing_lints_are_found() {
        let text = GOOD.replace("edition.workspace = true", "edition = \"2021\"");
        assert_eq!(found(&text), ["crates/x/Cargo.toml:4"]);
        let text = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(found(&text), ["crates/x/Cargo.toml:1"]);
    }

    #[test]
    fn the_crate_with_unsafe_code_differs_in_that_alone() {
        let root = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\nunused = \"warn\"\n";
        let own = "[lints.rust]\nunsafe_code = \"deny\"\nunused = \"warn\"\n";
        let check_own = |own: &str, path: &str| {
            let text = GOOD.replace("[lints]\nworkspace = true\n", own);
            check(&Tree::planted(&[("Cargo.toml", root), (path, &text)])).len()
        };
        assert_eq!(check_own(own, UNSAFE_CRATE), 0);
        assert_eq!(check_own(own, "crates/x/Cargo.toml"), 1);
        assert_eq!(check_own(&own.replace("warn", "allow"), UNSAFE_CRATE), 1);
        assert_eq!(check_own("", UNSAFE_CRATE), 1);
    }

    #[test]
    fn a_broken_manifest_is_one_finding_at_its_place() {
        assert_eq!(found("[package]\nname = \n"), ["crates/x/Cargo.toml:2"]);
    }
}
