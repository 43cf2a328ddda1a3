//! The audit, from a tree to its report.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use ark_os_runtime::skills::SkillError;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::comparison::check_well_formed;
use super::host::{FakeHost, everything, run};

/// Runs the three skills as the workflow does; answers the inventory, the JSON report and the
/// Markdown, and everything that any skill answered or stored.
pub(crate) struct Audit {
    inventory: Value,
    summary: Value,
    pub(crate) report: Value,
    markdown: String,
    pub(crate) html: String,
    everything: String,
}

pub(crate) fn audit(root: &Path) -> Audit {
    audit_with(&json!({"path": root}))
}

pub(crate) fn audit_with(input: &Value) -> Audit {
    let mut host = FakeHost { attempt: 1, ..FakeHost::default() };
    let mut walk = input.clone();
    walk.as_object_mut().unwrap().remove("dependency_sources");
    let inventory = run(&host, "audit.inventory", &walk).unwrap();
    let mut answers = inventory.to_string();
    let mut items = Vec::new();
    for chunk in inventory["chunks"].as_array().unwrap() {
        let sources = input.get("dependency_sources").cloned().unwrap_or(json!([]));
        let input =
            json!({"root": inventory["root"], "chunk": chunk, "dependency_sources": sources});
        let item = run(&host, "audit.chunk", &input).unwrap();
        answers.push_str(&item.to_string());
        items.push(serde_json::to_vec(&item).unwrap());
    }
    host.items = items;
    let output = run(&host, "audit.report", &json!({"inventory": inventory})).unwrap();
    answers.push_str(&output.to_string());
    let blob = |name: &str| host.blobs.borrow()[output[name].as_str().unwrap()].clone();
    let report = serde_json::from_slice(&blob("report_blob")).unwrap();
    let markdown = String::from_utf8(blob("markdown_blob")).unwrap();
    let html = String::from_utf8(blob("html_blob")).unwrap();
    let everything = everything(&host) + &answers;
    Audit { inventory, summary: output["summary"].clone(), report, markdown, html, everything }
}

pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn paths(list: &Value) -> Vec<&str> {
    let entries = list["listed"].as_array().unwrap().iter();
    entries.map(|entry| entry.as_str().or(entry["path"].as_str()).unwrap()).collect()
}

