//! Rules: whether an act is allowed at all, decided before it is recorded.
//!
//! [`Rules`] is the border to policy languages; [`BuiltinRules`] are what holds without one. The
//! verdict goes into the event with the rules that decided, so replay never asks again.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::hash::Hash;
use crate::plan::{EffectClass, Workflow};
use crate::text::Text;

/// A set of rules.
///
/// The same question has to get the same verdict as long as the hash is the same: verdicts are
/// recorded and referred to by it. Whatever goes wrong inside has to deny (I13); [`Verdict::of`]
/// does that.
pub trait Rules: Send + Sync {
    /// Names this version of the rules.
    fn hash(&self) -> Hash;

    /// Decides. An act that no rule speaks about is denied.
    fn judge(&self, question: &Question<'_>) -> Verdict;
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is to be done.
    pub act: Act<'a>,
    /// Under whose authority. That it covers the act is checked apart from the rules.
    pub authority: &'a Authority,
    /// How the instance is run.
    pub mode: Mode,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Admit a version of a workflow.
    AdmitWorkflow {
        /// The workflow.
        workflow: &'a Workflow,
        /// The effect class of each of its tasks, in their order.
        classes: &'a [EffectClass],
    },
    /// Perform one step of an attempt.
    PerformStep {
        /// The tool.
        tool: &'a str,
        /// What it may do to the world.
        class: EffectClass,
    },
    /// Change the instance or a run.
    Operate {
        /// The scope of the act, such as `run:cancel` or `fleet:operate`.
        what: &'a str,
    },
}

/// How much people are asked. The order is from the mildest to the strictest.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nobody is there to ask.
    #[n(0)]
    Autonomous,
    /// Somebody looks on and can be asked.
    #[default]
    #[n(1)]
    Supervised,
    /// Somebody sits in front of it.
    #[n(2)]
    Interactive,
}

impl Mode {
    /// The word of the vocabulary.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Autonomous => "autonomous",
            Mode::Supervised => "supervised",
            Mode::Interactive => "interactive",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of an act. The order is from the mildest to the strictest.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done.
    #[n(0)]
    Allow,
    /// Somebody has to approve it first.
    #[n(1)]
    Ask,
    /// It is not done.
    #[n(2)]
    Deny,
}

/// A decision, by which rules and why.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Verdict {
    /// What becomes of the act.
    #[n(0)]
    pub outcome: Outcome,
    /// Ids of the rules that decided, sorted.
    #[n(1)]
    pub rules: Vec<Text>,
    /// For people; none where it is allowed.
    #[n(2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Verdict {
    /// Allowed by this rule.
    pub fn allow(rule: &str) -> Self {
        Verdict { outcome: Outcome::Allow, rules: vec![Text::from(rule)], reason: None }
    }

    /// Left to a person by this rule.
    pub fn ask(rule: &str, reason: impl Into<String>) -> Self {
        Verdict {
            outcome: Outcome::Ask,
            rules: vec![Text::from(rule)],
            reason: Some(reason.into()),
        }
    }

    /// Denied by this rule.
    pub fn deny(rule: &str, reason: impl Into<String>) -> Self {
        Verdict {
            outcome: Outcome::Deny,
            rules: vec![Text::from(rule)],
            reason: Some(reason.into()),
        }
    }

    /// The verdict of rules that can fail. INVARIANT I13: their failure denies.
    pub fn of<E: fmt::Display>(judged: Result<Verdict, E>) -> Self {
        judged.unwrap_or_else(|e| Verdict::deny(rule::ERROR_DENIED, format!("rules failed: {e}")))
    }

    /// Both together: the stricter outcome with its reason (the first one's when they are alike),
    /// and the rules of either.
    #[must_use]
    pub fn and(self, other: Verdict) -> Verdict {
        let (mut strict, mild) =
            if other.outcome > self.outcome { (other, self) } else { (self, other) };
        strict.rules.extend(mild.rules);
        strict.rules.sort_unstable();
        strict.rules.dedup();
        strict
    }
}

