//! Which language a file is written in. The table itself is data: `languages.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The name under which texts of no known language are counted.
pub(super) const OTHER: &str = "Other text";
/// A first line longer than this is no shebang.
const SHEBANG_BYTES_MAX: usize = 256;

static TABLE: LazyLock<Table> = LazyLock::new(Table::load);

/// One language, as the table gives it and as the line counter uses it.
#[derive(Debug)]
pub(super) struct Language {
    pub(super) name: String,
    pub(super) is_prose: bool,
    pub(super) nested: bool,
    /// Longest first, so that `"""` is not taken for `"`.
    pub(super) tokens: Vec<Token>,
    /// Whether a byte may begin a token.
    pub(super) begins: [bool; 256],
}

/// What begins something that the counter must know about.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) open: Vec<u8>,
    pub(super) kind: TokenKind,
}

#[derive(Debug)]
pub(super) enum TokenKind {
    LineComment,
    BlockComment {
        close: Vec<u8>,
    },
    /// A comment where a line begins with it, a string elsewhere.
    Doc {
        close: Vec<u8>,
    },
    Text {
        close: Vec<u8>,
        escapes: bool,
        ends_with_line: bool,
    },
    Skip,
}

/// The language of a file by its name, else by its first line.
pub(super) fn detect(file_name: &str, text: &[u8]) -> &'static Language {
    let table = &*TABLE;
    let index = table.by_name.get(file_name).or_else(|| {
        let (stem, extension) = file_name.rsplit_once('.').unwrap_or((file_name, ""));
        // `Dockerfile.release`, `LICENSE-MIT`: the part before says more than the part after.
        let first = stem.split(['.', '-']).next().unwrap_or(stem);
        table
            .by_extension
            .get(extension.to_ascii_lowercase().as_str())
            .or_else(|| table.by_name.get(first))
            .or_else(|| table.by_shebang.get(interpreter(text)?))
    });
    index.and_then(|index| table.languages.get(*index)).unwrap_or(&table.other)
}

/// The program that a first line `#!…` names, without directory and version.
fn interpreter(text: &[u8]) -> Option<&str> {
    let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.get(..SHEBANG_BYTES_MAX).unwrap_or(line)).ok()?;
    let mut words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    let mut program = words.next()?;
    if program == "env" {
        program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    }
    Some(program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

struct Table {
    languages: Vec<Language>,
    other: Language,
    by_name: BTreeMap<String, usize>,
    by_extension: BTreeMap<String, usize>,
    by_shebang: BTreeMap<String, usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    language: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    name: String,
    extensions: Vec<String>,
    names: Vec<String>,
    shebangs: Vec<String>,
    line: Vec<String>,
    block: Vec<(String, String)>,
    nested: bool,
    docs: Vec<(String, String)>,
    strings: Vec<(String, String, TextKind)>,
    skip: Vec<String>,
    prose: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TextKind {
    Line,
    Multi,
    Raw,
}

impl Table {
    fn load() -> Self {
        // The table is part of the program and a test reads it: it cannot be wrong here.
        let file: File = toml::from_str(include_str!("languages.toml")).unwrap_or_default();
        let mut table = Self {
            languages: Vec::with_capacity(file.language.len()),
            other: Entry { name: OTHER.to_owned(), prose: true, ..Entry::default() }.build(),
            by_name: BTreeMap::new(),
            by_extension: BTreeMap::new(),
            by_shebang: BTreeMap::new(),
        };
        for (index, entry) in file.language.into_iter().enumerate() {
            let with_index = |names: &[String]| {
                names.iter().map(|name| (name.clone(), index)).collect::<Vec<_>>()
            };
            table.by_name.extend(with_index(&entry.names));
            table.by_extension.extend(with_index(&entry.extensions));
            table.by_shebang.extend(with_index(&entry.shebangs));
            table.languages.push(entry.build());
        }
        table
    }
}

impl Entry {
    fn build(self) -> Language {
        let mut tokens = Vec::new();
        let mut add = |open: String, kind| tokens.push(Token { open: open.into_bytes(), kind });
        for open in self.skip {
            add(open, TokenKind::Skip);
        }
        for open in self.line {
            add(open, TokenKind::LineComment);
        }
        for (open, close) in self.block {
            add(open, TokenKind::BlockComment { close: close.into_bytes() });
        }
        for (open, close) in self.docs {
            add(open, TokenKind::Doc { close: close.into_bytes() });
        }
        for (open, close, kind) in self.strings {
            let escapes = !matches!(kind, TextKind::Raw);
            let ends_with_line = matches!(kind, TextKind::Line);
            let close = close.into_bytes();
            add(open, TokenKind::Text { close, escapes, ends_with_line });
        }
        tokens.retain(|token| !token.open.is_empty());
        tokens.sort_by_key(|token| std::cmp::Reverse(token.open.len()));
        let mut begins = [false; 256];
        for token in &tokens {
            let first = token.open.first().and_then(|byte| begins.get_mut(usize::from(*byte)));
            if let Some(first) = first {
                *first = true;
            }
        }
        Language { name: self.name, is_prose: self.prose, nested: self.nested, tokens, begins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_large_enough() {
        let file: File = toml::from_str(include_str!("languages.toml")).unwrap();
        assert!(file.language.len() >= 40, "{}", file.language.len());
        let entries: usize = file.language.iter().map(|entry| entry.extensions.len()).sum();
        assert_eq!(TABLE.by_extension.len(), entries, "an extension is there twice");
        assert_eq!(TABLE.languages.len(), file.language.len());
    }

    #[test]
    fn files_are_known_by_name_extension_or_first_line() {
        let cases = [
            ("main.rs", "", "Rust"),
            ("MAIN.RS", "", "Rust"),
            ("CMakeLists.txt", "", "CMake"),
            ("notes.txt", "", "Plain text"),
            ("Dockerfile.release", "", "Dockerfile"),
            ("LICENSE-MIT", "", "Plain text"),
            ("tool", "#!/usr/bin/env -S python3.11 -u\n", "Python"),
            ("tool", "#!/bin/bash", "Shell"),
            ("tool", "#! /usr/bin/perl -w\n", "Perl"),
            ("tool", "no shebang", OTHER),
            (".gitignore", "", OTHER),
            ("", "", OTHER),
            ("x.", "#!", OTHER),
        ];
        for (name, text, language) in cases {
            assert_eq!(detect(name, text.as_bytes()).name, language, "{name}");
        }
    }
}
