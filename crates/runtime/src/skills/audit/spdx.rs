//! Licence expressions: what a manifest says, in the words of SPDX, and how far the licence reaches.
//! A judgement for orientation and not legal advice: what the table does not know is `other`.

use serde::{Deserialize, Serialize};

/// The longest expression that is kept.
const EXPRESSION_BYTES_MAX: usize = 200;
/// Parentheses inside each other that are followed; real expressions have two.
const DEPTH_MAX: usize = 16;

/// What using a licensed work asks of the one who uses it. In the order of what it asks: of
/// alternatives (`OR`) the least counts, of parts (`AND`) the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LicenceKind {
    /// To keep the notice, or nothing.
    Permissive,
    /// To share changes of the work itself.
    WeakCopyleft,
    /// To share what is distributed with it.
    StrongCopyleft,
    /// To share it with those who use it over a network as well.
    NetworkCopyleft,
    /// No free licence, or none at all.
    Restricted,
    /// Named, and not in the table.
    Other,
    /// Nothing was found.
    Unknown,
}

impl LicenceKind {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Permissive => "permissive",
            Self::WeakCopyleft => "weak copyleft",
            Self::StrongCopyleft => "strong copyleft",
            Self::NetworkCopyleft => "network copyleft",
            Self::Restricted => "restricted",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

use LicenceKind::{NetworkCopyleft, Other, Permissive, Restricted, StrongCopyleft, WeakCopyleft};

/// Ids in lower case without `-only`, `-or-later` and `+`; a `*` stands for any end.
const KINDS: &[(&str, LicenceKind)] = &[
    ("0bsd", Permissive),
    ("afl-3.0", Permissive),
    ("apache-1.1", Permissive),
    ("apache-2.0", Permissive),
    ("artistic-2.0", Permissive),
    ("blueoak-1.0.0", Permissive),
    ("bsd*", Permissive),
    ("bsl-1.0", Permissive),
    ("bzip2-1.0.6", Permissive),
    ("cc-by-3.0", Permissive),
    ("cc-by-4.0", Permissive),
    ("cc0-1.0", Permissive),
    ("cdla-permissive*", Permissive),
    ("curl", Permissive),
    ("ecl-2.0", Permissive),
    ("hpnd", Permissive),
    ("icu", Permissive),
    ("ijg", Permissive),
    ("isc", Permissive),
    ("libpng*", Permissive),
    ("mit", Permissive),
    ("mit-0", Permissive),
    ("mit-cmu", Permissive),
    ("ms-pl", Permissive),
    ("mulanpsl*", Permissive),
    ("ncsa", Permissive),
    ("ofl-1.1", Permissive),
    ("openssl", Permissive),
    ("postgresql", Permissive),
    ("psf-2.0", Permissive),
    ("python-2.0*", Permissive),
    ("ssleay", Permissive),
    ("unicode-3.0", Permissive),
    ("unicode-dfs-2016", Permissive),
    ("unlicense", Permissive),
    ("upl-1.0", Permissive),
    ("w3c", Permissive),
    ("wtfpl", Permissive),
    ("x11", Permissive),
    ("zlib", Permissive),
    ("zpl-2.1", Permissive),
    ("cc-by-sa*", WeakCopyleft),
    ("cddl*", WeakCopyleft),
    ("cpl-1.0", WeakCopyleft),
    ("epl*", WeakCopyleft),
    ("eupl*", WeakCopyleft),
    ("lgpl*", WeakCopyleft),
    ("mpl*", WeakCopyleft),
    ("ms-rl", WeakCopyleft),
    ("gpl*", StrongCopyleft),
    ("osl-3.0", StrongCopyleft),
    ("agpl*", NetworkCopyleft),
    ("busl-1.1", Restricted),
    ("cc-by-nc*", Restricted),
    ("cc-by-nd*", Restricted),
    ("commons-clause", Restricted),
    ("elastic-2.0", Restricted),
    ("json", Restricted),
    ("polyform*", Restricted),
    ("sspl-1.0", Restricted),
    ("unlicensed", Restricted),
    ("proprietary", Restricted),
];

/// Exceptions that let other works link to one under the GPL.
const LINKING_EXCEPTIONS: &[&str] =
    &["classpath-exception", "gcc-exception", "openjdk-assembly-exception", "llgpl"];

/// What manifests write instead of an id, in lower case.
const SPOKEN: &[(&str, &str)] = &[
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("apache software license", "Apache-2.0"),
    ("apache software license 2.0", "Apache-2.0"),
    ("bsd license", "BSD"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("3-clause bsd license", "BSD-3-Clause"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("isc license", "ISC"),
    ("isc license (iscl)", "ISC"),
    ("mit license", "MIT"),
    ("the mit license", "MIT"),
    ("the mit license (mit)", "MIT"),
    ("mozilla public license 2.0 (mpl 2.0)", "MPL-2.0"),
    ("mpl 2.0", "MPL-2.0"),
    ("psf", "PSF-2.0"),
    ("python software foundation license", "PSF-2.0"),
    ("the unlicense (unlicense)", "Unlicense"),
    ("gplv2", "GPL-2.0"),
    ("gplv3", "GPL-3.0"),
    ("gnu general public license (gpl)", "GPL"),
    ("gnu general public license v2 (gplv2)", "GPL-2.0-only"),
    ("gnu general public license v2 or later (gplv2+)", "GPL-2.0-or-later"),
    ("gnu general public license v3 (gplv3)", "GPL-3.0-only"),
    ("gnu general public license v3 or later (gplv3+)", "GPL-3.0-or-later"),
    ("gnu lesser general public license v2 (lgplv2)", "LGPL-2.0-only"),
    ("gnu lesser general public license v2 or later (lgplv2+)", "LGPL-2.0-or-later"),
    ("gnu lesser general public license v3 (lgplv3)", "LGPL-3.0-only"),
    ("gnu lesser general public license v3 or later (lgplv3+)", "LGPL-3.0-or-later"),
    ("gnu library or lesser general public license (lgpl)", "LGPL"),
    ("gnu affero general public license v3", "AGPL-3.0-only"),
    ("gnu affero general public license v3 or later (agplv3+)", "AGPL-3.0-or-later"),
    ("public domain", "LicenseRef-public-domain"),
    ("other/proprietary license", "proprietary"),
];

/// What a manifest declares, as an expression; `None` where it is no short plain text.
pub(super) fn expression(text: &str) -> Option<String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if let Some((_, id)) = SPOKEN.iter().find(|(spoken, _)| *spoken == lower) {
        return Some((*id).to_owned());
    }
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | '+' | '-' | '(' | ')' | '/' | ' ' | ':' | ',')
    };
    if text.is_empty() || text.len() > EXPRESSION_BYTES_MAX || !text.chars().all(is_plain) {
        return None;
    }
    // Cargo's manifests once had a slash for "or".
    let is_old = text.contains('/') && !text.contains(':');
    let parts = text.split('/').map(str::trim);
    Some(if is_old { parts.collect::<Vec<_>>().join(" OR ") } else { text.to_owned() })
}

