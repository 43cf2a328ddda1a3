//! Moments as people write them: RFC 3339, such as `2026-03-01T09:00:00Z` or `2026-03-01T10:00+01:00`.

/// Reads a moment, in milliseconds since 1970. None for anything else, and before 1970. Digits
/// beyond the millisecond are cut off.
pub fn parse_moment_ms(text: &str) -> Option<u64> {
    if !text.is_ascii() || text.get(10..11)? != "T" {
        return None;
    }
    let [year, month, day] = numbers(text.get(..10)?, b'-', [4, 2, 2])?;
    let days = days_since_1970(year, month, day)?;
    let rest = text.get(11..)?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let ms = days * 86_400_000 + ms_of_day(clock)?;
    let offset = match zone.strip_prefix('Z') {
        Some("") => return Some(ms),
        Some(_) => return None,
        None => ms_of_zone(zone.get(1..)?)?,
    };
    if zone.starts_with('+') { ms.checked_sub(offset) } else { Some(ms + offset) }
}

/// `09:00`, `09:00:30` or `09:00:30.250`.
fn ms_of_day(clock: &str) -> Option<u64> {
    let (whole, part) = match clock.split_once('.') {
        Some((whole, part)) => (whole, ms_of_fraction(part)?),
        None => (clock, 0),
    };
    let has_seconds = whole.len() == 8;
    if clock.contains('.') && !has_seconds {
        return None;
    }
    let padded = if has_seconds { whole.to_owned() } else { format!("{whole}:00") };
    let [hour, minute, second] = numbers(&padded, b':', [2, 2, 2])?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    is_time.then_some(((hour * 60 + minute) * 60 + second) * 1_000 + part)
}

fn ms_of_fraction(part: &str) -> Option<u64> {
    if part.is_empty() || part.len() > 9 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{part}00").get(..3)?.parse().ok()
}

/// `01:00`.
fn ms_of_zone(zone: &str) -> Option<u64> {
    let [hour, minute] = numbers(zone, b':', [2, 2])?;
    (hour < 24 && minute < 60).then_some((hour * 60 + minute) * 60_000)
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, mark: u8, digits: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(char::from(mark));
    let mut found = [0; N];
    for (slot, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        let fits = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        *slot = part.parse().ok().filter(|_| fits)?;
    }
    parts.next().is_none().then_some(found)
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = months.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    if day == 0 || day > *length || year < 1970 {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let whole_years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    let whole_months: u64 = months.iter().take(month as usize - 1).sum();
    Some(whole_years + whole_months + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_written_in_every_zone() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.5Z", Some(500)),
            ("2000-02-29T00:00:00.000Z", Some(951_782_400_000)),
            ("2024-02-29T23:59:59.999999Z", Some(1_709_251_199_999)),
            ("2024-03-01T01:00+01:00", Some(1_709_251_200_000)),
            ("2024-02-29T19:00:00-05:00", Some(1_709_251_200_000)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400_000)),
            ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
            ("1970-01-01T00:30:00+01:00", None),
            ("1969-12-31T23:59:59Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T00:00.5Z", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01 00:00:00Z", None),
            ("2024-01-01T00:00:00Zx", None),
            ("2024-01-01T00:00:00.Z", None),
            ("2024-01-01", None),
            ("tomorrow, at nine", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_moment_ms(text), want, "{text}");
        }
    }
}
