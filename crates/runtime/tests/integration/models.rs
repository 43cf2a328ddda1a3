//! Models of the state that threads share: the runtime's own files, compiled over loom's
//! primitives, which tries every order of their steps.
//!
//! The files name their primitives `crate::sync`, which is this crate's here: no flag, no feature
//! and no second build. What readers of the journal share with its writer is one lock around plain
//! data, each change of which is one critical section; there is no order in it to try.

use loom::sync::Arc;
use loom::thread;

#[path = "../../src/messages/bell.rs"]
#[expect(dead_code, reason = "loom knows no time, so no thread waits for a while")]
mod bell;
#[path = "../../src/reply/gathering.rs"]
mod gathering;
#[path = "../../src/workers/line.rs"]
mod line;
#[path = "../../src/messages/mailbox.rs"]
#[expect(dead_code, unreachable_pub, reason = "only what threads share is tried")]
mod mailbox;
#[path = "../../src/messages/shard.rs"]
#[expect(dead_code, unreachable_pub, reason = "only what threads share is tried")]
mod shard;
#[path = "../../src/workers/stop.rs"]
mod stop;

use ark_os_core::priority::Priority;
use ark_os_core::time::Time;
use bell::Bell;
use gathering::Gathering;
use line::Line;
use mailbox::{MailboxRule, Overflow, Put, Slip};
use shard::{Shard, Wait};
use stop::{Caught, Stop};

/// Switches from one thread to another where it need not, in the larger models: more take long.
const PREEMPTIONS_MAX: usize = 3;

#[test]
fn every_piece_of_work_is_taken_once_and_every_thread_goes_home() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(|| {
        let line = Arc::new(Line::new());
        let hands: Vec<_> = (0..2)
            .map(|_| {
                let line = line.clone();
                thread::spawn(move || {
                    let mut taken = Vec::new();
                    while let Some(work) = line.next() {
                        taken.push(work);
                        if work == 2 {
                            line.close();
                        }
                    }
                    taken
                })
            })
            .collect();
        line.push(1);
        line.push(2);
        let mut taken: Vec<i32> = hands.into_iter().flat_map(|hand| hand.join().unwrap()).collect();
        taken.sort_unstable();
        // First come, first served; closed with the last, so nothing is left.
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn a_closed_line_holds_nobody() {
    loom::model(|| {
        let line = Arc::new(Line::<()>::new());
        let hand = thread::spawn({
            let line = line.clone();
            move || line.next().is_none()
        });
        line.close();
        assert!(hand.join().unwrap());
        assert!(line.next().is_none());
    });
}

#[test]
fn the_loop_and_the_thread_agree_on_who_was_first() {
    loom::model(|| {
        let stop = Arc::new(Stop::default());
        let hand = thread::spawn({
            let stop = stop.clone();
            move || {
                if !stop.begin() {
                    return (false, false);
                }
                let saw_stop = stop.is_asked();
                stop.end();
                (true, saw_stop)
            }
        });
        let caught = stop.ask();
        let (began, saw_stop) = hand.join().unwrap();
        match caught {
            Caught::InLine => assert!(!began, "a thread works on what the loop has forgotten"),
            Caught::AtWork => assert!(began),
            Caught::Done => assert!(began && !saw_stop, "it was late and passes for in time"),
        }
        assert!(stop.is_asked());
    });
}

#[test]
fn a_thread_that_is_replaced_goes_and_one_that_is_not_stays() {
    loom::model(|| {
        let stop = Arc::new(Stop::default());
        assert!(stop.begin() && stop.is_begun());
        let hand = thread::spawn({
            let stop = stop.clone();
            move || stop.end()
        });
        stop.ask();
        let hires = stop.replace();
        let leaves = hand.join().unwrap();
        assert_eq!(hires, leaves, "there is a thread too many, or too few");
    });
}

#[test]
fn nothing_put_down_is_lost_and_who_fetches_never_sleeps_on_it() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(|| {
        let gathering = Arc::new(Gathering::default());
        let puts = thread::spawn({
            let gathering = gathering.clone();
            move || {
                gathering.put(1);
                gathering.put(2);
                gathering.wake();
                gathering.put(3);
                gathering.wake();
            }
        });
        let mut fetched = Vec::new();
        while fetched.len() < 3 {
            fetched.extend(loom::future::block_on(gathering.fetch()));
        }
        assert_eq!(fetched, [1, 2, 3]);
        puts.join().unwrap();
    });
}

#[test]
fn a_message_is_taken_once_and_nobody_sleeps_on_it() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(|| {
        let rule = MailboxRule { messages_max: 4, bytes_max: 4, overflow: Overflow::PushBack };
        let slip = Slip { priority: Priority::Normal, expires: Time(9), bytes: 1 };
        let shard = Arc::new(Shard::default());
        let takes = |shard: Arc<Shard<u32>>| {
            let mut taken = Vec::new();
            while taken.is_empty() {
                let bell = std::sync::Arc::new(Bell::default());
                match shard.wait(7, &bell, 0, Time(0)) {
                    Wait::Listed => loom::future::block_on(bell.heard()),
                    found => assert_eq!(found, Wait::Ready),
                }
                shard.leave(7, &bell);
                shard.take(7, 1, Time(0), &mut taken);
            }
            taken
        };
        let hands: Vec<_> = (0..2)
            .map(|_| {
                let shard = shard.clone();
                thread::spawn(move || takes(shard))
            })
            .collect();
        for item in 0..2 {
            assert_eq!(shard.put(7, slip, item, &rule, Time(0)), Put::In);
        }
        let mut taken: Vec<u32> = hands.into_iter().flat_map(|hand| hand.join().unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
        let (tally, waiting, mailboxes) = shard.sweep(Time(0));
        assert_eq!((tally.taken, waiting, mailboxes), (2, 0, 0));
    });
}
