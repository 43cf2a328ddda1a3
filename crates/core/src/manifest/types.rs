//! What can be decided of types before anything runs: literal inputs against the skill's schema,
//! references against what is known of the run's input and of the outputs of tasks.

use serde_json::Value;

use super::expression::{Expression, Root};
use super::findings::{Pointer, Report, code};
use super::links::Names;
use super::schema::{
    Part, Promise, Types, allowed_values, items, plain, property, property_names, readable,
    required, rules_out,
};
use super::task::Draft;
use super::template::{Node, Template};
use crate::plan::{OnFailure, Shape};

/// A plan whose names are known, with everything that references may lead to.
pub(super) struct Plan<'d> {
    pub(super) drafts: &'d [Draft],
    pub(super) names: &'d Names,
    pub(super) input_schema: Option<&'d Value>,
}

/// Who holds a template, which decides what it may refer to.
#[derive(Clone, Copy)]
enum Holder<'d> {
    /// The input of a task; a map's children have an item.
    Input(&'d Draft),
    /// The list of a map.
    Over,
    /// The output of the run.
    Output,
}

impl<'d> Plan<'d> {
    /// Checks all templates of the plan.
    pub(super) fn check(&self, output: Option<(&Template, &Pointer)>, report: &mut Report<'_>) {
        for draft in self.drafts {
            if let Some(over) = &draft.over {
                self.check_references(over, &draft.over_at(), Holder::Over, report);
                self.check_over(draft, over, report);
            }
            if let Some(until) = &draft.until {
                self.check_references(until, &draft.until_at(), Holder::Over, report);
                self.check_until(draft, until, report);
            }
            if let Some(key) = &draft.key {
                self.check_references(key, &draft.key_at(), Holder::Over, report);
            }
            if let Some(input) = &draft.input {
                if draft.is_input_given {
                    let holder = Holder::Input(draft);
                    self.check_references(input, &draft.input_at, holder, report);
                }
                self.check_input(draft, input, report);
            }
        }
        if let Some((template, at)) = output {
            self.check_references(template, at, Holder::Output, report);
            self.check_output(template, at, report);
        }
    }

    fn check_references(
        &self,
        template: &Template,
        at: &Pointer,
        holder: Holder<'_>,
        report: &mut Report<'_>,
    ) {
        for reference in template.references() {
            let at = at.join(&reference.pointer);
            let expression = reference.expression;
            if self.check_root(expression.root(), &at, holder, report)
                && let Err((steps, why)) = self.promise(expression, holder)
            {
                let (whole, part) = (expression, expression.shown_to(steps));
                let message = format!("there is no `{whole}`: `{part}` {why}");
                report.add(&at, code::UNKNOWN_PROPERTY, message);
            }
        }
    }

    fn check_root(
        &self,
        root: &Root,
        at: &Pointer,
        holder: Holder<'_>,
        report: &mut Report<'_>,
    ) -> bool {
        let is_child = matches!(holder, Holder::Input(draft) if draft.map().is_some());
        match root {
            Root::Item | Root::Index if !is_child => {
                let message = format!("`{root}` is only known in the `input` of a map");
                report.add(at, code::NO_ITEM, message);
                false
            }
            Root::Outputs(name) => {
                let Some(draft) = self.draft(name) else { return false };
                let Some(map) = draft.map() else {
                    let hint = format!("a single task has `tasks.{name}.output`");
                    let message = format!("`{name}` is not a map and has no `outputs`");
                    report.add_hint(at, code::NOT_A_MAP, message, hint);
                    return false;
                };
                let gathers = matches!(
                    holder,
                    Holder::Input(draft) if draft.reduce.as_ref().is_some_and(|r| *r.name == **name)
                );
                if !map.collect && !gathers {
                    let message = format!("`{name}` does not keep the list of its outputs");
                    let hint = "set `collect: true` on the map, or gather it with a `reduce`";
                    report.add_hint(at, code::NOT_COLLECTED, message, hint);
                }
                true
            }
            _ => true,
        }
    }

    /// The output of the run may not hang on a fallback: it may never run.
    fn check_output(&self, template: &Template, at: &Pointer, report: &mut Report<'_>) {
        for reference in template.references() {
            let Some(name) = reference.expression.root().task() else { continue };
            let at = at.join(&reference.pointer);
            let Some(node) = self.names.resolve(name, &at, report) else { continue };
            if self.drafts.get(node as usize).is_some_and(|draft| draft.spec.is_fallback) {
                let message = format!("`{name}` is a fallback and may never run");
                let hint = "refer to its task: the output of the fallback stands in for its own";
                report.add_hint(&at, code::DEPENDS_ON_FALLBACK, message, hint);
            }
        }
    }

