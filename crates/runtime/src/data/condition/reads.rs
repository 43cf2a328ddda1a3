//! What a condition reads and how much work it is, told from its expression alone; and all that
//! a condition may not be.

use ark_os_core::manifest::Root;
use ark_os_core::text::Text;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

/// Levels of an expression: the interpreter goes down by recursion.
const DEPTH_MAX: usize = 64;
/// Operators, functions and what the macros turn into. Everything else is refused, so that no
/// release of the interpreter brings in a function that was not weighed.
const FUNCTIONS: [&str; 30] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "type",
    "dyn",
];
/// Names of types, which are values to `type(x) == int`.
const TYPES: [&str; 8] = ["int", "uint", "double", "string", "bool", "list", "map", "null_type"];

/// Where a path starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// As in a template.
    Root(Root),
    /// The state of this task, as people see it.
    State(Text),
}

/// A value that a condition names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Path {
    pub(super) source: Source,
    pub(super) keys: Vec<String>,
}

/// What a condition reads, and the parts of its work.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Each path once.
    pub(super) paths: Vec<Path>,
    once: Work,
    loops: Vec<Work>,
}

/// Work of one body, or of everything outside of loops.
#[derive(Debug, Default)]
struct Work {
    nodes: usize,
    /// Additions copy what they add up, and sums of sums copy it again.
    adds: usize,
    /// Additions in what a loop goes over.
    range_adds: usize,
    /// Which paths are read, each time that one is.
    reads: Vec<usize>,
}

impl Reads {
    /// Looks an expression over.
    pub(super) fn of(expression: &IdedExpr) -> Result<Reads, String> {
        if depth(expression) > DEPTH_MAX {
            return Err(format!("a condition has at most {DEPTH_MAX} levels"));
        }
        let mut reader = Reader { reads: Reads::default(), work: Work::default(), locals: vec![] };
        reader.visit(expression, Position::Plain)?;
        reader.reads.once = reader.work;
        Ok(reader.reads)
    }

    /// The most that an evaluation can cost, for paths of so many units each, where the longest
    /// list or object has so many items.
    pub(super) fn cost(&self, units: &[usize], longest: usize) -> usize {
        let total: usize = units.iter().fold(0, |sum, units| sum.saturating_add(*units));
        let read = |work: &Work| {
            let units = work.reads.iter().filter_map(|ix| units.get(*ix));
            units.fold(0usize, |sum, units| sum.saturating_add(*units))
        };
        let once = read(&self.once).saturating_mul(1 + self.once.adds);
        let mut cost = once.saturating_add(self.once.nodes);
        for work in &self.loops {
            let turns = longest.max(self.once.nodes).saturating_mul(1 + work.range_adds);
            // Values of the loop's own variable are all of the data together, at most.
            let own = total.saturating_mul(1 + work.adds).saturating_mul(1 + work.range_adds);
            let others = read(work).saturating_mul(1 + work.adds);
            let body = turns.saturating_mul(work.nodes.saturating_add(others));
            cost = cost.saturating_add(own).saturating_add(body);
        }
        cost
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Plain,
    /// The order of a list does not matter here: only its length, or whether something is in it.
    Unordered,
    /// In some part of a loop.
    Loop,
}

struct Reader<'e> {
    reads: Reads,
    work: Work,
    locals: Vec<&'e str>,
}

