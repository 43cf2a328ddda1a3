//! Query parameters: what each list and wait takes, refused where it is unknown or out of range.

use std::time::Duration;

use ark_os_core::layer::Layer;
use ark_os_core::manifest::parse_duration_ms;
use axum::extract::Query;
use axum::http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problems::Refusal;

/// The longest `?wait`: who asks for more waits as long, and asks again.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Items of a page where nobody asks for another number.
pub(crate) const LIMIT: usize = 100;
/// Items of a page at most.
pub(crate) const LIMIT_MAX: usize = 500;

/// `?wait`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiting {
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
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplyQuery {
    reply: Option<String>,
}

impl ReplyQuery {
    /// How long to wait for answers; none: do not ask.
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("reply", self.reply.as_deref())
    }
}

/// What `GET /agents/{id}/messages` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailQuery {
    #[serde(default)]
    pub(crate) after: u64,
    wait: Option<String>,
}

impl MailQuery {
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("wait", self.wait.as_deref())
    }
}

/// What `POST /agents/{id}/messages/take` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakeQuery {
    max: Option<usize>,
    wait: Option<String>,
}

impl TakeQuery {
    pub(crate) fn patience(&self) -> Result<Option<Duration>, Refusal> {
        patience("wait", self.wait.as_deref())
    }

    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        limit_of("max", self.max)
    }
}

/// `?cursor` and `?limit`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    pub(crate) cursor: Option<String>,
    limit: Option<usize>,
}

impl Paging {
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        limit(self.limit)
    }
}

/// `?namespace`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Namespaced {
    pub(crate) namespace: Option<String>,
}

/// `?namespace` and `?reason`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reasoned {
    pub(crate) namespace: Option<String>,
    pub(crate) reason: Option<String>,
}

/// What `GET /agents` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentsQuery {
    pub(crate) layer: Option<Layer>,
    pub(crate) stack: Option<u32>,
    pub(crate) cursor: Option<String>,
    limit: Option<usize>,
}

impl AgentsQuery {
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        limit(self.limit)
    }
}

/// What `GET /runs` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsQuery {
    pub(crate) state: Option<String>,
    pub(crate) workflow: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) cursor: Option<String>,
    limit: Option<usize>,
}

impl RunsQuery {
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        limit(self.limit)
    }
}

/// What `GET /runs/{id}/events` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    pub(crate) after: Option<String>,
    limit: Option<usize>,
}

impl EventsQuery {
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        limit(self.limit)
    }
}

/// What `GET /runs/{id}/trace` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TraceQuery {
    pub(crate) after: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) depth: Option<u32>,
    pub(crate) expand: Option<bool>,
    limit: Option<usize>,
}

impl TraceQuery {
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        limit(self.limit)
    }
}

/// What `GET /runs/{id}/graph` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphQuery {
    pub(crate) format: Option<String>,
}

pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Refusal> {
    limit_of("limit", asked)
}

fn limit_of(name: &str, asked: Option<usize>) -> Result<usize, Refusal> {
    match asked {
        None => Ok(LIMIT),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(wrong(name, &format!("it is 1 to {LIMIT_MAX}"))),
    }
}

/// Reads the parameters.
pub(crate) fn read<T: DeserializeOwned + Default>(uri: &Uri) -> Result<T, Refusal> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(T::default());
    }
    Query::<T>::try_from_uri(uri).map(|Query(query)| query).map_err(|rejection| {
        let message = rejection.body_text();
        let message = message.rsplit_once(": ").map_or(message.as_str(), |(_, message)| message);
        Refusal::new("query_invalid", format!("accept the query: {message}"))
    })
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
}
