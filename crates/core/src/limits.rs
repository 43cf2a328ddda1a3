//! The named limits of the core: beyond each there is a typed error, never growth.

/// A payload up to this size travels inside its record and stays in memory with its run; larger
/// ones become blobs. 16 KiB keeps a map of 10 000 results below 160 MiB in the worst case.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Tasks of one plan. Larger fan-out is what `map` is for; validation is quadratic nowhere, but
/// a person has to be able to read a plan.
pub const PLAN_TASKS_MAX: usize = 1_000;
/// Children of one `map`.
pub const MAP_CHILDREN_MAX: u32 = 10_000;
/// Runs that are not over, waiting ones included; beyond it intake answers `overloaded`. One that
/// waits on disk takes 64 bytes of memory: 256 MiB in all.
pub const RUNS_LIVE_MAX: usize = 4_000_000;
/// Runs in memory to which something happens, where the instance does not say: more than a fleet
/// can work on at one time, so that nobody waits for the disk. About 2 KiB each, besides data.
pub const RUNS_RESIDENT_MAX: u32 = 20_000;
/// One part in so many of those places is kept for critical work, and as much again for emergencies:
/// 1 250 of 20 000, which is more than one instance works on at one time.
pub const RUNS_URGENT_PART: usize = 16;
/// Runs that rest in memory (paused, parked, between attempts) do not take the places of others,
/// until there are so many times more of all than places: then whoever waits on disk waits for them.
pub const RUNS_RESTING_TIMES: usize = 10;
/// Where parents fill all that, their children may make it so many times more: without them nobody
/// in memory would ever end.
pub const CHILDREN_ROOM_TIMES: usize = 2;
/// Runs read from disk in one go: at most 16 MiB of inputs, and the loop takes each in a microsecond
/// or two.
pub const RUNS_FETCHED_MAX: usize = 1_024;
/// Runs that failed, were cancelled or parked and then ended, kept for `retry`.
pub const RUNS_ENDED_KEPT_MAX: usize = 4_096;
/// Admissions known at one time, about 2 KiB each; the oldest makes room. A run keeps the one it
/// is under, and a version whose admission is gone is decided about again when it next comes.
pub const WORKFLOWS_MAX: usize = 10_000;
/// Idempotency keys kept at one time (about 150 bytes each).
pub const KEYS_MAX: usize = 5_000_000;
/// How long an idempotency key is kept.
pub const KEY_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;
/// Signals that a run keeps until a task waits for them: each may carry an inline payload, so a run
/// keeps 1 MiB at most.
pub const SIGNALS_KEPT_MAX: usize = 64;
/// Runs above a run: a child of a child, and so on.
pub const CHILD_DEPTH_MAX: u32 = 6;
/// Attempts lost to the death of an agent before a task is poison.
pub const LOST_ATTEMPTS_MAX: u32 = 5;
/// The lease of a progress token where the instance does not say.
pub const LEASE_MS: u64 = 10_000;
/// Attempts started by one decision: keeps a record, and the time until the next input, short.
pub const DISPATCH_MAX: usize = 64;
/// Partial proofs without a new effect or checkpoint before a task stalls.
pub const STALL_PARTIALS_MAX: u32 = 5;
/// Equal steps with equal results before a task stalls.
pub const STALL_REPEATS_MAX: u32 = 3;
/// Steps of one attempt.
pub const STEPS_MAX: u32 = 10_000;
/// Refused results of an agent before it is restarted.
pub const STRIKES_MAX: u32 = 3;
/// Restarts of an agent in a row before it is replaced.
pub const AGENT_RESTARTS_MAX: u32 = 3;
/// First pause before a failed agent is restarted; doubles with each restart.
pub const AGENT_BACKOFF_MS: u64 = 200;
/// Delegation depth below a root authority.
pub const DELEGATION_DEPTH_MAX: u8 = 6;
/// Agents of one declared group: one more is a second group.
pub const GROUP_AGENTS_MAX: u32 = 1_000;
/// Declared groups of one deployment: a person has to be able to read it.
pub const GROUPS_MAX: usize = 1_000;
/// Declared agents of one deployment.
pub const DECLARED_AGENTS_MAX: u32 = 100_000;
/// Tasks of one declared agent at one time, so that sums over a fleet fit their counters.
pub const GROUP_CONCURRENCY_MAX: u32 = 1_000;
/// Skills of one declared group.
pub const GROUP_SKILLS_MAX: usize = 100;
/// Seats of one instance from its start on, those that were left included: 70 bytes each, and no
/// number is given out twice before the next start.
pub const SEATS_MAX: u32 = 1_000_000;
/// Declared groups of one instance from its start on, those that were replaced included.
pub const GROUPS_KEPT_MAX: usize = 100_000;
/// Deployments that the state remembers after their end.
pub const DEPLOYMENTS_KEPT_MAX: usize = 32;
/// Bytes of a deployment as it is recorded, besides a manifest that is a blob: a record has 16 MiB.
pub const DEPLOYMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Time for the health checks of a deployment where nobody says.
pub const HEALTH_MS: u64 = 60_000;
/// Agents of one fleet.
pub const AGENTS_MAX: u32 = 200_000;
/// Skills that a fleet has had since its journal began, whoever brought them (about 100 bytes each,
/// looked through when a workflow is let in); more than any fleet offers.
pub const SKILLS_KEPT_MAX: usize = 10_000;
/// Bytes of a reason given by a person.
pub const REASON_BYTES_MAX: usize = 1_000;
/// Bytes of an error message that is recorded.
pub const ERROR_BYTES_MAX: usize = 2_000;
/// Causes kept in the final error of a task (one for each attempt).
pub const CAUSES_MAX: usize = 16;
/// Failures inside one another, as causes. We nest three; foreign bytes must not exhaust the stack.
pub const FAILURE_DEPTH_MAX: usize = 64;
/// Replacements of an agent in a row before its supervisor is told: the second shows that another in
/// its seat does not help.
pub const AGENT_REPLACED_MAX: u32 = 2;
/// Time for one layer to see to an escalation before it goes one up: from a chief it takes four
/// minutes to a person.
pub const ESCALATION_MS: u64 = 60_000;
/// The same for an effect in doubt: only a person can say, who is to hear of it within a minute.
pub const ESCALATION_URGENT_MS: u64 = 10_000;
/// Time after which it is looked at whether a remedy helped.
pub const REMEDY_CHECK_MS: u64 = 30_000;
/// How long an agent is quarantined by rule; then it is tried again.
pub const QUARANTINE_MS: u64 = 600_000;
/// One part in so many of those who can do the same work may be quarantined by rule at one time.
pub const QUARANTINE_PART: usize = 4;
/// Escalations open at one time, about 300 bytes each; tasks that come beyond are told of later.
pub const ESCALATIONS_OPEN_MAX: usize = 10_000;
/// No more of them are open when tasks that came beyond are told of: to find them all runs are looked
/// at, which is to be worth a thousand of them.
pub const ESCALATIONS_RESUME_MAX: usize = ESCALATIONS_OPEN_MAX / 10 * 9;
/// Remedies of one row of failures that are remembered, the newest: two replacements of an agent with
/// the restarts before each, and what it was throttled after them.
pub const RUNGS_MAX: usize = 16;
/// Escalations that are over and still shown.
pub const ESCALATIONS_KEPT_MAX: usize = 1_000;
/// Emergency measures in force at one time: a person has to see them all.
pub const MEASURES_MAX: usize = 1_000;
/// The longest time for a measure.
pub const MEASURE_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// What a 32-bit counter of a snapshot may stand at: one at the brink would overflow afterwards.
pub const COUNT_MAX: u32 = u32::MAX / 2;
/// The same for a 64-bit counter.
pub const COUNTER_MAX: u64 = u64::MAX / 2;
/// Keys of limits of which something is known at one time, about 300 bytes each besides their last
/// beginnings; a task of one more fails.
pub const LIMIT_KEYS_MAX: usize = 100_000;
/// Tasks of one key that may begin in a period: each is remembered for so long, in eight bytes.
pub const RATE_COUNT_MAX: u32 = 1_000;
/// The longest period of a rate, 31 days: a key that was used takes up a place for as long.
pub const RATE_PER_MS_MAX: u64 = 31 * 24 * 60 * 60 * 1_000;
/// Bytes of a key as it is kept; a longer one is kept as its digest.
pub const LIMIT_KEY_BYTES_MAX: usize = 200;
/// Schedules of one instance, about 1 KiB each besides workflow and input.
pub const SCHEDULES_MAX: usize = 10_000;
/// Missed times that one schedule makes up for: more would be a flood after a long stop.
pub const SCHEDULE_CATCH_UP_MAX: u32 = 1_000;
/// Times of one schedule that wait for its run to be over; what is due beyond is skipped, and recorded.
pub const SCHEDULE_QUEUE_MAX: usize = 100;
/// A time that is no older than this was not missed: it was late, as after a quick restart.
pub const SCHEDULE_LATE_MS_MAX: u64 = 60_000;
/// Bytes of a cron pattern.
pub const CRON_BYTES_MAX: usize = 200;
/// Bytes of a time zone's name; the longest known has 32.
pub const ZONE_BYTES_MAX: usize = 64;
/// Jitter of a schedule: a day.
pub const SCHEDULE_JITTER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Settings that change at one time: there are fewer keys.
pub const SETTINGS_CHANGED_MAX: usize = 100;
/// Bytes of one of their values: log levels by module are the longest of those that may change.
pub const SETTING_BYTES_MAX: usize = 4_096;
