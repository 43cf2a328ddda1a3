//! Scopes: what an authority is for, as dotted patterns.
//!
//! ```text
//! scope   = "*" | kind ":" path
//! kind    = 1*(a-z | "-")                       skill, tool, run, fleet, effect …
//! path    = "*" | segment *("." segment) [".*"]
//! segment = 1*(A-Z | a-z | 0-9 | "_" | "-")
//! ```
//! A path without a star names one thing; `text.*` covers what is below `text`, not `text` itself.
//! `*` covers every kind but `effect`: the right to do what cannot be undone has to be named. So
//! nobody who holds only `*` can hand that right on either.
//!
//! Any two scopes are nested or disjoint, so an intersection never needs a third pattern.

use std::fmt;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::error::Kind;
use crate::text::Text;

/// Bytes of one scope: room for the longest skill name (100) and its kind.
pub const SCOPE_BYTES_MAX: usize = 200;
/// Scopes that one grant may list; every check walks them.
pub const SCOPES_MAX: usize = 64;

/// The kind that `*` leaves out.
const NAMED_ONLY: &str = "effect:";

/// One pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scope(Text);

impl Scope {
    /// Reads a scope.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        match Self::fault(text) {
            None => Ok(Scope(Text::from(text))),
            Some(fault) => Err(ScopeError::of(text, fault)),
        }
    }

    fn fault(text: &str) -> Option<&'static str> {
        if text == "*" {
            return None;
        }
        if text.len() > SCOPE_BYTES_MAX {
            return Some("it is longer than 200 bytes");
        }
        let Some((kind, path)) = text.split_once(':') else {
            return Some("it has no `kind:` in front");
        };
        if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
            return Some("its kind is not lower-case letters and dashes");
        }
        if path == "*" {
            return None;
        }
        let names = path.strip_suffix(".*").unwrap_or(path);
        if names.contains('*') {
            return Some("`*` stands elsewhere than as its last part");
        }
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !names.split('.').all(|name| !name.is_empty() && name.bytes().all(is_name)) {
            return Some("its path is not dotted names of letters, digits, `_` and `-`");
        }
        None
    }

    /// Whether what is needed falls under this pattern.
    pub fn covers(&self, need: &str) -> bool {
        if *self.0 == *"*" {
            return !need.starts_with(NAMED_ONLY);
        }
        match self.0.strip_suffix('*') {
            Some(prefix) => need.len() > prefix.len() && need.starts_with(prefix),
            None => *self.0 == *need,
        }
    }

    /// Whether everything that `other` covers falls under this pattern.
    pub fn contains(&self, other: &Scope) -> bool {
        self == other || self.covers(&other.0)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scopes, sorted, without those that another one contains.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// No scope: covers nothing.
    pub const NONE: Scopes = Scopes(Vec::new());

    /// Every kind but `effect`.
    pub fn everything() -> Self {
        Scopes(vec![Scope(Text::from("*"))])
    }

    /// The set of these scopes.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut all: Vec<Scope> = scopes.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let kept = all.iter().filter(|s| !all.iter().any(|o| o != *s && o.contains(s)));
        Scopes(kept.cloned().collect())
    }

    /// Reads a list of scopes.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut scopes = Vec::new();
        for text in texts {
            if scopes.len() == SCOPES_MAX {
                return Err(ScopeError::of(text, "a grant lists at most 64 scopes"));
            }
            scopes.push(Scope::parse(text)?);
        }
        Ok(Scopes::of(scopes))
    }

    /// Whether what is needed falls under one of them.
    pub fn covers(&self, need: &str) -> bool {
        self.0.iter().any(|scope| scope.covers(need))
    }

    /// What both cover. At most as many scopes as both have together.
    #[must_use]
    pub fn intersected(&self, other: &Scopes) -> Scopes {
        let mine = self.0.iter().filter(|s| other.0.iter().any(|o| o.contains(s)));
        let theirs = other.0.iter().filter(|o| self.0.iter().any(|s| s.contains(o)));
        Scopes::of(mine.chain(theirs).cloned())
    }

    /// Whether all they cover is covered by `outer`.
    pub fn is_within(&self, outer: &Scopes) -> bool {
        self.0.iter().all(|scope| outer.0.iter().any(|o| o.contains(scope)))
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether they cover nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = ScopeError;
    fn try_from(texts: Vec<String>) -> Result<Self, ScopeError> {
        Scopes::parse(texts.iter().map(String::as_str))
    }
}

