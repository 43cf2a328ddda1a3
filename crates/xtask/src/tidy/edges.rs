//! The crate edges of ARCHITECTURE §4: who may depend on whom, and on whom never.

use super::finding::Finding;
use super::manifests::{Dependency, Kind, dependencies, package_name};
use super::tree::Tree;

/// A crate's folder, and the packages of the house its normal build may use.
struct Row {
    folder: &'static str,
    may: &'static [&'static str],
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { folder: "core", may: &[] },
    Row { folder: "noa", may: &["ark-os-core"] },
    Row { folder: "policy", may: &["ark-os-core"] },
    Row { folder: "store", may: &["ark-os-core"] },
    Row { folder: "sandbox", may: &["ark-os-core"] },
    Row { folder: "runtime", may: &["ark-os-core", "ark-os-policy", "ark-os-store", "ark-os-sandbox"] },
    Row { folder: "sim", may: &["ark-os-core", "ark-os-store", "ark-os-runtime"] },
    Row { folder: "api", may: &[] },
    Row { folder: "server", may: &["ark-os-core", "ark-os-policy", "ark-os-runtime", "ark-os-api"] },
    Row { folder: "cli", may: &["ark-os-core", "ark-os-policy", "ark-os-store", "ark-os-sandbox",
                                "ark-os-noa",
                                "ark-os-runtime", "ark-os-sim", "ark-os-api", "ark-os-server"] },
    Row { folder: "testkit", may: &["ark-os-core", "ark-os-noa", "ark-os-store", "ark-os-runtime", "ark-os-sim", "ark-os-server"] },
    Row { folder: "xtask", may: &[] },
];

/// What no crate may use even in its tests: the top of the house.
const NEVER: [&str; 2] = ["ark-os", "xtask"];
/// What only tests may use.
const FOR_TESTS: &str = "ark-os-testkit";

/// Checks every crate's manifest against the table.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, path, text) in tree.manifests() {
        let Some(row) = TABLE.iter().find(|row| row.folder == folder) else {
            findings.push(Finding::new(
                path,
                1,
                format!("the crate `{folder}` is not in the table of crates"),
                "add its row to ARCHITECTURE.md and to crates/xtask/src/tidy/edges.rs",
            ));
            continue;
        };
        findings.extend(misnamed(folder, path, text));
        findings.extend(
            dependencies(text).iter().filter_map(|dependency| breach(row, path, dependency)),
        );
    }
    findings
}

fn misnamed(folder: &str, path: &str, text: &str) -> Option<Finding> {
    let wanted = match folder {
        "cli" => "ark-os".to_owned(),
        "xtask" => "xtask".to_owned(),
        other => format!("ark-os-{other}"),
    };
    let (name, line) = package_name(text)?;
    (name != wanted).then(|| {
        Finding::new(
            path,
            line,
            format!("package `{name}` in the folder `{folder}`"),
            "the folder `x` holds the package `ark-os-x`",
        )
    })
}

fn breach(row: &Row, path: &str, dependency: &Dependency) -> Option<Finding> {
    let name = dependency.package.as_str();
    let of_the_house = name == "xtask" || name == "ark-os" || name.starts_with("ark-os-");
    if !of_the_house {
        return None;
    }
    let allowed = match dependency.kind {
        Kind::Normal => row.may.contains(&name) && name != FOR_TESTS,
        Kind::Test => !NEVER.contains(&name),
    };
    (!allowed).then(|| {
        Finding::new(
            path,
            dependency.line,
            format!("`{}` must not depend on `{name}`", row.folder),
            "the crate edges of ARCHITECTURE.md are fixed: move the code, not the border",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&Tree::planted(&[(path, text)])))
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_found() {
        let text =
            "[package]\nname = \"ark-os-core\"\n[dependencies]\nark-os-store.workspace = true\n";
        assert_eq!(found("crates/core/Cargo.toml", text), ["crates/core/Cargo.toml:4"]);
    }

    #[test]
    fn an_edge_that_is_in_the_table_is_not() {
        let text =
            "[package]\nname = \"ark-os-store\"\n[dependencies]\nark-os-core.workspace = true\n";
        assert!(found("crates/store/Cargo.toml", text).is_empty());
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        let text = "[package]\nname = \"ark-os-server\"\n[dev-dependencies]\nark-os-testkit.workspace = true\n";
        assert!(found("crates/server/Cargo.toml", text).is_empty());
        let text = text.replace("dev-dependencies", "dependencies");
        assert_eq!(found("crates/server/Cargo.toml", &text), ["crates/server/Cargo.toml:4"]);
    }

    #[test]
    fn another_name_for_a_package_of_the_house_does_not_hide_it() {
        let text = "[package]\nname = \"ark-os-api\"\n[target.'cfg(unix)'.dependencies]\nx = { package = \"ark-os-core\", workspace = true }\n";
        assert_eq!(found("crates/api/Cargo.toml", text), ["crates/api/Cargo.toml:4"]);
    }

    #[test]
    fn a_crate_without_a_row_or_with_another_name_is_found() {
        assert_eq!(found("crates/misc/Cargo.toml", "[package]\n"), ["crates/misc/Cargo.toml:1"]);
        let text = "[package]\nname = \"core\"\n";
        assert_eq!(found("crates/core/Cargo.toml", text), ["crates/core/Cargo.toml:2"]);
    }
}
