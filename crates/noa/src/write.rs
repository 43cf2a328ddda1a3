//! A value as text again, in any of the three formats. What was read from it reads back the same;
//! comments and layout are not kept.

mod order;
mod yaml;

use serde_json::Value;

use crate::text::Format;
use order::Ordered;

/// Writes a value, the fields of manifests in the order in which people write them.
///
/// # Errors
/// The format cannot say it: TOML has no null, no numbers beyond 63 bits, and only objects at its
/// root.
pub fn write(value: &Value, format: Format) -> Result<String, String> {
    match format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&Ordered(value));
            text.map(|text| text + "\n").map_err(|error| error.to_string())
        }
        Format::Yaml => Ok(yaml::write(value)),
        Format::Toml => write_toml(value),
    }
}

fn write_toml(value: &Value) -> Result<String, String> {
    if !value.is_object() {
        return Err("TOML has only objects at its root".to_owned());
    }
    if let Some(pointer) = unwritable(value) {
        return Err(format!("TOML cannot say what stands at `{pointer}`: choose another format"));
    }
    ::toml::to_string(&Ordered(value)).map_err(|error| error.to_string())
}

/// The first place of something that TOML has no way to write.
fn unwritable(value: &Value) -> Option<String> {
    let mut open = vec![(String::new(), value)];
    while let Some((pointer, value)) = open.pop() {
        match value {
            Value::Null => return Some(pointer),
            Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
                return Some(pointer);
            }
            Value::Array(list) => {
                let items = list.iter().enumerate();
                open.extend(items.map(|(i, it)| (crate::text::item(&pointer, i), it)));
            }
            Value::Object(map) => {
                open.extend(map.iter().map(|(key, it)| (crate::text::member(&pointer, key), it)));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
