//! Settings of an instance: plain data. Components (clock, skills, rules) are arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ark_os_core::budget::Amounts;
use ark_os_core::limits::{AGENTS_MAX, LEASE_MS, RUNS_RESIDENT_MAX};
use ark_os_core::rules::Mode;

use crate::messages::{MAILBOX, MailboxRule};

/// How an instance is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where journal, blobs, views and keys lie.
    pub data_dir: PathBuf,
    /// Size of the fleet at the start.
    pub agents: u32,
    /// The most that it can be scaled to.
    pub agents_max: u32,
    /// How risky steps are treated.
    pub mode: Mode,
    /// Attempts that one agent may have under way.
    pub agent_concurrency: u32,
    /// Attempts of one skill at one time, by its name; a skill that is not named has no limit of its
    /// own.
    pub skill_concurrency: BTreeMap<String, u32>,
    /// Attempts of the whole instance at one time.
    pub concurrent_tasks_max: u32,
    /// Runs in memory to which something happens; more wait on disk.
    pub runs_resident_max: u32,
    /// Time for one attempt where its task does not say.
    pub task_timeout: Duration,
    /// The lease of a progress token: an attempt that does not renew it is given up.
    pub lease: Duration,
    /// A remote worker is expected to be heard of this often: suspect after two intervals of silence,
    /// offline after three.
    pub heartbeat: Duration,
    /// What each namespace may use up.
    pub namespace_budget: Amounts,
    /// Space reserved for a journal segment.
    pub segment_bytes: u64,
    /// Where archived segments go; none: into the data directory.
    pub archive_dir: Option<PathBuf>,
    /// A segment that nothing needs is archived when its newest record is older than this.
    pub audit_retention: Duration,
    /// Or when the segments that are not archived have more bytes together.
    pub live_bytes_max: u64,
    /// A snapshot is made when so many records came after the one before it.
    pub snapshot_records: u64,
    /// What the mailbox of each agent holds.
    pub mailbox: MailboxRule,
    /// How long a batch may wait for work that is in flight.
    pub batch_wait: Duration,
    /// Records of one batch.
    pub batch_records_max: u32,
    /// Worker threads; 0: one a processor, at least two.
    pub workers: usize,
    /// Attempts at one time that wait for a command or a service, each on a thread of its own.
    pub external_concurrency: usize,
}

impl Settings {
    /// The defaults, for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Settings {
            data_dir: data_dir.into(),
            agents: 100,
            agents_max: AGENTS_MAX,
            mode: Mode::Supervised,
            agent_concurrency: 4,
            skill_concurrency: BTreeMap::new(),
            concurrent_tasks_max: 1_000,
            runs_resident_max: RUNS_RESIDENT_MAX,
            task_timeout: Duration::from_secs(300),
            lease: Duration::from_millis(LEASE_MS),
            heartbeat: Duration::from_secs(30),
            namespace_budget: Amounts::UNLIMITED,
            segment_bytes: 64 << 20,
            archive_dir: None,
            audit_retention: Duration::from_secs(30 * 24 * 3_600),
            live_bytes_max: u64::MAX,
            snapshot_records: 200_000,
            mailbox: MAILBOX,
            batch_wait: Duration::from_micros(200),
            batch_records_max: 16_384,
            workers: 0,
            external_concurrency: 256,
        }
    }
}
