//! Values of more than one word: names of hosts, limits by name, amounts of a budget.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ark_os_core::authority::Scopes;
use ark_os_core::budget::Amounts;
use ark_os_core::manifest::{parse_cost_micros, parse_duration_ms};

use super::keys::{shown, whole};

/// Manifests of one instance.
const MANIFESTS_MAX: usize = 100;
/// Names of one instance: each is compared with every request's.
const HOSTS_MAX: usize = 64;
/// Bytes of a name in the DNS.
const HOST_BYTES_MAX: usize = 253;
/// Largest amount that can be written; `u64::MAX` means no limit.
const AMOUNT_MAX: u64 = u64::MAX / 2;
/// Millionths in one.
const MICROS: u64 = 1_000_000;

/// Reads names of hosts; an IPv6 address gets the brackets that it has in a `Host` header.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let rule = || {
        format!(
            "name up to {HOSTS_MAX} hosts, without port, with commas between: `ark.example,::1`"
        )
    };
    let hosts: Option<Vec<_>> = parts(text).map(host).collect();
    hosts.filter(|hosts| hosts.len() <= HOSTS_MAX).ok_or_else(rule)
}

fn host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<Ipv6Addr>() {
        return Some(format!("[{ip}]"));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = !text.is_empty() && text.len() <= HOST_BYTES_MAX && text.bytes().all(is_name);
    is_host.then(|| text.to_ascii_lowercase())
}

/// Reads paths of files.
pub(super) fn paths(text: &str) -> Result<Vec<PathBuf>, String> {
    let paths: Vec<PathBuf> = parts(text).map(PathBuf::from).collect();
    let fits =
        paths.len() <= MANIFESTS_MAX && paths.iter().all(|path| !path.as_os_str().is_empty());
    let rule = || format!("name up to {MANIFESTS_MAX} files, with commas between");
    fits.then_some(paths).ok_or_else(rule)
}

pub(super) fn shown_paths(paths: &[PathBuf]) -> String {
    let parts: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    parts.join(",")
}

/// Reads scopes: `*,effect:effectful`.
pub(super) fn scopes(text: &str) -> Result<Vec<String>, String> {
    let scopes: Vec<String> = parts(text).map(str::to_owned).collect();
    match Scopes::parse(scopes.iter().map(String::as_str)) {
        Ok(_) => Ok(scopes),
        Err(error) => Err(format!("write them like `*,effect:effectful`: {error}")),
    }
}

/// Reads `audit.chunk=8,echo=2`.
pub(super) fn limits(
    text: &str,
    range: RangeInclusive<u32>,
) -> Result<BTreeMap<String, u32>, String> {
    let mut limits = BTreeMap::new();
    for part in parts(text) {
        let (name, limit) = pair(part, "audit.chunk=8,echo=2")?;
        let limit = whole(limit, range.clone()).map_err(|rule| format!("`{name}`: {rule}"))?;
        if limits.insert(name.to_owned(), limit).is_some() {
            return Err(format!("say `{name}` once"));
        }
    }
    Ok(limits)
}

pub(super) fn shown_limits(limits: &BTreeMap<String, u32>) -> String {
    let parts: Vec<_> = limits.iter().map(|(name, limit)| format!("{name}={limit}")).collect();
    parts.join(",")
}

/// Reads `calls=1000000,cost=5usd`; what is not named has no limit.
pub(super) fn amounts(text: &str) -> Result<Amounts, String> {
    let mut amounts = Amounts::UNLIMITED;
    let mut said = Vec::new();
    for part in parts(text) {
        let (name, value) = pair(part, "calls=1000000,cost=5usd")?;
        if said.contains(&name) {
            return Err(format!("say `{name}` once"));
        }
        said.push(name);
        let count = || whole(value, 0..=AMOUNT_MAX).map_err(|rule| format!("`{name}`: {rule}"));
        match name {
            "tokens" => amounts.tokens = count()?,
            "bytes" => amounts.bytes = count()?,
            "calls" => amounts.calls = count()?,
            "steps" => amounts.steps = count()?,
            "cost" => {
                let rule = "`cost`: write it like `0.50usd`";
                amounts.cost_micros = parse_cost_micros(value).ok_or(rule)?;
            }
            "cpu" => {
                let rule = "`cpu`: write it like `30s` or `2h`";
                amounts.cpu_ms = parse_duration_ms(value).ok_or(rule)?;
            }
            _ => return Err("there are tokens, cost, cpu, bytes, calls and steps".to_owned()),
        }
    }
    Ok(amounts)
}

