//! Secrets: sent where they are meant for, shown nowhere.
//!
//! INVARIANT I16: what a service answers or an error says passes through `Secrets::hide` before it is
//! recorded or shown, so that an echo of a secret is none.

use std::fmt;

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
            // `Bearer abc` is sent, and `abc` is the secret.
            for part in std::iter::once(secret.reveal()).chain(secret.reveal().split_whitespace()) {
                let quoted = serde_json::Value::from(part).to_string();
                let escaped = quoted.trim_matches('"').as_bytes().to_vec();
                forms.extend([part.as_bytes().to_vec(), escaped]);
            }
        }
        forms.retain(|form| form.len() >= HIDDEN_BYTES_MIN);
        // A longer one may have a shorter one in it.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Secrets(forms)
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
}