/// What an expression asks.
pub(super) fn kind(expression: Option<&str>) -> LicenceKind {
    let Some(expression) = expression else { return LicenceKind::Unknown };
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0 };
    match words.any_of(0) {
        Some(kind) if words.at == words.words.len() => kind,
        _ => Other,
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn next_is(&mut self, word: &str) -> bool {
        let is = self.words.get(self.at).is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn take(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn any_of(&mut self, depth: usize) -> Option<LicenceKind> {
        let mut kind = self.all_of(depth)?;
        while self.next_is("OR") {
            kind = kind.min(self.all_of(depth)?);
        }
        Some(kind)
    }

    fn all_of(&mut self, depth: usize) -> Option<LicenceKind> {
        let mut kind = self.one(depth)?;
        while self.next_is("AND") {
            kind = kind.max(self.one(depth)?);
        }
        Some(kind)
    }

    fn one(&mut self, depth: usize) -> Option<LicenceKind> {
        if self.next_is("(") {
            let inner = if depth < DEPTH_MAX { self.any_of(depth + 1)? } else { return None };
            return self.next_is(")").then_some(inner);
        }
        let kind = kind_of_id(self.take()?);
        if !self.next_is("WITH") {
            return Some(kind);
        }
        let exception = self.take()?.to_ascii_lowercase();
        let is_linking = LINKING_EXCEPTIONS.iter().any(|known| exception.starts_with(known));
        Some(if is_linking && kind == StrongCopyleft { WeakCopyleft } else { kind })
    }
}

fn kind_of_id(id: &str) -> LicenceKind {
    let lower = id.to_ascii_lowercase();
    let bare = lower.trim_end_matches('+');
    let bare = bare.strip_suffix("-only").or(bare.strip_suffix("-or-later")).unwrap_or(bare);
    let is = |name: &str| match name.strip_suffix('*') {
        Some(start) => bare.starts_with(start),
        None => bare == name,
    };
    KINDS.iter().find(|(name, _)| is(name)).map_or(Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn expressions_have_the_kind_of_what_one_may_choose() {
        let cases = [
            ("MIT", Permissive),
            ("MIT OR GPL-3.0-only", Permissive),
            ("MIT AND GPL-3.0-or-later", StrongCopyleft),
            ("GPL-2.0+", StrongCopyleft),
            ("GPL-2.0-only WITH Classpath-exception-2.0", WeakCopyleft),
            ("Apache-2.0 WITH LLVM-exception", Permissive),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Permissive),
            ("MIT AND (LGPL-2.1-only OR AGPL-3.0-only)", WeakCopyleft),
            ("AGPL-3.0-only", NetworkCopyleft),
            ("BUSL-1.1", Restricted),
            ("LicenseRef-acme", Other),
            ("SEE LICENSE IN x", Other),
            ("MIT OR", Other),
            ("(MIT", Other),
            ("", Other),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(Some(text)), expected, "{text}");
        }
        assert_eq!(kind(None), LicenceKind::Unknown);
        assert_eq!(kind(Some(&"(".repeat(200))), Other);
    }

    #[test]
    fn what_manifests_say_becomes_an_expression() {
        let cases = [
            ("MIT/Apache-2.0", Some("MIT OR Apache-2.0")),
            ("MIT License", Some("MIT")),
            ("GNU General Public License v3 (GPLv3)", Some("GPL-3.0-only")),
            (" ISC ", Some("ISC")),
            ("see <https://x>", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(expression(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_kind(text in "(\\(|\\)|MIT| AND | OR | WITH |GPL-2.0|x|é){0,40}") {
            let _ = (kind(Some(&text)), expression(&text));
        }
    }
}
