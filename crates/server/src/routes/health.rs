//! `/health`: bare for probes, in full for those who may ask.

use std::time::Duration;

use ark_os_api::{Bare, Health, Lag, Problem};
use ark_os_core::event::Intake;
use axum::extract::State;
use axum::http::StatusCode;

use super::json;
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::words;

/// How long the loop may take to answer before the instance is not ready.
const READY_PATIENCE: Duration = Duration::from_secs(2);

fn ok() -> Bare {
    Bare { status: "ok".to_owned() }
}

/// Whether the process answers at all.
#[utoipa::path(
    get, path = "/api/v1/health/live", tag = "health", security(()),
    responses((status = 200, description = "It does", body = Bare)),
)]
pub(super) async fn live() -> Answered {
    Ok(json(StatusCode::OK, &ok()))
}

/// Whether it takes work: the loop answers durably, nobody is shutting it down, and no emergency
/// measure keeps new runs out.
#[utoipa::path(
    get, path = "/api/v1/health/ready", tag = "health", security(()),
    responses(
        (status = 200, description = "It does", body = Bare),
        (status = 429, description = "`overloaded`: too much waits", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`draining`, `intake_frozen`, `instance_stopped`, `not_ready`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ready(State(context): State<Context>) -> Answered {
    let clock = context.clock();
    let look = context.handle().read(move |kernel| {
        let state = kernel.state();
        let frozen = state.supervision().freeze().map(|freeze| freeze.until);
        (state.intake(), frozen.map(|until| until.0.saturating_sub(clock.now().0)))
    });
    match tokio::time::timeout(READY_PATIENCE, look).await {
        Ok(Ok((Intake::Draining, _))) => Err(Refusal::new("draining", "not ready")),
        Ok(Ok((Intake::Open, Some(ms)))) => Err(frozen(ms)),
        Ok(Ok((Intake::Open, None))) => Ok(json(StatusCode::OK, &ok())),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(late()),
    }
}

/// Whoever asks may be anybody: what people wrote about it is for others.
fn frozen(ms: u64) -> Refusal {
    Refusal::new("intake_frozen", "not ready: an emergency measure keeps new runs out")
        .hint("`ark-os emergency list` shows why and until when")
        .retry_in(ms)
}

fn late() -> Refusal {
    let seconds = READY_PATIENCE.as_secs();
    Refusal::new("not_ready", format!("the instance did not answer within {seconds} s"))
        .hint("its disk may be slow, or it recovers many runs: `/api/v1/metrics` tells")
}

/// How the instance is.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "health",
    responses((status = 200, description = "How it is", body = Health)),
)]
pub(super) async fn show_health(State(context): State<Context>) -> Answered {
    let position = *context.handle().viewed().borrow();
    let unhealthy = context.checks().unhealthy();
    let seen = context.handle().read(move |kernel| {
        let state = kernel.state();
        let empty = state.fleet().empty_layer();
        let status = words::status(state, empty.is_some() || !unhealthy.is_empty());
        Health {
            status: status.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: words::mode(state.mode()).to_owned(),
            agents: state.fleet().len(),
            empty_layer: empty.map(|layer| layer.to_string()),
            runs_live: state.live() as u64,
            epoch: state.epoch(),
            journal: kernel.synced(),
            views: Lag { position, behind: kernel.synced().saturating_sub(position) },
            unhealthy,
        }
    });
    Ok(json(StatusCode::OK, &seen.await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_core::Kind;
    use ark_os_runtime::RuntimeError;

    #[test]
    fn not_being_ready_says_why() {
        let overloaded = RuntimeError::new(Kind::Exhausted, "overloaded", "take more");
        let told = [Refusal::from(overloaded), late(), frozen(90_000)];
        let told: Vec<_> = told.iter().map(|it| (it.0.status, it.0.code.as_str())).collect();
        assert_eq!(told, [(429, "overloaded"), (503, "not_ready"), (503, "intake_frozen")]);
    }
}
