//! The sections of a manifest: fleet, agents, groups, skills, limits, schedules.

use super::super::limits::{
    AGENTS_PER_MANIFEST_MAX, CONCURRENCY_MAX, CRON_BYTES_MAX, DESCRIPTION_BYTES_MAX, LIMITS_MAX,
    SCHEDULE_CATCH_UP_MAX, SCHEDULES_MAX, SKILLS_PER_AGENT_MAX, SKILLS_PER_MANIFEST_MAX,
    URL_BYTES_MAX, WORKFLOWS_PER_MANIFEST_MAX, ZONE_BYTES_MAX,
};
use super::behaviour::{BEHAVIOUR, EFFECTS};
use super::work::{BUDGET, WORKFLOW};
use super::{Choice, Field, Kind, Shape, field, required, shape};
use crate::limits::{AGENTS_MAX, GROUP_AGENTS_MAX};

pub(in crate::manifest) static MANIFEST: Shape = Shape {
    name: "manifest",
    about: "What a fleet is made of and what it does",
    fields: &[
        field("$schema", Kind::Text(URL_BYTES_MAX), "The schema that an editor checks against"),
        field("name", Kind::Name, "What the deployment is called"),
        DESCRIPTION,
        field("fleet", Kind::Object(&FLEET), "The built-in profile beside the declared agents"),
        field(
            "agents",
            Kind::List(&Kind::Object(&AGENT), 0, AGENTS_PER_MANIFEST_MAX),
            "Agents, each of its own kind",
        ),
        field(
            "groups",
            Kind::List(&Kind::Object(&GROUP), 0, AGENTS_PER_MANIFEST_MAX),
            "Agents that are alike",
        ),
        field(
            "skills",
            Kind::List(&Kind::Object(&CONTRACT), 0, SKILLS_PER_MANIFEST_MAX),
            "What the skills of these agents promise, whoever offers them",
        ),
        field(
            "workflows",
            Kind::List(&Kind::Object(&WORKFLOW), 1, WORKFLOWS_PER_MANIFEST_MAX),
            "Task graphs that can be run",
        ),
        field("limits", Kind::Object(&LIMITS), "How much may happen at one time"),
        field(
            "schedules",
            Kind::List(&Kind::Object(&SCHEDULE), 0, SCHEDULES_MAX),
            "Runs that begin by the calendar",
        ),
    ],
    choice: Choice::Some(&["fleet", "agents", "groups", "workflows"]),
    later: &["tools", "models", "policies"],
};

const DESCRIPTION: Field =
    field("description", Kind::Text(DESCRIPTION_BYTES_MAX), "What it is for, for people");

pub(in crate::manifest) static FLEET: Shape = shape(
    "fleet",
    "The built-in profile",
    &[field(
        "agents",
        Kind::Count(1, AGENTS_MAX as u64),
        "Agents of the built-in profile, from all layers",
    )],
);

const NAME: Field = required("name", Kind::Name, "Its name; agents and groups share one space");
const LAYER: Field = field(
    "layer",
    Kind::Word(&["cecca", "board", "executive", "stack-chief", "specialist", "micro"]),
    "How far its authority reaches; specialists and micros work on tasks [default: specialist]",
);
const SUPERVISOR: Field = field(
    "supervisor",
    Kind::Name,
    "Agent or group of a strictly higher layer [default: whoever the built-in profile has there]",
);
static SKILL: Kind = Kind::Either(&[Kind::DottedName, Kind::Object(&OFFER)]);
static WAYS: [Kind; 2] = [Kind::Word(&["native", "worker"]), Kind::Object(&BEHAVIOUR)];
const SKILLS: Field = field(
    "skills",
    Kind::List(&SKILL, 0, SKILLS_PER_AGENT_MAX),
    "What it can do; whoever works on tasks has one at least",
);
const OWN_CONCURRENCY: Field =
    field("concurrency", Kind::Count(1, CONCURRENCY_MAX), "Tasks of one agent at one time");
const WORKS_BY: Field =
    field("behaviour", Kind::Either(&WAYS), "How it works; whoever works on tasks has one");