/// Ids of the built-in rules. They are recorded and documented: never rename one.
pub mod rule {
    /// Steps that change nothing are allowed.
    pub const PURE_AND_READ: &str = "builtin.pure-and-read";
    /// Steps whose repetition changes nothing are allowed.
    pub const IDEMPOTENT: &str = "builtin.idempotent";
    /// Other steps are allowed under an authority that names `effect:<class>`.
    pub const EFFECTFUL_SCOPED: &str = "builtin.effectful-scoped";
    /// Without that scope somebody is asked, where there is somebody.
    pub const EFFECTFUL_ASKS: &str = "builtin.effectful-asks";
    /// In autonomous mode nobody is there to ask.
    pub const EFFECTFUL_DENIED: &str = "builtin.effectful-denied";
    /// Operations are allowed under an authority that has their scope.
    pub const OPERATE_SCOPED: &str = "builtin.operate-scoped";
    /// Whatever no rule speaks about is denied.
    pub const UNKNOWN_DENIED: &str = "builtin.unknown-denied";
    /// Rules that fail deny.
    pub const ERROR_DENIED: &str = "builtin.error-denied";
}

/// The rules without a policy:
///
/// | act | autonomous | supervised, interactive |
/// |---|---|---|
/// | step that is pure, reads, or is idempotent | allowed | allowed |
/// | probed or effectful step, authority has `effect:<class>` | allowed | allowed |
/// | probed or effectful step, otherwise | denied | asks |
/// | workflow | the strictest of its tasks | the strictest of its tasks |
/// | operation | allowed if the authority has its scope | the same |
/// | anything else | denied | denied |
///
/// `effect:effectful` includes `effect:probed`, whose outcome can at least be asked for. The scope
/// `*` includes neither.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltinRules;

/// Changes whenever a built-in rule decides differently than before.
const BUILTIN_VERSION: &[u8] = b"ark-os builtin rules 1";

impl Rules for BuiltinRules {
    fn hash(&self) -> Hash {
        Hash::of(BUILTIN_VERSION)
    }

    fn judge(&self, question: &Question<'_>) -> Verdict {
        match question.act {
            Act::AdmitWorkflow { workflow, classes } => judge_workflow(question, workflow, classes),
            Act::PerformStep { tool, class } => {
                judge_class(question, class, || format!("tool `{tool}`"))
            }
            Act::Operate { what } => judge_operation(question, what),
        }
    }
}

fn judge_workflow(
    question: &Question<'_>,
    workflow: &Workflow,
    classes: &[EffectClass],
) -> Verdict {
    if workflow.tasks.is_empty() || workflow.tasks.len() != classes.len() {
        let reason = format!(
            "workflow `{}` has {} tasks, of which {} have a known effect class",
            workflow.name,
            workflow.tasks.len(),
            classes.len()
        );
        return Verdict::deny(rule::UNKNOWN_DENIED, reason);
    }
    let judged = workflow.tasks.iter().zip(classes);
    judged
        .map(|(task, class)| judge_class(question, *class, || format!("task `{}`", task.name)))
        .reduce(Verdict::and)
        .unwrap_or_else(|| Verdict::deny(rule::UNKNOWN_DENIED, "no tasks"))
}

fn judge_class(
    question: &Question<'_>,
    class: EffectClass,
    name: impl FnOnce() -> String,
) -> Verdict {
    let scopes = question.authority.scopes();
    let is_scoped = match class {
        EffectClass::Pure | EffectClass::Read => return Verdict::allow(rule::PURE_AND_READ),
        EffectClass::Idempotent => return Verdict::allow(rule::IDEMPOTENT),
        EffectClass::Probed => scopes.covers("effect:probed") || scopes.covers("effect:effectful"),
        EffectClass::Effectful => scopes.covers("effect:effectful"),
    };
    if is_scoped {
        return Verdict::allow(rule::EFFECTFUL_SCOPED);
    }
    let reason = format!(
        "{} is {class} and the authority of `{}` lacks the scope `effect:{class}`",
        name(),
        question.authority.subject(),
        class = class.as_str(),
    );
    match question.mode {
        Mode::Autonomous => Verdict::deny(rule::EFFECTFUL_DENIED, reason),
        Mode::Supervised | Mode::Interactive => Verdict::ask(rule::EFFECTFUL_ASKS, reason),
    }
}

