//! Foreign JSON: parsed once when it is right, and a second time with its path when it is not.

use ark_os_api::Problem;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problems::Refusal;

/// Levels of lists and objects in a value. Parsers of values stop there, so deeper texts could be
/// passed on but not read by anybody.
pub(crate) const DEPTH_MAX: usize = 128;
/// Bytes of a parser's message that are passed on: it may quote the caller's own text.
const MESSAGE_BYTES_MAX: usize = 300;

/// Reads a body whole.
///
/// # Errors
/// It has more than `limit` bytes, or the connection broke.
pub(crate) async fn read_body(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new("body_too_large", format!("the body has more than {limit} bytes"))
            .hint("send less, or raise the server's body limit")
    };
    let mut whole: Option<BytesMut> = None;
    let mut first = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new("request_invalid", "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.as_ref().map_or(first.len(), BytesMut::len);
        if length + data.len() > limit {
            return Err(too_large());
        }
        // Nearly every body comes in one piece, which then is not copied.
        if whole.is_none() && first.is_empty() {
            first = data;
        } else {
            whole.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&data);
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

/// Parses a request.
///
/// # Errors
/// A problem that says where it is wrong.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(text).map_err(|error| Refusal(Box::new(explain::<T>(text, &error))))
}

/// As `parse`, where an empty body is that of `{}`.
pub(crate) fn parse_or_default<'a, T: Deserialize<'a> + Default>(
    text: &'a [u8],
) -> Result<T, Refusal> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    parse(text)
}

#[cold]
fn explain<'a, T: Deserialize<'a>>(text: &'a [u8], error: &serde_json::Error) -> Problem {
    if !matches!(error.classify(), Category::Data) {
        let (line, column) = (error.line(), error.column());
        let message = message_of(error);
        return Problem::new(
            "json_invalid",
            format!("read the JSON at line {line}, column {column}: {message}"),
        );
    }
    let mut parser = serde_json::Deserializer::from_slice(text);
    let (pointer, message) = match serde_path_to_error::deserialize::<_, T>(&mut parser) {
        Ok(_) => (String::new(), message_of(error)),
        Err(found) => (pointer(found.path()), message_of(found.inner())),
    };
    let pointer = match field_of(&message) {
        Some(field) if !pointer.ends_with(&escaped(field)) => {
            format!("{pointer}/{}", escaped(field))
        }
        _ => pointer,
    };
    let place = if pointer.is_empty() { "the body".to_owned() } else { format!("`{pointer}`") };
    Problem::new("request_invalid", format!("accept {place}: {message}"))
        .with_error(pointer, message)
}

/// The parser's message without the position that it appends, cut.
fn message_of(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if let Some(at) = message.rfind(" at line ") {
        message.truncate(at);
    }
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    message
}

/// The field that a message is about but the path ends before.
fn field_of(message: &str) -> Option<&str> {
    let named = ["unknown field `", "missing field `", "duplicate field `"];
    let rest = named.iter().find_map(|start| message.strip_prefix(start))?;
    rest.split_once('`').map(|(field, _)| field)
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } => pointer.extend(["/", &escaped(key)]),
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// That a value that is passed on as its text is one that everybody can read.
///
/// # Errors
/// It is nested too deeply, or has half a character.
pub(crate) fn whole(text: &str, pointer: &str) -> Result<(), Refusal> {
    let place = if pointer.is_empty() { "the body".to_owned() } else { format!("`{pointer}`") };
    if !is_shallow(text) {
        let message = format!("it has more than {DEPTH_MAX} levels of lists and objects");
        return Err(Refusal::new("input_too_deep", format!("accept {place}: {message}"))
            .at(pointer, message));
    }
    if !is_whole(text) {
        return Err(Refusal::new("json_invalid", format!("read {place}: {HALF}")).at(pointer, HALF));
    }
    Ok(())
}

