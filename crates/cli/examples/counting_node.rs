//! The `ark-os` binary with two more skills. `test.sink` is an external system that writes down
//! every effect that reaches it: the process tests kill this node and then count what happened.
//! `test.gate` fails until somebody makes a file: something to mend and retry.
//!
//! The sink is a file with one line an effect, `<key> <line>`, appended and synced before the
//! effect counts as done. It honours the key of an idempotent effect; any other it takes as often
//! as it comes, as a mail server would.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ark_os_core::authority::Scopes;
use ark_os_core::plan::EffectClass as StepClass;
use ark_os_runtime::Components;
use ark_os_runtime::skills::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec, StepCall};
use serde::Deserialize;
use serde_json::json;

/// Whoever holds the token may have effects that cannot be repeated: without it nothing to count.
const OPERATOR_SCOPES: [&str; 2] = ["*", "effect:effectful"];
/// The sink is read as a whole for every idempotent effect; a test's sink is far smaller.
const SINK_BYTES_MAX: u64 = 16 << 20;

fn main() -> ExitCode {
    ark_os::main_with(|| {
        let mut components = Components::builtin();
        components.operator = Scopes::parse(OPERATOR_SCOPES).unwrap_or_default();
        components.skills.insert(Arc::new(Sink));
        components.skills.insert(Arc::new(Gate));
        components
    })
}

/// Has as many effects as it is told to, one after the other.
#[derive(Debug)]
struct Sink;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkInput {
    /// The file.
    sink: PathBuf,
    /// Begins every line of this task.
    label: String,
    /// How many.
    steps: u32,
    /// `read`, `idempotent`, `effectful`, or `careless`: the node is told that the sink honours
    /// keys, and it does not.
    class: String,
}

impl Skill for Sink {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("test.sink"),
            summary: Cow::Borrowed("appends lines to a file, each as a recorded effect"),
            // An attempt may be repeated: what may not are its steps, and those are recorded.
            class: EffectClass::Read,
            cost: Cost::Blocking,
            output_bytes_max: 1024,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","additionalProperties":false,
                "required":["sink","label","steps","class"],
                "properties":{"sink":{"type":"string"},"label":{"type":"string"},
                "steps":{"type":"integer","minimum":0,"maximum":100},
                "class":{"enum":["read","idempotent","effectful","careless"]}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["lines"],
                "properties":{"lines":{"type":"integer"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input: SinkInput = serde_json::from_slice(input)
            .map_err(|error| SkillError::invalid_input(format!("read the input: {error}")))?;
        let class = match input.class.as_str() {
            "read" => StepClass::Read,
            "idempotent" | "careless" => StepClass::Idempotent,
            _ => StepClass::Effectful,
        };
        for step in 0..input.steps {
            if host.is_cancelled() {
                return Err(SkillError::cancelled());
            }
            let line = format!("{}-{step}", input.label);
            let call = StepCall::new("test.sink", line.as_bytes(), class);
            host.step(&call, &mut |key: &str| {
                append(&input.sink, key, &line, input.class == "idempotent")
                    .map_err(|error| SkillError::io("append to the sink", &error))?;
                Ok(json!({ "line": line }).to_string().into_bytes())
            })?;
        }
        Ok(json!({ "lines": input.steps }).to_string().into_bytes())
    }
}

/// The whole line goes in one write: a kill leaves all of it or nothing.
fn append(path: &Path, key: &str, line: &str, honours: bool) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if honours && holds(&mut file, key)? {
        return file.sync_all();
    }
    file.write_all(format!("{key} {line}\n").as_bytes())?;
    file.sync_all()
}

fn holds(file: &mut File, key: &str) -> std::io::Result<bool> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(SINK_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.lines().any(|line| line.split(' ').next() == Some(key)))
}

/// Fails for good until a file is there.
#[derive(Debug)]
struct Gate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateInput {
    /// The file.
    gate: PathBuf,
}

impl Skill for Gate {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("test.gate"),
            summary: Cow::Borrowed("succeeds once a file is there"),
            class: EffectClass::Read,
            cost: Cost::Blocking,
            output_bytes_max: 1024,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","additionalProperties":false,
                "required":["gate"],"properties":{"gate":{"type":"string"}}}"#,
            ),
            output_schema: Cow::Borrowed(r#"{"const":"open"}"#),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input: GateInput = serde_json::from_slice(input)
            .map_err(|error| SkillError::invalid_input(format!("read the input: {error}")))?;
        if input.gate.exists() {
            return Ok(json!("open").to_string().into_bytes());
        }
        Err(SkillError::permanent("test.gate_closed", "pass the gate: it is closed"))
    }
}