fn judge_operation(question: &Question<'_>, what: &str) -> Verdict {
    // A scope has a kind; without one this is no operation that anybody could have been given.
    if what.contains(':') && question.authority.scopes().covers(what) {
        return Verdict::allow(rule::OPERATE_SCOPED);
    }
    let subject = question.authority.subject();
    let reason = format!("the authority of `{subject}` lacks the scope `{what}`");
    Verdict::deny(rule::UNKNOWN_DENIED, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{RevocationId, Scopes};

    fn authority(scopes: &[&str]) -> Authority {
        let scopes = Scopes::parse(scopes.iter().copied()).unwrap();
        Authority::root(Text::from("tester"), scopes, RevocationId::derive(&[b"tester"]))
    }

    fn judge(act: Act<'_>, scopes: &[&str], mode: Mode) -> (Outcome, Vec<String>) {
        let authority = authority(scopes);
        let verdict = BuiltinRules.judge(&Question { act, authority: &authority, mode });
        assert_eq!(verdict.reason.is_none(), verdict.outcome == Outcome::Allow);
        (verdict.outcome, verdict.rules.iter().map(|rule| rule.to_string()).collect())
    }

    #[test]
    fn every_row_of_the_table_holds() {
        use EffectClass::{Effectful, Idempotent, Probed, Pure, Read};
        use Mode::{Autonomous, Interactive, Supervised};
        use Outcome::{Allow, Ask, Deny};
        for (class, scope, mode, outcome, id) in [
            (Pure, "skill:*", Autonomous, Allow, rule::PURE_AND_READ),
            (Read, "skill:*", Supervised, Allow, rule::PURE_AND_READ),
            (Idempotent, "skill:*", Interactive, Allow, rule::IDEMPOTENT),
            (Probed, "effect:probed", Autonomous, Allow, rule::EFFECTFUL_SCOPED),
            (Probed, "effect:effectful", Autonomous, Allow, rule::EFFECTFUL_SCOPED),
            (Probed, "*", Autonomous, Deny, rule::EFFECTFUL_DENIED),
            (Probed, "*", Supervised, Ask, rule::EFFECTFUL_ASKS),
            (Effectful, "effect:*", Interactive, Allow, rule::EFFECTFUL_SCOPED),
            (Effectful, "effect:probed", Autonomous, Deny, rule::EFFECTFUL_DENIED),
            (Effectful, "*", Autonomous, Deny, rule::EFFECTFUL_DENIED),
            (Effectful, "*", Supervised, Ask, rule::EFFECTFUL_ASKS),
            (Effectful, "*", Interactive, Ask, rule::EFFECTFUL_ASKS),
        ] {
            let act = Act::PerformStep { tool: "t", class };
            let judged = judge(act, &[scope], mode);
            assert_eq!(judged, (outcome, vec![id.to_string()]), "{class:?} {scope} {mode}");
        }
    }

    #[test]
    fn workflow_is_judged_by_its_strictest_task() {
        let mut workflow = Workflow::single("echo");
        let mut second = workflow.tasks.first().unwrap().clone();
        second.name = Text::from("send");
        workflow.tasks.push(second);
        let classes = [EffectClass::Pure, EffectClass::Effectful];
        let act = Act::AdmitWorkflow { workflow: &workflow, classes: &classes };
        let rules = vec!["builtin.effectful-asks".to_string(), "builtin.pure-and-read".to_string()];
        assert_eq!(judge(act, &["*"], Mode::Supervised), (Outcome::Ask, rules));

        let authority = authority(&["*"]);
        let question = Question { act, authority: &authority, mode: Mode::Autonomous };
        assert_eq!(
            BuiltinRules.judge(&question).reason.unwrap(),
            "task `send` is effectful and the authority of `tester` lacks the scope `effect:effectful`"
        );

        let act = Act::AdmitWorkflow { workflow: &workflow, classes: &classes[..1] };
        let denied = (Outcome::Deny, vec!["builtin.unknown-denied".to_string()]);
        assert_eq!(judge(act, &["*"], Mode::Supervised), denied, "a class is missing");
    }

    #[test]
    fn operations_need_their_scope() {
        for (what, scope, outcome) in [
            ("run:cancel", "run:*", Outcome::Allow),
            ("run:cancel", "run:submit", Outcome::Deny),
            ("cancel", "*", Outcome::Deny),
            ("fleet:operate", "*", Outcome::Allow),
        ] {
            let (judged, _) = judge(Act::Operate { what }, &[scope], Mode::Supervised);
            assert_eq!(judged, outcome, "{what} {scope}");
        }
    }

    #[test]
    fn failing_rules_deny() {
        let verdict = Verdict::of(Err::<Verdict, _>("out of fuel"));
        assert_eq!(verdict.outcome, Outcome::Deny);
        assert_eq!(verdict.reason.as_deref(), Some("rules failed: out of fuel"));
    }

    #[test]
    fn words_and_encodings_are_fixed() {
        assert_eq!(serde_json::to_string(&Mode::Supervised).unwrap(), "\"supervised\"");
        assert_eq!(minicbor::to_vec(Mode::Interactive).unwrap(), [2]);
        let verdict = Verdict::ask("r", "why");
        let back: Verdict = minicbor::decode(&minicbor::to_vec(&verdict).unwrap()).unwrap();
        assert_eq!(back, verdict);
    }
}
