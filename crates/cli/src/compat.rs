//! The registry of what this program promises to those who call it: every command, flag, route, key, code and event
//! as one line. What a later version takes away or makes narrower is a line that is missing there; what it adds or
//! makes wider is a line more.

use std::collections::BTreeSet;

use ark_os_api::codes::TABLE;
use ark_os_core::event_numbers::event_numbers;
use ark_os_runtime::skills::SkillSet;
use clap::{Arg, ArgAction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config;
use crate::failure::Failure;
use crate::output::field;

/// The registry of the last release.
pub(crate) const RELEASED: &str = include_str!("../../../docs/registry.json");
/// What was taken away since, and why.
pub(crate) const DEPRECATIONS: &str = include_str!("../../../docs/deprecations.toml");

/// Every promise of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registry {
    /// Of which version.
    pub(crate) version: String,
    /// One line a promise, in order.
    pub(crate) entries: BTreeSet<String>,
}

/// Promises that are not kept any more, on purpose.
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
    /// The line of the registry.
    entry: String,
    /// The first version that says so.
    since: String,
    /// Why, and what to use instead.
    why: String,
}

/// What a comparison found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Comparison {
    /// Promised before, and neither kept nor recorded as deprecated.
    pub(crate) broken: Vec<String>,
    /// Promised before and taken away with a record.
    pub(crate) deprecated: Vec<String>,
    /// Promised since.
    pub(crate) added: usize,
}

impl Registry {
    /// What this program promises.
    pub(crate) fn current(commands: &clap::Command) -> Self {
        let mut entries = BTreeSet::new();
        command(commands, commands.get_name(), &mut entries);
        entries.extend(
            config::names().flat_map(|(key, variable)| {
                [format!("config {key}"), format!("variable {variable}")]
            }),
        );
        entries.extend(
            TABLE
                .iter()
                .map(|row| format!("error {} {} {}", row.code, row.status, row.exit.code())),
        );
        entries
            .extend(event_numbers().iter().map(|(number, name)| format!("event {number} {name}")));
        let skills = SkillSet::builtin();
        entries.extend(skills.names().map(|name| format!("skill {name}")));
        api(&mut entries);
        schema("manifest", &ark_os_core::manifest::shape::json_schema(), &mut entries);
        Registry { version: env!("CARGO_PKG_VERSION").to_owned(), entries }
    }

    /// Reads one that was written.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("cannot read the registry: {error}")))
    }

    /// Compares it with an earlier one.
    pub(crate) fn compare(&self, earlier: &Registry, deprecations: &Deprecations) -> Comparison {
        let gone = earlier.entries.difference(&self.entries);
        let gone =
            gone.filter(|entry| !self.is_wider(entry)).cloned().chain(self.bounds_since(earlier));
        let is_recorded =
            |entry: &String| deprecations.deprecated.iter().any(|it| it.entry == *entry);
        let (deprecated, broken) = gone.partition(is_recorded);
        let added = self.entries.difference(&earlier.entries).count();
        Comparison { broken, deprecated, added }
    }
}

impl Registry {
    /// Whether a limit that is not there any more has become wider, or fell away.
    fn is_wider(&self, entry: &str) -> bool {
        let Some((place, bound)) = limit(entry) else { return false };
        let begin = format!("{place} ");
        let now = self.entries.range(begin.clone()..).take_while(|it| it.starts_with(&begin));
        now.filter_map(|it| limit(it)).all(|(_, now)| match place.rsplit(' ').next() {
            Some(name) if name.starts_with("max") => now >= bound,
            _ => now <= bound,
        })
    }

