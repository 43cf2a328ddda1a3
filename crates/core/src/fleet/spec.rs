//! A declared fleet: groups of agents beside the built-in profile, as plain data.
//!
//! A manifest is read into this, a deployment carries it, and the journal keeps it.

use minicbor::{Decode, Encode};

use super::SkillInfo;
use crate::hash::Hash;
use crate::layer::Layer;
use crate::text::Text;

/// The declared agents of one deployment.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct FleetSpec {
    /// Its groups, each with a name of its own.
    #[n(0)]
    pub groups: Vec<GroupSpec>,
    /// The skills that its groups offer, each once.
    #[n(1)]
    pub skills: Vec<SkillInfo>,
}

/// Agents that are alike. One agent is a group of one, whose seat has the group's own name; the
/// members of a larger group are `name-00000` and so on.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct GroupSpec {
    /// Its name.
    #[n(0)]
    pub name: Text,
    /// Their layer.
    #[n(1)]
    pub layer: Layer,
    /// How many.
    #[n(2)]
    pub count: u32,
    /// Who supervises them: a group of a strictly higher layer, whose members take turns; none: the
    /// agents above them in the built-in profile do.
    #[n(3)]
    pub supervisor: Option<Text>,
    /// The names of the skills that they offer. Nobody else does these but groups that offer them
    /// too.
    #[n(4)]
    pub skills: Vec<Text>,
    /// Tasks of one member at one time; none: as the instance says.
    #[n(5)]
    pub concurrency: Option<u32>,
    /// Digest of how they work (program, service, instructions…): where it differs from that of the
    /// group of this name that is deployed, its seats are exchanged for new ones.
    #[n(6)]
    pub behaviour: Option<Hash>,
}