pub(super) fn shown_amounts(amounts: &Amounts) -> String {
    let count = |amount: u64| amount.to_string();
    let money = |micros: u64| match micros % MICROS {
        0 => format!("{}usd", micros / MICROS),
        rest => format!("{}.{rest:06}usd", micros / MICROS),
    };
    let time = |ms: u64| shown(Duration::from_millis(ms));
    let shown = [
        ("tokens", amounts.tokens, &count as &dyn Fn(u64) -> String),
        ("cost", amounts.cost_micros, &money),
        ("cpu", amounts.cpu_ms, &time),
        ("bytes", amounts.bytes, &count),
        ("calls", amounts.calls, &count),
        ("steps", amounts.steps, &count),
    ];
    let limited = shown.into_iter().filter(|(_, amount, _)| *amount != u64::MAX);
    let parts: Vec<_> =
        limited.map(|(name, amount, show)| format!("{name}={}", show(amount))).collect();
    parts.join(",")
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    // Nothing is an empty list, not a list of one empty part.
    let some = (!text.is_empty()).then_some(text);
    some.into_iter().flat_map(|text| text.split(',')).map(str::trim)
}

fn pair<'a>(part: &'a str, example: &str) -> Result<(&'a str, &'a str), String> {
    let pair = part.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.ok_or_else(|| format!("write it like `{example}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_read_as_a_request_names_them() {
        let read = hosts("Ark.Example, 10.0.0.7,2001:DB8:0::1,[::1]").unwrap();
        assert_eq!(read, ["ark.example", "10.0.0.7", "[2001:db8::1]", "[::1]"]);
        assert_eq!(hosts(""), Ok(Vec::new()));
        for wrong in ["a,,b", "ark:80", "http://ark", "a b", "*", "[ark]", "[::1]:80"] {
            assert!(hosts(wrong).is_err(), "{wrong}");
        }
        assert!(hosts(&vec!["a"; HOSTS_MAX + 1].join(",")).is_err());
    }

    #[test]
    fn limits_read_back_as_they_are_shown() {
        let read = limits("echo=2,audit.chunk=8", 1..=10).unwrap();
        assert_eq!(shown_limits(&read), "audit.chunk=8,echo=2");
        for wrong in ["echo", "=2", "echo=0", "echo=11", "echo=x", "echo=1,echo=2", "echo=1,"] {
            assert!(limits(wrong, 1..=10).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_budget_limits_what_it_names_and_reads_back_as_it_is_shown() {
        let read = amounts("steps=7,cost=5.25usd,cpu=90s").unwrap();
        let wanted =
            Amounts { steps: 7, cost_micros: 5_250_000, cpu_ms: 90_000, ..Amounts::UNLIMITED };
        assert_eq!(read, wanted);
        assert_eq!(shown_amounts(&read), "cost=5.250000usd,cpu=1m30s,steps=7");
        assert_eq!(amounts(&shown_amounts(&read)), Ok(read));
        let none = amounts("tokens=0,cost=0usd,cpu=0s").unwrap();
        assert_eq!(amounts(&shown_amounts(&none)), Ok(none));
        assert_eq!(amounts(""), Ok(Amounts::UNLIMITED));
        for wrong in ["5usd", "cost=5", "cpu=5", "calls=-1", "gold=1", "calls=1,calls=2"] {
            assert!(amounts(wrong).is_err(), "{wrong}");
        }
    }
}