impl<'e> Reader<'e> {
    /// The recursion is as deep as the expression, which is limited.
    fn visit(&mut self, expr: &'e IdedExpr, position: Position) -> Result<(), String> {
        self.work.nodes += 1;
        if let Some((name, keys)) = path(expr)
            && !self.locals.contains(&name)
        {
            return self.read(name, &keys);
        }
        let below = if position == Position::Loop { Position::Loop } else { Position::Plain };
        match &expr.expr {
            Expr::Call(call) => self.call(call, below),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, position),
            Expr::Struct(_) => Err("a condition makes no messages".to_owned()),
            Expr::Unspecified => Err("a part of the condition is missing".to_owned()),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Select(_) | Expr::List(_) | Expr::Map(_) => {
                parts(&expr.expr).into_iter().try_for_each(|part| self.visit(part, below))
            }
        }
    }

    fn call(&mut self, call: &'e CallExpr, below: Position) -> Result<(), String> {
        let name = call.func_name.as_str();
        if !FUNCTIONS.contains(&name) {
            return Err(format!("there is no function `{name}` in conditions"));
        }
        self.work.adds += usize::from(name == operators::ADD);
        let is_unordered = below == Position::Plain && matches!(name, "size" | operators::IN);
        let inside = if is_unordered { Position::Unordered } else { below };
        let mut parts = call.target.iter().map(|target| &**target).chain(&call.args);
        parts.try_for_each(|part| self.visit(part, inside))
    }

    fn comprehension(
        &mut self,
        comprehension: &'e ComprehensionExpr,
        position: Position,
    ) -> Result<(), String> {
        if position == Position::Loop {
            return Err(
                "a loop (`all`, `exists`, `filter`, `map`) has no other loop in it".to_owned()
            );
        }
        // Properties of an object have no order: what is made of them must not depend on one.
        let makes_list = matches!(comprehension.accu_init.expr, Expr::List(_));
        if makes_list && position != Position::Unordered {
            return Err("a list made by `map` or `filter` is for `size(…)` or `in` only".to_owned());
        }
        let names = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref()];
        let names = names.into_iter().flatten().map(String::as_str);
        for name in names.clone() {
            if matches!(name, "input" | "tasks") || TYPES.contains(&name) {
                return Err(format!("`{name}` is not a name for the variable of a loop"));
            }
        }
        let adds_before = self.work.adds;
        self.visit(&comprehension.iter_range, Position::Loop)?;
        let range_adds = self.work.adds - adds_before;
        let once = std::mem::replace(&mut self.work, Work { range_adds, ..Work::default() });
        self.locals.extend(names.chain([comprehension.accu_var.as_str()]));
        for part in body(comprehension) {
            self.visit(part, Position::Loop)?;
        }
        self.locals.clear();
        self.reads.loops.push(std::mem::replace(&mut self.work, once));
        Ok(())
    }

    /// Notes a path that starts at a name which is no loop's.
    fn read(&mut self, name: &str, keys: &[&str]) -> Result<(), String> {
        if TYPES.contains(&name) && keys.is_empty() {
            return Ok(());
        }
        let path = match name {
            "input" => Path { source: Source::Root(Root::Input), keys: owned(keys) },
            "tasks" => of_task(keys)?,
            other => {
                return Err(format!("there is no `{other}`: conditions see `input` and `tasks`"));
            }
        };
        let known = self.reads.paths.iter().position(|known| *known == path);
        let ix = known.unwrap_or_else(|| {
            self.reads.paths.push(path);
            self.reads.paths.len() - 1
        });
        self.work.reads.push(ix);
        Ok(())
    }
}

fn of_task(keys: &[&str]) -> Result<Path, String> {
    let rule = "after `tasks.NAME` comes `.output`, `.outputs`, `.state` or `.error`";
    let [task, part, keys @ ..] = keys else { return Err(rule.to_owned()) };
    let task = Text::from(*task);
    let source = match *part {
        "output" => Source::Root(Root::Output(task)),
        "outputs" => Source::Root(Root::Outputs(task)),
        "error" => Source::Root(Root::Error(task)),
        "state" => Source::State(task),
        _ => return Err(rule.to_owned()),
    };
    Ok(Path { source, keys: owned(keys) })
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// The name that an expression starts with and the keys after it, if it is nothing else.
fn path(expr: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    let mut keys = Vec::new();
    let mut expr = expr;
    let mut is_outermost = true;
    loop {
        expr = match &expr.expr {
            Expr::Ident(name) => {
                keys.reverse();
                return Some((name, keys));
            }
            Expr::Select(select) if is_outermost || !select.test => {
                keys.push(select.field.as_str());
                &select.operand
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
                let [operand, index] = call.args.as_slice() else { return None };
                let Expr::Literal(LiteralValue::String(key)) = &index.expr else { return None };
                keys.push(key.inner());
                operand
            }
            _ => return None,
        };
        is_outermost = false;
    }
}

fn body(comprehension: &ComprehensionExpr) -> [&IdedExpr; 4] {
    let ComprehensionExpr { accu_init, loop_cond, loop_step, result, .. } = comprehension;
    [accu_init, loop_cond, loop_step, result]
}

fn parts(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Call(call) => call.target.iter().map(|it| &**it).chain(&call.args).collect(),
        Expr::Comprehension(comprehension) => {
            let mut parts = vec![&comprehension.iter_range];
            parts.extend(body(comprehension));
            parts
        }
        Expr::Map(map) => of_entries(map.entries.iter().map(|entry| &entry.expr)),
        Expr::Struct(it) => of_entries(it.entries.iter().map(|entry| &entry.expr)),
    }
}

fn of_entries<'e>(entries: impl Iterator<Item = &'e EntryExpr>) -> Vec<&'e IdedExpr> {
    let parts = entries.flat_map(|entry| match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    });
    parts.collect()
}

/// Levels of an expression, without recursion.
fn depth(expr: &IdedExpr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(expr, 1)];
    while let Some((expr, level)) = open.pop() {
        deepest = deepest.max(level);
        open.extend(parts(&expr.expr).into_iter().map(|part| (part, level + 1)));
    }
    deepest
}
