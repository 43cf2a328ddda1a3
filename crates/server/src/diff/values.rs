//! Where two JSON values differ, within what one answer may hold.

use std::collections::BTreeSet;

use ark_os_api::{Json, ValueChange};
use ark_os_core::hash::Hash;
use ark_os_core::payload::Payload;
use ark_os_runtime::{Handle, RuntimeError};
use serde_json::Value;

/// Bytes of values and their places in one answer: much for a reader, and little for a hundred answers at once.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Places that are shown of two values.
const CHANGES_MAX: usize = 100;
/// Bytes of a text that is looked into; of larger ones the whole is told by its digest.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a value that is shown; larger ones by digest. As much as a record holds of a payload.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Bytes of a place: what lies deeper is told at the deepest place that can be named. Places and values of all
/// changes of an input fit into one answer, so that whatever differs is seen to.
const PATH_BYTES_MAX: usize = 1 << 10;

/// What is left of an answer.
pub(super) struct Room {
    bytes: usize,
    is_cut: bool,
}

impl Default for Room {
    fn default() -> Self {
        Room { bytes: ANSWER_BYTES_MAX, is_cut: false }
    }
}

impl Room {
    /// Whether something that differs was left out.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether a change of the largest kind might not find its place any more.
    pub(super) fn is_full(&self) -> bool {
        self.bytes < PATH_BYTES_MAX + 2 * VALUE_BYTES_MAX
    }

    /// Something that differs is left out.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Where two payloads differ.
    pub(super) fn changes(
        &mut self,
        handle: &Handle,
        a: Option<&Payload>,
        b: Option<&Payload>,
    ) -> Result<Vec<ValueChange>, RuntimeError> {
        let mut found = Vec::new();
        if a.map(Payload::hash) == b.map(Payload::hash) {
            return Ok(found);
        }
        let read = |it: Option<&Payload>| it.map(|it| Side::read(handle, it)).transpose();
        match (read(a)?, read(b)?) {
            (a @ (None | Some(Side::Small(_))), b @ (None | Some(Side::Small(_)))) => {
                let (a, b) = (a.as_ref(), b.as_ref());
                let (a, b) = (a.and_then(Side::value), b.and_then(Side::value));
                self.differ(String::new(), a, b, &mut found);
            }
            (a, b) => {
                let shown = |it: Option<Side>| it.and_then(Side::shown);
                self.add(String::new(), shown(a), shown(b), &mut found);
            }
        }
        Ok(found)
    }

    /// Adds the places where two values differ. Foreign texts were read with a bound of their depth.
    fn differ(
        &mut self,
        path: String,
        a: Option<&Value>,
        b: Option<&Value>,
        found: &mut Vec<ValueChange>,
    ) {
        if a == b || self.is_over(found) {
            return;
        }
        match (a, b) {
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                let below = |key: &String| key.replace('~', "~0").replace('/', "~1");
                let below: Vec<_> = keys.into_iter().map(|key| (key, below(key))).collect();
                if below.iter().all(|(_, name)| path.len() + name.len() < PATH_BYTES_MAX) {
                    for (key, name) in below {
                        self.differ(format!("{path}/{name}"), one.get(key), other.get(key), found);
                    }
                    return;
                }
            }
            (Some(Value::Array(one)), Some(Value::Array(other))) => {
                for at in 0..one.len().max(other.len()) {
                    self.differ(format!("{path}/{at}"), one.get(at), other.get(at), found);
                }
                return;
            }
            _ => {}
        }
        self.add(path, a.and_then(shown), b.and_then(shown), found);
    }

    /// Whether no further change is shown; whoever asks has one.
    fn is_over(&mut self, found: &[ValueChange]) -> bool {
        let is_over = found.len() >= CHANGES_MAX || self.is_full();
        self.is_cut |= is_over;
        is_over
    }

    fn add(
        &mut self,
        path: String,
        a: Option<Json>,
        b: Option<Json>,
        found: &mut Vec<ValueChange>,
    ) {
        if self.is_over(found) {
            return;
        }
        let size = |it: &Option<Json>| it.as_ref().map_or(0, |it| it.get().len());
        self.bytes = self.bytes.saturating_sub(path.len() + size(&a) + size(&b));
        found.push(ValueChange { path, a, b });
    }
}

/// One of two payloads.
enum Side {
    /// It is looked into.
    Small(Value),
    /// Its digest and its length.
    Large(Hash, usize),
}

