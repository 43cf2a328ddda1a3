//! The rows of a trace as a waterfall: in the order of their beginnings, with bars to one scale.
//!
//! Rows come in the order of their ends and are put into that of their beginnings as far as
//! [`ROWS_KEPT_MAX`] reaches; memory does not grow with the run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ark_os_api::{AmountsView, RunView, TraceRow};
use ark_os_core::ids::{TaskId, TaskRef};
use serde_json::Value;

use crate::failure::Failure;
use crate::show::took;
use crate::terminal::{Terminal, Tone, one_line, tone_of};

/// Rows that wait for one that began earlier: about 10 MB. A run with more at a time shows rows
/// that ended late where they ended, with their true offset.
const ROWS_KEPT_MAX: usize = 5_000;
/// Characters of a bar: a share of what is wider than the other columns need.
const BAR_MIN: usize = 12;
const BAR_MAX: usize = 60;
/// Columns of times, and the gaps: what a bar and the words have to share is the rest.
const TIMES: usize = 18;

/// Where lines go.
type Print<'a> = &'a mut dyn FnMut(&str) -> Result<(), Failure>;

/// Rows on their way to lines.
pub(crate) struct Waterfall {
    terminal: Terminal,
    /// The run's duration, once it is over.
    total: Option<u64>,
    /// The end of what was seen.
    seen: u64,
    arrived: u64,
    kept: BinaryHeap<Reverse<Kept>>,
}

/// The order of lines: by beginning; of one moment how the run began, then the tasks one after the
/// other, each before its attempts and they before their steps, then what became of the run.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    offset: u64,
    part: u8,
    task: Option<TaskRef>,
    depth: u32,
    arrived: u64,
}

struct Kept {
    place: Place,
    row: Box<TraceRow>,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

impl Waterfall {
    pub(crate) fn new(terminal: Terminal, total: Option<u64>) -> Self {
        Waterfall { terminal, total, seen: 0, arrived: 0, kept: BinaryHeap::new() }
    }

    /// Takes a row; prints those for which nothing can come before any more.
    pub(crate) fn add(&mut self, row: TraceRow, print: Print<'_>) -> Result<(), Failure> {
        let length = row.duration_ms.or(row.idle_ms).unwrap_or(0);
        let end = row.offset_ms.saturating_add(length);
        self.seen = self.seen.max(end);
        self.arrived += 1;
        let place = Place {
            // The end of the run began with the run, and yet it comes last.
            offset: if row.kind == "ended" { end } else { row.offset_ms },
            part: match (&row.task, row.kind.as_str()) {
                (Some(_), _) => 1,
                (None, "accepted" | "decision" | "waits" | "admitted") => 0,
                (None, _) => 2,
            },
            task: row.task.as_deref().and_then(TaskId::parse).map(|id| id.task),
            depth: row.depth,
            arrived: self.arrived,
        };
        self.kept.push(Reverse(Kept { place, row: Box::new(row) }));
        if self.kept.len() > ROWS_KEPT_MAX {
            self.print_first(print)?;
        }
        Ok(())
    }

    /// Prints all that is left.
    pub(crate) fn finish(&mut self, print: Print<'_>) -> Result<(), Failure> {
        while !self.kept.is_empty() {
            self.print_first(print)?;
        }
        Ok(())
    }

    fn print_first(&mut self, print: Print<'_>) -> Result<(), Failure> {
        match self.kept.pop() {
            Some(Reverse(kept)) => print(&self.line(&kept.row)),
            None => Ok(()),
        }
    }

    fn line(&self, row: &TraceRow) -> String {
        let width = self.terminal.width();
        let bar_width = (width / 4).saturating_sub(8).clamp(BAR_MIN, BAR_MAX);
        let bar = self.bar(row, bar_width);
        let duration = row.duration_ms.map(short).unwrap_or_default();
        let left = format!("{:>8} {duration:>7} {bar} ", format!("+{}", short(row.offset_ms)));
        let right = format!(" {} #{}", cost(row.spent.as_ref()), row.seq);
        let room = width.saturating_sub(TIMES + bar_width + right.chars().count());
        let what = self.fitted(&what(row), room);
        let gap = " ".repeat(room.saturating_sub(what.chars().count()));
        let terminal = self.terminal;
        format!(
            "{}{}{gap}{}",
            terminal.out(Tone::Faint, &left),
            terminal.out(tone(row), &what),
            terminal.out(Tone::Faint, &right)
        )
    }

