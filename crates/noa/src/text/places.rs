//! Where each value of a document stands: JSON pointers to lines and columns.

use std::collections::BTreeMap;

/// Bytes of a pointer that has a place of its own: what is deeper has the place of what is above it.
/// Manifests have pointers of 100; a key that is long is written once, and the pointers to all that is
/// below it would have it.
const POINTER_BYTES_MAX: usize = 4 << 10;
/// Bytes of all pointers that have a place.
const PLACES_BYTES_MAX: usize = 64 << 20;

/// Lines and columns, both from 1, by JSON pointer.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: BTreeMap<String, (usize, usize)>,
    bytes: usize,
}

impl Places {
    /// Notes a place, if there is a pointer to it, and room.
    pub(super) fn put(&mut self, pointer: Option<&str>, line: usize, column: usize) {
        let Some(pointer) = pointer else { return };
        if self.bytes + pointer.len() <= PLACES_BYTES_MAX {
            self.bytes += pointer.len();
            self.places.insert(pointer.to_owned(), (line, column));
        }
    }

    /// The place of a value, or of the nearest one above it.
    pub(super) fn nearest(&self, pointer: &str) -> (usize, usize) {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
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

/// The same, if it is short enough to have a place.
pub(super) fn near_member(above: Option<&str>, key: &str) -> Option<String> {
    let pointer = member(above?, key);
    (pointer.len() <= POINTER_BYTES_MAX).then_some(pointer)
}

/// As before.
pub(super) fn near_item(above: Option<&str>, index: usize) -> Option<String> {
    let pointer = item(above?, index);
    (pointer.len() <= POINTER_BYTES_MAX).then_some(pointer)
}
