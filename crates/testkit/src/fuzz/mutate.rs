//! The mutator: damages a seed a little, as bytes or as a JSON document.

use serde_json::{Map, Value};

use super::rng::Rng;

/// Mutations of one case, at most: more leave nothing of what the seed was.
const MUTATIONS_MAX: usize = 8;
/// Bytes of one input: long enough to meet every limit on text, short enough for speed.
const INPUT_BYTES_MAX: usize = 256 * 1024;
/// How often a piece is repeated, at most: reaches the limits on depth and length.
const REPEATS_MAX: usize = 2_000;
/// Nesting of documents that are mutated as such; deeper ones cost the mutator its stack.
const DEPTH_MAX: usize = 100;

/// How a target's inputs are built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Bytes, with these words in them now and then.
    Bytes(&'static [&'static str]),
    /// JSON, mutated as a document more often than as bytes.
    Json,
}

/// Words that mean something to one parser or another.
const JSON_WORDS: &[&str] = &[
    "null",
    "true",
    "[",
    "]",
    "{",
    "}",
    "[[",
    "{\"\":",
    "\"",
    "\\u0000",
    "\\ud800",
    "1e308",
    "-0",
    "18446744073709551616",
    "0.1",
    "9007199254740993",
    "${input}",
    "${tasks.a.output}",
    "${item.x[0]}",
    "$${",
    "${",
    "}",
    "input.a == 1",
    "tasks.a.state",
    "1h",
    "30s",
    "0ms",
    "*",
    "skill:*",
    "echo",
    "list.range",
    "json.transform",
    "text.template",
    "a",
    "b",
];

/// Values that stand where others are expected.
const JSON_VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "1e300",
    "0.5",
    "18446744073709551615",
    "9223372036854775808",
    "10000",
    "10001",
    "\"\"",
    "\"a\"",
    "\"a.b\"",
    "\"${input}\"",
    "\"${tasks.a.output}\"",
    "\"${tasks.b.outputs[0].x}\"",
    "\"${item}\"",
    "\"${index}\"",
    "\"${tasks.a.error.code}\"",
    "\"x${input.a}y\"",
    "\"30s\"",
    "\"99999h\"",
    "\"fail\"",
    "\"continue\"",
    "[]",
    "[[]]",
    "[null]",
    "[1,2,3]",
    "[\"a\",\"b\"]",
    "{}",
    "{\"a\":{}}",
    "{\"over\":\"${input}\"}",
    "{\"attempts\":2}",
    "{\"type\":\"object\"}",
    "{\"$ref\":\"#\"}",
    "{\"pattern\":\"(a+)+$\"}",
    "{\"enum\":[]}",
    "\"{{ a }}\"",
    "\"{% for a in b %}{% endfor %}\"",
    "\"input.a == 1\"",
    "\"tasks.a.output.all(x, x > 0)\"",
    "\"size(input) > 1 ? true : false\"",
];

/// Keys that some object knows.
const JSON_KEYS: &[&str] = &[
    "name",
    "version",
    "tasks",
    "skill",
    "input",
    "output",
    "when",
    "map",
    "over",
    "reduce",
    "after",
    "retry",
    "timeout",
    "deadline",
    "on_failure",
    "budget",
    "output_schema",
    "fallback",
    "workflows",
    "max_failures",
    "collect",
    "parallel",
    "attempts",
    "backoff",
    "max",
    "type",
    "properties",
    "items",
    "default",
    "",
    "a",
    "agents",
    "priority",
];

const INTERESTING: &[u64] =
    &[0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 63];

/// A seed with one to eight things changed; now and then two seeds in one.
#[must_use]
pub fn mutated(seeds: &[Vec<u8>], form: Form, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = rng.pick(seeds).cloned().unwrap_or_default();
    for _ in 0..=rng.below(MUTATIONS_MAX) {
        bytes = match form {
            Form::Json if !rng.one_in(4) => change_document(&bytes, seeds, rng),
            Form::Json => change_bytes(bytes, seeds, JSON_WORDS, rng),
            Form::Bytes(words) => change_bytes(bytes, seeds, words, rng),
        };
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

fn change_bytes(mut bytes: Vec<u8>, seeds: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let at = rng.below(bytes.len() + 1);
    match rng.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.draw() as u8;
            }
        }
        2 => overwrite(&mut bytes, at, rng),
        3 => bytes.truncate(at),
        4 => {
            let piece = piece(&bytes, rng);
            insert(&mut bytes, at, &piece);
        }
        5 => {
            let end = (at + rng.below(64)).min(bytes.len());
            bytes.drain(at..end);
        }
        6 => {
            let other = rng.pick(seeds).cloned().unwrap_or_default();
            insert(&mut bytes, at, &piece(&other, rng));
        }
        7 => {
            let word = rng.pick(words).copied().unwrap_or_default();
            let times = if rng.one_in(16) { rng.below(REPEATS_MAX) } else { 1 };
            insert(&mut bytes, at, word.repeat(times).as_bytes());
        }
        _ => {
            let few: Vec<u8> = (0..rng.below(16)).map(|_| rng.draw() as u8).collect();
            insert(&mut bytes, at, &few);
        }
    }
    bytes
}

