//! What runs share, in a snapshot: each plan and each admission is written once, and read once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minicbor::Decode;
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::backlog::Under;
use crate::event::{Admission, PendingAdmission};
use crate::hash::Hash;
use crate::ids::RunId;
use crate::plan::Workflow;
use crate::state::State;
use crate::text::Text;

/// The context of writing and of reading runs.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) workflows: Vec<Arc<Workflow>>,
    by_hash: BTreeMap<Hash, Vec<u32>>,
    /// Those of this instance start, and all that a run is under.
    pub(crate) admissions: BTreeMap<u64, Arc<Admission>>,
    namespaces: BTreeSet<Text>,
    /// Stands where a plan is given by number.
    blank: Arc<Workflow>,
}

impl AsMut<Tables> for Tables {
    fn as_mut(&mut self) -> &mut Tables {
        self
    }
}

impl Default for Tables {
    fn default() -> Self {
        let blank = Workflow {
            name: Text::default(),
            version: Text::default(),
            input_schema: None,
            tasks: Vec::new(),
            output: None,
            hash: Hash::ZERO,
        };
        Tables {
            workflows: Vec::new(),
            by_hash: BTreeMap::new(),
            admissions: BTreeMap::new(),
            namespaces: BTreeSet::new(),
            blank: Arc::new(blank),
        }
    }
}

impl Tables {
    /// Everything that these runs share, in an order that follows from the state alone.
    pub(crate) fn of(state: &State, runs: &[RunId]) -> Self {
        let mut tables = Tables { admissions: state.admissions.clone(), ..Tables::default() };
        let runs = || runs.iter().filter_map(|id| state.run(*id));
        for admission in runs().filter_map(|run| run.admission.as_ref()) {
            tables.admissions.entry(admission.id).or_insert_with(|| Arc::clone(admission));
        }
        for admission in state.backlog.shelved().filter_map(|(_, under)| under.admission()) {
            tables.admissions.entry(admission.id).or_insert_with(|| Arc::clone(admission));
        }
        let admissions: Vec<_> = tables.admissions.values().cloned().collect();
        admissions.iter().for_each(|admission| tables.add(&admission.workflow));
        for run in runs() {
            tables.add(&run.workflow);
            run.pending.iter().for_each(|pending| tables.add(&pending.workflow));
        }
        state.backlog.shelved().for_each(|(_, under)| tables.add(under.workflow()));
        tables
    }

    fn add(&mut self, workflow: &Arc<Workflow>) {
        if self.number(workflow).is_none() {
            let number = self.workflows.len() as u32;
            self.by_hash.entry(workflow.hash).or_default().push(number);
            self.workflows.push(Arc::clone(workflow));
        }
    }

    /// The place of an equal plan.
    fn number(&self, workflow: &Arc<Workflow>) -> Option<u32> {
        let same = |number: &&u32| {
            let known = self.workflows.get(**number as usize);
            known.is_some_and(|known| Arc::ptr_eq(known, workflow) || known == workflow)
        };
        self.by_hash.get(&workflow.hash)?.iter().find(same).copied()
    }

    fn workflow(&self, number: u32) -> Result<Arc<Workflow>, DecodeError> {
        let known = self.workflows.get(number as usize).cloned();
        known.ok_or_else(|| DecodeError::message("a plan is missing"))
    }

    /// The namespace, in the one copy that everybody shares.
    pub(crate) fn namespace(&mut self, name: &str) -> Text {
        if let Some(known) = self.namespaces.get(name) {
            return known.clone();
        }
        let name = Text::from(name);
        self.namespaces.insert(name.clone());
        name
    }

    /// The number of an admission's plan, and the admission without it.
    pub(crate) fn bare_admission(&self, admission: &Admission) -> Option<(u32, Admission)> {
        let number = self.number(&admission.workflow)?;
        Some((number, Admission { workflow: Arc::clone(&self.blank), ..admission.clone() }))
    }

    /// The reverse of [`Tables::bare_admission`].
    pub(crate) fn whole_admission(
        &mut self,
        (number, bare): (u32, Admission),
    ) -> Result<Arc<Admission>, DecodeError> {
        let workflow = self.workflow(number)?;
        let namespace = self.namespace(&bare.namespace);
        Ok(Arc::new(Admission { workflow, namespace, ..bare }))
    }
}

/// What runs on a shelf go on under: the number of their admission, or what will give them one.
pub(super) type BareUnder = (Option<u64>, Option<(u32, PendingAdmission)>);

