//! Budgets as people write them: `cost: 0.50usd`, `cpu: 30s`, and plain counts.

use serde_json::Value;

use super::fields::Fields;
use super::findings::{Pointer, Report, code, shown, type_of};
use super::shape;
use crate::budget::Amounts;

/// The currency of `cost`.
const CURRENCY: &str = "usd";
/// Digits after the point: amounts are kept in millionths.
const FRACTION_DIGITS_MAX: usize = 6;
/// Largest amount that can be written; `u64::MAX` means no limit and is not for manifests.
const AMOUNT_MAX: u64 = u64::MAX / 2;

/// Reads a `budget`; what is not named is zero, that is: nothing is reserved.
pub(super) fn read(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Amounts {
    let Some(fields) = Fields::open(value, at, &shape::BUDGET, report) else {
        return Amounts::ZERO;
    };
    for (one, other) in [("cost", "cost_micros"), ("cpu", "cpu_ms")] {
        if let (Some(_), Some((_, at))) = (fields.value(one), fields.value(other)) {
            report.add(&at, code::CONFLICTING_FIELDS, format!("`{one}` says the same already"));
        }
    }
    let cost = match fields.value("cost") {
        Some((value, at)) => read_cost(value, &at, report),
        None => fields.count("cost_micros", 0..=AMOUNT_MAX, report),
    };
    let cpu_ms = match fields.value("cpu") {
        Some(_) => fields.duration("cpu", 0, report),
        None => fields.count("cpu_ms", 0..=AMOUNT_MAX, report),
    };
    let mut count = |key| fields.count(key, 0..=AMOUNT_MAX, report).unwrap_or(0);
    Amounts {
        tokens: count("tokens"),
        cost_micros: cost.unwrap_or(0),
        cpu_ms: cpu_ms.unwrap_or(0),
        bytes: count("bytes"),
        calls: count("calls"),
        steps: count("steps"),
    }
}

fn read_cost(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<u64> {
    let micros = value.as_str().and_then(parse_cost_micros);
    if micros.is_none() {
        let found = value
            .as_str()
            .map_or_else(|| type_of(value).to_owned(), |text| format!("`{}`", shown(text)));
        report.add_hint(
            at,
            code::INVALID_VALUE,
            format!("`cost` is an amount of money, not {found}"),
            "write it like `0.50usd`, with at most six digits after the point",
        );
    }
    micros
}

/// Reads money as people write it: `0.50usd` in millionths.
pub fn parse_cost_micros(text: &str) -> Option<u64> {
    let number = text.strip_suffix(CURRENCY)?.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let micros: u64 = format!("{fraction:0<FRACTION_DIGITS_MAX$}").parse().ok()?;
    let total = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
    (total <= AMOUNT_MAX).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_in_millionths() {
        let table = [
            ("0.50usd", Some(500_000)),
            ("2usd", Some(2_000_000)),
            ("0.000001usd", Some(1)),
            ("1.5 usd", Some(1_500_000)),
            ("0.0000001usd", None),
            ("1.usd", None),
            (".5usd", None),
            ("-1usd", None),
            ("usd", None),
            ("1eur", None),
            ("1", None),
            ("99999999999999999999usd", None),
            ("18446744073709usd", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_cost_micros(text), want, "{text}");
        }
    }
}
