//! To whom a message goes, and who sent it, with their text forms: `agent:micro-00042`,
//! `layer:specialist`, `stack:3`, `fleet`, `topic:builds.done`, `outside:local-operator`.

use ark_os_core::ids::{AgentIx, StackIx};
use ark_os_core::layer::Layer;
use ark_os_core::text::Text;

use super::directory::Directory;

/// Bytes of a topic's name, and of that of somebody outside: as much as a skill's.
pub const NAME_BYTES_MAX: usize = 100;

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// One agent.
    Agent(AgentIx),
    /// Every active agent of a layer.
    Layer(Layer),
    /// Every active agent of a stack, its chief among them.
    Stack(StackIx),
    /// Every active agent.
    Fleet,
    /// Whoever has subscribed to it.
    Topic(Text),
    /// Somebody who is no agent: only an answer to a request that he waits for reaches him.
    Outside(Text),
}

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// An agent.
    Agent(AgentIx),
    /// Somebody who is no agent: an operator or a program.
    Outside(Text),
}

impl Party {
    /// Where he is reached.
    pub fn address(&self) -> Address {
        match self {
            Party::Agent(agent) => Address::Agent(*agent),
            Party::Outside(name) => Address::Outside(name.clone()),
        }
    }
}

impl Address {
    /// Reads an address; none: nobody has it.
    pub fn parse(text: &str, directory: &Directory) -> Option<Self> {
        if text == "fleet" {
            return Some(Address::Fleet);
        }
        let (kind, name) = text.split_once(':')?;
        match kind {
            "agent" => directory.find(name).map(Address::Agent),
            "layer" => {
                Layer::ALL.into_iter().find(|layer| layer.as_str() == name).map(Address::Layer)
            }
            "stack" => name.parse().ok().map(|stack| Address::Stack(StackIx(stack))),
            "topic" => is_name(name).then(|| Address::Topic(Text::from(name))),
            "outside" => is_name(name).then(|| Address::Outside(Text::from(name))),
            _ => None,
        }
    }

    /// The text form.
    pub fn text(&self, directory: &Directory) -> String {
        match self {
            Address::Agent(agent) => format!("agent:{}", directory.name(*agent)),
            Address::Layer(layer) => format!("layer:{layer}"),
            Address::Stack(stack) => format!("stack:{}", stack.0),
            Address::Fleet => "fleet".to_owned(),
            Address::Topic(name) => format!("topic:{name}"),
            Address::Outside(name) => format!("outside:{name}"),
        }
    }

    /// What an authority must cover to send there: `message:` and the address with dots.
    pub fn scope(&self, directory: &Directory) -> String {
        match self {
            Address::Fleet => "message:fleet.all".to_owned(),
            _ => format!("message:{}", self.text(directory).replacen(':', ".", 1)),
        }
    }
}

/// Whether it is a name: dotted parts of letters, digits, `_` and `-`, as in a scope.
pub fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    text.len() <= NAME_BYTES_MAX && text.split('.').all(is_part)
}
