//! Operators who scale the fleet and deploy to it, and the health of what is deployed.

use ark_os_core::Command;
use ark_os_core::command::Deploy;
use ark_os_core::fleet::spec::{FleetSpec, GroupSpec};
use ark_os_core::hash::Hash;
use ark_os_core::ids::AgentIx;
use ark_os_core::layer::Layer;
use ark_os_core::payload::Payload;
use ark_os_core::settings_change::{LiveLimits, SettingChange, SettingsChanged};
use ark_os_core::text::Text;

use super::{Due, World};
use crate::bug::Bug;
use crate::plans;

/// Time for the checks of a deployment.
const HEALTH_MS: u64 = 10_000;
/// Names that groups have.
const GROUPS: [&str; 4] = ["crew", "experts", "hands", "solo"];

impl World {
    pub(super) fn set_agent(&mut self) {
        let most = u64::from(self.profile.agents) * 2;
        let agent = AgentIx(self.rng.below(most) as u32);
        let online = self.rng.per_mille(600);
        self.command(Command::SetAgent { agent, online, reason: "sim".into() });
    }

    pub(super) fn scale(&mut self) {
        let agents = self.rng.range(1, u64::from(self.profile.agents) * 2 + 2) as u32;
        self.command(Command::ScaleFleet { agents, reason: "sim".into() });
    }

    /// Now and then the limits of the running instance change; the next start has its own again.
    pub(super) fn change_settings(&mut self) {
        let Some(rng) = &mut self.settings else { return };
        if !rng.per_mille(60) {
            return;
        }
        let most = rng.range(2, 60) as u32;
        let limits = LiveLimits {
            concurrent_tasks_max: rng.per_mille(600).then_some(most),
            runs_resident_max: rng.per_mille(300).then(|| rng.range(1, 20) as u32),
            task_timeout_ms: rng.per_mille(300).then(|| rng.range(5_000, 60_000)),
            agents_max: rng.per_mille(200).then(|| rng.range(1, 200) as u32),
            namespace_budget: None,
        };
        let key = "performance.max_concurrent_tasks".into();
        let change = SettingChange { key, from: "?".into(), to: most.to_string().into() };
        self.change(SettingsChanged {
            by: "sim".into(),
            reason: "sim".into(),
            changes: vec![change],
            limits,
        });
    }

    pub(super) fn deploy(&mut self) {
        let fleet = self.draw_fleet();
        let digest = Hash::of(format!("{fleet:?}").as_bytes());
        let manifest = Payload::inline(format!("\"{digest}\"").into_bytes());
        // Drawn from the digest, so that the other draws of a seed stay what they are.
        let draw = digest.draw();
        let most = u64::from(self.profile.agents) * 2 + 2;
        let profile = draw.is_multiple_of(4).then(|| (draw / 4 % most + 1) as u32);
        let expected = self.rng.per_mille(200).then(|| self.rng.below(4));
        let grant = self.clients.operator();
        let workflows = self.clients.some_workflow(&mut self.rng);
        let schedules = self.deployed_schedules(&workflows);
        self.command(Command::Deploy(Box::new(Deploy {
            expected,
            manifest,
            fleet,
            workflows,
            base: None,
            profile,
            namespace: "default".into(),
            schedules,
            health_ms: HEALTH_MS,
            reason: "sim".into(),
            grant,
        })));
    }

    pub(super) fn cancel_deployment(&mut self) {
        self.command(Command::CancelDeployment { version: None, reason: "sim".into() });
    }

    /// Some groups that take over some skills, now and then led by one of their own.
    fn draw_fleet(&mut self) -> FleetSpec {
        let skills: Vec<Text> = plans::skill_infos().into_iter().map(|it| it.name).collect();
        let mut groups = Vec::new();
        let is_led = self.rng.per_mille(400);
        for name in GROUPS {
            if self.rng.per_mille(500) {
                continue;
            }
            let offered = self.rng.pick(&skills).cloned();
            let layer = if self.rng.per_mille(500) { Layer::Specialist } else { Layer::Micro };
            groups.push(GroupSpec {
                name: name.into(),
                layer,
                count: self.rng.range(1, 4) as u32,
                supervisor: is_led.then(|| "lead".into()),
                skills: offered.into_iter().collect(),
                concurrency: self.rng.per_mille(300).then_some(1),
                behaviour: self.rng.per_mille(200).then_some(Hash::ZERO),
                workers: false,
            });
        }
        if is_led {
            groups.push(GroupSpec {
                name: "lead".into(),
                layer: Layer::StackChief,
                count: self.rng.range(1, 3) as u32,
                supervisor: None,
                skills: Vec::new(),
                concurrency: None,
                behaviour: None,
                workers: false,
            });
        }
        let (seats, skills) = self.draw_seats();
        groups.extend(seats);
        FleetSpec { groups, skills }
    }

    /// New agents are looked at: most are well, some are not, and now and then nobody comes back with
    /// a word, or too late.
    pub(super) fn check_health(&mut self, version: u64, layer: Option<Layer>) {
        self.seats_are_declared();
        let (is_well, comes) = (self.rng.per_mille(850), self.rng.per_mille(950));
        if is_well && comes {
            self.checker.healthy(version, layer);
        }
        let is_told_well = is_well || self.has(Bug::HealthUnasked);
        if !comes {
            return;
        }
        let longest = if self.rng.per_mille(100) { 20_000_000 } else { 500_000 };
        let takes = self.rng.range(50, longest);
        let result = if is_told_well {
            Ok(self.due_of_deployment())
        } else {
            Err("it does not answer".into())
        };
        let report = Command::ReportHealth { version, layer, result };
        self.after(takes, Due::Late(Box::new(report)));
    }
}
