//! Admission: each layer above the workers decides once about a workflow version.
//!
//! CECCA issues the root authority of the run, the Board judges by the rules, an executive shares
//! out resources, a stack chief routes by skill. Runs of the same version under the same authority
//! refer to the decisions by number, so they cost a run a lookup.

use std::sync::Arc;

use crate::authority::{Attenuation, Authority, Grant, RevocationId};
use crate::budget::Amounts;
use crate::error::{Kind, Rejected};
use crate::event::{Admission, LayerDecision};
use crate::hash::Hash;
use crate::ids::SkillIx;
use crate::layer::Layer;
use crate::plan::{EffectClass, TaskSpec, Workflow};
use crate::rules::{Act, Outcome, Question, Rules, Verdict};
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

/// What an admission is for.
pub(super) struct Subject<'a> {
    pub(super) namespace: &'a Text,
    pub(super) workflow: &'a Arc<Workflow>,
    pub(super) grant: &'a Grant,
}

impl Subject<'_> {
    /// Names the admission: the same subject under the same rules is decided once.
    pub(super) fn digest(&self, rules: &dyn Rules) -> Hash {
        Hash::of_parts(&[
            self.namespace.as_bytes(),
            &self.workflow.hash.0,
            &self.grant.digest().0,
            &rules.hash().0,
        ])
    }
}

/// What was decided about the subject in this instance's time, or is decided now; the latter is
/// what has to be recorded.
pub(super) fn admitted(
    state: &State,
    rules: &dyn Rules,
    subject: &Subject<'_>,
    now: Time,
) -> Result<(Arc<Admission>, Option<Admission>), Rejected> {
    let known = state.admitted.get(&subject.digest(rules));
    let known = known.and_then(|id| state.admissions.get(id));
    // Under another mode the layers decide again.
    if let Some(admission) = known.filter(|it| it.mode == Some(state.mode())) {
        return Ok((admission.clone(), None));
    }
    let fresh = admit(state, rules, subject, now)?;
    Ok((Arc::new(fresh.clone()), Some(fresh)))
}

/// Every layer decides; the first that does not allow it rejects.
fn admit(
    state: &State,
    rules: &dyn Rules,
    subject: &Subject<'_>,
    now: Time,
) -> Result<Admission, Rejected> {
    let skills = route(state, subject.workflow)?;
    // What nobody works on does nothing to the world.
    let class = |skill: &SkillIx| match *skill {
        SkillIx::NONE => Some(EffectClass::Pure),
        skill => state.fleet.skill_info(skill).map(|info| info.class),
    };
    let classes: Vec<EffectClass> = skills.iter().filter_map(class).collect();
    let question = Question {
        act: Act::AdmitWorkflow { workflow: subject.workflow, classes: &classes },
        authority: subject.grant.authority(),
        mode: state.mode(),
    };
    let verdict = rules.judge(&question);
    allowed(&verdict)?;
    let digest = subject.digest(rules);
    Ok(Admission {
        id: state.admission_count + 1,
        namespace: subject.namespace.clone(),
        workflow: subject.workflow.clone(),
        decisions: decisions(state, subject, &verdict),
        authorities: authorities(state, subject, digest, now)?,
        skills,
        rules: rules.hash(),
        subject: digest,
        mode: Some(state.mode()),
        caller: Some(subject.grant.authority().clone()),
    })
}

/// What the rules do not allow is rejected; what they would ask about cannot be asked yet.
pub(super) fn allowed(verdict: &Verdict) -> Result<(), Rejected> {
    let why = || {
        let rules: Vec<&str> = verdict.rules.iter().map(Text::as_str).collect();
        let reason = verdict.reason.clone().unwrap_or_else(|| "refused by the rules".to_owned());
        format!("{reason} (rules: {})", rules.join(", "))
    };
    match verdict.outcome {
        Outcome::Allow => Ok(()),
        Outcome::Deny => Err(Rejected::new(Kind::Denied, "policy_denied", why())
            .hint("ask who owns the policy, or use a skill with a lesser effect class")),
        Outcome::Ask => Err(Rejected::new(Kind::Denied, "approval_unavailable", why())
            .hint("nobody can be asked for an approval yet; give the operator the scope that is named, by \
                   `security.operator_scopes`")),
    }
}

pub(super) fn route(state: &State, workflow: &Workflow) -> Result<Vec<SkillIx>, Rejected> {
    let find = |task: &TaskSpec| {
        if !task.is_work() {
            return Ok(SkillIx::NONE);
        }
        let skill = &task.skill;
        state.fleet.skill(skill).ok_or_else(|| {
            Rejected::new(
                Kind::Invalid,
                "unknown_skill",
                format!("no agent of the fleet offers the skill `{skill}`"),
            )
        })
    };
    workflow.tasks.iter().map(find).collect()
}

fn decisions(state: &State, subject: &Subject<'_>, verdict: &Verdict) -> Vec<LayerDecision> {
    let workflow = subject.workflow;
    let agent = |layer: Layer| match state.fleet.deciding(layer) {
        Some(ix) => Text::from(state.fleet.name(ix)),
        None => Text::from("runtime"),
    };
    let decision = |layer: Layer, rules: Vec<Text>, inputs: String| LayerDecision {
        layer,
        agent: agent(layer),
        rules,
        inputs: inputs.into(),
    };
    let tasks = workflow.tasks.len();
    let free: u32 = state.fleet.pools().map(|(capacity, _)| capacity).sum();
    let mut skills: Vec<&str> =
        workflow.tasks.iter().filter(|it| it.is_work()).map(|task| task.skill.as_str()).collect();
    skills.sort_unstable();
    skills.dedup();
    vec![
        decision(
            Layer::Cecca,
            vec!["cecca.root-authority".into()],
            format!("{} for {}", workflow.name, subject.grant.authority().subject()),
        ),
        decision(
            Layer::Board,
            verdict.rules.clone(),
            format!("{tasks} tasks in mode {}", state.mode().as_str()),
        ),
        decision(
            Layer::Executive,
            vec!["executive.shares".into()],
            format!("{tasks} tasks, {free} progress tokens"),
        ),
        decision(Layer::StackChief, vec!["stack-chief.by-skill".into()], skills.join(" ")),
    ]
}

/// The way down: each layer's authority is the one above it, attenuated to the plan's skills.
fn authorities(
    state: &State,
    subject: &Subject<'_>,
    digest: Hash,
    now: Time,
) -> Result<Vec<Authority>, Rejected> {
    let mut chain = Vec::with_capacity(Layer::ALL.len());
    let mut above = subject.grant.authority().clone();
    if above.expires() <= now {
        return Err(Rejected::new(Kind::Denied, "authority_expired", "the authority has expired"));
    }
    let way_down =
        [Layer::Cecca, Layer::Board, Layer::Executive, Layer::StackChief, Layer::Specialist];
    for layer in way_down {
        let id = RevocationId::derive(&[
            &digest.0,
            layer.as_str().as_bytes(),
            &state.epoch.to_le_bytes(),
        ]);
        let mut asked = Attenuation::of_everything(Text::from(layer.as_str()), id);
        asked.layer = layer;
        asked.limits = Amounts::UNLIMITED;
        let next = above.attenuate(&asked).map_err(|denial| {
            Rejected::new(Kind::Denied, "authority_denied", denial.to_string())
        })?;
        chain.push(next.clone());
        above = next;
    }
    Ok(chain)
}