/// Whether a JSON text has no more than [`DEPTH_MAX`] levels.
pub(crate) fn is_shallow(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Fewer brackets than levels: nothing to count.
    if bytes.len() <= DEPTH_MAX {
        return true;
    }
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// Why a text that [`is_whole`] refuses is refused.
pub(crate) const HALF: &str = "an escape in it is half a character (a lone surrogate)";

/// Whether the escapes of a JSON text are whole characters. Half a pair of surrogates is none in UTF-8:
/// parsers of most languages do not read such a text, and it would be found out where it is too late.
pub(crate) fn is_whole(text: &str) -> bool {
    // Nearly every text has no such escape.
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return true;
    }
    let (mut rest, mut is_open) = (text.as_bytes(), false);
    while !rest.is_empty() {
        // How long it is, and whether it is the first or the second half of a character.
        let (length, opens, closes) = match rest {
            [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => {
                (6, true, false)
            }
            [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => (6, false, true),
            [b'\\', ..] => (2, false, false),
            _ => (1, false, false),
        };
        if is_open != closes {
            return false;
        }
        is_open = opens;
        rest = rest.get(length..).unwrap_or_default();
    }
    !is_open
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_api::{RunSubmission, TaskSubmission};

    fn places<'a, T: Deserialize<'a> + std::fmt::Debug>(text: &'a str) -> (String, Vec<String>) {
        let Refusal(problem) = parse::<T>(text.as_bytes()).unwrap_err();
        (problem.code, problem.errors.into_iter().map(|place| place.pointer).collect())
    }

    #[test]
    fn wrong_fields_are_named_by_pointer() {
        for (text, pointer) in [
            (r#"{"skill":1}"#, "/skill"),
            (r#"{"skill":"echo","inputs":1}"#, "/inputs"),
            (r#"{"input":1}"#, "/skill"),
            (r#"{"skill":"a","skill":"b"}"#, "/skill"),
            (r#"{"skill":"a","budget":{"tokens":-1}}"#, "/budget/tokens"),
            (r#"{"skill":"a","budget":{"a/b~":1}}"#, "/budget/a~1b~0"),
            ("[]", "/skill"),
        ] {
            let (code, pointers) = places::<TaskSubmission>(text);
            assert_eq!(code, "request_invalid", "{text}");
            if text != "[]" {
                assert_eq!(pointers, [pointer], "{text}");
            }
        }
        assert_eq!(places::<RunSubmission>(r#"{"task":{"skill":[]}}"#).1, ["/task/skill"]);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let Refusal(problem) = parse::<TaskSubmission>(b"{\n \"skill\": }").unwrap_err();
        assert_eq!(problem.code, "json_invalid");
        assert!(problem.detail.unwrap().contains("line 2, column 11"));
        assert_eq!(
            parse::<TaskSubmission>(b"{\"skill\":\"\xff\"}").unwrap_err().0.code,
            "json_invalid"
        );
    }

    #[test]
    fn half_characters_are_seen_wherever_they_stand() {
        for whole in [
            r#""""#,
            r#""\ud83d\uDE00 \u00dc \n \ud7ff \ue000""#,
            r#""\\ud83d""#,
            r#"{"\uD83D\ude00":["\\\ud83d\ude00"]}"#,
        ] {
            assert!(is_whole(whole), "{whole}");
            assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok(), "{whole}");
        }
        for half in [
            r#""\ud83d""#,
            r#""\udE00""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\ud83d\ude00\ude00""#,
            r#""\ud83d\n""#,
            r#""\uD83d \ude00""#,
            r#""\\\uDbff""#,
            r#"{"\udc00":1}"#,
            r#"["\ud83d","\ude00"]"#,
        ] {
            assert!(!is_whole(half), "{half}");
            assert!(serde_json::from_str::<serde_json::Value>(half).is_err(), "{half}");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_texts() {
        assert!(is_shallow(&format!("\"{}\"", "[".repeat(1_000))));
        assert!(is_shallow(&format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))));
        assert!(!is_shallow(&format!(
            "{}1{}",
            "[".repeat(DEPTH_MAX + 1),
            "]".repeat(DEPTH_MAX + 1)
        )));
        assert!(is_shallow(&format!("[{}\"\\\"[\"]", "[],".repeat(1_000))));
    }
}
