//! Durations as people write them: `200ms`, `30s`, `1h30m`, `7d`; whole numbers only.

use super::limits::DURATION_MS_MAX;

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration in milliseconds: numbers with units `d`, `h`, `m`, `s`, `ms`, the largest
/// first and each at most once. None for anything else, and beyond ten years.
pub fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, after) = rest.split_at(digits_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        // Continuing in the same iterator is what keeps the units in order.
        let (_, ms) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(*ms)?)?;
        rest = next;
    }
    (!text.is_empty() && total <= DURATION_MS_MAX).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        let table = [
            ("200ms", Some(200)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("24h", Some(86_400_000)),
            ("1d1ms", Some(86_400_001)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1m1h", None),
            ("1s1s", None),
            ("1 s", None),
            ("١s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
            ("99999d", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_duration_ms(text), want, "{text}");
        }
    }
}
