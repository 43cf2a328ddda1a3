//! What somebody should look at.

use ark_os_api::{AttentionView, Overview};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::brush::Brush;
use super::table::{Cell, List, faint, plain};
use crate::monitor::model::Model;
use crate::monitor::rows::chosen_at;
use crate::terminal::Tone;

/// The symbol and tone of a kind.
fn sign(kind: &str) -> (&'static str, Tone) {
    match kind {
        "step_in_doubt" | "task_parked" | "run_parked" => ("parked", Tone::Bad),
        "agent_offline" | "agent_suspect" | "agent_quarantined" => ("offline", Tone::Warning),
        "agent_restarting" => ("restarting", Tone::Warning),
        "agent_replaced" => ("replaced", Tone::Warning),
        "agent_struck" => ("failed", Tone::Warning),
        _ => ("degraded", Tone::Bad),
    }
}

fn mark(brush: Brush, about: &AttentionView) -> Cell {
    let (word, tone) = sign(&about.kind);
    (tone, brush.mark(word).to_owned())
}

/// The most urgent, for the first screen.
pub(super) fn first(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let all = &overview.attention;
    let list = List {
        title: " Attention ".to_owned(),
        head: &["", "what"],
        widths: &[1, 0],
        chosen: None,
        empty: "nothing needs anybody",
    };
    let row = |at: usize| {
        all.get(at).map_or_else(Vec::new, |about| vec![mark(brush, about), plain(&about.text)])
    };
    list.draw(brush, all.len(), row, (frame, area));
}

/// All of it, with what can be done about the chosen one.
pub(super) fn draw(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let all = &overview.attention;
    let more = overview.attention_left_out;
    let left = if more > 0 { format!(", {more} more are not shown") } else { String::new() };
    let chosen = chosen_at(model);
    let list = List {
        title: format!(" Attention: {}{left} ", all.len()),
        head: &["", "kind", "what"],
        widths: &[1, 16, 0],
        chosen: (!all.is_empty()).then_some(chosen),
        empty: "nothing needs anybody",
    };
    let row = |at: usize| {
        let Some(about) = all.get(at) else { return Vec::new() };
        vec![mark(brush, about), faint(about.kind.replace('_', " ")), plain(&about.text)]
    };
    let rows = area.height.saturating_sub(2);
    list.draw(brush, all.len(), row, (frame, Rect { height: rows, ..area }));
    let Some(about) = all.get(chosen) else { return };
    let whom = about.task.as_ref().or(about.run.as_ref());
    // With one character before it, a key of 64 fits the smallest screen.
    let resolve = about.step.as_ref().map(|step| format!("ark-os resolve {step}"));
    let hints = [hint(about), resolve.or_else(|| whom.cloned()).unwrap_or_default()];
    for (line, text) in (0u16..).zip(hints).take(usize::from(area.height.min(2))) {
        let place = Rect { y: area.y + rows + line, height: 1, ..area };
        frame.render_widget(brush.line(Tone::Faint, &format!(" {text}")), place);
    }
}

/// What can be done about it.
fn hint(about: &AttentionView) -> String {
    match (about.kind.as_str(), &about.agent) {
        ("step_in_doubt", _) => {
            "find out, then with --happened RESULT, --not-happened or --give-up:".to_owned()
        }
        ("task_parked", _) => "u: unpark it, t: retry the run, c: cancel it".to_owned(),
        ("run_parked", _) => "Enter: its tasks; t: retry it, c: cancel it".to_owned(),
        ("draining", _) => "what runs comes to its end, or goes on at the next start".to_owned(),
        ("escalated", _) => "e: to whom each was told, until when, what was tried".to_owned(),
        ("measure_in_force", _) => {
            "ark-os emergency list: until when; ark-os emergency lift NUMBER --reason WHY"
                .to_owned()
        }
        ("layer_empty", _) => "bring an agent of it online, or start with more".to_owned(),
        ("unhealthy", _) => {
            "start the service, or mend the program, that its agents need".to_owned()
        }
        (_, Some(agent)) => format!("Enter: {agent}, and what it works on"),
        _ => String::new(),
    }
}
