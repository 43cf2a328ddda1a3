//! Where things are: the workspace's root and the directory of built binaries, found once at the
//! start, because a build may replace the running task runner's own file.

use std::path::{Path, PathBuf};

use crate::shell::Failed;

/// The root of the workspace and its target directory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Reads both from where this program was compiled and where it runs.
    pub(crate) fn here() -> Result<Self, Failed> {
        let start = std::env::current_dir().map_err(|error| {
            Failed::new(format!("the current directory is unreadable: {error}"))
        })?;
        let root = start
            .ancestors()
            .find(|dir| is_workspace_root(dir))
            .ok_or_else(|| Failed::new("no workspace here: run this inside the project".into()))?
            .to_path_buf();
        let program = std::env::current_exe()
            .map_err(|error| Failed::new(format!("the own program is not found: {error}")))?;
        // …/target/debug/xtask, whatever CARGO_TARGET_DIR says.
        let target =
            program.ancestors().nth(2).map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target })
    }

    /// A binary of the development build.
    pub(crate) fn debug_binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// A binary of the release build.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Where tools are put that this machine lacks; `cargo clean` removes them.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

fn is_workspace_root(dir: &Path) -> bool {
    std::fs::read_to_string(dir.join("Cargo.toml"))
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
}