    /// What may not be everything any more that it was: fields that had no such limit, or no list of
    /// values.
    fn bounds_since<'a>(&'a self, earlier: &'a Registry) -> impl Iterator<Item = String> + 'a {
        let has = |begin: &str| {
            let mut from = earlier.entries.range(begin.to_owned()..);
            from.next().is_some_and(|it| it.starts_with(begin))
        };
        let since = self.entries.difference(&earlier.entries);
        let is_bound = move |entry: &&String| {
            let Some((kind, rest)) = entry.split_once(' ') else { return false };
            let known = match kind {
                "limit" => limit(entry).map(|(place, _)| format!("{place} ")),
                "value" => rest.split_once(' ').map(|(place, _)| format!("value {place} ")),
                _ => return false,
            };
            let field = rest.split(' ').next().unwrap_or_default();
            let field = field.trim_end_matches("[]");
            field.starts_with("manifest")
                && earlier.entries.contains(&format!("field {field}"))
                && known.is_some_and(|known| !has(&known))
        };
        since.filter(is_bound).map(|entry| format!("{entry} (there was none)"))
    }
}

/// The place and the bound of a limit's line.
fn limit(entry: &str) -> Option<(&str, i128)> {
    let (place, bound) = entry.strip_prefix("limit ").and(entry.rsplit_once(' '))?;
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

/// A command with its flags, and those below it. Hidden ones are promised to nobody.
fn command(of: &clap::Command, name: &str, entries: &mut BTreeSet<String>) {
    entries.insert(format!("command {name}"));
    for arg in of.get_arguments().filter(|arg| !arg.is_hide_set()) {
        if !matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::Version)
        {
            argument(arg, name, entries);
        }
    }
    for below in of.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        command(below, &format!("{name} {}", below.get_name()), entries);
    }
}

fn argument(arg: &Arg, command: &str, entries: &mut BTreeSet<String>) {
    // Places count by order, so another name for one breaks nobody.
    let shown = match (arg.get_long(), arg.get_index()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(index)) => format!("#{index}"),
        (None, None) => arg.get_id().to_string(),
    };
    let mut add = |what: &str| entries.insert(format!("{what} {command} {shown}"));
    add("flag");
    if !arg.is_required_set() {
        add("optional-flag");
    }
    if arg.get_action().takes_values() {
        add("valued-flag");
    } else {
        add("bare-flag");
    }
    if matches!(arg.get_action(), ArgAction::Append)
        || arg.get_num_args().is_some_and(|it| it.max_values() > 1)
    {
        add("repeatable-flag");
    }
    let names = arg.get_short().map(|short| format!("-{short}"));
    let aliases = arg.get_all_aliases().unwrap_or_default();
    for other in names.into_iter().chain(aliases.iter().map(|alias| format!("--{alias}"))) {
        entries.insert(format!("flag {command} {other}"));
    }
    for value in arg.get_possible_values() {
        entries.insert(format!("value {command} {shown} {}", value.get_name()));
    }
}

/// Routes, their parameters and answers, and the fields of what goes over the wire.
fn api(entries: &mut BTreeSet<String>) {
    let document: Value = serde_json::from_str(&ark_os_server::openapi_json()).unwrap_or_default();
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (path, methods) in members(field(&document, "paths")) {
        for (method, operation) in members(&methods) {
            let route = format!("{} {path}", method.to_uppercase());
            entries.insert(format!("route {route}"));
            for parameter in field(&operation, "parameters").as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                entries.insert(format!("parameter {route} {name}"));
                if parameter["required"] != Value::Bool(true) {
                    entries.insert(format!("optional-parameter {route} {name}"));
                }
            }
            for (status, _) in members(field(&operation, "responses")) {
                entries.insert(format!("answer {route} {status}"));
            }
        }
    }
    for (name, body) in members(field(field(&document, "components"), "schemas")) {
        schema(&name, &body, entries);
    }
}

