//! The loop: keys, answers and time go into the model, requests come out, the screen is painted.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use ark_os_api::{Exit, Overview};
use ark_os_runtime::clock::instant;
use ratatui::crossterm::event::{Event, read};
use tokio::signal::unix::{SignalKind, signal};

use super::Wanted;
use super::fetch::{self, Asked};
use super::keys::key_of;
use super::model::{Answer, Input, Look, Model, Request};
use super::screen::Screen;
use crate::failure::Failure;
use crate::session::Session;
use crate::{threads, tokio_tasks};

/// Inputs that wait for the loop: more keys than anybody types ahead.
const INPUTS_MAX: usize = 256;
/// Between two looks at the time, so that what counts seconds goes on.
const TICK: Duration = Duration::from_millis(250);

/// Tells the loop to end when whoever feeds it is gone.
pub(super) struct Ends(pub(super) SyncSender<Input>);

impl Drop for Ends {
    fn drop(&mut self) {
        // A full queue is that of a loop that is gone, or the next input tells it.
        let _ = self.0.try_send(Input::Ended);
    }
}

/// Shows the instance until somebody leaves.
///
/// # Errors
/// There is no terminal, or no such instance to begin with.
pub(crate) fn watch(session: &Session, wanted: &Wanted) -> Result<Exit, Failure> {
    let mut asked = Asked::new(session, &wanted.namespace);
    // Before the screen is taken: who is refused at the door is told so in words.
    let client = asked.client()?;
    let overview: Overview = client.get(&asked.overview_path())?;
    let terminal = session.output.terminal();
    let look = Look { colour: terminal.has_colour_out(), utf8: terminal.is_utf8() };
    let endpoint = client.address().endpoint.clone();
    let model = Model::new(look, endpoint.clone(), wanted.namespace.clone());
    let mut model = model.every(wanted.interval_ms);
    let (inputs, coming) = sync_channel(INPUTS_MAX);
    let requests = fetch::start(asked, inputs.clone())?;
    listen_for_signals(inputs.clone())?;
    let mut screen = Screen::open()?;
    let (columns, rows) = screen.size()?;
    model.update(Input::Resized(columns, rows));
    let first = Answer::Overview { endpoint, overview: Box::new(overview) };
    model.update(Input::Answered(first));
    read_keys(inputs)?;
    let done = turn(&mut model, &mut screen, &coming, &requests);
    drop(screen);
    done.map(|()| Exit::Done)
}

fn turn(
    model: &mut Model,
    screen: &mut Screen,
    coming: &Receiver<Input>,
    requests: &SyncSender<Request>,
) -> Result<(), Failure> {
    let begun = instant();
    let now =
        || Input::Tick { now_ms: instant().saturating_duration_since(begun).as_millis() as u64 };
    let mut due = begun;
    loop {
        take(model, now(), requests)?;
        screen.paint(model)?;
        match coming.recv_timeout(left(due)) {
            Ok(input) => take(model, input, requests)?,
            Err(RecvTimeoutError::Timeout) => due = instant() + TICK,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        // What came meanwhile is painted once.
        while let Ok(input) = coming.try_recv() {
            take(model, input, requests)?;
        }
        if model.is_over {
            return Ok(());
        }
    }
}

fn left(due: Instant) -> Duration {
    due.saturating_duration_since(instant())
}

fn take(model: &mut Model, input: Input, requests: &SyncSender<Request>) -> Result<(), Failure> {
    for request in model.update(input) {
        match requests.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request)) => {
                let message = "the instance is slow: too much was asked of it at a time".to_owned();
                model.update(Input::Answered(Answer::Refused { request, message }));
            }
            Err(TrySendError::Disconnected(_)) => {
                return Err(Failure::new("internal", "nobody asks the instance any more"));
            }
        }
    }
    Ok(())
}

/// Keys and sizes of the terminal, until it is gone.
fn read_keys(inputs: SyncSender<Input>) -> Result<(), Failure> {
    threads::spawn("ark-keys", move || {
        let ends = Ends(inputs);
        while let Ok(event) = read() {
            let input = match event {
                Event::Key(key) => key_of(key).map(Input::Key),
                Event::Resize(columns, rows) => Some(Input::Resized(columns, rows)),
                _ => None,
            };
            if input.is_some_and(|input| ends.0.send(input).is_err()) {
                return;
            }
        }
    })?;
    Ok(())
}

/// Whoever ends the process by a signal gets the terminal back as it was. Returns when it listens.
fn listen_for_signals(inputs: SyncSender<Input>) -> Result<(), Failure> {
    let (ready, is_ready) = sync_channel(1);
    threads::spawn("ark-signals", move || {
        let ends = Ends(inputs);
        let listening = tokio_tasks::run(async move {
            let listen = |kind| {
                signal(kind).map_err(|error| {
                    Failure::new("internal", format!("cannot listen for signals: {error}"))
                })
            };
            let mut terminate = listen(SignalKind::terminate())?;
            let mut interrupt = listen(SignalKind::interrupt())?;
            let mut hangup = listen(SignalKind::hangup())?;
            // Whoever waits for it is there.
            let _ = ready.send(());
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            Ok(())
        });
        drop(ends);
        listening
    })?;
    is_ready.recv().map_err(|_| Failure::new("internal", "cannot listen for signals"))
}
