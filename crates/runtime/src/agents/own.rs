//! The instance's own directories: its journal, its key and its token lie there, so no agent is ever
//! shown them, whatever a manifest says.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory or file, whatever path leads to it.
type Identity = (u64, u64);

/// Directories that nobody may mount, nor what lies in them, nor what they lie in.
#[derive(Clone, Debug, Default)]
pub struct OwnDirs(Vec<PathBuf>);

impl OwnDirs {
    /// These; they need not be there yet.
    pub fn new(dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        OwnDirs(dirs.into_iter().collect())
    }

    /// Refuses a source, which is a path without links, that would show one of them.
    pub(super) fn keep_out(&self, source: &Path) -> Result<(), String> {
        let around = around(source);
        for dir in &self.0 {
            let outer = around_of(dir);
            let is_inside = identity(dir).is_some_and(|dir| around.contains(&dir));
            let is_outside = identity(source).is_some_and(|source| outer.contains(&source));
            if is_inside || is_outside {
                let how = if is_inside { "lies in" } else { "has in it" };
                return Err(format!(
                    "it {how} the instance's own directory `{}`, where its key and token are",
                    dir.display()
                ));
            }
        }
        Ok(())
    }
}

/// What a directory that may not be there yet lies in, itself included.
fn around_of(dir: &Path) -> Vec<Identity> {
    let mut existing = dir.ancestors();
    let real = existing.find_map(|path| std::fs::canonicalize(path).ok());
    real.map_or_else(Vec::new, |path| around(&path))
}

fn around(path: &Path) -> Vec<Identity> {
    path.ancestors().filter_map(identity).collect()
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lies_in_or_contains_an_own_directory_is_kept_out_by_any_path() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(home.join("state/data/journal")).unwrap();
        std::fs::create_dir(home.join("work")).unwrap();
        std::os::unix::fs::symlink(home.join("state"), home.join("link")).unwrap();
        for own in [home.join("state/data"), home.join("link/data")] {
            let own = OwnDirs::new([own]);
            for shown in ["state/data", "state/data/journal", "state", ""] {
                assert!(own.keep_out(&home.join(shown)).is_err(), "{shown}");
            }
            own.keep_out(&home.join("work")).unwrap();
        }
        let later = OwnDirs::new([home.join("work/not/yet")]);
        assert!(later.keep_out(&home.join("work")).unwrap_err().contains("has in it"));
        later.keep_out(&home.join("state")).unwrap();
    }
}
