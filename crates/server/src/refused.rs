//! Refusals that many routes have in common, as the description of the API names them.

use ark_os_api::Problem;
use utoipa::IntoResponses;

macro_rules! refused {
    ($($name:ident $status:literal $codes:literal;)*) => {$(
        #[derive(IntoResponses)]
        #[response(status = $status, description = $codes, content_type = "application/problem+json")]
        #[allow(dead_code, reason = "it describes what a `Refusal` of this code looks like")]
        pub(crate) struct $name(Problem);
    )*};
}

refused! {
    NoAgent 404 "`agent_not_found`";
    NoCheckpoint 404 "`checkpoint_not_found`";
    NoDeployment 404 "`deployment_not_found`";
    NoEscalation 404 "`escalation_not_found`";
    NoRun 404 "`run_not_found`";
    NoSchedule 404 "`schedule_not_found`";
    NoTask 404 "`task_not_found`";
    NoWorker 404 "`worker_not_found`: register again";
    AgentQuarantined 409 "`agent_quarantined`";
    BodyTooLarge 413 "`body_too_large`";
    IntakeClosed 503 "`intake_frozen`, `draining`, `instance_stopped`";
    KeyReused 409 "`key_reused`";
    MessageDenied 403 "`message_denied`";
    NotOfCecca 403 "`layer_exceeded`: the seat is not of CECCA";
    Overloaded 429 "`overloaded`; see `Retry-After`";
    RunOver 409 "`run_over`";
    WorkerFenced 409 "`worker_fenced`: another process is the worker";
}
