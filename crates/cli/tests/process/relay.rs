//! One address for every life of a node, for programs that are told it once: what comes in goes on to the
//! node of now, and is cut off where there is none.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;

use super::support::background;

/// A running relay; its threads end with the test.
pub(crate) struct Relay {
    port: u16,
}

impl Relay {
    /// To whichever node has this data directory.
    pub(crate) fn start(data: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let record = data.join("instance.json");
        background(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Who is dropped is cut off.
                let Some(node) = connect(&record) else { continue };
                pass_on(&stream, &node);
                pass_on(&node, &stream);
            }
        });
        Relay { port }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The record of a node that is dead may still be there.
fn connect(record: &Path) -> Option<TcpStream> {
    let record: Value = serde_json::from_str(&std::fs::read_to_string(record).ok()?).ok()?;
    TcpStream::connect(record["endpoint"].as_str()?.trim_start_matches("http://")).ok()
}

fn pass_on(from: &TcpStream, to: &TcpStream) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    background(move || {
        // However it ends, it has ended for both.
        let _ = copy(&mut from, &mut to);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
