//! HTTP/1.1 messages, read and written by hand: the relay has to break connections where it wants.

use std::io::{BufRead, Read, Write};

/// Bytes of a head, and of a body: workers under test send little.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: u64 = 16 << 20;

/// A request or an answer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// `POST /api/v1/workers HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub(super) first: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Reads one; none: the other side has hung up, or does not speak HTTP.
    pub(super) fn read(from: &mut (impl BufRead + Speaks)) -> Option<Message> {
        let first = line(from)?;
        let mut headers = Vec::new();
        let mut length = first.len();
        loop {
            let line = line(from)?;
            length += line.len();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            if length > HEAD_BYTES_MAX {
                return None;
            }
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut message = Message { first, headers, body: Vec::new() };
        if message.header("expect").is_some() {
            from.say(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        message.body = message.read_body(from)?;
        Some(message)
    }

    fn read_body(&self, from: &mut impl BufRead) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = line(from)?;
                let size = size.split(';').next()?.trim();
                let size = u64::from_str_radix(size, 16).ok()?;
                if body.len() as u64 + size > BODY_BYTES_MAX {
                    return None;
                }
                let read = from.take(size).read_to_end(&mut body).ok()?;
                // The end of the chunk's line, or of the trailers: we know none.
                line(from)?;
                if size == 0 {
                    return Some(body);
                }
                (read as u64 == size).then_some(())?;
            }
        }
        let length = self.header("content-length").map_or(Some(0), |it| it.parse::<u64>().ok())?;
        if length > BODY_BYTES_MAX {
            return None;
        }
        let read = from.take(length).read_to_end(&mut body).ok()?;
        (read as u64 == length).then_some(body)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub(super) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    /// The path of a request, without its query.
    pub(super) fn path(&self) -> &str {
        let path = self.first.split(' ').nth(1).unwrap_or_default();
        path.split('?').next().unwrap_or_default()
    }

    /// The bytes on the wire, with these headers instead of those about the connection.
    pub(super) fn bytes(&self, more: &[(&str, &str)]) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        let own = ["content-length", "transfer-encoding", "connection", "host", "expect"];
        for (name, value) in &self.headers {
            let is_replaced = more.iter().any(|(other, _)| other == name);
            if !own.contains(&name.as_str()) && !is_replaced {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in more {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// A problem document.
    pub(super) fn problem(status: u16, code: &str, retry_after: Option<u32>) -> Message {
        let mut body = serde_json::json!({
            "type": format!("urn:ark-os:error:{code}"),
            "title": "asked for by the conformance test", "status": status, "code": code,
            "detail": "the conformance test answers so on purpose",
        });
        let mut headers = vec![("content-type".to_owned(), ark_os_api::PROBLEM_JSON.to_owned())];
        if let (Some(seconds), Some(map)) = (retry_after, body.as_object_mut()) {
            map.insert("retry_after".to_owned(), seconds.into());
            headers.push(("retry-after".to_owned(), seconds.to_string()));
        }
        let body = body.to_string().into_bytes();
        Message { first: format!("HTTP/1.1 {status} Problem"), headers, body }
    }
}

/// Something that can be told to go on sending.
pub(super) trait Speaks {
    /// Writes at once; none: the other side has hung up.
    fn say(&mut self, bytes: &[u8]) -> Option<()>;
}

impl Speaks for std::io::BufReader<std::net::TcpStream> {
    fn say(&mut self, bytes: &[u8]) -> Option<()> {
        self.get_mut().write_all(bytes).ok()
    }
}

fn line(from: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let read = from.take(HEAD_BYTES_MAX as u64).read_until(b'\n', &mut bytes).ok()?;
    if read == 0 || bytes.pop() != Some(b'\n') {
        return None;
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).ok()
}
