//! Secrets: sent where they are meant for, shown nowhere.
//!
//! INVARIANT I16: what a service answers or an error says passes through `Secrets` before it is
//! recorded or shown, so that an echo of a secret is none. JSON has many spellings of one text, so
//! its strings are read, looked at and written again; any other text is searched for the spellings
//! that services use.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

/// The shortest text that is looked for: shorter ones occur by chance.
const HIDDEN_BYTES_MIN: usize = 6;
/// What stands in the place of a secret.
const MARK: &[u8] = b"[secret]";

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself, for whoever sends it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets of one agent, in every form in which they may come back.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            for part in parts(secret.reveal()) {
                forms.extend(spellings(&part).map(String::into_bytes));
            }
        }
        forms.retain(|form| form.len() >= HIDDEN_BYTES_MIN);
        // A longer one may have a shorter one in it.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Secrets(forms)
    }

    /// A JSON text without any secret, however its strings and names are spelled; none if it is no
    /// JSON. What has no secret in it stays as it is, to the byte.
    pub(super) fn hide_json(&self, json: &[u8]) -> Option<Vec<u8>> {
        serde_json::from_slice::<IgnoredAny>(json).ok()?;
        let mut hidden = Vec::with_capacity(json.len());
        let mut rest = json;
        while let Some(first) = rest.first() {
            let (token, after) = rest.split_at_checked(token_len(rest))?;
            match first {
                b'"' => {
                    let text: String = serde_json::from_slice(token).ok()?;
                    match self.is_in(text.as_bytes()) {
                        true => hidden.extend(quoted(&self.hide_text(text)).into_bytes()),
                        false => hidden.extend_from_slice(token),
                    }
                }
                // The secret is a number, and what stands for it is a text.
                b'-' | b'0'..=b'9' if self.is_in(token) => {
                    hidden.extend_from_slice(b"\"[secret]\"");
                }
                _ => hidden.extend_from_slice(token),
            }
            rest = after;
        }
        Some(hidden)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|form| memchr::memmem::find(bytes, form).is_some())
    }

    /// The bytes without any secret.
    pub(super) fn hide(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(bytes, |bytes, form| replace(bytes, form))
    }

    /// The same for a text.
    pub(super) fn hide_text(&self, text: String) -> String {
        String::from_utf8_lossy(&self.hide(text.into_bytes())).into_owned()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// What of a header's value is secret: `Bearer abc` is sent, and `abc` is the secret; of
/// `Basic YTpi` it is `a:b` too, and `b`.
fn parts(value: &str) -> Vec<String> {
    let mut parts = vec![value.to_owned()];
    for word in value.split_whitespace() {
        parts.push(word.to_owned());
        let decoded = STANDARD.decode(word).ok().and_then(|it| String::from_utf8(it).ok());
        if let Some((user, password)) = decoded.as_deref().and_then(|it| it.split_once(':')) {
            parts.extend([format!("{user}:{password}"), password.to_owned()]);
        }
    }
    parts
}

/// How a text comes back outside JSON: as it is, quoted as JSON by writers that escape little,
/// slashes, or all that HTML might read, or as part of an address.
fn spellings(text: &str) -> impl Iterator<Item = String> {
    let plain = quoted(text);
    let plain = plain.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default();
    let each = |escape: &dyn Fn(u8) -> String| -> String {
        let one = |byte: u8| match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => char::from(byte).to_string(),
            false => escape(byte),
        };
        text.bytes().map(one).collect()
    };
    let html = |upper: bool| {
        let escape = |c: char| match (c, upper) {
            ('<' | '>' | '&' | '\'' | '+', true) => format!("\\u{:04X}", u32::from(c)),
            ('<' | '>' | '&' | '\'' | '+', false) => format!("\\u{:04x}", u32::from(c)),
            _ => c.to_string(),
        };
        plain.chars().map(escape).collect::<String>()
    };
    [
        text.to_owned(),
        plain.to_owned(),
        plain.replace('/', "\\/"),
        html(true),
        html(false),
        each(&|byte| format!("%{byte:02X}")),
        each(&|byte| format!("%{byte:02x}")),
    ]
    .into_iter()
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How much of JSON belongs together: a string, a number, or what is between such.
fn token_len(json: &[u8]) -> usize {
    let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let end = match json.first() {
        Some(b'"') => string_len(json),
        Some(b'-' | b'0'..=b'9') => json.iter().position(|byte| !is_number(byte)),
        _ => json.iter().position(|byte| byte.is_ascii_digit() || b"\"-".contains(byte)),
    };
    end.unwrap_or(json.len())
}

/// With both quotes; none if the second is missing.
fn string_len(json: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map(|end| end + 2)
}

fn replace(bytes: Vec<u8>, form: &[u8]) -> Vec<u8> {
    let mut places = memchr::memmem::find_iter(&bytes, form).peekable();
    if places.peek().is_none() {
        drop(places);
        return bytes;
    }
    let mut hidden = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for place in places {
        hidden.extend_from_slice(bytes.get(from..place).unwrap_or_default());
        hidden.extend_from_slice(MARK);
        from = place + form.len();
    }
    hidden.extend_from_slice(bytes.get(from..).unwrap_or_default());
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_form() {
        let secrets = Secrets::new(&[Secret::new("Bearer s3cr\"et-token"), Secret::new("no")]);
        let text = "sent Bearer s3cr\"et-token, got {\"t\":\"s3cr\\\"et-token\"}, no";
        assert_eq!(
            secrets.hide_text(text.to_owned()),
            "sent [secret], got {\"t\":\"[secret]\"}, no"
        );
        assert_eq!(format!("{:?}", Secret::new("abc")), "Secret(…)");
    }

    #[test]
    fn a_secret_is_hidden_however_a_service_spells_it() {
        let secrets = Secrets::new(&[Secret::new("Bearer ab/cd+ef&gh"), Secret::new("8675309")]);
        let table = [
            (r#"{"a":"ab\/cd+ef&gh","n":1.50}"#, r#"{"a":"[secret]","n":1.50}"#),
            (r#"["\u0061b/cd\u002Bef\u0026gh"]"#, r#"["[secret]"]"#),
            (
                r#"{"x ab/cd+ef&gh":{"ab\/cd\u002bef&gh":"\""}}"#,
                r#"{"x [secret]":{"[secret]":"\""}}"#,
            ),
            (r#"{"n":8675309,"m":-8675309e1}"#, r#"{"n":"[secret]","m":"[secret]"}"#),
            (r#""{\"echo\":\"ab\\/cd+ef&gh\"}""#, r#""{\"echo\":\"[secret]\"}""#),
            (
                r#" [12345678901234567890123, "\/", true, null] "#,
                r#" [12345678901234567890123, "\/", true, null] "#,
            ),
        ];
        for (said, shown) in table {
            let hidden = secrets.hide_json(said.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(hidden).unwrap(), shown);
        }
        for text in ["{", "ab/cd+ef&gh", "\"\\ud800\""] {
            assert_eq!(secrets.hide_json(text.as_bytes()), None, "{text}");
        }
        for text in [r"?t=ab%2Fcd%2Bef%26gh", r"?t=ab%2fcd%2bef%26gh", r"?t=ab\/cd+ef&gh"] {
            assert_eq!(secrets.hide_text(text.to_owned()), "?t=[secret]");
        }
        let basic = Secrets::new(&[Secret::new("Basic YWRtaW46b3BlbnNlc2FtZQ==")]);
        assert_eq!(basic.hide_text("admin:opensesame, opensesame".into()), "[secret], [secret]");
    }
}
