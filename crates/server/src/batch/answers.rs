//! Answers as JSON, written straight into the buffer: a hundred thousand times a second.

use std::io::Write;

use ark_os_api::{Json, Problem};
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_runtime::{Handle, Outcome};

use super::window::{Answered, Slot};
use crate::problems::problem;
use crate::show::{OUTPUT_SHOWN_BYTES_MAX, load};
use crate::words;

/// Writes a line's answer. Writing into memory cannot fail.
pub(super) async fn write(out: &mut Vec<u8>, slot: &Slot, handle: &Handle) {
    let _ = write!(out, "{{\"line\":{}", slot.line);
    if let Some(key) = &slot.key {
        out.extend_from_slice(b",\"key\":");
        json(out, key);
    }
    match &slot.answered {
        Some(Answered::Accepted { run, existing }) => {
            out.extend_from_slice(b",\"status\":202,");
            write_ids(out, *run);
            let _ = write!(out, ",\"existing\":{existing},\"state\":\"accepted\"");
        }
        Some(Answered::Over(outcome)) => {
            let before = out.len();
            out.extend_from_slice(b",\"status\":200,");
            write_ids(out, outcome.run);
            if let Err(problem) = write_outcome(out, outcome, handle).await {
                out.truncate(before);
                refuse(out, &problem);
            }
        }
        Some(Answered::Refused(problem)) => refuse(out, problem),
        // A slot leaves the window only when it is answered.
        None => {}
    }
    out.extend_from_slice(b"}\n");
}

fn refuse(out: &mut Vec<u8>, problem: &Problem) {
    let _ = write!(out, ",\"status\":{},\"problem\":", problem.status);
    json(out, problem);
}

/// Writes the answer to a single task: accepted, or over as well.
pub(crate) async fn write_status(
    out: &mut Vec<u8>,
    (run, existing): (RunId, bool),
    outcome: Option<&Outcome>,
    handle: &Handle,
) -> Result<(), Problem> {
    out.push(b'{');
    write_ids(out, run);
    let _ = write!(out, ",\"existing\":{existing}");
    match outcome {
        Some(outcome) => write_outcome(out, outcome, handle).await?,
        None => out.extend_from_slice(b",\"state\":\"accepted\""),
    }
    out.push(b'}');
    Ok(())
}

/// A single task's id is its run's with its only node.
fn write_ids(out: &mut Vec<u8>, run: RunId) {
    out.extend_from_slice(b"\"run\":\"");
    let start = out.len();
    let _ = write!(out, "{run}");
    let end = out.len();
    out.extend_from_slice(b"\",\"task\":\"task_");
    out.extend_from_within(start + "run_".len()..end);
    out.extend_from_slice(b"_0\"");
}

async fn write_outcome(
    out: &mut Vec<u8>,
    outcome: &Outcome,
    handle: &Handle,
) -> Result<(), Problem> {
    let _ = write!(out, ",\"state\":\"{}\"", words::run_state(outcome.state));
    match &outcome.output {
        None => {}
        Some(Payload::Inline(bytes)) => write_output(out, &bytes.0),
        Some(Payload::Blob { hash, len }) if *len > OUTPUT_SHOWN_BYTES_MAX => {
            out.extend_from_slice(b",\"output_blob\":");
            json(out, &words::blob(*hash, *len));
        }
        Some(payload) => {
            let bytes = load(handle, payload.clone()).await.map_err(|error| problem(&error))?;
            write_output(out, &bytes);
        }
    }
    if let Some(failure) = &outcome.failure {
        out.extend_from_slice(b",\"failure\":");
        json(out, failure);
    }
    Ok(())
}

/// JSON text goes out as it is, unless it would break the line.
fn write_output(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(b",\"output\":");
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return out.extend_from_slice(text);
    }
    // Between the tokens of JSON only: inside its strings there are no line breaks.
    out.extend(text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
}

/// Plain data always has a JSON form.
fn json(out: &mut Vec<u8>, it: &(impl serde::Serialize + ?Sized)) {
    let text: Json = serde_json::value::to_raw_value(it).unwrap_or_default();
    out.extend_from_slice(text.get().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_single_task_are_those_of_the_core() {
        let mut out = Vec::new();
        let run = RunId(0x0192_3456_789a_7bcd_8ef0_1234_5678_9abc);
        write_ids(&mut out, run);
        let task = ark_os_core::ids::TaskId { run, task: ark_os_core::ids::TaskRef::node(0) };
        assert_eq!(out, format!("\"run\":\"{run}\",\"task\":\"{task}\"").into_bytes());
    }

    #[test]
    fn an_output_never_breaks_the_line() {
        let mut out = Vec::new();
        write_output(&mut out, b"{\n\"a\": \"\\n\"\r\n}");
        assert_eq!(out, b",\"output\":{ \"a\": \"\\n\"  }");
    }
}
