//! `LoadRun`: a run that waited on disk comes into memory and begins as a submission does.
//!
//! What was decided about it when it was accepted holds: it is not refused for want of room. Only
//! where rules or mode are others than those that let it in, every layer decides again, as after a
//! restart.

use std::sync::Arc;

use super::admission::{Subject, admitted};
use super::draft::Draft;
use super::nothing;
use super::submit_run::open_roots;
use crate::authority::Grant;
use crate::backlog::{Under, Waiting};
use crate::command::{LoadRun, LoadVerb};
use crate::error::{Failure, Kind, Rejected};
use crate::event::{Admission, Change, Event, PendingAdmission, RunAccepted, RunEnd};
use crate::rules::Rules;
use crate::run::Run;
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

/// A run on its way into memory.
struct Loading<'a> {
    state: &'a State,
    waiting: &'a Waiting,
    under: &'a Under,
    /// What its record says; none: it cannot be read.
    accepted: Option<RunAccepted>,
    now: Time,
}

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    load: LoadRun,
    now: Time,
) -> Result<Change, Rejected> {
    // It may have been fetched twice; the first answer counts.
    let Some(waiting) = state.backlog.find(load.run) else { return Ok(nothing(now)) };
    let Some(under) = state.backlog.under(waiting) else { return Ok(nothing(now)) };
    let (accepted, fault) = match load.accepted {
        Ok(accepted) => (Some(accepted), None),
        Err(failure) => (None, Some(failure)),
    };
    let loading = Loading { state, waiting, under, accepted, now };
    let pause = match load.verb {
        Some(LoadVerb::Cancel(reason)) => {
            let failure = Failure::fatal("cancelled", &*reason);
            return Ok(loading.end(RunEnd::Cancelled, failure));
        }
        Some(LoadVerb::Pause(reason)) => Some(reason),
        None => None,
    };
    // What ended it was the deadline, also where the disk would have.
    if waiting.deadline <= now {
        let failure = Failure::fatal("deadline_exceeded", "the run's deadline has passed");
        return Ok(loading.end(RunEnd::Failed, failure));
    }
    if let Some(fault) = fault {
        return Ok(loading.end(RunEnd::Failed, fault));
    }
    if state.backlog.ready(waiting) > now {
        let message = "the run has not begun: its time has not come";
        return Err(Rejected::new(Kind::Conflict, "run_delayed", message)
            .hint("cancel it, or try again when it has begun"));
    }
    Ok(loading.begin(rules, pause))
}

impl Loading<'_> {
    fn begin(self, rules: &dyn Rules, pause: Option<Text>) -> Change {
        match self.admission(rules) {
            Ok(Some((admission, fresh))) => self.go_on(admission, fresh, pause),
            Ok(None) => self.wait(pause),
            Err(rejected) => {
                let failure = Failure::fatal(rejected.code(), rejected.to_string());
                self.end(RunEnd::Failed, failure)
            }
        }
    }

    /// The admission that holds now; none: a layer whose step it takes is empty.
    #[expect(clippy::type_complexity, reason = "an admission, and what has to be recorded of it")]
    fn admission(
        &self,
        rules: &dyn Rules,
    ) -> Result<Option<(Arc<Admission>, Option<Admission>)>, Rejected> {
        let state = self.state;
        let holds =
            |it: &&Arc<Admission>| it.rules == rules.hash() && it.mode == Some(state.mode());
        if let Some(admission) = self.under.admission().filter(holds) {
            return Ok(Some((admission.clone(), None)));
        }
        let caller = self.under.caller().cloned().ok_or_else(nobody)?;
        if state.fleet.empty_layer().is_some() {
            return Ok(None);
        }
        let subject = Subject {
            namespace: self.under.namespace(),
            workflow: self.under.workflow(),
            grant: &Grant::new(caller),
        };
        admitted(state, rules, &subject, self.now).map(Some)
    }

    fn go_on(
        self,
        admission: Arc<Admission>,
        fresh: Option<Admission>,
        pause: Option<Text>,
    ) -> Change {
        let loaded = self.loaded(Some(admission.id), None);
        let run = Run::loaded(self.waiting, self.under, loaded.as_ref(), Some(admission));
        let run = Run { paused: pause.is_some(), ..run };
        let mut draft = Draft::new(self.state, &run, self.now);
        draft.events.extend(fresh.map(|fresh| Event::WorkflowAdmitted(Box::new(fresh))));
        draft.push(Event::RunLoaded { accepted: loaded.map(Box::new) });
        draft.events.extend(pause.map(|reason| Event::RunPaused { reason }));
        open_roots(&mut draft);
        draft.finish()
    }

    /// As a submission does while a layer is empty.
    fn wait(self, pause: Option<Text>) -> Change {
        let loaded = self.as_it_waited();
        let run = Run::loaded(self.waiting, self.under, loaded.as_ref(), None);
        let mut draft = Draft::new(self.state, &run, self.now);
        draft.push(Event::RunLoaded { accepted: loaded.map(Box::new) });
        draft.events.extend(self.state.fleet.empty_layer().map(|layer| Event::RunWaited { layer }));
        draft.events.extend(pause.map(|reason| Event::RunPaused { reason }));
        draft.finish()
    }

    /// It is over before anything of it began.
    fn end(self, end: RunEnd, failure: Failure) -> Change {
        let loaded = match self.under {
            Under::Admission(admission) => self.loaded(Some(admission.id), None),
            Under::Pending(_) => self.as_it_waited(),
        };
        let admission = self.under.admission().filter(|_| loaded.is_some()).cloned();
        let run = Run::loaded(self.waiting, self.under, loaded.as_ref(), admission);
        let mut draft = Draft::new(self.state, &run, self.now);
        draft.push(Event::RunLoaded { accepted: loaded.map(Box::new) });
        draft.end_run(end, None, failure);
        draft.finish()
    }

    /// With all that a layer needs to decide about it later.
    fn as_it_waited(&self) -> Option<RunAccepted> {
        let pending = PendingAdmission {
            namespace: self.under.namespace().clone(),
            workflow: self.under.workflow().clone(),
            authority: self.under.caller()?.clone(),
        };
        self.loaded(None, Some(Box::new(pending)))
    }

    /// What its record says, as far as it still matters.
    fn loaded(
        &self,
        admission: Option<u64>,
        pending: Option<Box<PendingAdmission>>,
    ) -> Option<RunAccepted> {
        let accepted = self.accepted.clone()?;
        Some(RunAccepted { admission, pending, key: None, waits: None, ..accepted })
    }
}

fn nobody() -> Rejected {
    let message = "the admission does not say under whose authority it was made";
    Rejected::new(Kind::Denied, "authority_denied", message).hint("submit it again")
}
