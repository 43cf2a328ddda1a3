//! The history of a run: paged, streamed, and resumed across a restart.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::{TOKEN, World, head, read_chunk, read_head};

/// A stream of events that is being read.
struct Events {
    reader: BufReader<TcpStream>,
    text: String,
}

impl Events {
    fn open(world: &World, path: &str, last: Option<&str>) -> Self {
        let mut headers = vec![
            ("Authorization", format!("Bearer {TOKEN}")),
            ("Accept", "text/event-stream".to_owned()),
        ];
        headers.extend(last.map(|last| ("Last-Event-ID", last.to_owned())));
        let mut stream = world.connect();
        let head = head(world.address, "GET", path, &headers, Some(0));
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"));
        Events { reader, text: String::new() }
    }

    /// The next event's id and data; none: the stream has ended.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|it| it.strip_prefix(name));
                let Some(id) = field("id: ") else { continue };
                let data: Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
                assert_eq!(data["id"], id);
                assert_eq!(data["type"], field("event: ").unwrap());
                return Some((id.to_owned(), data));
            }
            self.text.push_str(&String::from_utf8(read_chunk(&mut self.reader)?).unwrap());
        }
    }

    fn rest(mut self) -> Vec<(String, Value)> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

fn kinds(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(_, data)| data["type"].as_str().unwrap()).collect()
}

#[test]
fn a_run_that_is_over_is_streamed_to_its_end_and_paged_alike() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = world.task(r#"{"skill":"echo","input":{"n":1}}"#)["run"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{run}/events");
    let streamed = Events::open(&world, &path, None).rest();
    let seen = kinds(&streamed);
    assert!(seen.contains(&"run_accepted") && seen.contains(&"task_succeeded"), "{seen:?}");
    assert_eq!(seen.last(), Some(&"run_ended"));

    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get(&format!("{path}?limit=2&after={after}")).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        paged.extend(items.clone());
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    let streamed: Vec<Value> = streamed.into_iter().map(|(_, data)| data).collect();
    assert_eq!(paged, streamed);
    world.get(&format!("{path}?after=x")).problem(400, "cursor_invalid");
    world.stop();
}

#[test]
fn every_event_is_seen_once_wherever_the_stream_is_taken_up_again() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = world.task(r#"{"skill":"echo","input":{"n":1}}"#)["run"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{run}/events");
    let all = Events::open(&world, &path, None).rest();
    for (at, (id, _)) in all.iter().enumerate() {
        let rest = Events::open(&world, &path, Some(id)).rest();
        assert_eq!(rest, all[at + 1..], "after {id}");
        let rest = Events::open(&world, &format!("{path}?after={id}"), None).rest();
        assert_eq!(rest.len(), all.len() - at - 1);
    }
    world.stop();
}

#[test]
fn a_stream_goes_on_after_a_restart_of_the_instance() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = r#"{"workflow":{"name":"p","version":"1","tasks":[
        {"name":"a","skill":"echo","input":1},
        {"name":"b","skill":"sleep","input":{"ms":700},"after":["a"]}]}}"#;
    let run = world.post("/api/v1/runs", plan).json()["run"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{run}/events");
    let mut events = Events::open(&world, &path, None);
    let mut before = Vec::new();
    loop {
        let event = events.next().unwrap();
        let is_done = event.1["type"] == "task_succeeded";
        before.push(event);
        if is_done {
            break;
        }
    }
    // The stream ends with the server; the run is still under way.
    world.stop();
    before.extend(events.rest());
    let last = before.last().unwrap().0.clone();

    let world = World::start(dir.path());
    let after = Events::open(&world, &path, Some(&last)).rest();
    assert_eq!(kinds(&after).last(), Some(&"run_ended"), "{:?}", kinds(&after));
    let whole = Events::open(&world, &path, None).rest();
    before.extend(after);
    assert_eq!(before.len(), whole.len());
    let ids = |events: &[(String, Value)]| events.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&whole));
    // What was over before the restart is still answered by every route.
    let shown = world.get(&format!("/api/v1/runs/{run}/tasks")).json();
    let states: Vec<_> =
        shown["items"].as_array().unwrap().iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states, [json!("succeeded"), json!("succeeded")], "{shown}");
    world.stop();
}

#[test]
fn a_stream_follows_a_run_while_it_happens() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let slow = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let run = slow["run"].as_str().unwrap();
    let mut events = Events::open(&world, &format!("/api/v1/runs/{run}/events"), None);
    assert_eq!(events.next().unwrap().1["type"], "workflow_admitted");
    world.post(&format!("/api/v1/runs/{run}/cancel"), r#"{"reason":"seen"}"#);
    let rest = events.rest();
    let last = &rest.last().unwrap().1;
    assert_eq!((&last["type"], &last["end"]), (&json!("run_ended"), &json!("cancelled")));
    assert_eq!(last["failure"]["message"], "seen");
    world.stop();
}
