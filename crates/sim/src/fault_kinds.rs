//! Which kinds of faults there are in a world, and how often each was met.

use std::collections::BTreeMap;
use std::fmt;

/// What may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The process is killed.
    Crash,
    /// The power goes, and with it what is not synced.
    Power,
    /// Writes and syncs fail, the disk is full.
    Disk,
    /// The wall clock jumps.
    Clock,
    /// Agents fail, die, hang, lie, go in circles.
    Agent,
    /// Agents take long.
    Slow,
    /// Agents work on and present results when somebody else is at it.
    Zombie,
    /// Results and submissions come twice.
    Duplicate,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 8] = [
        FaultKind::Crash,
        FaultKind::Power,
        FaultKind::Disk,
        FaultKind::Clock,
        FaultKind::Agent,
        FaultKind::Slow,
        FaultKind::Zombie,
        FaultKind::Duplicate,
    ];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Crash => "crash",
            FaultKind::Power => "power",
            FaultKind::Disk => "disk",
            FaultKind::Clock => "clock",
            FaultKind::Agent => "agent",
            FaultKind::Slow => "slow",
            FaultKind::Zombie => "zombie",
            FaultKind::Duplicate => "duplicate",
        }
    }
}

/// A set of them; everything, unless somebody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultKinds(u8);

impl Default for FaultKinds {
    fn default() -> Self {
        FaultKinds(u8::MAX)
    }
}

impl FaultKinds {
    /// Reads `all`, `none`, or names with commas between them; an error is the first that there is not.
    pub fn parse(text: &str) -> Result<Self, &str> {
        match text {
            "all" => return Ok(FaultKinds::default()),
            "none" => return Ok(FaultKinds(0)),
            _ => {}
        }
        let mut kinds = 0;
        for name in text.split(',') {
            let found = FaultKind::ALL.into_iter().find(|kind| kind.as_str() == name);
            kinds |= 1 << found.ok_or(name)? as u8;
        }
        Ok(FaultKinds(kinds))
    }

    /// Whether a kind is among them.
    pub fn has(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

impl fmt::Display for FaultKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = FaultKind::ALL.into_iter().filter(|kind| self.has(*kind)).map(FaultKind::as_str);
        let names: Vec<_> = all.collect();
        match names.len() {
            0 => f.write_str("none"),
            all if all == FaultKind::ALL.len() => f.write_str("all"),
            _ => f.write_str(&names.join(",")),
        }
    }
}

/// How often each fault was met, by what it is.
pub type Injected = BTreeMap<&'static str, u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for text in ["all", "none", "crash,zombie", "power", "clock,slow,duplicate"] {
            assert_eq!(FaultKinds::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(FaultKinds::parse("crash,rain"), Err("rain"));
        assert_eq!(FaultKinds::parse(""), Err(""));
    }
}