    /// In line, then at work, to the scale of the whole run.
    fn bar(&self, row: &TraceRow, width: usize) -> String {
        let total = self.total.unwrap_or(0).max(self.seen).max(1);
        let scaled = |ms: u64| {
            let cells = u128::from(ms) * width as u128 / u128::from(total);
            usize::try_from(cells).unwrap_or(width).min(width)
        };
        let is_point = row.duration_ms.is_none() && row.state.as_deref() != Some("open");
        let begin = scaled(row.offset_ms).min(width - 1);
        let end = match row.duration_ms {
            Some(ms) => scaled(row.offset_ms.saturating_add(ms)),
            None if is_point => begin,
            // It goes on.
            None => width,
        };
        let end = end.clamp(begin + 1, width);
        let queued = scaled(row.offset_ms.saturating_sub(row.queued_ms.unwrap_or(0)));
        let queued = begin.saturating_sub(queued.min(begin));
        let (line, work, point) =
            if self.terminal.is_utf8() { ("·", "█", "│") } else { ("-", "#", "|") };
        let work = if is_point { point } else { work };
        let idle = match row.idle_ms {
            // All of it, though it has a cell where it took no time.
            Some(idle) if Some(idle) == row.duration_ms && idle > 0 => end,
            Some(idle) => scaled(row.offset_ms.saturating_add(idle)).clamp(begin, end),
            None => begin,
        };
        format!(
            "{}{}{}{}",
            " ".repeat(begin - queued),
            line.repeat(queued + idle - begin),
            work.repeat(end - idle),
            " ".repeat(width - end)
        )
    }

    fn fitted(&self, text: &str, room: usize) -> String {
        let text = one_line(text);
        let text: String = match self.terminal.is_utf8() {
            true => text,
            false => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
        };
        if text.chars().count() <= room {
            return text;
        }
        let end = if self.terminal.is_utf8() { "…" } else { "~" };
        let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
        cut.push_str(end);
        cut
    }
}

/// The lines above the rows.
pub(crate) fn head(terminal: &Terminal, run: &RunView) -> Vec<String> {
    let state = terminal.out(tone_of(&run.state), &run.state);
    let after = run.ended.map(|ended| ended.0.saturating_sub(run.accepted.0));
    let after = after.map(|ms| format!(" in {}", took(ms))).unwrap_or_default();
    let (workflow, version) = (one_line(&run.workflow), one_line(&run.version));
    vec![
        format!("{} {state}{after}", terminal.out(Tone::Strong, &run.id)),
        format!("{workflow} {version}, accepted {}", run.accepted),
    ]
}

fn tone(row: &TraceRow) -> Tone {
    match row.state.as_deref() {
        Some("lost" | "timed_out" | "refused" | "unknown") => Tone::Warning,
        Some("in_doubt" | "stalled" | "poison") => Tone::Bad,
        Some("succeeded" | "allow" | "done") => Tone::Plain,
        Some(state) => tone_of(state),
        None => Tone::Plain,
    }
}

/// A row in words, set in by its depth.
fn what(row: &TraceRow) -> String {
    let indent = " ".repeat(row.depth.saturating_sub(1).min(3) as usize);
    let of = |it: &Option<String>| it.clone().unwrap_or_default();
    let (name, agent, state, text) = (of(&row.name), of(&row.agent), of(&row.state), of(&row.text));
    let detail = |name: &str| match row.details.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let words = match row.kind.as_str() {
        "decision" => {
            // The name of an agent begins with its layer.
            let layer = of(&row.layer);
            let who = if agent.starts_with(&layer) { agent } else { format!("{layer} ({agent})") };
            format!("{who} {state}, {}: {text}", detail("rules"))
        }
        "waiting" => format!("{name} waits for {text}"),
        "waits" => format!("waits for layer {}: {text}", of(&row.layer)),
        "ended" => format!("run {}", said(&state, &text)),
        "task" => format!("{name} {}", said(&state, &text)),
        "map" => format!("{name} {state}, {text} {}", spread(row)),
        "skipped" | "cancelled" | "reused" => format!("{name} {}", said(&row.kind, &text)),
        "attempt" => {
            let stack = row.stack.map(|stack| format!("/s{stack}")).unwrap_or_default();
            format!("{name} #{} {agent}{stack} {}", detail("attempt"), said(&state, &text))
        }
        "step" => format!("{name} step {} {state}, {}", said(&text, ""), detail("class")),
        "preparing" => format!("{name} condition or list"),
        "lease" => format!("{name} lease renewed until {}", detail("until")),
        "checkpoint" => format!("{name} checkpoint, {}", state.replace('_', " ")),
        "task_parked" => format!("{name} parked, {}", said(&state, &text)),
        "task_unparked" => format!("{name} {}", said("unparked", &text)),
        "step_in_doubt" => format!("{name} step in doubt: {}", detail("step")),
        "step_resolved" => format!("{name} step {}", said(&state.replace('_', " "), &text)),
        kind => said(kind, &text),
    };
    format!("{indent}{}", words.trim())
}

fn said(state: &str, text: &str) -> String {
    if text.is_empty() { state.to_owned() } else { format!("{state}: {text}") }
}

/// The shortest, the middle and the longest of a map.
fn spread(row: &TraceRow) -> String {
    let Some(micros) = row.details.get("micros") else { return String::new() };
    let of =
        |name: &str| micros.get(name).and_then(Value::as_u64).map(in_micros).unwrap_or_default();
    format!("({}/{}/{})", of("min"), of("p50"), of("max"))
}

fn in_micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..10_000 => format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100),
        _ => short(micros / 1_000),
    }
}

