//! The live view of a running instance in the terminal.
//!
//! [`model`] is what is shown and how it changes (`(Model, Input) → Model + Requests`, pure), [`draw`]
//! paints it (pure), [`fetch`] asks the instance on a thread of its own, [`live`] is the loop between
//! keys, answers and the screen, [`once`] prints one screen or one document.

mod draw;
mod fetch;
mod keys;
mod live;
mod model;
mod once;
mod rows;
mod screen;
#[cfg(test)]
mod tests;

pub(crate) use live::watch;
pub(crate) use once::{print_documents, print_screen};

/// How the view is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Between two looks at the instance, in milliseconds.
    pub(crate) interval_ms: u64,
    /// Whose runs.
    pub(crate) namespace: String,
}
