//! `POST /tasks/batch`: NDJSON in, NDJSON out, streaming, answers in the order of the lines.
//!
//! A task of its own reads lines, hands them over many at a time, and puts the answers into an
//! outbox that the connection empties. The window bounds what is unanswered, the outbox what the
//! caller has not fetched; a caller that sends everything before it reads works as long as its
//! answers fit into the outbox.

mod answers;
mod outbox;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_api::Problem;
use ark_os_runtime::clock::instant;
use ark_os_runtime::{Lines, RunRequest, RuntimeError};
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::context::Context;
use crate::json;
use crate::line::Line;
use crate::problems::{Refusal, problem};
use crate::tasks;

pub(crate) use answers::write_status;
use outbox::Outbox;
use window::{Answered, Slot, Window};

/// Lines of one connection that may be unanswered: at 100 000 a second 40 ms of work, more than a
/// commit takes.
const WINDOW_LINES_MAX: usize = 4_096;
/// Lines handed over in one call.
const SUBMIT_LINES_MAX: usize = 256;
/// Lines of one batch.
const BATCH_LINES_MAX: u32 = 10_000_000;
/// How long lines wait for room in the loop before they are answered with 429.
const OVERLOAD_PATIENCE: Duration = Duration::from_secs(2);
/// How often they try meanwhile.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(5);
/// Bytes of answers that are collected before they go to the outbox.
const FLUSH_BYTES: usize = 64 << 10;

/// Starts a batch; the answer's body is its outbox.
pub(crate) fn start(context: &Context, body: Body, wait: Option<Duration>) -> Body {
    let outbox = Arc::new(Outbox::default());
    let batch = Batch {
        context: context.clone(),
        body,
        is_over: false,
        text: BytesMut::new(),
        searched: 0,
        skipping: false,
        line: 0,
        window: Window::default(),
        lines: Arc::new(Lines::default()),
        wait,
        refused_since: None,
        out: Vec::with_capacity(FLUSH_BYTES),
        outbox: outbox.clone(),
    };
    tasks::spawn(batch.run());
    Body::from_stream(outbox::stream(outbox))
}

struct Batch {
    context: Context,
    body: Body,
    /// Nothing more comes in.
    is_over: bool,
    /// What came in and is not taken yet.
    text: BytesMut,
    /// So many bytes of it have no newline.
    searched: usize,
    /// Inside a line that is too long.
    skipping: bool,
    /// Number of the newest line.
    line: u32,
    window: Window,
    lines: Arc<Lines>,
    wait: Option<Duration>,
    /// Since when the loop has had no room.
    refused_since: Option<Instant>,
    out: Vec<u8>,
    outbox: Arc<Outbox>,
}

/// What a batch waits for.
enum Next {
    Body(Option<Bytes>),
    Answers(Vec<(u32, Result<ark_os_runtime::kernel::Answer, RuntimeError>)>),
    Stopped,
    /// Some time has passed, or the outbox has room again.
    Again,
}

impl Batch {
    async fn run(mut self) {
        loop {
            self.take_lines();
            self.write_answers().await;
            let is_done = self.is_over && self.text.is_empty() && self.window.is_empty();
            if is_done || self.outbox.is_abandoned() {
                break;
            }
            match self.next().await {
                Next::Body(Some(data)) => self.text.extend_from_slice(&data),
                Next::Body(None) => self.is_over = true,
                Next::Answers(answers) => self.place(answers),
                Next::Stopped => self.window.answer_all(|| problem(&RuntimeError::closed())),
                Next::Again => {}
            }
            self.expire();
        }
        self.outbox.finish(&mut self.out);
    }

    /// Waits for whatever comes first.
    async fn next(&mut self) -> Next {
        let has_space = self.outbox.has_space();
        let reads = !self.is_over
            && has_space
            && self.refused_since.is_none()
            && self.window.len() < WINDOW_LINES_MAX;
        let pause = match (self.refused_since, self.window.oldest(), self.wait) {
            (Some(_), ..) => OVERLOAD_PAUSE,
            (None, Some(since), Some(wait)) => {
                wait.saturating_sub(instant().saturating_duration_since(since))
            }
            _ => Duration::MAX,
        };
        let waits = self.window.unanswered() > 0;
        let (body, lines, outbox) = (&mut self.body, &self.lines, &self.outbox);
        let handle = self.context.handle();
        let first = async {
            tokio::select! {
                biased;
                answers = lines.fetch(), if waits => Next::Answers(answers),
                frame = body.frame(), if reads => match frame {
                    Some(Ok(frame)) => Next::Body(Some(frame.into_data().unwrap_or_default())),
                    // A connection that broke: what was accepted goes on.
                    Some(Err(_)) | None => Next::Body(None),
                },
                () = outbox.changed(), if !has_space || !reads => Next::Again,
                _ = handle.stopped(), if waits => Next::Stopped,
            }
        };
        if pause == Duration::MAX {
            return first.await;
        }
        tokio::time::timeout(pause, first).await.unwrap_or(Next::Again)
    }

    fn place(&mut self, answers: Vec<(u32, Result<ark_os_runtime::kernel::Answer, RuntimeError>)>) {
        use ark_os_runtime::kernel::Answer;
        self.context.counters().lines(answers.len() as u64);
        for (number, answer) in answers {
            let answered = match answer {
                Ok(Answer::Accepted { run, existing }) => Answered::Accepted { run, existing },
                Ok(answer) => match self.context.handle().outcome(answer) {
                    Ok(outcome) => Answered::Over(Box::new(outcome)),
                    Err(error) => Answered::Refused(Box::new(problem(&error))),
                },
                Err(error) => Answered::Refused(Box::new(problem(&error))),
            };
            self.window.answer(number, answered);
        }
    }

