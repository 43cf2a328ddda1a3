//! Recognises licences: SPDX tags in sources, the characteristic phrases of licence files, and what
//! package manifests declare.

use std::sync::LazyLock;

use regex::bytes::Regex as BytesRegex;
use serde::Deserialize;

use super::spdx;

/// Bytes of a licence file that are looked at; the longest licence in use (GPL-3.0) has 35 KiB.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a source in which an SPDX tag may stand: it belongs at the top.
const TAG_HEAD_BYTES: usize = 16 * 1024;
/// The largest package manifest that is read.
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

static TAG: LazyLock<Option<BytesRegex>> = LazyLock::new(|| {
    BytesRegex::new(r"(?-u)SPDX-License-Identifier:[ \t]{0,8}([A-Za-z0-9.+\-()/: \t]{1,400})").ok()
});

/// A licence is told by phrases that its text must and must not have, in the form of [`plain`].
struct Phrases {
    id: &'static str,
    all: &'static [&'static str],
    none: &'static [&'static str],
}

const fn phrases(
    id: &'static str,
    all: &'static [&'static str],
    none: &'static [&'static str],
) -> Phrases {
    Phrases { id, all, none }
}

const APACHE_NOTICE: &str = "licensed under the apache license version 2 0 the license you may not \
                             use this file except in compliance with the license";
const MIT: &str = "permission is hereby granted free of charge to any person obtaining a copy of \
                   this software and associated documentation files";
const MIT_NOTICE: &str =
    "the above copyright notice and this permission notice shall be included in";
const BSD: &str = "redistribution and use in source and binary forms with or without modification \
                   are permitted";
const BSD_NAMES: &str = "endorse or promote products derived from this software without";
const BSD_ADVERTISING: &str =
    "all advertising materials mentioning features or use of this software";
const ISC: &str = "permission to use copy modify and or distribute this software for any purpose \
                   with or without fee is hereby granted";
const ISC_NOTICE: &str =
    "provided that the above copyright notice and this permission notice appear";
const ZLIB: &str = "altered source versions must be plainly marked as such and must not be \
                    misrepresented as being the original software";

static TABLE: &[Phrases] = &[
    phrases("MIT", &[MIT, MIT_NOTICE], &[]),
    phrases("MIT-0", &[MIT], &[MIT_NOTICE]),
    phrases("Apache-2.0", &["apache license version 2 0 january 2004"], &[]),
    phrases("Apache-2.0", &[APACHE_NOTICE], &["apache license version 2 0 january 2004"]),
    phrases("LLVM-exception", &["llvm exceptions to the apache 2 0 license"], &[]),
    phrases("BSD-4-Clause", &[BSD, BSD_ADVERTISING], &[]),
    phrases("BSD-3-Clause", &[BSD, BSD_NAMES], &[BSD_ADVERTISING]),
    phrases("BSD-2-Clause", &[BSD], &[BSD_NAMES, BSD_ADVERTISING]),
    phrases("ISC", &[ISC, ISC_NOTICE], &[]),
    phrases("0BSD", &[ISC], &[ISC_NOTICE]),
    phrases("MPL-2.0", &["mozilla public license version 2 0"], &[]),
    phrases("GPL-2.0", &["gnu general public license version 2 june 1991"], &[]),
    phrases("GPL-3.0", &["gnu general public license version 3 29 june 2007"], &[]),
    phrases("LGPL-2.0", &["gnu library general public license version 2 june 1991"], &[]),
    phrases("LGPL-2.1", &["gnu lesser general public license version 2 1 february 1999"], &[]),
    phrases("LGPL-3.0", &["gnu lesser general public license version 3 29 june 2007"], &[]),
    phrases("AGPL-3.0", &["gnu affero general public license version 3 19 november 2007"], &[]),
    phrases(
        "Unlicense",
        &["this is free and unencumbered software released into the public domain"],
        &[],
    ),
    phrases("CC0-1.0", &["cc0 1 0 universal"], &[]),
    phrases("CC-BY-4.0", &["creative commons attribution 4 0 international"], &[]),
    phrases("CC-BY-SA-4.0", &["creative commons attribution sharealike 4 0 international"], &[]),
    phrases("BSL-1.0", &["boost software license version 1 0"], &[]),
    phrases("BUSL-1.1", &["business source license 1 1"], &[]),
    phrases("Zlib", &[ZLIB], &[]),
    phrases("EPL-2.0", &["eclipse public license v 2 0"], &[]),
    phrases("EUPL-1.2", &["european union public licence v 1 2"], &[]),
    phrases("OFL-1.1", &["sil open font license version 1 1"], &[]),
    phrases("Artistic-2.0", &["the artistic license 2 0"], &[]),
    phrases("Python-2.0", &["python software foundation license version 2"], &[]),
    phrases(
        "PostgreSQL",
        &[
            "permission to use copy modify and distribute this software and its documentation for any purpose without fee and without a written agreement",
        ],
        &[],
    ),
    phrases("Unicode-3.0", &["unicode license v3"], &[]),
    phrases("Unicode-DFS-2016", &["unicode inc license agreement data files and software"], &[]),
    phrases("OpenSSL", &["this product includes software developed by the openssl project"], &[]),
    phrases(
        "CDLA-Permissive-2.0",
        &["community data license agreement permissive version 2 0"],
        &[],
    ),
    phrases("WTFPL", &["do what the fuck you want to public license"], &[]),
];

