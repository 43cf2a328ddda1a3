//! The counting sink: what really happened outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crew::Crew;

pub(crate) struct Sink {
    pub(crate) path: PathBuf,
    /// Who writes into it whether the node lives or not.
    pub(crate) crew: Option<Arc<Crew>>,
}

impl Sink {
    pub(crate) fn new(path: &Path) -> Self {
        Sink { path: path.to_path_buf(), crew: None }
    }

    /// The line that was written under a key, if any was.
    pub(crate) fn line_of(&self, key: &str) -> Option<String> {
        self.lines().into_iter().find(|(written, _)| written == key).map(|(_, line)| line)
    }

    /// The same for a key that a remote worker had, once nobody is there any more who might still write.
    pub(crate) fn last_line_of(&self, key: &str, worker: &str) -> Option<String> {
        if let Some(crew) = &self.crew {
            crew.await_last_word(worker, || self.line_of(key).is_some());
        }
        self.line_of(key)
    }

    /// Checks the effects of a task that is over: every line is there, under one key; once, unless
    /// it may be repeated.
    pub(crate) fn check(&self, label: &str, steps: u32, class: &str) {
        let mut written: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, line) in self.lines() {
            if line.rsplit_once('-').is_some_and(|(begin, _)| begin == label) {
                written.entry(line).or_default().push(key);
            }
        }
        let expected: BTreeSet<_> = (0..steps).map(|step| format!("{label}-{step}")).collect();
        assert_eq!(written.keys().cloned().collect::<BTreeSet<_>>(), expected, "{label}: lost");
        for (line, keys) in written {
            let distinct: BTreeSet<_> = keys.iter().collect();
            assert_eq!(distinct.len(), 1, "{line}: more than one key {keys:?}");
            assert!(class == "read" || keys.len() == 1, "{line}: applied {} times", keys.len());
        }
    }

    fn lines(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let split = |line: &str| {
            let (key, line) = line.split_once(' ').unwrap_or_else(|| panic!("torn: {line}"));
            (key.to_owned(), line.to_owned())
        };
        text.lines().map(split).collect()
    }
}
