//! Reading `behaviour.command`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::fields::Fields;
use super::super::findings::{Pointer, Report, code};
use super::super::limits::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, CODES_MAX, MOUNTS_MAX, NAME_CHARS_MAX, PATH_BYTES_MAX,
};
use super::super::shape;
use super::{check_probe, read_effect, read_pairs, read_time};
use crate::agent::{CommandLimits, CommandProbe, CommandSpec, MountSpec};
use crate::plan::EffectClass;
use crate::text::Text;

/// The profile of a command that names none.
const PROFILE: &str = "default";
/// What begins the variables that an attempt adds.
const OWN_PREFIX: &str = "ARK_OS_";
/// Nothing of a jail outlives its attempt but for the moment in which its processes are killed.
const SETTLE_AFTER_MS: u64 = 1_000;

pub(super) fn read(
    value: &Value,
    at: &Pointer,
    report: &mut Report<'_>,
) -> Option<Box<CommandSpec>> {
    let fields = Fields::open(value, at, &shape::COMMAND, report)?;
    let argv = read_argv(&fields, report);
    let profile = fields.text("profile", NAME_CHARS_MAX, report).unwrap_or(PROFILE);
    let mounts = read_mounts(&fields, report);
    let declared = read_effect(&fields, report);
    let is_writing = mounts.iter().any(|mount| mount.is_writable);
    // Without network or anything to write to it can only observe.
    let implied = if is_writing { EffectClass::Effectful } else { EffectClass::Read };
    let effect = declared.unwrap_or(implied);
    let probe = fields.value("probe").and_then(|(value, at)| read_probe(value, &at, report));
    check_probe(&fields, effect, fields.value("probe").is_some(), report);
    let limits = fields.value("limits").and_then(|(value, at)| read_limits(value, &at, report));
    let spec = CommandSpec {
        argv,
        profile: Text::from(profile),
        limits: limits.unwrap_or_default(),
        mounts,
        env: read_pairs(&fields, "env", check_variable, report),
        workdir: read_path(&fields, "workdir", true, report),
        effect,
        retryable_exits: read_exits(&fields, report),
        probe,
    };
    (!spec.argv.is_empty()).then(|| Box::new(spec))
}

fn read_argv(fields: &Fields<'_>, report: &mut Report<'_>) -> Vec<String> {
    let Some((list, at)) = fields.required_list("argv", report) else { return Vec::new() };
    if list.is_empty() || list.len() > ARGUMENTS_MAX {
        let text = format!("`argv` has 1 to {ARGUMENTS_MAX} texts: the program and its arguments");
        report.add(&at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    let mut argv = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        match value.as_str() {
            None => report.wrong_type(&at, "an argument is a text", value),
            Some(text) if text.len() > ARGUMENT_BYTES_MAX => {
                let message = format!("an argument has at most {ARGUMENT_BYTES_MAX} bytes");
                report.add(&at, code::TOO_LONG, message);
            }
            Some(text) if text.contains('\0') => {
                report.add(&at, code::INVALID_VALUE, "an argument has no zero bytes");
            }
            Some(text) if i == 0 && !text.starts_with('/') => {
                let hint = "there is no shell and no PATH in front of the jail: `/usr/bin/python3`";
                let message = "the program is an absolute path";
                report.add_hint(&at, code::INVALID_VALUE, message, hint);
            }
            Some(text) => argv.push(text.to_owned()),
        }
    }
    argv
}

/// What a limit may be is the jail's to say, which knows the profile; here it is only read.
fn read_limits(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<CommandLimits> {
    let fields = Fields::open(value, at, &shape::COMMAND_LIMITS, report)?;
    Some(CommandLimits {
        memory: fields.bytes("memory", 0..=u64::MAX, report),
        cpu_milli: fields.count("cpu_milli", 0..=u64::MAX, report),
        processes: fields.count("processes", 0..=u64::MAX, report),
        cpu_time_ms: read_time(&fields, "cpu_time", 1, report),
        wall_time_ms: read_time(&fields, "wall_time", 1, report),
        stdout: fields.bytes("stdout", 0..=u64::MAX, report),
        tmp: fields.bytes("tmp", 0..=u64::MAX, report),
    })
}

fn read_mounts(fields: &Fields<'_>, report: &mut Report<'_>) -> Vec<MountSpec> {
    let Some((list, at)) = fields.list("mounts", report) else { return Vec::new() };
    if list.len() > MOUNTS_MAX {
        report.add(&at, code::OUT_OF_RANGE, format!("a command has at most {MOUNTS_MAX} mounts"));
        return Vec::new();
    }
    let mounts = list.iter().enumerate();
    mounts.filter_map(|(i, value)| read_mount(value, &at.index(i), report)).collect()
}

fn read_mount(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<MountSpec> {
    let fields = Fields::open(value, at, &shape::MOUNT, report)?;
    fields.required("source", report);
    fields.required("target", report);
    let access = fields.text("access", NAME_CHARS_MAX, report);
    if !matches!(access, None | Some("read" | "write")) {
        report.add(&at.key("access"), code::INVALID_VALUE, "`access` is `read` or `write`");
    }
    let source = read_path(&fields, "source", false, report);
    let target = read_path(&fields, "target", true, report);
    let is_writable = access == Some("write");
    Some(MountSpec { source: source?, target: target?, is_writable })
}

fn read_path(
    fields: &Fields<'_>,
    key: &str,
    is_inside: bool,
    report: &mut Report<'_>,
) -> Option<String> {
    let path = fields.text(key, PATH_BYTES_MAX, report)?;
    let climbs = path.split('/').any(|part| part == "..");
    if path.is_empty() || path.contains('\0') || (is_inside && (!path.starts_with('/') || climbs)) {
        let rule = match is_inside {
            true => format!("`{key}` is an absolute path without `..`"),
            false => format!("`{key}` is a path"),
        };
        report.add(&fields.at().key(key), code::INVALID_VALUE, rule);
        return None;
    }
    Some(path.to_owned())
}

fn check_variable(name: &str, value: &str) -> Result<(), &'static str> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("a variable's name has letters, digits and `_`");
    }
    if name.starts_with(OWN_PREFIX) {
        return Err("variables that begin with `ARK_OS_` are the attempt's own");
    }
    if value.contains('\0') { Err("a value has no zero bytes") } else { Ok(()) }
}

fn read_exits(fields: &Fields<'_>, report: &mut Report<'_>) -> BTreeSet<i32> {
    let Some((value, at)) = fields.value("exit") else { return BTreeSet::new() };
    let Some(fields) = Fields::open(value, &at, &shape::EXIT, report) else {
        return BTreeSet::new();
    };
    let Some((list, at)) = fields.list("retryable", report) else { return BTreeSet::new() };
    let exits: Option<BTreeSet<i32>> = list
        .iter()
        .map(|code| code.as_i64().filter(|code| (1..=255).contains(code)).map(|code| code as i32))
        .collect();
    let exits = exits.filter(|_| list.len() <= CODES_MAX);
    if exits.is_none() {
        report.add(&at, code::OUT_OF_RANGE, "an exit code of a failure is from 1 to 255");
    }
    exits.unwrap_or_default()
}

fn read_probe(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<CommandProbe> {
    let fields = Fields::open(value, at, &shape::COMMAND_PROBE, report)?;
    let settle_after_ms = read_time(&fields, "settle_after", 0, report).unwrap_or(SETTLE_AFTER_MS);
    let argv = read_argv(&fields, report);
    Some(CommandProbe { argv, settle_after_ms })
}
