//! Jails for tests, and running a test as an ordinary user too.

use std::path::Path;
use std::process::Command;

use ark_os_sandbox::{Exit, Finished, Jail, Job, Profile, SandboxError, Settings};

/// Nobody's number on every system.
const NOBODY: &str = "65534";
/// Set in the process that runs a test again as an ordinary user.
const AGAIN: &str = "ARK_OS_TEST_AS_NOBODY";

/// A jail whose launcher is the one built for tests: this process's own `main` is the test runner's.
pub(crate) fn jail() -> Jail {
    let jail = Jail::open(settings()).expect("a jail can be opened");
    assert!(jail.probe().available, "{:#?}", jail.probe());
    jail
}

/// How such a jail is opened.
pub(crate) fn settings() -> Settings {
    Settings { launcher: env!("CARGO_BIN_EXE_ark-os-jail").into() }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs the test that calls it once more as an ordinary user, if this is root. The name is the
/// test's own.
pub(crate) fn also_as_ordinary_user(test: &str) {
    if !is_root() {
        return;
    }
    let output = Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(AGAIN, "1")
        .env("HOME", "/tmp")
        .output()
        .expect("setpriv is there");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "as an ordinary user: {text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs words under a profile.
pub(crate) fn run_with(profile: Profile, words: &[&str]) -> Result<Finished, SandboxError> {
    jail().run(&Job::new(profile, words), &|| false)
}

/// Runs a shell script under the default profile.
pub(crate) fn sh(script: &str) -> Finished {
    sh_with(Profile::default(), script)
}

/// Runs a shell script under a profile.
pub(crate) fn sh_with(profile: Profile, script: &str) -> Finished {
    run_with(profile, &["sh", "-c", script]).expect("it runs")
}

/// What it printed, if it ended well.
pub(crate) fn printed(finished: &Finished) -> String {
    assert_eq!(finished.exit, Exit::Code(0), "{}", String::from_utf8_lossy(&finished.stderr));
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

pub(crate) fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

/// A directory of the caller's own, readable by nobody else.
pub(crate) fn private_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    dir
}

/// Whether a process whose command line contains this is alive anywhere on the machine.
pub(crate) fn is_alive(mark: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.into_iter().any(|entry| {
        let words = std::fs::read(Path::new(&entry.path()).join("cmdline")).unwrap_or_default();
        let is_own = entry.file_name().to_string_lossy() == std::process::id().to_string();
        !is_own && String::from_utf8_lossy(&words).contains(mark)
    })
}
