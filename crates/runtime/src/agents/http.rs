//! Services: the input is posted with the step key in `Idempotency-Key`, and a 2xx with JSON is the
//! output.
//!
//! What is not certain is said so. A call that ends before a byte of the request was sent did not
//! happen; one that ends after that, without an answer, may have; and so may one that a server or
//! gateway answers with a 5xx that is not declared to mean the contrary.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ark_os_core::agent::{HttpProbe, HttpSpec, SecretRef};
use ark_os_core::budget::Amounts;
use ark_os_core::plan::EffectClass;
use ark_os_core::text::beginning;
use ureq::http::{HeaderName, HeaderValue};

use super::secret::{Secret, Secrets};
use super::{Effects, Fault};
use crate::skills::{Effect, Host, ProbeAnswer, SkillError};

mod call;
mod egress;
mod tls;

use call::{Answer, Broken, Caller, Stage, Wanted};

/// Characters of a refusal's body that an error repeats.
const EXCERPT_CHARS_MAX: usize = 500;
/// Bytes of headers that a call may move besides its body: reserved, so that none is over.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// A service that is posted to.
pub(super) struct Service {
    url: String,
    class: EffectClass,
    timeout: Duration,
    retry_statuses: BTreeSet<u16>,
    response_bytes_max: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
    secrets: Secrets,
    caller: Caller,
    probe: Option<HttpProbe>,
}

impl Service {
    /// Sets a service up: its secrets are read, its authorities loaded.
    pub(super) fn open(
        spec: &HttpSpec,
        base: &Path,
        secret: &dyn Fn(&SecretRef) -> Result<Secret, String>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let (headers, secrets) = read_headers(spec, secret, &mut faults);
        let urls = [Some(&spec.url), spec.probe.as_ref().map(|probe| &probe.url)];
        let is_secure = urls.into_iter().flatten().any(|url| url.starts_with("https://"));
        let ca_file = spec.ca_file.as_deref().map(|file| base.join(file));
        let tls = is_secure.then(|| tls::open(ca_file)).transpose();
        let tls = tls.unwrap_or_else(|why| {
            faults.push(Fault::at("/ca_file", why));
            None
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let connect_timeout = Duration::from_millis(spec.connect_timeout_ms);
        Ok(Service {
            url: spec.url.clone(),
            class: spec.effect,
            timeout: Duration::from_millis(spec.timeout_ms),
            retry_statuses: spec.retry_statuses.clone(),
            response_bytes_max: spec.response_bytes_max,
            headers,
            secrets: Secrets::new(&secrets),
            caller: Caller { tls, connect_timeout, allows_private: spec.allows_private },
            probe: spec.probe.clone(),
        })
    }

    fn wanted(&self, url: &str, timeout: Duration) -> Wanted {
        Wanted {
            url: url.to_owned(),
            headers: self.headers.clone(),
            body: None,
            timeout,
            bytes_max: self.response_bytes_max,
        }
    }

    /// What a call came to, in the words of an effect.
    fn outcome(&self, answer: &Answer) -> Result<Vec<u8>, SkillError> {
        let status = answer.status;
        if (200..300).contains(&status) {
            return self.output(answer);
        }
        let message = self.told(answer);
        if self.retry_statuses.contains(&status) {
            return Err(SkillError::retryable("http.busy", message));
        }
        // A redirection often is what follows on something done.
        let is_certain = self.class.is_repeatable() || (400..500).contains(&status);
        let code = if status < 500 || is_certain { "http.status" } else { "http.server_failed" };
        Err(match is_certain {
            true => SkillError::permanent(code, message),
            false => SkillError::unknown(code, message),
        })
    }

    /// It happened, and there is no result of it: whoever may not repeat it needs one from elsewhere.
    fn unusable(&self, code: &str, message: String) -> SkillError {
        match self.class.is_repeatable() {
            true => SkillError::permanent(code, message),
            false => SkillError::unknown(code, message),
        }
    }

    fn output(&self, answer: &Answer) -> Result<Vec<u8>, SkillError> {
        let at = place(&self.url);
        if answer.is_cut {
            let max = self.response_bytes_max;
            let message = format!("read the answer of {at}: more than {max} bytes");
            return Err(self.unusable("http.output_too_large", message));
        }
        // 204 and the like: done, and nothing to say about it.
        if answer.body.is_empty() {
            return Ok(b"null".to_vec());
        }
        self.secrets.hide_json(&answer.body).ok_or_else(|| {
            let told = self.excerpt(answer);
            let message = format!("read the answer of {at}: it is not JSON (`{told}`)");
            self.unusable("http.output_invalid", message)
        })
    }

    /// A refusal for people: where, which status, and the beginning of what was said.
    fn told(&self, answer: &Answer) -> String {
        let excerpt = self.excerpt(answer);
        format!("call {}: status {}: {excerpt}", place(&self.url), answer.status)
    }

    /// The beginning of a body. Secrets are hidden before it is cut: half of one is one too. A body that was
    /// longer than allowed is not here, not even its beginning.
    fn excerpt(&self, answer: &Answer) -> String {
        let hidden = self.secrets.hide_json(&answer.body);
        let body = hidden.unwrap_or_else(|| self.secrets.hide(answer.body.clone()));
        beginning(&String::from_utf8_lossy(&body), EXCERPT_CHARS_MAX)
    }

    /// What a call without an answer means to its effect.
    fn broken(&self, url: &str, broken: &Broken) -> SkillError {
        let message = self.secrets.hide_text(format!("call {}: {}", place(url), broken.message));
        match broken.stage {
            Stage::Cancelled => SkillError::cancelled(),
            Stage::Refused => SkillError::permanent("http.egress_denied", message)
                .with_hint("only public addresses are called, unless `allow_private` says more"),
            Stage::Untrusted => SkillError::permanent("http.tls", message),
            Stage::NotSent => SkillError::retryable("http.unreachable", message),
            Stage::Sent => SkillError::unknown("http.no_answer", message),
        }
    }
}

impl Effects for Service {
    fn class(&self) -> EffectClass {
        self.class
    }

    fn output_bytes_max(&self) -> usize {
        // Hiding a short secret makes an answer longer: at most `"[secret]"`, ten bytes, stands for six of
        // a number.
        usize::try_from(self.response_bytes_max.saturating_mul(2)).unwrap_or(usize::MAX)
    }

    fn reserve(&self, input_bytes: u64) -> Amounts {
        let bytes = input_bytes + self.response_bytes_max + HEADER_BYTES_MAX;
        Amounts { calls: 1, bytes, ..Amounts::ZERO }
    }

    /// Its host is known, and somebody accepts a connection there.
    fn health(&self) -> Result<(), String> {
        let reached = self.caller.reach(&self.url);
        reached.map_err(|why| format!("reach {}: {why}", place(&self.url)))
    }

    fn effect<'a>(&'a self, host: &'a dyn Host, input: &'a [u8]) -> Box<dyn Effect + 'a> {
        Box::new(Post { service: self, host, input, moved: 0 })
    }
}