    fn check_over(&self, draft: &Draft, over: &Template, report: &mut Report<'_>) {
        let types = self.part_types(&Given::of(over.node()), Holder::Over);
        if !types.meets(Types::ARRAY) {
            let message = format!("`over` is a list, not {types}");
            report.add(&draft.over_at(), code::TYPE_MISMATCH, message);
        }
    }

    fn check_until(&self, draft: &Draft, until: &Template, report: &mut Report<'_>) {
        let types = self.part_types(&Given::of(until.node()), Holder::Over);
        if until.as_literal().is_none() && !types.meets(Types::STRING) {
            let message = format!("`until` is a moment as text, not {types}");
            report.add(&draft.until_at(), code::TYPE_MISMATCH, message);
        }
    }

    fn check_input(&self, draft: &Draft, input: &Template, report: &mut Report<'_>) {
        let schema = draft.skill.as_ref().and_then(|skill| skill.input_schema.as_ref());
        let Some(schema) = schema else { return };
        let takes_null = Types::of_schema(schema).meets(Types::NULL);
        if !draft.is_input_given && draft.map().is_none() {
            // Nothing was given: name what is missing rather than complain about `null`.
            let mut names = required(schema).peekable();
            if names.peek().is_none() && !takes_null {
                let message = format!("`{}` needs an input", draft.taker());
                report.add(&draft.at, code::MISSING_INPUT, message);
            }
            for name in names.filter(|_| !takes_null) {
                self.add_missing(draft, name, &draft.at, report);
            }
            return;
        }
        let at = match draft.is_input_given {
            true => draft.input_at.clone(),
            false => draft.at.clone(),
        };
        self.check_given(&Given::of(input.node()), schema, &at, draft, report);
    }

    fn add_missing(&self, draft: &Draft, name: &str, at: &Pointer, report: &mut Report<'_>) {
        let message = format!("`{}` needs the input `{name}`", draft.taker());
        report.add(at, code::MISSING_INPUT, message);
    }

    /// Compares one part of an input with its schema. The recursion is as deep as the template.
    fn check_given(
        &self,
        given: &Given<'_>,
        schema: &Value,
        at: &Pointer,
        draft: &Draft,
        report: &mut Report<'_>,
    ) {
        if readable(schema).is_none() {
            return;
        }
        let (expected, found) =
            (Types::of_schema(schema), self.part_types(given, Holder::Input(draft)));
        if !expected.meets(found) {
            let message = format!("`{}` wants {expected} here, not {found}", draft.taker());
            report.add(at, code::TYPE_MISMATCH, message);
            return;
        }
        if let Given::Value(value) = given
            && rules_out(schema, value)
        {
            let (skill, value) = (draft.taker(), plain(value));
            let message =
                format!("`{skill}` wants one of {} here, not `{value}`", allowed_values(schema));
            report.add(at, code::NOT_IN_ENUM, message);
        }
        for (i, item) in given.items().into_iter().flatten().enumerate() {
            if let Part::Schema(schema) = items(schema) {
                self.check_given(&item, schema, &at.index(i), draft, report);
            }
        }
        let Some(entries) = given.entries() else { return };
        for name in required(schema) {
            if !entries.iter().any(|(key, _)| *key == name) {
                self.add_missing(draft, name, at, report);
            }
        }
        for (key, entry) in &entries {
            match property(schema, key) {
                Part::Schema(schema) => {
                    self.check_given(entry, schema, &at.key(key), draft, report);
                }
                Part::Refused => {
                    let message = format!("`{}` has no input `{key}`", draft.taker());
                    let known = property_names(schema);
                    report.unknown(&at.key(key), code::UNKNOWN_PROPERTY, message, key, known);
                }
                Part::Unknown => {}
            }
        }
    }

    fn part_types(&self, given: &Given<'_>, holder: Holder<'_>) -> Types {
        match given {
            Given::Value(value) => Types::of_value(value),
            Given::Node(Node::Literal(value)) => Types::of_value(value),
            Given::Node(Node::Text(_)) => Types::STRING,
            Given::Node(Node::List(_)) => Types::ARRAY,
            Given::Node(Node::Object(_)) => Types::OBJECT,
            // Where the path is wrong there is a finding already.
            Given::Node(Node::Whole(expression)) => self
                .promise(expression, holder)
                .map_or(Types::ANY, |promise| self.with_null(expression, promise.types())),
        }
    }

