//! Reads npm's lock files as a stream: package by package, so that memory does not grow with the
//! file. Version 1 is a tree of packages; version 3 lists them by their place in `node_modules`;
//! version 2 is both.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::licences;

/// A licence field longer than this is none.
const LICENCE_BYTES_MAX: usize = 1024;

/// One package of the lock file.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// Where it is fetched from, if the file says so.
    pub(super) resolved: &'a str,
    /// What the file says of its licence.
    pub(super) licence: Option<String>,
    /// Where it is installed, below the lock file's directory.
    pub(super) place: &'a str,
}

/// Takes a package.
type Add<'a> = dyn FnMut(&Entry<'_>) + 'a;

/// Calls `add` for every package of the lock file that is not the project's own.
pub(super) fn read(text: &str, add: &mut Add<'_>) -> Result<(), serde_json::Error> {
    let mut source = serde_json::Deserializer::from_str(text);
    Lock { add }.deserialize(&mut source)?;
    source.end()
}

struct Lock<'a, 'f> {
    add: &'a mut Add<'f>,
}

impl<'de> DeserializeSeed<'de> for Lock<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Lock<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a lock file")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "packages" => map.next_value_seed(Tree { add: self.add, keys: Keys::Places })?,
                "dependencies" => {
                    map.next_value_seed(Tree { add: self.add, keys: Keys::Names("") })?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Keys<'p> {
    /// `node_modules/a/node_modules/b`; the project itself is the empty place.
    Places,
    /// `b`, needed by the package at this place.
    Names(&'p str),
}

/// Packages by name or place.
struct Tree<'a, 'f, 'p> {
    add: &'a mut Add<'f>,
    keys: Keys<'p>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of packages")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let inside = match self.keys {
                Keys::Names("") => format!("node_modules/{key}"),
                Keys::Names(parent) => format!("{parent}/node_modules/{key}"),
                Keys::Places => String::new(),
            };
            let (name, place) = match self.keys {
                Keys::Names(_) => (Some(key.as_str()), inside.as_str()),
                Keys::Places => {
                    (key.rsplit_once("node_modules/").map(|(_, name)| name), key.as_str())
                }
            };
            map.next_value_seed(Package { add: self.add, name, place })?;
        }
        Ok(())
    }
}

/// One package; anything that is not an object is a requirement and no package.
struct Package<'a, 'f, 'n> {
    add: &'a mut Add<'f>,
    name: Option<&'n str>,
    place: &'n str,
}

impl<'de> DeserializeSeed<'de> for Package<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Package<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a package")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let (mut version, mut alias, mut is_link) = (None, None, false);
        let (mut resolved, mut licence) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => version = map.next_value::<Option<String>>()?,
                "name" => alias = map.next_value::<Option<String>>()?,
                "link" => is_link = map.next_value()?,
                "resolved" => resolved = address(map.next_value()?),
                "license" => licence = licence_of(map.next_value()?),
                "dependencies" => {
                    let keys = Keys::Names(self.place);
                    map.next_value_seed(Tree { add: self.add, keys })?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let version = version.unwrap_or_default();
        // A link or a path leads to a part of the project itself.
        let is_own = is_link || version.starts_with("file:");
        if let (Some(name), false) = (self.name, is_own) {
            (self.add)(&Entry {
                name: alias.as_deref().unwrap_or(name),
                version: &version,
                resolved: resolved.as_deref().unwrap_or_default(),
                licence,
                place: self.place,
            });
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, _requirement: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _other: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _other: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _other: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _other: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Kept as text until its length is known: a hostile one would be large when parsed.
fn licence_of(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    (text.len() <= LICENCE_BYTES_MAX).then(|| licences::of_json(text)).flatten()
}

/// Some versions write `false` here.
fn address(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}
