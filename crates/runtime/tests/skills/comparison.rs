//! What changed between two audits, and whether its HTML is whole.

use std::fs;

use ark_os_runtime::skills::SkillError;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::audit::{audit, tree};
use super::host::{FakeHost, run};

struct Diff {
    summary: Value,
    diff: Value,
    markdown: String,
    html: String,
}

fn diff_of(before: &[u8], after: &[u8]) -> Result<Diff, SkillError> {
    let dir = tempfile::tempdir().unwrap();
    let paths = [("a.json", before), ("b.json", after)].map(|(name, bytes)| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    });
    let host = FakeHost::default();
    let output = run(&host, "audit.diff", &json!({"before": paths[0], "after": paths[1]}))?;
    let blob = |name: &str| host.blobs.borrow()[output[name].as_str().unwrap()].clone();
    Ok(Diff {
        summary: output["summary"].clone(),
        diff: serde_json::from_slice(&blob("diff_blob")).unwrap(),
        markdown: String::from_utf8(blob("markdown_blob")).unwrap(),
        html: String::from_utf8(blob("html_blob")).unwrap(),
    })
}

fn diff(before: &[(&str, &str)], after: &[(&str, &str)]) -> Diff {
    let report = |files| serde_json::to_vec(&audit(tree(files).path()).report).unwrap();
    diff_of(&report(before), &report(after)).unwrap()
}

/// Every element is closed by its own end, in order, and texts hold no bare signs.
pub(crate) fn check_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    let body = html.strip_prefix("<!DOCTYPE html>").expect("a document type");
    let mut parts = body.split('<');
    assert_eq!(parts.next().unwrap().trim(), "");
    for part in parts {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') || open.last() == Some(&"style"), "a bare sign in `{text}`");
        assert_eq!(tag.matches('"').count() % 2, 0, "an open quote in `{tag}`");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in the wrong place");
            continue;
        }
        let name = tag.split(' ').next().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "`{name}` is no element");
        if let Some((_, id)) = tag.split_once(" id=\"") {
            assert!(ids.insert(id.split('"').next().unwrap().to_owned()), "an id twice: {tag}");
        }
        if !["meta", "br"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    for (at, _) in html.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(known.iter().any(|entity| html[at..].starts_with(entity)), "a bare `&`");
    }
}

