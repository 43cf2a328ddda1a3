//! Server-sent events, read line by line.

use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// Bytes of one line: an event carries payloads up to 16 KiB each, and lists of tasks.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// An open stream of a run's events.
pub(crate) struct EventStream {
    lines: BufReader<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

/// What the commands read of an event; the rest is passed on as it is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RunEvent {
    /// Its place in the history.
    pub(crate) id: String,
    /// When it was decided, RFC 3339.
    pub(crate) at: String,
    /// What happened.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The task that it is about.
    pub(crate) task: Option<String>,
    /// The tasks that it is about.
    #[serde(default)]
    pub(crate) tasks: Vec<String>,
    /// Of an expanded map: its children.
    #[serde(default)]
    pub(crate) count: u64,
    /// The whole of it as it came.
    #[serde(skip)]
    pub(crate) text: String,
}

impl RunEvent {
    /// All fields; empty where a number of a payload has no form here.
    pub(crate) fn fields(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) enum StreamEvent {
    /// Something that happened.
    Event(Box<RunEvent>),
    /// A word of the server's own that is no event of the run.
    Other,
}

impl EventStream {
    pub(crate) fn new(source: impl Read + Send + 'static) -> Self {
        EventStream { lines: BufReader::new(Box::new(source)) }
    }

    /// The next event; none: the stream has ended.
    pub(crate) fn next(&mut self) -> Result<Option<StreamEvent>, Failure> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if line.is_empty() {
                if let Some(event) = finished(&mut name, &mut data)? {
                    return Ok(Some(event));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "data" => {
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(value);
                }
                // A comment keeps the connection open; the id stands in the event too.
                _ => {}
            }
        }
    }

    fn line(&mut self) -> Result<Option<String>, Failure> {
        let broken = |why: String| {
            Failure::new("instance_unreachable", format!("the stream of events broke off: {why}"))
        };
        let mut bytes = Vec::new();
        let mut source = (&mut self.lines).take(LINE_BYTES_MAX);
        source.read_until(b'\n', &mut bytes).map_err(|error| broken(error.to_string()))?;
        if bytes.last() != Some(&b'\n') {
            if bytes.len() as u64 == LINE_BYTES_MAX {
                return Err(broken(format!("a line has more than {LINE_BYTES_MAX} bytes")));
            }
            return Ok(None);
        }
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        String::from_utf8(bytes).map(Some).map_err(|_| broken("it is not UTF-8".to_owned()))
    }
}

fn finished(name: &mut String, data: &mut String) -> Result<Option<StreamEvent>, Failure> {
    let (name, data) = (std::mem::take(name), std::mem::take(data));
    if data.is_empty() {
        return Ok(None);
    }
    match serde_json::from_str::<RunEvent>(&data) {
        Ok(event) => Ok(Some(StreamEvent::Event(Box::new(RunEvent { text: data, ..event })))),
        Err(_) if !name.is_empty() => Ok(Some(StreamEvent::Other)),
        Err(error) => Err(Failure::new("internal", format!("cannot understand an event: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_one_by_one() {
        let event = |id: &str| {
            format!(
                "id: {id}\nevent: task_ready\ndata: {{\"id\":\"{id}\",\"seq\":1,\"cause\":0,\"at\":\
                 \"2026-01-31T12:00:00.000Z\",\"run\":\"run_x\",\"type\":\"task_ready\",\
                 \"task\":\"t\"}}\n\n"
            )
        };
        let text =
            format!(":hello\n\n{}{}event: bye\ndata: {{}}\n\nda", event("1.0"), event("1.1"));
        let mut stream = EventStream::new(std::io::Cursor::new(text));
        let mut seen = Vec::new();
        while let Some(event) = stream.next().unwrap() {
            seen.push(match event {
                StreamEvent::Event(event) => format!("{} {}", event.id, event.fields()["task"]),
                StreamEvent::Other => "other".to_owned(),
            });
        }
        assert_eq!(seen, ["1.0 \"t\"", "1.1 \"t\"", "other"]);
    }
}
