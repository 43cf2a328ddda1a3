//! What references and conditions see of a run: its input, and what its tasks came to.

use std::borrow::Cow;
use std::sync::Arc;

use ark_os_core::error::Failure;
use ark_os_core::ids::TaskRef;
use ark_os_core::manifest::{ResolveError, Root, Scope};
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::plan::Shape;
use ark_os_core::run::{Child, Fan, Run, Task, TaskState};
use serde_json::Value;

use super::payloads::{Located, Place};
use super::{COLLECTED_BYTES_MAX, DataError, Payloads, json};

/// A run, seen from one of its tasks (none: from its end).
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'r> {
    pub(super) run: &'r Run,
    pub(super) task: Option<TaskRef>,
    pub(super) payloads: &'r Payloads,
}

/// What a reference leads to: a payload that is there already, or a text that was made.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Payload(Payload),
    Text(Located),
}

impl Found {
    fn null() -> Self {
        Found::Payload(Payload::null())
    }

    pub(super) fn made(text: impl Into<Arc<[u8]>>) -> Self {
        Found::Text(Located::in_memory(text.into()))
    }

    pub(super) fn locate(&self, payloads: &Payloads) -> Result<Located, DataError> {
        match self {
            Found::Payload(payload) => payloads.locate(payload),
            Found::Text(located) => Ok(located.clone()),
        }
    }

    /// As a payload: one that is there stays the one it is.
    pub(super) fn into_payload(self, payloads: &Payloads) -> Result<Payload, DataError> {
        match self {
            Found::Payload(payload) => Ok(payload),
            Found::Text(located) => payloads.save(located.text),
        }
    }
}

/// The values that one template needs, loaded before it is resolved.
struct Loaded<'t>(Vec<(&'t Root, Arc<Value>)>);

impl Scope for Loaded<'_> {
    fn value(&self, root: &Root) -> Option<Cow<'_, Value>> {
        self.0.iter().find(|(known, _)| *known == root).map(|(_, value)| Cow::Borrowed(&**value))
    }
}

