//! Manifests as text: JSON, YAML or TOML into one value, with the line and column of everything in
//! it, so that a finding can say where to look.

mod json;
mod lines;
mod places;
mod toml;
mod yaml;

use serde_json::Value;

pub use places::{item, member};

pub(crate) use yaml::plain;

use places::Places;

/// Bytes of a manifest; a plan has at most 1 MiB, the rest is for descriptions and layout.
pub const TEXT_BYTES_MAX: usize = 8 << 20;
/// Values in one text, aliases expanded: a bomb of aliases ends here.
pub const VALUES_MAX: usize = 200_000;
/// Bytes of all keys and strings of one text, aliases expanded: an escape is shorter than what it
/// stands for, by less than half.
const EXPANDED_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;
/// Levels of nesting; the manifest format has the same limit.
const DEPTH_MAX: usize = ark_os_core::manifest::DOCUMENT_DEPTH_MAX;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML 1.2, of which JSON is a part.
    Yaml,
    /// TOML.
    Toml,
}

impl Format {
    /// The format that a file's ending tells; YAML where it tells none.
    #[must_use]
    pub fn of_ending(ending: &str) -> Self {
        match ending.to_ascii_lowercase().as_str() {
            "json" => Format::Json,
            "toml" => Format::Toml,
            _ => Format::Yaml,
        }
    }

    /// Its name, which is also a file's ending.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Yaml => "yaml",
            Format::Toml => "toml",
        }
    }
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        Fault { line, column, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// A value with the places of its parts.
#[derive(Debug)]
pub struct Document {
    /// What the text says.
    pub value: Value,
    places: Places,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// It cannot be read, or in two ways; with the place.
    pub fn read(format: Format, text: &str) -> Result<Self, Fault> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the text has more than {TEXT_BYTES_MAX} bytes");
            return Err(Fault::new(1, 1, message));
        }
        match format {
            Format::Json => json::parse(text),
            Format::Yaml => yaml::parse(text),
            Format::Toml => toml::parse(text),
        }
    }

    /// Line and column, from 1, of the value that a JSON pointer names, or of what is nearest
    /// above it.
    #[must_use]
    pub fn line_column(&self, pointer: &str) -> (usize, usize) {
        self.places.nearest(pointer)
    }

    /// The keys of an object in the order in which they are written.
    pub(crate) fn keys_as_written(&self, pointer: &str) -> Vec<String> {
        let Some(Value::Object(map)) = self.value.pointer(pointer) else { return Vec::new() };
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort_by_key(|key| self.places.nearest(&member(pointer, key)));
        keys.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
