//! Messages in process between the agents of a fleet: direct, to a whole layer, asked and answered;
//! beside the same shape without anything but locks and queues.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ark_os_core::authority::{Authority, RevocationId, Scopes};
use ark_os_core::fleet::Fleet;
use ark_os_core::ids::AgentIx;
use ark_os_core::layer::Layer;
use ark_os_core::text::Text;
use ark_os_runtime::messages::{
    Address, Envelope, MAILBOX, Messages, Outgoing, Party, Sender, TAKEN_MAX,
};
use serde_json::{Value, json};

use super::child::now;
use super::figures::Latencies;
use super::load::per_second;
use super::{BenchError, BenchSettings};
use crate::threads;

/// Threads that send and take: one for each processor of the machine we promise for.
const THREADS: usize = 2;
/// The body of every message.
const BODY: &[u8] = br#"{"task":"task_01JZ0000000000000000000000_0","state":"done"}"#;
/// Longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The agents of a fleet, each with somebody to write to.
struct Crowd {
    messages: Messages,
    senders: Vec<Sender>,
    peers: Vec<AgentIx>,
    body: Arc<[u8]>,
}

impl Crowd {
    fn new(agents: u32) -> Result<Self, BenchError> {
        let fleet = Fleet::new(agents, &[], 4, None);
        let messages = Messages::of_fleet(&fleet, MAILBOX);
        let scopes = Scopes::parse(["*"]).map_err(|error| BenchError::new(error.to_string()))?;
        let id = RevocationId::derive(&[b"bench"]);
        let authority = Authority::root(Text::from("bench"), scopes, id);
        let all = (0..agents).map(AgentIx);
        let senders = all.clone().map(|ix| messages.sender(Party::Agent(ix), &authority));
        let senders = senders.collect();
        let peers = all.map(|ix| peer(&fleet, ix)).collect();
        Ok(Crowd { messages, senders, peers, body: BODY.into() })
    }

    /// Each of these agents writes to its peer; how many messages went out.
    fn send(&self, agents: std::ops::Range<usize>) -> u64 {
        let pairs = self.senders.iter().zip(&self.peers);
        let sends = pairs.skip(agents.start).take(agents.len()).filter(|(sender, peer)| {
            let message = Outgoing::new(Address::Agent(**peer), self.body.clone());
            self.messages.send(sender, message).is_ok()
        });
        sends.count() as u64
    }

    fn take(&self, agents: std::ops::Range<usize>, into: &mut Vec<Arc<Envelope>>) -> u64 {
        into.clear();
        for agent in agents {
            self.messages.take_into(AgentIx(agent as u32), TAKEN_MAX, into);
        }
        into.len() as u64
    }
}

/// Whom an agent writes to: the next one of its stack, else who supervises it, else itself.
fn peer(fleet: &Fleet, agent: AgentIx) -> AgentIx {
    let plan = fleet.plan();
    let Some(seat) = plan.seat(agent) else { return agent };
    let members = seat.stack.map(|stack| plan.members(stack).collect::<Vec<_>>());
    let members = members.unwrap_or_default();
    let next = members.iter().position(|it| *it == agent).map_or(0, |at| at + 1);
    let next = members.get(next).or(members.first()).copied();
    next.or(seat.supervisor).unwrap_or(agent)
}

/// Everything about messages, as JSON.
pub(super) fn messages(settings: &BenchSettings) -> Result<Value, BenchError> {
    let time = Duration::from_secs(settings.seconds);
    Ok(json!({
        "agents": settings.agents,
        "threads": THREADS,
        "body_bytes": BODY.len(),
        "raw_queues": raw(settings.agents, time)?,
        "direct": direct(settings.agents, time)?,
        "broadcast": broadcast(settings.agents, time)?,
        "ask": ask(settings.agents, time)?,
    }))
}

/// Work of each thread until the time is over; the sum of what they report, and how long it took.
fn on_threads(
    time: Duration,
    work: impl Fn(usize, Instant) -> u64 + Send + Sync + 'static,
) -> Result<(u64, Duration), BenchError> {
    let work = Arc::new(work);
    let begun = now();
    let spawned: Result<Vec<_>, _> = (0..THREADS)
        .map(|number| {
            let work = work.clone();
            threads::spawn("bench", move || work(number, begun + time))
        })
        .collect();
    let spawned = spawned.map_err(|_| BenchError::new("the system gives no more threads"))?;
    let mut all = 0;
    for thread in spawned {
        all += thread.join().map_err(|_| BenchError::new("a thread of the bench failed"))?;
    }
    Ok((all, now().duration_since(begun)))
}