/// One call of a service.
struct Post<'a> {
    service: &'a Service,
    host: &'a dyn Host,
    input: &'a [u8],
    /// Bytes of bodies, in and out.
    moved: u64,
}

impl Effect for Post<'_> {
    fn perform(&mut self, key: &str) -> Result<Vec<u8>, SkillError> {
        let service = self.service;
        let mut wanted = service.wanted(&service.url, service.timeout);
        let key = HeaderValue::try_from(key)
            .map_err(|_| SkillError::permanent("internal", "name the step in a header"))?;
        wanted.headers.push((HeaderName::from_static("idempotency-key"), key));
        wanted.body = Some(self.input.to_vec());
        self.moved = self.input.len() as u64;
        match service.caller.call(wanted, self.host) {
            Ok(answer) => {
                self.moved += answer.body.len() as u64;
                service.outcome(&answer)
            }
            Err(broken) => Err(service.broken(&service.url, &broken)),
        }
    }

    fn probe(&mut self, key: &str) -> Result<ProbeAnswer, SkillError> {
        let Some(probe) = &self.service.probe else { return Ok(ProbeAnswer::Unknown) };
        let url = probe.url.replace("{key}", key);
        let wanted = self.service.wanted(&url, Duration::from_millis(probe.timeout_ms));
        match self.service.caller.call(wanted, self.host) {
            Ok(answer) if answer.status == 404 => Ok(ProbeAnswer::NotHappened),
            Ok(answer) if answer.status == 200 => {
                let output = self.service.output(&answer);
                Ok(output.map_or(ProbeAnswer::Unknown, ProbeAnswer::Happened))
            }
            // Who is busy or down may be able to tell later.
            Ok(answer) if answer.status == 429 || answer.status >= 500 => {
                Err(SkillError::retryable("http.probe_unanswered", self.service.told(&answer)))
            }
            Ok(_) => Ok(ProbeAnswer::Unknown),
            Err(broken) => {
                let error = self.service.broken(&url, &broken);
                let message = error.message().to_owned();
                match broken.stage {
                    // A question changes nothing: it is asked again.
                    Stage::NotSent | Stage::Sent => {
                        Err(SkillError::retryable("http.probe_unanswered", message))
                    }
                    Stage::Cancelled => Err(SkillError::retryable("skill.cancelled", message)),
                    Stage::Refused | Stage::Untrusted => Ok(ProbeAnswer::Unknown),
                }
            }
        }
    }

    fn settle_after(&self) -> Duration {
        let probe = self.service.probe.as_ref();
        Duration::from_millis(probe.map_or(0, |probe| probe.settle_after_ms))
    }

    fn spent(&self) -> Amounts {
        Amounts { calls: 1, bytes: self.moved, ..Amounts::ZERO }
    }
}

/// The headers of every call, and the secrets among them.
fn read_headers(
    spec: &HttpSpec,
    secret: &dyn Fn(&SecretRef) -> Result<Secret, String>,
    faults: &mut Vec<Fault>,
) -> (Vec<(HeaderName, HeaderValue)>, Vec<Secret>) {
    let (mut headers, mut secrets) = (Vec::new(), Vec::new());
    for (name, value) in &spec.headers {
        match header_name(name).and_then(|it| Ok((it, header_value(name, value)?))) {
            Ok(header) => headers.push(header),
            Err(why) => faults.push(Fault::at(below("/headers", name), why)),
        }
    }
    for (name, place) in &spec.secret_headers {
        let read = || -> Result<_, String> {
            let found = secret(place)?;
            let mut value = header_value(name, found.reveal())?;
            value.set_sensitive(true);
            Ok(((header_name(name)?, value), found))
        };
        match read() {
            Ok((header, found)) => {
                headers.push(header);
                secrets.push(found);
            }
            Err(why) => faults.push(Fault::at(below("/secret_headers", name), why)),
        }
    }
    (headers, secrets)
}

/// An address without its query, which may say more than everybody should read.
fn place(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// The pointer to an entry.
fn below(map: &str, name: &str) -> String {
    format!("{map}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not the name of a header"))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(value).map_err(|_| format!("the value of the header `{name}` is not one"))
}
