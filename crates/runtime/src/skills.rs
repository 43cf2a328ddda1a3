//! Native skills: work that the fleet's own agents can do without a model, a tool or a sandbox.
//! This file lists them; each lives in a file of its own below.

mod audit;
mod basic;
mod files;
mod jail;
mod list;
mod post;
mod skill;
mod template;
mod transform;
mod wire;

use std::sync::Arc;

pub use ark_os_core::plan::EffectClass;
pub use audit::history_of_log;
pub use jail::JailSource;
pub use post::Post;
pub use skill::{
    AttemptInfo, Cost, Effect, Host, ProbeAnswer, Skill, SkillError, SkillSet, SkillSpec, StepCall,
};

/// Every skill that comes with the product.
fn builtin_skills(jail: &JailSource) -> Vec<Arc<dyn Skill>> {
    vec![
        Arc::new(audit::ChunkSkill),
        Arc::new(audit::DiffSkill),
        Arc::new(audit::HistorySkill::new(jail.clone())),
        Arc::new(audit::InventorySkill),
        Arc::new(audit::ReportSkill),
        Arc::new(basic::Echo),
        Arc::new(basic::Fail),
        Arc::new(basic::Hash),
        Arc::new(basic::Sleep),
        Arc::new(files::FileWrite),
        Arc::new(list::Count),
        Arc::new(list::Range),
        Arc::new(list::Sum),
        Arc::new(template::TextTemplate),
        Arc::new(transform::Transform),
    ]
}
