//! The seeds, from the folder `corpus`: one file for each, small, and each with a reason to be
//! there in its name.

/// Manifests.
pub(super) const MANIFESTS: &[&[u8]] = &[
    include_bytes!("../../corpus/manifest/graph.json"),
    include_bytes!("../../corpus/manifest/agents.json"),
    include_bytes!("../../corpus/manifest/audit.json"),
    include_bytes!("../../corpus/manifest/schemas.json"),
];

/// Templates.
pub(super) const TEMPLATES: &[&[u8]] = &[
    br#"{"a":"${input}","b":["x${tasks.a.output.list[0]}y","$${no}"],"c":"${item.name}"}"#,
    br#""${tasks.a.output[\"odd key\"][3].deep}""#,
    br#"["${tasks.m.outputs}","${tasks.a.error.code}","${index}",1,null,{"":"${input.a.b.c}"}]"#,
];

/// Conditions.
pub(super) const CONDITIONS: &[&[u8]] = &[
    b"input.a == 1 && tasks.a.state == 'succeeded'",
    b"tasks.m.outputs.all(x, x.size > 0) || !has(input.b)",
    b"size(input.list.filter(i, i % 2 == 0)) > 3 ? true : tasks.a.output.text.matches('^a+$')",
    b"input.when < timestamp('2026-01-01T00:00:00Z') && duration('1h') > duration('1m')",
    b"[1, 2u, 3.0, 'x', b'y', null, {'k': [input]}][0] in [1, 2]",
];

/// Words of conditions.
pub(super) const CONDITION_WORDS: &[&str] = &[
    "input",
    "tasks",
    ".a",
    ".output",
    "[0]",
    "(",
    ")",
    "{",
    "}",
    "'",
    "\"",
    "\"\"\"",
    "r'",
    "&&",
    "||",
    "!",
    "? :",
    "==",
    " in ",
    ".all(x, ",
    ".map(x, ",
    ".exists(x, ",
    "size(",
    "has(",
    "1u",
    "-1",
    "9223372036854775808",
    "1e999",
    "0x",
    "duration('",
    "timestamp('",
    ".matches('(a*)*')",
    "optional.of(",
    "?.",
    "\\u",
    "\\xff",
    "//",
    "1/0",
    "1%0",
    "null",
];

/// Short texts with a form of their own: durations, scopes, ids, digests.
pub(super) const TEXTS: &[&[u8]] = &[
    b"30s",
    b"1h30m",
    b"250ms",
    b"skill:text.*",
    b"tool:sink.put",
    b"effect:effectful",
    b"run_01J8Z3K6V0000000000000000A",
    b"task_01J8Z3K6V0000000000000000A.3.17",
    b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
];

/// Words of those.
pub(super) const TEXT_WORDS: &[&str] =
    &["*", ":", ".", "_", "h", "ms", "run_", "task_", "18446744073709551616", "Z", "\u{feff}", " "];

/// Requests: a plan and its input.
pub(super) const REQUESTS: &[&[u8]] = &[
    include_bytes!("../../corpus/request/workflow.json"),
    include_bytes!("../../corpus/request/task.json"),
    include_bytes!("../../corpus/request/skills.json"),
];

/// Files that an audit reads: the first line is the name, the rest the content.
pub(super) const SOURCES: &[&[u8]] = &[
    include_bytes!("../../corpus/source/cargo_lock"),
    include_bytes!("../../corpus/source/npm_lock"),
    include_bytes!("../../corpus/source/pip_locks"),
    include_bytes!("../../corpus/source/poetry_lock"),
    include_bytes!("../../corpus/source/pipfile_lock"),
    include_bytes!("../../corpus/source/go_mod"),
    include_bytes!("../../corpus/source/code"),
    include_bytes!("../../corpus/source/licence"),
    include_bytes!("../../corpus/source/settings"),
];

/// Words of those.
pub(super) const SOURCE_WORDS: &[&str] = &[
    "[[package]]\n",
    "name = \"",
    "version = \"1\"",
    "\"packages\":{",
    "\"dependencies\":{",
    "\"resolved\":\"git+ssh://a@b/c#d\"",
    "\"license\":{\"type\":\"MIT\"}",
    "require (",
    "replace a => ../b",
    "==1.0",
    "-r other.txt",
    "\\\n",
    "# TODO: ",
    "FIXME",
    "SPDX-License-Identifier: (MIT OR ",
    "/*",
    "*/",
    "\"\"\"",
    "//",
    "r#\"",
    "password=",
    "-----BEGIN PRIVATE KEY-----",
    "\u{feff}",
    "\r\n",
    "\0",
];

/// What `git log --numstat -z` prints: a change, a rename, a binary file, an empty commit.
pub(super) const LOGS: &[&[u8]] = &[
    b"\x011700000000\x01Ann\0\n3\t1\tsrc/a.rs\0-\t-\timage.png\0\x011690000000\x01Bob\0",
    b"\x011700000000\x01Ann\0\n0\t0\t\0old\0new\0\x011600000000\x01Ann\0\n9\t0\told\0",
];

/// Words of those.
pub(super) const LOG_WORDS: &[&str] =
    &["\x01", "\0", "\n", "\t", "\t\0", "-", "18446744073709551615", "-1", "253402300800", "a@b"];

/// Words that mean something in a proof bundle.
pub(super) const BUNDLE_WORDS: &[&str] = &[
    "{\"record\":",
    "{\"node\":[0,0],",
    "\"proofs\":[]",
    "null",
    "true",
    "],\n",
    "]}\n",
    ",\n",
    "\\u0061",
    "==",
];
