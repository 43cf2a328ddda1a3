//! What the checker holds every world against, for people who want to know what was checked.

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Promise {
    /// As violations name it.
    pub invariant: &'static str,
    /// In words.
    pub text: &'static str,
}

const fn promise(invariant: &'static str, text: &'static str) -> Promise {
    Promise { invariant, text }
}

/// Every promise that is checked in every world.
pub const PROMISES: [Promise; 24] = [
    promise("I1", "what was acknowledged survives every crash"),
    promise("I2", "a task has one end, and it stays"),
    promise("I3", "no effect happens twice under one key"),
    promise("I4", "late work changes nothing"),
    promise("I5", "states never go back, and attempts stay within their number"),
    promise("I6", "nothing is seen outside before it is on the disk"),
    promise("I7", "nothing begins after a cancellation was acknowledged"),
    promise("I8", "what is replayed after a crash is the state of before"),
    promise("I9", "the journal verifies from end to end"),
    promise("I10", "every effect has a durable intent"),
    promise("I11", "no budget is passed"),
    promise("I12", "nobody has more authority than whom it comes from"),
    promise("I17", "time in the journal never goes back"),
    promise("I18", "everybody is answered, once"),
    promise("I19", "no progress token is lost or made"),
    promise("I20", "a deployment takes place whole or not at all"),
    promise("I21", "what was escalated has a next step, and a measure an end"),
    promise("I22", "a schedule's time is acted on once, by its rules, and none is lost"),
    promise("I23", "a fork reuses what came before its point, and repeats nothing of it"),
    promise("I24", "a changed setting holds for whatever begins afterwards"),
    promise("archive", "nothing that is needed is archived"),
    promise("limit", "no key has more at work, or begun in its period, than its limit says"),
    promise("keeper", "snapshots fail only with the disk"),
    promise("liveness", "every run comes to its end"),
];
