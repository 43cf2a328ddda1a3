//! A small HTTP/1.1 client over one connection: as little work as possible beside the server's.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::BenchError;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: String,
    pub(super) token: String,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

impl Target {
    pub(super) async fn connect(&self) -> Result<Connection, BenchError> {
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(BenchError::io("connect to the node"))?;
        stream.set_nodelay(true).map_err(BenchError::io("set up the connection"))?;
        let head = format!(
            "host: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
            self.address, self.token
        );
        Ok(Connection { stream, head, buffer: Vec::new(), request: Vec::new() })
    }

    pub(super) async fn metrics(&self) -> Result<serde_json::Value, BenchError> {
        let mut connection = self.connect().await?;
        let (status, body) = connection.call("GET", "/api/v1/metrics", b"").await?;
        if status != 200 {
            return Err(BenchError::new(format!("the node's metrics answer {status}")));
        }
        serde_json::from_slice(&body)
            .map_err(|error| BenchError::new(format!("the node's metrics: {error}")))
    }
}

impl Connection {
    /// Every request from now on has this header.
    pub(super) fn add_header(&mut self, name: &str, value: &str) {
        self.head.push_str(&format!("{name}: {value}\r\n"));
    }

    /// Sends a request and reads the whole answer: status and body.
    pub(super) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), BenchError> {
        self.request.clear();
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{}content-length: {}\r\n\r\n",
            self.head,
            body.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).await.map_err(BenchError::io("send a request"))?;
        let (status, length) = self.read_head().await?;
        let body = match length {
            Length::Known(length) => self.read_exactly(length).await?,
            Length::Chunked => {
                let mut body = Vec::new();
                while let Some(chunk) = self.read_chunk().await? {
                    body.extend_from_slice(&chunk);
                }
                body
            }
        };
        Ok((status, body))
    }

    /// Posts lines and counts the lines of the answer, reading while it still writes.
    pub(super) async fn batch(&mut self, path: &str, lines: &[u8]) -> Result<Lines, BenchError> {
        let head = format!(
            "POST {path} HTTP/1.1\r\n{}content-length: {}\r\n\r\n",
            self.head.replace("application/json", "application/x-ndjson"),
            lines.len()
        );
        let mut answered = Lines::default();
        let (mut reader, mut writer) = self.stream.split();
        let write = async {
            writer.write_all(head.as_bytes()).await?;
            writer.write_all(lines).await
        };
        let read = async {
            let mut chunk = vec![0; CHUNK];
            let mut tail = Vec::new();
            loop {
                let read = reader.read(&mut chunk).await?;
                answered.take(chunk.get(..read).unwrap_or_default());
                tail.extend_from_slice(chunk.get(..read).unwrap_or_default());
                let keep = tail.len().saturating_sub(5);
                tail.drain(..keep);
                if read == 0 || tail == b"0\r\n\r\n" {
                    return Ok::<(), std::io::Error>(());
                }
            }
        };
        tokio::try_join!(write, read).map_err(BenchError::io("post a batch"))?;
        Ok(answered)
    }

    async fn fill(&mut self) -> Result<(), BenchError> {
        let mut chunk = vec![0; CHUNK];
        let read = self.stream.read(&mut chunk).await.map_err(BenchError::io("read an answer"))?;
        if read == 0 {
            return Err(BenchError::new("read an answer: the node closed the connection"));
        }
        self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(())
    }

    async fn read_line(&mut self) -> Result<String, BenchError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.fill().await?;
        }
    }

    async fn read_head(&mut self) -> Result<(u16, Length), BenchError> {
        let status = self.read_line().await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut length = Length::Known(0);
        loop {
            let line = self.read_line().await?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Length::Known(value.trim().parse().unwrap_or(0));
            }
            if line.starts_with("transfer-encoding:") && line.contains("chunked") {
                length = Length::Chunked;
            }
        }
    }

    async fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, BenchError> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, BenchError> {
        let size = self.read_line().await?;
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|_| BenchError::new("read an answer: a chunk without a size"))?;
        let chunk = self.read_exactly(size).await?;
        self.read_line().await?;
        Ok((size > 0).then_some(chunk))
    }
}

enum Length {
    Known(usize),
    Chunked,
}

/// What a batch was answered with.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// Lines in all, the heads of chunks left out.
    pub(super) count: u64,
    /// Lines that say that the task succeeded.
    pub(super) succeeded: u64,
    /// Lines that say that the task is accepted.
    pub(super) accepted: u64,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

/// Behind it an answered line says how its task stands.
const STATE: &[u8] = b"\"state\":";

impl Lines {
    /// Counts in a piece of the answer, wherever it was cut.
    fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            if self.begun.is_empty() {
                self.line(line);
            } else {
                let mut begun = std::mem::take(&mut self.begun);
                begun.extend_from_slice(line);
                self.line(&begun);
            }
            rest = after;
        }
        self.begun.extend_from_slice(rest);
    }

    fn line(&mut self, line: &[u8]) {
        if !line.starts_with(b"{") {
            return;
        }
        self.count += 1;
        let found = memchr::memmem::find(line, STATE).and_then(|at| line.get(at + STATE.len()..));
        let state = found.unwrap_or_default();
        self.succeeded += u64::from(state.starts_with(b"\"succeeded\""));
        self.accepted += u64::from(state.starts_with(b"\"accepted\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_lines_are_counted_wherever_they_are_cut() {
        let text = b"{\"state\":\"succeeded\",\"output\":{\"a\":1}}\n{\"state\":\"accepted\"}\n";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            lines.take(&text[..cut]);
            lines.take(&text[cut..]);
            assert_eq!((lines.count, lines.succeeded, lines.accepted), (2, 1, 1), "cut at {cut}");
        }
    }
}
