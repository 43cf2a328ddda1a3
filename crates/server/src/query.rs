//! Query parameters: what each list and wait takes, refused where it is unknown or out of range.

use std::time::Duration;

use ark_os_core::layer::Layer;
use ark_os_core::manifest::parse_duration_ms;
use axum::extract::Query;
use axum::http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problems::Refusal;

/// The longest `?wait`: who asks for more waits as long, and asks again.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Items of a page where nobody asks for another number.
pub(crate) const LIMIT: usize = 100;
/// Items of a page at most.
pub(crate) const LIMIT_MAX: usize = 500;

/// `?wait`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Waiting {
    /// Wait for the result, such as `30s`; `true` for the longest, 10 minutes
    wait: Option<String>,
}

impl Waiting {
    /// How long to wait; none: do not.
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("wait", self.wait.as_deref())
    }
}

fn patience(name: &str, text: Option<&str>) -> Result<Option<Duration>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let patience = match text {
        "false" => return Ok(None),
        "" | "true" => WAIT_MAX,
        text => parse_duration_ms(text).map(Duration::from_millis).ok_or_else(|| {
            wrong(name, "it is a duration such as `30s`, or `true` for the longest")
        })?,
    };
    Ok(Some(patience.min(WAIT_MAX)))
}

/// What `POST /messages` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplyQuery {
    /// Send it as a request and wait for the answers, such as `5s`; at most 10 minutes
    reply: Option<String>,
}

impl ReplyQuery {
    /// How long to wait for answers; none: do not ask.
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("reply", self.reply.as_deref())
    }
}

/// What `GET /agents/{id}/messages` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MailQuery {
    /// The `place` of the last message that was seen
    #[serde(default)]
    pub(crate) after: u64,
    /// Wait for the next where there is none, such as `30s`; at most 10 minutes
    wait: Option<String>,
}

impl MailQuery {
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("wait", self.wait.as_deref())
    }
}

/// What `POST /agents/{id}/messages/take` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TakeQuery {
    /// Messages; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) max: Limit,
    /// Wait for the next where there is none, such as `30s`; at most 10 minutes
    wait: Option<String>,
}

impl TakeQuery {
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("wait", self.wait.as_deref())
    }
}

/// `?cursor` and `?limit`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// `next` of the page before
    pub(crate) cursor: Option<String>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// `?namespace`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Namespaced {
    /// `default` where nobody asks
    pub(crate) namespace: Option<String>,
}

/// `?namespace` and `?reason`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Reasoned {
    /// `default` where nobody asks
    pub(crate) namespace: Option<String>,
    /// Why; recorded
    pub(crate) reason: Option<String>,
}

/// What `GET /agents` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AgentsQuery {
    /// Of this layer
    #[param(value_type = Option<String>)]
    pub(crate) layer: Option<Layer>,
    /// Of this stack: its chief and those he supervises
    pub(crate) stack: Option<u32>,
    /// `next` of the page before
    pub(crate) cursor: Option<String>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// What `GET /runs` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// In one of these states, separated by commas
    pub(crate) state: Option<String>,
    /// Of the workflow of this name
    pub(crate) workflow: Option<String>,
    /// `default` where nobody asks
    pub(crate) namespace: Option<String>,
    /// `next` of the page before
    pub(crate) cursor: Option<String>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// What `GET /schedules` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SchedulesQuery {
    /// `default` where nobody asks
    pub(crate) namespace: Option<String>,
    /// `next` of the page before
    pub(crate) cursor: Option<String>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// What `GET /escalations` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EscalationsQuery {
    /// `open` where nobody asks, oldest first; or `closed`, newest first
    #[param(pattern = "^(open|closed)$")]
    pub(crate) state: Option<String>,
    /// Only those that this agent is to see to, or `human`: a person
    pub(crate) to: Option<String>,
    /// `next` of the page before
    pub(crate) cursor: Option<String>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// What `GET /runs/{id}/events` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The id of the last event seen
    pub(crate) after: Option<String>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// What `GET /runs/{id}/trace` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TraceQuery {
    /// `next` of the page before
    pub(crate) after: Option<String>,
    /// Only of this task: its id, its name, or `map[17]`
    pub(crate) task: Option<String>,
    /// 1: of the run, 2: of tasks too, 3: of attempts, 4 (where nobody asks): all
    #[param(minimum = 1, maximum = 4)]
    pub(crate) depth: Option<u32>,
    /// `true`: rows for every child of a map, not one for all
    pub(crate) expand: Option<bool>,
    /// Items of the page; 100 where nobody asks
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 500)]
    pub(crate) limit: Limit,
}

