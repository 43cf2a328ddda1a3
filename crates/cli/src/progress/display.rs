//! Where a run's progress is shown: a bar on a terminal, plain lines elsewhere, JSON for programs.

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::{Names, Tally, describe, is_child};
use crate::client::RunEvent;
use crate::failure::Failure;
use crate::output::Output;

/// Failed attempts told line by line; a fan-out of thousands may fail thousands of times, and the
/// run's own failure says why in the end.
const FAILURE_LINES_MAX: u32 = 20;
/// Redraws of the bar a second are the bar's own affair; this is how often its spinner turns.
const TICK_MS: u64 = 120;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Silent,
    /// A line for everything that happens to a plan's task.
    Lines,
    /// These lines above a bar that is drawn over itself.
    Bar,
}

impl Style {
    /// What fits the output.
    pub(crate) fn of(output: &Output) -> Self {
        match (output.is_json(), output.terminal().is_live()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        }
    }
}

/// The progress of one run.
pub(crate) struct Display {
    output: Output,
    style: Style,
    names: Names,
    tally: Tally,
    bar: Option<ProgressBar>,
    failures: u32,
}

impl Display {
    /// Nothing has happened yet; the run has so many tasks in its plan.
    pub(crate) fn new(output: Output, style: Style, names: Names, tasks: u32) -> Self {
        let tally = Tally { total: u64::from(tasks), over: 0 };
        let bar = (style == Style::Bar).then(|| bar(tally.total));
        Display { output, style, names, tally, bar, failures: 0 }
    }

    /// What takes the bar away from another thread, so that something else can be said.
    pub(crate) fn curtain(&self) -> Curtain {
        Curtain(self.bar.clone())
    }

    /// Shows an event.
    pub(super) fn event(&mut self, event: &RunEvent) -> Result<(), Failure> {
        self.tally.count(event);
        if self.style == Style::Silent {
            return Ok(());
        }
        if let Some(bar) = &self.bar {
            bar.set_length(self.tally.total);
            bar.set_position(self.tally.over);
        }
        if self.is_worth_a_line(event)
            && let Some(text) = describe(event, &mut self.names)
        {
            // `2026-01-31T12:00:00.000Z`: people want the time of day.
            let clock = event.at.get(11..19).unwrap_or(&event.at);
            self.line(&format!("{clock} {text}"));
        }
        Ok(())
    }

    fn is_worth_a_line(&mut self, event: &RunEvent) -> bool {
        let child = event.task.as_deref().is_some_and(is_child);
        match event.kind.as_str() {
            "attempt_ended" => {
                self.failures += 1;
                if self.failures == FAILURE_LINES_MAX + 1 {
                    self.line("         more attempts fail; `ark-os logs` shows all of them");
                }
                self.failures <= FAILURE_LINES_MAX
            }
            "attempt_started" | "task_succeeded" => !child,
            "run_accepted" | "run_started" | "run_ended" => false,
            _ => true,
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.output.note(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.curtain().fall();
    }
}

/// Takes a bar away.
pub(crate) struct Curtain(Option<ProgressBar>);

impl Curtain {
    /// Nothing is drawn any more.
    pub(crate) fn fall(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = "{spinner} [{bar:32}] {pos}/{len} tasks, {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(TICK_MS));
    bar
}
