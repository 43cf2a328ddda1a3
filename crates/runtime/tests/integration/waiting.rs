//! Who waits for a run and has gone is not kept until the run is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ark_os_core::Command;
use ark_os_core::ids::RunId;
use ark_os_runtime::kernel::{Answer, Input, Loop, Output, Recipient, Released};

use crate::bare_loop::{NOW, start, submission};

const RUN: RunId = RunId(1);

/// Waits until it has gone; the number of clones is how many the loop keeps.
#[derive(Clone, Default)]
struct Caller(Arc<AtomicBool>);

impl Recipient for Caller {
    fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn step(lp: &mut Loop<Caller>, input: Input<Caller>) -> Vec<Answer> {
    let mut out = Output::default();
    lp.step(NOW, [input], &mut out);
    let through = lp.kernel().newest();
    lp.step(NOW, [Input::Synced { through }], &mut out);
    let answers = out.released.into_iter().filter_map(|released| match released {
        Released::Answer(_, answer) => Some(answer),
        _ => None,
    });
    answers.collect()
}

fn command(lp: &mut Loop<Caller>, command: Command) -> Vec<Answer> {
    step(lp, Input::Command { command, cause: 0, reply: None })
}

/// A loop with a run under way.
fn started() -> Loop<Caller> {
    let mut lp = Loop::new(Default::default(), Arc::new(ark_os_core::rules::BuiltinRules), 0);
    command(&mut lp, start());
    step(&mut lp, Input::Submit { submission: submission(RUN), accepted: None, over: None });
    lp
}

#[test]
fn callers_whose_patience_ended_do_not_pile_up_and_those_who_wait_are_told() {
    const PATIENT: usize = 20;
    let mut lp = started();
    let (gone, patient) = (Caller::default(), Caller::default());
    gone.0.store(true, Ordering::Relaxed);
    for n in 0..10_000 {
        if n % (10_000 / PATIENT) == 0 {
            step(&mut lp, Input::Watch { run: RUN, over: patient.clone() });
        }
        step(&mut lp, Input::Watch { run: RUN, over: gone.clone() });
        assert!(Arc::strong_count(&gone.0) <= 2 * PATIENT + 10, "{n}");
    }
    assert_eq!(Arc::strong_count(&patient.0), PATIENT + 1, "nobody who waits is left out");
    let cancel = Command::CancelRun { run: RUN, reason: "test".into() };
    let told = command(&mut lp, cancel);
    let told = told.iter().filter(|answer| matches!(answer, Answer::Over(_))).count();
    assert!(told >= PATIENT, "{told}");
    assert_eq!((Arc::strong_count(&gone.0), Arc::strong_count(&patient.0)), (1, 1));
}
