//! What is kept beside the agents' rows so that nobody has to look for it: who is idle, what each
//! pool has free, how many of a layer are ready.

use super::{Agent, Fleet, Stack};
use crate::event::Standing;
use crate::ids::{AgentIx, StackIx};
use crate::layer::Layer;

/// One agent's part of what is counted.
#[derive(Clone, Copy, Default)]
struct Share {
    capacity: u32,
    busy: u32,
    room: u32,
    is_ready: bool,
    is_seated: bool,
    is_away: bool,
    /// Its key on its bench.
    idle: Option<u64>,
}

impl Share {
    fn of(row: &Agent, concurrency: u32) -> Self {
        let is_ready = row.standing == Standing::Ready;
        let room = if is_ready { row.at_once(concurrency).saturating_sub(row.busy) } else { 0 };
        Share {
            capacity: if row.standing.has_tokens() { concurrency } else { 0 },
            busy: row.busy,
            room,
            is_ready,
            is_seated: !row.standing.is_passing(),
            is_away: row.standing == Standing::Offline,
            idle: (room > 0).then_some(row.idle),
        }
    }
}

/// A stack's place in the order changed.
struct Moved {
    stack: StackIx,
    from: u32,
    to: u32,
}

impl Fleet {
    /// Works everything out anew from the agents' rows.
    pub(super) fn tally(&mut self) {
        (self.ready, self.seated, self.in_use) = ([0; 6], [0; 6], 0);
        for stack in &mut self.stacks {
            *stack = Stack { leader: stack.leader, ..Stack::default() };
        }
        self.groups.iter_mut().for_each(|group| group.bench = super::groups::Bench::default());
        for ix in (0..self.len()).map(AgentIx) {
            let concurrency = self.concurrency_of(ix);
            let share = self.agent(ix).map(|row| Share::of(row, concurrency));
            self.shift(ix, Share::default(), share.unwrap_or_default());
        }
        let ranks = (0u32..).map(StackIx).zip(&self.stacks);
        let of_profile = ranks.filter(|(_, stack)| !self.is_declared(stack.leader));
        self.by_free = of_profile.map(|(ix, stack)| (stack.rank(), ix)).collect();
    }

    /// Whether a stack has a declared leader: none of the profile works in it.
    pub(super) fn is_declared(&self, leader: Option<AgentIx>) -> bool {
        leader.is_some_and(|leader| self.group_of(leader).is_some())
    }

    /// Changes a row, and what is kept beside it.
    pub(super) fn with_agent(&mut self, ix: AgentIx, change: impl FnOnce(&mut Agent)) {
        let concurrency = self.concurrency_of(ix);
        self.idle_order += 1;
        let order = self.idle_order;
        let Some(row) = self.agents.get_mut(ix.0 as usize) else { return };
        let before = Share::of(row, concurrency);
        change(row);
        row.idle = order;
        let after = Share::of(row, concurrency);
        if let Some(Moved { stack, from, to }) = self.shift(ix, before, after)
            && self.by_free.remove(&(from, stack))
        {
            self.by_free.insert((to, stack));
        }
    }

    fn shift(&mut self, ix: AgentIx, from: Share, to: Share) -> Option<Moved> {
        let (layer, stack) = (self.layer(ix), self.stack(ix));
        // A seat that waits for its worker holds no layer.
        let waits = self.group_of(ix).is_some_and(|group| group.spec().workers);
        let seated = |share: Share| share.is_seated && !(waits && share.is_away);
        count(&mut self.ready, layer, from.is_ready, to.is_ready);
        count(&mut self.seated, layer, seated(from), seated(to));
        let moved =
            |value: &mut u32, from: u32, to: u32| *value = (*value + to).saturating_sub(from);
        moved(&mut self.in_use, from.busy, to.busy);
        let group = self.added(ix).and_then(|seat| seat.group);
        let bench = bench(layer)?;
        let stack = stack?;
        let pool = self.stacks.get_mut(stack.0 as usize)?;
        let rank = pool.rank();
        moved(&mut pool.capacity, from.capacity, to.capacity);
        moved(&mut pool.in_use, from.busy, to.busy);
        let rank_now = pool.rank();
        let (room, idle) = match group {
            None => (&mut pool.room, pool.idle.get_mut(bench)?),
            Some(group) => {
                let group = self.groups.get_mut(group as usize)?;
                let tokens =
                    |share: Share| share.room + if share.is_ready { share.busy } else { 0 };
                moved(&mut group.bench.tokens, tokens(from), tokens(to));
                (&mut group.bench.room, &mut group.bench.idle)
            }
        };
        moved(room, from.room, to.room);
        if let Some(key) = from.idle {
            idle.remove(&(key, ix));
        }
        if let Some(key) = to.idle {
            idle.insert((key, ix));
        }
        (rank != rank_now).then_some(Moved { stack, from: rank, to: rank_now })
    }
}

fn count(of_layers: &mut [u32; 6], layer: Layer, was: bool, is: bool) {
    if let Some(count) = of_layers.get_mut(layer.rank()) {
        *count = (*count + u32::from(is)).saturating_sub(u32::from(was));
    }
}

/// Which bench of its stack a worker of the profile sits on.
fn bench(layer: Layer) -> Option<usize> {
    match layer {
        Layer::Specialist => Some(0),
        Layer::Micro => Some(1),
        _ => None,
    }
}
