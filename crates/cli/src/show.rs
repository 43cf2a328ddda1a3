//! How things look for people.

use ark_os_api::{AttentionView, FailureView, Origin, RunView};
use serde_json::Value;

use crate::output::{counted, outline};
use crate::terminal::{Terminal, Tone, one_line, tone_of};

/// Lines of an output that are shown; `--json` shows all.
const OUTPUT_LINES_MAX: usize = 60;
/// Causes of a failure that are shown.
const CAUSES_SHOWN_MAX: usize = 5;

/// A duration in milliseconds, short.
pub(crate) fn took(ms: u64) -> String {
    match ms {
        0 => "under 1ms".to_owned(),
        1..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// A run on a page.
pub(crate) fn run(terminal: &Terminal, run: &RunView) -> Vec<String> {
    let mut lines = vec![
        format!("{} {}", terminal.out(Tone::Strong, &run.id), state(terminal, &run.state)),
        format!("workflow: {} {}", one_line(&run.workflow), one_line(&run.version)),
        format!("accepted: {}", run.accepted),
    ];
    match &run.origin {
        Some(Origin::Schedule { name, time, .. }) => {
            lines.push(format!("schedule: {}, for {time}", one_line(name)));
        }
        Some(Origin::Fork { run, at, reused, reason }) => {
            let reason = one_line(reason);
            let reused = counted(reused, "task");
            lines.push(format!("forked from: {run} at {at}, {reused} reused: {reason}"));
        }
        None => {}
    }
    if let Some(start) = run.start_at {
        lines.push(format!("begins: {start}"));
    }
    if let Some(ended) = run.ended {
        let ms = ended.0.saturating_sub(run.accepted.0);
        lines.push(format!("ended: {ended}, after {}", took(ms)));
    }
    if let Some(deadline) = run.deadline {
        lines.push(format!("deadline: {deadline}"));
    }
    lines.push(format!("priority: {}", run.priority));
    if let Some(parent) = &run.parent {
        lines.push(format!("parent: {parent}"));
    }
    if let Some(layer) = &run.waits_for {
        lines.push(format!("waits for: layer {layer}"));
    }
    if !run.signals.is_empty() {
        lines.push(format!("waits for: signal {}", one_line(&run.signals.join(", signal "))));
    }
    lines.extend(run.limits.iter().map(|limit| format!("waits for: {}", one_line(limit))));
    for it in &run.parked {
        lines.push(format!("parked: {}", one_line(&it.text)));
        lines.extend(remedy(it).map(|command| format!("  {command}")));
    }
    lines.push(format!("tasks: {}", counts(run)));
    lines.extend(output(run));
    lines.extend(failure(terminal, run));
    lines
}

/// The command that lets a parked task go on.
fn remedy(it: &AttentionView) -> Option<String> {
    match (&it.step, &it.task) {
        (Some(step), _) => Some(resolve(step)),
        (None, task) => task.as_ref().map(|task| format!("ark-os unpark {task} --reason WHY")),
    }
}

/// The command that ends a doubt, about a step by its key or about the only one of a task.
pub(crate) fn resolve(of: &str) -> String {
    format!("ark-os resolve {of} --happened JSON|--not-happened|--give-up --reason WHY")
}

/// What came of a run, at the end of following it.
pub(crate) fn outcome(terminal: &Terminal, run: &RunView) -> Vec<String> {
    let ms = run.ended.map(|ended| ended.0.saturating_sub(run.accepted.0));
    let after = ms.map(|ms| format!(" in {}", took(ms))).unwrap_or_default();
    let mut lines = vec![format!("{}{after}: {}", state(terminal, &run.state), counts(run))];
    lines.extend(output(run));
    lines.extend(failure(terminal, run));
    lines
}

fn state(terminal: &Terminal, state: &str) -> String {
    terminal.out(tone_of(state), state)
}

fn counts(run: &RunView) -> String {
    let tasks = &run.tasks;
    let states = [
        ("succeeded", tasks.succeeded),
        ("failed", tasks.failed),
        ("skipped", tasks.skipped),
        ("cancelled", tasks.cancelled),
        ("parked", tasks.parked),
        ("running", tasks.running),
        ("ready", tasks.ready),
        ("preparing", tasks.preparing),
        ("waiting", tasks.waiting),
        ("pending", tasks.pending),
    ];
    let there = states.iter().filter(|(_, count)| *count > 0);
    let words: Vec<_> = there.map(|(name, count)| format!("{count} {name}")).collect();
    format!("{} ({})", counted(tasks.total, "task"), words.join(", "))
}

fn output(run: &RunView) -> Vec<String> {
    if let Some(blob) = &run.output_blob {
        let how = format!("ark-os get run {} --output", run.id);
        return vec![format!("output: {} bytes; `{how}` prints it", blob.bytes)];
    }
    let Some(json) = &run.output else { return Vec::new() };
    match serde_json::from_str::<Value>(json.get()) {
        Ok(Value::Null) => Vec::new(),
        Ok(value @ (Value::Object(_) | Value::Array(_))) => outline(&value, OUTPUT_LINES_MAX),
        _ => vec![format!("output: {}", one_line(json.get()))],
    }
}

fn failure(terminal: &Terminal, run: &RunView) -> Vec<String> {
    let Some(failure) = &run.failure else { return Vec::new() };
    let words = |failure: &FailureView| {
        format!("{}: {}", one_line(&failure.code), one_line(&failure.message))
    };
    let mut lines = vec![format!("{} {}", terminal.out(Tone::Bad, "failure:"), words(failure))];
    let causes = failure.causes.iter().take(CAUSES_SHOWN_MAX);
    lines.extend(causes.map(|cause| format!("  cause: {}", words(cause))));
    if failure.causes.len() > CAUSES_SHOWN_MAX {
        lines.push(format!("  and {} more causes", failure.causes.len() - CAUSES_SHOWN_MAX));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let texts = [0, 7, 1_250, 61_000].map(took);
        assert_eq!(texts, ["under 1ms", "7ms", "1.2s", "1m01s"]);
    }
}
