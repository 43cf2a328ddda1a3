//! What follows from a record at once becomes part of it, and reads back as what the loop has.

use std::sync::Arc;

use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt};
use ark_os_core::effect::Effect;
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::rules::BuiltinRules;
use ark_os_core::time::Time;
use ark_os_core::{Command, Event, State};
use ark_os_runtime::kernel::record::Appended;
use ark_os_runtime::kernel::{Input, Loop, Output};

use crate::bare_loop::{NOW, start, submission};

struct World {
    lp: Loop<()>,
    out: Output<()>,
    journal: Vec<Appended>,
}

impl World {
    /// The first run, which brings the admission of its workflow along, is over.
    fn new() -> Self {
        let lp = Loop::new(State::default(), Arc::new(BuiltinRules), 0);
        let mut world = World { lp, out: Output::default(), journal: Vec::new() };
        world.input(NOW, Input::Command { command: start(), cause: 0, reply: None });
        world
    }

    fn input(&mut self, now: Time, input: Input<()>) {
        self.lp.step(now, [input], &mut self.out);
    }

    /// The attempt that a submission begins, with the record of its start.
    fn submit(&mut self, run: u128) -> (u64, Effect) {
        let submission = submission(RunId(run));
        self.input(NOW, Input::Submit { submission, accepted: None, over: None });
        self.out.internal.pop().unwrap()
    }

    fn finish(&mut self, now: Time, cause: u64, begun: &Effect) {
        let Effect::RunAttempt { pt, agent, .. } = *begun else { panic!("{begun:?}") };
        let finish = FinishAttempt {
            pt,
            agent,
            outcome: AttemptOutcome::Succeeded { output: Payload::null(), blobs: Vec::new() },
            input: Hash::ZERO,
            spent: Amounts { calls: 1, ..Amounts::ZERO },
            micros: 1,
        };
        let command = Command::FinishAttempt(Box::new(finish));
        self.input(now, Input::Command { command, cause, reply: None });
    }

    /// The batch closes: how many events its records have.
    fn close(&mut self) -> Vec<usize> {
        let events = self.out.appended.iter().map(|it| it.change.events.len()).collect();
        self.journal.append(&mut self.out.appended);
        events
    }

    /// INVARIANT I8.
    fn check_replay(&mut self) {
        self.close();
        let mut state = State::default();
        for (seq, record) in (1..).zip(&self.journal) {
            assert_eq!(record.seq, seq);
            state.apply(&record.change, &mut Vec::new());
        }
        assert_eq!(state.digest(), self.lp.state().digest());
    }
}

#[test]
fn a_short_run_is_one_record_that_reads_back_as_what_the_loop_has() {
    let mut world = World::new();
    let (seq, first) = world.submit(1);
    world.finish(NOW, seq, &first);
    assert_eq!(world.close(), [1, 3, 2], "what lets a workflow in is in bundles of other runs");
    for run in 2..5 {
        let (seq, begun) = world.submit(run);
        world.finish(NOW, seq, &begun);
    }
    assert_eq!(world.close(), [4, 4, 4]);
    let last = &world.journal.last().unwrap().change.events;
    assert!(matches!(last[..], [Event::RunAccepted(_), .., Event::RunEnded(_)]), "{last:?}");
    world.check_replay();
}

#[test]
fn what_came_later_or_of_another_record_stands_alone() {
    let mut world = World::new();
    world.submit(1);
    world.close();
    let (seq, begun) = world.submit(2);
    world.finish(Time(NOW.0 + 1), seq, &begun);
    assert_eq!(world.close(), [2, 2], "another moment");
    let (seq, begun) = world.submit(3);
    world.close();
    world.finish(NOW, seq, &begun);
    assert_eq!(world.close(), [2], "the batch had closed");
    let (_, begun) = world.submit(4);
    world.finish(NOW, 1, &begun);
    assert_eq!(world.close(), [2, 2], "another record led to it");
    let (seq, begun) = world.submit(5);
    world.submit(6);
    world.finish(NOW, seq, &begun);
    assert_eq!(world.close(), [2, 2, 2], "another run came between");
    world.check_replay();
}