#[test]
fn a_small_project_is_reported_in_full() {
    let dir = tree(&[
        ("Cargo.toml", "[package]\nname = \"x\"\nlicense = \"MIT OR Apache-2.0\"\n"),
        (
            "Cargo.lock",
            "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+x\"\n",
        ),
        ("LICENSE", "                Apache License\n        Version 2.0, January 2004\n"),
        ("src/main.rs", "// SPDX-License-Identifier: MIT\nfn main() {} // TODO: more\n\n"),
        ("a/copy.txt", "the same words\n"),
        ("b/copy.txt", "the same words\n"),
        ("empty", ""),
        ("web/package-lock.json", r#"{"packages":{"node_modules/left":{"version":"1.2.3"}}}"#),
        ("requirements.txt", "flask==2.0\n"),
    ]);
    let Audit { report, summary, markdown, .. } = audit(dir.path());
    assert_eq!(summary["files"], 9);
    assert_eq!(summary["dependencies"], json!({"cargo": 1, "npm": 1, "pip": 1}));
    assert_eq!(summary["licences"], json!(["Apache-2.0"]));
    assert_eq!((&summary["todos"], &summary["duplicate_files"]), (&json!(1), &json!(1)));
    let rust = json!({"files": 1, "bytes": 60, "code": 1, "comments": 1, "blank": 1});
    assert_eq!(report["languages"]["Rust"], rust);
    assert_eq!(report["licences"]["tags"], json!({"MIT": 1}));
    assert_eq!(report["licences"]["declared"]["listed"][0]["expression"], "MIT OR Apache-2.0");
    let todo = json!({"path": "src/main.rs", "line": 2, "mark": "TODO", "text": "TODO: more"});
    assert_eq!(report["todos"]["listed"][0], todo);
    let same = json!({"bytes": 15, "files": 2, "paths": ["a/copy.txt", "b/copy.txt"]});
    assert_eq!(report["duplicates"]["listed"], json!([same]));
    for part in
        ["# Audit", "| `left` | `1.2.3` | unknown |  | `web/package-lock.json` |", "`TODO: more`"]
    {
        assert!(markdown.contains(part), "{part}");
    }
}

#[test]
fn licences_of_dependencies_are_told_counted_and_flagged() {
    let lock = "[[package]]\nname='a'\nversion='1.0.0'\nsource='registry+https://index.crates.io/'\n\
                [[package]]\nname='a'\nversion='2.0.0'\nsource='registry+https://index.crates.io/'\n\
                [[package]]\nname='b'\nversion='1.0.0'\nsource='git+https://u:p@acme.io/b?rev=1'\n";
    let npm = r#"{"packages":{"node_modules/n":{"version":"1.0.0","license":"AGPL-3.0-only"}}}"#;
    let dir = tree(&[
        ("Cargo.lock", lock),
        ("vendor/a/Cargo.toml", "[package]\nname='a'\nversion='1.0.0'\nlicense='MIT/Apache-2.0'\n"),
        ("package-lock.json", npm),
        ("go.mod", "module x\nrequire acme.io/g v1.0.0\n"),
    ]);
    let cache = tree(&[(
        "src/index/b-1.0.0/Cargo.toml",
        "[package]\nname='b'\nversion='1.0.0'\nlicense='MPL-2.0'\n",
    )]);
    let alone = audit(dir.path()).report["dependencies"].clone();
    assert_eq!(alone["by_ecosystem"], json!({"cargo": 3, "go": 1, "npm": 1}));
    assert_eq!(alone["by_kind"], json!({"permissive": 1, "network_copyleft": 1, "unknown": 3}));
    assert_eq!(alone["by_licence"], json!({"AGPL-3.0-only": 1, "MIT OR Apache-2.0": 1}));
    assert_eq!(alone["by_origin"], json!({"lock_file": 1, "manifest": 1}));
    let twice = json!({"ecosystem": "cargo", "name": "a", "versions": ["1.0.0", "2.0.0"]});
    assert_eq!(alone["duplicated"]["listed"], json!([twice]));
    let input = json!({"path": dir.path(), "dependency_sources": [cache.path()]});
    let Audit { report, markdown, .. } = audit_with(&input);
    assert_eq!(report["dependencies"]["by_kind"]["weak_copyleft"], 1);
    assert_eq!(report["dependencies"]["listed"][2]["source"], "git acme.io/b");
    assert!(markdown.contains("| `n` | `1.0.0` | npm | `AGPL-3.0-only` | network copyleft |"));
}

#[test]
fn history_names_only_files_that_the_audit_saw() {
    use ark_os_runtime::skills::{Host, history_of_log};
    let dir = tree(&[("a.rs", "x\n"), ("b.rs", "x\n"), ("new.rs", "x\n")]);
    let log = b"\x011700000000\x01Ann <b>\0\n3\t1\ta.rs\0-\t-\tgone.png\0\
                \x011695000000\x01Bob\0\n9\t9\tb.rs\0\n1\t0\ta.rs\0";
    let host = FakeHost { attempt: 1, ..FakeHost::default() };
    let detail = host.save(&history_of_log(log, 365, true).unwrap()).unwrap();
    let inventory = run(&host, "audit.inventory", &json!({"path": dir.path()})).unwrap();
    let chunk = json!({"root": inventory["root"], "chunk": inventory["chunks"][0]});
    let items = vec![serde_json::to_vec(&run(&host, "audit.chunk", &chunk).unwrap()).unwrap()];
    let host = FakeHost { items, blobs: host.blobs, ..FakeHost::default() };
    let history = json!({"commits": 2, "authors": 2, "detail": detail});
    let input = json!({"inventory": inventory, "history": history});
    let output = run(&host, "audit.report", &input).unwrap();
    assert_eq!(output["summary"]["commits"], 2);
    let blob = |name: &str| host.blobs.borrow()[output[name].as_str().unwrap()].clone();
    let report: Value = serde_json::from_slice(&blob("report_blob")).unwrap();
    let most = report["history"]["most_changed"].as_array().unwrap();
    let most: Vec<_> =
        most.iter().map(|it| (it["path"].as_str().unwrap(), &it["commits"])).collect();
    assert_eq!(most, [("a.rs", &json!(2)), ("b.rs", &json!(1))]);
    let ages: Vec<_> =
        report["history"]["ages"].as_array().unwrap().iter().map(|it| &it["files"]).collect();
    assert_eq!(ages, [1, 0, 1, 0, 0, 1]);
    let html = String::from_utf8(blob("html_blob")).unwrap();
    check_well_formed(&html);
    assert!(html.contains("Ann &lt;b&gt;") && html.contains("the log was cut"));
}

#[test]
fn why_there_is_no_history_is_told_in_words_and_fails_nothing() {
    let dir = tree(&[
        ("plain/a", "x"),
        ("pointer/.git", "gitdir: /elsewhere\n"),
        ("real/.git/HEAD", "x"),
    ]);
    let cases = [
        ("plain", "the tree is not the top of a git repository"),
        ("pointer", "`.git` only points to a repository elsewhere"),
        ("real", "there is no sandbox: this instance has none"),
    ];
    for (name, why) in cases {
        let input = json!({"root": dir.path().join(name)});
        let answer = run(&FakeHost::default(), "audit.history", &input).unwrap();
        assert_eq!((&answer["why_none"], &answer["detail"]), (&json!(why), &Value::Null));
    }
    let Audit { report, markdown, .. } = audit(dir.path());
    assert_eq!(report["history"]["why_none"], "it was not asked for");
    assert!(markdown.contains("No history: it was not asked for."));
}

#[test]
fn the_same_tree_gives_the_same_report() {
    let dir =
        tree(&[("b.rs", "fn b() {}\n"), ("a/x.py", "# TODO: x\n"), ("a/y.py", "# TODO: x\n")]);
    let (first, second) = (audit(dir.path()), audit(dir.path()));
    assert_eq!(first.markdown, second.markdown);
    assert_eq!(first.report, second.report);
    assert_eq!(first.html, second.html);
    // Chunks cut otherwise change nothing that is reported.
    let third = audit_with(&json!({"path": dir.path(), "chunk_files": 1}));
    assert_eq!(third.inventory["chunks"].as_array().unwrap().len(), 3);
    assert_eq!(first.report, third.report);
}

#[test]
fn an_empty_tree_has_an_empty_report() {
    let dir = tree(&[]);
    let Audit { inventory, summary, markdown, .. } = audit(dir.path());
    assert_eq!(inventory["chunks"], json!([]));
    assert_eq!(summary["files"], 0);
    assert!(markdown.contains("No licence file found."));
}

#[test]
fn a_tree_that_is_not_there_is_refused_with_a_hint() {
    let dir = tree(&[("file", "x")]);
    for path in [dir.path().join("nope"), dir.path().join("file")] {
        let error =
            run(&FakeHost::default(), "audit.inventory", &json!({"path": path})).unwrap_err();
        assert_eq!((error.code(), error.hint().is_some()), ("audit.no_tree", true));
    }
}

#[test]
fn files_are_cut_into_chunks_that_grow_with_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..600 {
        fs::write(dir.path().join(format!("{n:04}")), "x").unwrap();
    }
    let inventory = run(
        &FakeHost::default(),
        "audit.inventory",
        &json!({"path": dir.path(), "chunk_files": 1}),
    )
    .unwrap();
    let chunks = inventory["chunks"].as_array().unwrap();
    let sizes: Vec<u64> = chunks.iter().map(|chunk| chunk["files"].as_u64().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 600);
    assert!(sizes[..250].iter().all(|files| *files == 1), "{sizes:?}");
    assert!(sizes[250..424].iter().all(|files| *files == 2), "{sizes:?}");
}

