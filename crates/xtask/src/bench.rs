//! `cargo xtask bench`: release builds, then the suites of benches, as one JSON document on standard output.

use serde_json::{Map, Value};

use crate::place::Place;
use crate::shell::{self, Failed, say};

/// What `ark-os bench` measures of a node with a million of something, one after the other.
const SCALE_KINDS: [&str; 5] = ["resume", "backlog", "restart", "history", "time"];

/// What is measured.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Throughput and latency: `system` and `journal`.
    Engine,
    /// What holds with many: jails, runs in flight, waiting runs, starts, long histories.
    Scale,
    /// Messages between agents.
    Messages,
    /// All of them.
    All,
    /// The journal alone.
    Journal,
    /// `ark-os bench` with flags of its own.
    System,
}

/// Builds, runs, prints. `--suite engine|scale|messages|all` chooses what (default: all), `--kind journal` measures the journal
/// alone; any other flags go to `ark-os bench` as they are, which is then the only thing measured.
pub(crate) fn run(place: &Place, args: &[String]) -> Result<(), Failed> {
    let plan = plan(args)?;
    let mut document = Map::new();
    if matches!(plan, Plan::Engine | Plan::All) {
        document.insert("system".into(), system(place, &["--kind", "suite"])?);
    }
    if plan == Plan::System {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        document.insert("system".into(), system(place, &args)?);
    }
    if matches!(plan, Plan::Engine | Plan::All | Plan::Journal) {
        document.insert("journal".into(), example(place, "ark-os-store", "journal_bench")?);
    }
    if matches!(plan, Plan::Scale | Plan::All) {
        document.insert("jail".into(), example(place, "ark-os-sandbox", "jail_bench")?);
        for kind in SCALE_KINDS {
            document.insert(kind.into(), system(place, &["--kind", kind])?);
        }
    }
    if matches!(plan, Plan::Messages | Plan::All) {
        document.insert("messages".into(), system(place, &["--kind", "messages"])?);
    }
    let text = serde_json::to_string_pretty(&Value::Object(document))
        .map_err(|error| Failed::new(format!("the figures were not written: {error}")))?;
    say(&text);
    Ok(())
}

fn plan(args: &[String]) -> Result<Plan, Failed> {
    let words: Vec<&str> = args.iter().flat_map(|arg| arg.splitn(2, '=')).collect();
    match words.as_slice() {
        [] | ["--suite", "all"] => Ok(Plan::All),
        ["--suite", "engine"] => Ok(Plan::Engine),
        ["--suite", "scale"] => Ok(Plan::Scale),
        ["--suite", "messages"] => Ok(Plan::Messages),
        ["--suite", ..] => {
            Err(Failed::new("--suite is engine, scale, messages or all, and alone".into()))
        }
        ["--kind", "journal"] => Ok(Plan::Journal),
        _ => Ok(Plan::System),
    }
}

fn system(place: &Place, args: &[&str]) -> Result<Value, Failed> {
    let mut build = shell::command("cargo", &place.root);
    build.args(["build", "--quiet", "--release", "--package", "ark-os", "--bin", "ark-os"]);
    shell::run(build)?;
    let mut bench = shell::command(place.release_binary("ark-os"), &place.root);
    bench.args(["bench", "--directory", "target", "--json"]);
    bench.args(args);
    read("ark-os bench", &shell::output(bench)?)
}

/// The bench that stands beside the code of a crate.
fn example(place: &Place, package: &str, name: &str) -> Result<Value, Failed> {
    let mut bench = shell::command("cargo", &place.root);
    bench.args(["run", "--quiet", "--release", "--package", package, "--example", name]);
    read(name, &shell::output(bench)?)
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
        let chosen = |words: &[&str]| plan(&args(words)).ok();
        assert_eq!(chosen(&[]), Some(Plan::All));
        assert_eq!(chosen(&["--suite", "all"]), Some(Plan::All));
        assert_eq!(chosen(&["--suite=scale"]), Some(Plan::Scale));
        assert_eq!(chosen(&["--suite", "engine"]), Some(Plan::Engine));
        assert_eq!(chosen(&["--suite", "messages"]), Some(Plan::Messages));
        assert_eq!(chosen(&["--suite", "other"]), None);
        assert_eq!(chosen(&["--suite", "scale", "--agents", "3"]), None);
        assert_eq!(chosen(&["--kind", "journal"]), Some(Plan::Journal));
        assert_eq!(chosen(&["--kind=journal"]), Some(Plan::Journal));
        assert_eq!(chosen(&["--kind", "soak", "--seconds", "30"]), Some(Plan::System));
    }

    #[test]
    fn lines_of_json_become_a_list_and_other_text_is_refused() {
        assert_eq!(read("x", "{\"a\":1}\n").unwrap(), serde_json::json!({"a": 1}));
        assert_eq!(read("x", "1\n2\n").unwrap(), serde_json::json!([1, 2]));
        assert!(read("x", "hello").is_err());
        assert!(read("x", "").is_err());
    }
}
