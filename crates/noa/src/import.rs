//! Agent files of others into manifests: agent directories as CSV, crews of CrewAI.
//!
//! What has a counterpart becomes it; what has none is kept under an annotation (`x-…`) and told.
//! Nothing is made up: where a manifest needs something that the file does not say, a person is
//! told what to add. How an imported agent works is not in these files, or not in a way that this
//! version can run, so they become remote workers.

mod crewai;
mod csv;

pub use crewai::crew;
pub use csv::directory;

use std::collections::BTreeMap;

use ark_os_core::manifest::NAME_CHARS_MAX;
use serde::Serialize;
use serde_json::Value;

/// What came of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// The manifest.
    pub manifest: Value,
    /// What is wrong with the file; what a fault is about is not in the manifest.
    pub faults: Vec<Remark>,
    /// What a person should know: what was changed, kept aside or left out.
    pub notes: Vec<Remark>,
}

/// Something about a line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Which of the files, from 0.
    #[serde(skip)]
    pub file: usize,
    /// The line, from 1.
    pub line: usize,
    /// What is to be said.
    pub message: String,
}

/// Names of an imported file as names of a manifest, each once.
#[derive(Default)]
struct Names {
    by_original: BTreeMap<String, String>,
    taken: BTreeMap<String, String>,
}

impl Names {
    /// The name for an original one; an error says whose it is already, or that nothing is left
    /// of it.
    fn take(&mut self, original: &str) -> Result<String, String> {
        let name = slug(original, false);
        if name.is_empty() {
            return Err(format!("`{original}` has no letter that a name can have"));
        }
        if let Some(other) = self.taken.get(&name) {
            return Err(match other == original {
                true => format!("there is another `{original}` before this one"),
                false => format!("`{original}` and `{other}` before it both come to `{name}`"),
            });
        }
        self.taken.insert(name.clone(), original.to_owned());
        self.by_original.insert(original.to_owned(), name.clone());
        Ok(name)
    }

    /// What an original name became.
    fn find(&self, original: &str) -> Option<&String> {
        self.by_original.get(original).or_else(|| {
            // People write names of others less carefully than their own.
            let name = slug(original, false);
            self.taken.get_key_value(&name).map(|(name, _)| name)
        })
    }
}

/// A text as a name: letters without their accents, everything else that a name cannot have as
/// one dash.
fn slug(text: &str, has_dots: bool) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        let fits = c.is_ascii_alphanumeric() || c == '_' || c == '-' || (c == '.' && has_dots);
        match letters(c) {
            _ if fits => name.push(c),
            Some(letters) => name.push_str(letters),
            None if !name.ends_with('-') && !name.is_empty() => name.push('-'),
            None => {}
        }
    }
    name.truncate(NAME_CHARS_MAX);
    name.trim_matches('-').to_owned()
}

/// Letters of western names.
fn letters(c: char) -> Option<&'static str> {
    Some(match c {
        'ä' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        'Ä' => "Ae",
        'Ö' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' => "a",
        'ç' => "c",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' => "o",
        'ù' | 'ú' | 'û' => "u",
        'É' | 'È' => "E",
        'Ø' => "O",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
