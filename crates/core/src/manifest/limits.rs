//! The named limits of manifests: what is larger is refused with a finding, never cut.

/// Levels of nesting in a manifest; parsers of JSON stop at 128, a person long before.
pub const DOCUMENT_DEPTH_MAX: usize = 100;
/// Findings in one answer; the rest is counted. Nobody mends more than that at a time.
pub const FINDINGS_MAX: usize = 100;
/// Findings that look for the nearest known name: each compares with every name there is.
pub const SUGGESTIONS_MAX: usize = 50;
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 100;
/// Workflows of one manifest.
pub const WORKFLOWS_PER_MANIFEST_MAX: usize = 100;
/// Dependencies of one plan, declared and implied: a plan of 1 000 tasks with 20 each.
pub const PLAN_EDGES_MAX: usize = 20_000;
/// Bytes of a plan as it is recorded, so that one workflow stays a small part of a segment.
pub const PLAN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of an author's version.
pub const VERSION_BYTES_MAX: usize = 100;
/// Bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 10_000;
/// Bytes of one condition; a longer one is a task of its own.
pub const CONDITION_BYTES_MAX: usize = 2_000;
/// Bytes of one JSON Schema.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one template.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;
/// Levels of nesting in a template.
pub const TEMPLATE_DEPTH_MAX: usize = 64;
/// References in one template.
pub const TEMPLATE_REFERENCES_MAX: usize = 1_000;
/// Steps in the path of one reference.
pub const PATH_STEPS_MAX: usize = 64;
/// Bytes, about, of what a template resolves to: a few references to one large value must not
/// multiply it beyond memory.
pub const RESOLVED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Levels of nesting of what a template resolves to: readers of JSON stop at 128.
pub const RESOLVED_DEPTH_MAX: usize = 120;
/// Attempts in all: the first and at most ten retries.
pub const ATTEMPTS_MAX: u64 = 11;
/// Longest duration that can be written: ten years, so that sums of times never overflow.
pub const DURATION_MS_MAX: u64 = 10 * 366 * 24 * 60 * 60 * 1_000;
/// Agents of one manifest, and its groups: together as many as one deployment may declare.
pub const AGENTS_PER_MANIFEST_MAX: usize = crate::limits::GROUPS_MAX;
/// Declared skills of one manifest: ten for each agent of a large one.
pub const SKILLS_PER_MANIFEST_MAX: usize = 10_000;
/// Limits of one kind in one manifest: one for each skill.
pub const LIMITS_MAX: usize = SKILLS_PER_MANIFEST_MAX;
/// Schedules of one manifest.
pub const SCHEDULES_MAX: usize = 1_000;
/// Missed times that one schedule makes up for: more would be a flood after a long stop.
pub const SCHEDULE_CATCH_UP_MAX: u32 = 1_000;
/// Bytes of a cron pattern: each of its fields may list every value it can have.
pub const CRON_BYTES_MAX: usize = 500;
/// Bytes of the name of a time zone; the longest there is has 32.
pub const ZONE_BYTES_MAX: usize = 100;
/// Skills of one agent.
pub const SKILLS_PER_AGENT_MAX: usize = 100;
/// Tasks of one skill at one time: as many as an instance can be allowed at all.
pub const CONCURRENCY_MAX: u64 = 1_000_000;
/// Program and arguments of a command; a longer list is a file.
pub const ARGUMENTS_MAX: usize = 256;
/// Bytes of one argument.
pub const ARGUMENT_BYTES_MAX: usize = 4_096;
/// Parts of the host that a command sees.
pub const MOUNTS_MAX: usize = 32;
/// Variables of a command, and headers of a call.
pub const PAIRS_MAX: usize = 64;
/// Bytes of a variable's or a header's value.
pub const PAIR_BYTES_MAX: usize = 8_192;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Bytes of an address.
pub const URL_BYTES_MAX: usize = 2_048;
/// Longest answer of a service: it is held in memory, and a larger one is a file.
pub const RESPONSE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest call of a service or command: longer work is a task that is asked for again.
pub const CALL_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Statuses or exit codes in one list.
pub const CODES_MAX: usize = 256;
