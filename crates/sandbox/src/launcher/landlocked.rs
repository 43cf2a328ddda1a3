//! The second wall: even what the mounts would let through is refused unless it is in this list.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{Result, lacking};
use crate::error::Kind;
use crate::kernel;
use crate::plan::{Plan, Refused};

/// The newest interface whose rights are used; on an older kernel those it lacks are left out.
const NEWEST: ABI = ABI::V6;
/// Its number.
pub(crate) const WHOLE_FROM: u32 = 6;
/// Devices that are written to.
const SINKS: [&str; 2] = ["/dev/null", "/dev/full"];

/// Restricts this process and all it will start.
pub(super) fn restrict(plan: &Plan) -> Result<()> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(lacking("make Landlock rules"))?;
    // One rule for the whole root: everything below it was put there to be read.
    let read = AccessFs::from_read(NEWEST);
    rules = allowed(rules, Path::new("/"), read)?;
    let special = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
    let write = AccessFs::from_all(NEWEST) & !(special | AccessFs::IoctlDev);
    rules = allowed(rules, Path::new("/tmp"), write)?;
    for bind in plan.mounts.iter().filter(|bind| bind.write) {
        rules = allowed(rules, Path::new(OsStr::from_bytes(&bind.target)), write)?;
    }
    for path in SINKS {
        let sink = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
        rules = allowed(rules, Path::new(path), sink)?;
    }
    let status = rules.restrict_self().map_err(lacking("set Landlock rules"))?;
    let is_whole = kernel::landlock_version().is_ok_and(|version| version >= WHOLE_FROM);
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced if !is_whole => Ok(()),
        _ => Err(Refused::new(Kind::Unavailable, "set Landlock rules: they are not enforced")),
    }
}

fn allowed(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated> {
    let file = PathFd::new(path).map_err(lacking("make a Landlock rule"))?;
    // What applies to directories only would be refused for a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(file, access)).map_err(lacking("make a Landlock rule"))
}
