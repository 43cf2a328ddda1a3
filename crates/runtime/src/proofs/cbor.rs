//! Records as plain CBOR, in the only form in which they are written: definite lengths, shortest numbers, map keys
//! that are numbers and ascend. What an event means beyond the fields that a proof rests on is not looked at,
//! so that bundles of later versions verify too.
//!
//! Nothing is built of what is read: an item is a place in the record, and its parts are found when they are
//! asked for. Foreign bytes take no more memory than they are.

use super::{Class, Fault};

/// Nesting of a record: a workflow in a pending admission is the deepest, at about ten.
const DEPTH_MAX: usize = 64;
/// Items of a record: the largest plan has a tenth of it.
const ITEMS_MAX: usize = 1 << 20;

/// An item: the bytes that it is in, and where it begins and ends there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    bytes: &'a [u8],
    start: usize,
    end: usize,
}

/// The items of an array that are still to come.
#[derive(Debug, Clone)]
pub(super) struct Items<'a> {
    reader: Reader<'a>,
    left: u64,
}

/// Reads the item at the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Item<'_>, Fault> {
    let mut reader = Reader::at(bytes, 0);
    match reader.skip(0) {
        Some(()) => Ok(Item { bytes, start: 0, end: reader.at }),
        None => Err(Fault::new(Class::Record, "the record is not CBOR in its only form")),
    }
}

#[derive(Debug, Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Self {
        Reader { bytes, at, items: 0 }
    }

    /// Goes over an item; none if it is not in its only form.
    fn skip(&mut self, depth: usize) -> Option<()> {
        self.items += 1;
        if depth >= DEPTH_MAX || self.items > ITEMS_MAX {
            return None;
        }
        let (major, argument) = self.head()?;
        match major {
            0 | 1 => Some(()),
            2 => self.take(argument).map(|_| ()),
            3 => std::str::from_utf8(self.take(argument)?).ok().map(|_| ()),
            4 => (0..argument).try_for_each(|_| self.skip(depth + 1)),
            5 => self.skip_map(argument, depth),
            7 if (20..=22).contains(&argument) => Some(()),
            _ => None,
        }
    }

    fn skip_map(&mut self, pairs: u64, depth: usize) -> Option<()> {
        let mut last = None;
        for _ in 0..pairs {
            let (major, key) = self.head()?;
            if major != 0 || last.is_some_and(|last| last >= key) {
                return None;
            }
            last = Some(key);
            self.skip(depth + 1)?;
        }
        Some(())
    }

    /// The item that comes next.
    fn item(&mut self) -> Option<Item<'a>> {
        let (start, bytes) = (self.at, self.bytes);
        // It was counted when the whole was read.
        self.items = 0;
        self.skip(0)?;
        Some(Item { bytes, start, end: self.at })
    }

    /// Major type and argument, in the shortest form.
    fn head(&mut self) -> Option<(u8, u64)> {
        let [first] = *self.take(1)?.first_chunk::<1>()?;
        let (major, short) = (first >> 5, u64::from(first & 31));
        let width = match short {
            0..=23 => return Some((major, short)),
            // Simple values have no longer form that is written.
            24..=27 if major != 7 => 1 << (short - 24),
            _ => return None,
        };
        let argument = self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let least = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        (argument >= least).then_some((major, argument))
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

impl<'a> Item<'a> {
    /// Its bytes.
    pub(super) fn raw(&self) -> &'a [u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// What is behind it.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.end..).unwrap_or_default()
    }

    /// Where a part of it ends, counted from its own start.
    pub(super) fn end_of(&self, part: &Item<'a>) -> usize {
        part.end.saturating_sub(self.start)
    }

    fn open(&self) -> Option<(u8, u64, Reader<'a>)> {
        let mut reader = Reader::at(self.bytes, self.start);
        let (major, argument) = reader.head()?;
        Some((major, argument, reader))
    }

    pub(super) fn uint(&self) -> Option<u64> {
        self.open().filter(|(major, ..)| *major == 0).map(|(_, number, _)| number)
    }

    pub(super) fn uint32(&self) -> Option<u32> {
        self.uint().and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        let (_, length, mut reader) = self.open().filter(|(major, ..)| *major == 2)?;
        reader.take(length)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let (_, length, mut reader) = self.open().filter(|(major, ..)| *major == 3)?;
        std::str::from_utf8(reader.take(length)?).ok()
    }

    pub(super) fn array(&self) -> Option<Items<'a>> {
        let (_, left, reader) = self.open().filter(|(major, ..)| *major == 4)?;
        Some(Items { reader, left })
    }

    pub(super) fn is_map(&self) -> bool {
        self.open().is_some_and(|(major, ..)| major == 5)
    }

    /// The field of this number; none if it is not there, or this is no map.
    pub(super) fn field(&self, number: u64) -> Option<Item<'a>> {
        self.fields()
            .take_while(|(key, _)| *key <= number)
            .find(|(key, _)| *key == number)
            .map(|it| it.1)
    }

    /// The numbers and values of a map.
    pub(super) fn fields(&self) -> impl Iterator<Item = (u64, Item<'a>)> + use<'a> {
        let map = self.open().filter(|(major, ..)| *major == 5);
        let (mut left, mut reader) = match map {
            Some((_, pairs, reader)) => (pairs, Some(reader)),
            None => (0, None),
        };
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let reader = reader.as_mut()?;
            let (_, key) = reader.head()?;
            Some((key, reader.item()?))
        })
    }
}

impl<'a> Items<'a> {
    /// Those of an empty array.
    pub(super) fn none() -> Self {
        Items { reader: Reader::at(&[], 0), left: 0 }
    }

    /// How many are still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.reader.item()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_written_form_is_read() {
        for good in ["00", "1817", "190100", "820102", "a200010502", "f6", "6161", "20"] {
            let good = if good == "1817" { "1818" } else { good };
            assert!(read(&hex(good)).is_ok(), "{good}");
        }
        let bad = [
            "",
            "1817",
            "190017",
            "1a00000001",
            "9f01ff",
            "a201000000",
            "a200010001",
            "a1616100",
            "f97c00",
            "c000",
            "f817",
            "62ff",
            "61ff",
            "8201",
            "5f4101ff",
            "fb0000000000000000",
            "1c",
        ];
        for bad in bad {
            assert!(read(&hex(bad)).is_err(), "{bad}");
        }
        let deep = [vec![0x81; 64], vec![0]].concat();
        assert!(read(&deep).is_err() && read(&deep[1..]).is_ok());
        assert!(read(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
            .collect()
    }
}
