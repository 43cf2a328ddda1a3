//! Where each value of a document stands: JSON pointers to lines and columns.

use std::collections::BTreeMap;

/// Lines and columns, both from 1, by JSON pointer.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<String, (usize, usize)>);

impl Places {
    /// Notes a place.
    pub(super) fn put(&mut self, pointer: &str, line: usize, column: usize) {
        self.0.insert(pointer.to_owned(), (line, column));
    }

    /// The place of a value, or of the nearest one above it.
    pub(super) fn nearest(&self, pointer: &str) -> (usize, usize) {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.0.get(pointer) {
                return *place;
            }
            match pointer.rsplit_once('/') {
                Some((above, _)) => pointer = above,
                None => return (1, 1),
            }
        }
    }
}

/// The pointer to a member of what `above` points at.
#[must_use]
pub fn member(above: &str, key: &str) -> String {
    format!("{above}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer to an item of what `above` points at.
#[must_use]
pub fn item(above: &str, index: usize) -> String {
    format!("{above}/{index}")
}
