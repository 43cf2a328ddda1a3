//! `cargo xtask bench`: release builds, then the whole system's bench and the journal's own, as
//! one JSON document on standard output.

use serde_json::{Map, Value};

use crate::place::Place;
use crate::shell::{self, Failed, say};

/// What is measured.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Everything,
    Journal,
    System,
}

/// Builds, runs, prints. `--kind journal` measures the journal alone; any other flags go to
/// `ark-os bench` as they are, which is then the only thing measured.
pub(crate) fn run(place: &Place, args: &[String]) -> Result<(), Failed> {
    let plan = plan(args);
    let mut document = Map::new();
    if plan != Plan::Journal {
        document.insert("system".into(), system(place, args)?);
    }
    if plan != Plan::System {
        document.insert("journal".into(), journal(place)?);
    }
    let text = serde_json::to_string_pretty(&Value::Object(document))
        .map_err(|error| Failed::new(format!("the figures were not written: {error}")))?;
    say(&text);
    Ok(())
}

fn plan(args: &[String]) -> Plan {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => Plan::Everything,
        ["--kind", "journal"] | ["--kind=journal"] => Plan::Journal,
        _ => Plan::System,
    }
}

fn system(place: &Place, args: &[String]) -> Result<Value, Failed> {
    let mut build = shell::command("cargo", &place.root);
    build.args(["build", "--release", "--package", "ark-os", "--bin", "ark-os"]);
    shell::run(build)?;
    let mut bench = shell::command(place.release_binary("ark-os"), &place.root);
    bench.args(["bench", "--directory", "target", "--json"]);
    if args.is_empty() {
        bench.args(["--kind", "suite"]);
    }
    bench.args(args);
    read("ark-os bench", &shell::output(bench)?)
}

fn journal(place: &Place) -> Result<Value, Failed> {
    let mut bench = shell::command("cargo", &place.root);
    bench.args(["run", "--quiet", "--release", "--package", "ark-os-store"]);
    bench.args(["--example", "journal_bench"]);
    read("journal_bench", &shell::output(bench)?)
}

/// One document, or one per line.
fn read(what: &str, text: &str) -> Result<Value, Failed> {
    let mut values = serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failed::new(format!("`{what}` printed no JSON: {error}")))?;
    match values.len() {
        0 => Err(Failed::new(format!("`{what}` printed nothing"))),
        1 => Ok(values.remove(0)),
        _ => Ok(Value::Array(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn flags_choose_what_is_measured() {
        assert_eq!(plan(&args(&[])), Plan::Everything);
        assert_eq!(plan(&args(&["--kind", "journal"])), Plan::Journal);
        assert_eq!(plan(&args(&["--kind", "soak", "--for", "30s"])), Plan::System);
    }

    #[test]
    fn lines_of_json_become_a_list_and_other_text_is_refused() {
        assert_eq!(read("x", "{\"a\":1}\n").unwrap(), serde_json::json!({"a": 1}));
        assert_eq!(read("x", "1\n2\n").unwrap(), serde_json::json!([1, 2]));
        assert!(read("x", "hello").is_err());
        assert!(read("x", "").is_err());
    }
}
