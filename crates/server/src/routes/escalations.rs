//! `/escalations`: what the fleet could not mend, and what people did about it.

use ark_os_api::{EscalationAnswer, EscalationView, Page, PassedView, Problem, RungView};
use ark_os_core::Command;
use ark_os_core::event::Standing;
use ark_os_core::fleet::Fleet;
use ark_os_core::ids::{AgentIx, TaskId};
use ark_os_core::supervision::{Concern, Desk, Escalation, Passed, Rung};
use ark_os_core::time::Time;
use ark_os_runtime::kernel::Kernel;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::{json, needed_reason};
use crate::context::Context;
use crate::given::Given;
use crate::problems::{Answered, Refusal};
use crate::query::{EscalationsQuery, cursor_invalid, number_cursor, read, wrong};
use crate::refused::NoEscalation;
use crate::words;

/// Who sees to what nobody in the fleet did.
const HUMAN: &str = "human";

/// What was escalated: to whom, until when, and what was tried.
#[utoipa::path(
    get, path = "/api/v1/escalations", tag = "escalations",
    params(EscalationsQuery),
    responses((status = 200, description = "A page of escalations", body = Page<EscalationView>)),
)]
pub(super) async fn list_escalations(State(context): State<Context>, uri: Uri) -> Answered {
    let query: EscalationsQuery = read(&uri)?;
    let limit = query.limit.items();
    let open = match query.state.as_deref() {
        None | Some("open") => true,
        Some("closed") => false,
        Some(_) => return Err(wrong("state", "it is open or closed")),
    };
    let cursor = number_cursor(query.cursor.as_deref())?;
    let to = query.to;
    let kept = kept_since(&context);
    let page = context.handle().read(move |kernel| {
        let (state, fleet) = (kernel.state(), kernel.state().fleet());
        let supervision = state.supervision();
        let is_asked = |it: &&Escalation| match (&to, &it.to) {
            (None, _) => true,
            (Some(to), Desk::Seat(name)) => **to == **name,
            (Some(to), Desk::Human) => to == HUMAN,
        };
        let page = limit + 1;
        let found: Vec<&Escalation> = match (open, cursor) {
            (true, after) => {
                let goes_on = |it: &&Escalation| it.id > after.unwrap_or(0);
                supervision.open().filter(goes_on).filter(is_asked).take(page).collect()
            }
            // The order is that of their ends: the cursor is the last one of the page before.
            (false, None) => {
                let kept = supervision.closed().filter(|it| is_kept(it, kept));
                kept.filter(is_asked).take(page).collect()
            }
            (false, Some(last)) => {
                let mut rest = supervision.closed().skip_while(|it| it.id != last);
                // It ended so long ago by now that it is forgotten, and with it all behind it.
                rest.next()?;
                let rest = rest.filter(|it| is_kept(it, kept));
                rest.filter(is_asked).take(page).collect()
            }
        };
        let mut items: Vec<EscalationView> = found.into_iter().map(|it| view(fleet, it)).collect();
        let goes_on = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| goes_on).map(|it| it.id.to_string());
        Some(Page { items, next })
    });
    Ok(json(StatusCode::OK, &page.await?.ok_or_else(cursor_invalid)?))
}

