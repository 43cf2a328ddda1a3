//! What a loop without threads, clock and files is fed with.

use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::command::SubmitRun;
use ark_os_core::event::InstanceStarted;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::time::Time;

pub(crate) const NOW: Time = Time(1_000);

/// An instance starts with one pure skill.
pub(crate) fn start() -> Command {
    let (name, class) = ("test".into(), EffectClass::Pure);
    let skills = vec![SkillInfo { name, class, concurrency_max: None }];
    Command::StartInstance(Box::new(InstanceStarted::small(6, skills)))
}

/// A run of one task with that skill.
pub(crate) fn submission(run: RunId) -> Box<SubmitRun> {
    let id = RevocationId::derive(&[b"test"]);
    let authority = Authority::root("tester".into(), Scopes::everything(), id);
    Box::new(SubmitRun {
        run,
        namespace: "default".into(),
        workflow: Workflow::single("test").sealed(),
        input: Payload::null(),
        grant: Arc::new(Grant::new(authority)),
        priority: Default::default(),
        deadline: None,
        start_at: None,
        budget: None,
        seed: 1,
        key: None,
        parent: None,
    })
}
