//! TOML into a value, with the place of everything in it.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lines::Lines;
use super::places::{Places, near_item, near_member};
use super::{DEPTH_MAX, Document, Fault};

/// Parses a text.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
        Fault::new(line, column, error.message())
    })?;
    let mut reading = Reading { lines, places: Places::default() };
    reading.places.put(Some(""), 1, 1);
    let value = Value::Object(reading.table(table.get_ref(), Some(""), 0)?);
    Ok(Document { value, places: reading.places })
}

struct Reading<'a> {
    lines: Lines<'a>,
    places: Places,
}

impl Reading<'_> {
    fn table(
        &mut self,
        table: &DeTable<'_>,
        above: Option<&str>,
        depth: usize,
    ) -> Result<Map<String, Value>, Fault> {
        let mut entries = Map::new();
        for (key, value) in table {
            let pointer = near_member(above, key.get_ref());
            let value = self.value(value, pointer.as_deref(), depth + 1)?;
            entries.insert(key.get_ref().to_string(), value);
        }
        Ok(entries)
    }

    fn value(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        pointer: Option<&str>,
        depth: usize,
    ) -> Result<Value, Fault> {
        let (line, column) = self.lines.place(value.span().start);
        self.places.put(pointer, line, column);
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Fault::new(line, column, message));
        }
        let no_number =
            |text: &str| Fault::new(line, column, format!("`{text}` is no number that JSON has"));
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(Value::from)
                .map_err(|_| no_number(number.as_str()))?,
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| no_number(number.as_str()))?,
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (index, value) in items.iter().enumerate() {
                    let pointer = near_item(pointer, index);
                    list.push(self.value(value, pointer.as_deref(), depth + 1)?);
                }
                Value::Array(list)
            }
            DeValue::Table(table) => Value::Object(self.table(table, pointer, depth)?),
        })
    }
}