/// The fields of a JSON Schema, by the pointer of the schema that has them: a field that is needed or only may have
/// some values is narrower than one that is not.
fn schema(place: &str, of: &Value, entries: &mut BTreeSet<String>) {
    let Some(members) = of.as_object() else { return };
    match &of["type"] {
        Value::Array(types) => types.iter().for_each(|it| {
            entries.insert(format!("type {place} {}", it.as_str().unwrap_or_default()));
        }),
        Value::String(one) => _ = entries.insert(format!("type {place} {one}")),
        _ => {}
    }
    let required = of["required"].as_array().cloned().unwrap_or_default();
    for (field, inner) in of["properties"].as_object().into_iter().flatten() {
        let name = format!("{place}.{field}");
        entries.insert(format!("field {name}"));
        if !required.iter().any(|it| it == field) {
            entries.insert(format!("optional-field {name}"));
        }
        schema(&name, inner, entries);
    }
    for (name, inner) in of["$defs"].as_object().into_iter().flatten() {
        schema(&format!("{place}/{name}"), inner, entries);
    }
    for value in of["enum"].as_array().into_iter().flatten() {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        entries.insert(format!("value {place} {shown}"));
    }
    for limit in ["maximum", "maxLength", "maxItems", "minimum", "minLength", "minItems"] {
        if let Some(bound) = members.get(limit) {
            entries.insert(format!("limit {place} {limit} {bound}"));
        }
    }
    for list in ["anyOf", "oneOf"] {
        for inner in of[list].as_array().into_iter().flatten() {
            schema(place, inner, entries);
        }
    }
    schema(&format!("{place}[]"), &of["items"], entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(entries: &[&str]) -> Registry {
        let entries = entries.iter().map(|it| (*it).to_owned()).collect();
        Registry { version: "0".to_owned(), entries }
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
    fn a_manifest_field_that_is_narrower_is_found_and_one_that_is_wider_is_not() {
        let of = |body: Value| {
            let mut entries = BTreeSet::new();
            schema("manifest", &serde_json::json!({ "properties": { "n": body } }), &mut entries);
            Registry { version: "0".to_owned(), entries }
        };
        let old = of(serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 10 }));
        let broken = |body: Value| of(body).compare(&old, &Deprecations::default()).broken;
        for wider in [
            serde_json::json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
            serde_json::json!({ "type": ["integer", "string"], "maximum": 10 }),
        ] {
            assert_eq!(broken(wider), [""; 0]);
        }
        for (narrower, why) in [
            (
                serde_json::json!({ "type": "integer", "minimum": 2, "maximum": 10 }),
                "limit manifest.n minimum 1",
            ),
            (
                serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 9 }),
                "limit manifest.n maximum 10",
            ),
            (
                serde_json::json!({ "type": "string", "minimum": 1, "maximum": 10 }),
                "type manifest.n integer",
            ),
            (
                serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 10, "enum": [3] }),
                "value manifest.n 3 (there was none)",
            ),
            (
                serde_json::json!({
                    "type": "integer", "minimum": 1, "maximum": 10, "maxLength": 3,
                }),
                "limit manifest.n maxLength 3 (there was none)",
            ),
        ] {
            assert_eq!(broken(narrower), [why]);
        }
        let required =
            serde_json::json!({ "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let mut entries = BTreeSet::new();
        schema("manifest", &required, &mut entries);
        let free = of(serde_json::json!({ "type": "integer" }));
        let now = Registry { version: "1".to_owned(), entries };
        let found = now.compare(&free, &Deprecations::default());
        assert_eq!(found.broken, ["optional-field manifest.n"]);
    }

    #[test]
    fn a_flag_that_becomes_required_or_single_is_narrower() {
        let of = |arg: Arg| {
            let mut entries = BTreeSet::new();
            let built = clap::Command::new("x").arg(arg);
            command(&built, "x", &mut entries);
            entries
        };
        let wide = of(Arg::new("n").long("n").action(ArgAction::Append).value_parser(["a", "b"]));
        for narrow in [
            Arg::new("n")
                .long("n")
                .action(ArgAction::Append)
                .value_parser(["a", "b"])
                .required(true),
            Arg::new("n").long("n").action(ArgAction::Set).value_parser(["a", "b"]),
            Arg::new("n").long("n").action(ArgAction::Append).value_parser(["a"]),
        ] {
            assert!(!of(narrow).is_superset(&wide));
        }
    }
}
