//! What can be done to a run or a task from here.

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Pause,
    Resume,
    Cancel,
    Retry,
    Unpark,
}

impl Verb {
    /// The verb of a key.
    pub(crate) fn of(key: char) -> Option<Self> {
        Some(match key {
            'p' => Verb::Pause,
            'r' => Verb::Resume,
            'c' => Verb::Cancel,
            't' => Verb::Retry,
            'u' => Verb::Unpark,
            _ => return None,
        })
    }

    /// The word of the command line and the API.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Cancel => "cancel",
            Verb::Retry => "retry",
            Verb::Unpark => "unpark",
        }
    }

    /// What it means, for who confirms it.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Verb::Pause => "nothing more of it starts until it is resumed",
            Verb::Resume => "what was paused goes on",
            Verb::Cancel => "nothing new starts, what runs is stopped; it cannot be taken back",
            Verb::Retry => "the task that failed and what depends on it begin again",
            Verb::Unpark => "the task stands in line again",
        }
    }
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) verb: Verb,
    /// A run; to be unparked: a task.
    pub(crate) target: String,
    pub(crate) reason: String,
}