impl Side {
    fn read(handle: &Handle, payload: &Payload) -> Result<Self, RuntimeError> {
        let large = |bytes| Side::Large(payload.hash(), bytes);
        if let Payload::Blob { len, .. } = payload
            && *len > TEXT_BYTES_MAX as u64
        {
            return Ok(large(usize::try_from(*len).unwrap_or(usize::MAX)));
        }
        let bytes = handle.load(payload)?;
        // What is no JSON of a depth that can be read is told by its digest.
        Ok(serde_json::from_slice(&bytes).map_or_else(|_| large(bytes.len()), Side::Small))
    }

    fn value(&self) -> Option<&Value> {
        match self {
            Side::Small(value) => Some(value),
            Side::Large(..) => None,
        }
    }

    fn shown(self) -> Option<Json> {
        match self {
            Side::Small(value) => shown(&value),
            Side::Large(hash, bytes) => digest(hash, bytes),
        }
    }
}

/// A value as it is, or what stands for a large one.
fn shown(value: &Value) -> Option<Json> {
    let text = serde_json::value::to_raw_value(value).ok()?;
    let bytes = text.get().len();
    if bytes <= VALUE_BYTES_MAX {
        return Some(text);
    }
    digest(Hash::of(text.get().as_bytes()), bytes)
}

fn digest(hash: Hash, bytes: usize) -> Option<Json> {
    let told = serde_json::json!({ "blob": format!("sha256:{hash}"), "bytes": bytes });
    serde_json::value::to_raw_value(&told).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compare(a: &Value, b: &Value) -> (Vec<ValueChange>, Room) {
        let (mut found, mut room) = (Vec::new(), Room::default());
        room.differ(String::new(), Some(a), Some(b), &mut found);
        (found, room)
    }

    #[track_caller]
    fn check(a: &str, b: &str, expect: &[(&str, &str, &str)]) {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let (found, room) = compare(&parse(a), &parse(b));
        assert!(!room.is_cut());
        let text = |it: &Option<Json>| it.as_ref().map_or("-", |it| it.get()).to_owned();
        let found: Vec<_> =
            found.iter().map(|it| (it.path.clone(), text(&it.a), text(&it.b))).collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(path, a, b)| ((*path).to_owned(), (*a).to_owned(), (*b).to_owned()))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn values_differ_at_the_deepest_place_that_says_it_all() {
        check("1", "1", &[]);
        check("1", "2", &[("", "1", "2")]);
        check(
            r#"{"a":{"b":[1,2]}}"#,
            r#"{"a":{"b":[1,3,4]}}"#,
            &[("/a/b/1", "2", "3"), ("/a/b/2", "-", "4")],
        );
        check(r#"{"a/b":1,"c":2}"#, r#"{"c":{}}"#, &[("/a~1b", "1", "-"), ("/c", "2", "{}")]);
        check(r#"{"a":null}"#, "{}", &[("/a", "null", "-")]);
    }

    #[test]
    fn the_places_of_two_values_are_bounded_and_that_is_told() {
        let list: Vec<Value> = (0..1_000).map(Value::from).collect();
        let (found, room) = compare(&Value::from(list), &Value::from(vec![Value::Null; 1_000]));
        assert_eq!((found.len(), room.is_cut()), (CHANGES_MAX, true));
    }

    #[test]
    fn a_large_value_is_told_by_its_digest_and_length() {
        let long = "x".repeat(VALUE_BYTES_MAX);
        let (found, _) = compare(&json!({"t": long}), &json!({"t": 1}));
        let text = format!("\"{long}\"");
        let expect = json!({
            "blob": format!("sha256:{}", Hash::of(text.as_bytes())), "bytes": text.len()
        });
        let told: Value = serde_json::from_str(found[0].a.as_ref().unwrap().get()).unwrap();
        assert_eq!((&*found[0].path, told), ("/t", expect));
    }

    #[test]
    fn an_answer_is_bounded_whatever_many_large_values_differ() {
        let many = |word: &str| Value::from(vec![word.repeat(VALUE_BYTES_MAX / 2); 60]);
        let (a, b) = (many("a"), many("b"));
        let (mut found, mut room) = (Vec::new(), Room::default());
        for _ in 0..100 {
            let mut changes = Vec::new();
            room.differ(String::new(), Some(&a), Some(&b), &mut changes);
            found.extend(changes);
        }
        let bytes = serde_json::to_vec(&found).unwrap().len();
        assert!(room.is_cut() && (ANSWER_BYTES_MAX * 9 / 10..=ANSWER_BYTES_MAX).contains(&bytes));
    }

    #[test]
    fn a_place_with_an_endless_name_is_told_above_it() {
        let key = "k".repeat(PATH_BYTES_MAX);
        let (a, b) = (json!({"up": {&key: 1}}), json!({"up": {&key: 2}}));
        let (found, room) = compare(&a, &b);
        assert_eq!((&*found[0].path, found.len(), room.is_cut()), ("/up", 1, false));
    }
}
