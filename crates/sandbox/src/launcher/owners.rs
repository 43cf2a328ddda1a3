//! Lending a mount's owner to the job: what belongs to the owner of a mount's source belongs to the
//! job inside, and what the job makes there belongs to that owner outside.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

use super::{NOBODY, Result, failed, map_ids};
use crate::kernel::{self, NAMESPACES, Side};

/// One user namespace for each owner, kept only for its mapping.
#[derive(Default)]
pub(super) struct Owners {
    known: Vec<((u32, u32), OwnedFd)>,
}

impl Owners {
    /// The mapping that shows this owner as the job's; nothing if it is the job already.
    pub(super) fn lent(&mut self, user: u32, group: u32) -> Result<Option<&OwnedFd>> {
        let owner = (user, group);
        if owner == (NOBODY, NOBODY) {
            return Ok(None);
        }
        if !self.known.iter().any(|(known, _)| *known == owner) {
            self.known.push((owner, mapping(owner)?));
        }
        Ok(self.known.iter().find(|(known, _)| *known == owner).map(|(_, namespace)| namespace))
    }
}

/// A user namespace in which this owner is nobody outside. Such a thing is made by a process, which
/// is not needed longer than until the namespace is opened.
fn mapping(owner: (u32, u32)) -> Result<OwnedFd> {
    let (wait, end) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let user = NAMESPACES.first().map_or(0, |(_, flag)| *flag);
    let pid = match kernel::clone(user).map_err(failed("lend a mount's owner"))? {
        Side::Child => {
            drop(end);
            let _ = rustix::io::read(&wait, &mut [0]);
            super::command::end(0);
        }
        Side::Parent(pid) => pid,
    };
    let opened = map_ids(pid, owner, (NOBODY, NOBODY), true).and_then(|()| {
        File::open(format!("/proc/{}/ns/user", pid.as_raw_nonzero()))
            .map_err(failed("lend a mount's owner"))
    });
    drop(end);
    kernel::wait_for(pid).map_err(failed("lend a mount's owner"))?;
    opened.map(OwnedFd::from)
}