impl View<'_> {
    /// What a template comes to. `what` names the template in a failure of this code.
    pub(super) fn resolve(&self, text: &Bytes, code: &str, what: &str) -> Result<Found, Failure> {
        let of_data = |error: DataError| error.into_failure(code, what);
        let template = self.payloads.template(text).map_err(of_data)?;
        if let Some(literal) = template.as_literal() {
            return Ok(Found::made(literal.to_string().into_bytes()));
        }
        if let Some(expression) = template.as_expression()
            && let Some(found) = self.find(expression.root()).map_err(of_data)?
        {
            if expression.path().is_empty() {
                return Ok(found);
            }
            // The part is cut out of the text, however large it is. Where there is none the long
            // way knows why, or that it is a `null` in place of an output.
            let located = found.locate(self.payloads).map_err(of_data)?;
            let range = json::find(&located.text, expression.path());
            if let Some(part) = range.and_then(|range| located.text.get(range)) {
                return Ok(Found::made(part));
            }
        }
        let mut loaded = Loaded(Vec::new());
        for reference in template.references() {
            let root = reference.expression.root();
            if loaded.0.iter().any(|(known, _)| *known == root) {
                continue;
            }
            let at = |error: DataError| {
                error.into_failure(code, &place(what, &reference.pointer, &root.to_string()))
            };
            if let Some(found) = self.find(root).map_err(at)? {
                loaded.0.push((root, self.value(&found).map_err(at)?));
            }
        }
        let value = template.resolve(&loaded).map_err(|error| unresolved(&error, code, what))?;
        Ok(Found::made(value.to_string().into_bytes()))
    }

    pub(super) fn value(&self, found: &Found) -> Result<Arc<Value>, DataError> {
        self.payloads.value(&found.locate(self.payloads)?)
    }

    /// What a reference leads to before its path. None: there is no such thing here.
    pub(super) fn find(&self, root: &Root) -> Result<Option<Found>, DataError> {
        match root {
            Root::Input => Ok(Some(Found::Payload(self.run.input.clone()))),
            Root::Item => self.item(),
            Root::Index => {
                let child = self.task.and_then(|task| task.child);
                Ok(child.map(|index| Found::made(index.to_string().into_bytes())))
            }
            Root::Output(name) => self.of_task(name, |node, task| self.output(node, task)),
            Root::Outputs(name) => self.of_task(name, |node, task| self.outputs(node, task)),
            Root::Error(name) => self.of_task(name, |_, task| Ok(error(task))),
        }
    }

    fn of_task(
        &self,
        name: &str,
        found: impl FnOnce(u32, &Task) -> Result<Found, DataError>,
    ) -> Result<Option<Found>, DataError> {
        let Some(node) = self.run.workflow.node(name) else { return Ok(None) };
        let Some(task) = self.run.node(node) else { return Ok(None) };
        found(node, task).map(Some)
    }

    fn item(&self) -> Result<Option<Found>, DataError> {
        let Some(TaskRef { node, child: Some(child) }) = self.task else { return Ok(None) };
        let Some(fan) = self.run.node(node).and_then(|task| task.fan.as_ref()) else {
            return Ok(None);
        };
        self.payloads.list_item(&fan.list, child).map(Found::made).map(Some)
    }

    /// The output of a task, or of what stands in for it. `null` for what did not happen.
    pub(super) fn output(&self, node: u32, task: &Task) -> Result<Found, DataError> {
        let (mut node, mut task) = (node, task);
        // A fallback may have a fallback, but no plan is a circle of them.
        for _ in 0..self.run.tasks.len() {
            match task.state {
                TaskState::Succeeded => break,
                TaskState::Failed => {}
                _ => return Ok(Found::null()),
            }
            let stand_in = self.run.fallback_of(node);
            let Some(next) = stand_in.and_then(|it| Some((it, self.run.node(it)?))) else {
                return Ok(Found::null());
            };
            (node, task) = next;
        }
        let collects = matches!(
            self.run.spec(node).map(|spec| &spec.shape),
            Some(Shape::Map(map)) if map.collect
        );
        match &task.output {
            _ if collects => self.outputs(node, task),
            Some(output) => Ok(Found::Payload(output.clone())),
            None => Ok(Found::null()),
        }
    }

    /// The outputs of a map's children, `null` for each that has none. `null` where the map was
    /// never expanded.
    fn outputs(&self, node: u32, task: &Task) -> Result<Found, DataError> {
        let Some(fan) = &task.fan else { return Ok(Found::null()) };
        if !task.state.is_over() {
            return Ok(Found::made(self.collect(fan)?));
        }
        let place = Place::Collected(self.run.id, node, task.generation);
        let text = self.payloads.kept_text(place, || self.collect(fan))?;
        Ok(Found::Text(Located { text, place }))
    }

    fn collect(&self, fan: &Fan) -> Result<Arc<[u8]>, DataError> {
        let mut list = Joined::list();
        for child in &fan.children {
            match child {
                Child::Done(output) => list.push("", &self.payloads.load(output)?)?,
                Child::Fresh | Child::Live(_) => list.push("", b"null")?,
            }
        }
        Ok(list.finish())
    }
}

/// Why a task failed, as an object; `null` when it did not.
fn error(task: &Task) -> Found {
    match &task.failure {
        Some(failure) if task.state == TaskState::Failed => {
            // Writing texts, numbers and lists of them cannot fail.
            Found::made(serde_json::to_vec(failure).unwrap_or_else(|_| b"null".to_vec()))
        }
        _ => Found::null(),
    }
}

/// A list or an object under construction, from texts, within `COLLECTED_BYTES_MAX`.
pub(super) struct Joined {
    text: Vec<u8>,
    close: u8,
    is_empty: bool,
}

impl Joined {
    pub(super) fn list() -> Self {
        Joined { text: vec![b'['], close: b']', is_empty: true }
    }

    pub(super) fn object() -> Self {
        Joined { text: vec![b'{'], close: b'}', is_empty: true }
    }

    /// Adds an item; `label` is what stands before it.
    pub(super) fn push(&mut self, label: &str, item: &[u8]) -> Result<(), DataError> {
        if self.text.len() + label.len() + item.len() + 2 > COLLECTED_BYTES_MAX {
            return Err(DataError::too_large("the collected outputs", COLLECTED_BYTES_MAX));
        }
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(b',');
        }
        self.text.extend_from_slice(label.as_bytes());
        self.text.extend_from_slice(item);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Arc<[u8]> {
        self.text.push(self.close);
        Arc::from(self.text)
    }
}

fn unresolved(error: &ResolveError, code: &str, what: &str) -> Failure {
    Failure::fatal(code, format!("{}: {error}", place(what, error.pointer(), error.expression())))
}

fn place(what: &str, pointer: &str, expression: &str) -> String {
    let mut place = what.to_owned();
    if !pointer.is_empty() {
        place.push_str(&format!(" at `{pointer}`"));
    }
    if !expression.is_empty() {
        place.push_str(&format!(", `${{{expression}}}`"));
    }
    place
}
