//! Preparation: whether a task's condition holds, and what list a map goes over.

use ark_os_core::command::Prepared;
use ark_os_core::error::Failure;
use ark_os_core::ids::TaskRef;
use ark_os_core::plan::{MapSpec, Shape};
use ark_os_core::run::Run;

use super::view::View;
use super::{DataError, Payloads};

/// The code of a failure to make the list of a map.
const CODE: &str = "list_unresolved";

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
    match &spec.shape {
        Shape::Map(map) => list(&view, map, &spec.name),
        Shape::Single | Shape::Reduce(_) => Ok(Prepared::Go),
    }
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
