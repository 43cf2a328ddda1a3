//! Authority: who may do what, as which layer, how much of it and until when.
//!
//! Checked in the kernel for every effect. It only ever shrinks on its way down: an attenuated
//! authority is the intersection of its parent's with what was asked for.

use std::collections::BTreeSet;
use std::fmt;

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::budget::{Amounts, Ceilings};
use crate::error::Kind;
use crate::layer::Layer;
use crate::text::Text;
use crate::time::Time;

pub mod revocation;
pub mod scope;

pub use revocation::RevocationId;
pub use scope::{Scope, ScopeError, Scopes};

/// The authority of one subject. Its fields cannot be written: it comes from [`Authority::root`]
/// or [`Authority::attenuate`].
///
/// INVARIANT I12: what comes out of `attenuate` is within what it was called on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Authority {
    #[n(0)]
    subject: Text,
    #[n(1)]
    scopes: Scopes,
    #[n(2)]
    limits: Amounts,
    #[n(3)]
    ceilings: Ceilings,
    #[n(4)]
    layer: Layer,
    #[n(5)]
    expires: Time,
    /// The grants it goes back to, the root's first. At most one more than the depth of the root.
    #[n(6)]
    chain: Vec<RevocationId>,
}

/// An authority that somebody submits runs under, with the digest that names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    authority: Authority,
    digest: crate::hash::Hash,
}

impl Grant {
    /// Names an authority by the digest of its encoding.
    pub fn new(authority: Authority) -> Self {
        // Writing into a Vec cannot fail.
        let digest = crate::hash::Hash::of(&minicbor::to_vec(&authority).unwrap_or_default());
        Grant { authority, digest }
    }

    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its name.
    pub fn digest(&self) -> crate::hash::Hash {
        self.digest
    }
}

/// What an act needs of the authority it is done under.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// The scope, such as `skill:text.template`; no pattern.
    pub scope: &'a str,
    /// The layer that acts.
    pub layer: Layer,
    /// The present moment.
    pub now: Time,
    /// Every grant that was taken back.
    pub revoked: &'a BTreeSet<RevocationId>,
}

/// What to delegate. Whatever exceeds the parent's authority is cut down to it.
#[derive(Clone, Debug)]
pub struct Attenuation {
    /// Who gets it.
    pub subject: Text,
    /// The scopes; none: all that the parent has.
    pub scopes: Option<Scopes>,
    /// The most it may use up.
    pub limits: Amounts,
    /// Its ceilings. The depth is that of the new authority.
    pub ceilings: Ceilings,
    /// The highest layer it may act as.
    pub layer: Layer,
    /// When it ends.
    pub expires: Time,
    /// The name of this grant.
    pub id: RevocationId,
}

impl Attenuation {
    /// Hands on everything (one delegation deeper) under a grant of its own.
    pub fn of_everything(subject: Text, id: RevocationId) -> Self {
        Attenuation {
            subject,
            scopes: None,
            limits: Amounts::UNLIMITED,
            ceilings: Ceilings::WIDEST,
            layer: Layer::Cecca,
            expires: Time::NEVER,
            id,
        }
    }
}

impl Authority {
    /// The authority of the instance itself, from which all others descend: every layer, no limits,
    /// no end, the widest ceilings, and the scopes that the settings give it.
    pub fn root(subject: Text, scopes: Scopes, id: RevocationId) -> Self {
        Authority {
            subject,
            scopes,
            limits: Amounts::UNLIMITED,
            ceilings: Ceilings::WIDEST,
            layer: Layer::Cecca,
            expires: Time::NEVER,
            chain: vec![id],
        }
    }

    /// Whether the act may be done under this authority. Called for every attempt: it allocates
    /// only when it denies.
    pub fn covers(&self, need: &Need<'_>) -> Result<(), Denial> {
        let cause = if need.now >= self.expires {
            Cause::Expired
        } else if let Some(id) = self.revoked_by(need.revoked) {
            Cause::Revoked(id)
        } else if need.layer < self.layer {
            Cause::Layer { acting: need.layer, ceiling: self.layer }
        } else if !self.scopes.covers(need.scope) {
            Cause::Scope
        } else {
            return Ok(());
        };
        Err(self.denial(need.scope, cause))
    }

    /// The first grant of the chain that was taken back.
    pub fn revoked_by(&self, revoked: &BTreeSet<RevocationId>) -> Option<RevocationId> {
        if revoked.is_empty() {
            return None;
        }
        self.chain.iter().find(|id| revoked.contains(id)).copied()
    }

    /// The part of this authority that was asked for; refused where the depth is used up.
    pub fn attenuate(&self, asked: &Attenuation) -> Result<Authority, Denial> {
        let Some(ceilings) = self.ceilings.one_deeper() else {
            return Err(self.denial(&asked.subject, Cause::Depth));
        };
        let scopes = match &asked.scopes {
            Some(scopes) => self.scopes.intersected(scopes),
            None => self.scopes.clone(),
        };
        let mut chain = Vec::with_capacity(self.chain.len() + 1);
        chain.extend_from_slice(&self.chain);
        chain.push(asked.id);
        Ok(Authority {
            subject: asked.subject.clone(),
            scopes,
            limits: self.limits.min(asked.limits),
            ceilings: ceilings.narrowed(asked.ceilings),
            // The order of layers runs from the highest down.
            layer: self.layer.max(asked.layer),
            expires: self.expires.min(asked.expires),
            chain,
        })
    }