/// The part of the agents that a thread works for.
fn part(agents: u32, number: usize) -> std::ops::Range<usize> {
    let agents = agents as usize;
    (agents * number / THREADS)..(agents * (number + 1) / THREADS)
}

/// As many bounded queues as agents, each under its lock, and nothing else: the raw limit.
fn raw(agents: u32, time: Duration) -> Result<Value, BenchError> {
    let queues: Vec<Mutex<VecDeque<Arc<[u8]>>>> = (0..agents).map(|_| Mutex::default()).collect();
    let body: Arc<[u8]> = BODY.into();
    let (taken, took) = on_threads(time, move |number, until| {
        let (mine, mut taken) = (part(agents, number), 0);
        let mut out = Vec::new();
        while now() < until {
            for to in mine.clone() {
                let queue = queues.get((to + agents as usize / 2) % agents as usize);
                let Some(queue) = queue else { continue };
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.len() < MAILBOX.messages_max {
                    // As an envelope, each message has an allocation of its own.
                    queue.push_back(Arc::from(&*body));
                }
            }
            for queue in queues.get(mine.clone()).unwrap_or_default() {
                out.extend(queue.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
            }
            taken += out.len() as u64;
            out.clear();
        }
        taken
    })?;
    Ok(json!({ "messages_per_second": per_second(taken, took) }))
}

/// Every agent writes to a peer and takes what it got: messages taken a second.
fn direct(agents: u32, time: Duration) -> Result<Value, BenchError> {
    let crowd = Arc::new(Crowd::new(agents)?);
    let shared = crowd.clone();
    let (taken, took) = on_threads(time, move |number, until| {
        let (mine, mut taken, mut got) = (part(agents, number), 0, Vec::new());
        while now() < until {
            shared.send(mine.clone());
            taken += shared.take(mine.clone(), &mut got);
        }
        taken
    })?;
    let counts = crowd.messages.counts();
    Ok(json!({
        "messages_per_second": per_second(taken, took),
        "aim_per_second": 1_000_000,
        "pushed_back": counts.tally.pushed_back,
        "denied": counts.denied,
    }))
}

/// CECCA writes to the whole layer of micros, who take it: copies taken a second.
fn broadcast(agents: u32, time: Duration) -> Result<Value, BenchError> {
    let crowd = Arc::new(Crowd::new(agents)?);
    let shared = crowd.clone();
    let (taken, took) = on_threads(time, move |number, until| {
        let (mine, mut taken, mut got) = (part(agents, number), 0, Vec::new());
        while now() < until {
            if let (0, Some(cecca)) = (number, shared.senders.first()) {
                let message = Outgoing::new(Address::Layer(Layer::Micro), shared.body.clone());
                // What is pushed back is counted.
                let _ = shared.messages.send(cecca, message);
            }
            taken += shared.take(mine.clone(), &mut got);
        }
        taken
    })?;
    Ok(json!({
        "copies_per_second": per_second(taken, took),
        "broadcasts": crowd.messages.counts().sent,
    }))
}

/// One thread asks, one agent after another, and the other answers: how long it takes.
fn ask(agents: u32, time: Duration) -> Result<Value, BenchError> {
    let crowd = Arc::new(Crowd::new(agents)?);
    let last = AgentIx(agents.saturating_sub(1));
    let (answers, over) = (Arc::new(Mutex::new(Latencies::default())), Arc::new(AtomicU64::new(0)));
    let (latencies, shared) = (answers.clone(), crowd);
    on_threads(time, move |number, until| {
        if number == 0 {
            let asked = asks(&shared, last, until, &latencies);
            over.store(1, Ordering::Relaxed);
            return asked;
        }
        let Some(sender) = shared.senders.last() else { return 0 };
        while over.load(Ordering::Relaxed) == 0 {
            let got = shared.messages.take_on_thread(last, Duration::from_millis(50), || true);
            if let Ok(Some(request)) = got {
                let answer = Outgoing::answering(&request, shared.body.clone());
                // Who asks counts what did not come.
                let _ = shared.messages.send(sender, answer);
            }
        }
        0
    })?;
    let mut latencies = answers.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(json!({ "latency": latencies.report() }))
}

fn asks(crowd: &Crowd, whom: AgentIx, until: Instant, latencies: &Mutex<Latencies>) -> u64 {
    let Some(cecca) = crowd.senders.first() else { return 0 };
    let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answered = 0;
    while now() < until {
        let begun = now();
        let message = Outgoing::new(Address::Agent(whom), crowd.body.clone());
        let Ok(asking) = crowd.messages.ask(cecca, message) else { continue };
        if asking.is_over_within(PATIENCE) {
            latencies.push(now().duration_since(begun).as_micros());
            answered += 1;
        }
    }
    answered
}
