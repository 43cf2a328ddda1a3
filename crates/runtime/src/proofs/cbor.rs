//! Records as plain CBOR, in the only form in which they are written: definite lengths, shortest numbers, map keys
//! that are numbers and ascend. What an event means beyond the fields that a proof rests on is not looked at,
//! so that bundles of later versions verify too.

use super::{Class, Fault};

/// Nesting of a record: a workflow in a pending admission is the deepest, at about ten.
const DEPTH_MAX: usize = 64;
/// Items of a record: the largest plan has a tenth of it. Keeps foreign bytes from filling the memory.
const ITEMS_MAX: usize = 1 << 20;

/// An item and the bytes that it takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item<'a> {
    pub(super) value: Value<'a>,
    /// Where it begins and ends in what was read.
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Uint(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    Map(Vec<(u64, Item<'a>)>),
    /// A negative number, a truth value or null: nothing that a proof rests on.
    Other,
}

/// Reads the item at the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Item<'_>, Fault> {
    Reader { bytes, at: 0, items: 0 }
        .item(0)
        .ok_or_else(|| Fault::new(Class::Record, "the record is not CBOR in its only form"))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self, depth: usize) -> Option<Item<'a>> {
        self.items += 1;
        if depth >= DEPTH_MAX || self.items > ITEMS_MAX {
            return None;
        }
        let start = self.at;
        let (major, argument) = self.head()?;
        let value = match major {
            0 => Value::Uint(argument),
            1 => Value::Other,
            2 => Value::Bytes(self.take(argument)?),
            3 => Value::Text(std::str::from_utf8(self.take(argument)?).ok()?),
            4 => Value::Array((0..argument).map(|_| self.item(depth + 1)).collect::<Option<_>>()?),
            5 => self.map(argument, depth)?,
            7 if (20..=22).contains(&argument) => Value::Other,
            _ => return None,
        };
        Some(Item { value, start, end: self.at })
    }

    fn map(&mut self, pairs: u64, depth: usize) -> Option<Value<'a>> {
        let mut map: Vec<(u64, Item<'a>)> = Vec::new();
        for _ in 0..pairs {
            let (major, key) = self.head()?;
            if major != 0 || map.last().is_some_and(|(last, _)| *last >= key) {
                return None;
            }
            map.push((key, self.item(depth + 1)?));
        }
        Some(Value::Map(map))
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
    pub(super) fn uint(&self) -> Option<u64> {
        match self.value {
            Value::Uint(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn uint32(&self) -> Option<u32> {
        self.uint().and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn array(&self) -> Option<&[Item<'a>]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// The field of this number; none if it is not there, or this is no map.
    pub(super) fn field(&self, number: u64) -> Option<&Item<'a>> {
        match &self.value {
            Value::Map(fields) => {
                let at = fields.binary_search_by_key(&number, |(key, _)| *key).ok()?;
                fields.get(at).map(|(_, item)| item)
            }
            _ => None,
        }
    }

    /// The field numbers of a map.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        let fields = match &self.value {
            Value::Map(fields) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|(key, _)| *key)
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
