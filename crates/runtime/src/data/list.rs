//! Lists that maps go over: read once, then each child cuts its item out of the text.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::limits::MAP_CHILDREN_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DataError;
use super::json::offset;

/// A list and the places of its items.
#[derive(Debug)]
pub(super) struct List {
    text: Arc<[u8]>,
    items: Vec<Range<u32>>,
}

impl List {
    /// Reads the text: `Invalid` if it is not a list, `Exhausted` if it is longer than a map.
    pub(super) fn read(text: Arc<[u8]>) -> Result<List, DataError> {
        let mut items = Vec::new();
        let mut too_long = false;
        let mut reader = serde_json::Deserializer::from_slice(&text);
        let read = Items { text: &text, items: &mut items, too_long: &mut too_long }
            .deserialize(&mut reader)
            .and_then(|()| reader.end());
        match read {
            _ if too_long => Err(DataError::new(
                Kind::Exhausted,
                format!("read the list: it has more than {MAP_CHILDREN_MAX} items"),
            )),
            Err(error) => Err(DataError::invalid(format!("read the list: {error}"))),
            Ok(()) => Ok(List { text, items }),
        }
    }

    pub(super) fn len(&self) -> u32 {
        // At most `MAP_CHILDREN_MAX`.
        self.items.len() as u32
    }

    /// The text of an item.
    pub(super) fn item(&self, index: u32) -> Option<&[u8]> {
        let place = self.items.get(index as usize)?;
        self.text.get(place.start as usize..place.end as usize)
    }

    /// Bytes of memory that it takes.
    pub(super) fn weight(&self) -> usize {
        self.text.len() + self.items.len() * size_of::<Range<u32>>()
    }
}

struct Items<'l> {
    text: &'l [u8],
    items: &'l mut Vec<Range<u32>>,
    too_long: &'l mut bool,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&RawValue>()? {
            if self.items.len() >= MAP_CHILDREN_MAX as usize {
                *self.too_long = true;
                return Err(A::Error::custom("too long"));
            }
            let start = offset(self.text, item);
            let end = start + item.get().len();
            let place = u32::try_from(start).ok().zip(u32::try_from(end).ok());
            let (start, end) = place.ok_or_else(|| A::Error::custom("the text is too long"))?;
            self.items.push(start..end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<List, DataError> {
        List::read(Arc::from(text.as_bytes()))
    }

    #[test]
    fn items_are_cut_out_of_the_text() {
        let list = read(r#" [ 1 , "a,]\"" ,{"b":[2]}, null ] "#).unwrap();
        let items: Vec<_> = (0..5).map(|ix| list.item(ix)).collect();
        let want: [Option<&[u8]>; 5] =
            [Some(b"1"), Some(br#""a,]\"""#), Some(br#"{"b":[2]}"#), Some(b"null"), None];
        assert_eq!(items, want);
        assert_eq!(list.len(), 4);
        assert_eq!(read("[]").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "{}", "1", "[1", "[1]]", "[1] 2", "\"[]\"", "[\u{0}]"] {
            assert_eq!(read(text).unwrap_err().kind(), Kind::Invalid, "{text}");
        }
        let longest = format!("[{}0]", "0,".repeat(MAP_CHILDREN_MAX as usize - 1));
        assert_eq!(read(&longest).unwrap().len(), MAP_CHILDREN_MAX);
        let longer = format!("[{}0]", "0,".repeat(MAP_CHILDREN_MAX as usize));
        assert_eq!(read(&longer).unwrap_err().kind(), Kind::Exhausted);
    }
}
