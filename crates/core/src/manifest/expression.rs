//! Expressions inside `${…}`: a root and a path, nothing that computes.
//!
//! `input.a.b`, `input["odd key"]`, `tasks.scan.output.files[3]`, `tasks.scan.outputs`,
//! `tasks.scan.error.code`, `item.path`, `index`.

use std::fmt;

use super::limits::PATH_STEPS_MAX;
use crate::text::Text;

/// Where the path of a reference starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Root {
    /// The run's input.
    Input,
    /// The output of this task; `null` when it was skipped, or failed and the run went on.
    Output(Text),
    /// The list of the outputs of this map's children; `null` for each that failed.
    Outputs(Text),
    /// Why this task failed, as an object; `null` when it did not.
    Error(Text),
    /// The item of a map's child.
    Item,
    /// The place of a map's child, from 0.
    Index,
}

impl Root {
    /// The task that has to be over first.
    pub fn task(&self) -> Option<&Text> {
        match self {
            Root::Output(task) | Root::Outputs(task) | Root::Error(task) => Some(task),
            Root::Input | Root::Item | Root::Index => None,
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Root::Input => f.write_str("input"),
            Root::Output(task) => write!(f, "tasks.{task}.output"),
            Root::Outputs(task) => write!(f, "tasks.{task}.outputs"),
            Root::Error(task) => write!(f, "tasks.{task}.error"),
            Root::Item => f.write_str("item"),
            Root::Index => f.write_str("index"),
        }
    }
}

/// One step into a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathStep {
    /// A property of an object.
    Key(Text),
    /// A place in a list, from 0.
    Index(usize),
}

/// A reference: what `${…}` holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expression {
    root: Root,
    path: Vec<PathStep>,
}

impl Expression {
    /// Where it starts.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The way from there.
    pub fn path(&self) -> &[PathStep] {
        &self.path
    }

    /// Its text up to the `count`-th step, for a message.
    pub(super) fn shown_to(&self, count: usize) -> String {
        let short = Expression {
            root: self.root.clone(),
            path: self.path.iter().take(count).cloned().collect(),
        };
        short.to_string()
    }

    /// Reads the whole of `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (expression, rest) = Expression::parse_start(text)?;
        match rest.trim_start() {
            "" => Ok(expression),
            rest => Err(format!("unexpected `{}`", start_of(rest))),
        }
    }

    /// Reads an expression at the start of `text`; the second part is what follows it.
    pub(super) fn parse_start(text: &str) -> Result<(Self, &str), String> {
        let mut cursor = Cursor { rest: text.trim_start() };
        let root = cursor.root()?;
        let mut path = Vec::new();
        while let Some(step) = cursor.step()? {
            if path.len() == PATH_STEPS_MAX {
                return Err(format!("a path has at most {PATH_STEPS_MAX} steps"));
            }
            path.push(step);
        }
        Ok((Expression { root, path }, cursor.rest))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        for step in &self.path {
            match step {
                PathStep::Key(key) if is_word(key) => write!(f, ".{key}")?,
                PathStep::Key(key) => write!(f, "[{}]", serde_json::Value::from(&**key))?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

struct Cursor<'t> {
    rest: &'t str,
}

impl<'t> Cursor<'t> {
    fn root(&mut self) -> Result<Root, String> {
        match self.word() {
            "input" => Ok(Root::Input),
            "item" => Ok(Root::Item),
            "index" => Ok(Root::Index),
            "tasks" => self.task_root(),
            "" => Err(format!(
                "`input`, `tasks`, `item` or `index` belongs here, not `{}`",
                start_of(self.rest)
            )),
            other => Err(format!(
                "unknown name `{}`; references start with `input`, `tasks`, `item` or `index`",
                start_of(other)
            )),
        }
    }

    fn task_root(&mut self) -> Result<Root, String> {
        let Some(PathStep::Key(task)) = self.step()? else {
            return Err("after `tasks` comes a task: `tasks.NAME.output`".to_owned());
        };
        let part = match self.step()? {
            Some(PathStep::Key(part)) => part,
            _ => Text::default(),
        };
        match part.as_str() {
            "output" => Ok(Root::Output(task)),
            "outputs" => Ok(Root::Outputs(task)),
            "error" => Ok(Root::Error(task)),
            _ => Err(format!(
                "after `tasks.{}` comes `.output`, `.outputs` or `.error`",
                start_of(&task)
            )),
        }
    }

    /// `.word`, `["any text"]` or `[3]`.
    fn step(&mut self) -> Result<Option<PathStep>, String> {
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            return match self.word() {
                "" => {
                    Err("after `.` comes a name; odd names are written `[\"odd name\"]`".to_owned())
                }
                word => Ok(Some(PathStep::Key(Text::from(word)))),
            };
        }
        let Some(rest) = self.rest.strip_prefix('[') else { return Ok(None) };
        self.rest = rest;
        let step = if rest.starts_with('"') {
            PathStep::Key(self.quoted()?)
        } else {
            let digits = self.take_while(|c| c.is_ascii_digit());
            let index = digits
                .parse()
                .map_err(|_| "inside `[…]` comes a number from 0 or a quoted name".to_owned())?;
            PathStep::Index(index)
        };
        self.rest = self.rest.strip_prefix(']').ok_or("`]` is missing")?;
        Ok(Some(step))
    }

    /// A quoted text with the escapes of JSON.
    fn quoted(&mut self) -> Result<Text, String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let (end, _) = end.ok_or("the closing `\"` is missing")?;
        let (quoted, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        serde_json::from_str::<String>(quoted)
            .map(Text::from)
            .map_err(|_| "the quoted name is not a JSON text".to_owned())
    }

    fn word(&mut self) -> &'t str {
        self.take_while(is_word_char)
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

fn start_of(text: &str) -> String {
    super::findings::shown(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_read_back_from_their_text() {
        for text in [
            "input",
            "input.a.b-c",
            "input[\"odd key\"]",
            "input[\"q\\\"}\"].x",
            "input.list[3]",
            "tasks.scan.output.files[0].path",
            "tasks.scan.outputs",
            "tasks.scan.error.code",
            "item",
            "item.x",
            "index",
        ] {
            let expression = Expression::parse(text).unwrap();
            assert_eq!(expression.to_string(), text);
        }
        assert_eq!(
            Expression::parse(" tasks[\"a\"].output ").unwrap().to_string(),
            "tasks.a.output"
        );
    }

    #[test]
    fn foreign_text_is_no_expression() {
        for text in [
            "",
            " ",
            "inputs",
            "input.",
            "input[",
            "input[-1]",
            "input[1",
            "input[\"a]",
            "input a",
            "input[99999999999999999999999]",
            "tasks",
            "tasks.a",
            "tasks.a.result",
            "tasks[1].output",
            "input..a",
            "input + 1",
            "é",
            "input[\"\\x\"]",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
