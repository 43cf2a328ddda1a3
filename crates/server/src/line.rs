//! A task as it comes in, borrowed from the text: `POST /tasks` and every line of a batch.

use std::borrow::Cow;

use ark_os_api::Budget;
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_runtime::{PlanRequest, RunRequest, TaskRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::amounts;
use crate::json::whole;
use crate::problems::Refusal;
use crate::words;

/// Bytes of a namespace's name.
const NAMESPACE_BYTES_MAX: usize = 100;

/// A task. Strings are borrowed where they have no escapes, the input always.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line<'a> {
    #[serde(borrow, default)]
    pub(crate) key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    skill: Cow<'a, str>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timeout: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    deadline: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    retry: Option<&'a RawValue>,
    #[serde(default)]
    budget: Option<Budget>,
    #[serde(borrow, default)]
    priority: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    output_schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
}

impl Line<'_> {
    /// The run that it asks for; `default` is the namespace where nobody asks.
    pub(crate) fn request(self, default: &Text) -> Result<RunRequest, Refusal> {
        let options = self.options()?;
        let task = TaskRequest { skill: self.skill.into_owned(), options };
        Ok(RunRequest {
            namespace: namespace(self.namespace.as_deref(), default)?,
            plan: PlanRequest::Task(task),
            input: input(self.input)?,
            priority: priority(self.priority.as_deref())?,
            deadline: self
                .deadline
                .map(|text| amounts::duration(&text, "/deadline"))
                .transpose()?,
            start: None,
            budget: self.budget.as_ref().map(amounts::budget).transpose()?,
            key: self.key.map(Cow::into_owned),
        })
    }

    fn options(&self) -> Result<Option<Value>, Refusal> {
        if self.timeout.is_none() && self.retry.is_none() && self.output_schema.is_none() {
            return Ok(None);
        }
        let mut options = Map::new();
        if let Some(timeout) = &self.timeout {
            options.insert("timeout".to_owned(), Value::from(timeout.as_ref()));
        }
        for (name, raw) in [("retry", self.retry), ("output_schema", self.output_schema)] {
            if let Some(raw) = raw {
                options.insert(name.to_owned(), value(raw, &format!("/{name}"))?);
            }
        }
        Ok(Some(Value::Object(options)))
    }
}

/// A text as a value.
pub(crate) fn value(raw: &RawValue, pointer: &str) -> Result<Value, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error| {
        Refusal::new("request_invalid", format!("accept `{pointer}`: {error}"))
            .at(pointer, error.to_string())
    })
}

pub(crate) fn input(raw: Option<&RawValue>) -> Result<Vec<u8>, Refusal> {
    let text = raw.map_or("null", RawValue::get);
    whole(text, "/input")?;
    Ok(text.as_bytes().to_vec())
}

pub(crate) fn priority(word: Option<&str>) -> Result<Priority, Refusal> {
    let Some(word) = word else { return Ok(Priority::Normal) };
    words::priority(word).ok_or_else(|| {
        let message = "it is `emergency`, `critical`, `high`, `normal`, `low` or `maintenance`";
        Refusal::new("request_invalid", format!("accept `/priority`: {message}"))
            .at("/priority", message)
    })
}

pub(crate) fn namespace(name: Option<&str>, default: &Text) -> Result<Text, Refusal> {
    let Some(name) = name else { return Ok(default.clone()) };
    let is_name = (1..=NAMESPACE_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !is_name {
        let message = "a namespace has 1 to 100 of `A-Z a-z 0-9 _ -`";
        return Err(Refusal::new("request_invalid", format!("accept `/namespace`: {message}"))
            .at("/namespace", message));
    }
    Ok(Text::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn request(text: &str) -> Result<RunRequest, Refusal> {
        let line: Line<'_> = parse(text.as_bytes())?;
        line.request(&Text::from("default"))
    }

    #[test]
    fn a_task_borrows_its_input_as_it_is() {
        let text = r#"{"skill":"echo","input": {"b":1e999, "a":[ 1,2 ]},"key":"k\n"}"#;
        let run = request(text).unwrap();
        assert_eq!(run.input, br#"{"b":1e999, "a":[ 1,2 ]}"#);
        assert_eq!(run.key.as_deref(), Some("k\n"));
        assert_eq!(&*run.namespace, "default");
        assert!(matches!(run.plan, PlanRequest::Task(TaskRequest { options: None, .. })));
    }

    #[test]
    fn options_are_passed_on_as_a_manifest_has_them() {
        let run = request(r#"{"skill":"echo","timeout":"5s","retry":{"attempts":1}}"#).unwrap();
        let PlanRequest::Task(task) = run.plan else { panic!("a task") };
        assert_eq!(
            task.options,
            Some(serde_json::json!({"timeout": "5s", "retry": {"attempts": 1}}))
        );
        assert_eq!(run.input, b"null");
    }

    #[test]
    fn wrong_values_are_named_by_pointer() {
        for (text, pointer) in [
            (r#"{"skill":"a","priority":"urgent"}"#, "/priority"),
            (r#"{"skill":"a","deadline":"soon"}"#, "/deadline"),
            (r#"{"skill":"a","namespace":"a b"}"#, "/namespace"),
            (r#"{"skill":"a","budget":{"cost":"1"}}"#, "/budget/cost"),
            (r#"{"skill":"a","retry":1e999}"#, "/retry"),
            (r#"{"skill":"a","what":1}"#, "/what"),
        ] {
            assert_eq!(request(text).unwrap_err().0.errors[0].pointer, pointer, "{text}");
        }
        let deep = format!(r#"{{"skill":"a","input":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(request(&deep).unwrap_err().0.code, "input_too_deep");
        let half = request(r#"{"skill":"a","input":{"b":["\ud800"]}}"#).unwrap_err().0;
        assert_eq!(
            (half.code.as_str(), half.errors[0].pointer.as_str()),
            ("json_invalid", "/input")
        );
    }
}
