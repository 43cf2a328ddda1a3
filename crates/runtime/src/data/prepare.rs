//! Preparation: whether a task's condition holds, and what list a map goes over.

use std::sync::Arc;

use ark_os_core::command::Prepared;
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::TaskRef;
use ark_os_core::limits::LIMIT_KEY_BYTES_MAX;
use ark_os_core::manifest::{parse_moment_ms, with_defaults};
use ark_os_core::payload::Bytes;
use ark_os_core::plan::{ChildSpec, MapSpec, Shape, WaitOn};
use ark_os_core::run::Run;
use ark_os_core::text::Text;
use ark_os_core::time::Time;

use super::input::input_of;
use super::view::View;
use super::{DataError, Payloads};

/// The code of a failure to make the list of a map.
const CODE: &str = "list_unresolved";
/// Characters that are shown of what is no moment.
const SHOWN_CHARS_MAX: usize = 100;

/// Looks at the data that a task depends on before it starts. The condition comes first: the list
/// of a task that is skipped may not exist.
pub fn prepare(run: &Run, node: u32, payloads: &Payloads) -> Prepared {
    prepared(run, node, payloads).unwrap_or_else(Prepared::Failed)
}

fn prepared(run: &Run, node: u32, payloads: &Payloads) -> Result<Prepared, Failure> {
    let Some(spec) = run.spec(node) else {
        return Err(Failure::fatal(CODE, format!("there is no task `{node}` in the plan")));
    };
    let view = View { run, task: Some(TaskRef::node(node)), payloads };
    if let Some(cel) = &spec.when
        && !payloads.condition(cel)?.holds(&view)?
    {
        return Ok(Prepared::Skip);
    }
    let made = match &spec.shape {
        Shape::Map(map) => list(&view, map, &spec.name),
        Shape::Child(child) => child_input(run, node, child, payloads),
        Shape::Wait(wait) => match &wait.on {
            WaitOn::Until(until) => moment(&view, until, &spec.name),
            WaitOn::For(_) | WaitOn::Signal(_) => Ok(Prepared::Go),
        },
        Shape::Single | Shape::Reduce(_) => Ok(Prepared::Go),
    }?;
    match spec.limit.as_ref().and_then(|limit| limit.key.as_ref()) {
        Some(template) => Ok(Prepared::Keyed(key(&view, template, &spec.name)?, Box::new(made))),
        None => Ok(made),
    }
}

/// The key that a limit counts a task under: a text itself, anything else as JSON; a long one is
/// counted under its digest.
fn key(view: &View<'_>, template: &Bytes, name: &str) -> Result<Text, Failure> {
    const CODE: &str = "key_unresolved";
    let what = format!("key of the limit of `{name}`");
    let of_data = |error: DataError| error.into_failure(CODE, &what);
    let value = view.value(&view.resolve(template, CODE, &what)?).map_err(of_data)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(match text.len() > LIMIT_KEY_BYTES_MAX {
        true => Text::from(Hash::of(text.as_bytes()).to_string()),
        false => Text::from(text),
    })
}

/// The input of a child run: with the defaults of its workflow's schema, which it has to fit.
fn child_input(
    run: &Run,
    node: u32,
    child: &ChildSpec,
    payloads: &Payloads,
) -> Result<Prepared, Failure> {
    let given = input_of(run, TaskRef::node(node), payloads)?;
    let what = format!("input of the child run `{}`", child.name);
    let invalid = |why: String| Failure::fatal("input_invalid", format!("{what}: {why}"));
    let workflow = child.workflow().ok_or_else(|| invalid("its plan cannot be read".to_owned()))?;
    let json = match &workflow.input_schema {
        None => given.json,
        Some(schema) => {
            let value = serde_json::from_slice(&given.json)
                .map_err(|error| invalid(format!("not JSON: {error}")))?;
            let filled = match serde_json::from_str(schema) {
                Ok(schema) => with_defaults(&schema, value).to_string().into_bytes(),
                Err(_) => given.json.to_vec(),
            };
            payloads.schemas.validate(schema, &filled).map_err(|violations| {
                let first = violations.into_iter().next();
                let place = first.map(|it| format!("at `{}`: {}", it.pointer, it.message));
                invalid(place.unwrap_or_default())
            })?;
            Arc::from(filled)
        }
    };
    let saved = payloads.save(json).map_err(|error| error.into_failure("input_invalid", &what))?;
    Ok(Prepared::Input(saved))
}

/// When a wait ends.
fn moment(view: &View<'_>, until: &Bytes, name: &str) -> Result<Prepared, Failure> {
    const CODE: &str = "wait_unresolved";
    let what = format!("moment of wait `{name}`");
    let of_data = |error: DataError| error.into_failure(CODE, &what);
    let value = view.value(&view.resolve(until, CODE, &what)?).map_err(of_data)?;
    let ms = value.as_str().and_then(parse_moment_ms).ok_or_else(|| {
        let shown: String = value.to_string().chars().take(SHOWN_CHARS_MAX).collect();
        let example = "2026-03-01T09:00:00Z";
        Failure::fatal(CODE, format!("{what}: `{shown}` is no moment such as `{example}`"))
    })?;
    Ok(Prepared::Until(Time(ms)))
}

fn list(view: &View<'_>, map: &MapSpec, name: &str) -> Result<Prepared, Failure> {
    let what = format!("list of map `{name}`");
    let of_data = |error: DataError| error.into_failure(CODE, &what);
    let found = view.resolve(&map.over, CODE, &what)?;
    // A list that is too long, or none, should not become a blob first.
    let read = view.payloads.read_list(&found.locate(view.payloads).map_err(of_data)?);
    let read = read.map_err(|error| match error.kind() {
        ark_os_core::Kind::Exhausted => Failure::fatal("map_too_large", format!("{what}: {error}")),
        _ => of_data(error),
    })?;
    let list = found.into_payload(view.payloads).map_err(of_data)?;
    view.payloads.keep_list(&list, &read);
    Ok(Prepared::List { count: read.len(), list })
}