/// What `GET /runs/{id}/graph` takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GraphQuery {
    /// `json` where nobody asks, `text`, `dot` (Graphviz) or `mermaid`
    #[param(pattern = "^(json|text|dot|mermaid)$")]
    pub(crate) format: Option<String>,
}

/// Items of a page.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "usize")]
pub(crate) struct Limit(usize);

impl Limit {
    pub(crate) fn items(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Limit(LIMIT)
    }
}

impl TryFrom<usize> for Limit {
    type Error = String;

    fn try_from(asked: usize) -> Result<Self, String> {
        match asked {
            1..=LIMIT_MAX => Ok(Limit(asked)),
            _ => Err(format!("it is 1 to {LIMIT_MAX}")),
        }
    }
}

/// Reads the parameters.
pub(crate) fn read<T: DeserializeOwned + Default>(uri: &Uri) -> Result<T, Refusal> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(T::default());
    }
    Query::<T>::try_from_uri(uri).map(|Query(query)| query).map_err(|rejection| {
        // Who refuses, which parameter if it is one of ours, and why.
        let text = rejection.body_text();
        let text = text.split_once(": ").map_or(text.as_str(), |(_, text)| text);
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match text.split_once(": ").filter(|(name, _)| is_name(name)) {
            Some((name, message)) => wrong(name, message),
            None => Refusal::new("query_invalid", format!("accept the query: {text}")),
        }
    })
}

/// A cursor that is not one of this list, or whose place in it is forgotten.
pub(crate) fn cursor_invalid() -> Refusal {
    Refusal::new("cursor_invalid", "the cursor was not given out by this list")
}

/// A cursor that is a number.
pub(crate) fn number_cursor(cursor: Option<&str>) -> Result<Option<u64>, Refusal> {
    cursor.map(|it| it.parse().map_err(|_| cursor_invalid())).transpose()
}

pub(crate) fn wrong(name: &str, message: &str) -> Refusal {
    Refusal::new("query_invalid", format!("accept `?{name}`: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(query: &str) -> Result<Option<Duration>, String> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        let waiting: Waiting = read(&uri).map_err(|it| it.0.code)?;
        waiting.patience().map_err(|it| it.0.code)
    }

    #[test]
    fn waits_read_as_written_and_never_longer_than_the_longest() {
        assert_eq!(patience(""), Ok(None));
        assert_eq!(patience("wait=30s"), Ok(Some(Duration::from_secs(30))));
        assert_eq!(patience("wait=true"), Ok(Some(WAIT_MAX)));
        assert_eq!(patience("wait=11m"), Ok(Some(WAIT_MAX)));
        for query in ["wait=soon", "wai=1s", "wait=1s&x=1"] {
            assert_eq!(patience(query), Err("query_invalid".to_owned()), "{query}");
        }
    }

    #[test]
    fn a_parameter_that_is_wrong_is_named() {
        fn detail<T: DeserializeOwned + Default + std::fmt::Debug>(query: &str) -> String {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            read::<T>(&uri).unwrap_err().0.detail.unwrap_or_default()
        }
        let many = "accept `?limit`: it is 1 to 500";
        assert_eq!(detail::<Paging>("limit=0"), many);
        assert_eq!(detail::<Paging>("cursor=1&limit=501"), many);
        assert_eq!(detail::<TakeQuery>("max=0"), "accept `?max`: it is 1 to 500");
        let word = detail::<Paging>("limit=all");
        assert_eq!(word, "accept `?limit`: invalid digit found in string");
        let unknown = detail::<Paging>("limits=1");
        let said = "accept `?limits`: unknown field `limits`, expected";
        assert!(unknown.starts_with(said), "{unknown}");
    }
}
