//! Payloads: texts by reference, and what was read out of them, kept within limits for whoever
//! asks next. Shared by the loop and its workers; a lock is held for a look-up only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::manifest::Template;
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::text::Text;
use serde_json::Value;

use super::cache::Cache;
use super::list::List;
use super::{
    BlobSource, CONDITIONS_KEPT_MAX, Condition, DataError, LIST_CACHE_BYTES_MAX, PARSED_BYTES_MAX,
    PAYLOAD_BYTES_MAX, Schemas, TEMPLATE_CACHE_BYTES_MAX, TEXT_CACHE_BYTES_MAX,
    VALUE_CACHE_BYTES_MAX, json, payload_of,
};

/// Inline texts below this are parsed again: that is cheaper than to keep them.
const KEPT_BYTES_MIN: usize = 512;
/// What a parsed template takes for each byte of its text, about.
const TEMPLATE_BYTES_PER_BYTE: usize = 8;
/// What every kept thing takes besides its content, about.
const KEPT_BYTES_EACH: usize = 256;

/// Where a text stands, and so what names it in a cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    /// In memory at this address; whoever keeps something by it keeps the text as well.
    Memory(usize),
    /// A blob.
    Blob(Hash),
    /// The collected outputs of a map that is over: run, node, generation of the node.
    Collected(RunId, u32, u32),
}

/// A text and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) text: Arc<[u8]>,
    pub(super) place: Place,
}

impl Located {
    pub(super) fn in_memory(text: Arc<[u8]>) -> Self {
        let place = Place::Memory(Arc::as_ptr(&text).cast::<u8>().addr());
        Located { text, place }
    }
}

/// What was made of a text; the text itself keeps its address from being used again.
#[derive(Debug)]
struct Made<T> {
    of: Option<Arc<[u8]>>,
    it: Arc<T>,
}

impl<T> Clone for Made<T> {
    fn clone(&self) -> Self {
        Made { of: self.of.clone(), it: Arc::clone(&self.it) }
    }
}

/// Loads payloads and keeps what was read out of them.
#[derive(Debug)]
pub struct Payloads {
    blobs: Arc<dyn BlobSource>,
    texts: Mutex<Cache<Place, Arc<[u8]>>>,
    values: Mutex<Cache<Place, Made<Value>>>,
    lists: Mutex<Cache<Place, Made<List>>>,
    templates: Mutex<Cache<Place, Made<Template>>>,
    conditions: Mutex<Cache<Text, Arc<Condition>>>,
    /// Of the inputs of child runs.
    pub(super) schemas: Schemas,
}

impl Payloads {
    /// Payloads whose large ones are there.
    pub fn new(blobs: Arc<dyn BlobSource>) -> Self {
        Payloads {
            blobs,
            texts: Mutex::new(Cache::new(TEXT_CACHE_BYTES_MAX)),
            values: Mutex::new(Cache::new(VALUE_CACHE_BYTES_MAX)),
            lists: Mutex::new(Cache::new(LIST_CACHE_BYTES_MAX)),
            templates: Mutex::new(Cache::new(TEMPLATE_CACHE_BYTES_MAX)),
            conditions: Mutex::new(Cache::new(CONDITIONS_KEPT_MAX)),
            schemas: Schemas::default(),
        }
    }

    /// Where large payloads are.
    pub fn blobs(&self) -> &dyn BlobSource {
        &*self.blobs
    }

    /// Where large payloads are, for another who reads them.
    pub(crate) fn shared_blobs(&self) -> Arc<dyn BlobSource> {
        Arc::clone(&self.blobs)
    }

    /// The text of a payload. An inline one is shared, not copied.
    pub fn load(&self, payload: &Payload) -> Result<Arc<[u8]>, DataError> {
        match payload {
            Payload::Inline(Bytes(text)) => Ok(Arc::clone(text)),
            Payload::Blob { hash, len } => self.load_blob(*hash, *len),
        }
    }

    /// The payload with this text; a large one is a durable blob by then.
    pub fn save(&self, json: impl Into<Arc<[u8]>>) -> Result<Payload, DataError> {
        payload_of(json, &*self.blobs)
    }

    /// How many items a list has: `Invalid` if it is none, `Exhausted` if a map cannot have so
    /// many children.
    pub fn list_len(&self, list: &Payload) -> Result<u32, DataError> {
        self.list(list).map(|list| list.len())
    }

    /// The text of one item of a list; the list is read for the first only.
    pub fn list_item(&self, list: &Payload, index: u32) -> Result<Arc<[u8]>, DataError> {
        let read = self.list(list)?;
        let item = read.item(index).ok_or_else(|| {
            DataError::invalid(format!("read item {index} of a list of {}", read.len()))
        })?;
        Ok(Arc::from(item))
    }

    pub(super) fn locate(&self, payload: &Payload) -> Result<Located, DataError> {
        let text = self.load(payload)?;
        Ok(match payload {
            Payload::Inline(_) => Located::in_memory(text),
            Payload::Blob { hash, .. } => Located { text, place: Place::Blob(*hash) },
        })
    }

