//! The table of what `cargo xtask test` does. A step more is a row more.
//!
//! Order: what is cheap and finds much comes first. Everything is built with one profile and one
//! choice of packages (the whole workspace), because another choice has other features and
//! compiles the dependencies again.

use std::process::Command;

use super::{Session, api, compat, setup};
use crate::shell::{self, Failed, Tee, answers};
use crate::{openapi, tidy};

/// One row.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Part of the inner loop too.
    pub(super) quick: bool,
    action: Action,
}

enum Action {
    /// A cargo command.
    Cargo(&'static [&'static str]),
    /// A binary of the development build that an earlier step made.
    Built(&'static str, &'static [&'static str]),
    /// Anything else.
    Call(fn(&mut Session<'_>) -> Result<Option<String>, Failed>),
}

/// What a step came to; `Note` is a success that has something to say.
pub(super) enum Outcome {
    Passed,
    Note(String),
    Failed(Failed),
}

use Action::{Built, Call, Cargo};

#[rustfmt::skip]
pub(super) const STEPS: &[Step] = &[
    Step { name: "setup", quick: false, what: "tools the tests need", action: Call(setup::run) },
    Step { name: "fmt", quick: true, what: "formatting (`cargo fmt --all` mends it)", action: Cargo(&["fmt", "--all", "--check", "--", "-l"]) },
    Step { name: "tidy", quick: true, what: "the rules of the house", action: Call(house) },
    Step { name: "clippy", quick: true, what: "lints are errors",
        action: Cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]) },
    Step { name: "deny", quick: false, what: "licences, bans and sources", action: Call(deny) },
    Step { name: "build", quick: false, what: "binaries, tests and examples",
        action: Cargo(&["build", "--workspace", "--all-targets", "--locked"]) },
    Step { name: "tests", quick: true, what: "every test", action: Call(tests) },
    Step { name: "doc", quick: false, what: "examples in documentation",
        action: Cargo(&["test", "--doc", "--workspace", "--locked"]) },
    Step { name: "openapi", quick: false, what: "docs/openapi.json is what the code serves", action: Call(published) },
    Step { name: "compat", quick: false, what: "what every committed registry promises is kept, or its end is recorded", action: Call(compat::run) },
    Step { name: "api", quick: false, what: "an instance is asked whatever its description allows and forbids", action: Call(api::run) },
    Step { name: "fuzz", quick: false, what: "foreign bytes into every parser, for half a minute",
        action: Built("ark-os-fuzz", &["--seconds", "30", "--keep", "target/fuzz"]) },
    Step { name: "proofs", quick: false, what: "two verifiers of proof bundles agree on every mutation (3 000; in CI 100 000)",
        action: Call(proofs) },
    Step { name: "sim", quick: false, what: "seeds of faults around the real loop (500; in CI 2 000)", action: Call(sim) },
];

impl Step {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Outcome {
        let answer = match self.action {
            Cargo(args) => {
                let mut command = shell::command("cargo", &session.place.root);
                command.args(args);
                shell::run(command).map(|()| None)
            }
            Built(name, args) => {
                let mut command =
                    shell::command(session.place.debug_binary(name), &session.place.root);
                command.args(args);
                shell::run(command).map(|()| None)
            }
            Call(call) => call(session),
        };
        match answer {
            Ok(None) => Outcome::Passed,
            Ok(Some(note)) => Outcome::Note(note),
            Err(failed) => Outcome::Failed(failed),
        }
    }
}

impl Outcome {
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Passed => "passed".into(),
            Self::Note(note) => format!("passed ({note})"),
            Self::Failed(_) => "FAILED".into(),
        }
    }
}

fn house(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    tidy::run(session.place).map(|()| None)
}

fn published(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    openapi::check_built(session.place).map(|()| None)
}

fn proofs(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    let mutations = if session.ci { "100000" } else { "3000" };
    let args = ["--mutations".to_owned(), mutations.to_owned()];
    crate::proofs::run_built(session.place, setup::python(session.place), &args).map(|()| None)
}

fn sim(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    let seeds = if session.ci { "2000" } else { "500" };
    let binary = session.place.debug_binary("ark-os-sim");
    let mut command = shell::command(binary, &session.place.root);
    command.args(["--seeds", seeds]);
    shell::run(command).map(|()| None)
}

fn deny(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    if !answers("cargo", &["deny", "--version"], &session.place.root) {
        return Ok(Some(
            "skipped: cargo-deny is not installed; tidy checks licences and bans".into(),
        ));
    }
    let mut command = shell::command("cargo", &session.place.root);
    // Advisories need the network and change without the code: they are not part of this check.
    command.args(["deny", "--locked", "check", "bans", "licenses", "sources"]);
    shell::run(command).map(|()| None)
}

fn tests(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    match setup::test_runner(session.place) {
        Some(mut command) => {
            let profile = if session.ci { "ci" } else { "default" };
            command.args(["run", "--workspace", "--locked", "--profile", profile]);
            let summary = &mut session.summary;
            shell::run_seen(command, Tee::Stderr, |line| {
                if is_nextest_summary(line) {
                    *summary = Some(line.to_owned());
                }
            })?;
            Ok(None)
        }
        None => plain_tests(session, shell::command("cargo", &session.place.root)),
    }
}

/// Without nextest: the same tests by `cargo test`, and one summary line of the same form.
fn plain_tests(session: &mut Session<'_>, mut command: Command) -> Result<Option<String>, Failed> {
    command.args(["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"]);
    let (mut passed, mut failed) = (0_u64, 0_u64);
    let answer = shell::run_seen(command, Tee::Stdout, |line| {
        if let Some((more_passed, more_failed)) = libtest_result(line) {
            passed += more_passed;
            failed += more_failed;
        }
    });
    session.summary =
        Some(format!("Summary {} tests run: {passed} passed, {failed} failed", passed + failed));
    answer.map(|()| Some("without nextest, which is not installed".into()))
}

fn is_nextest_summary(line: &str) -> bool {
    line.contains("Summary") && line.contains(" run: ")
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn libtest_result(line: &str) -> Option<(u64, u64)> {
    let counts = line.trim().strip_prefix("test result: ")?;
    let count = |word: &str| {
        let (before, _) = counts.split_once(word)?;
        before.trim().rsplit(' ').next()?.parse().ok()
    };
    Some((count(" passed")?, count(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_line_of_nextest_is_known() {
        assert!(is_nextest_summary("     Summary [   0.005s] 2 tests run: 2 passed, 0 skipped"));
        assert!(is_nextest_summary(
            "     Summary [   0.1s] 1/2 tests run: 0 passed, 1 failed, 0 skipped"
        ));
        assert!(!is_nextest_summary("        PASS [   0.003s] xtask a::summary_of_a_run"));
    }

    #[test]
    fn results_of_the_built_in_harness_are_counted() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(libtest_result(line), Some((12, 3)));
        assert_eq!(libtest_result("running 3 tests"), None);
    }
}
