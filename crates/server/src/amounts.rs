//! Budgets and durations as people write them: `0.50usd`, `30s`.

use std::time::Duration;

use ark_os_api::Budget;
use ark_os_core::budget::Amounts;
use ark_os_core::limits::COUNTER_MAX;
use ark_os_core::manifest::parse_duration_ms;
use ark_os_core::time::Time;

use crate::problems::Refusal;

/// The currency of `cost`.
const CURRENCY: &str = "usd";
/// Digits after the point: amounts are kept in millionths.
const FRACTION_DIGITS_MAX: usize = 6;

/// Reads a duration such as `30s`.
pub(crate) fn duration(text: &str, pointer: &str) -> Result<Duration, Refusal> {
    parse_duration_ms(text).map(Duration::from_millis).ok_or_else(|| {
        let message = "a duration is written `200ms`, `30s`, `1h30m` or `7d`";
        Refusal::new("request_invalid", format!("accept `{pointer}`: {message}"))
            .at(pointer, message)
    })
}

/// Reads a moment such as `2027-01-31T09:00:00+01:00`.
pub(crate) fn moment(text: &str, pointer: &str) -> Result<Time, Refusal> {
    ark_os_runtime::calendar::moment(text).ok_or_else(|| {
        let message = "a moment is written `2027-01-31T09:00:00Z`, or with an offset as `+01:00`";
        Refusal::new("request_invalid", format!("accept `{pointer}`: {message}"))
            .at(pointer, message)
    })
}

/// Reads a budget; what is not named has no limit.
pub(crate) fn budget(budget: &Budget) -> Result<Amounts, Refusal> {
    let wrong = |field: &str, message: &str| {
        let pointer = format!("/budget/{field}");
        Refusal::new("request_invalid", format!("accept `{pointer}`: {message}"))
            .at(pointer, message)
    };
    let cost_micros = match (&budget.cost, budget.cost_micros) {
        (Some(_), Some(_)) => return Err(wrong("cost", "`cost_micros` says the same already")),
        (Some(cost), None) => {
            Some(micros(cost).ok_or_else(|| wrong("cost", "a cost is written `0.50usd`"))?)
        }
        (None, micros) => micros,
    };
    let cpu_ms = match (&budget.cpu, budget.cpu_ms) {
        (Some(_), Some(_)) => return Err(wrong("cpu", "`cpu_ms` says the same already")),
        (Some(cpu), None) => {
            Some(parse_duration_ms(cpu).ok_or_else(|| wrong("cpu", "a time is written `30s`"))?)
        }
        (None, ms) => ms,
    };
    let amount = |field: &str, amount: Option<u64>| match amount {
        Some(amount) if amount > COUNTER_MAX => {
            Err(wrong(field, &format!("an amount is at most {COUNTER_MAX}; none is no limit")))
        }
        amount => Ok(amount.unwrap_or(u64::MAX)),
    };
    Ok(Amounts {
        tokens: amount("tokens", budget.tokens)?,
        cost_micros: amount("cost_micros", cost_micros)?,
        cpu_ms: amount("cpu_ms", cpu_ms)?,
        bytes: amount("bytes", budget.bytes)?,
        calls: amount("calls", budget.calls)?,
        steps: amount("steps", budget.steps)?,
    })
}

fn micros(text: &str) -> Option<u64> {
    let number = text.strip_suffix(CURRENCY)?.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<FRACTION_DIGITS_MAX$}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_read_as_written() {
        for (text, wanted) in [
            ("0.50usd", Some(500_000)),
            ("2usd", Some(2_000_000)),
            ("0.000001 usd", Some(1)),
            ("0.0000001usd", None),
            ("usd", None),
            ("-1usd", None),
            ("1.eur", None),
            ("99999999999999usd", None),
        ] {
            assert_eq!(micros(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_budget_limits_only_what_it_names() {
        let amounts = budget(&Budget { cpu: Some("2s".into()), ..Budget::default() }).unwrap();
        assert_eq!((amounts.cpu_ms, amounts.tokens), (2_000, u64::MAX));
        let twice = Budget { cpu: Some("2s".into()), cpu_ms: Some(1), ..Budget::default() };
        assert_eq!(budget(&twice).unwrap_err().0.errors[0].pointer, "/budget/cpu");
    }
}