pub(in crate::manifest) static AGENT: Shape = shape(
    "agent",
    "One agent",
    &[NAME, DESCRIPTION, LAYER, SUPERVISOR, SKILLS, OWN_CONCURRENCY, WORKS_BY],
);

pub(in crate::manifest) static GROUP: Shape = shape(
    "group",
    "Agents that are alike; their names are that of the group with a number",
    &[
        NAME,
        DESCRIPTION,
        required("count", Kind::Count(1, GROUP_AGENTS_MAX as u64), "How many"),
        LAYER,
        SUPERVISOR,
        SKILLS,
        OWN_CONCURRENCY,
        WORKS_BY,
    ],
);

pub(in crate::manifest) static OFFER: Shape = shape(
    "offer",
    "A skill with its schemas",
    &[
        required("name", Kind::DottedName, "The skill"),
        field("input", Kind::Schema, "JSON Schema of its input"),
        field("output", Kind::Schema, "JSON Schema of its output"),
    ],
);

pub(in crate::manifest) static CONTRACT: Shape = Shape {
    name: "skill",
    about: "What a skill promises, whoever offers it",
    fields: &[
        required("name", Kind::DottedName, "The skill"),
        DESCRIPTION,
        field("input", Kind::Schema, "JSON Schema of its input"),
        field("output", Kind::Schema, "JSON Schema of its output"),
        field("effect", Kind::Word(EFFECTS), "The most that whoever offers it may do to the world"),
    ],
    choice: Choice::Free,
    later: &["preconditions", "postconditions"],
};

pub(in crate::manifest) static LIMITS: Shape = shape(
    "limits",
    "How much may happen at one time",
    &[field("concurrency", Kind::Object(&CONCURRENCY), "Tasks at one time")],
);

pub(in crate::manifest) static CONCURRENCY: Shape = Shape {
    name: "concurrency",
    about: "Tasks at one time",
    fields: &[
        field(
            "skills",
            Kind::Entries(&Kind::Count(1, CONCURRENCY_MAX), LIMITS_MAX),
            "By skill, over the whole fleet",
        ),
        field(
            "agents",
            Kind::Entries(&Kind::Count(1, CONCURRENCY_MAX), LIMITS_MAX),
            "By agent, or by each agent of a group",
        ),
    ],
    choice: Choice::Free,
    later: &["keys"],
};

pub(in crate::manifest) static SCHEDULE: Shape = shape(
    "schedule",
    "Runs that begin by the calendar",
    &[
        required("name", Kind::Name, "Its name"),
        DESCRIPTION,
        required(
            "cron",
            Kind::Text(CRON_BYTES_MAX),
            "When: a cron pattern of five fields, or six with seconds first",
        ),
        field("zone", Kind::Text(ZONE_BYTES_MAX), "Time zone of the pattern [default: UTC]"),
        field(
            "catch_up",
            Kind::Either(&[Kind::Word(&["skip", "one"]), Kind::Object(&CATCH_UP)]),
            "What becomes of times that passed while nobody could act on them [default: one]",
        ),
        field(
            "overlap",
            Kind::Word(&["allow", "skip", "queue", "cancel_previous"]),
            "What happens when it is due and its run is not over [default: skip]",
        ),
        required("workflow", Kind::DottedName, "The workflow that is run"),
        field("input", Kind::Any, "The input of each run"),
        field(
            "priority",
            Kind::Word(&["emergency", "critical", "high", "normal", "low", "maintenance"]),
            "How urgent its runs are [default: normal]",
        ),
        field("budget", Kind::Object(&BUDGET), "What each run may use up"),
        field("deadline", Kind::Duration, "Time for the whole of each run"),
        field("jitter", Kind::Duration, "Each run begins up to so much later"),
        field("paused", Kind::Flag, "Whether it does nothing until it is resumed"),
    ],
);

pub(in crate::manifest) static CATCH_UP: Shape = shape(
    "catch_up",
    "A run for each time that passed",
    &[required("all", Kind::Object(&CATCH_UP_ALL), "For each of the newest")],
);

pub(in crate::manifest) static CATCH_UP_ALL: Shape = shape(
    "catch_up_all",
    "How many of the newest times are made up for",
    &[required("max", Kind::Count(1, SCHEDULE_CATCH_UP_MAX as u64), "So many")],
);
