//! Workflows and tasks.

use super::super::limits::{
    ATTEMPTS_MAX, CONCURRENCY_MAX, CONDITION_BYTES_MAX, DESCRIPTION_BYTES_MAX, VERSION_BYTES_MAX,
};
use super::{Choice, Field, Kind, Shape, field, required, shape};
use crate::limits::{MAP_CHILDREN_MAX, PLAN_TASKS_MAX, RATE_COUNT_MAX};

/// The largest amount that can be written.
const AMOUNT_MAX: u64 = u64::MAX / 2;

const DESCRIPTION: Field =
    field("description", Kind::Text(DESCRIPTION_BYTES_MAX), "What it is for, for people");

pub(in crate::manifest) static WORKFLOW: Shape = shape(
    "workflow",
    "A named, versioned task graph",
    &[
        required("name", Kind::DottedName, "Its name"),
        field(
            "version",
            Kind::Either(&[Kind::Text(VERSION_BYTES_MAX), Kind::Count(0, u64::MAX)]),
            "The author's version [default: 1]",
        ),
        DESCRIPTION,
        field("input", Kind::Schema, "JSON Schema of a run's input"),
        required("tasks", Kind::List(&Kind::Object(&TASK), 1, PLAN_TASKS_MAX), "Its tasks"),
        field("output", Kind::Any, "Template of a run's output"),
    ],
);

const TIMEOUT: Field = field("timeout", Kind::Duration, "Time for one attempt");
const DEADLINE: Field = field("deadline", Kind::Duration, "Time for the task");
const TRIES: Field = field("retry", Kind::Object(&RETRY), "Attempts, and the pauses between them");
const COSTS: Field = field("budget", Kind::Object(&BUDGET), "Reserved before every attempt");
const PROMISE: Field = field("output_schema", Kind::Schema, "JSON Schema of the output");

pub(in crate::manifest) static TASK: Shape = Shape {
    choice: Choice::Some(&["skill", "wait", "run"]),
    ..shape(
        "task",
        "One task of a workflow",
        &[
            required("name", Kind::Name, "Its name"),
            DESCRIPTION,
            field("skill", Kind::DottedName, "What it needs; required but for `wait` and `run`"),
            field("input", Kind::Any, "Template of its input"),
            field(
                "after",
                Kind::List(&Kind::Name, 0, PLAN_TASKS_MAX),
                "Tasks that are over before",
            ),
            field("when", Kind::Text(CONDITION_BYTES_MAX), "CEL condition; false skips the task"),
            field("map", Kind::Object(&MAP), "One child for each item of a list"),
            field("reduce", Kind::Name, "The map whose results this task gathers"),
            field("wait", Kind::Object(&WAIT), "Nobody works on it: it waits"),
            field("run", Kind::Object(&CHILD_RUN), "It is a run of its own"),
            field("expands", Kind::Flag, "Whether its output may add tasks to the run"),
            field(
                "on_failure",
                Kind::Either(&[
                    Kind::Pattern("^(fail|continue|fallback:\\s*[A-Za-z0-9_-]{1,100}\\s*)$"),
                    Kind::Object(&FALLBACK),
                ]),
                "What its failure does to the run: `fail`, `continue`, or `fallback: TASK`",
            ),
            TIMEOUT,
            DEADLINE,
            TRIES,
            COSTS,
            field("limit", Kind::Object(&LIMIT), "How many like it work at one time, or begin"),
            PROMISE,
        ],
    )
};

pub(in crate::manifest) static LIMIT: Shape = shape(
    "task_limit",
    "How many tasks of one name and key are worked on at one time, and begin in a period",
    &[
        field("name", Kind::DottedName, "Tasks of one name are counted together [default: skill]"),
        field("key", Kind::Any, "Template of the key; each is counted apart"),
        field("at_once", Kind::Count(1, CONCURRENCY_MAX), "How many are worked on at one time"),
        field("rate", Kind::Object(&RATE), "How many begin in a period"),
    ],
);

pub(in crate::manifest) static RATE: Shape = shape(
    "rate",
    "So many in so much time, whenever one begins to count",
    &[
        required("count", Kind::Count(1, RATE_COUNT_MAX as u64), "How many"),
        required("per", Kind::Duration, "In how much time"),
    ],
);

/// What may be said of a task that is submitted alone.
pub(in crate::manifest) static SINGLE: Shape =
    shape("single_task", "Options of a single task", &[TIMEOUT, DEADLINE, TRIES, COSTS, PROMISE]);

pub(in crate::manifest) static FALLBACK: Shape = shape(
    "fallback",
    "Another task in the place of one that failed",
    &[required("fallback", Kind::Name, "That task")],
);

pub(in crate::manifest) static MAP: Shape = shape(
    "map",
    "One child for each item of a list",
    &[
        required("over", Kind::Any, "Template that gives the list"),
        field("parallel", Kind::Count(1, MAP_CHILDREN_MAX as u64), "Children at work at one time"),
        field("max_failures", Kind::Count(0, MAP_CHILDREN_MAX as u64), "Children that may fail"),
        field("collect", Kind::Flag, "Whether the children's outputs are kept as a list"),
    ],
);

pub(in crate::manifest) static WAIT: Shape = shape(
    "wait",
    "What a task waits for: one of `signal`, `until` and `for`",
    &[
        field("signal", Kind::DottedName, "The signal that ends it"),
        field("until", Kind::Any, "Template of the moment that ends it"),
        field("for", Kind::Duration, "Time that ends it"),
        field("timeout", Kind::Duration, "How long a signal is waited for"),
        field("on_timeout", Kind::Word(&["fail", "continue"]), "What comes then [default: fail]"),
    ],
);

pub(in crate::manifest) static CHILD_RUN: Shape = shape(
    "child_run",
    "The run that a task is",
    &[
        required("workflow", Kind::DottedName, "Its workflow, of the same manifest"),
        field(
            "version",
            Kind::Either(&[Kind::Text(VERSION_BYTES_MAX), Kind::Count(0, u64::MAX)]),
            "The workflow's version, where there are several",
        ),
        field("input", Kind::Any, "Template of its input"),
        field(
            "on_parent_cancel",
            Kind::Word(&["cancel", "detach"]),
            "What a cancel of this run does to it [default: cancel]",
        ),
    ],
);

pub(in crate::manifest) static RETRY: Shape = shape(
    "retry",
    "Attempts, and the pauses between them",
    &[
        field("attempts", Kind::Count(1, ATTEMPTS_MAX), "Attempts in all [default: 3]"),
        field("backoff", Kind::Duration, "Upper bound of the first pause [default: 200ms]"),
        field("max", Kind::Duration, "Upper bound of every pause [default: 30s]"),
    ],
);

pub(in crate::manifest) static BUDGET: Shape = shape(
    "budget",
    "What may be used up",
    &[
        field("tokens", Kind::Count(0, AMOUNT_MAX), "Tokens"),
        field("cost", Kind::Money, "Money, such as `0.50usd`"),
        field("cost_micros", Kind::Count(0, AMOUNT_MAX), "Money, in millionths"),
        field("cpu", Kind::Duration, "Time of processors"),
        field("cpu_ms", Kind::Count(0, AMOUNT_MAX), "Time of processors, in milliseconds"),
        field("bytes", Kind::Count(0, AMOUNT_MAX), "Bytes"),
        field("calls", Kind::Count(0, AMOUNT_MAX), "Calls"),
        field("steps", Kind::Count(0, AMOUNT_MAX), "Steps"),
    ],
);
