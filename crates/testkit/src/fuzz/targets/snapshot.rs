//! Snapshots of the state: refused, or a state that is written again as it is and goes on.

use ark_os_core::decide::decide;
use ark_os_core::rules::BuiltinRules;
use ark_os_core::time::Time;
use ark_os_core::{Command, State};

/// Commands that such a state has to stand.
const COMMANDS_MAX: usize = 100;

pub(super) fn read(bytes: &[u8]) {
    let Ok(state) = State::decode(bytes) else { return };
    let written = written(&state);
    let again = State::decode(&written);
    let same = again.as_ref().map(State::digest);
    assert_eq!(same, Ok(state.digest()), "written and read back as another state");
    go_on(state);
}

fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = state.encode(&mut bytes);
    assert!(written.is_ok(), "not written: {:?}", written.err());
    bytes
}

/// First as the state stands, then as if its process had died.
fn go_on(mut state: State) {
    follow(&mut state);
    if let Some(instance) = state.instance().cloned() {
        obey(&mut state, Command::StartInstance(Box::new(instance)));
        follow(&mut state);
    }
}

/// What follows by itself, with every timer due.
fn follow(state: &mut State) {
    for _ in 0..COMMANDS_MAX {
        if let Some(run) = state.interrupted() {
            obey(state, Command::RecoverRun { run });
        }
        let fired = obey(state, Command::FireTimer);
        let started = obey(state, Command::Dispatch);
        if !fired && !started {
            return;
        }
    }
}

/// Whether anything came of it.
fn obey(state: &mut State, command: Command) -> bool {
    let late = state.timers().first().map_or(Time(0), |(due, _)| due);
    let Ok(change) = decide(state, &BuiltinRules, command, late) else { return false };
    if change.events.is_empty() {
        return false;
    }
    state.apply(&change, &mut Vec::new());
    true
}
