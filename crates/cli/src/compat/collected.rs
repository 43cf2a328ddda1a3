//! What this program promises and demands, collected from its command line, its tables, and the schemas of its API and of
//! manifests.

use std::collections::BTreeSet;

use ark_os_api::codes::TABLE;
use ark_os_core::event_numbers::event_numbers;
use ark_os_runtime::skills::SkillSet;
use clap::{Arg, ArgAction};
use serde_json::Value;

use crate::config;
use crate::output::field;

/// Keywords of JSON Schema that bound a value.
const LIMITS: [&str; 11] = [
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maximum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minimum",
    "minItems",
    "minLength",
    "minProperties",
    "uniqueItems",
];

/// Everything, line by line.
pub(super) fn entries(commands: &clap::Command) -> BTreeSet<String> {
    let mut entries = BTreeSet::new();
    command(commands, commands.get_name(), &mut entries);
    entries.extend(
        config::names()
            .flat_map(|(key, variable)| [format!("config {key}"), format!("variable {variable}")]),
    );
    entries.extend(
        TABLE.iter().map(|row| format!("error {} {} {}", row.code, row.status, row.exit.code())),
    );
    entries.extend(event_numbers().iter().map(|(number, name)| format!("event {number} {name}")));
    entries.extend(SkillSet::builtin().names().map(|name| format!("skill {name}")));
    api(&mut entries);
    Taken(&mut entries).schema("manifest", &ark_os_core::manifest::shape::json_schema());
    entries
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
    for group in of.get_groups().filter(|group| group.is_required_set()) {
        let of_group = |arg: &&Arg| group.get_args().any(|id| id == arg.get_id());
        let flags: BTreeSet<_> = of.get_arguments().filter(of_group).map(shown).collect();
        let flags = flags.into_iter().collect::<Vec<_>>().join("|");
        entries.insert(format!("one-of {name} {flags}"));
    }
    for below in of.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        command(below, &format!("{name} {}", below.get_name()), entries);
    }
}

/// A flag by its name. Places count by order, so another name for one breaks nobody.
fn shown(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_index()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(index)) => format!("#{index}"),
        (None, None) => arg.get_id().to_string(),
    }
}

fn argument(arg: &Arg, command: &str, entries: &mut BTreeSet<String>) {
    let shown = shown(arg);
    let mut add = |what: &str| entries.insert(format!("{what} {command} {shown}"));
    add("flag");
    if arg.is_required_set() {
        add("requires-flag");
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
    let values = arg.get_possible_values();
    if !values.is_empty() {
        add("enumerated-flag");
    }
    for value in values {
        entries.insert(format!("value {command} {shown} {}", value.get_name()));
    }
    let names = arg.get_short().map(|short| format!("-{short}"));
    let aliases = arg.get_all_aliases().unwrap_or_default();
    for other in names.into_iter().chain(aliases.iter().map(|alias| format!("--{alias}"))) {
        entries.insert(format!("flag {command} {other}"));
    }
}

/// Routes, what they take and answer, and the fields of what goes over the wire.
fn api(entries: &mut BTreeSet<String>) {
    let document: Value = serde_json::from_str(&ark_os_server::openapi_json()).unwrap_or_default();
    let schemas = field(field(&document, "components"), "schemas");
    let (mut taken, mut given) = (BTreeSet::new(), BTreeSet::new());
    for (path, methods) in members(field(&document, "paths")) {
        for (method, operation) in members(methods) {
            route(&method.to_uppercase(), path, operation, entries);
            named(field(operation, "requestBody"), schemas, &mut taken);
            named(field(operation, "responses"), schemas, &mut given);
        }
    }
    for (name, body) in members(schemas) {
        if taken.contains(name.as_str()) {
            Taken(entries).schema(name, body);
        }
        if given.contains(name.as_str()) || !taken.contains(name.as_str()) {
            Given(entries).schema(name, body);
        }
    }
}

fn route(method: &str, path: &str, operation: &Value, entries: &mut BTreeSet<String>) {
    entries.insert(format!("route {method} {path}"));
    for parameter in field(operation, "parameters").as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        entries.insert(format!("parameter {method} {path} {name}"));
        if parameter["required"] == Value::Bool(true) {
            entries.insert(format!("requires-parameter {method} {path} {name}"));
        }
        Taken(entries).schema(&format!("{method}{path}?{name}"), field(parameter, "schema"));
    }
    let body = field(operation, "requestBody");
    if body["required"] == Value::Bool(true) {
        entries.insert(format!("requires-body {method} {path}"));
    }
    for (media, content) in members(field(body, "content")) {
        entries.insert(format!("body {method} {path} {media}"));
        Taken(entries).schema(&format!("{method}{path}#body"), field(content, "schema"));
    }
    for (status, answer) in members(field(operation, "responses")) {
        entries.insert(format!("answer {method} {path} {status}"));
        for content in members(field(answer, "content")).map(|(_, content)| content) {
            Given(entries).schema(&format!("{method}{path}#{status}"), field(content, "schema"));
        }
    }
}

