//! What stands over the screen and takes the keys: help, a search, a confirmation.

use super::act::{Action, Verb};
use crate::monitor::keys::Key;

/// Characters of a search or a reason that somebody types; the API takes 1 000 bytes of a reason.
const TYPED_MAX: usize = 200;

/// What is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialog {
    Help,
    /// The list of runs is searched, and shown as it is typed.
    Search {
        before: String,
    },
    /// Something is to be confirmed, with a reason.
    Confirm(Action),
}

/// What a key in a dialog came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// It stays open.
    Open,
    /// Somebody left it.
    Left,
    /// Somebody said yes.
    Done,
}

/// A key into a line of text.
pub(super) fn type_into(text: &mut String, key: Key) -> Typed {
    match key {
        Key::Char(c) if !c.is_control() && text.chars().count() < TYPED_MAX => text.push(c),
        Key::Backspace => {
            text.pop();
        }
        Key::Enter => return Typed::Done,
        Key::Escape => return Typed::Left,
        _ => {}
    }
    Typed::Open
}

impl Dialog {
    pub(crate) fn confirm(verb: Verb, target: String) -> Self {
        Dialog::Confirm(Action { verb, target, reason: String::new() })
    }
}
