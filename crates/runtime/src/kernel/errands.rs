//! What runs and their children tell each other: commands that follow from the state alone.

use ark_os_core::Command;
use ark_os_core::child_run::Errand;
use ark_os_core::time::Time;

use super::wait::Recipient;
use super::{FOLLOW_UPS_MAX, Loop, Output};

impl<R: Recipient> Loop<R> {
    /// Does what can be done of it now; whether anything was. Before the instance has started nothing
    /// is: what a crash left comes first.
    pub(super) fn do_errands(&mut self, now: Time, out: &mut Output<R>) -> bool {
        let (mut any, mut any_since, mut last) = (false, false, None);
        if self.kernel.newest < self.kernel.started {
            return false;
        }
        for _ in 0..FOLLOW_UPS_MAX {
            let away = |run| self.calls.is_wanted(run);
            match self.kernel.state.errand(last, away) {
                // One that is refused stays; what others are told may be what it waits for.
                Some(errand) => {
                    let is_done = self.do_errand(errand, now, out);
                    any_since |= is_done;
                    // A parent that is over by it takes others along: they come before anybody is
                    // told of its own end.
                    let goes_back = is_done && matches!(errand, Errand::Settle(_));
                    last = Some(if goes_back { Errand::STARTS_END } else { errand });
                }
                None if any_since => (any, any_since, last) = (true, false, None),
                None => break,
            }
        }
        any || any_since
    }

    fn do_errand(&mut self, errand: Errand, now: Time, out: &mut Output<R>) -> bool {
        let command = match errand {
            Errand::Start(child) => Command::StartChild { child },
            Errand::Settle(child) => Command::SettleChild { child },
            Errand::Cancel(run) => {
                let reason = self.kernel.state.cancel_reason(run).into();
                Command::CancelRun { run, reason }
            }
            Errand::Pause(run) => Command::PauseRun { run, reason: "its parent was paused".into() },
            Errand::Resume(run) => Command::ResumeRun { run, reason: "its parent goes on".into() },
        };
        match self.unread(&command) {
            Some(unread) => self.put_off(unread, None, out),
            None => self.execute(command, 0, now, out).unwrap_or(false),
        }
    }
}
