//! Reading `behaviour.http`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::fields::Fields;
use super::super::findings::{Pointer, Report, code};
use super::super::limits::{CODES_MAX, PATH_BYTES_MAX, RESPONSE_BYTES_MAX, URL_BYTES_MAX};
use super::super::shape;
use super::{check_probe, read_effect, read_pairs, read_time};
use crate::agent::{HttpProbe, HttpSpec, SecretRef};
use crate::plan::EffectClass;

/// Time for a call that names none.
const TIMEOUT_MS: u64 = 30_000;
/// Time for a connection that names none: a host that is there answers far sooner.
const CONNECT_TIMEOUT_MS: u64 = 3_000;
/// The longest answer where nothing is said.
const RESPONSE_BYTES: u64 = 1024 * 1024;
/// Statuses after which a repeatable call is tried again.
const RETRY_STATUSES: [u16; 4] = [429, 502, 503, 504];
/// Those that say of any call that it was not done. A gateway's 502 and 504 do not.
const REFUSALS: [u16; 2] = [429, 503];
/// Headers that the call itself sets.
const OWN_HEADERS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
    "upgrade",
];
/// Stands for the step key in the address of a probe.
const KEY_MARK: &str = "{key}";

pub(super) fn read(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Box<HttpSpec>> {
    let fields = Fields::open(value, at, &shape::HTTP, report)?;
    fields.required("url", report);
    let effect = read_effect(&fields, report).unwrap_or(EffectClass::Effectful);
    let timeout_ms = read_time(&fields, "timeout", 1, report).unwrap_or(TIMEOUT_MS);
    let probe = fields.value("probe");
    check_probe(&fields, effect, probe.is_some(), report);
    let probe = probe.and_then(|(value, at)| read_probe(value, &at, timeout_ms, report));
    let connect = read_time(&fields, "connect_timeout", 1, report).unwrap_or(CONNECT_TIMEOUT_MS);
    let bytes = fields.bytes("response_bytes_max", 1..=RESPONSE_BYTES_MAX, report);
    let (headers, secret_headers) = read_headers(&fields, report);
    let spec = HttpSpec {
        url: read_url(&fields, report).unwrap_or_default(),
        effect,
        timeout_ms,
        connect_timeout_ms: connect.min(timeout_ms),
        response_bytes_max: bytes.unwrap_or(RESPONSE_BYTES),
        retry_statuses: read_statuses(&fields, effect, report),
        headers,
        secret_headers,
        ca_file: fields.text("ca_file", PATH_BYTES_MAX, report).map(str::to_owned),
        allows_private: fields.flag("allow_private", report).unwrap_or(false),
        probe,
    };
    check_secrecy(&spec, &fields, report);
    (!spec.url.is_empty()).then(|| Box::new(spec))
}

fn read_url(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<String> {
    let url = fields.text("url", URL_BYTES_MAX, report)?;
    match check_url(url) {
        Ok(()) => Some(url.to_owned()),
        Err(rule) => {
            report.add(&fields.at().key("url"), code::INVALID_VALUE, rule);
            None
        }
    }
}

/// Scheme and authority of an address, strictly: what is not understood here is not called.
fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or("an address begins with `https://` or `http://`")?;
    if !url.bytes().all(|b| b.is_ascii_graphic()) || url.contains('\\') {
        return Err("an address has printable ASCII characters only");
    }
    if url.contains('#') {
        return Err("an address that is called has no fragment");
    }
    let host = authority(rest);
    if host.contains('@') {
        return Err("an address has no user in it: use `secret_headers`");
    }
    if host_of(host).is_empty() { Err("an address has a host") } else { Ok(()) }
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// The host without its port.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// A secret is not sent in the clear, but to this very machine.
fn check_secrecy(spec: &HttpSpec, fields: &Fields<'_>, report: &mut Report<'_>) {
    let in_the_clear = |url: &str| {
        let host = url.strip_prefix("http://").map(|rest| host_of(authority(rest)));
        host.is_some_and(|host| !matches!(host, "localhost" | "::1") && !is_loopback_v4(host))
    };
    let urls = [Some(&spec.url), spec.probe.as_ref().map(|probe| &probe.url)];
    let is_open = urls.into_iter().flatten().any(|url| in_the_clear(url));
    if is_open && !spec.secret_headers.is_empty() {
        let message = "a secret is never sent over plain `http`";
        let at = fields.at().key("secret_headers");
        report.add_hint(&at, code::CONFLICTING_FIELDS, message, "use an `https://` address");
    }
}

/// `127.0.0.1` and the like, written as people write them.
fn is_loopback_v4(host: &str) -> bool {
    let parts: Option<Vec<u8>> = host.split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.len() == 4 && parts.first() == Some(&127))
}

fn read_statuses(
    fields: &Fields<'_>,
    effect: EffectClass,
    report: &mut Report<'_>,
) -> BTreeSet<u16> {
    let Some((list, at)) = fields.list("retry_statuses", report) else {
        let all: &[u16] = if effect.is_repeatable() { &RETRY_STATUSES } else { &REFUSALS };
        return all.iter().copied().collect();
    };
    let statuses: Option<BTreeSet<u16>> = list
        .iter()
        .map(|value| value.as_u64().and_then(|it| u16::try_from(it).ok()))
        .map(|status| status.filter(|status| (400..=599).contains(status)))
        .collect();
    let statuses = statuses.filter(|_| list.len() <= CODES_MAX);
    if statuses.is_none() {
        report.add(&at, code::OUT_OF_RANGE, "a status to retry is from 400 to 599");
    }
    statuses.unwrap_or_default()
}

fn read_headers(
    fields: &Fields<'_>,
    report: &mut Report<'_>,
) -> (BTreeMap<String, String>, BTreeMap<String, SecretRef>) {
    let headers = read_pairs(fields, "headers", check_header, report);
    let check = |name: &str, value: &str| {
        check_header(name, "x")?;
        match SecretRef::parse(value) {
            Some(_) => Ok(()),
            None => Err("a secret is named `env:NAME` or `file:PATH`, never written here"),
        }
    };
    let secrets = read_pairs(fields, "secret_headers", check, report);
    for name in
        secrets.keys().filter(|name| headers.keys().any(|other| other.eq_ignore_ascii_case(name)))
    {
        let at = fields.at().key("secret_headers").key(name);
        report.add(&at, code::CONFLICTING_FIELDS, "this header is among `headers` already");
    }
    let secrets = secrets.into_iter();
    let secrets = secrets.filter_map(|(name, value)| Some((name, SecretRef::parse(&value)?)));
    (headers, secrets.collect())
}

fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("not the name of a header");
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err("this header is set by the call itself");
    }
    let is_plain = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    if is_plain { Ok(()) } else { Err("a header's value has printable ASCII characters only") }
}

fn read_probe(
    value: &Value,
    at: &Pointer,
    timeout_ms: u64,
    report: &mut Report<'_>,
) -> Option<HttpProbe> {
    let fields = Fields::open(value, at, &shape::HTTP_PROBE, report)?;
    fields.required("url", report);
    let own_ms = read_time(&fields, "timeout", 1, report).unwrap_or(timeout_ms);
    // A call that was cut off is over, one way or the other, after the time that a call may take.
    let settle_after_ms = read_time(&fields, "settle_after", 0, report).unwrap_or(timeout_ms);
    let url = read_url(&fields, report)?;
    if !url.contains(KEY_MARK) {
        let message = "the address of a probe names the step: put `{key}` in it";
        report.add(&at.key("url"), code::INVALID_VALUE, message);
    }
    Some(HttpProbe { url, timeout_ms: own_ms, settle_after_ms })
}
