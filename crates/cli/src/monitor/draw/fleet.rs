//! The fleet: layers and stacks with how their agents stand.

use ark_os_api::{LayerOverview, Overview, StackOverview, Standings};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::brush::Brush;
use super::table::{Cell, List, count, faint, plain};
use crate::monitor::model::Model;
use crate::monitor::rows::{FleetRow, chosen_at, fleet_rows};
use crate::output::counted;
use crate::terminal::Tone;

/// The health of a group of agents: its word, which has a symbol, and its tone.
fn health(agents: u32, standings: &Standings) -> (&'static str, Tone) {
    match (agents, standings.ready) {
        (0, _) => ("held", Tone::Faint),
        (all, ready) if ready == all => ("ready", Tone::Good),
        (_, 0) => ("offline", Tone::Bad),
        _ => ("degraded", Tone::Warning),
    }
}

/// A count that is only seen where it is not nothing.
fn some(number: u32, tone: Tone) -> Cell {
    if number == 0 { faint("·") } else { (tone, count(u64::from(number))) }
}

fn standings(it: &Standings) -> [Cell; 4] {
    [
        some(it.ready, Tone::Good),
        some(it.restarting, Tone::Warning),
        some(it.replaced, Tone::Warning),
        some(it.offline + it.suspect + it.quarantined, Tone::Bad),
    ]
}

/// The layers alone, for the first screen.
pub(super) fn layers(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let fleet = &overview.fleet;
    let list = List {
        title: format!(" Fleet {}, {}/{} busy ", fleet.agents, fleet.busy, fleet.capacity),
        head: &["", "layer", "agents", "ready", "not"],
        widths: &[1, 0, -6, -6, -6],
        chosen: None,
        empty: "",
    };
    let row = |at: usize| {
        let Some(layer) = fleet.layers.get(at) else { return Vec::new() };
        let (word, tone) = health(layer.agents, &layer.standings);
        let ready = layer.standings.ready;
        let not = layer.agents.saturating_sub(ready);
        vec![
            (tone, brush.mark(word).to_owned()),
            plain(&layer.layer),
            agents_of(layer),
            some(ready, Tone::Plain),
            some(not, Tone::Warning),
        ]
    };
    list.draw(brush, fleet.layers.len(), row, (frame, area));
}

fn agents_of(layer: &LayerOverview) -> Cell {
    if layer.agents == 0 { faint("held") } else { plain(count(u64::from(layer.agents))) }
}

/// The whole tree.
pub(super) fn draw(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let fleet = &overview.fleet;
    let list = List {
        title: format!(
            " Fleet: {}, {}, {}/{} tokens in use ",
            counted(fleet.agents, "agent"),
            counted(fleet.stacks.len(), "stack"),
            fleet.busy,
            fleet.capacity
        ),
        head: &["", "layer or stack", "agents", "ready", "restart", "replac", "offline", "busy"],
        widths: &[1, 0, -6, -6, -7, -6, -7, -11],
        chosen: Some(chosen_at(model)),
        empty: "",
    };
    let rows = fleet_rows(model);
    let row = |at: usize| match rows.get(at) {
        Some(FleetRow::Layer(at)) => {
            fleet.layers.get(*at).map_or_else(Vec::new, |it| layer_row(brush, it))
        }
        Some(FleetRow::Stack(at)) => {
            fleet.stacks.get(*at).map_or_else(Vec::new, |it| stack_row(brush, it))
        }
        None => Vec::new(),
    };
    list.draw(brush, rows.len(), row, (frame, area));
}

fn layer_row(brush: Brush, layer: &LayerOverview) -> Vec<Cell> {
    let (word, tone) = health(layer.agents, &layer.standings);
    let mut row = vec![
        (tone, brush.mark(word).to_owned()),
        (Tone::Strong, layer.layer.clone()),
        agents_of(layer),
    ];
    row.extend(standings(&layer.standings));
    row.push(if layer.busy == 0 { faint("·") } else { plain(layer.busy) });
    row
}

/// A stack whose chief does not stand ready has its work waiting, however its members stand.
fn stack_row(brush: Brush, stack: &StackOverview) -> Vec<Cell> {
    let chief = stack.chief_standing.as_deref().filter(|standing| *standing != "ready");
    let (word, tone) = match chief {
        Some(standing) => (standing, Tone::Bad),
        None => health(stack.agents, &stack.standings),
    };
    let name = stack.chief.as_deref().unwrap_or("led by the runtime");
    let name = match chief {
        Some(standing) => format!("  stack {} {name} ({standing})", stack.stack),
        None => format!("  stack {} {name}", stack.stack),
    };
    let mut row = vec![
        (tone, brush.mark(word).to_owned()),
        plain(name),
        plain(count(u64::from(stack.agents))),
    ];
    row.extend(standings(&stack.standings));
    row.push(plain(format!("{}/{}", stack.busy, stack.capacity)));
    row
}