/// Whether a file is there to hold a licence.
pub(super) fn is_licence_file(file_name: &str) -> bool {
    let lower = file_name.to_ascii_lowercase();
    let (stem, extension) = lower.rsplit_once('.').unwrap_or((&lower, ""));
    let is_text =
        matches!(extension, "" | "txt" | "md" | "rst" | "html" | "adoc" | "lesser" | "lib")
            || !extension.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_named = |name: &str| stem.split(['-', '_', '.', ' ']).any(|part| part == name);
    let starts = ["license", "licence", "copying", "unlicense", "copyright"]
        .iter()
        .any(|name| lower.starts_with(name));
    is_text && (starts || is_named("license") || is_named("licence"))
}

/// The SPDX ids of the licences whose text this is.
pub(super) fn detect(text: &[u8]) -> Vec<&'static str> {
    let text = plain(text.get(..TEXT_BYTES_MAX).unwrap_or(text));
    let has = |phrase: &&str| text.contains(*phrase);
    TABLE
        .iter()
        .filter(|licence| licence.all.iter().all(has) && !licence.none.iter().any(has))
        .map(|licence| licence.id)
        .collect()
}

/// Lower-case words and numbers with one space between, so that layout does not matter.
fn plain(text: &[u8]) -> String {
    let mut plain = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() {
            plain.push(char::from(byte.to_ascii_lowercase()));
        } else if !plain.ends_with(' ') {
            plain.push(' ');
        }
    }
    plain
}

/// The SPDX expression that a source file names for itself.
pub(super) fn tag(text: &[u8]) -> Option<String> {
    let head = text.get(..TAG_HEAD_BYTES).unwrap_or(text);
    let found = TAG.as_ref()?.captures(head)?.get(1)?;
    spdx::expression(std::str::from_utf8(found.as_bytes()).ok()?)
}

/// What a package manifest declares.
pub(super) fn declared(file_name: &str, text: &[u8]) -> Option<String> {
    manifest(file_name, text)?.licence
}

/// What a package manifest says of its package.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// Empty where it says none.
    pub(super) version: String,
    pub(super) licence: Option<String>,
}

/// Reads a manifest, known by its name; `None` for any other file and one that is none.
pub(super) fn manifest(file_name: &str, text: &[u8]) -> Option<Manifest> {
    if text.len() > MANIFEST_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let declaring = match file_name {
        "Cargo.toml" => toml::from_str::<CargoToml>(text).ok()?.package?,
        "pyproject.toml" => toml::from_str::<PyProject>(text).ok()?.project?,
        "package.json" => serde_json::from_str::<Declaring>(text).ok()?,
        _ => return None,
    };
    let version = match declaring.version {
        Some(Field::Text(version)) => version,
        _ => String::new(),
    };
    let licence = declaring.license.and_then(Field::text);
    Some(Manifest { version, licence: licence.and_then(|text| spdx::expression(&text)) })
}

