//! Messages between agents: who gets what, who may send it, and what happens when there is no room.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ark_os_core::authority::{Authority, RevocationId, Scopes};
use ark_os_core::event::Standing;
use ark_os_core::fleet::Fleet;
use ark_os_core::ids::AgentIx;
use ark_os_core::layer::Layer;
use ark_os_core::priority::Priority;
use ark_os_core::run::RunState;
use ark_os_core::text::Text;
use ark_os_runtime::messages::{
    Address, Answer, Envelope, MAILBOX, MailboxRule, MessageId, MessageKind, Messages, Outgoing,
    Overflow, Party, Sender,
};
use ark_os_runtime::remote::{OfferedSkill, Registration};
use ark_os_runtime::skills::{EffectClass, SkillError};
use ark_os_runtime::{RunRequest, RuntimeError};

use crate::world::{Bell, Gate, PATIENCE, World, bell, heard, over, request, run, skill};

/// A fleet with several stacks: 1 of CECCA, 5 of the board, 10 executives, 20 stacks of 50
/// specialists and 100 micros.
fn messages(overflow: Overflow) -> Messages {
    let fleet = Fleet::new(186, &[], 4, None);
    Messages::of_fleet(&fleet, MailboxRule { messages_max: 4, overflow, ..MAILBOX })
}

fn roomy() -> Messages {
    Messages::of_fleet(&Fleet::new(186, &[], 4, None), MAILBOX)
}

fn authority(scopes: &[&str]) -> Authority {
    let scopes = Scopes::parse(scopes.iter().copied()).unwrap();
    Authority::root(Text::from("somebody"), scopes, RevocationId::derive(&[b"test"]))
}

fn agent(messages: &Messages, name: &str) -> AgentIx {
    messages.directory().find(name).unwrap()
}

fn of(messages: &Messages, name: &str) -> Sender {
    messages.sender(Party::Agent(agent(messages, name)), &authority(&["*"]))
}

fn outside(messages: &Messages, scopes: &[&str]) -> Sender {
    messages.sender(Party::Outside(Text::from("tester")), &authority(scopes))
}

fn to(messages: &Messages, address: &str) -> Outgoing {
    let address = Address::parse(address, &messages.directory()).unwrap();
    Outgoing::new(address, b"{}".to_vec())
}

