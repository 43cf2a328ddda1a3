//! Remote workers: they join, fall silent, are heard of again, leave and come back. What they had in hand
//! may be presented all the same, long after somebody else got it.

use std::collections::BTreeMap;

use ark_os_core::Command;
use ark_os_core::command::JoinAgent;
use ark_os_core::decide::UNHEARD;
use ark_os_core::event::Standing;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::fleet::spec::GroupSpec;
use ark_os_core::hash::Hash;
use ark_os_core::ids::AgentIx;
use ark_os_core::layer::Layer;
use ark_os_core::text::Text;

use super::{Due, World};
use crate::bug::Bug;
use crate::plans;
use crate::rng::Rng;
use crate::violation::{Check, ensure};

/// Their names.
const NAMES: [&str; 3] = ["far-one", "far-two", "far-three"];
/// Groups of seats that deployments declare for workers: their names and sizes. The last is the name of one
/// that comes undeclared, too.
const SEATS: [(&str, u32); 3] = [("far-seat", 1), ("far-crew", 2), ("far-three", 1)];
/// Who takes the seats that have a name of their own.
const SEATED: [&str; 3] = ["far-seat", "far-crew-00000", "far-crew-00001"];
/// Tasks of one at one time.
const CONCURRENCY: u32 = 2;
/// Who has left gets nothing new; what was decided before may take so many microseconds to begin.
const ON_ITS_WAY: u64 = 10_000_000;

/// The workers of a world, of a stream of their own.
pub(crate) struct Workers {
    pub(super) rng: Rng,
    pub(super) is_on: bool,
    /// Of a stream of its own, in some worlds: seats that are declared.
    seats: Option<Rng>,
    /// Those that have left, and when.
    left: BTreeMap<&'static str, u64>,
}

impl Workers {
    pub(super) fn new(mut rng: Rng, seats: Option<Rng>) -> Self {
        let is_on = rng.per_mille(350);
        let seats = seats.filter(|_| is_on);
        Workers { rng, is_on, seats, left: BTreeMap::new() }
    }
}

impl World {
    /// After a start nobody is there; each joins when it finds out.
    pub(super) fn workers_started(&mut self) {
        if !self.workers.is_on {
            return;
        }
        self.seats_are_declared();
        let is_first = self.counts.starts == 1;
        for (place, name) in NAMES.into_iter().enumerate() {
            match is_first || self.is_calm {
                true => self.join(name),
                false => {
                    let pause = self.workers.rng.below(8_000_000);
                    self.after(pause, Due::Worker { life: Some(self.life), place });
                }
            }
        }
        if is_first {
            self.after(2_000, Due::Worker { life: None, place: 0 });
        }
    }

    /// Everybody is there and heard of.
    pub(super) fn workers_back(&mut self) {
        if self.workers.is_on {
            NAMES.into_iter().for_each(|name| {
                self.join(name);
                self.mark(name, Standing::Ready, "heard of again");
            });
            self.take_seats();
        }
    }

    /// A deployment that was late may have brought seats: whoever finds that it is not known registers again.
    pub(super) fn workers_stay(&mut self) {
        if self.workers.seats.is_some() {
            self.workers_back();
        }
    }

    /// A deployment is under way, or the process has just started: those with a declared seat find out.
    pub(super) fn seats_are_declared(&mut self) {
        let Some(rng) = &mut self.workers.seats else { return };
        let pause = rng.below(4_000_000);
        self.after(pause, Due::Worker { life: Some(self.life), place: NAMES.len() });
    }

    /// Workers that are declared register under the names of their seats.
    fn take_seats(&mut self) {
        for name in SEATED {
            let state = self.node.as_ref().map(|node| node.lp.state());
            if state.is_some_and(|state| state.fleet().declared_worker(name).is_some()) {
                self.join(name);
                self.mark(name, Standing::Ready, "heard of again");
            }
        }
    }

