//! Conditions: CEL over the run's input and what its tasks came to, within a bounded cost.
//!
//! `input` is the run's input, `tasks.NAME` has `output`, `outputs`, `state` and `error`. Only
//! what a condition names is loaded and handed to the interpreter. What an evaluation can cost is
//! known before it begins, from the expression and the size of that data: loops stand side by
//! side, never one inside another, so the cost is their length times their body.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use ark_os_core::error::Failure;
use ark_os_core::manifest::CONDITION_BYTES_MAX;
use cel::{Context, Env, Program, Value};

use self::reads::Reads;
use self::values::Data;
use super::view::View;

mod reads;
mod values;

/// The code of a condition that could not be evaluated.
pub(super) const CODE: &str = "condition_failed";
/// Work of one evaluation: nodes visited and values touched, about 100 ns each, so a fifth of a
/// second for the worst condition that is accepted.
const COST_MAX: usize = 2_000_000;
/// Bytes of the message of a failed evaluation: the interpreter puts whole values into it.
const MESSAGE_BYTES_MAX: usize = 500;

/// The standard library without its optional values.
static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    program: Program,
    reads: Reads,
}

impl Condition {
    /// Compiles a condition, or says what is wrong with it.
    pub fn compile(cel: &str) -> Result<Condition, String> {
        if cel.len() > CONDITION_BYTES_MAX {
            return Err(format!("a condition has at most {CONDITION_BYTES_MAX} bytes"));
        }
        // The parser is foreign code that reads foreign text: its panic must stay an error.
        let program = catch_unwind(|| ENVIRONMENT.compile(cel))
            .map_err(|_| "the expression cannot be read".to_owned())?
            .map_err(|errors| cut(errors.to_string()))?;
        let reads = Reads::of(program.expression())?;
        Ok(Condition { program, reads })
    }

    /// Whether it holds for a run.
    pub(super) fn holds(&self, view: &View<'_>) -> Result<bool, Failure> {
        let data = Data::load(&self.reads, view)?;
        let cost = self.reads.cost(&data.units, data.longest);
        if cost > COST_MAX {
            let message = format!("the condition would cost {cost} units on this data");
            return Err(fatal(format!("{message}, the limit is {COST_MAX}")));
        }
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in data.variables {
            context.add_variable_from_value(name, value);
        }
        // As above: a panic of the interpreter is this task's failure, not the engine's end.
        match catch_unwind(AssertUnwindSafe(|| self.program.execute(&context))) {
            Ok(Ok(Value::Bool(holds))) => Ok(holds),
            Ok(Ok(other)) => {
                Err(fatal(format!("the condition gives {:?}, not a boolean", other.type_of())))
            }
            Ok(Err(error)) => Err(fatal(cut(format!("evaluate the condition: {error}")))),
            Err(_) => Err(fatal("the condition cannot be evaluated")),
        }
    }
}

fn fatal(message: impl Into<String>) -> Failure {
    Failure::fatal(CODE, message)
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    message
}
