//! Planted bugs: each proves that the checker sees what it should see.
//!
//! The driver of the simulation owns everything that flows between loop, journal and agents, so
//! each bug is a corruption of that flow and the product needs no hook for it.

use std::fmt;

/// A bug that the simulated driver has on request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// The loop is told that a batch is durable before it is written.
    AcknowledgedBeforeSync,
    /// External attempts begin when they are decided, not when their record is durable.
    EffectReleasedEarly,
    /// A result under a stale fence is presented under the current one.
    StaleFenceAccepted,
    /// Timers of retries never become due.
    LostRetry,
    /// Timers of escalations and measures never become due.
    LostEscalation,
    /// Now and then the outcome of a preparation never arrives.
    LostWakeup,
    /// A task with several needs is put in line once for each of them.
    DoubleJoin,
    /// The last record is left out when the journal is replayed.
    LastRecordSkipped,
    /// Effects are performed before the answer to their intent.
    IntentForgotten,
    /// A cancellation is acknowledged before it is decided.
    CancelAcknowledgedEarly,
    /// Steps reserve nothing; what they cost is told afterwards.
    BudgetReservedAfter,
    /// Effects that must not be repeated are declared repeatable.
    DoubtRepeated,
    /// Idempotency keys are dropped on the way in.
    KeyForgotten,
    /// Syncs of files report success and do nothing.
    SyncLies,
    /// Syncs of directories report success and do nothing.
    DirSyncLies,
    /// Replayed timers fire before the instance starts, so that a time out of service counts
    /// against attempts and agents.
    TimersBeforeStart,
    /// A snapshot is taken of the loop's own state, which is ahead of what is synced.
    SnapshotOfUnsynced,
    /// A snapshot forgets the fences of attempts that are over.
    SnapshotForgetsFences,
    /// After a crash a run that was read from disk is loaded twice.
    LoadedTwice,
    /// A run that is read from disk has lost its deadline.
    DeadlineForgotten,
    /// Now and then a run that was called in from disk never comes.
    FetchLost,
    /// A step that a crash left open is performed without asking whether it happened.
    ProbeSkipped,
    /// It is asked at once, and `no` is trusted while the effect is still on its way.
    ProbeTooEarly,
    /// A snapshot gets its name before its bytes are on the platter.
    SnapshotSyncLies,
    /// The oldest segment is archived, whoever needs it.
    NeededArchived,
    /// Now and then a signal is acknowledged and dropped.
    SignalForgotten,
    /// A signal that is sent again under its key has lost the key.
    SignalRepeated,
    /// A signal ends one wait more than it should.
    SignalUsedTwice,
    /// A child run begins twice.
    ChildStartedTwice,
    /// A task hears of the end of its child before that is over.
    ChildEndedEarly,
    /// What a task adds to its run is added twice.
    TasksAddedTwice,
    /// A worker that leaves is not heard.
    LeaveUnheard,
    /// Agents of a deployment are said to be healthy without a look at them.
    HealthUnasked,
    /// The limits of a plan are forgotten on the way in.
    LimitForgotten,
    /// A time of a schedule begins two runs.
    FiredTwice,
    /// A schedule's rule for missed times is forgotten on the way in.
    CatchUpForgotten,
    /// A schedule's rule for runs that are not over is forgotten on the way in.
    OverlapForgotten,
    /// A fork does not take along the last that was done before its point.
    ForkForgets,
    /// A fork takes along what was done after its point.
    ForkOfLater,
    /// Settings that change are recorded, and hold for nothing.
    SettingsForgotten,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 40] = [
        Bug::AcknowledgedBeforeSync,
        Bug::EffectReleasedEarly,
        Bug::StaleFenceAccepted,
        Bug::LostRetry,
        Bug::LostEscalation,
        Bug::LostWakeup,
        Bug::DoubleJoin,
        Bug::LastRecordSkipped,
        Bug::IntentForgotten,
        Bug::CancelAcknowledgedEarly,
        Bug::BudgetReservedAfter,
        Bug::DoubtRepeated,
        Bug::KeyForgotten,
        Bug::SyncLies,
        Bug::DirSyncLies,
        Bug::TimersBeforeStart,
        Bug::SnapshotOfUnsynced,
        Bug::SnapshotForgetsFences,
        Bug::LoadedTwice,
        Bug::DeadlineForgotten,
        Bug::FetchLost,
        Bug::ProbeSkipped,
        Bug::ProbeTooEarly,
        Bug::SnapshotSyncLies,
        Bug::NeededArchived,
        Bug::SignalForgotten,
        Bug::SignalRepeated,
        Bug::SignalUsedTwice,
        Bug::ChildStartedTwice,
        Bug::ChildEndedEarly,
        Bug::TasksAddedTwice,
        Bug::LeaveUnheard,
        Bug::HealthUnasked,
        Bug::LimitForgotten,
        Bug::FiredTwice,
        Bug::CatchUpForgotten,
        Bug::OverlapForgotten,
        Bug::ForkForgets,
        Bug::ForkOfLater,
        Bug::SettingsForgotten,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Bug::AcknowledgedBeforeSync => "acknowledged-before-sync",
            Bug::EffectReleasedEarly => "effect-released-early",
            Bug::StaleFenceAccepted => "stale-fence-accepted",
            Bug::LostRetry => "lost-retry",
            Bug::LostEscalation => "lost-escalation",
            Bug::LostWakeup => "lost-wakeup",
            Bug::DoubleJoin => "double-join",
            Bug::LastRecordSkipped => "last-record-skipped",
            Bug::IntentForgotten => "intent-forgotten",
            Bug::CancelAcknowledgedEarly => "cancel-acknowledged-early",
            Bug::BudgetReservedAfter => "budget-reserved-after",
            Bug::DoubtRepeated => "doubt-repeated",
            Bug::KeyForgotten => "key-forgotten",
            Bug::SyncLies => "sync-lies",
            Bug::DirSyncLies => "dir-sync-lies",
            Bug::TimersBeforeStart => "timers-before-start",
            Bug::SnapshotOfUnsynced => "snapshot-of-unsynced",
            Bug::SnapshotForgetsFences => "snapshot-forgets-fences",
            Bug::LoadedTwice => "loaded-twice",
            Bug::DeadlineForgotten => "deadline-forgotten",
            Bug::FetchLost => "fetch-lost",
            Bug::ProbeSkipped => "probe-skipped",
            Bug::ProbeTooEarly => "probe-too-early",
            Bug::SnapshotSyncLies => "snapshot-sync-lies",
            Bug::NeededArchived => "needed-archived",
            Bug::SignalForgotten => "signal-forgotten",
            Bug::SignalRepeated => "signal-repeated",
            Bug::SignalUsedTwice => "signal-used-twice",
            Bug::ChildStartedTwice => "child-started-twice",
            Bug::ChildEndedEarly => "child-ended-early",
            Bug::TasksAddedTwice => "tasks-added-twice",
            Bug::LeaveUnheard => "leave-unheard",
            Bug::HealthUnasked => "health-unasked",
            Bug::LimitForgotten => "limit-forgotten",
            Bug::FiredTwice => "fired-twice",
            Bug::CatchUpForgotten => "catch-up-forgotten",
            Bug::OverlapForgotten => "overlap-forgotten",
            Bug::ForkForgets => "fork-forgets",
            Bug::ForkOfLater => "fork-of-later",
            Bug::SettingsForgotten => "settings-forgotten",
        }
    }

    /// The bug of this name.
    pub fn parse(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
