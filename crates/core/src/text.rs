//! Shared text: cheap to clone, immutable, encoded as a CBOR string.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

/// A shared string. Names of skills, workflows, tasks, namespaces and keys are `Text`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Text(Arc<str>);

impl Text {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Foreign text on one line: control characters, which could move a cursor, forge lines or turn text
/// round, become spaces.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect()
}

/// Line separators, and marks that change the direction of what follows.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// So many characters of the beginning of a foreign text, on one line.
pub fn beginning(text: &str, chars_max: usize) -> String {
    let cut = text.char_indices().nth(chars_max).map_or(text.len(), |(end, _)| end);
    one_line(text.get(..cut).unwrap_or_default()).trim().to_owned()
}

/// So many characters of the end of a foreign text, on one line.
pub fn ending(text: &str, chars_max: usize) -> String {
    let text = text.trim_end();
    let last = text.char_indices().rev().take(chars_max).last();
    one_line(text.get(last.map_or(text.len(), |(at, _)| at)..).unwrap_or_default())
        .trim()
        .to_owned()
}

impl Default for Text {
    fn default() -> Self {
        Text(Arc::from(""))
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(Arc::from(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(Arc::from(text))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<C> minicbor::Encode<C> for Text {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Text {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.str().map(Text::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_move_the_cursor_and_is_cut_at_characters() {
        assert_eq!(one_line("a\x1b[2Jb\nc"), "a [2Jb c");
        assert_eq!(beginning(" \nä\tö!", 5), "ä ö");
        assert_eq!(ending("no\rä ö\n", 3), "ä ö");
        assert_eq!((beginning("a", 9), ending("a", 9)), ("a".to_owned(), "a".to_owned()));
        assert_eq!((beginning("a", 0), ending("a", 0)), (String::new(), String::new()));
    }
}
