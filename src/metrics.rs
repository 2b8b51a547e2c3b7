//! What is counted and measured, under names that begin with `pymd_`.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::domain::Execution;
use crate::service::{RecordingStats, ServiceStats};

const HTTP_REQUESTS: &str = "pymd_http_requests_total";
const HTTP_DURATION: &str = "pymd_http_request_duration_seconds";
const EXECUTIONS: &str = "pymd_executions_total";
const EXECUTION_DURATION: &str = "pymd_execution_duration_seconds";
const FUEL: &str = "pymd_fuel_used_total";
const KERNELS_ALIVE: &str = "pymd_kernels_alive";
const KERNELS_READY: &str = "pymd_kernels_ready";
const RUNNING: &str = "pymd_executions_running";
const QUEUED: &str = "pymd_executions_queued";
const UNWRITTEN: &str = "pymd_executions_unwritten";
const UNRECORDED: &str = "pymd_executions_unrecorded_total";
const OUTPUTS_UNRECORDED: &str = "pymd_execution_outputs_unrecorded_total";

/// Upper bounds in seconds: from a cached answer to a cell at its deadline.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 300.0];

/// How often what was measured is put into its buckets, where nobody reads it meanwhile.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why nothing can be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot set up the metrics: {reason}")]
pub struct MetricsError {
    /// What failed.
    reason: String,
}

/// What was measured in this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts measuring: once a process, however often it is called.
    ///
    /// # Errors
    /// Somebody else measures in this process.
    pub fn install() -> Result<Self, MetricsError> {
        static INSTALLED: OnceLock<Result<PrometheusHandle, MetricsError>> = OnceLock::new();
        INSTALLED.get_or_init(install).clone().map(Self)
    }

    /// Everything in Prometheus' text format, with the gauges as they are now.
    pub fn render(&self, stats: ServiceStats, recording: RecordingStats) -> String {
        gauge!(KERNELS_ALIVE).set(as_f64(stats.kernels));
        gauge!(KERNELS_READY).set(as_f64(stats.ready_kernels));
        gauge!(RUNNING).set(as_f64(stats.running));
        gauge!(QUEUED).set(as_f64(stats.queued));
        gauge!(UNWRITTEN).set(as_f64(usize::try_from(recording.queued).unwrap_or(usize::MAX)));
        counter!(UNRECORDED).absolute(recording.dropped);
        counter!(OUTPUTS_UNRECORDED).absolute(recording.without_outputs);
        self.0.render()
    }

    /// Keeps what was measured small; never ends.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

fn install() -> Result<PrometheusHandle, MetricsError> {
    let refuse = |reason: String| MetricsError { reason };
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &DURATION_BUCKETS)
        .map_err(|error| refuse(error.to_string()))?
        .install_recorder()
        .map_err(|error| refuse(error.to_string()))?;
    describe_counter!(HTTP_REQUESTS, "Requests by route, method and status");
    describe_histogram!(HTTP_DURATION, "Seconds from a request's head to its answer's head");
    describe_counter!(EXECUTIONS, "Cells by how they ended");
    describe_histogram!(EXECUTION_DURATION, "Seconds that cells took");
    describe_counter!(FUEL, "Fuel that cells burnt");
    describe_gauge!(KERNELS_ALIVE, "Kernels with memory that belong to a request");
    describe_gauge!(KERNELS_READY, "Kernels that wait for a request");
    describe_gauge!(RUNNING, "Requests that run code");
    describe_gauge!(UNWRITTEN, "Cells that ran and are not in the history yet");
    describe_counter!(UNRECORDED, "Cells that were left out of the history");
    describe_counter!(OUTPUTS_UNRECORDED, "Cells whose outputs were left out of the history");
    describe_gauge!(QUEUED, "Requests that wait until they may run code");
    Ok(handle)
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory stay far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

/// A request was answered. `route` is the template, so that the number of series is bounded.
pub fn http_request(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(HTTP_REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string()).increment(1);
    histogram!(HTTP_DURATION, "route" => route, "method" => method).record(took);
}

/// A cell ended, or was given up, because the client went away or the server stops.
pub fn cell_ended(execution: &Execution) {
    counter!(EXECUTIONS, "outcome" => execution.outcome.kind.as_str()).increment(1);
    counter!(FUEL).increment(execution.fuel_used);
    histogram!(EXECUTION_DURATION).record(execution.wall_ms / 1000.0);
}
