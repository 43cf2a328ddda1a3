//! Health checks: whether what declared agents work with, their programs and services, could be had, looked at again and
//! again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ark_os_api::UnhealthyView;
use ark_os_core::time::Time;
use ark_os_runtime::deployment::Unhealthy;
use tokio::time::MissedTickBehavior;

use crate::context::{Context, stopped};
use crate::words;

/// What could not be had at the newest look.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<Vec<UnhealthyView>>);

impl Checks {
    /// Looks in the interval of the settings until the server stops.
    pub(crate) async fn gather(context: Context) {
        let mut stopping = context.stopping();
        let mut ticks = tokio::time::interval(context.settings().health_check_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped(&mut stopping) => return,
            }
            let Some(found) = context.unless_stopping(context.handle().unhealthy()).await else {
                return;
            };
            // An instance that has stopped has nobody to look at.
            if let Ok(found) = found {
                context.checks().note(found, context.clock().now());
            }
        }
    }

    fn note(&self, found: Vec<Unhealthy>, now: Time) {
        let mut kept = self.lock();
        let is_same =
            |a: &UnhealthyView, b: &UnhealthyView| (&a.group, &a.skill) == (&b.group, &b.skill);
        let view = |it: Unhealthy| UnhealthyView {
            group: it.group.map(|group| group.to_string()),
            skill: it.skill,
            why: it.why,
            since: words::stamp(now),
        };
        let mut found: Vec<UnhealthyView> = found.into_iter().map(view).collect();
        for it in &mut found {
            match kept.iter().find(|before| is_same(before, it)) {
                Some(before) => it.since = before.since,
                None => tracing::warn!(
                    group = it.group,
                    skill = it.skill,
                    why = it.why,
                    "an agent's work cannot be had"
                ),
            }
        }
        for it in kept.iter().filter(|before| !found.iter().any(|it| is_same(before, it))) {
            tracing::info!(group = it.group, skill = it.skill, "an agent's work can be had again");
        }
        *kept = found;
    }

    /// What could not be had at the newest look.
    pub(crate) fn unhealthy(&self) -> Vec<UnhealthyView> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<UnhealthyView>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_told_since_when_until_it_can_be_had_again() {
        let checks = Checks::default();
        let down = |why: &str| Unhealthy {
            group: Some("caller".into()),
            skill: "call.it".into(),
            why: why.into(),
        };
        checks.note(vec![down("refused")], Time(1_000));
        checks.note(vec![down("late")], Time(2_000));
        let told = checks.unhealthy();
        assert_eq!(
            (told.len(), told[0].why.as_str(), told[0].since),
            (1, "late", words::stamp(Time(1_000)))
        );
        checks.note(Vec::new(), Time(3_000));
        assert_eq!(checks.unhealthy(), []);
        checks.note(vec![down("refused")], Time(4_000));
        assert_eq!(checks.unhealthy()[0].since, words::stamp(Time(4_000)));
    }
}