    /// Lines that were not over in the time that the caller gives them.
    fn expire(&mut self) {
        let Some(wait) = self.wait else { return };
        let now = instant();
        self.window.expire(
            |since| now.saturating_duration_since(since) >= wait,
            || {
                Problem::new("wait_exceeded", "the run was not over in time; it goes on")
                    .with_hint("send the line again with the same key, or wait longer")
            },
        );
    }

    /// Takes whole lines as long as the window has room.
    fn take_lines(&mut self) {
        while self.window.len() < WINDOW_LINES_MAX && self.outbox.has_space() {
            let room = (WINDOW_LINES_MAX - self.window.len()).min(SUBMIT_LINES_MAX);
            let taken = self.parse_lines(room);
            if taken.bytes == 0 || !self.submit(taken) {
                return;
            }
        }
    }

    /// Parses up to `room` lines without consuming them.
    fn parse_lines(&mut self, room: usize) -> Taken {
        let limit = self.context.settings().max_body_bytes;
        let mut taken = Taken { now: instant(), ..Taken::new(self.line, self.skipping) };
        while taken.slots.len() < room {
            let rest = self.text.get(taken.bytes..).unwrap_or_default();
            let from = if taken.bytes == 0 { self.searched.min(rest.len()) } else { 0 };
            let end = memchr::memchr(b'\n', rest.get(from..).unwrap_or_default());
            let (line, length) = match end.map(|end| end + from) {
                Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
                None if rest.is_empty() => break,
                None if self.is_over => (rest, rest.len()),
                None if rest.len() > limit => (rest, rest.len()),
                None => {
                    if taken.bytes == 0 {
                        self.searched = rest.len();
                    }
                    break;
                }
            };
            let is_whole = end.is_some() || self.is_over;
            taken.take(
                line,
                is_whole,
                &self.context,
                self.window.next() + taken.slots.len() as u32,
            );
            taken.bytes += length;
        }
        taken
    }

    /// Hands lines over and consumes them; not if there is no room for them now.
    fn submit(&mut self, taken: Taken) -> bool {
        let Taken { requests, mut slots, bytes, line, skipping, now } = taken;
        let numbers: Vec<u32> = requests.iter().map(|(number, _)| *number).collect();
        let handed = self.context.handle().submit_lines(requests, &self.lines, self.wait.is_some());
        if let Err(error) = handed {
            let since = *self.refused_since.get_or_insert(now);
            let is_patient = now.saturating_duration_since(since) < OVERLOAD_PATIENCE;
            if error.code() == "overloaded" && (is_patient || self.window.unanswered() > 0) {
                return false;
            }
            let first = self.window.next();
            for number in numbers {
                if let Some(slot) = slots.get_mut((number - first) as usize) {
                    slot.answered = Some(Answered::Refused(Box::new(problem(&error))));
                }
            }
        }
        self.refused_since = None;
        self.window.extend(slots);
        self.text.advance(bytes);
        (self.line, self.skipping, self.searched) = (line, skipping, 0);
        true
    }

    async fn write_answers(&mut self) {
        while let Some(slot) = self.window.pop() {
            answers::write(&mut self.out, &slot, self.context.handle()).await;
            if self.out.len() >= FLUSH_BYTES {
                self.outbox.put(&mut self.out);
            }
        }
        self.outbox.put(&mut self.out);
    }
}

/// Lines on their way from the text to the window.
struct Taken {
    requests: Vec<(u32, RunRequest)>,
    slots: Vec<Slot>,
    bytes: usize,
    line: u32,
    skipping: bool,
    now: Instant,
}

impl Taken {
    fn new(line: u32, skipping: bool) -> Self {
        let now = instant();
        Taken { requests: Vec::new(), slots: Vec::new(), bytes: 0, line, skipping, now }
    }

    /// Takes a line, or the beginning of one that is too long.
    fn take(&mut self, text: &[u8], is_whole: bool, context: &Context, number: u32) {
        let limit = context.settings().max_body_bytes;
        if self.skipping {
            self.skipping = !is_whole;
            return;
        }
        self.line += 1;
        self.skipping = !is_whole;
        if text.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let mut slot = Slot { line: self.line, key: None, since: self.now, answered: None };
        let refused = if self.line > BATCH_LINES_MAX {
            let detail = format!("the batch has more than {BATCH_LINES_MAX} lines");
            Some(Refusal::new("too_many_lines", detail))
        } else if text.len() > limit {
            let detail = format!("the line has more than {limit} bytes");
            Some(Refusal::new("line_too_long", detail))
        } else {
            self.parse(text, context, number, &mut slot).err()
        };
        slot.answered = refused.map(|Refusal(problem)| Answered::Refused(problem));
        self.slots.push(slot);
    }

    fn parse(
        &mut self,
        text: &[u8],
        context: &Context,
        number: u32,
        slot: &mut Slot,
    ) -> Result<(), Refusal> {
        let line: Line<'_> = json::parse(text)?;
        slot.key = line.key.as_ref().map(|key| key.as_ref().into());
        self.requests.push((number, line.request(context.namespace())?));
        Ok(())
    }
}
