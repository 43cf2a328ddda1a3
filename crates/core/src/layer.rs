//! The six layers of the hierarchy, highest first.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A layer: an authority ceiling and a routing scope. The order is from the highest down.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Accepts goals, issues the root authority and budget of a run.
    #[n(0)]
    Cecca,
    /// The policy decision point.
    #[n(1)]
    Board,
    /// Admission, priorities, resource shares, deadlines.
    #[n(2)]
    Executive,
    /// Supervises one stack and routes by skill.
    #[n(3)]
    StackChief,
    /// Expert work with tools and models.
    #[n(4)]
    Specialist,
    /// Cheap, stateless, high-volume execution.
    #[n(5)]
    Micro,
}

impl Layer {
    /// All layers, highest first.
    pub const ALL: [Layer; 6] = [
        Layer::Cecca,
        Layer::Board,
        Layer::Executive,
        Layer::StackChief,
        Layer::Specialist,
        Layer::Micro,
    ];

    /// The word of the vocabulary.
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Cecca => "cecca",
            Layer::Board => "board",
            Layer::Executive => "executive",
            Layer::StackChief => "stack-chief",
            Layer::Specialist => "specialist",
            Layer::Micro => "micro",
        }
    }

    /// 0 for the highest.
    pub fn rank(self) -> usize {
        self as usize
    }

    /// The layer of a word of the vocabulary.
    pub fn parse(text: &str) -> Option<Self> {
        Layer::ALL.into_iter().find(|layer| layer.as_str() == text)
    }

    /// Whether agents of this layer draw progress tokens.
    pub fn works(self) -> bool {
        matches!(self, Layer::Specialist | Layer::Micro)
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