fn listed<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list["listed"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

#[test]
fn everything_that_changed_is_told() {
    let lock = |version: &str, more: &str| {
        format!(
            "[[package]]\nname='a'\nversion='{version}'\nsource='x'\n\
             [[package]]\nname='same'\nversion='1.0.0'\nsource='x'\n{more}"
        )
    };
    let manifest = |version: &str, licence: &str| {
        format!("[package]\nname='a'\nversion='{version}'\nlicense='{licence}'\n")
    };
    let secret = format!("token = \"{}_{}\"\n", "ghp", "a1B2c3D4e5F6".repeat(3));
    let old = lock("1.0.0", "[[package]]\nname='gone'\nversion='1'\nsource='x'\n");
    let new = lock("2.0.0", "[[package]]\nname='new'\nversion='1'\nsource='x'\n");
    let before = [
        ("Cargo.lock", old.as_str()),
        ("vendor/a/Cargo.toml", &manifest("1.0.0", "MIT")),
        ("kept.rs", "// TODO: stays\nfn x() {}\n"),
        ("main.rs", "fn main() {} // FIXME: soon\n"),
        ("old/place.py", "# TODO: wanders along\nx = 1\n"),
        ("dropped.txt", "words\n"),
    ];
    let after = [
        ("Cargo.lock", new.as_str()),
        ("vendor/a/Cargo.toml", &manifest("2.0.0", "GPL-3.0-only")),
        ("kept.rs", "// TODO: stays\nfn x() {}\n"),
        ("main.rs", &format!("\n\nfn main() {{}}\nfn more() {{}} // TODO: again\n{secret}")),
        ("new/place.py", "# TODO: wanders along\nx = 1\n"),
        ("fresh.txt", "other words\n"),
    ];
    let Diff { summary, diff, markdown, html } = diff(&before, &after);
    let files = &diff["files"];
    assert_eq!(listed(&files["added"], "path"), ["fresh.txt"]);
    assert_eq!(listed(&files["removed"], "path"), ["dropped.txt"]);
    assert_eq!(listed(&files["changed"], "path"), ["Cargo.lock", "main.rs", "vendor/a/Cargo.toml"]);
    let moved = json!([{"from": "old/place.py", "to": "new/place.py"}]);
    assert_eq!((&files["moved"]["listed"], &files["unchanged"]), (&moved, &json!(1)));
    let packages = &diff["dependencies"];
    assert_eq!(listed(&packages["added"], "name"), ["new"]);
    assert_eq!(listed(&packages["removed"], "name"), ["gone"]);
    assert_eq!(listed(&packages["updated"], "name"), ["a"]);
    let other = json!([{"ecosystem": "cargo", "name": "a", "before": ["1.0.0"], "after": ["2.0.0"],
        "licences_before": ["MIT"], "licences_after": ["GPL-3.0-only"]}]);
    assert_eq!(packages["licence_changed"]["listed"], other);
    assert_eq!(diff["languages"]["Rust"]["code"]["change"], 2);
    assert_eq!(listed(&diff["secrets"]["new"], "kind"), ["github-token"]);
    assert_eq!(diff["secrets"]["gone"]["total"], 0);
    assert_eq!(listed(&diff["todos"]["new"], "text"), ["TODO: again"]);
    assert_eq!(listed(&diff["todos"]["gone"], "text"), ["FIXME: soon"]);
    assert_eq!((&summary["secrets_new"], &summary["code"]), (&json!(1), &json!(2)));
    assert!(markdown.contains("| `a` | `cargo` | `1.0.0` | `2.0.0` | `MIT` | `GPL-3.0-only` |"));
    assert!(markdown.contains("| `old/place.py` | `new/place.py` |"));
    check_well_formed(&html);
}

#[test]
fn the_same_tree_has_no_difference() {
    let files = [("a.rs", "fn a() {} // TODO: x\n"), ("b/c.txt", "words\n"), ("d.txt", "words\n")];
    let Diff { diff, markdown, .. } = diff(&files, &files);
    for part in ["added", "removed", "changed", "moved"] {
        assert_eq!(diff["files"][part]["total"], 0, "{part}");
    }
    assert_eq!((&diff["files"]["unchanged"], &diff["languages"]), (&json!(3), &json!({})));
    assert_eq!(markdown.matches("Nothing changed.").count(), 5);
}

#[test]
fn what_is_no_report_is_refused_and_not_quoted() {
    let good = serde_json::to_vec(&audit(tree(&[]).path()).report).unwrap();
    for bad in [
        &b"SECRET"[..],
        b"{\"format\": 2}",
        b"{\"format\": 1}",
        b"{\"format\": 2, \"root\": [\"SECRET\"]}",
        b"",
        &b"[".repeat(100_000),
    ] {
        for (before, after) in [(bad, good.as_slice()), (good.as_slice(), bad)] {
            let error = diff_of(before, after).err().unwrap();
            assert_eq!((error.code(), error.hint().is_some()), ("audit.no_report", true));
            assert!(!error.message().contains("SECRET"), "{}", error.message());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let input = json!({"before": dir.path(), "after": dir.path().join("nope")});
    assert!(run(&FakeHost::default(), "audit.diff", &input).is_err());
}

#[test]
fn a_list_that_was_cut_is_not_compared() {
    let whole = audit(tree(&[("a", "x"), ("b", "y")]).path()).report;
    let mut cut = whole.clone();
    cut["files"]["listed"].as_array_mut().unwrap().pop();
    let [whole, cut] = [whole, cut].map(|report| serde_json::to_vec(&report).unwrap());
    let Diff { summary, diff, markdown, html } = diff_of(&whole, &cut).unwrap();
    assert_eq!(summary["incomplete"], json!(["files"]));
    assert_eq!(diff["files"]["removed"]["total"], 0);
    assert!(markdown.contains("Not compared"));
    check_well_formed(&html);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What came one way went the other way.
    #[test]
    fn a_difference_turned_round_is_its_mirror(
        before in prop::collection::btree_map("[a-d]", "(// TODO: [xy]\n|fn f\\(\\) \\{\\}\n){0,3}", 0..4),
        after in prop::collection::btree_map("[a-d]", "(// TODO: [xy]\n|fn f\\(\\) \\{\\}\n){0,3}", 0..4),
    ) {
        let [before, after] = [before, after].map(|files| {
            let files: Vec<(String, String)> =
                files.into_iter().map(|(name, text)| (format!("{name}.rs"), text)).collect();
            let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            serde_json::to_vec(&audit(tree(&files).path()).report).unwrap()
        });
        let (there, back) = (diff_of(&before, &after).unwrap(), diff_of(&after, &before).unwrap());
        for (one, other) in [("added", "removed"), ("moved", "moved"), ("changed", "changed")] {
            prop_assert_eq!(&there.diff["files"][one]["total"], &back.diff["files"][other]["total"]);
        }
        prop_assert_eq!(&there.diff["todos"]["new"], &back.diff["todos"]["gone"]);
        prop_assert_eq!(
            there.summary["code"].as_i64().unwrap(),
            -back.summary["code"].as_i64().unwrap()
        );
        check_well_formed(&there.html);
    }
}
