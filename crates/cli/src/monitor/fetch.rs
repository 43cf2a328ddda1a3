//! Asks the instance, on a thread of its own: a slow answer must not stop the keys.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ark_os_api::{
    AgentView, EscalationView, GraphView, Json, LogPage, Overview, Page, Reason, Retry, RunView,
    TaskView, TraceView,
};
use serde_json::Value;

use super::model::{Action, AgentsOf, Answer, EventLine, Input, Request, Verb};
use crate::client::{Client, Reach, segment};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{field, field_text};
use crate::session::Session;
use crate::terminal::one_line;
use crate::threads;

/// Requests that wait for the thread; a screen needs three at a time.
const REQUESTS_MAX: usize = 64;
/// Rows of a page: the most that the API gives.
const PAGE: usize = 500;
/// Pages of the agents of one layer or stack.
const AGENT_PAGES_MAX: usize = 10;
/// Characters of one field of an event.
const FIELD_CHARS_MAX: usize = 60;
/// Fields of an event that its line has in other places.
const LEFT_OUT: [&str; 6] = ["id", "seq", "cause", "at", "run", "type"];

/// Whom to ask, and for whose runs.
pub(super) struct Asked {
    reach: Reach,
    environment: Environment,
    namespace: String,
    client: Option<Client>,
}

impl Asked {
    /// Whoever the session means.
    pub(super) fn new(session: &Session, namespace: &str) -> Self {
        Asked {
            reach: session.reach.clone(),
            environment: session.environment.clone(),
            namespace: namespace.to_owned(),
            client: None,
        }
    }

    /// An instance that was started anew may listen elsewhere: who lost it looks it up again.
    pub(super) fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Client::new(self.reach.address(&self.environment)?);
        self.client = Some(client.clone());
        Ok(client)
    }

    /// The path of the overview.
    pub(super) fn overview_path(&self) -> String {
        format!("/overview?namespace={}", segment(&self.namespace))
    }

    fn answer(&mut self, request: Request) -> Answer {
        let asked = self.client().and_then(|client| self.ask(&client, &request));
        match asked {
            Ok(answer) => answer,
            Err(failure) if failure.code() == "instance_unreachable" => {
                self.client = None;
                Answer::Unreachable { message: failure.message().to_owned() }
            }
            Err(failure) => Answer::Refused { request, message: failure.message().to_owned() },
        }
    }

    fn ask(&self, client: &Client, request: &Request) -> Result<Answer, Failure> {
        Ok(match request {
            Request::Overview => {
                let overview: Overview = client.get(&self.overview_path())?;
                let endpoint = client.address().endpoint.clone();
                Answer::Overview { endpoint, overview: Box::new(overview) }
            }
            Request::Runs { states, limit } => {
                let filter =
                    if states.is_empty() { String::new() } else { format!("&state={states}") };
                let namespace = segment(&self.namespace);
                let path = format!("/runs?namespace={namespace}&limit={limit}{filter}");
                let page: Page<RunView> = client.get(&path)?;
                Answer::Runs { states, items: page.items, more: page.next.is_some() }
            }
            Request::Agents(of) => Answer::Agents { of: of.clone(), agents: agents(client, of)? },
            Request::Agent(id) => {
                let view: AgentView = client.get(&format!("/agents/{}", segment(id)))?;
                let page: Page<TaskView> = client.get(&format!("/agents/{}/tasks", segment(id)))?;
                Answer::Agent { view: Box::new(view), tasks: page.items }
            }
            Request::Escalations => {
                let page: Page<EscalationView> = client.get(&escalations_path())?;
                Answer::Escalations { items: page.items, more: page.next.is_some() }
            }
            Request::Logs { after } => {
                let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
                let page: LogPage = client.get(&format!("/logs?limit={PAGE}{after}"))?;
                Answer::Logs(page)
            }
            Request::Act(action) => act(client, action)?,
            of_run => ask_of_run(client, of_run)?,
        })
    }
}

/// The path of the open escalations.
pub(super) fn escalations_path() -> String {
    format!("/escalations?limit={PAGE}")
}

fn agents(client: &Client, of: &AgentsOf) -> Result<Vec<AgentView>, Failure> {
    let which = match of {
        AgentsOf::Layer(layer) => format!("layer={}", segment(layer)),
        AgentsOf::Stack(stack) => format!("stack={stack}"),
    };
    let mut agents = Vec::new();
    let mut cursor = String::new();
    for _ in 0..AGENT_PAGES_MAX {
        let page: Page<AgentView> = client.get(&format!("/agents?limit={PAGE}&{which}{cursor}"))?;
        agents.extend(page.items);
        let Some(next) = page.next else { break };
        cursor = format!("&cursor={}", segment(&next));
    }
    Ok(agents)
}

