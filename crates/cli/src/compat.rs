//! The registry of what this program promises to those who call it, and what it demands of them: one line each for every
//! command, flag, route, field, key, code and event. A promise that is missing in a later version breaks callers, and so
//! does a demand that was not made before of something that was there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

mod collected;

/// What the next release is held against.
pub(crate) const COMMITTED: &str = include_str!("../../../docs/registry.json");
/// What was taken away since, and why.
pub(crate) const DEPRECATIONS: &str = include_str!("../../../docs/deprecations.toml");
/// How lines are written: registries of another way of writing cannot be compared.
const FORMAT: u32 = 2;

/// Lines that demand something of callers. All others are promises.
const DEMANDS: [&str; 12] = [
    "closed",
    "enumerated",
    "enumerated-flag",
    "gives",
    "limit",
    "one-of",
    "pattern",
    "requires-body",
    "requires-either",
    "requires-field",
    "requires-flag",
    "requires-parameter",
];

/// Every promise and demand of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registry {
    /// How the lines are written.
    format: u32,
    /// Of which version.
    pub(crate) version: String,
    /// In order.
    pub(crate) entries: BTreeSet<String>,
}

/// What is not kept any more, on purpose.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deprecations {
    #[serde(default)]
    deprecated: Vec<Deprecation>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deprecation {
    /// The line of the registry: the promise that is gone, or the demand that is new.
    entry: String,
    /// The first version that says so.
    since: String,
    /// Why, and what to use instead.
    why: String,
}

/// What a comparison found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Comparison {
    /// Promises that are gone and demands that are new, without a record.
    pub(crate) broken: Vec<String>,
    /// The same, with a record.
    pub(crate) deprecated: Vec<String>,
    /// Lines since that break nobody.
    pub(crate) added: usize,
}

impl Registry {
    /// What this program promises and demands.
    pub(crate) fn current(commands: &clap::Command) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Registry { format: FORMAT, version, entries: collected::entries(commands) }
    }

    /// Reads one that was written.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let unreadable = |why: &str| Failure::usage(format!("cannot read the registry: {why}"));
        let found: Self =
            serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
        if found.format != FORMAT {
            return Err(unreadable(&format!("it is of format {}, not {FORMAT}", found.format)));
        }
        Ok(found)
    }

    /// Compares it with an earlier one.
    pub(crate) fn compare(&self, earlier: &Registry, deprecations: &Deprecations) -> Comparison {
        let gone = earlier.entries.difference(&self.entries).filter(|it| !is_demand(it));
        let since: Vec<_> = self.entries.difference(&earlier.entries).collect();
        let known = Known::of(earlier);
        let (demanded, added): (Vec<_>, Vec<_>) =
            since.into_iter().partition(|it| is_demand(it) && known.is_narrowed_by(it));
        let is_recorded =
            |entry: &String| deprecations.deprecated.iter().any(|it| it.entry == *entry);
        let (deprecated, broken) = gone.chain(demanded).cloned().partition(is_recorded);
        Comparison { broken, deprecated, added: added.len() }
    }
}

fn is_demand(entry: &str) -> bool {
    entry.split_once(' ').is_some_and(|(kind, _)| DEMANDS.contains(&kind))
}