fn code(result: Result<impl std::fmt::Debug, RuntimeError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn the_hierarchy_says_who_writes_to_whom() {
    let messages = roomy();
    // Members are dealt out over the 20 stacks: micro-00010 is of stack 0, micro-00011 of stack 1.
    for (from, address, may) in [
        ("cecca-00000", "agent:micro-00017", true),
        ("cecca-00000", "fleet", true),
        ("board-00003", "layer:specialist", true),
        ("board-00003", "agent:micro-00017", true),
        ("executive-00000", "agent:stack-chief-00000", true),
        ("executive-00000", "agent:specialist-00000", true),
        ("executive-00000", "agent:stack-chief-00001", false),
        ("executive-00000", "stack:0", true),
        ("executive-00000", "stack:1", false),
        ("executive-00000", "fleet", false),
        ("stack-chief-00000", "agent:specialist-00000", true),
        ("stack-chief-00000", "agent:specialist-00001", false),
        ("stack-chief-00000", "agent:cecca-00000", true),
        ("stack-chief-00000", "stack:0", true),
        ("specialist-00000", "agent:specialist-00020", true),
        ("specialist-00000", "agent:micro-00010", true),
        ("specialist-00000", "agent:micro-00011", false),
        ("micro-00010", "agent:stack-chief-00000", true),
        ("micro-00010", "agent:board-00001", false),
        ("micro-00010", "layer:micro", false),
        ("micro-00010", "topic:builds.done", true),
    ] {
        let sent = messages.send(&of(&messages, from), to(&messages, address));
        assert_eq!(sent.is_ok(), may, "{from} to {address}: {sent:?}");
        if !may {
            assert_eq!(code(sent), "message_denied");
        }
    }
    assert_eq!(messages.counts().denied, 7);
}

#[test]
fn an_answer_goes_wherever_the_question_could_have_come_from() {
    let messages = roomy();
    let (board, micro) = (of(&messages, "board-00001"), of(&messages, "micro-00010"));
    messages.send(&board, to(&messages, "agent:micro-00010")).unwrap();
    let got = messages.take(agent(&messages, "micro-00010"), 1).pop().unwrap();
    messages.send(&micro, Outgoing::answering(&got, b"1".to_vec())).unwrap();
    let answer = messages.take(agent(&messages, "board-00001"), 1).pop().unwrap();
    assert_eq!((answer.kind, answer.correlation.as_ref()), (MessageKind::Response, Some(&got.id)));
}

#[test]
fn scopes_say_to_whom_an_authority_reaches() {
    let messages = roomy();
    for (scopes, address, may) in [
        (&["*"][..], "fleet", true),
        (&["message:*"], "agent:micro-00001", true),
        (&["message:agent.*"], "agent:micro-00001", true),
        (&["message:agent.*"], "fleet", false),
        (&["message:agent.micro-00001"], "agent:micro-00001", true),
        (&["message:agent.micro-00001"], "agent:micro-00002", false),
        (&["message:topic.builds.*"], "topic:builds.done", true),
        (&["message:topic.builds.*"], "topic:alerts", false),
        (&["skill:*"], "agent:micro-00001", false),
    ] {
        let sent = messages.send(&outside(&messages, scopes), to(&messages, address));
        assert_eq!(sent.is_ok(), may, "{scopes:?} {address}");
    }
    let micro = agent(&messages, "micro-00001");
    let bare = outside(&messages, &["message:agent.*"]);
    assert_eq!(code(messages.may_act_as(&bare, micro)), "message_denied");
    messages.may_act_as(&outside(&messages, &["message:as.micro-00001"]), micro).unwrap();
}

#[test]
fn what_is_not_well_formed_is_refused_before_anything_happens() {
    let messages = messages(Overflow::PushBack);
    let sender = outside(&messages, &["*"]);
    let good = || to(&messages, "agent:micro-00001");
    let long = Text::from("x".repeat(201));
    for bad in [
        Outgoing { ttl_ms: 0, ..good() },
        Outgoing { ttl_ms: 24 * 3_600_000 + 1, ..good() },
        Outgoing { about: Some(long.clone()), ..good() },
        Outgoing { id: Some(MessageId::Theirs(long)), ..good() },
        Outgoing { kind: MessageKind::Response, ..good() },
        Outgoing { to: Address::Outside(Text::from("tester")), ..good() },
    ] {
        assert_eq!(code(messages.send(&sender, bad)), "message_invalid");
    }
    let body = vec![b'x'; 64 * 1024 + 1];
    let large = Outgoing { body: body.into(), ..good() };
    assert_eq!(code(messages.send(&sender, large)), "message_too_large");
    let nobody = Outgoing { to: Address::Agent(AgentIx(186)), ..good() };
    assert_eq!(code(messages.send(&sender, nobody)), "agent_not_found");
    assert_eq!(messages.counts(), Default::default());
}

#[test]
fn a_full_mailbox_pushes_back_and_loses_nothing() {
    let messages = messages(Overflow::PushBack);
    let sender = outside(&messages, &["*"]);
    let micro = agent(&messages, "micro-00001");
    for _ in 0..3 {
        messages.send(&sender, to(&messages, "agent:micro-00001")).unwrap();
    }
    let refused = messages.send(&sender, to(&messages, "agent:micro-00001")).unwrap_err();
    assert_eq!((refused.code(), refused.hint().is_some()), ("mailbox_full", true));
    let urgent = Outgoing { priority: Priority::Emergency, ..to(&messages, "agent:micro-00001") };
    messages.send(&sender, urgent).unwrap();
    let taken = messages.take(micro, 10);
    assert_eq!(taken.len(), 4);
    assert_eq!(taken[0].priority, Priority::Emergency);
    let counts = messages.counts();
    assert_eq!((counts.sent, counts.tally.delivered, counts.tally.taken), (4, 4, 4));
    assert_eq!((counts.tally.pushed_back, counts.waiting, counts.mailboxes), (1, 0, 0));
}

#[test]
fn what_the_rule_drops_is_counted_under_its_name() {
    for (overflow, oldest, newest, first) in
        [(Overflow::DropOldest, 2, 0, "2"), (Overflow::DropNewest, 0, 2, "0")]
    {
        let messages = messages(overflow);
        let sender = outside(&messages, &["*"]);
        for number in 0..5 {
            let message = to(&messages, "agent:micro-00001");
            let body = number.to_string().into_bytes().into();
            messages.send(&sender, Outgoing { body, ..message }).unwrap();
        }
        let taken = messages.take(agent(&messages, "micro-00001"), 10);
        assert_eq!((taken.len(), &*taken[0].body), (3, first.as_bytes()), "{overflow:?}");
        let tally = messages.counts().tally;
        assert_eq!((tally.dropped_oldest, tally.dropped_newest), (oldest, newest));
    }
}

#[test]
fn a_broadcast_reaches_who_is_active_but_not_its_sender() {
    let messages = messages(Overflow::PushBack);
    let cecca = of(&messages, "cecca-00000");
    for (address, reached) in
        [("fleet", 185), ("layer:specialist", 50), ("layer:cecca", 0), ("stack:0", 9)]
    {
        let sent = messages.send(&cecca, to(&messages, address)).unwrap();
        assert_eq!((sent.addressees, sent.delivered), (reached, reached), "{address}");
    }
    let counts = messages.counts();
    assert_eq!((counts.sent, counts.tally.delivered, counts.waiting), (4, 244, 244));
}

#[test]
fn a_topic_reaches_those_who_subscribed_until_they_unsubscribe() {
    let messages = messages(Overflow::PushBack);
    let (one, two) = (of(&messages, "micro-00001"), of(&messages, "micro-00002"));
    let number = |sender: &Sender| match sender.party() {
        Party::Agent(agent) => *agent,
        Party::Outside(_) => unreachable!(),
    };
    assert!(messages.subscribe(&one, number(&one), "builds.done").unwrap());
    assert!(messages.subscribe(&two, number(&two), "builds.done").unwrap());
    assert!(!messages.subscribe(&two, number(&two), "builds.done").unwrap());
    let sender = outside(&messages, &["*"]);
    let sent = messages.send(&sender, to(&messages, "topic:builds.done")).unwrap();
    assert_eq!(sent.delivered, 2);
    assert!(messages.unsubscribe(&two, number(&two), "builds.done").unwrap());
    let sent = messages.send(&one, to(&messages, "topic:builds.done")).unwrap();
    assert_eq!(sent.addressees, 0, "its sender is not told what it says itself");
    assert_eq!(code(messages.subscribe(&one, number(&one), "no name")), "message_invalid");
    let bare = outside(&messages, &["message:topic.*"]);
    assert_eq!(code(messages.subscribe(&bare, number(&one), "a")), "message_denied");
}

async fn reply(messages: &Messages, name: &str, body: &str) -> Result<(), RuntimeError> {
    let who = agent(messages, name);
    let got = messages.take_within(who, 1, PATIENCE).await?.pop().unwrap();
    messages.send(&of(messages, name), Outgoing::answering(&got, body.as_bytes().to_vec()))?;
    Ok(())
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::Answered(it) => String::from_utf8_lossy(&it.body).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn who_asks_gets_the_answer_and_nobody_elses() {
    let messages = messages(Overflow::PushBack);
    let sender = outside(&messages, &["*"]);
    let asking = messages.ask(&sender, to(&messages, "agent:micro-00001")).unwrap();
    let intruder = Outgoing {
        correlation: Some(asking.id().clone()),
        ..Outgoing::new(sender.party().address(), b"0".to_vec()).of_kind(MessageKind::Response)
    };
    let forged = messages.send(&of(&messages, "micro-00002"), intruder);
    assert_eq!(code(forged), "message_denied");
    reply(&messages, "micro-00001", "42").await.unwrap();
    asking.over(PATIENCE).await;
    assert_eq!(said(&asking.answers()[0].1), "42");
    let late = Outgoing {
        correlation: Some(asking.id().clone()),
        ..Outgoing::new(sender.party().address(), b"0".to_vec()).of_kind(MessageKind::Response)
    };
    drop(asking);
    assert_eq!(code(messages.send(&of(&messages, "micro-00001"), late)), "addressee_not_found");
    assert_eq!(messages.counts().unclaimed, 1);
}

#[tokio::test]
async fn a_question_to_many_has_one_answer_or_none_from_each_who_is_active() {
    let messages = messages(Overflow::PushBack);
    let sender = of(&messages, "cecca-00000");
    // One of the ten has no room.
    for _ in 0..3 {
        messages.send(&sender, to(&messages, "agent:executive-00003")).unwrap();
    }
    let asking = messages.ask(&sender, to(&messages, "layer:executive")).unwrap();
    for name in ["executive-00000", "executive-00009"] {
        reply(&messages, name, name).await.unwrap();
    }
    asking.over(Duration::from_millis(50)).await;
    let answers: Vec<_> = asking.answers().iter().map(|(_, answer)| said(answer)).collect();
    assert_eq!(answers.len(), 10);
    assert_eq!((&*answers[0], &*answers[9]), ("executive-00000", "executive-00009"));
    assert_eq!(answers[3], "NotReached");
    assert_eq!(answers.iter().filter(|it| *it == "TimedOut").count(), 7);
    assert_eq!(messages.counts().unanswered, 7);
}

#[tokio::test]
async fn messages_expire_and_whoever_looks_takes_nothing() {
    let messages = messages(Overflow::PushBack);
    let sender = outside(&messages, &["*"]);
    let micro = agent(&messages, "micro-00001");
    let brief = Outgoing { ttl_ms: 1, ..to(&messages, "agent:micro-00001") };
    messages.send(&sender, brief).unwrap();
    messages.send(&sender, to(&messages, "agent:micro-00001")).unwrap();
    let seen = messages.look(micro, 0);
    let last = seen.last().unwrap().0;
    // Nothing more comes: after a moment the first is over.
    messages.arrival(micro, last, Duration::from_millis(20)).await.unwrap();
    assert_eq!(messages.look(micro, 0).len(), 1);
    assert_eq!(messages.look(micro, last), []);
    let counts = messages.counts();
    assert_eq!((counts.tally.expired, counts.waiting), (1, 1));
    assert_eq!(messages.take(micro, 10).len(), 1);
}

#[tokio::test]
async fn a_mailbox_is_there_only_while_something_is_in_it_or_somebody_waits() {
    let messages = messages(Overflow::PushBack);
    let micro = agent(&messages, "micro-00001");
    let waits = messages.take_within(micro, 1, PATIENCE);
    let sends = async {
        assert_eq!(messages.counts().mailboxes, 1);
        messages.send(&outside(&messages, &["*"]), to(&messages, "agent:micro-00001")).unwrap();
    };
    let (taken, ()) = tokio::join!(waits, sends);
    assert_eq!(taken.unwrap().len(), 1);
    assert!(messages.take_within(micro, 1, Duration::from_millis(5)).await.unwrap().is_empty());
    assert_eq!(messages.counts().mailboxes, 0);
}

/// A skill that asks whoever the input names, and one that answers what it is asked.
fn asks_and_answers() -> World {
    let asks = skill(|host, _| {
        let post = host.post()?;
        let to = post.address("layer:specialist")?;
        let refused = post.send(Outgoing::new(to, b"{}".to_vec())).unwrap_err();
        assert_eq!(refused.code(), "message_denied");
        // The other attempts of the agent share its mailbox: it answers itself.
        let me = Address::Agent(post.agent());
        let answers = post.ask(Outgoing::new(me, b"{\"n\":1}".to_vec()), PATIENCE)?;
        let Answer::Answered(answer) = &answers[0].1 else { panic!("{answers:?}") };
        Ok(answer.body.to_vec())
    });
    let answers = skill(|host, _| {
        let post = host.post()?;
        let got: Arc<Envelope> = post.receive(PATIENCE)?.expect("it is asked");
        post.send(Outgoing::answering(&got, got.body.clone()))?;
        Ok(b"{}".to_vec())
    });
    World::new([asks, answers.named("answers")]).with_agents(1)
}

#[tokio::test]
async fn attempts_ask_and_answer_in_their_agents_names() {
    let mut world = asks_and_answers();
    world.settings.workers = 2;
    let instance = world.start();
    let handle = instance.handle();
    let answering = RunRequest::task("answers", b"{}".to_vec());
    let (asked, answered) = tokio::join!(run(&handle, request()), run(&handle, answering));
    assert_eq!(asked.state, RunState::Succeeded, "{asked:?}");
    assert_eq!(answered.state, RunState::Succeeded, "{answered:?}");
    let output = handle.load(asked.output.as_ref().unwrap()).unwrap();
    assert_eq!(&*output, b"{\"n\":1}");
    assert_eq!(handle.messages().counts().denied, 1);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_broadcast_passes_by_who_is_offline() {
    let world = World::new([]).with_agents(8);
    let instance = world.start();
    let handle = instance.handle();
    // The instance has started.
    handle.read(|_| ()).await.unwrap();
    let sender = handle.message_sender(Party::Outside(Text::from("tester")));
    let tell = || Outgoing::new(Address::Layer(Layer::Micro), b"{}".to_vec());
    let before = handle.messages().send(&sender, tell()).unwrap();
    let micro = handle.messages().directory().find("micro-00000").unwrap();
    let offline =
        ark_os_core::Command::SetAgent { agent: micro, online: false, reason: Text::from("test") };
    handle.command(offline).await.unwrap();
    let standing = handle.read(move |kernel| kernel.state().fleet().agent(micro).unwrap().standing);
    assert_eq!(standing.await.unwrap(), Standing::Offline);
    let after = handle.messages().send(&sender, tell()).unwrap();
    assert_eq!(after.addressees + 1, before.addressees);
    instance.stop().unwrap();
}

/// Sends a durable message and ends; takes one in a step and ends. Both are held up at first where
/// the test says, and tell what they got.
fn durable_pair(hold: &'static str, gate: Gate, bell: Bell) -> (World, Arc<Mutex<Vec<String>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let (first_send, first_take) = (AtomicBool::new(true), AtomicBool::new(true));
    let (gate_too, bell_too) = (gate.clone(), bell.clone());
    let sends = skill(move |host, _| {
        let is_first = first_send.swap(false, Ordering::SeqCst);
        let post = host.post()?;
        let message = Outgoing::new(Address::Agent(post.agent()), b"{\"n\":1}".to_vec());
        post.send(Outgoing { durable: true, ..message })?;
        if is_first && hold == "after the sender's step" {
            bell.ring();
            gate.pass();
        }
        Ok(b"{}".to_vec())
    });
    let told = got.clone();
    let takes = skill(move |host, _| {
        let is_first = first_take.swap(false, Ordering::SeqCst);
        if is_first && hold == "before it is taken" {
            bell_too.ring();
            gate_too.pass();
        }
        let envelope = host.post()?.receive_recorded(PATIENCE)?;
        if is_first && hold == "after it is taken" {
            bell_too.ring();
            gate_too.pass();
            return Err(SkillError::permanent("test.zombie", "say anything"));
        }
        told.lock().unwrap().push(String::from_utf8_lossy(&envelope.body).into_owned());
        Ok(b"{}".to_vec())
    });
    let sends = sends.of_class(EffectClass::Idempotent);
    let takes = takes.of_class(EffectClass::Idempotent).named("takes");
    let mut world = World::new([sends, takes]).with_agents(1);
    world.settings.workers = 2;
    (world, got)
}

#[tokio::test]
async fn a_durable_message_gets_there_once_wherever_the_process_is_killed() {
    for hold in ["before it is taken", "after it is taken", "after the sender's step"] {
        let (gate, (bell, mut held_up)) = (Gate::default(), bell());
        let (world, got) = durable_pair(hold, gate.clone(), bell);
        let instance = world.start();
        let handle = instance.handle();
        let takes = handle.submit(RunRequest::task("takes", b"{}".to_vec())).await.unwrap().run;
        let sends = handle.submit(request()).await.unwrap().run;
        heard(&mut held_up).await;
        drop(instance);
        gate.open();
        let instance = world.start();
        let handle = instance.handle();
        for run in [sends, takes] {
            let outcome = over(&handle, run).await;
            assert_eq!(outcome.state, RunState::Succeeded, "{hold}: {outcome:?}");
        }
        // The attempt of the crashed instance had the message as well where it was past its step.
        let heard = got.lock().unwrap().clone();
        let once = |count: usize| vec!["{\"n\":1}".to_owned(); count];
        let zombies = usize::from(hold == "after the sender's step");
        assert!(heard == once(1) || heard == once(1 + zombies), "{hold}: {heard:?}");
        assert_eq!(handle.messages().counts().waiting, 0, "{hold}");
        instance.stop().unwrap();
    }
}

#[tokio::test]
async fn a_durable_message_that_nobody_takes_fails_its_step_and_may_be_tried_again() {
    let sends = skill(|host, _| {
        let post = host.post()?;
        let message = Outgoing::new(Address::Agent(post.agent()), b"{}".to_vec());
        post.send(Outgoing { durable: true, ttl_ms: 20, ..message })?;
        Ok(b"{}".to_vec())
    });
    let world = World::new([sends.of_class(EffectClass::Idempotent)]).with_agents(1);
    let instance = world.start();
    let outcome = run(&instance.handle(), request()).await;
    assert_eq!(&*outcome.failure.unwrap().code, "message_not_taken");
    instance.stop().unwrap();
}

#[tokio::test]
async fn who_takes_a_durable_message_of_a_run_that_was_cancelled_goes_on() {
    let (gate, (bell, mut held_up)) = (Gate::default(), bell());
    let (world, got) = durable_pair("before it is taken", gate.clone(), bell);
    let instance = world.start();
    let handle = instance.handle();
    let takes = handle.submit(RunRequest::task("takes", b"{}".to_vec())).await.unwrap().run;
    heard(&mut held_up).await;
    let sends = handle.submit(request()).await.unwrap().run;
    while handle.messages().counts().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let cancel = ark_os_core::Command::CancelRun { run: sends, reason: "test".into() };
    handle.command(cancel).await.unwrap();
    assert_eq!(over(&handle, sends).await.state, RunState::Cancelled);
    gate.open();
    assert_eq!(over(&handle, takes).await.state, RunState::Succeeded);
    assert_eq!(got.lock().unwrap().len(), 1);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_name_leads_to_who_is_here_however_the_fleet_has_changed() {
    let world = World::new([]).with_agents(60);
    let instance = world.start();
    let handle = instance.handle();
    for agents in [30, 60] {
        let reason = Text::from("test");
        handle.command(ark_os_core::Command::ScaleFleet { agents, reason }).await.unwrap();
    }
    let join = || Registration {
        name: "far".to_owned(),
        layer: Layer::Micro,
        concurrency: 1,
        skills: vec![OfferedSkill {
            name: "far.off".to_owned(),
            class: EffectClass::Read,
            input: None,
            output: None,
        }],
        labels: std::collections::BTreeMap::new(),
    };
    let sender = handle.message_sender(Party::Outside(Text::from("tester")));
    let tell = || {
        let message = Outgoing::new(Address::Layer(Layer::Micro), b"{}".to_vec());
        handle.messages().send(&sender, message).unwrap().addressees
    };
    let before = tell();
    let session = handle.register_worker(join()).await.unwrap();
    let directory = handle.messages().directory();
    let strayed = move |kernel: &ark_os_runtime::kernel::Kernel| {
        let fleet = kernel.state().fleet();
        let names = (0..fleet.len()).map(|ix| fleet.name(AgentIx(ix)));
        names.filter(|name| directory.find(name) != fleet.find(name)).collect::<Vec<_>>()
    };
    assert_eq!(handle.read(strayed).await.unwrap(), [""; 0]);
    assert_eq!(tell(), before + 1);
    handle.leave_worker("far", &session.secret).await.unwrap();
    assert_eq!(tell(), before);
    handle.register_worker(join()).await.unwrap();
    assert_eq!(tell(), before + 1);
    instance.stop().unwrap();
}
