//! `/metrics`: as JSON under the API, as Prometheus text at the root.

use ark_os_api::MetricsView;
use axum::extract::State;
use axum::http::StatusCode;

use super::{json, with_type};
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::prometheus;

/// All metrics as JSON.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "metrics",
    responses((status = 200, description = "Counters, gauges and histograms", body = MetricsView)),
)]
pub(super) async fn show_metrics(State(context): State<Context>) -> Answered {
    Ok(json(StatusCode::OK, &prometheus::view(&context)))
}

/// All metrics as OpenMetrics text for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "metrics",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text")),
)]
pub(super) async fn scrape_metrics(State(context): State<Context>) -> Answered {
    let text = prometheus::text(&context)
        .map_err(|_| Refusal::new("internal", "the metrics could not be written"))?;
    Ok(with_type(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        text,
    ))
}