    /// The text that `make` gives, kept under its place.
    pub(super) fn kept_text(
        &self,
        place: Place,
        make: impl FnOnce() -> Result<Arc<[u8]>, DataError>,
    ) -> Result<Arc<[u8]>, DataError> {
        if let Some(text) = lock(&self.texts).find(&place) {
            return Ok(text);
        }
        let text = make()?;
        lock(&self.texts).insert(place, Arc::clone(&text), text.len() + KEPT_BYTES_EACH);
        Ok(text)
    }

    /// The parsed text.
    pub(super) fn value(&self, located: &Located) -> Result<Arc<Value>, DataError> {
        if located.text.len() > PARSED_BYTES_MAX {
            return Err(DataError::too_large("a value", PARSED_BYTES_MAX));
        }
        let parse = || {
            let value: Value = serde_json::from_slice(&located.text)
                .map_err(|error| DataError::invalid(format!("read the JSON: {error}")))?;
            Ok((json::weight(&value), value))
        };
        let is_small = located.text.len() < KEPT_BYTES_MIN;
        if is_small && matches!(located.place, Place::Memory(_)) {
            return parse().map(|(_, value)| Arc::new(value));
        }
        kept(&self.values, located, parse)
    }

    /// The template with this text, as a plan has it.
    pub(super) fn template(&self, text: &Bytes) -> Result<Arc<Template>, DataError> {
        let located = Located::in_memory(Arc::clone(&text.0));
        kept(&self.templates, &located, || {
            let value: Value = serde_json::from_slice(&text.0)
                .map_err(|error| DataError::invalid(format!("read the template: {error}")))?;
            let template = Template::parse(&value).map_err(|faults| {
                let (at, message) = faults.into_iter().next().unwrap_or_default();
                DataError::invalid(format!("read the template at `{at}`: {message}"))
            })?;
            Ok((text.0.len().saturating_mul(TEMPLATE_BYTES_PER_BYTE), template))
        })
    }

    /// The compiled condition.
    pub(super) fn condition(&self, cel: &Text) -> Result<Arc<Condition>, Failure> {
        if let Some(condition) = lock(&self.conditions).find(cel.as_str()) {
            return Ok(condition);
        }
        let condition = Condition::compile(cel)
            .map_err(|message| Failure::fatal(super::condition::CODE, message))?;
        let condition = Arc::new(condition);
        lock(&self.conditions).insert(cel.clone(), Arc::clone(&condition), 1);
        Ok(condition)
    }

    pub(super) fn list(&self, list: &Payload) -> Result<Arc<List>, DataError> {
        // A blob's list has the text in it: look it up before the text.
        if let Payload::Blob { hash, .. } = list
            && let Some(made) = lock(&self.lists).find(&Place::Blob(*hash))
        {
            return Ok(made.it);
        }
        self.read_list(&self.locate(list)?)
    }

    pub(super) fn read_list(&self, located: &Located) -> Result<Arc<List>, DataError> {
        kept(&self.lists, located, || {
            let list = List::read(Arc::clone(&located.text))?;
            Ok((list.weight(), list))
        })
    }

    /// The children of the map will ask for this list by its payload.
    pub(super) fn keep_list(&self, payload: &Payload, list: &Arc<List>) {
        if let Payload::Blob { hash, .. } = payload {
            let made = Made { of: None, it: Arc::clone(list) };
            lock(&self.lists).insert(Place::Blob(*hash), made, list.weight() + KEPT_BYTES_EACH);
        }
    }

    fn load_blob(&self, hash: Hash, len: u64) -> Result<Arc<[u8]>, DataError> {
        if usize::try_from(len).map_or(true, |len| len > PAYLOAD_BYTES_MAX) {
            return Err(DataError::too_large("a payload", PAYLOAD_BYTES_MAX));
        }
        self.kept_text(Place::Blob(hash), || self.blobs.load(hash).map(Arc::from))
    }
}

/// What `make` makes of a text, with its weight, unless it is kept already.
fn kept<T>(
    cache: &Mutex<Cache<Place, Made<T>>>,
    located: &Located,
    make: impl FnOnce() -> Result<(usize, T), DataError>,
) -> Result<Arc<T>, DataError> {
    let of = matches!(located.place, Place::Memory(_)).then(|| Arc::clone(&located.text));
    if let Some(made) = lock(cache).find(&located.place)
        && same(made.of.as_ref(), of.as_ref())
    {
        return Ok(made.it);
    }
    let (weight, it) = make()?;
    let weight = weight + KEPT_BYTES_EACH + of.as_ref().map_or(0, |text| text.len());
    let made = Made { of, it: Arc::new(it) };
    let it = Arc::clone(&made.it);
    lock(cache).insert(located.place, made, weight);
    Ok(it)
}

/// Two texts at one address are one text, unless they are empty.
fn same(one: Option<&Arc<[u8]>>, other: Option<&Arc<[u8]>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// A cache is whole after every call, whatever a thread did that held it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