/// A duration, short.
fn short(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..100_000 => format!("{}.{:02}s", ms / 1_000, ms % 1_000 / 10),
        100_000..6_000_000 => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// What something cost: money, else tokens, else calls and steps.
fn cost(spent: Option<&AmountsView>) -> String {
    let Some(spent) = spent else { return String::new() };
    if let Some(micros) = spent.cost_micros {
        return format!("${}.{:06}", micros / 1_000_000, micros % 1_000_000);
    }
    if let Some(tokens) = spent.tokens {
        return format!("{tokens}tok");
    }
    let parts = [(spent.calls, "c"), (spent.steps, "s")];
    let parts = parts.into_iter().filter_map(|(count, unit)| Some(format!("{}{unit}", count?)));
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, offset_ms: u64, duration_ms: Option<u64>) -> TraceRow {
        TraceRow {
            kind: kind.to_owned(),
            offset_ms,
            duration_ms,
            depth: 2,
            seq: 7,
            name: Some("t".to_owned()),
            ..TraceRow::default()
        }
    }

    fn lines(rows: Vec<TraceRow>, total: Option<u64>) -> Vec<String> {
        let mut waterfall = Waterfall::new(Terminal::default(), total);
        let mut lines = Vec::new();
        let mut print = |line: &str| {
            lines.push(line.to_owned());
            Ok(())
        };
        rows.into_iter().for_each(|row| waterfall.add(row, &mut print).unwrap());
        waterfall.finish(&mut print).unwrap();
        lines
    }

    #[test]
    fn bars_stand_where_and_as_long_as_things_took() {
        let mut attempt = row("attempt", 50, Some(50));
        attempt.queued_ms = Some(25);
        let open = TraceRow { state: Some("open".to_owned()), ..row("task", 75, None) };
        let lines = lines(vec![attempt, row("lease", 25, None), open], Some(100));
        let bars: Vec<String> =
            lines.iter().map(|line| line.chars().skip(17).take(12).collect()).collect();
        assert_eq!(bars, ["   │        ", "   ···██████", "         ███"]);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
    }

    #[test]
    fn what_nobody_works_on_is_drawn_as_in_line_and_a_wait_says_for_what() {
        let idle = |idle_ms, row: TraceRow| TraceRow { idle_ms: Some(idle_ms), ..row };
        let wait = TraceRow {
            text: Some("the limit crm ann".to_owned()),
            ..idle(50, row("waiting", 0, Some(50)))
        };
        let open = |row: TraceRow| TraceRow { state: Some("open".to_owned()), ..row };
        let rows = vec![
            idle(50, row("task", 0, Some(100))),
            wait,
            idle(75, open(row("task", 25, None))),
            idle(25, open(row("map", 50, None))),
        ];
        let lines = lines(rows, Some(100));
        let bars: Vec<String> =
            lines.iter().map(|line| line.chars().skip(17).take(12).collect()).collect();
        assert_eq!(bars, ["······██████", "······      ", "   ·········", "      ···███"]);
        assert!(lines[1].contains("t waits for the limit crm ann"), "{lines:?}");
    }

    #[test]
    fn rows_come_in_the_order_of_their_beginnings_and_the_end_last() {
        let ended = TraceRow { depth: 1, ..row("ended", 0, Some(30)) };
        let rows = vec![row("task", 20, Some(1)), row("task", 5, Some(20)), ended];
        let offsets: Vec<String> = lines(rows, None)
            .iter()
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
            .collect();
        assert_eq!(offsets, ["+5ms", "+20ms", "+0ms"]);
    }

    #[test]
    fn a_long_trace_is_printed_while_it_comes() {
        let mut waterfall = Waterfall::new(Terminal::default(), None);
        let mut printed = 0;
        for ix in 0..ROWS_KEPT_MAX as u64 + 100 {
            let mut print = |_: &str| {
                printed += 1;
                Ok(())
            };
            waterfall.add(row("lease", ix, None), &mut print).unwrap();
        }
        assert_eq!((printed, waterfall.kept.len()), (100, ROWS_KEPT_MAX));
    }

    #[test]
    fn costs_and_times_are_short() {
        let money =
            AmountsView { cost_micros: Some(1_234_567), calls: Some(1), ..Default::default() };
        let calls = AmountsView { calls: Some(3), steps: Some(2), ..AmountsView::default() };
        assert_eq!((cost(Some(&money)), cost(Some(&calls))), ("$1.234567".into(), "3c 2s".into()));
        assert_eq!([7, 1_250, 125_000, 7_260_000].map(short), ["7ms", "1.25s", "2m05s", "2h01m"]);
        assert_eq!([7, 1_250, 12_500].map(in_micros), ["7us", "1.2ms", "12ms"]);
    }
}
