//! Finds likely secrets: tokens of known shape, private keys, credentials in addresses, and
//! assignments to names that say so whose value looks random. A value never leaves this file: what
//! is found is told by its place, kind and fingerprint.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::skills::wire;

/// Findings of one file that are looked at; a file with more is a test corpus.
const FOUND_MAX: usize = 4000;
/// How far the end of a private key may be from its begin.
const KEY_BYTES_MAX: usize = 16 * 1024;
/// A key has an unbroken run of this many base64 digits near its begin; an example or a program
/// that only speaks of keys has none.
const KEY_RUN_BYTES: usize = 40;
const KEY_HEAD_BYTES: usize = 512;

/// Shapes that belong to one issuer. Each begins with a literal, so that the search stays fast.
const TOKENS: &[(&str, &str)] = &[
    ("aws-access-key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("github-token", r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,255}"),
    ("github-token", r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    ("gitlab-token", r"\bglpat-[A-Za-z0-9_\-]{20,64}"),
    ("slack-token", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,250}"),
    ("slack-webhook", r"\bhooks\.slack\.com/services/[A-Za-z0-9/_\-]{30,100}"),
    ("stripe-key", r"\b(?:sk|rk)_live_[A-Za-z0-9]{16,250}"),
    ("google-api-key", r"\bAIza[0-9A-Za-z_\-]{35}"),
    ("google-oauth-secret", r"\bGOCSPX-[A-Za-z0-9_\-]{20,64}"),
    ("model-api-key", r"\bsk-(?:ant|proj|svcacct)-[A-Za-z0-9_\-]{20,250}"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi-token", r"\bpypi-AgEI[A-Za-z0-9_\-]{50,250}"),
    ("sendgrid-key", r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    (
        "json-web-token",
        r"\beyJ[A-Za-z0-9_\-]{10,2000}\.eyJ[A-Za-z0-9_\-]{10,4000}\.[A-Za-z0-9_\-]{16,1000}",
    ),
    ("private-key", r"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"),
];
const URL: &str =
    r#"(?i)[a-z0-9]://[^\s/:@"'<>`]{0,100}:([^\s/@"'<>`]{3,200})@([a-z0-9.\-\[]{1,100})"#;
/// Hosts of examples: what is said to them is no secret.
const EXAMPLE_HOSTS: [&str; 3] = ["example", "localhost", "127.0.0.1"];
const NAMES: &str = r"(?:password|passwd|passphrase|secret|token|api_?key|api-key|access_?key|private_?key|auth_?key|credential)";
const QUOTED: &str = r#"[a-z0-9_.\-]{0,40}["'\]]{0,2}[ \t]{0,20}(?:=>|:=|=|:)[ \t]{0,20}["'`]([^"'`\s]{6,200})["'`]"#;
const BARE: &str =
    r#"[a-z0-9_.\-]{0,40}[ \t]{0,20}[=:][ \t]{0,20}([^\s"'`#;,]{6,200})[ \t]{0,20}(?:\r?\n|\r?$)"#;

static SHAPES: LazyLock<Option<Shapes>> = LazyLock::new(Shapes::compile);

struct Shapes {
    tokens: Regex,
    url: Regex,
    quoted: Regex,
    bare: Regex,
}

impl Shapes {
    fn compile() -> Option<Self> {
        // One group for each shape tells which of them matched.
        let groups: Vec<String> = TOKENS.iter().map(|(_, shape)| format!("({shape})")).collect();
        let tokens = groups.join("|");
        Some(Self {
            tokens: Regex::new(&format!("(?-u){tokens}")).ok()?,
            url: Regex::new(&format!("(?-u){URL}")).ok()?,
            quoted: Regex::new(&format!("(?-u)(?i){NAMES}{QUOTED}")).ok()?,
            bare: Regex::new(&format!("(?-u)(?im){NAMES}{BARE}")).ok()?,
        })
    }
}

/// One likely secret of a text.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) at: Range<usize>,
    pub(super) kind: &'static str,
    pub(super) fingerprint: String,
}

/// What a text holds.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// In the order of their places.
    pub(super) secrets: Vec<Found>,
    /// Every place that must not be shown, secrets and what may be one; in order.
    pub(super) hidden: Vec<Range<usize>>,
}

/// Looks through a text. `has_bare_values` says that values stand without quotes, as in `.env`.
pub(super) fn find(text: &[u8], has_bare_values: bool) -> Findings {
    let mut findings = Findings::default();
    let Some(shapes) = SHAPES.as_ref() else { return findings };
    for captures in shapes.tokens.captures_iter(text).take(FOUND_MAX) {
        let kind = TOKENS.iter().zip(captures.iter().skip(1)).find(|(_, group)| group.is_some());
        let (Some(((kind, _), _)), Some(whole)) = (kind, captures.get(0)) else { continue };
        let at = if *kind == "private-key" {
            match key_block(text, whole.end()) {
                Some(body) => body,
                None => continue,
            }
        } else {
            whole.range()
        };
        findings.add(text, at, kind, is_example_token);
    }
    let mut assigned = |shape: &Regex, kind: &'static str, is_harmless: fn(&str) -> bool| {
        for captures in shape.captures_iter(text).take(FOUND_MAX) {
            let host = captures.get(2).map(|host| String::from_utf8_lossy(host.as_bytes()));
            let is_example =
                host.is_some_and(|host| EXAMPLE_HOSTS.iter().any(|name| host.contains(name)));
            let is_harmless = if is_example { |_: &str| true } else { is_harmless };
            if let Some(value) = captures.get(1) {
                findings.add(text, value.range(), kind, is_harmless);
            }
        }
    };
    assigned(&shapes.url, "credential-in-url", is_placeholder);
    assigned(&shapes.quoted, "assigned-secret", is_no_secret);
    if has_bare_values {
        assigned(&shapes.bare, "assigned-secret", is_no_secret);
    }
    findings.secrets.sort_by_key(|found| found.at.start);
    findings.hidden.sort_by_key(|range| range.start);
    findings
}

