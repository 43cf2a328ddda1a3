//! Reading inputs and writing answers: JSON in, JSON out, and the digests that name bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::SkillError;

/// Reads a skill's input.
pub(super) fn read<T: DeserializeOwned>(input: &[u8]) -> Result<T, SkillError> {
    serde_json::from_slice(input)
        .map_err(|error| SkillError::invalid_input(format!("read the input: {error}")))
}

/// Writes a skill's answer.
pub(super) fn answer<T: Serialize>(value: &T) -> Result<Vec<u8>, SkillError> {
    serde_json::to_vec(value).map_err(|error| {
        SkillError::permanent("skill.unwritable_answer", format!("write the answer: {error}"))
    })
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The one text of a JSON value: keys in byte order, no spaces. Two equal values have one text
/// whatever order their keys came in.
pub(super) fn canonical(value: &Value) -> Result<Vec<u8>, SkillError> {
    // Sorted here and not left to the map type: another crate of the build may switch
    // serde_json to maps that keep the order of insertion.
    answer(&sorted(value))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(
                fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect(),
            )
        }
        other => other.clone(),
    }
}

/// About how many bytes a value takes as JSON text; never less than half of it.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 20,
        Value::String(text) => text.len() + 3,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() + 4 + weight(value)).sum::<usize>() + 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_text_does_not_depend_on_key_order() {
        let a: Value =
            serde_json::from_str(r#"{"b":1,"a":{"d":[{"z":0,"y":1}],"c":null}}"#).unwrap();
        assert_eq!(canonical(&a).unwrap(), br#"{"a":{"c":null,"d":[{"y":1,"z":0}]},"b":1}"#);
    }

    #[test]
    fn hex_is_lower_case_and_two_digits_a_byte() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert_eq!(&sha256_hex(b"")[..8], "e3b0c442");
    }

    #[test]
    fn weight_is_near_the_length_of_the_text() {
        let value = json!({"a": [1, 2, "three"], "b": {"c": null}});
        let text = serde_json::to_vec(&value).unwrap().len();
        assert!(weight(&value) >= text / 2, "{} {text}", weight(&value));
    }
}