/// The licence field of a package in JSON.
pub(super) fn of_json(text: &str) -> Option<String> {
    spdx::expression(&serde_json::from_str::<Field>(text).ok()?.text()?)
}

#[derive(Deserialize)]
struct CargoToml {
    package: Option<Declaring>,
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Declaring>,
}

#[derive(Deserialize)]
struct Declaring {
    version: Option<Field>,
    license: Option<Field>,
}

/// A text, or a table that may hold one (`{ type = "MIT" }`, `{ text = "MIT" }`), or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Table {
        #[serde(alias = "type")]
        text: Option<String>,
    },
    Other(serde::de::IgnoredAny),
}

impl Field {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Table { text } => text,
            Self::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn licence_files_are_known_by_name() {
        for name in [
            "LICENSE",
            "LICENSE-MIT",
            "license.txt",
            "COPYING.LESSER",
            "Licence.md",
            "LICENSE.APACHE2",
            "UNLICENSE",
            "LICENSE-2.0",
            "BSD-LICENSE",
            "COPYRIGHT",
        ] {
            assert!(is_licence_file(name), "{name}");
        }
        for name in ["license.rs", "main.c", "licensing_test.go", "copy.txt", "licences.toml"] {
            assert!(!is_licence_file(name), "{name}");
        }
    }

    #[test]
    fn licences_are_told_by_their_phrases() {
        let bsd = "Redistribution and use in source and binary forms, with or without\n * \
                   modification, are permitted provided that";
        let bsd3 = format!(
            "{bsd}\nNeither the name of X nor the names of its contributors may be \
                            used to endorse or promote products derived from this software without x"
        );
        let isc = "Permission to use, copy, modify, and/or distribute this software for any\npurpose \
                   with or without fee is hereby granted";
        let cases = [
            (bsd, vec!["BSD-2-Clause"]),
            (bsd3.as_str(), vec!["BSD-3-Clause"]),
            ("   Apache License\n     Version 2.0, January 2004", vec!["Apache-2.0"]),
            ("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", vec!["GPL-3.0"]),
            ("GNU LESSER GENERAL PUBLIC LICENSE Version 2.1, February 1999", vec!["LGPL-2.1"]),
            (isc, vec!["0BSD"]),
            ("All rights reserved.", vec![]),
        ];
        for (text, ids) in cases {
            assert_eq!(detect(text.as_bytes()), ids, "{text}");
        }
    }

    #[test]
    fn tags_and_declarations_are_read() {
        let text = b"// SPDX-License-Identifier: MIT OR Apache-2.0\nfn main() {}";
        assert_eq!(tag(text).as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(
            tag(b"/* SPDX-License-Identifier: GPL-2.0-only */").as_deref(),
            Some("GPL-2.0-only")
        );
        let cases = [
            ("Cargo.toml", "[package]\nname='a'\nlicense='MIT'", Some("MIT")),
            ("Cargo.toml", "[package]\nlicense.workspace=true", None),
            ("Cargo.toml", "[package", None),
            ("package.json", r#"{"license":"ISC"}"#, Some("ISC")),
            ("package.json", r#"{"license":{"type":"ISC","url":"x"}}"#, Some("ISC")),
            ("package.json", r#"{"license":7}"#, None),
            ("pyproject.toml", "[project]\nlicense={text='MIT'}", Some("MIT")),
            ("other.json", r#"{"license":"ISC"}"#, None),
        ];
        for (name, text, expected) in cases {
            assert_eq!(declared(name, text.as_bytes()).as_deref(), expected, "{name} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_readers(text in prop::collection::vec(any::<u8>(), 0..300), prefix in "(\\[package\\]\nlicense=|\\{\"license\":|SPDX-License-Identifier: )?") {
            let text = [prefix.into_bytes(), text].concat();
            let _ = (detect(&text), tag(&text));
            for name in ["Cargo.toml", "pyproject.toml", "package.json"] {
                let _ = declared(name, &text);
            }
        }
    }
}