/// A number that means something, in one, two, four or eight bytes, either way round.
fn overwrite(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    let number = rng.pick(INTERESTING).copied().unwrap_or_default();
    let width = 1 << rng.below(4);
    let mut source = number.to_le_bytes().into_iter().take(width).collect::<Vec<u8>>();
    if rng.one_in(2) {
        source.reverse();
    }
    for (to, from) in bytes.iter_mut().skip(at).zip(source) {
        *to = from;
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, what.iter().copied());
}

fn piece(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let from = rng.below(bytes.len() + 1);
    let len = rng.below((bytes.len() - from).min(4_096) + 1);
    bytes.iter().skip(from).take(len).copied().collect()
}

/// Changes one value of a document; what is none any more is changed as bytes.
fn change_document(bytes: &[u8], seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<Value>(bytes) else {
        return change_bytes(bytes.to_vec(), seeds, JSON_WORDS, rng);
    };
    let at = rng.below(count(&document, 0));
    let donor = rng.pick(seeds).and_then(|seed| serde_json::from_slice::<Value>(seed).ok());
    let donor = donor.map(|other| {
        let at = rng.below(count(&other, 0));
        nth(&other, at).cloned().unwrap_or_default()
    });
    if let Some(value) = nth_mut(&mut document, &mut { at }, 0) {
        change_value(value, donor.unwrap_or_default(), rng);
    }
    document.to_string().into_bytes()
}

fn change_value(value: &mut Value, donor: Value, rng: &mut Rng) {
    match rng.below(8) {
        0 | 1 => {
            let text = rng.pick(JSON_VALUES).copied().unwrap_or("null");
            *value = serde_json::from_str(text).unwrap_or_default();
        }
        2 => *value = donor,
        3 => *value = Value::Array(vec![value.take(); 1 + rng.below(3)]),
        4 => {
            let key = rng.pick(JSON_KEYS).copied().unwrap_or_default();
            *value = Value::Object(Map::from_iter([(key.to_owned(), value.take())]));
        }
        5 => nest(value, rng),
        _ => change_inside(value, donor, rng),
    }
}

/// Deep or long, as only a machine would write it.
fn nest(value: &mut Value, rng: &mut Rng) {
    if rng.one_in(2) {
        for _ in 0..rng.below(DEPTH_MAX) {
            *value = Value::Array(vec![value.take()]);
        }
    } else {
        *value = Value::Array(vec![value.take(); rng.below(50)]);
    }
}

fn change_inside(value: &mut Value, donor: Value, rng: &mut Rng) {
    match value {
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = rng.pick(JSON_KEYS).copied().unwrap_or_default().to_owned();
            match (rng.below(3), rng.pick(&keys)) {
                (0, Some(old)) => drop(map.remove(old)),
                (1, Some(old)) => {
                    let moved = map.remove(old).unwrap_or_default();
                    map.insert(key, moved);
                }
                _ => drop(map.insert(key, donor)),
            }
        }
        Value::Array(list) => {
            let at = rng.below(list.len() + 1);
            match rng.below(3) {
                0 if at < list.len() => drop(list.remove(at)),
                1 if at < list.len() => {
                    let again = list.get(at).cloned().unwrap_or_default();
                    list.push(again);
                }
                _ => list.insert(at, donor),
            }
        }
        Value::String(text) => {
            let bytes = change_bytes(text.clone().into_bytes(), &[], JSON_WORDS, rng);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Value::Number(_) => {
            *value = Value::from(rng.pick(INTERESTING).copied().unwrap_or_default());
        }
        Value::Null | Value::Bool(_) => *value = donor,
    }
}

fn count(value: &Value, depth: usize) -> usize {
    if depth >= DEPTH_MAX {
        return 1;
    }
    1 + match value {
        Value::Array(list) => list.iter().map(|it| count(it, depth + 1)).sum(),
        Value::Object(map) => map.values().map(|it| count(it, depth + 1)).sum::<usize>(),
        _ => 0,
    }
}

fn nth(value: &Value, at: usize) -> Option<&Value> {
    let mut left = at;
    let mut open = vec![value];
    while let Some(next) = open.pop() {
        if left == 0 {
            return Some(next);
        }
        left -= 1;
        match next {
            Value::Array(list) => open.extend(list),
            Value::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
    None
}

fn nth_mut<'a>(value: &'a mut Value, left: &mut usize, depth: usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    if depth >= DEPTH_MAX {
        return None;
    }
    match value {
        Value::Array(list) => list.iter_mut().find_map(|it| nth_mut(it, left, depth + 1)),
        Value::Object(map) => map.values_mut().find_map(|it| nth_mut(it, left, depth + 1)),
        _ => None,
    }
}
