//! Confines: runs programs so that they can read, write, connect to and signal nothing that they
//! were not given, and use no more than they were allowed.
//!
//! A [`Jail`] runs a [`Job`] under a [`Profile`]. The program starts in namespaces of its own, below
//! a read-only root made of an allow-list, with a capped private `/tmp`, no network, no capabilities,
//! a system-call filter and, where the kernel has it, Landlock. What the machine cannot hold is
//! refused as `sandbox_unavailable`; nothing is ever run bare.
//!
//! How a job comes to run, and who does what:
//!
//! 1. the caller's process ([`Jail::run`]) makes control groups and starts its own executable again as the
//!    *launcher* (`launcher`), which is why every binary calls [`launcher_main_if_asked`] first;
//! 2. the launcher joins the groups, opens what is mounted, makes the first process of the new
//!    namespaces (`launcher::first`) as a child of the caller, and ends;
//! 3. that process builds the root, gives up everything, starts the program and reaps. It holds
//!    one end of a control socket: when the caller dies it reads the end and takes all with it;
//! 4. the caller watches output, time and memory, and kills the first process if need be: the
//!    kernel then kills all others of the namespace.

mod beneath;
mod error;
mod job;
mod machine;
mod pin;
mod profile;

#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod jail;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the sanctioned place")]
mod kernel;
#[cfg(target_os = "linux")]
mod launcher;
#[cfg(target_os = "linux")]
mod plan;

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod jail;

pub use beneath::open_beneath;
pub use error::{Kind, SandboxError};
#[cfg(not(target_os = "linux"))]
pub use jail::check_target;
pub use jail::{Jail, launcher_main_if_asked};
pub use job::{Access, Exit, Finished, Job, Mount, STDIN_BYTES_MAX, Usage};
#[cfg(target_os = "linux")]
pub use launcher::check_target;
pub use machine::{Held, Mechanism, Probe, Reaped, Settings};
pub use profile::{Filter, Limits, Profile, Strength};
