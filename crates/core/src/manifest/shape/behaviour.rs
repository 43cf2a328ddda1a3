//! How agents work: natively, as a command in the jail, as a service, as a remote worker.

use super::super::limits::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, CODES_MAX, MOUNTS_MAX, NAME_CHARS_MAX, PAIR_BYTES_MAX,
    PAIRS_MAX, PATH_BYTES_MAX, RESPONSE_BYTES_MAX, URL_BYTES_MAX,
};
use super::{Choice, Field, Kind, Shape, field, required, shape};

/// What work outside this process may be: never `pure`.
pub(super) const EFFECTS: &[&str] = &["read", "idempotent", "probed", "effectful"];

pub(in crate::manifest) static BEHAVIOUR: Shape = Shape {
    name: "behaviour",
    about: "How an agent works: in one way",
    fields: &[
        field("native", Kind::Object(&NATIVE), "By skills that are built in"),
        field("command", Kind::Object(&COMMAND), "By a program in the jail"),
        field("http", Kind::Object(&HTTP), "By a service that is posted to"),
        field("worker", Kind::Object(&WORKER), "Somewhere else: it pulls its work over HTTP"),
    ],
    choice: Choice::One,
    later: &["llm", "wasm", "mcp", "a2a"],
};

pub(in crate::manifest) static NATIVE: Shape = shape("native", "Skills that are built in", &[]);

pub(in crate::manifest) static WORKER: Shape = shape("worker", "A remote worker", &[EFFECT]);

const EFFECT: Field = field("effect", Kind::Word(EFFECTS), "What its work may do to the world");

pub(in crate::manifest) static COMMAND: Shape = shape(
    "command",
    "A program in the jail: JSON on its standard input, JSON on its standard output",
    &[
        required("argv", ARGV, "The program (an absolute path) and its arguments; no shell"),
        field("profile", Kind::Text(NAME_CHARS_MAX), "The jail's profile [default: default]"),
        field("limits", Kind::Object(&COMMAND_LIMITS), "What is stricter than the profile"),
        field(
            "mounts",
            Kind::List(&Kind::Object(&MOUNT), 0, MOUNTS_MAX),
            "What it sees of the host besides programs and libraries",
        ),
        field("env", Kind::Entries(&Kind::Text(PAIR_BYTES_MAX), PAIRS_MAX), "Its variables"),
        field("workdir", Kind::Text(PATH_BYTES_MAX), "Where it starts"),
        EFFECT,
        field("exit", Kind::Object(&EXIT), "What its exit codes mean"),
        field("probe", Kind::Object(&COMMAND_PROBE), "How it is asked whether it happened"),
    ],
);

const ARGV: Kind = Kind::List(&Kind::Text(ARGUMENT_BYTES_MAX), 1, ARGUMENTS_MAX);

pub(in crate::manifest) static COMMAND_LIMITS: Shape = shape(
    "command_limits",
    "Limits of a command: less than the profile gives, never more",
    &[
        field("memory", Kind::Bytes(0, u64::MAX), "Memory"),
        field("cpu_milli", Kind::Count(0, u64::MAX), "Thousandths of a processor"),
        field("processes", Kind::Count(0, u64::MAX), "Processes and threads"),
        field("cpu_time", Kind::Duration, "Time of the processor"),
        field("wall_time", Kind::Duration, "Time on the wall"),
        field("stdout", Kind::Bytes(0, u64::MAX), "Standard output"),
        field("tmp", Kind::Bytes(0, u64::MAX), "What lies in `/tmp`"),
    ],
);

pub(in crate::manifest) static MOUNT: Shape = shape(
    "mount",
    "A part of the host that a command sees",
    &[
        required("source", Kind::Text(PATH_BYTES_MAX), "Where it lies, from the manifest on"),
        required("target", Kind::Text(PATH_BYTES_MAX), "Where the command sees it"),
        field("access", Kind::Word(&["read", "write"]), "What the command may do [default: read]"),
    ],
);

pub(in crate::manifest) static EXIT: Shape = shape(
    "exit",
    "What exit codes mean",
    &[field(
        "retryable",
        Kind::List(&Kind::Count(1, 255), 0, CODES_MAX),
        "After these another attempt may succeed",
    )],
);

pub(in crate::manifest) static COMMAND_PROBE: Shape = shape(
    "command_probe",
    "A command that says whether an effect happened",
    &[
        required("argv", ARGV, "The program and its arguments"),
        field("settle_after", Kind::Duration, "When it may be asked at the earliest"),
    ],
);

pub(in crate::manifest) static HTTP: Shape = shape(
    "http",
    "A service that is posted to, with the step key in `Idempotency-Key`",
    &[
        required("url", Kind::Text(URL_BYTES_MAX), "Where"),
        EFFECT,
        field("timeout", Kind::Duration, "Time for the whole call [default: 30s]"),
        field("connect_timeout", Kind::Duration, "Time for the connection [default: 3s]"),
        field(
            "response_bytes_max",
            Kind::Bytes(1, RESPONSE_BYTES_MAX),
            "The longest answer [default: 1MiB]",
        ),
        field(
            "retry_statuses",
            Kind::List(&Kind::Count(400, 599), 0, CODES_MAX),
            "These say: not done, another attempt may succeed",
        ),
        field("headers", Kind::Entries(&Kind::Text(PAIR_BYTES_MAX), PAIRS_MAX), "Sent as written"),
        field(
            "secret_headers",
            Kind::Entries(&Kind::Pattern("^(env:[A-Za-z0-9_]+|file:[^\\x00]+)$"), PAIRS_MAX),
            "Values that are kept elsewhere: `env:NAME` or `file:PATH`",
        ),
        field("ca_file", Kind::Text(PATH_BYTES_MAX), "PEM file of the authorities to trust"),
        field("allow_private", Kind::Flag, "Whether addresses that are not public may be called"),
        field("probe", Kind::Object(&HTTP_PROBE), "How it is asked whether it happened"),
    ],
);

pub(in crate::manifest) static HTTP_PROBE: Shape = shape(
    "http_probe",
    "A question whether an effect happened",
    &[
        required("url", Kind::Text(URL_BYTES_MAX), "Where, with `{key}` in it"),
        field("timeout", Kind::Duration, "Time for the whole call"),
        field("settle_after", Kind::Duration, "When it may be asked at the earliest"),
    ],
);
