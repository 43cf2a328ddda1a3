//! JSON into a value; a second pass over the text, which is known to be right by then, finds the
//! place of everything in it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::places::{Places, near_item, near_member};
use super::{Document, Fault};

/// Parses a text.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // Line and column go into the place.
        let message = message.split(" at line ").next().unwrap_or(&message);
        Fault::new(error.line().max(1), error.column().max(1), message)
    })?;
    let mut locating =
        Locating { rest: text.chars().peekable(), line: 1, column: 1, places: Places::default() };
    locating.walk()?;
    Ok(Document { value, places: locating.places })
}

/// A collection that is not closed yet.
struct Open {
    /// None: too deep for a place of its own.
    pointer: Option<String>,
    form: Form,
}

enum Form {
    List { next: usize },
    Map { keys: BTreeSet<String>, key: Option<String> },
}

struct Locating<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    places: Places,
}

impl Locating<'_> {
    fn walk(&mut self) -> Result<(), Fault> {
        let mut open: Vec<Open> = Vec::new();
        while let Some(next) = self.rest.peek().copied() {
            let (line, column) = (self.line, self.column);
            match next {
                '{' | '[' => {
                    let pointer = self.begin_value(&mut open, line, column);
                    let form = match next {
                        '{' => Form::Map { keys: BTreeSet::new(), key: None },
                        _ => Form::List { next: 0 },
                    };
                    open.push(Open { pointer, form });
                    self.advance();
                }
                '}' | ']' => {
                    open.pop();
                    self.advance();
                }
                '"' => {
                    let text = self.string();
                    let map = open.last_mut().map(|open| &mut open.form);
                    match map {
                        Some(Form::Map { keys, key: key @ None }) => {
                            if !keys.insert(text.clone()) {
                                let message = format!("the key `{text}` is there twice");
                                return Err(Fault::new(line, column, message));
                            }
                            *key = Some(text);
                        }
                        _ => {
                            self.begin_value(&mut open, line, column);
                        }
                    }
                }
                ',' | ':' => self.advance(),
                c if c.is_whitespace() => self.advance(),
                _ => {
                    self.begin_value(&mut open, line, column);
                    self.word();
                }
            }
        }
        Ok(())
    }

    /// Notes the place of a value that begins here.
    fn begin_value(&mut self, open: &mut [Open], line: usize, column: usize) -> Option<String> {
        let pointer = match open.last_mut() {
            None => Some(String::new()),
            Some(Open { pointer, form: Form::List { next } }) => {
                *next += 1;
                near_item(pointer.as_deref(), *next - 1)
            }
            Some(Open { pointer, form: Form::Map { key, .. } }) => {
                near_member(pointer.as_deref(), &key.take().unwrap_or_default())
            }
        };
        self.places.put(pointer.as_deref(), line, column);
        pointer
    }

    fn advance(&mut self) {
        match self.rest.next() {
            Some('\n') => {
                self.line += 1;
                self.column = 1;
            }
            _ => self.column += 1,
        }
    }

    /// Goes over a number or a word.
    fn word(&mut self) {
        while self.rest.peek().is_some_and(|c| !c.is_whitespace() && !",:]}[{\"".contains(*c)) {
            self.advance();
        }
    }

    /// Goes over a string and reads it.
    fn string(&mut self) -> String {
        let mut raw = String::from('"');
        self.advance();
        while let Some(c) = self.rest.peek().copied() {
            raw.push(c);
            self.advance();
            if c == '\\' {
                raw.extend(self.rest.peek().copied());
                self.advance();
            } else if c == '"' {
                break;
            }
        }
        serde_json::from_str(&raw).unwrap_or(raw)
    }
}
