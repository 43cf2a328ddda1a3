//! The shape of manifests, as data: which object has which fields, and what may stand in them.
//!
//! This is the one source of what a manifest may say. The readers take the names that they accept
//! from here, the published JSON Schema is written from here, and tests hold the readers to the
//! rest: what the schema refuses no reader accepts.

mod behaviour;
mod json_schema;
mod sections;
mod work;

pub use json_schema::json_schema;

pub(super) use behaviour::{
    BEHAVIOUR, COMMAND, COMMAND_LIMITS, COMMAND_PROBE, EXIT, HTTP, HTTP_PROBE, MOUNT, NATIVE,
    WORKER,
};
pub(super) use sections::{
    AGENT, CATCH_UP, CATCH_UP_ALL, CONCURRENCY, CONTRACT, FLEET, GROUP, LIMITS, MANIFEST, OFFER,
    SCHEDULE,
};
pub(super) use work::{
    BUDGET, CHILD_RUN, FALLBACK, LIMIT, MAP, RATE, RETRY, SINGLE, TASK, WAIT, WORKFLOW,
};

/// What begins the name of an annotation: a field that says something to others and nothing here.
pub const ANNOTATION_PREFIX: &str = "x-";

/// An object of a manifest.
#[derive(Debug)]
pub struct Shape {
    /// What it is called in the published schema.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its fields, in the order in which people write them.
    pub fields: &'static [Field],
    /// Which of its fields have to be there together.
    pub choice: Choice,
    /// Fields that the format has and that this version cannot carry out.
    pub later: &'static [&'static str],
}

/// What an object demands of its fields besides the required ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Free,
    /// One of these at least.
    Some(&'static [&'static str]),
    /// Exactly one of its fields.
    One,
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What stands in it.
    pub kind: Kind,
    /// Whether it has to be there.
    pub is_required: bool,
    /// What it means.
    pub about: &'static str,
}

/// What may stand in a field.
#[derive(Debug)]
pub enum Kind {
    /// A text of so many bytes.
    Text(usize),
    /// A name without dots.
    Name,
    /// A name that may have dots.
    DottedName,
    /// True or false.
    Flag,
    /// A whole number from one to the other.
    Count(u64, u64),
    /// A duration such as `1h30m`.
    Duration,
    /// An amount of bytes, from one to the other: a number, or a text such as `64KiB`.
    Bytes(u64, u64),
    /// An amount of money such as `0.50usd`.
    Money,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text that a regular expression describes.
    Pattern(&'static str),
    /// A list of so many.
    List(&'static Kind, usize, usize),
    /// An object of so many entries, whose names are free.
    Entries(&'static Kind, usize),
    /// An object.
    Object(&'static Shape),
    /// A JSON Schema.
    Schema,
    /// Anything.
    Any,
    /// One of these.
    Either(&'static [Kind]),
}

impl Shape {
    /// Whether a field belongs here; annotations always do.
    pub fn has(&self, name: &str) -> bool {
        name.starts_with(ANNOTATION_PREFIX) || self.field(name).is_some()
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }
}

/// The shape of a whole manifest.
pub fn manifest() -> &'static Shape {
    &MANIFEST
}

const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, is_required: false, about }
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, is_required: true, about }
}

const fn shape(name: &'static str, about: &'static str, fields: &'static [Field]) -> Shape {
    Shape { name, about, fields, choice: Choice::Free, later: &[] }
}
