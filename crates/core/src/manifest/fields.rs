//! Reading one object of a manifest: typed fields, each complaint at its place.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::duration::parse_duration_ms;
use super::findings::{Pointer, Report, code, shown, type_of};
use super::limits::{DURATION_MS_MAX, NAME_CHARS_MAX};
use super::shape::{Kind, Shape};

/// One object whose fields are all known.
pub(super) struct Fields<'v> {
    map: &'v Map<String, Value>,
    at: Pointer,
    shape: &'static Shape,
}

impl<'v> Fields<'v> {
    /// Opens an object; fields that its shape does not have are findings, and so is anything else.
    pub(super) fn open(
        value: &'v Value,
        at: &Pointer,
        shape: &'static Shape,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let Some(map) = value.as_object() else {
            report.wrong_type(at, &format!("an object of {}", list_of(shape)), value);
            return None;
        };
        for name in map.keys().filter(|name| !shape.has(name)) {
            if shape.later.contains(&name.as_str()) {
                let message = format!("`{name}` is not supported by this version");
                report.add(&at.key(name), code::UNSUPPORTED_SECTION, message);
                continue;
            }
            let message = format!("unknown field `{}`", shown(name));
            report.unknown(&at.key(name), code::UNKNOWN_FIELD, message, name, shape.names());
        }
        Some(Fields { map, at: at.clone(), shape })
    }

    pub(super) fn at(&self) -> &Pointer {
        &self.at
    }

    /// A field as it stands.
    pub(super) fn value(&self, key: &str) -> Option<(&'v Value, Pointer)> {
        self.map.get(key).map(|value| (value, self.at.key(key)))
    }

    pub(super) fn required(
        &self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<(&'v Value, Pointer)> {
        if !self.map.contains_key(key) {
            report.add(&self.at, code::MISSING_FIELD, format!("field `{key}` is missing"));
        }
        self.value(key)
    }

    /// A text of at most `bytes_max`.
    pub(super) fn text(
        &self,
        key: &str,
        bytes_max: usize,
        report: &mut Report<'_>,
    ) -> Option<&'v str> {
        let (value, at) = self.value(key)?;
        let Some(text) = value.as_str() else {
            report.wrong_type(&at, &format!("`{key}` is a text"), value);
            return None;
        };
        if text.len() > bytes_max {
            let message = format!("`{key}` has {} bytes, at most {bytes_max}", text.len());
            report.add(&at, code::TOO_LONG, message);
            return None;
        }
        Some(text)
    }

    /// A name that has to be there.
    pub(super) fn required_name(
        &self,
        key: &str,
        dots: Dots,
        report: &mut Report<'_>,
    ) -> Option<&'v str> {
        let (value, at) = self.required(key, report)?;
        name(value, &at, dots, report)
    }

    pub(super) fn required_list(
        &self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<(&'v [Value], Pointer)> {
        self.required(key, report)?;
        self.list(key, report)
    }

    pub(super) fn list(
        &self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<(&'v [Value], Pointer)> {
        let (value, at) = self.value(key)?;
        let Some(list) = value.as_array() else {
            report.wrong_type(&at, &format!("`{key}` is a list"), value);
            return None;
        };
        Some((list, at))
    }

    /// A list that is no longer or shorter than its shape says.
    pub(super) fn bounded_list(
        &self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<(&'v [Value], Pointer)> {
        let (list, at) = self.list(key, report)?;
        let Some(Kind::List(_, low, high)) = self.kind(key) else { return Some((list, at)) };
        if (*low..=*high).contains(&list.len()) {
            return Some((list, at));
        }
        let text = format!("`{key}` has {low} to {high} entries, not {}", list.len());
        report.add(&at, code::OUT_OF_RANGE, text);
        None
    }

    /// One of the words of its shape.
    pub(super) fn word(&self, key: &str, report: &mut Report<'_>) -> Option<&'static str> {
        let (value, at) = self.value(key)?;
        let Some(Kind::Word(words)) = self.kind(key) else { return None };
        let word = words.iter().copied().find(|word| value.as_str() == Some(word));
        if word.is_none() {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let rule = format!("`{key}` is one of {}", words.join(", "));
            match value.as_str() {
                Some(text) => {
                    let message = format!("{rule}, not `{}`", shown(text));
                    report.add(&at, code::INVALID_VALUE, message);
                }
                None => report.wrong_type(&at, &rule, value),
            }
        }
        word
    }

    /// Whether its shape has a field of this name.
    pub(super) fn may_have(&self, key: &str) -> bool {
        self.shape.field(key).is_some()
    }

    fn kind(&self, key: &str) -> Option<&'static Kind> {
        self.shape.field(key).map(|field| &field.kind)
    }

    pub(super) fn flag(&self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let (value, at) = self.value(key)?;
        if value.as_bool().is_none() {
            report.wrong_type(&at, &format!("`{key}` is true or false"), value);
        }
        value.as_bool()
    }

    /// A whole number inside `range`.
    pub(super) fn count(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        report: &mut Report<'_>,
    ) -> Option<u64> {
        let (value, at) = self.value(key)?;
        let (low, high) = (range.start(), range.end());
        if !value.is_number() {
            report.wrong_type(&at, &format!("`{key}` is a whole number"), value);
            return None;
        }
        let count = value.as_u64().filter(|count| range.contains(count));
        if count.is_none() {
            let rule = match *high {
                u64::MAX => format!("`{key}` is a whole number, {low} or more"),
                _ => format!("`{key}` is a whole number from {low} to {high}"),
            };
            report.add(&at, code::OUT_OF_RANGE, rule);
        }
        count
    }

    /// An amount of bytes: a whole number, or a text such as `256MiB`.
    pub(super) fn bytes(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        report: &mut Report<'_>,
    ) -> Option<u64> {
        let (value, at) = self.value(key)?;
        let Some(text) = value.as_str() else { return self.count(key, range, report) };
        let bytes = parse_bytes(text).filter(|bytes| range.contains(bytes));
        if bytes.is_none() {
            let (low, high) = (range.start(), range.end());
            let amount = match *high {
                u64::MAX => "an amount of bytes".to_owned(),
                _ => format!("an amount from {low} to {high} bytes"),
            };
            report.add_hint(
                &at,
                code::INVALID_VALUE,
                format!("`{key}` is {amount}, not `{}`", shown(text)),
                "write it like `256MiB`, `64KiB` or `1GiB`",
            );
        }
        bytes
    }

    /// A duration such as `1h30m`, in milliseconds.
    pub(super) fn duration(
        &self,
        key: &str,
        least_ms: u64,
        report: &mut Report<'_>,
    ) -> Option<u64> {
        let (value, at) = self.value(key)?;
        let ms = value.as_str().and_then(parse_duration_ms);
        let Some(ms) = ms else {
            let found = value
                .as_str()
                .map_or_else(|| type_of(value).to_owned(), |text| format!("`{}`", shown(text)));
            let days = DURATION_MS_MAX / 86_400_000;
            report.add_hint(
                &at,
                code::INVALID_VALUE,
                format!("`{key}` is a duration, not {found}"),
                format!("write it like `200ms`, `30s` or `1h30m`, at most `{days}d`"),
            );
            return None;
        };
        if ms < least_ms {
            report.add(&at, code::OUT_OF_RANGE, format!("`{key}` is longer than nothing"));
            return None;
        }
        Some(ms)
    }
}

/// Reads `256MiB`, `64KiB`, `1GiB` or `512B`.
fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    let (digits, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit)
}

/// Whether a kind of name may be dotted: skills and workflows are, tasks are not, because a dot
/// ends their name in a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dots {
    Allowed,
    Refused,
}

/// A name, if it is well formed.
pub(super) fn name<'v>(
    value: &'v Value,
    at: &Pointer,
    dots: Dots,
    report: &mut Report<'_>,
) -> Option<&'v str> {
    let Some(text) = value.as_str() else {
        report.wrong_type(at, "a name is a text", value);
        return None;
    };
    let fits = |c: char| {
        c.is_ascii_alphanumeric() || c == '_' || c == '-' || (c == '.' && dots == Dots::Allowed)
    };
    if text.is_empty() || text.len() > NAME_CHARS_MAX || !text.chars().all(fits) {
        let letters = match dots {
            Dots::Allowed => "letters, digits, `.`, `_` and `-`",
            Dots::Refused => "letters, digits, `_` and `-`",
        };
        report.add_hint(
            at,
            code::INVALID_NAME,
            format!("`{}` is not a name", shown(text)),
            format!("a name is 1 to {NAME_CHARS_MAX} {letters}"),
        );
        return None;
    }
    Some(text)
}

fn list_of(shape: &Shape) -> String {
    let quoted: Vec<String> = shape.names().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}