/// A short text of a foreign file with everything in it that may be a secret left out.
pub(super) fn hide(text: &str) -> Cow<'_, str> {
    let hidden = find(text.as_bytes(), true).hidden;
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(without(text.as_bytes(), 0..text.len(), &hidden))
}

/// A part of a text with the ranges in `hidden` (in order) left out.
pub(super) fn without(text: &[u8], part: Range<usize>, hidden: &[Range<usize>]) -> String {
    let piece = |start: usize, end: usize| {
        String::from_utf8_lossy(text.get(start..end).unwrap_or_default()).into_owned()
    };
    let mut shown = String::new();
    let mut at = part.start;
    for range in hidden.iter().filter(|r| r.end > part.start && r.start < part.end) {
        shown.push_str(&piece(at, range.start));
        shown.push_str("[hidden]");
        at = at.max(range.end);
    }
    shown.push_str(&piece(at, part.end));
    shown
}

impl Findings {
    fn add(
        &mut self,
        text: &[u8],
        at: Range<usize>,
        kind: &'static str,
        is_harmless: fn(&str) -> bool,
    ) {
        let value = text.get(at.clone()).unwrap_or_default();
        let known = self.secrets.iter().rev().any(|f| f.at.start < at.end && at.start < f.at.end);
        // Hidden even when it is too plain to be reported: a weak password is one too.
        self.hidden.push(at.clone());
        if known || is_harmless(&String::from_utf8_lossy(value)) {
            return;
        }
        let digest = wire::sha256_hex(value);
        let fingerprint = digest.get(..12).unwrap_or_default().to_owned();
        self.secrets.push(Found { at, kind, fingerprint });
    }
}

/// The body of a private key that begins at `start`.
fn key_block(text: &[u8], start: usize) -> Option<Range<usize>> {
    let far = (start + KEY_BYTES_MAX).min(text.len());
    let rest = text.get(start..far)?;
    let length = memchr::memmem::find(rest, b"-----END").unwrap_or(rest.len());
    let body = rest.get(..length)?;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let head = body.get(..KEY_HEAD_BYTES).unwrap_or(body);
    let has_run = head.split(|byte| !is_base64(byte)).any(|run| run.len() >= KEY_RUN_BYTES);
    has_run.then_some(start..start + length)
}

fn is_example_token(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    ["example", "xxxx", "0000000", "12345678", "abcdefgh", "...", "your", "placeholder", "redacted"]
        .iter()
        .any(|word| lower.contains(word))
        || entropy(value) < 2.5
}

