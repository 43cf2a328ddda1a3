//! `/messages` and the mailboxes of agents.

use std::time::Duration;

use ark_os_api::{
    CloudEvent, MailView, MailboxView, MessageAnswer, MessageAnswers, MessageSent, Problem,
    Subscription, TakenMessages, Topic,
};
use ark_os_core::ids::AgentIx;
use ark_os_core::text::Text;
use ark_os_runtime::messages::{Address, Answer, Asking, Directory, Party, Sender, Sent};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::agents::not_found;
use super::json;
use crate::cloud_event;
use crate::context::Context;
use crate::given::Given;
use crate::problems::{Answered, Refusal};
use crate::query::{MailQuery, ReplyQuery, TakeQuery, read};
use crate::refused::{MessageDenied, NoAgent};

/// Sends a message, or asks and waits for the answers.
#[utoipa::path(
    post, path = "/api/v1/messages", tag = "messages",
    params(ReplyQuery),
    request_body = CloudEvent,
    responses(
        (status = 200, description = "With `?reply`: the answers", body = MessageAnswers),
        (status = 202, description = "Sent; it is not durable", body = MessageSent),
        (status = 400, description = "`message_invalid`, …", body = Problem, content_type = "application/problem+json"),
        MessageDenied,
        (status = 404, description = "`addressee_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`message_exists`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`message_too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`mailbox_full`; see `Retry-After`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`message_unanswered`: the one who was asked did not answer in time", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn send_message(
    State(context): State<Context>,
    uri: Uri,
    Given(event): Given<CloudEvent>,
) -> Answered {
    let patience = read::<ReplyQuery>(&uri)?.patience()?;
    let handle = context.handle();
    let messages = handle.messages();
    let directory = messages.directory();
    let incoming = cloud_event::read(event, &directory)?;
    if let Party::Agent(agent) = incoming.from {
        messages.may_act_as(&operator(&context), agent)?;
    }
    let sender = handle.message_sender(incoming.from);
    let Some(patience) = patience else {
        let sent = messages.send(&sender, incoming.message)?;
        return Ok(json(StatusCode::ACCEPTED, &view(&sent)));
    };
    let is_direct = matches!(incoming.message.to, Address::Agent(_));
    let asking = messages.ask(&sender, incoming.message)?;
    context.unless_stopping(asking.over(patience)).await;
    let answers = answers(&asking, &directory);
    match answers.answers.as_slice() {
        [only] if is_direct && only.answer.is_none() => Err(unanswered(&only.agent, patience)),
        _ => Ok(json(StatusCode::OK, &answers)),
    }
}

/// Looks into an agent's mailbox; nothing is taken.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}/messages", tag = "messages",
    params(
        ("id" = String, Path, description = "The agent"),
        MailQuery,
    ),
    responses(
        (status = 200, description = "What is in it", body = MailboxView),
        MessageDenied,
        NoAgent,
    ),
)]
pub(super) async fn look_at_messages(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let query: MailQuery = read(&uri)?;
    let patience = query.patience()?;
    let (agent, directory) = reach(&context, &id)?;
    let messages = context.handle().messages();
    let mut seen = messages.look(agent, query.after);
    if let (Some(patience), true) = (patience, seen.is_empty()) {
        let arrival = messages.arrival(agent, query.after, patience);
        context.unless_stopping(arrival).await.transpose()?;
        seen = messages.look(agent, query.after);
    }
    let view = |(place, it): &(u64, std::sync::Arc<_>)| MailView {
        place: *place,
        message: cloud_event::show(it, &directory),
    };
    Ok(json(StatusCode::OK, &MailboxView { items: seen.iter().map(view).collect() }))
}