fn ask_of_run(client: &Client, request: &Request) -> Result<Answer, Failure> {
    let path = |run: &str, part: &str| format!("/runs/{}{part}", segment(run));
    Ok(match request {
        Request::Run(run) => {
            let view: RunView = client.get(&path(run, ""))?;
            Answer::Run(Box::new(view))
        }
        Request::Graph(run) => {
            let graph: GraphView = client.get(&path(run, "/graph"))?;
            Answer::Graph { run: run.clone(), graph: Box::new(graph) }
        }
        Request::Tasks(run) => {
            let page: Page<TaskView> = client.get(&path(run, &format!("/tasks?limit={PAGE}")))?;
            Answer::Tasks { run: run.clone(), tasks: page.items }
        }
        Request::Trace(run) => {
            let trace: TraceView = client.get(&path(run, &format!("/trace?limit={PAGE}")))?;
            let more = trace.next.is_some();
            let rows = trace.items.into_iter().chain(trace.open).collect();
            Answer::Trace { run: run.clone(), rows, more }
        }
        Request::Events { run, after } => {
            let after = after.as_ref().map(|after| format!("&after={}", segment(after)));
            let query = format!("/events?limit={PAGE}{}", after.unwrap_or_default());
            let page: Page<Json> = client.get(&path(run, &query))?;
            let events: Vec<EventLine> =
                page.items.iter().map(|event| event_line(event.get())).collect();
            Answer::Events { run: run.clone(), more: events.len() == PAGE, events }
        }
        _ => return Err(Failure::new("internal", "no such request")),
    })
}

/// An event as a line; empty fields where a number of a payload has no form here.
fn event_line(json: &str) -> EventLine {
    let event: Value = serde_json::from_str(json).unwrap_or_default();
    let mut text = field_text(&event, "type");
    for (name, value) in event.as_object().into_iter().flatten() {
        if LEFT_OUT.contains(&name.as_str()) || value.is_null() {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // The run is known here: of a task only its number is news.
        let value = match value.strip_prefix("task_").and_then(|it| it.split_once('_')) {
            Some((_, number)) => number.to_owned(),
            None => value,
        };
        let value: String = one_line(&value).chars().take(FIELD_CHARS_MAX).collect();
        text.push_str(&format!(" {}={value}", one_line(name)));
    }
    EventLine { id: field_text(&event, "id"), at: field_text(&event, "at"), text }
}

fn act(client: &Client, action: &Action) -> Result<Answer, Failure> {
    let (word, target) = (action.verb.word(), segment(&action.target));
    let reason = Some(action.reason.trim().to_owned());
    let answer: Json = match action.verb {
        Verb::Unpark => {
            client.post(&format!("/tasks/{target}/{word}"), &Reason { reason }, None)?
        }
        Verb::Retry => {
            let body = Retry { task: None, reason };
            client.post(&format!("/runs/{target}/{word}"), &body, None)?
        }
        _ => client.post(&format!("/runs/{target}/{word}"), &Reason { reason }, None)?,
    };
    let answer: Value = serde_json::from_str(answer.get()).unwrap_or_default();
    let state = field(&answer, "state").as_str().map(one_line).unwrap_or_default();
    Ok(Answer::Acted { action: action.clone(), state })
}

/// Starts the thread; whoever holds the sender asks, the answers come as inputs.
pub(super) fn start(
    mut asked: Asked,
    inputs: SyncSender<Input>,
) -> Result<SyncSender<Request>, Failure> {
    let (requests, waiting): (_, Receiver<Request>) = sync_channel(REQUESTS_MAX);
    threads::spawn("ark-asking", move || {
        let ends = super::live::Ends(inputs);
        for request in waiting {
            let answer = asked.answer(request);
            if ends.0.send(Input::Answered(answer)).is_err() {
                return;
            }
        }
    })?;
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_short_line() {
        let line = event_line(
            r#"{"id":"17.1","seq":17,"cause":0,"at":"2026-01-31T12:00:00.000Z","run":"run_1",
                "type":"task_ready","task":"task_01JZ_3.7","note":"a\u001b[31mb","none":null}"#,
        );
        let want = EventLine {
            id: "17.1".to_owned(),
            at: "2026-01-31T12:00:00.000Z".to_owned(),
            text: "task_ready note=a [31mb task=3.7".to_owned(),
        };
        assert_eq!(line, want);
        assert_eq!(event_line("no json").text, "");
    }
}
