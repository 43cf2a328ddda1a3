//! The seeds, from the folder `corpus`: one file for each, small, and each with a reason to be
//! there in its name.

/// Manifests.
pub(super) const MANIFESTS: &[&[u8]] = &[
    include_bytes!("../../corpus/manifest/graph.json"),
    include_bytes!("../../corpus/manifest/agents.json"),
    include_bytes!("../../corpus/manifest/audit.json"),
    include_bytes!("../../corpus/manifest/schemas.json"),
];

/// Manifests in YAML.
pub(super) const YAML: &[&[u8]] = &[
    include_bytes!("../../../../examples/manifests/newsroom.yaml"),
    include_bytes!("../../../../examples/agents/deliver.yaml"),
    include_bytes!("../../corpus/noa/odd.yaml"),
];

/// Words of those.
pub(super) const YAML_WORDS: &[&str] = &[
    "agents:",
    "groups:",
    "- name: a\n",
    "layer: Stack Chief",
    "supervisor: a",
    "behaviour: worker",
    "skills: a.b; c.d",
    "count: \"3\"",
    "timeout: 5 minutes",
    "{topic}",
    "context: [a]",
    "&a ",
    "*a",
    "!!str ",
    "| \n",
    "\n  ",
    "\t",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "# ",
    "~",
    "null",
    "1e999",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\\u0000",
    "${",
    "x-a: 1",
    "\n---\n",
];

/// Manifests in TOML.
pub(super) const TOML: &[&[u8]] = &[
    include_bytes!("../../../../examples/manifests/checks.toml"),
    include_bytes!("../../corpus/noa/odd.toml"),
];

/// Words of those.
pub(super) const TOML_WORDS: &[&str] = &[
    "[[agents]]\n",
    "[fleet]\n",
    "[a.b]\n",
    "name = \"a\"\n",
    "a.b = 1\n",
    "{ a = 1 }",
    "[1, 2]",
    "\"\"\"",
    "'''",
    "inf",
    "nan",
    "0x1f",
    "1_000",
    "1979-05-27T07:32:00Z",
    "\\u0000",
    "\r\n",
    "= ",
];

/// Agent directories.
pub(super) const DIRECTORIES: &[&[u8]] = &[
    include_bytes!("../../../../examples/manifests/team.csv"),
    b"name;layer;count;url;skills\ng;micro;20;;a.b, c.d\n\"a\nb\";;x;https://a.example;\n;;;;\n",
];

/// Words of those.
pub(super) const CSV_WORDS: &[&str] = &[
    ",",
    ";",
    "\t",
    "\"",
    "\"\"",
    "\n",
    "\r\n",
    "name",
    "manager",
    "skills",
    "count",
    "Ana M\u{fc}ller",
    "board member",
    "1001",
    "https://",
    "\u{feff}",
    "\0",
    "x-",
    "a-00001",
];

/// Crews: agents, a line of dashes, tasks.
pub(super) const CREWS: &[&[u8]] = &[include_bytes!("../../corpus/noa/crew.yaml")];

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

/// What remote workers send: to which route, and the body.
pub(super) const WORKERS: &[&[u8]] = &[
    br#"{"to":"register","body":{"name":"other-1","concurrency":2,"layer":"micro","labels":{"host":"a"},
        "skills":[{"name":"far.more","effect":"idempotent","input":{"type":"object"},"output":{"type":"string"}}]}}"#,
    br#"{"to":"register","body":{"name":"other-2","concurrency":1,"skills":[{"name":"far.off","effect":"read"}]}}"#,
    br#"{"to":"claim","body":{"max":3,"wait":"10ms","claim":1}}"#,
    br#"{"to":"extend","body":{"tokens":[{"pt":"PT","fence":1,"checkpoint":"half"}]}}"#,
    br#"{"to":"extend","body":{}}"#,
    br#"{"to":"complete","body":{"results":[{"pt":"PT","fence":1,"output":{"text":"done"}}]}}"#,
    br#"{"to":"fail","body":{"failures":[{"pt":"PT","fence":1,"code":"broken","message":"no","retryable":true,"unknown":false}]}}"#,
    br#"{"to":"leave","body":""}"#,
];
