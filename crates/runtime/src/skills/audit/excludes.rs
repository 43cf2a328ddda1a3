//! Which directories and files an inventory leaves out: what the user names, version control, and
//! what build tools can make again.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use super::paths;
use crate::skills::SkillError;

/// More patterns than anyone writes by hand.
const PATTERNS_MAX: usize = 256;
/// The longest pattern, in bytes; together they stay well inside the regex crate's size limit.
const PATTERN_BYTES_MAX: usize = 1024;

/// Version control: its objects are compressed copies of what is in the tree anyway.
const VCS: &[&str] = &[".git", ".hg", ".svn", ".bzr", ".jj", "CVS"];
/// Installed packages and caches, by names that nothing else bears.
const REBUILT: &[&str] = &[
    "node_modules",
    "bower_components",
    "__pycache__",
    ".venv",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".gradle",
    ".terraform",
];
/// Directories that are caches only beside or around one of these files.
const REBUILT_BESIDE: &[(&str, &[&str])] = &[("target", &["Cargo.toml", "pom.xml"])];
const REBUILT_AROUND: &[(&str, &str)] = &[("venv", "pyvenv.cfg"), ("env", "pyvenv.cfg")];
/// How a directory says that it is a cache (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The rules of one inventory.
pub(super) struct Excludes {
    patterns: Option<Regex>,
    places: Vec<PathBuf>,
    include_all: bool,
}

impl Excludes {
    /// `patterns`: a name without `/` matches at any depth, one with `/` from the root down; `*`
    /// and `?` stay inside a name, `**` goes through directories. `places` are plain paths as
    /// one would type them, absolute or from the working directory; those outside do no harm.
    pub(super) fn new(
        root: &Path,
        patterns: &[String],
        places: &[String],
        include_all: bool,
    ) -> Result<Self, SkillError> {
        if patterns.len() > PATTERNS_MAX
            || places.len() > PATTERNS_MAX
            || patterns.iter().any(|pattern| pattern.len() > PATTERN_BYTES_MAX)
        {
            return Err(SkillError::limit(format!(
                "read what to exclude: at most {PATTERNS_MAX} entries of {PATTERN_BYTES_MAX} bytes"
            )));
        }
        let sources: Vec<String> = patterns.iter().filter_map(|text| regex_of(text)).collect();
        let places = places.iter().filter_map(|text| place_below(root, text)).collect();
        let patterns = match sources.as_slice() {
            [] => None,
            some => {
                Some(Regex::new(&format!("^(?:{})$", some.join("|"))).map_err(|error| {
                    SkillError::invalid_input(format!("read `exclude`: {error}"))
                })?)
            }
        };
        Ok(Self { patterns, places, include_all })
    }

    /// Why an entry is left out, if it is. `text` is its path below the root.
    pub(super) fn reason(&self, path: &Path, text: &str, is_dir: bool) -> Option<&'static str> {
        if self.patterns.as_ref().is_some_and(|patterns| patterns.is_match(text))
            || self.places.iter().any(|place| place == path)
        {
            return Some("excluded");
        }
        if self.include_all {
            return None;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A worktree or submodule has a `.git` file; it is a pointer and not content.
        if VCS.contains(&name) {
            return Some("version control");
        }
        (is_dir && is_rebuilt(path, name)).then_some("build output or cache")
    }
}

fn is_rebuilt(path: &Path, name: &str) -> bool {
    let beside = |file: &str| path.parent().is_some_and(|parent| parent.join(file).is_file());
    REBUILT.contains(&name)
        || REBUILT_BESIDE
            .iter()
            .any(|(dir, files)| *dir == name && files.iter().any(|file| beside(file)))
        || REBUILT_AROUND.iter().any(|(dir, file)| *dir == name && path.join(file).is_file())
        || has_cache_tag(path)
}

fn has_cache_tag(dir: &Path) -> bool {
    let path = dir.join("CACHEDIR.TAG");
    if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let mut head = [0; CACHE_TAG.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == CACHE_TAG
}

/// Where a typed path lies, if it lies below the root.
fn place_below(root: &Path, typed: &str) -> Option<PathBuf> {
    let absolute = std::path::absolute(typed).ok()?;
    // The directory may not be there yet; then its parent decides where it would be.
    let real = fs::canonicalize(&absolute).ok().or_else(|| {
        let parent = fs::canonicalize(absolute.parent()?).ok()?;
        Some(parent.join(absolute.file_name()?))
    })?;
    (real != root && real.starts_with(root)).then_some(real)
}

fn regex_of(pattern: &str) -> Option<String> {
    let trimmed = pattern.trim_end_matches('/');
    let trimmed = trimmed.strip_prefix("./").unwrap_or(trimmed);
    let leads_out = Path::new(trimmed).components().any(|part| part == Component::ParentDir);
    if trimmed.is_empty() || trimmed == "." || leads_out || Path::new(trimmed).is_absolute() {
        return None;
    }
    let mut source = if trimmed.contains('/') { String::new() } else { "(?:.*/)?".to_owned() };
    let mut rest = paths::text_of(Path::new(trimmed));
    while let Some(first) = rest.chars().next() {
        let (taken, piece) = if rest.starts_with("**/") {
            (3, "(?s:.*/)?".to_owned())
        } else if rest.starts_with("**") {
            (2, "(?s:.*)".to_owned())
        } else if first == '*' {
            (1, "[^/]*".to_owned())
        } else if first == '?' {
            (1, "[^/]".to_owned())
        } else {
            (first.len_utf8(), regex::escape(&first.to_string()))
        };
        source.push_str(&piece);
        rest.drain(..taken);
    }
    Some(source.replacen("(?:.*/)?", "(?s:.*/)?", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let cases = [
            ("vendor", "vendor", true),
            ("vendor", "a/b/vendor", true),
            ("vendor/", "vendor", true),
            ("./vendor", "vendor", true),
            ("vendor", "vendors", false),
            ("*.min.js", "web/app.min.js", true),
            ("a/b", "a/b", true),
            ("a/b", "x/a/b", false),
            ("a/*.rs", "a/x.rs", true),
            ("a/*.rs", "a/b/x.rs", false),
            ("a/**/x.rs", "a/x.rs", true),
            ("a/**/x.rs", "a/b/c/x.rs", true),
            ("**/gen/**", "x/gen/y/z", true),
            ("?.c", "a.c", true),
            ("?.c", "ab.c", false),
            ("we(ird", "x/we(ird", true),
            ("odd", "new\nline/odd", true),
        ];
        let root = Path::new("/nonexistent-root");
        for (pattern, text, expected) in cases {
            let rules = Excludes::new(root, &[pattern.to_owned()], &[], false).unwrap();
            let is_out = rules.reason(&root.join(text), text, false).is_some();
            assert_eq!(is_out, expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn empty_patterns_exclude_nothing() {
        let patterns = ["", ".", "./", "/"].map(str::to_owned);
        let rules =
            Excludes::new(Path::new("/nonexistent-root"), &patterns, &patterns, false).unwrap();
        assert_eq!(rules.reason(Path::new("/nonexistent-root/a"), "a", false), None);
    }
}
