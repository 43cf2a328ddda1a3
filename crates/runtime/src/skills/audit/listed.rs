//! A list that counts everything and keeps the first of it, so that a hostile tree cannot make an
//! answer or a report grow without end.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// How much a list keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) items: usize,
    /// In bytes of JSON.
    pub(super) bytes: usize,
}

/// What was found: how many in all, and the first of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Listed<T> {
    pub(super) total: u64,
    pub(super) listed: Vec<T>,
    #[serde(skip)]
    bytes: usize,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { total: 0, listed: Vec::new(), bytes: 0 }
    }
}

impl<T: Serialize> Listed<T> {
    pub(super) fn add(&mut self, item: T, keep: Keep) {
        self.total += 1;
        if self.listed.len() >= keep.items || self.bytes >= keep.bytes {
            return;
        }
        let bytes = serde_json::to_vec(&item).map_or(usize::MAX, |text| text.len() + 1);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= keep.bytes {
            self.listed.push(item);
        }
    }

    /// Takes in another list: all of its count, and of its items what there is room for.
    pub(super) fn absorb(&mut self, other: Self, keep: Keep) {
        let total = self.total.saturating_add(other.total);
        for item in other.listed {
            self.add(item, keep);
        }
        self.total = total;
    }
}

/// Writes a list with one item a line, however wide the rest of the document is spread.
pub(super) fn one_a_line<T: Serialize, S: Serializer>(
    list: &Listed<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let failed = <S::Error as serde::ser::Error>::custom::<serde_json::Error>;
    let mut text = String::from("[");
    for (index, item) in list.listed.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&serde_json::to_string(item).map_err(failed)?);
    }
    text.push(']');
    let listed = RawValue::from_string(text).map_err(failed)?;
    Lines { total: list.total, listed }.serialize(to)
}

#[derive(Serialize)]
struct Lines {
    total: u64,
    listed: Box<RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_still_counted() {
        let keep = Keep { items: 3, bytes: 1000 };
        let mut list = Listed::default();
        (0..5).for_each(|n| list.add(n, keep));
        assert_eq!((list.total, list.listed.as_slice()), (5, &[0, 1, 2][..]));
        let mut both = Listed::default();
        both.add(9, keep);
        both.absorb(list, keep);
        assert_eq!((both.total, both.listed.as_slice()), (6, &[9, 0, 1][..]));
    }

    #[test]
    fn the_list_stops_at_its_bytes() {
        let mut list = Listed::default();
        (0..5).for_each(|_| list.add("x".repeat(30), Keep { items: 100, bytes: 70 }));
        assert_eq!((list.total, list.listed.len()), (5, 2));
    }
}