fn is_placeholder(value: &str) -> bool {
    const WORDS: &[&str] = &[
        "example",
        "sample",
        "dummy",
        "placeholder",
        "change",
        "your",
        "xxx",
        "test",
        "fake",
        "todo",
        "redacted",
        "hidden",
        "foo",
        "bar",
        "password",
        "passwd",
        "pass",
        "secret",
        "token",
        "user",
        "12345",
        "abcd",
        "***",
        "...",
        "none",
        "null",
        "true",
        "false",
        "key",
        "default",
        "hunter2",
        "<",
        "{",
        "$",
        "%",
        "[",
        "(",
    ];
    let lower = value.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// Whether an assigned value is likely not a secret: a placeholder, a word, a path, or too regular.
fn is_no_secret(value: &str) -> bool {
    let has = |class: fn(&u8) -> bool| value.as_bytes().iter().any(class);
    let letters = has(u8::is_ascii_alphabetic);
    let digits = has(u8::is_ascii_digit);
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let marks = has(|byte| b"!@#^&*+=~?".contains(byte));
    let bits_min = if value.len() >= 16 { 3.3 } else { 2.75 };
    let looks_random =
        letters && digits && (value.len() >= 16 || mixed || marks) && value.len() >= 8;
    !looks_random
        || entropy(value) < bits_min
        || is_placeholder(value)
        || value.starts_with(['/', '.', '~'])
        || value.contains("://")
        || value.contains("::")
        || is_words(value)
}

/// Names such as `api_v2.access-level`: lower-case words between separators, digits at their ends.
fn is_words(value: &str) -> bool {
    let is_word = |word: &str| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        letters.len() + 3 >= word.len()
            && letters.bytes().skip(1).all(|byte| byte.is_ascii_lowercase())
            && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    value.split(['_', '-', '.', '/', ':']).all(is_word)
}

/// Bits of a byte of the value, were its bytes drawn with the frequencies they have.
fn entropy(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total = value.len() as f64;
    let part = |count: &u32| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that no scanner (this one included) finds them in this source.
    fn planted() -> Vec<(&'static str, String, String)> {
        let line = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz";
        let key = format!("{line}\n{line}\n");
        let noise = "Zk93Qm5xT4uVw7yPd2Rg8sLh1jMc6aXe";
        let token = |start: &str, length: usize| format!("{start}{}", &noise.repeat(4)[..length]);
        let jwt = format!("{}.{}.{}", token("eyJ", 20), token("eyJ", 30), token("", 43));
        vec![
            ("aws-access-key", "id = #".into(), format!("{}{}", "AKIA", "Q3R5T7Y9U2I4O6P8")),
            ("github-token", "x #".into(), token("ghp_", 36)),
            ("github-token", "x #".into(), token("github_pat_", 50)),
            ("gitlab-token", "x #".into(), token("glpat-", 20)),
            ("slack-token", "x #".into(), token("xoxb-", 40)),
            ("stripe-key", "x #".into(), token("sk_live_", 24)),
            ("google-api-key", "x #".into(), token("AIza", 35)),
            ("npm-token", "x #".into(), token("npm_", 36)),
            ("json-web-token", "Bearer #".into(), jwt),
            ("private-key", format!("{}#{}", "-----BEGIN RSA PRIVATE KEY-----", "-----END"), key),
            ("credential-in-url", "postgres://me:#@db/x".into(), "q8Zt!w3K".into()),
            ("assigned-secret", "DB_PASSWORD = \"#\"".into(), "q8Zt!w3Kx".into()),
            ("assigned-secret", "{\"client_secret\": '#'}".into(), token("", 32)),
            ("assigned-secret", "apiKey => \"#\"".into(), token("", 20)),
        ]
    }

    #[test]
    fn planted_secrets_are_found_with_kind_and_fingerprint() {
        for (kind, frame, value) in planted() {
            let text = frame.replace('#', &value);
            let findings = find(text.as_bytes(), false);
            assert_eq!(findings.secrets.len(), 1, "{kind} {frame}");
            let found = &findings.secrets[0];
            assert_eq!((found.kind, &text[found.at.clone()]), (kind, value.as_str()));
            assert_eq!(found.fingerprint, wire::sha256_hex(value.as_bytes())[..12]);
            assert!(!format!("{found:?}").contains(&value));
        }
    }

    #[test]
    fn obvious_examples_and_plain_words_are_not_reported() {
        let harmless = [
            concat!("AKIA", "IOSFODNN7EXAMPLE"),
            concat!("ghp_", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            "password = \"changeme123\"",
            "password: \"${DB_PASSWORD_1}\"",
            "token = \"access_token_v2\"",
            "secret_name = \"prod/database-2\"",
            "let token = \"identifier\";",
            "postgres://user:password@db.internal/x",
            "postgres://me:q8Zt!w3K@localhost/db",
            "https://example.com:8080/@x",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "let begin = \"-----BEGIN PRIVATE KEY-----\"; let words = is_that_no_key(a, b, c, d, e, f);",
            "token_url = \"https://auth.acme.io/v1/token8\"",
            "api_key = os.environ['API_KEY_1']",
        ];
        for text in harmless {
            let found = find(text.as_bytes(), true).secrets;
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }

    #[test]
    fn bare_values_count_in_settings_files_only() {
        let text = b"export DB_PASSWORD=q8Zt!w3Kx9\nOTHER=1\r\n";
        assert_eq!(find(text, true).secrets.len(), 1);
        assert_eq!(find(text, false).secrets.len(), 0);
    }

    #[test]
    fn weak_passwords_are_hidden_though_not_reported() {
        let findings = find(b"password = 'sunshine'", false);
        assert_eq!((findings.secrets.len(), findings.hidden.len()), (0, 1));
    }

    #[test]
    fn tokens_inside_short_texts_are_hidden() {
        let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
        assert_eq!(hide(&format!("v {token} w")), "v [hidden] w");
        assert_eq!(hide("plain"), "plain");
    }
}
