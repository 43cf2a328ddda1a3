//! The small skills that show what the runtime does: `echo`, `sleep`, `fail` and `hash`.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::wire;
use super::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// The longest answer of `echo`: what one task may hand to the next without a blob.
const ECHO_BYTES_MAX: usize = 1024 * 1024;
/// The longest wait of `sleep`, in milliseconds: one day, far above any sensible task timeout.
const SLEEP_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// The longest error code and message that `fail` repeats.
const FAIL_TEXT_BYTES_MAX: usize = 1024;
/// Small fixed answers fit in this.
const SMALL_ANSWER_BYTES_MAX: usize = 4096;

/// Answers its input, byte for byte.
#[derive(Debug)]
pub(super) struct Echo;

impl Skill for Echo {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("echo"),
            summary: Cow::Borrowed("answers its input"),
            class: EffectClass::Pure,
            cost: Cost::Tiny,
            output_bytes_max: ECHO_BYTES_MAX,
            input_schema: Cow::Borrowed("true"),
            output_schema: Cow::Borrowed("true"),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        Ok(input.to_vec())
    }
}

/// Waits without holding a thread.
#[derive(Debug)]
pub(super) struct Sleep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SleepInput {
    ms: u64,
}

impl Skill for Sleep {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("sleep"),
            summary: Cow::Borrowed("waits for `ms` milliseconds"),
            class: EffectClass::Pure,
            cost: Cost::Tiny,
            output_bytes_max: SMALL_ANSWER_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["ms"],"additionalProperties":false,
                "properties":{"ms":{"type":"integer","minimum":0,"maximum":86400000}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["slept_ms"],
                "properties":{"slept_ms":{"type":"integer"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn delay(&self, input: &[u8]) -> Result<Option<Duration>, SkillError> {
        sleep_ms(input).map(|ms| Some(Duration::from_millis(ms)))
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        wire::answer(&json!({ "slept_ms": sleep_ms(input)? }))
    }
}

fn sleep_ms(input: &[u8]) -> Result<u64, SkillError> {
    let ms = wire::read::<SleepInput>(input)?.ms;
    if ms > SLEEP_MS_MAX {
        let message = format!("sleep for `{ms}` ms: the longest wait is {SLEEP_MS_MAX} ms");
        return Err(SkillError::limit(message));
    }
    Ok(ms)
}

/// Fails as asked: some times, or always with a chosen error.
#[derive(Debug)]
pub(super) struct Fail;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailInput {
    times: Option<u32>,
    error: Option<ChosenError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChosenError {
    code: String,
    message: String,
    #[serde(default)]
    retryable: bool,
}

impl Skill for Fail {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("fail"),
            summary: Cow::Borrowed(
                "fails `times` attempts and then succeeds, or always fails with `error`",
            ),
            class: EffectClass::Pure,
            cost: Cost::Tiny,
            output_bytes_max: SMALL_ANSWER_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","additionalProperties":false,
                "properties":{"times":{"type":"integer","minimum":0,"maximum":4294967295},
                "error":{"type":"object","required":["code","message"],"additionalProperties":false,
                "properties":{"code":{"type":"string","pattern":"^[a-z0-9_]+(\\.[a-z0-9_]+)*$"},
                "message":{"type":"string"},"retryable":{"type":"boolean"}}}},
                "oneOf":[{"required":["times"]},{"required":["error"]}]}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["attempt"],
                "properties":{"attempt":{"type":"integer"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        match wire::read::<FailInput>(input)? {
            FailInput { times: Some(times), error: None } => {
                fail_times(times, host.attempt().number)
            }
            FailInput { times: None, error: Some(error) } => Err(chosen(error)?),
            _ => Err(SkillError::invalid_input("read the input: it needs `times` or `error`")),
        }
    }
}

fn fail_times(times: u32, attempt: u32) -> Result<Vec<u8>, SkillError> {
    if attempt <= times {
        let message = format!("succeed: attempt {attempt} of the {times} that were asked to fail");
        return Err(SkillError::retryable("fail.requested", message));
    }
    wire::answer(&json!({ "attempt": attempt }))
}

fn chosen(error: ChosenError) -> Result<SkillError, SkillError> {
    let ChosenError { code, message, retryable } = error;
    let part_ok = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !code.split('.').all(part_ok) || code.len().max(message.len()) > FAIL_TEXT_BYTES_MAX {
        let message = format!(
            "use the error: its code is dotted snake case, and neither text is over \
             {FAIL_TEXT_BYTES_MAX} bytes"
        );
        return Err(SkillError::invalid_input(message));
    }
    Ok(if retryable {
        SkillError::retryable(code, message)
    } else {
        SkillError::permanent(code, message)
    })
}

/// Digests a text, or any value in its canonical form.
#[derive(Debug)]
pub(super) struct Hash;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashInput {
    text: Option<String>,
    // A field that is there and null is a value too, so absence is told by the outer option.
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(source).map(Some)
}

impl Skill for Hash {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("hash"),
            summary: Cow::Borrowed("SHA-256 of a text, or of any value with its keys in order"),
            class: EffectClass::Pure,
            cost: Cost::Blocking,
            output_bytes_max: SMALL_ANSWER_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","additionalProperties":false,
                "properties":{"text":{"type":"string"},"value":true},
                "oneOf":[{"required":["text"]},{"required":["value"]}]}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["sha256"],
                "properties":{"sha256":{"type":"string","pattern":"^[0-9a-f]{64}$"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let sha256 = match wire::read::<HashInput>(input)? {
            HashInput { text: Some(text), value: None } => wire::sha256_hex(text.as_bytes()),
            HashInput { text: None, value: Some(value) } => {
                wire::sha256_hex(&wire::canonical(&value)?)
            }
            _ => {
                return Err(SkillError::invalid_input(
                    "read the input: it needs `text` or `value`",
                ));
            }
        };
        wire::answer(&json!({ "sha256": sha256 }))
    }
}
