//! The skills of a manifest: what they promise, and who offers them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::agent::read_effect;
use super::fields::{Dots, Fields, name};
use super::findings::{Pointer, Report, code};
use super::limits::{DESCRIPTION_BYTES_MAX, SKILLS_PER_MANIFEST_MAX};
use super::task::read_schema;
use super::{SkillShape, shape};
use crate::agent::{Behaviour, SkillContract, SkillOffer};
use crate::plan::EffectClass;
use crate::text::Text;

/// Reads the section `skills`.
pub(super) fn read_contracts(
    list: &[Value],
    at: &Pointer,
    report: &mut Report<'_>,
) -> Vec<SkillContract> {
    if list.len() > SKILLS_PER_MANIFEST_MAX {
        let text = format!("a manifest declares at most {SKILLS_PER_MANIFEST_MAX} skills");
        report.add(at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    let mut names: BTreeMap<Text, ()> = BTreeMap::new();
    let mut contracts = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        let Some(contract) = read_contract(value, &at, report) else { continue };
        let at = at.key("name");
        if names.insert(contract.name.clone(), ()).is_some() {
            let message = format!("the skill `{}` is declared before this", contract.name);
            report.add(&at, code::DUPLICATE_NAME, message);
            continue;
        }
        if report.builtin(&contract.name).is_some() {
            let message = format!("the skill `{}` is built in", contract.name);
            let hint = "what is built in says itself what it promises; choose another name";
            report.add_hint(&at, code::DUPLICATE_NAME, message, hint);
            continue;
        }
        contracts.push(contract);
    }
    contracts
}

fn read_contract(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<SkillContract> {
    let fields = Fields::open(value, at, &shape::CONTRACT, report)?;
    let description = fields.text("description", DESCRIPTION_BYTES_MAX, report).map(Text::from);
    let (input, output) = (schema(&fields, "input", report), schema(&fields, "output", report));
    let effect = read_effect(&fields, report);
    let name = fields.required_name("name", Dots::Allowed, report)?;
    Some(SkillContract { name: Text::from(name), description, input, output, effect })
}

fn schema(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> Option<Value> {
    let (value, at) = fields.value(key)?;
    read_schema(value, &at, report).map(|_| value.clone())
}

/// Who offers what, while agents are read one after the other.
#[derive(Default)]
pub(super) struct Offers {
    contracts: BTreeMap<Text, SkillContract>,
    offered: BTreeMap<Text, Offered>,
}

/// A skill that an agent before this one offers.
struct Offered {
    is_remote: bool,
    offer: SkillOffer,
}

/// An offer as it is written.
struct Written {
    name: Text,
    schemas: [Option<Value>; 2],
    /// Where the name stands.
    at: Pointer,
}

impl Offers {
    pub(super) fn under(contracts: &[SkillContract]) -> Self {
        let contracts = contracts.iter().map(|it| (it.name.clone(), it.clone()));
        Offers { contracts: contracts.collect(), offered: BTreeMap::new() }
    }

    /// The skills of one agent; nothing is known of its behaviour where that is wrong.
    pub(super) fn read(
        &mut self,
        list: &[Value],
        at: &Pointer,
        behaviour: Option<&Behaviour>,
        report: &mut Report<'_>,
    ) -> Vec<SkillOffer> {
        let mut skills: Vec<SkillOffer> = Vec::with_capacity(list.len());
        for (i, value) in list.iter().enumerate() {
            let Some(written) = read_offer(value, &at.index(i), report) else { continue };
            if skills.iter().any(|other| other.name == written.name) {
                let message = format!("it has the skill `{}` already", written.name);
                report.add(&written.at, code::DUPLICATE_NAME, message);
                continue;
            }
            let Some(behaviour) = behaviour else {
                // Tasks that use the skill are judged even where its agent is wrong.
                let Written { name, schemas: [input_schema, output_schema], .. } = written;
                let class = EffectClass::default();
                report.offer(&name, SkillShape { class, input_schema, output_schema });
                continue;
            };
            skills.extend(self.offer(written, behaviour, report));
        }
        skills
    }

    fn offer(
        &mut self,
        written: Written,
        behaviour: &Behaviour,
        report: &mut Report<'_>,
    ) -> Option<SkillOffer> {
        if matches!(behaviour, Behaviour::Native) {
            return native(written, report);
        }
        let offer = self.under_contract(written, behaviour, report)?;
        let (SkillOffer { name, input, output, class }, at) = offer;
        let is_remote = matches!(behaviour, Behaviour::Worker(_));
        let shape = |class| SkillShape {
            class,
            input_schema: input.clone(),
            output_schema: output.clone(),
        };
        let offer = SkillOffer { name, input: input.clone(), output: output.clone(), class };
        match self.offered.get_mut(&offer.name) {
            None if report.offer(&offer.name, shape(class)) => {
                let offered = Offered { is_remote, offer: offer.clone() };
                self.offered.insert(offer.name.clone(), offered);
            }
            Some(before) if before.is_remote && is_remote => {
                if before.offer.input != input || before.offer.output != output {
                    let message =
                        format!("another agent offers `{}` with other schemas", offer.name);
                    let hint = "declare them once, in the section `skills`";
                    report.add_hint(&at, code::CONFLICTING_FIELDS, message, hint);
                }
                // Whoever gets the task: it may do what the boldest of them may.
                before.offer.class = before.offer.class.max(class);
                report.widen(&offer.name, shape(before.offer.class));
            }
            _ => {
                let message = format!("somebody else has the skill `{}` already", offer.name);
                let hint = "give it a name of its own; only remote workers share skills, and built-in \
                            skills cannot be replaced";
                report.add_hint(&at, code::DUPLICATE_NAME, message, hint);
                return None;
            }
        }
        Some(offer)
    }

    /// An offer with what its contract says.
    fn under_contract(
        &self,
        written: Written,
        behaviour: &Behaviour,
        report: &mut Report<'_>,
    ) -> Option<(SkillOffer, Pointer)> {
        let Written { name, schemas: [input, output], at } = written;
        let own = match behaviour {
            Behaviour::Worker(worker) => worker.effect,
            other => Some(other.effect()),
        };
        let Some(contract) = self.contracts.get(&name) else {
            let class = own.unwrap_or_default();
            return Some((SkillOffer { name, input, output, class }, at));
        };
        if input.is_some() || output.is_some() {
            let message = format!("the section `skills` says already what `{name}` promises");
            report.add_hint(&at, code::CONFLICTING_FIELDS, message, "name the skill, as a text");
        }
        let class = own.or(contract.effect).unwrap_or_default();
        if contract.effect.is_some_and(|most| class > most) {
            let most = contract.effect.map_or("", EffectClass::as_str);
            let message = format!(
                "its work is `{}`; the contract of `{name}` allows `{most}` at most",
                class.as_str()
            );
            report.add(&at, code::EFFECT_ABOVE_CONTRACT, message);
        }
        let (input, output) = (contract.input.clone(), contract.output.clone());
        Some((SkillOffer { name, input, output, class }, at))
    }
}

/// A skill that is built in, whoever else has it.
fn native(written: Written, report: &mut Report<'_>) -> Option<SkillOffer> {
    let Written { name, schemas: [input, output], at } = written;
    let Some(shape) = report.builtin(&name) else {
        let message = format!("no skill `{name}` is built in");
        let names = report.skills().names();
        report.unknown(&at, code::UNKNOWN_SKILL, message, &name, names);
        return None;
    };
    if input.is_some() || output.is_some() {
        let message = format!("`{name}` is built in and says itself what it promises");
        report.add_hint(&at, code::CONFLICTING_FIELDS, message, "name the skill, as a text");
    }
    Some(SkillOffer { name, input: None, output: None, class: shape.class })
}

/// A skill by its name, or with its schemas.
fn read_offer(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Written> {
    if value.is_string() {
        let name = Text::from(name(value, at, Dots::Allowed, report)?);
        return Some(Written { name, schemas: [None, None], at: at.clone() });
    }
    let fields = Fields::open(value, at, &shape::OFFER, report)?;
    let schemas = [schema(&fields, "input", report), schema(&fields, "output", report)];
    let name = Text::from(fields.required_name("name", Dots::Allowed, report)?);
    Some(Written { name, schemas, at: at.key("name") })
}
