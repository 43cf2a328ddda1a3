//! `/metrics`: as JSON under the API, as Prometheus text at the root; and what was, minute by minute.

use ark_os_api::{MetricsView, MinuteView, Page};
use axum::extract::State;
use axum::http::{StatusCode, Uri};

use super::{json, with_type};
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::prometheus;
use crate::query::{Paging, number_cursor, read};

/// All metrics as JSON.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "metrics",
    responses((status = 200, description = "Counters, gauges and histograms", body = MetricsView)),
)]
pub(super) async fn show_metrics(State(context): State<Context>) -> Answered {
    Ok(json(StatusCode::OK, &prometheus::view(&context)))
}

/// What came to pass in each minute since the start of the instance, oldest first, as long as it is kept.
#[utoipa::path(
    get, path = "/api/v1/metrics/history", tag = "metrics",
    params(Paging),
    responses((status = 200, description = "A page of minutes", body = Page<MinuteView>)),
)]
pub(super) async fn list_minutes(State(context): State<Context>, uri: Uri) -> Answered {
    let query: Paging = read(&uri)?;
    let after = number_cursor(query.cursor.as_deref())?;
    let page = context.samples().history(after.unwrap_or(0), query.limit.items());
    Ok(json(StatusCode::OK, &page))
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