    /// As much as this, under a link of its own: what a run has lent to its children can be taken
    /// back. It is no deeper in the hierarchy, for a child begins at its top; how many runs may stand
    /// above each other is bounded apart.
    #[must_use]
    pub fn lent(&self, id: RevocationId) -> Authority {
        let mut chain = self.chain.clone();
        chain.push(id);
        Authority { chain, ..self.clone() }
    }

    /// Whether this is a part of `outer` in every respect (I12), and falls with it.
    pub fn is_within(&self, outer: &Authority) -> bool {
        self.scopes.is_within(&outer.scopes)
            && self.limits.fits_in(outer.limits).is_ok()
            && self.ceilings.is_within(outer.ceilings)
            && self.layer >= outer.layer
            && self.expires <= outer.expires
            && self.chain.starts_with(&outer.chain)
    }

    fn denial(&self, wanted: &str, cause: Cause) -> Denial {
        Denial { subject: self.subject.clone(), wanted: Text::from(wanted), cause }
    }

    /// Whose it is.
    pub fn subject(&self) -> &Text {
        &self.subject
    }

    /// What it is for.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The most that may be used up under it.
    pub fn limits(&self) -> Amounts {
        self.limits
    }

    /// Deadline, depth and fan-out.
    pub fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// The highest layer it may act as.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// When it ends.
    pub fn expires(&self) -> Time {
        self.expires
    }

    /// The grants it goes back to, the root's first.
    pub fn chain(&self) -> &[RevocationId] {
        &self.chain
    }
}

/// An act that its authority does not cover, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Denial {
    subject: Text,
    wanted: Text,
    cause: Cause,
}

/// Why an authority does not cover an act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    Expired,
    Revoked(RevocationId),
    Layer { acting: Layer, ceiling: Layer },
    Scope,
    Depth,
}

impl Denial {
    /// What the caller would do differently: ask for more authority.
    pub fn kind(&self) -> Kind {
        Kind::Denied
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self.cause {
            Cause::Expired => "authority_expired",
            Cause::Revoked(_) => "authority_revoked",
            Cause::Layer { .. } => "layer_exceeded",
            Cause::Scope => "scope_missing",
            Cause::Depth => "delegation_too_deep",
        }
    }

    /// Whose authority it was.
    pub fn subject(&self) -> &Text {
        &self.subject
    }

    /// The scope that was needed or, in a refused delegation, who was to get it.
    pub fn wanted(&self) -> &Text {
        &self.wanted
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { subject, wanted, cause } = self;
        match cause {
            Cause::Expired => write!(f, "use `{wanted}`: the authority of `{subject}` has expired"),
            Cause::Revoked(id) => {
                write!(f, "use `{wanted}`: the authority of `{subject}` was revoked by {id}")
            }
            Cause::Layer { acting, ceiling } => write!(
                f,
                "use `{wanted}` as {acting}: the authority of `{subject}` reaches up to {ceiling}"
            ),
            Cause::Scope => write!(f, "use `{wanted}`: not in the scopes of `{subject}`"),
            Cause::Depth => {
                write!(f, "delegate to `{wanted}`: `{subject}` may not delegate any further")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> RevocationId {
        RevocationId::derive(&[name.as_bytes()])
    }

    fn root() -> Authority {
        Authority::root(Text::from("instance"), Scopes::everything(), id("root"))
    }

    fn child() -> Authority {
        let scopes = Scopes::parse(["skill:text.*", "effect:effectful"]).unwrap();
        let asked = Attenuation {
            scopes: Some(scopes),
            layer: Layer::Specialist,
            expires: Time(100),
            ..Attenuation::of_everything(Text::from("run"), id("run"))
        };
        root().attenuate(&asked).unwrap()
    }

    #[test]
    fn every_bound_denies_with_its_own_code() {
        let none = BTreeSet::new();
        let revoked = BTreeSet::from([id("root")]);
        let good = Need {
            scope: "skill:text.template",
            layer: Layer::Micro,
            now: Time(99),
            revoked: &none,
        };
        assert_eq!(child().covers(&good), Ok(()));
        for (need, code) in [
            (Need { now: Time(100), ..good }, "authority_expired"),
            (Need { revoked: &revoked, ..good }, "authority_revoked"),
            (Need { layer: Layer::StackChief, ..good }, "layer_exceeded"),
            (Need { scope: "skill:echo", ..good }, "scope_missing"),
            (Need { scope: "effect:effectful", ..good }, "scope_missing"),
        ] {
            let denial = child().covers(&need).unwrap_err();
            assert_eq!((denial.code(), denial.kind()), (code, Kind::Denied), "{denial}");
        }
    }

    #[test]
    fn delegation_ends_at_the_depth() {
        let mut authority = root();
        for _ in 0..crate::limits::DELEGATION_DEPTH_MAX {
            let asked = Attenuation::of_everything(Text::from("next"), id("next"));
            authority = authority.attenuate(&asked).unwrap();
        }
        let asked = Attenuation::of_everything(Text::from("last"), id("last"));
        let denial = authority.attenuate(&asked).unwrap_err();
        assert_eq!(denial.code(), "delegation_too_deep");
        assert_eq!(denial.to_string(), "delegate to `last`: `next` may not delegate any further");
    }

    #[test]
    fn authority_reads_back_from_its_encoding() {
        let back: Authority = minicbor::decode(&minicbor::to_vec(child()).unwrap()).unwrap();
        assert_eq!(back, child());
        assert!(back.is_within(&root()) && !root().is_within(&back));
    }
}