    /// Seats for workers, and what they offer.
    pub(super) fn draw_seats(&mut self) -> (Vec<GroupSpec>, Vec<SkillInfo>) {
        let Some(rng) = &mut self.workers.seats else { return Default::default() };
        let (mut groups, skills) = (Vec::new(), plans::far_skills());
        for (name, count) in SEATS {
            if !rng.per_mille(400) {
                continue;
            }
            // A worker offers all, and is refused a seat that is for one of them alone.
            let offered = if rng.per_mille(850) { skills.len() } else { 1 };
            groups.push(GroupSpec {
                name: name.into(),
                layer: Layer::Specialist,
                count,
                supervisor: None,
                skills: skills.iter().take(offered).map(|it| it.name.clone()).collect(),
                concurrency: rng.per_mille(300).then_some(1),
                behaviour: rng.per_mille(200).then_some(Hash::ZERO),
                workers: true,
            });
        }
        let skills = if groups.is_empty() { Vec::new() } else { skills };
        (groups, skills)
    }

    /// One joins; or, where no life is named, something happens to one, and the next has its time.
    pub(super) fn stir_workers(&mut self, life: Option<u32>, place: usize) {
        if life.is_some() {
            match NAMES.get(place) {
                Some(name) => self.join(name),
                None => self.take_seats(),
            }
            return;
        }
        if self.is_calm {
            return;
        }
        let pause = self.workers.rng.range(1, self.profile.act_ms * 6_000);
        self.after(pause, Due::Worker { life: None, place: 0 });
        let Some(name) = self.some_worker() else { return };
        match self.workers.rng.weighted(&[3, 3, 4, 2, 3]) {
            0 => self.mark(name, Standing::Suspect, "not heard of"),
            1 => self.mark(name, Standing::Offline, UNHEARD),
            2 => self.mark(name, Standing::Ready, "heard of again"),
            3 => self.leave(name),
            _ => self.join(name),
        }
    }

    /// One of those that come undeclared, or of those with a declared seat; now and then the latter come first.
    fn some_worker(&mut self) -> Option<&'static str> {
        let seated = self.workers.seats.as_mut().filter(|_| self.node.is_some());
        let what = seated.map_or(0, |rng| rng.below(10));
        match what {
            0..4 => self.workers.rng.pick(&NAMES).copied(),
            4..8 => {
                let state = self.node.as_ref()?.lp.state();
                let here = |name: &&str| state.fleet().declared_worker(name).is_some();
                let here: Vec<&str> = SEATED.into_iter().filter(here).collect();
                self.workers.seats.as_mut()?.pick(&here).copied()
            }
            _ => {
                self.take_seats();
                None
            }
        }
    }

    fn join(&mut self, name: &'static str) {
        if self.node.is_none() {
            return;
        }
        self.workers.left.remove(name);
        let skills = plans::far_skills();
        let layer = Layer::Specialist;
        let join = JoinAgent { name: name.into(), layer, concurrency: CONCURRENCY, skills };
        self.command(Command::JoinAgent(Box::new(join)));
    }

    fn leave(&mut self, name: &'static str) {
        if self.node.is_none() {
            return;
        }
        self.workers.left.insert(name, self.now);
        if self.has(Bug::LeaveUnheard) {
            return;
        }
        self.command(Command::LeaveAgent { name: name.into(), reason: "sim".into() });
    }

    fn mark(&mut self, name: &'static str, standing: Standing, reason: &str) {
        if self.node.is_some() {
            let reason = Text::from(reason);
            self.command(Command::MarkAgent { name: name.into(), standing, reason });
        }
    }

    /// Who has left is given nothing.
    pub(super) fn check_worker(&self, agent: AgentIx) -> Check {
        let Some(node) = self.node.as_ref().filter(|_| self.workers.is_on) else { return Ok(()) };
        let name = node.lp.state().fleet().name(agent);
        let left = self.workers.left.get(&*name);
        let is_there = left.is_none_or(|left| self.now < left + ON_ITS_WAY);
        ensure(is_there, "I20", || format!("`{name}` has left and is given work"))
    }
}
