//! Numbers of seven bits a byte: how the lists inside a row are written.

use smallvec::SmallVec;

/// The bytes of a short list, without an allocation of their own.
pub(super) type ShortBytes = SmallVec<[u8; 24]>;

/// Appends a number, least significant bits first.
pub(super) fn put(out: &mut ShortBytes, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what [`put`] wrote.
#[derive(Clone, Debug)]
pub(super) struct Numbers<'a>(pub(super) &'a [u8]);

impl Iterator for Numbers<'_> {
    type Item = u64;

    /// The next number; none at the end and where the bytes are no numbers.
    fn next(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

/// The sequence numbers of a list whose first number stands for itself and each later one for its
/// distance from the one before.
pub(super) fn sequences(bytes: &[u8]) -> impl Iterator<Item = u64> {
    Numbers(bytes).scan(0u64, |last, delta| {
        *last = last.saturating_add(delta);
        Some(*last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX];
        let mut bytes = ShortBytes::new();
        numbers.iter().for_each(|number| put(&mut bytes, *number));
        assert_eq!(Numbers(&bytes).collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn bytes_that_are_no_numbers_end_the_list() {
        assert_eq!(Numbers(&[0xff; 40]).next(), None);
        assert_eq!(Numbers(&[0x80]).next(), None);
    }
}
