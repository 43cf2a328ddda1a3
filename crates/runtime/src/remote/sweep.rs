//! Who is not heard of: looked for every moment on the loop's thread, told the core where it matters.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ark_os_core::Command;
use ark_os_core::decide::UNHEARD;
use ark_os_core::error::Failure;
use ark_os_core::event::Standing;
use ark_os_core::ids::PtId;
use ark_os_core::text::Text;

use super::desk::{Fate, Presence};
use super::{Remotes, Worker};
use crate::handle::Message;
use crate::kernel::Input;

/// Intervals of silence after which a worker gets no more work, and after which it is gone.
const SUSPECT_AFTER: u32 = 2;
const OFFLINE_AFTER: u32 = 3;
/// After so many, an hour where nobody says otherwise, it counts as one that has left: names of machines that
/// come and go are not kept for ever. One that is back registers again.
const FORGOTTEN_AFTER: u32 = 120;

impl Remotes {
    /// Looks for silence.
    pub(crate) fn sweep(&self, now: Instant) {
        for worker in self.all() {
            if worker.sweep(now) {
                self.let_go(&worker);
            }
        }
    }

    /// A request came from a worker: who was not heard of is back.
    pub(super) fn hear(&self, worker: &Arc<Worker>) {
        let mut desk = worker.desk();
        desk.seen = worker.now();
        if matches!(desk.presence, Presence::Suspect | Presence::Offline) {
            desk.presence = Presence::Ready;
            worker.mark(Standing::Ready, "the worker is heard of again");
        }
    }

    /// A worker claims: one that left work unclaimed gets work again.
    pub(super) fn readmit(&self, worker: &Arc<Worker>) {
        let mut desk = worker.desk();
        if desk.presence == Presence::Idle {
            desk.presence = Presence::Ready;
            worker.mark(Standing::Ready, "the worker claims again");
        }
    }
}

/// What is to be done about a worker.
enum Finding {
    Nothing,
    /// It is gone for good.
    Gone,
    /// It leaves work unclaimed.
    Idle(Vec<PtId>),
    Suspect(Vec<PtId>),
    Offline {
        queued: Vec<PtId>,
        in_hand: Vec<PtId>,
    },
}

impl Worker {
    /// Looks how long it has been silent; whether it has left for good.
    fn sweep(self: &Arc<Self>, now: Instant) -> bool {
        if self.dismissed.load(Ordering::Relaxed) && self.desk().under_way() == 0 {
            self.changed.notify_waiters();
            return true;
        }
        match self.look_for_silence(now) {
            Finding::Nothing => return false,
            Finding::Gone => return true,
            Finding::Idle(queued) => {
                self.give_back(queued, "the worker did not claim it");
            }
            Finding::Suspect(queued) => {
                self.give_back(queued, "the worker was not heard of");
            }
            Finding::Offline { queued, in_hand } => {
                self.give_back(queued, "the worker was not heard of");
                self.lose(in_hand, &Failure::retryable("worker_silent", UNHEARD));
            }
        }
        false
    }

    fn look_for_silence(&self, now: Instant) -> Finding {
        let terms = self.terms;
        let mut desk = self.desk();
        let silent = now.saturating_duration_since(desk.seen);
        let is_offline = silent >= terms.heartbeat * OFFLINE_AFTER;
        match desk.presence {
            Presence::Leaving if desk.under_way() == 0 && silent >= terms.lease => Finding::Gone,
            Presence::Leaving if !is_offline => Finding::Nothing,
            Presence::Offline if silent >= terms.heartbeat * FORGOTTEN_AFTER => Finding::Gone,
            Presence::Offline => Finding::Nothing,
            _ if is_offline => {
                if desk.presence != Presence::Leaving {
                    desk.presence = Presence::Offline;
                }
                self.mark(Standing::Offline, UNHEARD);
                let queued = desk.unclaimed(Duration::ZERO, now);
                let in_hand = desk.tokens().into_iter().filter(|pt| !queued.contains(pt)).collect();
                Finding::Offline { queued, in_hand }
            }
            Presence::Ready | Presence::Idle if silent >= terms.heartbeat * SUSPECT_AFTER => {
                desk.presence = Presence::Suspect;
                self.mark(Standing::Suspect, "the worker was not heard of for two intervals");
                Finding::Suspect(desk.unclaimed(Duration::ZERO, now))
            }
            Presence::Ready if !desk.unclaimed(terms.claim_within(), now).is_empty() => {
                desk.presence = Presence::Idle;
                self.mark(Standing::Suspect, "the worker does not claim what it is given");
                Finding::Idle(desk.unclaimed(Duration::ZERO, now))
            }
            _ => Finding::Nothing,
        }
    }

    /// Tells the core how it stands: while its desk is held, where that follows from the desk, so that
    /// what is told last is how it stands.
    pub(super) fn mark(&self, standing: Standing, reason: &str) {
        let (name, reason) = (self.name.clone(), Text::from(reason));
        self.tell(Command::MarkAgent { name, standing, reason });
    }

    /// What was never begun is done by others, and nobody is to blame.
    pub(super) fn give_back(&self, tokens: Vec<PtId>, why: &str) {
        for pt in tokens {
            self.close(pt, Fate::Stale);
            let reason = Failure::retryable("worker_absent", why);
            self.tell(Command::ReturnAttempt { pt, reason });
        }
    }

    /// What was in its hands is lost.
    pub(super) fn lose(&self, tokens: Vec<PtId>, reason: &Failure) {
        for pt in tokens {
            self.close(pt, Fate::Stale);
            self.tell(Command::LoseAttempt { pt, reason: reason.clone() });
        }
    }

    /// Tells the core that it has left.
    pub(super) fn part(&self) {
        let (name, reason) = (self.name.clone(), Text::from("the worker is gone"));
        self.tell(Command::LeaveAgent { name, reason });
    }

    /// Tells the core that it takes nothing, and gives a task back: in this order, or it would get the
    /// same again.
    pub(super) fn decline(&self, pt: PtId) {
        let why = "the worker takes nothing now";
        self.mark(Standing::Suspect, why);
        let reason = Failure::retryable("worker_absent", why);
        self.tell(Command::ReturnAttempt { pt, reason });
    }

    fn tell(&self, command: Command) {
        let input = Input::Command { command, cause: 0, reply: None };
        // The loop is gone only when the instance stops.
        let _ = self.shop.to_loop.send(Message::One(input));
    }
}