/// Takes messages out of an agent's mailbox, in its stead.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/messages/take", tag = "messages",
    params(
        ("id" = String, Path, description = "The agent"),
        TakeQuery,
    ),
    responses(
        (status = 200, description = "What was taken: nobody else gets it", body = TakenMessages),
        MessageDenied,
        NoAgent,
    ),
)]
pub(super) async fn take_messages(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let query: TakeQuery = read(&uri)?;
    let (max, patience) = (query.max.items(), query.patience()?.unwrap_or(Duration::ZERO));
    let (agent, directory) = reach(&context, &id)?;
    let messages = context.handle().messages();
    let taken = context.unless_stopping(messages.take_within(agent, max, patience)).await;
    let taken = taken.transpose()?.unwrap_or_default();
    let items = taken.iter().map(|it| cloud_event::show(it, &directory)).collect();
    Ok(json(StatusCode::OK, &TakenMessages { items }))
}

/// Has an agent get what is sent to a topic, for as long as the instance runs.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/subscribe", tag = "messages",
    params(("id" = String, Path, description = "The agent")),
    request_body = Topic,
    responses(
        (status = 200, description = "It has subscribed", body = Subscription),
        MessageDenied,
        NoAgent,
        (status = 429, description = "`too_many_subscriptions`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn subscribe_agent(
    State(context): State<Context>,
    Path(id): Path<String>,
    Given(Topic { topic }): Given<Topic>,
) -> Answered {
    set(&context, id, topic, true).await
}

/// Has an agent get nothing more from a topic.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/unsubscribe", tag = "messages",
    params(("id" = String, Path, description = "The agent")),
    request_body = Topic,
    responses(
        (status = 200, description = "It has not subscribed", body = Subscription),
        MessageDenied,
        NoAgent,
    ),
)]
pub(super) async fn unsubscribe_agent(
    State(context): State<Context>,
    Path(id): Path<String>,
    Given(Topic { topic }): Given<Topic>,
) -> Answered {
    set(&context, id, topic, false).await
}

async fn set(context: &Context, id: String, topic: String, subscribed: bool) -> Answered {
    let (agent, _) = reach(context, &id)?;
    let (messages, sender) = (context.handle().messages(), operator(context));
    let changed = match subscribed {
        true => messages.subscribe(&sender, agent, &topic)?,
        false => messages.unsubscribe(&sender, agent, &topic)?,
    };
    Ok(json(StatusCode::OK, &Subscription { agent: id, topic, subscribed, changed }))
}

/// The agent of this name, if the caller may act as it.
fn reach(context: &Context, id: &str) -> Result<(AgentIx, std::sync::Arc<Directory>), Refusal> {
    let messages = context.handle().messages();
    let directory = messages.directory();
    let agent = directory.find(id).ok_or_else(|| not_found(id))?;
    messages.may_act_as(&operator(context), agent)?;
    Ok((agent, directory))
}

fn operator(context: &Context) -> Sender {
    context.handle().message_sender(Party::Outside(Text::from("local-operator")))
}

fn view(sent: &Sent) -> MessageSent {
    MessageSent {
        id: sent.id.to_string(),
        addressees: sent.addressees,
        delivered: sent.delivered,
        dropped: sent.dropped,
        pushed_back: sent.pushed_back,
    }
}

fn answers(asking: &Asking<'_>, directory: &Directory) -> MessageAnswers {
    let answer = |(agent, answer): (AgentIx, Answer)| {
        let (outcome, answer) = match answer {
            Answer::Answered(it) => ("answered", Some(cloud_event::show(&it, directory))),
            Answer::TimedOut => ("timed_out", None),
            Answer::NotReached => ("not_reached", None),
        };
        MessageAnswer { agent: directory.name(agent), outcome: outcome.to_owned(), answer }
    };
    MessageAnswers {
        id: asking.id().to_string(),
        answers: asking.answers().into_iter().map(answer).collect(),
    }
}

fn unanswered(agent: &str, patience: Duration) -> Refusal {
    let message = format!("`{agent}` did not answer in {} ms", patience.as_millis());
    Refusal::new("message_unanswered", message)
        .hint("an agent answers while an attempt of it takes messages; wait longer, or ask later")
}