/// The schemas that a value names, and those that these name.
fn named<'a>(value: &'a Value, schemas: &'a Value, names: &mut BTreeSet<&'a str>) {
    if let Some(name) = referred(value)
        && names.insert(name)
    {
        named(field(schemas, name), schemas, names);
    }
    let inner = value.as_array().into_iter().flatten();
    for below in inner.chain(members(value).map(|(_, below)| below)) {
        named(below, schemas, names);
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    field(of, name).as_array().into_iter().flatten()
}

/// The name of the schema that stands elsewhere.
fn referred(of: &Value) -> Option<&str> {
    of.get("$ref")?.as_str()?.rsplit('/').next()
}

/// The types of a schema, by their names or that of the schema that stands elsewhere.
fn types(of: &Value) -> Vec<&str> {
    match field(of, "type") {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        _ if of.get("properties").is_some() => vec!["object"],
        _ => referred(of).into_iter().collect(),
    }
}

/// Whether only named values are right.
fn is_enumerated(of: &Value) -> bool {
    let one = |list_name: &str| {
        let mut branches = list(of, list_name).filter(|it| types(it) != ["null"]).peekable();
        branches.peek().is_some() && branches.all(is_enumerated)
    };
    of.get("enum").is_some()
        || of.get("const").is_some()
        || one("anyOf")
        || one("oneOf")
        || list(of, "allOf").any(is_enumerated)
}

/// The fields that are needed where nothing else is said.
fn required(of: &Value) -> impl Iterator<Item = &str> {
    list(of, "required").filter_map(Value::as_str)
}

/// Schemas of what callers send: what is accepted is promised, what is needed or forbidden is demanded.
struct Taken<'a>(&'a mut BTreeSet<String>);

/// Schemas of what callers get: what is always there is promised, of which type it may be is what they have to understand.
struct Given<'a>(&'a mut BTreeSet<String>);

trait Schemas {
    fn add(&mut self, line: String);

    /// What is said of a place by the members of one schema, other schemas below it apart.
    fn own(&mut self, place: &str, of: &Value);

    /// A schema at a place: the pointer that leads there, so to say.
    fn schema(&mut self, place: &str, of: &Value) {
        if !of.is_object() {
            return;
        }
        if is_enumerated(of) {
            self.add(format!("enumerated {place}"));
        }
        for (name, inner) in members(field(of, "$defs")) {
            self.schema(&format!("{place}/{name}"), inner);
        }
        self.shape(place, of);
    }

    /// The same, where it is one of several for the place.
    fn shape(&mut self, place: &str, of: &Value) {
        self.own(place, of);
        for (field, inner) in members(field(of, "properties")) {
            self.add(format!("field {place}.{field}"));
            self.schema(&format!("{place}.{field}"), inner);
        }
        for (pattern, inner) in members(field(of, "patternProperties")) {
            let name = format!("{place}.({})", pattern.replace(' ', "\\u0020"));
            self.add(format!("field {name}"));
            self.schema(&name, inner);
        }
        for value in list(of, "enum").chain(of.get("const")) {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.add(format!("value {place} {shown}"));
        }
        for inner in ["anyOf", "oneOf"].into_iter().flat_map(|name| list(of, name)) {
            // Other objects of the same place have their own fields.
            let needed: Vec<_> = required(inner).collect();
            if inner.get("properties").is_some() {
                self.shape(&format!("{place}|{}", needed.join("+")), inner);
            } else {
                self.shape(place, inner);
            }
        }
        list(of, "allOf").for_each(|inner| self.shape(place, inner));
        self.schema(&format!("{place}[]"), field(of, "items"));
        self.schema(&format!("{place}.*"), field(of, "additionalProperties"));
        self.schema(&format!("{place}.<name>"), field(of, "propertyNames"));
    }
}

