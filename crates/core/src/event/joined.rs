//! How a remote worker comes and goes.

use minicbor::{Decode, Encode};

use crate::fleet::SkillInfo;
use crate::fleet::spec::GroupSpec;
use crate::text::Text;

/// A remote worker as it joined.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct AgentJoined {
    /// What it is: a group of one.
    #[n(0)]
    pub group: GroupSpec,
    /// The skills that it offers.
    #[n(1)]
    pub skills: Vec<SkillInfo>,
}

/// A remote worker as it left.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AgentLeft {
    /// Its name.
    #[n(0)]
    pub name: Text,
    /// Why.
    #[n(1)]
    pub reason: Text,
}