#[test]
fn version_control_build_output_and_caches_are_left_out_unless_asked_for() {
    let files = [
        (".git/config", "x"),
        (".github/ci.yml", "a: 1\n"),
        ("app/node_modules/x/i.js", "x"),
        ("app/Cargo.toml", ""),
        ("app/target/debug/x.d", "x"),
        ("docs/target/page.md", "kept\n"),
        ("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
        ("cache/blob", "x"),
        ("vendor/lib.c", "int x;\n"),
        ("report/audit.md", "x"),
    ];
    let dir = tree(&files);
    let report = dir.path().join("report/audit.md");
    let input = json!({"path": dir.path(), "exclude": ["vendor"], "exclude_paths": [report]});
    let Audit { inventory, report, markdown, .. } = audit_with(&input);
    let expected = [".git", "app/node_modules", "app/target", "cache", "report/audit.md", "vendor"];
    assert_eq!(paths(&inventory["skipped"]), expected);
    assert_eq!(report["totals"]["files"], 3);
    assert!(markdown.contains("| `app/target` | build output or cache |"));
    let everything = audit_with(&json!({"path": dir.path(), "include_all": true}));
    assert_eq!(everything.summary["files"], files.len());
}

#[cfg(unix)]
mod odd_trees {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A pipe without a writer: whoever opens it to read hangs.
    #[expect(clippy::disallowed_methods, reason = "the standard library makes no named pipes")]
    fn make_pipe(path: &Path) {
        let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn odd_names_are_found_read_and_shown() {
        let dir = tempfile::tempdir().unwrap();
        let names: [&[u8]; 9] = [
            b"new\nline.rs",
            b"caf\xe9.rs",
            b"sp ace.rs",
            b"pi|pe.rs",
            b"back`tick``s.rs",
            b"back\\slash.rs",
            b"<b>&amp;.rs",
            b"-rf.rs",
            "\u{202e}turned.rs".as_bytes(),
        ];
        for name in names {
            fs::write(dir.path().join(OsStr::from_bytes(name)), "fn x() {} // TODO y\n").unwrap();
        }
        let Audit { report, markdown, html, .. } = audit(dir.path());
        check_well_formed(&html);
        assert!(!html.contains('\u{202e}') && html.contains("&lt;b&gt;&amp;amp;.rs"));
        assert_eq!(report["totals"]["problems"], 0);
        assert_eq!(report["languages"]["Rust"]["code"], 9);
        assert_eq!(report["todos"]["total"], 9);
        let todos = paths(&report["todos"]);
        for shown in ["new\nline.rs", "caf\\xe9.rs", "back\\\\slash.rs", "\u{202e}turned.rs"] {
            assert!(todos.contains(&shown), "{shown:?} in {todos:?}");
        }
        for cell in [
            "| `new\\nline.rs` |",
            "| `caf\\xe9.rs` |",
            "| `pi\\|pe.rs` |",
            "| ```back`tick``s.rs``` |",
            "| `\\u{202e}turned.rs` |",
        ] {
            assert!(markdown.contains(cell), "{cell}");
        }
        assert!(!markdown.contains('\u{202e}'));
        // Every row of every table has as many cells as its head, whatever the names hold.
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut columns = 0;
        for line in markdown.lines() {
            columns = match line.starts_with('|') {
                true if columns == 0 => cells(line),
                true => {
                    assert_eq!(cells(line), columns, "{line}");
                    columns
                }
                false => 0,
            };
        }
    }

    #[test]
    fn links_loops_pipes_and_sockets_are_recorded_and_not_followed() {
        let outside = tree(&[("secret.rs", "fn outside() {}\n")]);
        let dir = tree(&[("a/b/real.rs", "fn x() {}\n")]);
        symlink("..", dir.path().join("a/b/loop")).unwrap();
        symlink("self", dir.path().join("self")).unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink("/dev/zero", dir.path().join("zero")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        make_pipe(&dir.path().join("pipe"));
        let Audit { inventory, report, markdown, .. } = audit(dir.path());
        assert_eq!(report["totals"]["files"], 1);
        assert_eq!(paths(&inventory["links"]), ["a/b/loop", "out", "self", "zero"]);
        assert_eq!(paths(&inventory["special"]), ["pipe", "socket"]);
        assert!(markdown.contains("| `zero` | `/dev/zero` |"));
        assert!(!markdown.contains("secret.rs"));
    }

    #[test]
    fn what_changes_between_list_and_read_is_a_problem_and_never_followed() {
        let outside = tree(&[("secret.rs", "// TODO: outside\n")]);
        let dir =
            tree(&[("a.rs", "fn a() {}\n"), ("b.rs", "fn b() {}\n"), ("c.rs", "fn c() {}\n")]);
        let host = FakeHost::default();
        let inventory = run(&host, "audit.inventory", &json!({"path": dir.path()})).unwrap();
        fs::remove_file(dir.path().join("a.rs")).unwrap();
        fs::remove_file(dir.path().join("b.rs")).unwrap();
        symlink(outside.path().join("secret.rs"), dir.path().join("b.rs")).unwrap();
        fs::remove_file(dir.path().join("c.rs")).unwrap();
        make_pipe(&dir.path().join("c.rs"));
        let input = json!({"root": inventory["root"], "chunk": inventory["chunks"][0]});
        let chunk = run(&host, "audit.chunk", &input).unwrap();
        let totals = &chunk["totals"];
        assert_eq!((&totals["files"], &totals["problems"]), (&json!(3), &json!(3)));
        assert_eq!(totals["todos"], 0, "the link was followed");
    }

    #[test]
    fn unreadable_files_and_directories_are_problems() {
        let dir = tree(&[("closed/x.rs", "x"), ("shut.rs", "fn x() {}\n"), ("open.rs", "x\n")]);
        let set = |path: &str, mode| {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        set("closed", 0o000);
        set("shut.rs", 0o000);
        // Whoever may read everything (root) sees no fault here; the test above has others.
        let may_read_all = File::open(dir.path().join("shut.rs")).is_ok();
        let Audit { report, .. } = audit(dir.path());
        set("closed", 0o700);
        let problems = paths(&report["problems"]);
        let expected: &[&str] = if may_read_all { &[] } else { &["closed", "shut.rs"] };
        assert_eq!(problems, expected);
    }

    #[test]
    fn paths_deeper_than_the_system_opens_are_problems() {
        let dir = tempfile::tempdir().unwrap();
        // The walk joins names to full paths, which end at 4096 bytes; built from inside out.
        let name = "d".repeat(250);
        let mut inner = dir.path().join("part0");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("deep.rs"), "x\n").unwrap();
        for part in 1..20 {
            let outer = dir.path().join(format!("part{part}"));
            fs::create_dir(&outer).unwrap();
            fs::rename(&inner, outer.join(&name)).unwrap();
            inner = outer;
        }
        fs::write(dir.path().join("flat.rs"), "fn x() {}\n").unwrap();
        let Audit { report, .. } = audit(dir.path());
        assert_eq!(report["languages"]["Rust"]["files"], 1);
        assert_eq!(report["totals"]["problems"], 1);
        // Removed from outside in again, as the temporary directory cannot do it by path.
        for part in (1..20).rev() {
            let inner = dir.path().join(format!("part{part}")).join(&name);
            fs::rename(inner, dir.path().join(format!("part{}", part - 1))).unwrap();
        }
    }
}

#[test]
fn binary_huge_and_sparse_files_cost_little() {
    let dir = tree(&[("text.rs", "fn x() {}\n"), ("image.png", "\u{89}PNG\0\0\0TODO")]);
    let sparse = File::create(dir.path().join("sparse.img")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let line = "a line of a large text\n".repeat(1000);
    fs::write(dir.path().join("large.txt"), line.repeat(800)).unwrap();
    let Audit { report, markdown, .. } = audit(dir.path());
    let totals = &report["totals"];
    assert_eq!((&totals["files"], &totals["binary_files"]), (&json!(4), &json!(2)));
    assert_eq!((&totals["unhashed_files"], &totals["uncounted_files"]), (&json!(1), &json!(1)));
    assert_eq!(report["largest"][0], json!({"path": "sparse.img", "bytes": 1_u64 << 40}));
    assert_eq!(paths(&report["problems"]), ["large.txt"]);
    assert!(markdown.contains("| `sparse.img` | 1.0 TiB |"));
    assert!(report["languages"].get("Other text").is_none());
}

#[test]
fn hostile_lock_files_are_problems_of_their_own() {
    let deep = "{\"dependencies\":{\"a\":".repeat(20_000);
    let dir = tree(&[
        ("a/Cargo.lock", "[[package]]\nname = "),
        ("b/Cargo.lock", &format!("x = {}", "[".repeat(200_000))),
        ("c/package-lock.json", &deep),
        ("d/package-lock.json", "null"),
        ("e/poetry.lock", &"[[package]]\nname='a'\nversion='1'\n".repeat(100_000)),
        ("f/Pipfile.lock", "{\"default\": 3}"),
        ("g/requirements.txt", &"==\\\n;#[]@".repeat(10_000)),
        ("ok/Cargo.lock", "[[package]]\nname='z'\nversion='1'\nsource='x'\n"),
    ]);
    let Audit { report, .. } = audit(dir.path());
    let expected = [
        "a/Cargo.lock",
        "b/Cargo.lock",
        "c/package-lock.json",
        "d/package-lock.json",
        "e/poetry.lock",
        "f/Pipfile.lock",
    ];
    assert_eq!(paths(&report["problems"]), expected);
    assert_eq!(report["dependencies"]["by_ecosystem"], json!({"cargo": 1}));
}

/// Values that must never come out, put together here so that no scanner finds them in this file.
fn planted() -> BTreeMap<&'static str, String> {
    let noise = "Zk93Qm5xT4uVw7yPd2Rg8sLh1jMc6aXe".repeat(3);
    let token = |start: &str, length: usize| format!("{start}{}", &noise[..length]);
    BTreeMap::from([
        ("aws", format!("{}{}", "AKIA", "Q3R5T7Y9U2I4O6P8")),
        ("github", token("ghp_", 36)),
        ("gitlab", token("glpat-", 20)),
        ("slack", token("xoxb-", 40)),
        ("stripe", token("sk_live_", 24)),
        ("google", token("AIza", 35)),
        ("jwt", format!("{}.{}.{}", token("eyJ", 20), token("eyJ", 30), token("", 43))),
        ("assigned", "q8Zt!w3KxVb7".to_owned()),
        ("weak", "sunshine-monday".to_owned()),
        ("key", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz".to_owned()),
    ])
}

#[test]
fn planted_secrets_are_found_and_their_values_occur_nowhere() {
    let values = planted();
    let v = |name: &str| values[name].as_str();
    let begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
    let mut code = String::new();
    for name in ["aws", "github", "gitlab", "slack", "stripe", "google", "jwt"] {
        // In a mark as well: its text is quoted in the report.
        code.push_str(&format!("let x = 1; // TODO drop {} at once\n", v(name)));
    }
    code.push_str(&format!("// FIXME: password = \"{}\" and \"{}\"\n", v("assigned"), v("aws")));
    code.push_str(&format!("// HACK secret: '{}' is weak but hidden\n", v("weak")));
    let dir = tree(&[
        ("src/main.rs", &code),
        ("key.pem", &format!("{begin}\n{k}\n{k}\n-----END\n", k = v("key"))),
        (".env", &format!("export DB_PASSWORD={}\n", v("assigned"))),
        ("config.yml", &format!("url: postgres://me:{}@db.acme.io/x\n", v("assigned"))),
        // Where a value could slip into names, versions, licences and error texts.
        ("requirements.txt", &format!("a=={}\nb @ https://x:{}@h.io/p\n", v("github"), v("weak"))),
        (
            "Cargo.lock",
            &format!(
                "[[package]]\nname='{}'\nversion='{}'\nsource='x'\n",
                v("stripe"),
                v("gitlab")
            ),
        ),
        ("x/Cargo.lock", &format!("package = '{}'\n", v("github"))),
        ("x/package-lock.json", &format!("{{\"packages\": \"{}\"}}", v("slack"))),
        ("x/Cargo.toml", &format!("[package]\nlicense = '{}'\n", v("gitlab"))),
        ("tag.c", &format!("// SPDX-License-Identifier: {}\n", v("gitlab"))),
    ]);
    let Audit { report, everything, markdown, .. } = audit(dir.path());
    for (name, value) in &values {
        assert!(!everything.contains(value.as_str()), "the value of `{name}` came out");
        let part = &value[4..value.len() - 2];
        assert!(!everything.contains(part), "a part of the value of `{name}` came out");
    }
    let kinds: Vec<&str> = report["secrets"]["listed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["kind"].as_str().unwrap())
        .collect();
    for kind in [
        "aws-access-key",
        "github-token",
        "gitlab-token",
        "slack-token",
        "stripe-key",
        "google-api-key",
        "json-web-token",
        "private-key",
        "assigned-secret",
        "credential-in-url",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    let github = report["secrets"]["listed"]
        .as_array()
        .unwrap()
        .iter()
        .find(|secret| secret["kind"] == "github-token" && secret["path"] == "src/main.rs");
    let digest = run(&FakeHost::default(), "hash", &json!({"text": v("github")})).unwrap();
    let fingerprint = &digest["sha256"].as_str().unwrap()[..12];
    assert_eq!(github.unwrap()["fingerprint"], fingerprint);
    assert_eq!(github.unwrap()["line"], 2);
    assert!(markdown.contains(fingerprint));
    assert!(markdown.contains("`TODO drop [hidden] at once`"));
}

#[test]
fn floods_are_counted_in_full_and_listed_in_part() {
    let marks = "// TODO again\n".repeat(500);
    let dir = tree(&[("a.rs", &marks), ("b.rs", "// FIXME once\n")]);
    let Audit { report, .. } = audit(dir.path());
    assert_eq!(report["todos"]["total"], 501);
    assert_eq!(report["todos"]["listed"].as_array().unwrap().len(), 51);
    assert_eq!(report["todos_by_mark"], json!({"TODO": 500, "FIXME": 1}));
}

#[test]
fn a_cancelled_audit_stops_in_every_skill() {
    let dir = tree(&[("a.rs", "x\n"), ("b.rs", "x\n")]);
    let host = FakeHost::default();
    let inventory = run(&host, "audit.inventory", &json!({"path": dir.path()})).unwrap();
    let chunk = json!({"root": inventory["root"], "chunk": inventory["chunks"][0]});
    let item = run(&host, "audit.chunk", &chunk).unwrap();
    let items = vec![serde_json::to_vec(&item).unwrap()];
    let host = FakeHost { items, blobs: host.blobs, ..FakeHost::default() };
    for (skill, input) in [
        ("audit.inventory", json!({"path": dir.path()})),
        ("audit.chunk", chunk),
        ("audit.report", json!({"inventory": inventory})),
    ] {
        host.cancel_after.set(Some(0));
        assert_eq!(run(&host, skill, &input).unwrap_err().code(), SkillError::CANCELLED, "{skill}");
    }
}

#[test]
fn long_work_renews_its_lease_for_every_file() {
    let dir = tree(&[("a.rs", "x\n"), ("b.rs", "x\n"), ("c.rs", "x\n")]);
    let host = FakeHost::default();
    let inventory = run(&host, "audit.inventory", &json!({"path": dir.path()})).unwrap();
    assert_eq!(host.progress.borrow().last(), Some(&(3, 3)));
    host.progress.borrow_mut().clear();
    let chunk = json!({"root": inventory["root"], "chunk": inventory["chunks"][0]});
    run(&host, "audit.chunk", &chunk).unwrap();
    assert_eq!(*host.progress.borrow(), [(0, 3), (1, 3), (2, 3), (3, 3)]);
}

#[test]
fn a_chunk_cannot_be_led_out_of_its_root() {
    use ark_os_runtime::skills::Host;
    let outside = tree(&[("x.rs", "// TODO: outside\n")]);
    let dir = tree(&[("in/a.rs", "x\n")]);
    let host = FakeHost::default();
    let absolute = outside.path().join("x.rs");
    let list =
        json!({"files": [[absolute, 1], ["../x.rs", 1], ["a/../../x.rs", 1], ["\\x2e\\x2e/x", 1]]});
    let blob = host.save(list.to_string().as_bytes()).unwrap();
    let chunk = json!({"blob": blob, "files": 4, "bytes": 4});
    let input = json!({"root": dir.path().join("in"), "chunk": chunk});
    let totals = run(&host, "audit.chunk", &input).unwrap()["totals"].clone();
    assert_eq!((&totals["problems"], &totals["todos"]), (&json!(4), &json!(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Foreign bytes under every name that has a reader of its own.
    #[test]
    fn no_bytes_break_the_audit(
        files in prop::collection::vec(
            (
                prop::sample::select(&[
                    "Cargo.lock", "package-lock.json", "go.mod", "Pipfile.lock", "poetry.lock", "Cargo.toml",
                    "requirements.txt", "LICENSE", "package.json", "x.rs", "x.py", "x.sh", ".env", "none",
                ][..]),
                prop::collection::vec(
                    prop_oneof![
                        any::<u8>().prop_map(|byte| vec![byte]),
                        prop::sample::select(&[
                            "[[package]]\n", "name='a'\n", "{\"packages\":{", "\"dependencies\":{", "TODO",
                            "// ", "/*", "*/", "\"\"\"", "password=\"", "-----BEGIN PRIVATE KEY-----",
                            "#!", "SPDX-License-Identifier: ", "\n", "://a:", "@",
                        ][..]).prop_map(|text| text.as_bytes().to_vec()),
                    ],
                    0..60,
                ),
            ),
            1..6,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (index, (name, parts)) in files.iter().enumerate() {
            let place = dir.path().join(index.to_string());
            fs::create_dir(&place).unwrap();
            fs::write(place.join(name), parts.concat()).unwrap();
        }
        let audit = audit(dir.path());
        prop_assert_eq!(&audit.summary["files"], &json!(files.len()));
        check_well_formed(&audit.html);
    }
}

#[test]
fn an_inventory_proves_its_progress_now_and_then_and_never_with_the_same_mark() {
    let names: Vec<String> = (0..130).map(|n| format!("{n:03}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let dir = tree(&files);
    let host = FakeHost::default();
    let input = json!({"path": dir.path().to_str().unwrap(), "chunk_files": 1});
    let found = run(&host, "audit.inventory", &input).unwrap();
    assert_eq!(found["chunks"].as_array().unwrap().len(), 130);
    assert_eq!(*host.marks.borrow(), ["64", "128"]);
}
