//! `text.template`: renders a text from a template and values, within a fixed amount of fuel.

use std::borrow::Cow;
use std::io::{self, Write};

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::wire;
use super::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// The longest rendered text.
const TEXT_BYTES_MAX: usize = 512 * 1024;
/// The longest answer: every byte of the text may need six in JSON.
const OUTPUT_BYTES_MAX: usize = 6 * TEXT_BYTES_MAX + 64;
/// The longest template; its parse tree takes many times its length.
const TEMPLATE_BYTES_MAX: usize = 256 * 1024;
/// Instructions one rendering may execute: some 10 000 lines of a list, well under a second.
const FUEL: u64 = 200_000;

/// Renders `template` (Jinja) with `values`. A name without a value is an error, nothing is
/// escaped, and nothing can be included: a template sees its values and nothing else.
#[derive(Debug)]
pub(super) struct TextTemplate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    template: String,
    #[serde(default)]
    values: Map<String, Value>,
}

impl Skill for TextTemplate {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("text.template"),
            summary: Cow::Borrowed("renders a text from a Jinja template and values"),
            class: EffectClass::Pure,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["template"],"additionalProperties":false,
                "properties":{"template":{"type":"string","maxLength":262144},
                "values":{"type":"object"}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["text"],
                "properties":{"text":{"type":"string"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let Input { template, values } = wire::read(input)?;
        if template.len() > TEMPLATE_BYTES_MAX {
            let message = format!("read the template: it is over {TEMPLATE_BYTES_MAX} bytes");
            return Err(SkillError::limit(message));
        }
        let mut text = Bounded::default();
        render(&template, &values, &mut text).map_err(|error| explain(&error, text.is_full))?;
        let text = String::from_utf8_lossy(&text.bytes).into_owned();
        wire::answer(&json!({ "text": text }))
    }
}

fn render(
    template: &str,
    values: &Map<String, Value>,
    text: &mut Bounded,
) -> Result<(), minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    // Their width asks for memory that no fuel pays for.
    environment.remove_filter("format");
    environment.remove_filter("indent");
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let template = environment.template_from_str(template)?;
    template.render_captured_to(Serde(values), text).map(drop)
}

fn explain(error: &minijinja::Error, is_full: bool) -> SkillError {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    match error.kind() {
        ErrorKind::OutOfFuel => SkillError::limit(format!(
            "render the template: it takes over {FUEL} instructions{line}"
        )),
        _ if is_full => SkillError::limit(format!(
            "render the template: the text is over {TEXT_BYTES_MAX} bytes{line}"
        )),
        _ => {
            SkillError::permanent("text_template.invalid", format!("render the template: {error}"))
        }
    }
}

/// Takes bytes up to the limit and then refuses.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > TEXT_BYTES_MAX {
            self.is_full = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "text over its limit"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
