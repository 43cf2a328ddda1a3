//! The rows of each list: their ids, what is inside them, and what can be done to them.

use ark_os_api::AttentionView;

use super::model::{AgentsOf, Below, Model, Pane, Part, Verb};

/// A row of the fleet's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FleetRow {
    Layer(usize),
    Stack(usize),
}

/// The fleet's tree: the layers, then the stacks.
pub(crate) fn fleet_rows(model: &Model) -> Vec<FleetRow> {
    let Some(overview) = &model.overview else { return Vec::new() };
    let layers = (0..overview.fleet.layers.len()).map(FleetRow::Layer);
    let stacks = (0..overview.fleet.stacks.len()).map(FleetRow::Stack);
    layers.chain(stacks).collect()
}

fn id_of(row: &FleetRow) -> String {
    match row {
        FleetRow::Layer(at) => format!("layer {at}"),
        FleetRow::Stack(at) => format!("stack {at}"),
    }
}

fn id_of_attention(about: &AttentionView) -> String {
    let parts = [&about.step, &about.task, &about.run, &about.agent];
    // What is about none of them is known by what it says.
    let whom = parts.into_iter().flatten().next().unwrap_or(&about.text);
    format!("{} {whom}", about.kind)
}

/// The ids of the rows of the present list, in their order.
pub(crate) fn ids(model: &Model) -> Vec<String> {
    let overview = model.overview.as_deref();
    match (model.below.last(), model.pane) {
        (Some(Below::Agents { agents, .. }), _) => {
            agents.iter().flatten().map(|agent| agent.id.clone()).collect()
        }
        (Some(Below::Agent { tasks, .. }), _) => tasks.iter().map(|it| it.id.clone()).collect(),
        (Some(Below::Escalations { items, .. }), _) => {
            items.iter().flatten().map(|it| it.id.to_string()).collect()
        }
        (Some(Below::Run(run)), _) => match run.part {
            Part::Tasks => run.tasks.iter().map(|task| task.id.clone()).collect(),
            // What is only read is scrolled by line.
            Part::Graph | Part::Trace => numbers(super::draw::run_lines(model, run).len()),
            Part::Events => run.events.iter().map(|event| event.id.clone()).collect(),
        },
        (None, Pane::Fleet) => fleet_rows(model).iter().map(id_of).collect(),
        (None, Pane::Overview) => {
            overview.iter().flat_map(|it| &it.runs.shown).map(|run| run.id.clone()).collect()
        }
        (None, Pane::Runs) => model.listed().iter().map(|run| run.id.clone()).collect(),
        (None, Pane::Queues) => {
            overview.iter().flat_map(|it| &it.queues).map(|row| row.skill.clone()).collect()
        }
        (None, Pane::Attention) => {
            overview.iter().flat_map(|it| &it.attention).map(id_of_attention).collect()
        }
        (None, Pane::Rates | Pane::Log) => Vec::new(),
    }
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// The number of the chosen row of the present list.
pub(crate) fn chosen_at(model: &Model) -> usize {
    let choice = match (model.below.last(), model.pane) {
        (
            Some(
                Below::Agents { chosen, .. }
                | Below::Agent { chosen, .. }
                | Below::Escalations { chosen, .. },
            ),
            _,
        ) => chosen,
        (Some(Below::Run(run)), _) => &run.chosen,
        (None, Pane::Fleet) => &model.chosen.fleet,
        (None, Pane::Overview | Pane::Runs) => &model.chosen.runs,
        (None, Pane::Queues) => &model.chosen.queues,
        (None, Pane::Attention) => &model.chosen.attention,
        (None, Pane::Rates | Pane::Log) => return 0,
    };
    choice.at(ids(model).iter().map(String::as_str))
}

/// What is inside the chosen row; none: nothing.
pub(crate) fn inside(model: &Model) -> Option<Below> {
    let at = chosen_at(model);
    let overview = model.overview.as_deref();
    match (model.below.last(), model.pane) {
        (Some(Below::Agents { agents, .. }), _) => {
            agents.as_ref()?.get(at).map(|agent| Below::agent(agent.id.clone()))
        }
        (Some(Below::Agent { tasks, .. }), _) => {
            tasks.get(at).map(|task| Below::run(task.run.clone(), Part::Tasks))
        }
        (Some(Below::Escalations { items, .. }), _) => {
            let it = items.as_ref()?.get(at)?;
            let run = it.task.as_deref().and_then(run_of).map(|run| Below::run(run, Part::Tasks));
            run.or_else(|| it.agent.clone().map(Below::agent))
        }
        (Some(Below::Run(_)), _) => None,
        (None, Pane::Fleet) => match fleet_rows(model).get(at)? {
            FleetRow::Layer(at) => {
                let layer = overview?.fleet.layers.get(*at)?;
                Some(Below::agents(AgentsOf::Layer(layer.layer.clone())))
            }
            FleetRow::Stack(at) => {
                let stack = overview?.fleet.stacks.get(*at)?;
                Some(Below::agents(AgentsOf::Stack(stack.stack)))
            }
        },
        (None, Pane::Overview | Pane::Runs) => {
            ids(model).get(at).map(|run| Below::run(run.clone(), Part::Graph))
        }
        (None, Pane::Queues) => {
            let run = overview?.queues.get(at)?.next_run.clone()?;
            Some(Below::run(run, Part::Tasks))
        }
        (None, Pane::Attention) => {
            let about = overview?.attention.get(at)?;
            let run = about.run.clone().map(|run| Below::run(run, Part::Tasks));
            run.or_else(|| about.agent.clone().map(Below::agent))
        }
        (None, Pane::Rates | Pane::Log) => None,
    }
}

/// The run of a task, which its id begins with.
fn run_of(task: &str) -> Option<String> {
    let (run, _) = task.strip_prefix("task_")?.split_once('_')?;
    Some(format!("run_{run}"))
}

/// What a verb would be done to: a run, or for `unpark` a task.
pub(crate) fn target(model: &Model, verb: Verb) -> Option<String> {
    let at = chosen_at(model);
    let overview = model.overview.as_deref();
    let (run, task) = match (model.below.last(), model.pane) {
        (Some(Below::Run(run)), _) => {
            let task = run.tasks.get(at).filter(|_| run.part == Part::Tasks);
            (Some(run.id.clone()), task.map(|task| task.id.clone()))
        }
        (Some(Below::Agent { tasks, .. }), _) => {
            let task = tasks.get(at)?;
            (Some(task.run.clone()), Some(task.id.clone()))
        }
        (Some(Below::Escalations { items, .. }), _) => {
            let task = items.as_ref()?.get(at)?.task.clone();
            (task.as_deref().and_then(run_of), task)
        }
        (None, Pane::Overview | Pane::Runs) => (ids(model).get(at).cloned(), None),
        (None, Pane::Attention) => {
            let about = overview?.attention.get(at)?;
            (about.run.clone(), about.task.clone())
        }
        _ => (None, None),
    };
    if verb == Verb::Unpark { task } else { run }
}
