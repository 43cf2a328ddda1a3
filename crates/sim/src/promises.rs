//! What the checker holds every world against, for people who want to know what was checked.

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Promise {
    /// As violations name it.
    pub invariant: &'static str,
    /// In words.
    pub text: &'static str,
}

/// Every promise that is checked in every world.
pub const PROMISES: [Promise; 21] = [
    Promise { invariant: "I1", text: "what was acknowledged survives every crash" },
    Promise { invariant: "I2", text: "a task has one end, and it stays" },
    Promise { invariant: "I3", text: "no effect happens twice under one key" },
    Promise { invariant: "I4", text: "late work changes nothing" },
    Promise {
        invariant: "I5",
        text: "states never go back, and attempts stay within their number",
    },
    Promise { invariant: "I6", text: "nothing is seen outside before it is on the disk" },
    Promise { invariant: "I7", text: "nothing begins after a cancellation was acknowledged" },
    Promise { invariant: "I8", text: "what is replayed after a crash is the state of before" },
    Promise { invariant: "I9", text: "the journal verifies from end to end" },
    Promise { invariant: "I10", text: "every effect has a durable intent" },
    Promise { invariant: "I11", text: "no budget is passed" },
    Promise { invariant: "I12", text: "nobody has more authority than whom it comes from" },
    Promise { invariant: "I17", text: "time in the journal never goes back" },
    Promise { invariant: "I18", text: "everybody is answered, once" },
    Promise { invariant: "I19", text: "no progress token is lost or made" },
    Promise { invariant: "I20", text: "a deployment takes place whole or not at all" },
    Promise { invariant: "I21", text: "what was escalated has a next step, and a measure an end" },
    Promise { invariant: "archive", text: "nothing that is needed is archived" },
    Promise {
        invariant: "limit",
        text: "no key has more at work, or begun in its period, than its limit says",
    },
    Promise { invariant: "keeper", text: "snapshots fail only with the disk" },
    Promise { invariant: "liveness", text: "every run comes to its end" },
];
