//! Durations and amounts of bytes as people write them elsewhere.

use ark_os_core::manifest::DURATION_MS_MAX;

/// Words for units of time, in milliseconds. `m` and `M` are told apart by nobody, so single
/// letters stay as they are but for their case where no other unit has it.
const UNITS: [(&str, u64); 23] = [
    ("ms", 1),
    ("msec", 1),
    ("msecs", 1),
    ("millisecond", 1),
    ("milliseconds", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("secs", 1_000),
    ("second", 1_000),
    ("seconds", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("mins", 60_000),
    ("minute", 60_000),
    ("minutes", 60_000),
    ("h", 3_600_000),
    ("hr", 3_600_000),
    ("hrs", 3_600_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
];

/// Longest text that is looked at: nobody writes a longer duration.
const CHARS_MAX: usize = 100;

/// Reads `5 minutes`, `1 hour 30 min`, `1.5h`; none: it is none, has a number without a unit, or
/// does not come to whole milliseconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() || rest.len() > CHARS_MAX {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let unit = match unit {
            // Megaseconds, months or minutes: nobody knows.
            "M" | "Ms" | "mS" | "MS" => return None,
            other => other.to_ascii_lowercase(),
        };
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *ms)?)?;
        rest = next.trim_start_matches([' ', '\t', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
    }
    (total <= DURATION_MS_MAX).then_some(total)
}

/// A number with at most a few digits behind its point, times a unit; none: it does not come out even.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    if number.contains('.') && fraction.is_empty() {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let parts: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts = parts.checked_mul(unit)?;
    (parts % scale == 0).then(|| whole.checked_add(parts / scale)).flatten()
}

/// A duration as the format writes it: the largest units first.
pub(super) fn duration_text(ms: u64) -> String {
    let mut left = ms;
    let mut text = String::new();
    for (unit, size) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if left >= size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `256 MiB`, `256mib` and `1024 b` as the format writes them. `MB` is another amount, and stays.
pub(super) fn bytes_text(text: &str) -> Option<String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "kib" => "KiB",
        "mib" => "MiB",
        "gib" => "GiB",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}
