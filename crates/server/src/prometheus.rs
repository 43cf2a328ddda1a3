//! The runtime's atomics and the server's counters as metrics: Prometheus text and JSON.

use ark_os_api::{Bucket, HistogramView, MetricsView};
use ark_os_runtime::messages::MessageCounts;
use ark_os_runtime::metrics::{LATENCY_BOUNDS_US, Latency, Metrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::context::Context;

/// Name, help, value.
pub(crate) type Number = (&'static str, &'static str, u64);

pub(crate) fn counters(context: &Context) -> Vec<Number> {
    let it = context.handle().metrics();
    let messages = message_counters(&context.handle().messages().counts());
    let mut numbers = vec![
        ("agent_requests", "Attempts started", it.attempts.value()),
        ("agent_errors", "Attempts that ended without success", it.attempts_failed.value()),
        ("ark_os_tasks_succeeded", "Tasks that succeeded", it.tasks_succeeded.value()),
        ("ark_os_attempts_lost", "Attempts lost to an agent's death", it.attempts_lost.value()),
        ("ark_os_results_refused", "Results refused", it.refused.value()),
        ("ark_os_agent_restarts", "Agents restarted or replaced", it.agent_restarts.value()),
        (
            "ark_os_threads_abandoned",
            "Threads given up because their attempt hung",
            it.threads_abandoned.value(),
        ),
        ("ark_os_runs_accepted", "Runs accepted", it.runs_accepted.value()),
        ("ark_os_runs_succeeded", "Runs that succeeded", it.runs_succeeded.value()),
        ("ark_os_runs_failed", "Runs that failed", it.runs_failed.value()),
        ("ark_os_runs_cancelled", "Runs that were cancelled", it.runs_cancelled.value()),
        (
            "ark_os_overloaded",
            "Requests turned away because too many waited",
            it.overloaded.value(),
        ),
        ("ark_os_journal_records", "Records appended", it.journal_records.value()),
        ("ark_os_journal_bytes", "Bytes appended", it.journal_bytes.value()),
        ("ark_os_journal_batches", "Batches synced", it.journal_batches.value()),
        ("ark_os_journal_checkpoints", "Checkpoints signed", it.journal_checkpoints.value()),
        ("ark_os_snapshots", "Snapshots written", it.snapshots.value()),
        ("ark_os_segments_archived", "Segments archived", it.segments_archived.value()),
        (
            "ark_os_keeper_failures",
            "Snapshots, tiles and archivings that failed and are tried again",
            it.keeper_failures.value(),
        ),
        ("ark_os_batch_lines", "Lines of batches answered", context.counters().line_count()),
    ];
    numbers.extend(messages);
    numbers
}

fn message_counters(it: &MessageCounts) -> [Number; 10] {
    let tally = it.tally;
    [
        ("ark_os_messages_sent", "Messages accepted from their senders", it.sent),
        ("ark_os_messages_delivered", "Copies put into mailboxes", tally.delivered),
        ("ark_os_messages_taken", "Copies taken out by their addressees", tally.taken),
        (
            "ark_os_messages_dropped_oldest",
            "Copies dropped to make room for newer ones",
            tally.dropped_oldest,
        ),
        ("ark_os_messages_dropped_newest", "Copies dropped for want of room", tally.dropped_newest),
        ("ark_os_messages_pushed_back", "Copies that their senders kept", tally.pushed_back),
        ("ark_os_messages_expired", "Copies over before anybody took them", tally.expired),
        ("ark_os_messages_denied", "Messages refused for want of authority", it.denied),
        ("ark_os_messages_unclaimed", "Answers that nobody waited for any more", it.unclaimed),
        ("ark_os_messages_unanswered", "Requests not answered in time", it.unanswered),
    ]
}

/// Answers by class, such as `2xx`.
const HTTP_REQUESTS: &str = "ark_os_http_requests";

fn gauges(context: &Context) -> Vec<Number> {
    let it = context.handle().metrics();
    let messages = context.handle().messages().counts();
    let (synced, shown) = (it.journal_synced.value(), it.views_position.value());
    vec![
        ("ark_os_agents", "Agents", it.agents.value()),
        (
            "ark_os_agents_unhealthy",
            "Declared agents, groups of them and skills whose work cannot be had",
            context.checks().unhealthy().len() as u64,
        ),
        ("ark_os_runs_live", "Runs not over", it.runs_live.value()),
        ("ark_os_runs_waiting", "Of those, runs that wait on disk", it.runs_waiting.value()),
        ("ark_os_tasks_ready", "Tasks that wait for an agent", it.tasks_ready.value()),
        ("ark_os_tokens_in_use", "Progress tokens in use", it.tokens_in_use.value()),
        ("ark_os_tokens_capacity", "Progress tokens in all", it.tokens_capacity.value()),
        ("ark_os_journal_synced", "Newest durable record", synced),
        ("ark_os_views_position", "Newest record that the views show", shown),
        (
            "ark_os_views_lag",
            "Durable records that the views do not show yet",
            synced.saturating_sub(shown),
        ),
        ("ark_os_snapshot_bytes", "Bytes of the newest snapshot", it.snapshot_bytes.value()),
        (
            "ark_os_snapshot_lag",
            "Durable records that the newest snapshot does not cover: what a start replays",
            synced.saturating_sub(it.snapshot_position.value()),
        ),
        ("ark_os_http_connections", "Connections open", context.counters().connection_count()),
        ("ark_os_messages_waiting", "Messages in mailboxes", messages.waiting),
        ("ark_os_mailboxes", "Mailboxes with something in them, or waited at", messages.mailboxes),
    ]
}

fn histograms(metrics: &Metrics) -> [(&'static str, &'static str, &Latency); 2] {
    [
        ("agent_latency_seconds", "How long attempts took", &metrics.attempt),
        ("ark_os_commit_seconds", "How long batches took to become durable", &metrics.commit),
    ]
}

/// All of them as JSON. Counters have the names that Prometheus sees.
pub(crate) fn view(context: &Context) -> MetricsView {
    let total = |(name, _, value): Number| (format!("{name}_total"), value);
    let plain = |(name, _, value): Number| (name.to_owned(), value);
    let by_class = context.counters().by_class();
    let by_class = by_class
        .map(|(class, count)| (format!("{HTTP_REQUESTS}_total{{class=\"{class}xx\"}}"), count));
    MetricsView {
        counters: counters(context).into_iter().map(total).chain(by_class).collect(),
        gauges: gauges(context).into_iter().map(plain).collect(),
        histograms: histograms(context.handle().metrics())
            .into_iter()
            .map(|(name, _, latency)| (name.to_owned(), histogram(latency)))
            .collect(),
    }
}

fn histogram(latency: &Latency) -> HistogramView {
    histogram_of(&latency.counts(), latency.sum_us())
}

/// A histogram of these counts over [`LATENCY_BOUNDS_US`].
pub(crate) fn histogram_of(counts: &[u64], sum_us: u64) -> HistogramView {
    let count: u64 = counts.iter().sum();
    let buckets = LATENCY_BOUNDS_US.into_iter().zip(counts).map(|(bound, count)| Bucket {
        le_us: (bound != u64::MAX).then_some(bound),
        count: *count,
    });
    let quantile = |per_cent: u64| {
        let rank = (count * per_cent).div_ceil(100);
        let mut seen = 0;
        let found = LATENCY_BOUNDS_US.into_iter().zip(counts).find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        match found {
            Some((bound, _)) if count > 0 => (bound != u64::MAX).then_some(bound),
            _ => Some(0),
        }
    };
    HistogramView {
        count,
        sum_us,
        p50_us: quantile(50),
        p95_us: quantile(95),
        p99_us: quantile(99),
        buckets: buckets.collect(),
    }
}

/// All of them as OpenMetrics text.
pub(crate) fn text(context: &Context) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Numbers(context.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Numbers(Context);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in counters(&self.0) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let help = "HTTP requests by class of their answer";
        let mut family =
            encoder.encode_descriptor(HTTP_REQUESTS, help, None, MetricType::Counter)?;
        for (class, count) in self.0.counters().by_class() {
            let labels = [("class", format!("{class}xx"))];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        for (name, help, value) in gauges(&self.0) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, latency) in histograms(self.0.handle().metrics()) {
            let counts = latency.counts();
            let buckets: Vec<(f64, u64)> =
                LATENCY_BOUNDS_US.into_iter().map(seconds).zip(counts.iter().copied()).collect();
            encoder
                .encode_descriptor(name, help, None, MetricType::Histogram)?
                .encode_histogram::<NoLabelSet>(
                    seconds(latency.sum_us()),
                    counts.iter().sum(),
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }
}

fn seconds(us: u64) -> f64 {
    if us == u64::MAX { f64::INFINITY } else { us as f64 / 1e6 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_quantile_beyond_the_last_bound_is_null() {
        let latency = Latency::default();
        assert_eq!(histogram(&latency).p99_us, Some(0));
        latency.observe(Duration::from_micros(90));
        latency.observe(Duration::from_secs(60));
        let view = histogram(&latency);
        assert_eq!((view.p50_us, view.p99_us), (Some(100), None));
        assert_eq!(serde_json::to_value(view).unwrap()["p99_us"], serde_json::Value::Null);
    }
}