impl From<Scopes> for Vec<String> {
    fn from(scopes: Scopes) -> Self {
        scopes.0.iter().map(Scope::to_string).collect()
    }
}

impl<C> minicbor::Encode<C> for Scopes {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|scope| e.str(&scope.0)?.ok())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Scopes {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let mut scopes = Vec::new();
        for text in d.array_iter::<&str>()? {
            scopes.push(Scope::parse(text?).map_err(|_| DecodeError::message("not a scope"))?);
        }
        Ok(Scopes::of(scopes))
    }
}

/// A text that is no scope, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read scope `{text}`: {fault}")]
pub struct ScopeError {
    text: String,
    fault: &'static str,
}

impl ScopeError {
    fn of(text: &str, fault: &'static str) -> Self {
        // A foreign text may be of any length; the message shows its beginning.
        ScopeError { text: text.chars().take(SCOPE_BYTES_MAX).collect(), fault }
    }

    /// What the caller would do differently: mend the text.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes::parse(texts.iter().copied()).unwrap()
    }

    #[test]
    fn patterns_cover_what_they_say() {
        for (scope, need, expected) in [
            ("skill:text.*", "skill:text.template", true),
            ("skill:text.*", "skill:text.a.b", true),
            ("skill:text.*", "skill:text", false),
            ("skill:text.*", "skill:text.", false),
            ("skill:text.*", "skill:textual", false),
            ("skill:text", "skill:text", true),
            ("skill:text", "skill:text.a", false),
            ("skill:*", "skill:echo", true),
            ("skill:*", "skill:", false),
            ("skill:*", "tool:echo", false),
            ("*", "fleet:operate", true),
            ("*", "effect:effectful", false),
            ("effect:*", "effect:effectful", true),
        ] {
            assert_eq!(Scope::parse(scope).unwrap().covers(need), expected, "{scope} {need}");
        }
    }

    #[test]
    fn faulty_scopes_are_refused_with_the_reason() {
        for (text, part) in [
            ("", "no `kind:`"),
            ("skill", "no `kind:`"),
            (":x", "its kind"),
            ("Skill:x", "its kind"),
            ("skill:", "its path"),
            ("skill:a..b", "its path"),
            ("skill:a.", "its path"),
            ("skill:.*", "its path"),
            ("skill:ä", "its path"),
            ("skill:a*", "elsewhere"),
            ("skill:*.a", "elsewhere"),
            ("skill:*.*", "elsewhere"),
            ("**", "no `kind:`"),
        ] {
            let error = Scope::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(Scope::parse(&format!("skill:{}", "a".repeat(200))).is_err());
        let many: Vec<String> = (0..65).map(|i| format!("skill:s{i}")).collect();
        assert!(Scopes::try_from(many).is_err());
    }

    #[test]
    fn sets_are_minimal_and_sorted() {
        let set = scopes(&["skill:text.a", "skill:text.*", "run:submit", "run:submit"]);
        assert_eq!(set, scopes(&["run:submit", "skill:text.*"]));
        let back: Scopes = minicbor::decode(&minicbor::to_vec(&set).unwrap()).unwrap();
        assert_eq!(back, set);
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["run:submit","skill:text.*"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(&json).unwrap(), set);
    }

    #[test]
    fn star_cannot_hand_on_the_right_to_effects() {
        let asked = scopes(&["effect:effectful", "skill:*"]);
        assert_eq!(Scopes::everything().intersected(&asked), scopes(&["skill:*"]));
        assert!(!asked.is_within(&Scopes::everything()));
    }
}