impl Tables {
    pub(super) fn bare_under(&self, under: &Under) -> BareUnder {
        match under {
            Under::Admission(admission) => (Some(admission.id), None),
            Under::Pending(pending) => {
                let bare = PendingAdmission {
                    workflow: Arc::clone(&self.blank),
                    ..PendingAdmission::clone(pending)
                };
                (None, self.number(&pending.workflow).map(|number| (number, bare)))
            }
        }
    }

    pub(super) fn whole_under(&mut self, bare: BareUnder) -> Result<Under, DecodeError> {
        match bare {
            (Some(number), None) => {
                let known = self.admissions.get(&number).cloned();
                let known = known.ok_or_else(|| DecodeError::message("an admission is missing"));
                known.map(Under::Admission)
            }
            (None, Some((number, bare))) => {
                let (workflow, namespace) =
                    (self.workflow(number)?, self.namespace(&bare.namespace));
                let pending = PendingAdmission { workflow, namespace, ..bare };
                Ok(Under::Pending(Arc::new(pending)))
            }
            _ => Err(DecodeError::message("a shelf has no label")),
        }
    }
}

/// Reads a namespace, for `#[cbor(decode_with)]`.
pub(crate) fn namespace<C: AsMut<Tables>>(
    d: &mut Decoder<'_>,
    ctx: &mut C,
) -> Result<Text, DecodeError> {
    Ok(ctx.as_mut().namespace(d.str()?))
}

fn unknown<E>() -> EncodeError<E> {
    EncodeError::message("a plan is in no table")
}

/// For `#[cbor(with)]`: a plan, by its place in the table.
pub(crate) mod workflow {
    use super::{
        Arc, DecodeError, Decoder, EncodeError, Encoder, Tables, Workflow, Write, unknown,
    };

    pub(crate) fn encode<C: AsMut<Tables>, W: Write>(
        workflow: &Arc<Workflow>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u32(ctx.as_mut().number(workflow).ok_or_else(unknown)?)?.ok()
    }

    pub(crate) fn decode<C: AsMut<Tables>>(
        d: &mut Decoder<'_>,
        ctx: &mut C,
    ) -> Result<Arc<Workflow>, DecodeError> {
        ctx.as_mut().workflow(d.u32()?)
    }
}

/// For `#[cbor(with, has_nil)]`: an admission, by its number.
pub(crate) mod admission {
    use super::{Admission, Arc, DecodeError, Decoder, EncodeError, Encoder, Tables, Write};

    pub(crate) fn encode<C, W: Write>(
        admission: &Option<Arc<Admission>>,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        match admission {
            Some(admission) => e.u64(admission.id)?.ok(),
            None => e.null()?.ok(),
        }
    }

    pub(crate) fn decode<C: AsMut<Tables>>(
        d: &mut Decoder<'_>,
        ctx: &mut C,
    ) -> Result<Option<Arc<Admission>>, DecodeError> {
        let known = ctx.as_mut().admissions.get(&d.u64()?).cloned();
        known.map(Some).ok_or_else(|| DecodeError::message("an admission is missing"))
    }

    pub(crate) fn is_nil(admission: &Option<Arc<Admission>>) -> bool {
        admission.is_none()
    }

    pub(crate) fn nil() -> Option<Option<Arc<Admission>>> {
        Some(None)
    }
}

/// For `#[cbor(with, has_nil)]`: what a run needs to be let in later, its plan by number.
pub(crate) mod pending {
    use super::{
        Arc, Decode, DecodeError, Decoder, EncodeError, Encoder, PendingAdmission, Tables, Write,
        unknown,
    };

    pub(crate) fn encode<C: AsMut<Tables>, W: Write>(
        pending: &Option<Box<PendingAdmission>>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let Some(pending) = pending.as_deref() else { return e.null()?.ok() };
        let tables = ctx.as_mut();
        let number = tables.number(&pending.workflow).ok_or_else(unknown)?;
        let bare = PendingAdmission { workflow: Arc::clone(&tables.blank), ..pending.clone() };
        e.encode((number, bare))?.ok()
    }

    pub(crate) fn decode<C: AsMut<Tables>>(
        d: &mut Decoder<'_>,
        ctx: &mut C,
    ) -> Result<Option<Box<PendingAdmission>>, DecodeError> {
        let (number, bare) = <(u32, PendingAdmission)>::decode(d, &mut ())?;
        let tables = ctx.as_mut();
        let workflow = tables.workflow(number)?;
        let namespace = tables.namespace(&bare.namespace);
        Ok(Some(Box::new(PendingAdmission { workflow, namespace, ..bare })))
    }

    pub(crate) fn is_nil(pending: &Option<Box<PendingAdmission>>) -> bool {
        pending.is_none()
    }

    pub(crate) fn nil() -> Option<Option<Box<PendingAdmission>>> {
        Some(None)
    }
}