/// One escalation.
#[utoipa::path(
    get, path = "/api/v1/escalations/{id}", tag = "escalations",
    params(("id" = u64, Path, description = "Its number")),
    responses(
        (status = 200, description = "The escalation", body = EscalationView),
        NoEscalation,
    ),
)]
pub(super) async fn show_escalation(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Answered {
    let id = number(&id)?;
    Ok(json(StatusCode::OK, &look_up(&context, id).await?.1))
}

/// Says what is done about an escalation, and does it.
#[utoipa::path(
    post, path = "/api/v1/escalations/{id}/answer", tag = "escalations",
    params(("id" = u64, Path, description = "Its number")),
    request_body = EscalationAnswer,
    responses(
        (status = 200, description = "The escalation", body = EscalationView),
        (status = 400, description = "`reason_invalid`, `request_invalid`, `json_invalid`", body = Problem, content_type = "application/problem+json"),
        NoEscalation,
        (status = 409, description = "`escalation_over`, `task_not_parked`, `step_in_doubt`, …", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn answer_escalation(
    State(context): State<Context>,
    Path(id): Path<String>,
    Given(answer): Given<EscalationAnswer>,
) -> Answered {
    let id = number(&id)?;
    let reason = needed_reason(&answer.reason)?;
    let (concern, view) = look_up(&context, id).await?;
    if view.state == "closed" {
        return Err(Refusal::new("escalation_over", "the escalation is over"));
    }
    // First the deed: what it is about then ends the escalation at the latest with this word.
    let deed = deed(&answer.action, concern, &reason)?;
    let is_done = match deed {
        Some(deed) => carry_out(&context, deed).await?,
        None => false,
    };
    let action = answer.action.as_str().into();
    let resolve = Command::ResolveEscalation { id, action, reason };
    match context.handle().command(resolve).await {
        // What was done ended it already, and its own record has the reason.
        Err(error) if is_done && error.code() == "escalation_over" => {}
        done => done?,
    }
    Ok(json(StatusCode::OK, &look_up(&context, id).await?.1))
}

/// Does it; whether that changed anything: an agent may stand so already.
async fn carry_out(context: &Context, deed: Command) -> Result<bool, Refusal> {
    let stands_so = match deed {
        Command::SetAgent { agent, online, .. } => {
            let wanted = if online { Standing::Ready } else { Standing::Offline };
            let row = move |kernel: &Kernel| kernel.state().fleet().agent(agent).cloned();
            context.handle().read(row).await?.is_some_and(|row| row.standing == wanted)
        }
        _ => false,
    };
    context.handle().command(deed).await?;
    Ok(!stands_so)
}

/// What is to be done besides; none: nothing.
fn deed(
    action: &str,
    concern: Concern,
    reason: &ark_os_core::text::Text,
) -> Result<Option<Command>, Refusal> {
    let reason = reason.clone();
    match (action, concern) {
        ("dismiss", _) => Ok(None),
        ("unpark", Concern::Task(run, task)) => {
            Ok(Some(Command::UnparkTask { task: TaskId { run, task }, reason }))
        }
        ("cancel", Concern::Task(run, _)) => Ok(Some(Command::CancelRun { run, reason })),
        ("release", Concern::Agent(agent)) => {
            Ok(Some(Command::SetAgent { agent, online: true, reason }))
        }
        ("offline", Concern::Agent(agent)) => {
            Ok(Some(Command::SetAgent { agent, online: false, reason }))
        }
        _ => {
            let message = match concern {
                Concern::Task(..) => "about a task it is dismiss, unpark or cancel",
                Concern::Agent(_) => "about an agent it is dismiss, release or offline",
            };
            Err(Refusal::new("request_invalid", format!("accept `/action`: {message}"))
                .at("/action", message))
        }
    }
}

async fn look_up(context: &Context, id: u64) -> Result<(Concern, EscalationView), Refusal> {
    let kept = kept_since(context);
    let found = context.handle().read(move |kernel| {
        let state = kernel.state();
        let escalation = state.supervision().find(id).filter(|it| is_kept(it, kept))?;
        Some((escalation.concern, view(state.fleet(), escalation)))
    });
    found.await?.ok_or_else(|| {
        Refusal::new("escalation_not_found", format!("no escalation `{id}` is known"))
            .hint("`GET /api/v1/escalations` lists them")
    })
}

/// What was over before is not shown any more.
fn kept_since(context: &Context) -> Time {
    let retention = context.settings().alert_retention.as_millis();
    let retention = u64::try_from(retention).unwrap_or(u64::MAX);
    Time(context.clock().now().0.saturating_sub(retention))
}

fn is_kept(it: &Escalation, since: Time) -> bool {
    it.closing.as_ref().is_none_or(|closing| closing.at >= since)
}

fn number(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_| {
        Refusal::new("escalation_not_found", "escalations have numbers")
            .hint("`GET /api/v1/escalations` lists them")
    })
}

fn called(desk: &Desk) -> String {
    match desk {
        Desk::Seat(name) => name.to_string(),
        Desk::Human => HUMAN.to_owned(),
    }
}

fn view(fleet: &Fleet, it: &Escalation) -> EscalationView {
    // The number of an agent is its own until the next start; its name stays.
    let about = |agent: AgentIx| match &it.by {
        Some(by) => by.to_string(),
        None => fleet.name(agent),
    };
    let (task, agent) = match it.concern {
        Concern::Task(run, task) => (Some(TaskId { run, task }.to_string()), None),
        Concern::Agent(agent) => (None, Some(about(agent))),
    };
    let rung = |rung: &Rung| RungView {
        remedy: rung.remedy.as_str().to_owned(),
        by: rung.by.as_ref().map(ToString::to_string),
        at: words::stamp(rung.at),
        check: rung.check.map(words::stamp),
        healthy: rung.healthy,
    };
    let passed = |it: &Passed| PassedView { by: called(&it.by), at: words::stamp(it.at) };
    let closing = it.closing.as_ref();
    EscalationView {
        id: it.id,
        state: if closing.is_none() { "open" } else { "closed" }.to_owned(),
        class: it.class.as_str().to_owned(),
        task,
        agent,
        message: it.message.to_string(),
        raised: words::stamp(it.raised),
        by: it.by.as_ref().map(ToString::to_string),
        to: called(&it.to),
        deadline: words::moment(it.deadline).filter(|_| closing.is_none()),
        passed: it.passed.iter().map(passed).collect(),
        ladder: it.ladder.iter().map(rung).collect(),
        action: closing.map(|it| it.action.to_string()),
        reason: closing.map(|it| it.reason.to_string()),
        closed: closing.map(|it| words::stamp(it.at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_core::supervision::{Class, Closing};

    #[test]
    fn an_escalation_is_shown_as_long_as_it_is_open_and_for_a_while_after() {
        let mut it = Escalation {
            id: 1,
            concern: Concern::Agent(AgentIx(3)),
            class: Class::AgentFailing,
            message: "again".into(),
            raised: Time(10),
            by: None,
            to: Desk::Human,
            deadline: Time::NEVER,
            ladder: Vec::new(),
            closing: None,
            passed: Vec::new(),
        };
        assert!(is_kept(&it, Time(1_000)));
        let closing = |at| Some(Closing { action: "dismiss".into(), reason: "so".into(), at });
        for (at, shown) in [(999, false), (1_000, true), (1_001, true)] {
            it.closing = closing(Time(at));
            assert_eq!(is_kept(&it, Time(1_000)), shown, "{at}");
        }
    }
}
