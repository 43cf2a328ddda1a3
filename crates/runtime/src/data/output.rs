//! What comes out: the output of a run from its tasks', and the items of a reduce.

use ark_os_core::error::Failure;
use ark_os_core::payload::Payload;
use ark_os_core::plan::Shape;
use ark_os_core::plan::graph::result_nodes;
use ark_os_core::run::{Child, Run};

use super::view::{Found, Joined, View};
use super::{DataError, Payloads};

/// The code of a failure to put the output of a run together.
const CODE: &str = "output_unresolved";
const WHAT: &str = "output of the run";

/// The output of a run whose tasks are over: what its workflow says, else the output of the only
/// task that nothing needs, else an object of theirs by name. A fallback's stands in for its
/// task's; `null` is the output of a task that was skipped, or failed while the run went on.
pub fn gather(run: &Run, payloads: &Payloads) -> Result<Payload, Failure> {
    let view = View { run, task: None, payloads };
    let of_data = |error: DataError| error.into_failure(CODE, WHAT);
    let found = match &run.workflow.output {
        Some(template) => view.resolve(template, CODE, WHAT)?,
        None => of_sinks(&view).map_err(of_data)?,
    };
    found.into_payload(payloads).map_err(of_data)
}

fn of_sinks(view: &View<'_>) -> Result<Found, DataError> {
    let sinks = result_nodes(&view.run.workflow);
    let outputs = sinks.iter().filter_map(|node| {
        let (spec, task) = (view.run.spec(*node)?, view.run.node(*node)?);
        Some((&spec.name, view.output(*node, task)))
    });
    let mut outputs: Vec<_> = outputs.collect();
    if outputs.len() == 1
        && let Some((_, output)) = outputs.pop()
    {
        return output;
    }
    let mut object = Joined::object();
    for (name, output) in outputs {
        let label = format!("{}:", serde_json::Value::from(name.as_str()));
        object.push(&label, &output?.locate(view.payloads)?.text)?;
    }
    Ok(Found::made(object.finish()))
}

/// What a reduce gathers: the outputs of the map's children that succeeded, in the order of the
/// list. `node` is the reduce or the map itself; any other node has no items.
pub fn items_of(run: &Run, node: u32) -> Vec<Payload> {
    let map = match run.spec(node).map(|spec| &spec.shape) {
        Some(Shape::Reduce(map)) => *map,
        _ => node,
    };
    let fan = run.node(map).and_then(|task| task.fan.as_ref());
    let children = fan.iter().flat_map(|fan| &fan.children);
    let outputs = children.filter_map(|child| match child {
        Child::Done(output) => Some(output.clone()),
        Child::Fresh | Child::Live(_) => None,
    });
    outputs.collect()
}