/// What callers of an earlier version may be using.
struct Known<'a> {
    earlier: &'a BTreeSet<String>,
    /// Places of schemas that had a type.
    places: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(earlier: &'a Registry) -> Self {
        let place = |entry: &'a String| {
            let rest = ["type ", "gives "].iter().find_map(|kind| entry.strip_prefix(kind))?;
            rest.split(' ').next()
        };
        let places = earlier.entries.iter().filter_map(place).collect();
        Known { earlier: &earlier.entries, places }
    }

    /// Whether a new demand is made of something that was there without it.
    fn is_narrowed_by(&self, demand: &str) -> bool {
        let (kind, rest) = demand.split_once(' ').unwrap_or_default();
        let owner = rest.rsplit_once(' ').map_or(rest, |(owner, _)| owner);
        let place = rest.split(' ').next().unwrap_or_default();
        let has = |entry: String| self.earlier.contains(&entry);
        match kind {
            "requires-flag" | "one-of" => has(format!("command {owner}")),
            "enumerated-flag" => has(format!("flag {rest}")),
            "requires-parameter" => has(format!("route {owner}")),
            "requires-body" => has(format!("route {rest}")),
            // An answer may be what it was not: what another kind of field gives is new to its readers.
            "gives" => self.has_begin(&format!("gives {place} ")),
            "requires-field" | "closed" => has(format!("type {place} object")),
            "limit" => self.has_speaker(place, rest) && !self.is_wider(rest),
            "pattern" => has(format!("type {place} string")),
            _ => self.places.contains(place),
        }
    }

    /// Whether the place had values of the type that a limit speaks of.
    fn has_speaker(&self, place: &str, limit: &str) -> bool {
        let types: &[&str] = match limit.split(' ').nth(1).unwrap_or_default() {
            "maxLength" | "minLength" => &["string"],
            "maxItems" | "minItems" | "uniqueItems" => &["array"],
            "maxProperties" | "minProperties" => &["object"],
            _ => &["integer", "number"],
        };
        types.iter().any(|it| self.earlier.contains(&format!("type {place} {it}")))
    }

    /// Whether a limit lets through all that the earlier one did.
    fn is_wider(&self, limit: &str) -> bool {
        let Some((place, now)) = bound(limit) else { return false };
        let begin = format!("limit {place} ");
        let before = self.earlier.range(begin.clone()..).take_while(|it| it.starts_with(&begin));
        let mut before = before.filter_map(|it| bound(it.strip_prefix("limit ")?)).peekable();
        let is_most =
            place.rsplit(' ').next().is_some_and(|name| name.to_lowercase().contains("max"));
        before.peek().is_some()
            && before.all(|(_, then)| if is_most { now >= then } else { now <= then })
    }

    fn has_begin(&self, begin: &str) -> bool {
        let mut from = self.earlier.range(begin.to_owned()..);
        from.next().is_some_and(|it| it.starts_with(begin))
    }
}

/// Place and name of a limit, and its bound.
fn bound(limit: &str) -> Option<(&str, i128)> {
    let (place, bound) = limit.rsplit_once(' ')?;
    Some((place, bound.parse().ok()?))
}

impl Deprecations {
    /// Reads the records, each of which says why.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let unreadable = |why: &str| Failure::usage(format!("cannot read the deprecations: {why}"));
        let found: Deprecations =
            toml::from_str(text).map_err(|error| unreadable(error.message()))?;
        match found.deprecated.iter().find(|it| it.why.trim().is_empty() || it.since.is_empty()) {
            Some(empty) => {
                Err(unreadable(&format!("`{}` says not why or since when", empty.entry)))
            }
            None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(entries: &[&str]) -> Registry {
        let entries = entries.iter().map(|it| (*it).to_owned()).collect();
        Registry { format: FORMAT, version: "0".to_owned(), entries }
    }

    #[test]
    fn what_is_taken_away_needs_a_record_and_what_is_added_does_not() {
        let (old, new) = (registry(&["a", "b", "c"]), registry(&["a", "d"]));
        let records = "[[deprecated]]\nentry = \"b\"\nsince = \"0.2.0\"\nwhy = \"use d\"\n";
        let records = Deprecations::parse(records).unwrap();
        let found = new.compare(&old, &records);
        assert_eq!(
            found,
            Comparison { broken: vec!["c".into()], deprecated: vec!["b".into()], added: 1 }
        );
        assert_eq!(new.compare(&new, &Deprecations::default()).broken, [""; 0]);
        let without = "[[deprecated]]\nentry = \"b\"\nsince = \"0.2.0\"\nwhy = \" \"\n";
        assert!(Deprecations::parse(without).is_err(), "a record says why");
    }

    #[test]
    fn a_demand_is_recorded_as_what_is_taken_away_is() {
        let old = registry(&["command x"]);
        let new = registry(&["command x", "flag x --n", "requires-flag x --n"]);
        let none = Deprecations::default();
        assert_eq!(new.compare(&old, &none).broken, ["requires-flag x --n"]);
        let records =
            "[[deprecated]]\nentry = \"requires-flag x --n\"\nsince = \"1\"\nwhy = \"so\"\n";
        let found = new.compare(&old, &Deprecations::parse(records).unwrap());
        assert_eq!((found.broken.len(), found.deprecated.len()), (0, 1));
        assert_eq!(old.compare(&new, &none).broken, ["flag x --n"], "a demand may go");
    }

    #[test]
    fn a_registry_that_is_written_otherwise_is_not_compared() {
        assert!(Registry::parse(r#"{"format":1,"version":"0","entries":[]}"#).is_err());
        assert!(Registry::parse(r#"{"version":"0","entries":[]}"#).is_err());
        assert!(Registry::parse(r#"{"format":2,"version":"0","entries":[]}"#).is_ok());
    }
}