impl Schemas for Taken<'_> {
    fn add(&mut self, line: String) {
        self.0.insert(line);
    }

    fn own(&mut self, place: &str, of: &Value) {
        types(of).iter().for_each(|it| self.add(format!("type {place} {it}")));
        // Without properties it is one way of several to be right, which says only what is needed.
        let is_way = of.get("properties").is_none() && types(of).is_empty();
        for name in required(of) {
            if is_way {
                self.add(format!("either {place} {name}"));
                self.add(format!("requires-either {place}"));
            } else {
                self.add(format!("requires-field {place} {name}"));
            }
        }
        if of["additionalProperties"] == Value::Bool(false) {
            self.add(format!("closed {place}"));
        }
        for name in LIMITS {
            if let Some(bound) = of.get(name) {
                self.add(format!("limit {place} {name} {bound}"));
            }
        }
        if let Some(pattern) = of["pattern"].as_str() {
            self.add(format!("pattern {place} {pattern}"));
        }
    }
}

impl Schemas for Given<'_> {
    fn add(&mut self, line: String) {
        // Which values an answer has at most is no demand.
        if !line.starts_with("enumerated ") {
            self.0.insert(line);
        }
    }

    fn own(&mut self, place: &str, of: &Value) {
        types(of).iter().for_each(|it| self.add(format!("gives {place} {it}")));
        for name in required(of) {
            self.add(format!("sure-field {place}.{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Deprecations, FORMAT, Registry};
    use super::*;

    fn registry(entries: BTreeSet<String>) -> Registry {
        Registry { format: FORMAT, version: "0".to_owned(), entries }
    }

    fn broken(then: BTreeSet<String>, now: BTreeSet<String>) -> Vec<String> {
        registry(now).compare(&registry(then), &Deprecations::default()).broken
    }

    /// What becomes of callers who send `m`, or only its field `n`, as it was.
    fn sent(then: &Value, now: &Value) -> Vec<String> {
        let of = |schema: &Value| {
            let mut entries = BTreeSet::new();
            Taken(&mut entries).schema("m", schema);
            entries
        };
        broken(of(then), of(now))
    }

    fn with_n(n: &Value) -> Value {
        json!({ "type": "object", "properties": { "n": n } })
    }

    #[test]
    fn a_field_that_is_narrower_is_found_and_one_that_is_wider_is_not() {
        let old = with_n(&json!({ "type": "integer", "minimum": 1, "maximum": 10 }));
        for wider in [
            json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
            json!({ "type": "integer" }),
            json!({ "type": ["integer", "string"], "maximum": 10 }),
            // Whatever it says of texts says nothing of numbers.
            json!({ "anyOf": [
                { "type": "integer", "maximum": 10 }, { "type": "string", "pattern": "^a$", "maxLength": 9 },
            ] }),
        ] {
            assert_eq!(sent(&old, &with_n(&wider)), [""; 0], "{wider}");
        }
        for (narrower, why) in [
            (json!({ "type": "integer", "minimum": 2, "maximum": 10 }), "limit m.n minimum 2"),
            (json!({ "type": "integer", "minimum": 1, "maximum": 9 }), "limit m.n maximum 9"),
            (json!({ "type": "integer", "exclusiveMaximum": 9 }), "limit m.n exclusiveMaximum 9"),
            (json!({ "type": "string" }), "type m.n integer"),
            (json!({ "type": "integer", "enum": [3] }), "enumerated m.n"),
            (json!({ "type": "integer", "const": 3 }), "enumerated m.n"),
            (
                json!({ "type": "integer", "oneOf": [{ "const": 3 }, { "const": 4 }] }),
                "enumerated m.n",
            ),
            (json!({ "allOf": [{ "type": "integer" }, { "maximum": 9 }] }), "limit m.n maximum 9"),
        ] {
            assert_eq!(sent(&old, &with_n(&narrower)), [why], "{narrower}");
        }
    }

    #[test]
    fn a_pattern_that_is_new_or_another_is_narrower() {
        let text = json!({ "type": "string" });
        let shaped = json!({ "type": "string", "pattern": "^a+ b$" });
        let other = json!({ "type": "string", "pattern": "^b$" });
        assert_eq!(sent(&text, &shaped), ["pattern m ^a+ b$"]);
        assert_eq!(sent(&shaped, &other), ["pattern m ^b$"]);
        assert_eq!(sent(&shaped, &text), [""; 0]);
    }

    #[test]
    fn a_field_that_has_to_be_sent_since_is_found_whether_it_is_new_or_was_free() {
        let old = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
        let needed = |properties: Value, required: Value| {
            let now = json!({ "type": "object", "properties": properties, "required": required });
            sent(&old, &now)
        };
        let n = json!({ "type": "integer" });
        assert_eq!(needed(json!({ "n": n }), json!(["n"])), ["requires-field m n"]);
        assert_eq!(needed(json!({ "n": n, "k": n }), json!(["k"])), ["requires-field m k"]);
        assert_eq!(needed(json!({ "n": n, "k": n }), json!([])), [""; 0]);
        // An object that is new may need what it will.
        let new = json!({ "type": "object", "properties": { "x": n }, "required": ["x"] });
        assert_eq!(needed(json!({ "n": n, "k": new }), json!([])), [""; 0]);
    }

    #[test]
    fn an_object_that_is_closed_or_needs_one_of_several_fields_since_is_narrower() {
        let free = json!({ "type": "object" });
        let closed = json!({ "type": "object", "additionalProperties": false });
        let numbers = json!({ "type": "object", "additionalProperties": { "type": "integer" } });
        let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        assert_eq!(sent(&free, &closed), ["closed m"]);
        assert_eq!(sent(&closed, &free), [""; 0]);
        assert_eq!(sent(&numbers, &texts), ["type m.* integer"]);
        let of = |ways: &[&str]| {
            let ways: Vec<_> = ways.iter().map(|it| json!({ "required": [it] })).collect();
            json!({ "type": "object", "anyOf": ways })
        };
        assert_eq!(sent(&free, &of(&["a"])), ["requires-either m"]);
        assert_eq!(sent(&of(&["a", "b"]), &of(&["a"])), ["either m b"]);
        assert_eq!(sent(&of(&["a"]), &of(&["a", "b"])), [""; 0]);
    }

    #[test]
    fn another_kind_of_object_with_its_own_needs_breaks_nobody() {
        let kind = |name: &str| json!({ "type": "object", "properties": { name: {} }, "required": [name] });
        let (one, two) =
            (json!({ "oneOf": [kind("a")] }), json!({ "oneOf": [kind("a"), kind("b")] }));
        assert_eq!(sent(&one, &two), [""; 0]);
        assert_eq!(sent(&two, &one), ["field m|b.b", "type m|b object"]);
    }

    #[test]
    fn an_answer_may_have_more_but_not_less_and_nothing_of_another_type() {
        let given = |then: &Value, now: &Value| {
            let of = |schema: &Value| {
                let mut entries = BTreeSet::new();
                Given(&mut entries).schema("m", schema);
                entries
            };
            broken(of(then), of(now))
        };
        let n = json!({ "type": "integer" });
        let old = json!({ "type": "object", "properties": { "n": n }, "required": ["n"] });
        let more =
            json!({ "type": "object", "properties": { "n": n, "k": n }, "required": ["k", "n"] });
        assert_eq!(given(&old, &more), [""; 0]);
        assert_eq!(given(&more, &old), ["field m.k", "sure-field m.k"]);
        assert_eq!(given(&old, &with_n(&n)), ["sure-field m.n"]);
        let or_null = json!({ "type": ["integer", "null"] });
        assert_eq!(given(&with_n(&n), &with_n(&or_null)), ["gives m.n null"]);
        assert_eq!(
            given(&with_n(&or_null), &with_n(&json!({ "type": "integer", "maximum": 3 }))),
            [""; 0]
        );
    }

    #[test]
    fn a_parameter_or_body_that_is_needed_since_is_found() {
        let of = |operation: Value| {
            let mut entries = BTreeSet::new();
            route("GET", "/x", &operation, &mut entries);
            entries
        };
        let limit = |required: bool, schema: Value| json!({ "parameters": [{ "name": "limit", "required": required, "schema": schema }] });
        let n = || json!({ "type": "integer" });
        let (none, free) = (of(json!({})), of(limit(false, n())));
        assert_eq!(broken(none.clone(), free.clone()), [""; 0]);
        assert_eq!(broken(none.clone(), of(limit(true, n()))), ["requires-parameter GET /x limit"]);
        assert_eq!(broken(free.clone(), of(limit(true, n()))), ["requires-parameter GET /x limit"]);
        let most = json!({ "type": "integer", "maximum": 5 });
        assert_eq!(broken(free, of(limit(false, most))), ["limit GET/x?limit maximum 5"]);
        let body = |required: bool| {
            let content = json!({ "application/json": { "schema": { "$ref": "#/a/X" } } });
            of(json!({ "requestBody": { "required": required, "content": content } }))
        };
        assert_eq!(broken(none, body(true)), ["requires-body GET /x"]);
        assert_eq!(broken(body(false), body(true)), ["requires-body GET /x"]);
        assert_eq!(broken(body(true), body(false)), [""; 0]);
    }

    #[test]
    fn a_flag_that_has_to_be_given_or_takes_less_since_is_narrower() {
        let of = |args: &[Arg]| {
            let mut entries = BTreeSet::new();
            let built = clap::Command::new("x").args(args);
            command(&built, "x", &mut entries);
            entries
        };
        let n = || Arg::new("n").long("n").action(ArgAction::Append);
        let k = Arg::new("k").long("k");
        let wide = of(&[n()]);
        for (narrow, why) in [
            (of(&[n().required(true)]), "requires-flag x --n"),
            (of(&[n().action(ArgAction::Set)]), "repeatable-flag x --n"),
            (of(&[n().value_parser(["a"])]), "enumerated-flag x --n"),
            (of(&[n(), k.clone().required(true)]), "requires-flag x --k"),
        ] {
            assert_eq!(broken(wide.clone(), narrow), [why]);
        }
        assert_eq!(broken(wide, of(&[n(), k])), [""; 0]);
        let listed = |values: &'static [&'static str]| {
            of(&[n().value_parser(clap::builder::PossibleValuesParser::new(values))])
        };
        assert_eq!(broken(listed(&["a", "b"]), listed(&["a"])), ["value x --n b"]);
        assert_eq!(broken(listed(&["a"]), listed(&["a", "b"])), [""; 0]);
    }

    #[test]
    fn one_of_several_flags_that_has_to_be_given_since_is_found() {
        let of = |required: bool| {
            let group = clap::ArgGroup::new("g").args(["a", "b"]).required(required);
            let args = [Arg::new("a").long("a"), Arg::new("b").long("b")];
            let mut entries = BTreeSet::new();
            command(&clap::Command::new("x").args(args).group(group), "x", &mut entries);
            entries
        };
        assert_eq!(broken(of(false), of(true)), ["one-of x --a|--b"]);
        assert_eq!(broken(of(true), of(false)), [""; 0]);
    }

    #[test]
    fn what_is_sent_and_what_is_answered_are_told_apart() {
        let schemas = json!({
            "A": { "properties": { "b": { "items": { "$ref": "#/components/schemas/B" } } } },
            "B": { "properties": { "a": { "$ref": "#/components/schemas/A" } } },
            "C": {},
        });
        let (mut names, body) = (BTreeSet::new(), json!([{ "$ref": "#/components/schemas/A" }]));
        named(&body, &schemas, &mut names);
        assert_eq!(names, BTreeSet::from(["A", "B"]));
    }
}
