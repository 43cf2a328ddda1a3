//! Deployments, folded in.

use super::State;
use crate::deployment::Deployment;
use crate::effect::Effect;
use crate::layer::Layer;
use crate::text::Text;
use crate::timers::Timer;

impl State {
    pub(super) fn begin_deployment(&mut self, deployment: &Deployment, effects: &mut Vec<Effect>) {
        self.change_fleet(|fleet| fleet.stage(&deployment.fleet));
        let (version, layer) = (deployment.version, self.fleet.next_starting(None));
        self.deployments.begin(deployment.clone(), layer, self.now);
        self.timers.set(self.now.plus(deployment.health_ms), Timer::Deployment(version));
        effects.push(Effect::CheckHealth { version, layer });
    }

    pub(super) fn deploy_layer(
        &mut self,
        version: u64,
        (layer, next): (Layer, Option<Layer>),
        effects: &mut Vec<Effect>,
    ) {
        self.deployments.go_on(version, layer, next);
        if next.is_some() {
            effects.push(Effect::CheckHealth { version, layer: next });
        }
    }

    /// It is finished or, for a reason, rolled back.
    pub(super) fn end_deployment(
        &mut self,
        version: u64,
        rolled_back: Option<&Text>,
        effects: &mut Vec<Effect>,
    ) {
        let now = (self.fleet.profile(), self.now);
        let Some(over) = self.deployments.end(version, rolled_back, now) else { return };
        self.timers.clear(over.deadline, Timer::Deployment(version));
        let skills = &over.deployment.fleet.skills;
        match rolled_back {
            None => {
                self.change_fleet(|fleet| fleet.adopt(skills));
                self.forget_orphaned_admissions();
            }
            Some(_) => self.change_fleet(|fleet| fleet.unstage()),
        }
        self.keep_out();
        effects.push(Effect::EndDeployment { version, finished: rolled_back.is_none() });
    }

    /// A workflow whose skills are not all on offer any more is decided about again when it next
    /// comes, and refused then.
    fn forget_orphaned_admissions(&mut self) {
        let (fleet, admissions) = (&self.fleet, &self.admissions);
        let is_offered = |id: &u64| {
            let admission = admissions.get(id);
            admission.is_some_and(|it| it.skills.iter().all(|skill| fleet.offers(*skill)))
        };
        self.admitted.retain(|_, id| is_offered(id));
    }
}
