//! The input of an attempt: as the plan has it, the run's own, or resolved from references.

use std::sync::Arc;

use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::TaskRef;
use ark_os_core::payload::Payload;
use ark_os_core::plan::InputForm;
use ark_os_core::run::Run;

use super::view::{Found, View};
use super::{DataError, Payloads};

/// The code of a failure to put the input of a task together.
const CODE: &str = "input_unresolved";

/// The input of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedInput {
    /// JSON text.
    pub json: Arc<[u8]>,
    /// Its SHA-256.
    pub hash: Hash,
}

/// The input of a task. The failure names the place in the template.
pub fn input_of(run: &Run, task: TaskRef, payloads: &Payloads) -> Result<ResolvedInput, Failure> {
    let Some(spec) = run.spec(task.node) else {
        return Err(Failure::fatal(CODE, format!("there is no task `{task}` in the plan")));
    };
    let what = || format!("input of task `{}`", spec.name);
    let of_data = |error: DataError| error.into_failure(CODE, &what());
    match spec.input_form {
        InputForm::Literal => Ok(hashed(Arc::clone(&spec.input.0))),
        InputForm::RunInput => loaded(&run.input, payloads).map_err(of_data),
        InputForm::Template => {
            let view = View { run, task: Some(task), payloads };
            match view.resolve(&spec.input, CODE, &what())? {
                Found::Payload(payload) => loaded(&payload, payloads).map_err(of_data),
                Found::Text(located) => Ok(hashed(located.text)),
            }
        }
    }
}

fn hashed(json: Arc<[u8]>) -> ResolvedInput {
    ResolvedInput { hash: Hash::of(&json), json }
}

fn loaded(payload: &Payload, payloads: &Payloads) -> Result<ResolvedInput, DataError> {
    Ok(ResolvedInput { json: payloads.load(payload)?, hash: payload.hash() })
}