    /// Skipped and forgiven tasks leave `null` behind.
    fn with_null(&self, expression: &Expression, types: Types) -> Types {
        let task = expression.root().task().and_then(|name| self.draft(name));
        let may_be_null = task.is_some_and(|draft| {
            draft.spec.when.is_some()
                || draft.spec.on_failure == OnFailure::Continue
                || draft.spec.wait().is_some_and(|wait| wait.goes_on)
                || matches!(expression.root(), Root::Outputs(_) | Root::Error(_))
        });
        if may_be_null { types.or(Types::NULL) } else { types }
    }

    /// What is known of the value of an expression; else how far it leads, and why no further.
    fn promise(
        &self,
        expression: &Expression,
        holder: Holder<'_>,
    ) -> Result<Promise<'_>, (usize, String)> {
        let mut promise = self.root(expression.root(), holder);
        for (i, step) in expression.path().iter().enumerate() {
            promise = promise.step(step).map_err(|why| (i, why))?;
        }
        Ok(promise)
    }

    fn root(&self, root: &Root, holder: Holder<'_>) -> Promise<'_> {
        match root {
            Root::Input => Promise::Value(self.input_schema.into_iter().collect()),
            Root::Index => Promise::Types(Types::INTEGER),
            Root::Error(_) => Promise::Types(Types::OBJECT.or(Types::NULL)),
            Root::Item => match holder {
                Holder::Input(draft) => self.item(draft),
                Holder::Over | Holder::Output => Promise::UNKNOWN,
            },
            Root::Outputs(name) => {
                self.draft(name).map_or(Promise::UNKNOWN, |draft| Promise::List(schemas(draft)))
            }
            Root::Output(name) => match self.draft(name) {
                // Either output may stand there, or a list that is not kept.
                Some(draft) if draft.fallback.is_some() => Promise::UNKNOWN,
                Some(draft) => match &draft.spec.shape {
                    Shape::Map(map) if map.collect => Promise::List(schemas(draft)),
                    Shape::Map(_) => Promise::UNKNOWN,
                    Shape::Wait(_) if draft.spec.signal().is_none() => Promise::Types(Types::NULL),
                    Shape::Single | Shape::Reduce(_) | Shape::Wait(_) | Shape::Child(_) => {
                        Promise::Value(schemas(draft))
                    }
                },
                None => Promise::UNKNOWN,
            },
        }
    }

    /// What is known of the items of a map's list. A list out of another map's items is followed
    /// no further: `over` has no item itself.
    fn item(&self, draft: &Draft) -> Promise<'_> {
        let over = draft.over.as_ref().and_then(Template::as_expression);
        let Some(over) = over else { return Promise::UNKNOWN };
        let list = self.promise(over, Holder::Output).unwrap_or(Promise::UNKNOWN);
        list.items()
    }

    fn draft(&self, name: &str) -> Option<&'d Draft> {
        self.names.node(name).and_then(|node| self.drafts.get(node as usize))
    }
}

/// What the output of a task, or of each child of a map, has to meet.
fn schemas(draft: &Draft) -> Vec<&Value> {
    let skill = draft.skill.as_ref().and_then(|skill| skill.output_schema.as_ref());
    skill.into_iter().chain(draft.output_schema.as_ref()).collect()
}

/// A part of an input: with references in it, or a literal.
enum Given<'g> {
    Node(&'g Node),
    Value(&'g Value),
}

impl<'g> Given<'g> {
    fn of(node: &'g Node) -> Self {
        match node {
            Node::Literal(value) => Given::Value(value),
            other => Given::Node(other),
        }
    }

    fn items(&self) -> Option<Vec<Given<'g>>> {
        match self {
            Given::Value(Value::Array(list)) => Some(list.iter().map(Given::Value).collect()),
            Given::Node(Node::List(nodes)) => Some(nodes.iter().map(Given::of).collect()),
            _ => None,
        }
    }

    fn entries(&self) -> Option<Vec<(&'g str, Given<'g>)>> {
        match self {
            Given::Value(Value::Object(map)) => {
                Some(map.iter().map(|(key, value)| (key.as_str(), Given::Value(value))).collect())
            }
            Given::Node(Node::Object(nodes)) => {
                Some(nodes.iter().map(|(key, node)| (key.as_str(), Given::of(node))).collect())
            }
            _ => None,
        }
    }
}
