//! `/metrics`: what the node counts, and what the process has of the system, in the words of Prometheus (OpenMetrics 1.0).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use trunkline_node::{BUCKETS, Counts, Durations, Meters};

use crate::process;
use crate::tls::Tls;

/// What OpenMetrics is served as.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The classes of HTTP statuses.
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Where the numbers come from. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    meters: Meters,
    requests: Arc<[AtomicU64; STATUSES.len()]>,
    tls: Option<Arc<Tls>>,
    started: f64,
}

impl Metrics {
    pub(crate) fn of(meters: Meters, tls: Option<Arc<Tls>>) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { meters, requests: Arc::default(), tls, started: since_1970.as_secs_f64() }
    }

    /// The page.
    pub(crate) async fn page(self) -> Response {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        match text::encode(&mut page, &registry) {
            Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    /// Counts the request by how it is answered.
    pub(crate) async fn count(self, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        let class = usize::from(response.status().as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.requests.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        response
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.of_node(&self.meters.read())?;
        let requests =
            STATUSES.into_iter().zip(self.requests.iter().map(|count| count.load(Ordering::Relaxed)));
        page.counters(
            "trunkline_http_requests",
            "HTTP requests, by the class of their status.",
            "status",
            requests,
        )?;
        if let Some(end) = self.tls.as_ref().and_then(|tls| tls.end()) {
            page.gauge(
                "trunkline_certificate_expiry_timestamp_seconds",
                "When the certificate ends that new connections are shown, in seconds since 1970.",
                end,
            )?;
        }
        page.of_process(self.started)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn of_node(&mut self, counts: &Counts) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.0
            .encode_descriptor("trunkline_build", "Which version this is.", None, MetricType::Info)?
            .encode_info(&version)?;
        self.gauge("trunkline_connections", "Connections, WebSocket and HTTP.", counts.connections)?;
        self.gauges("trunkline_websockets", "WebSockets, by protocol.", "protocol", &counts.open)?;
        self.counters(
            "trunkline_websockets_opened",
            "WebSockets that were opened, by protocol.",
            "protocol",
            counts.opened.iter().copied(),
        )?;
        self.gauge("trunkline_subscriptions", "Subscriptions; looked at every 5 s.", counts.subscriptions)?;
        self.gauge(
            "trunkline_channels",
            "Channels whose state is in memory; looked at every 5 s.",
            counts.channels,
        )?;
        self.gauge(
            "trunkline_hot_bytes",
            "What these hold of publications; looked at every 5 s.",
            counts.hot_bytes,
        )?;
        self.counters(
            "trunkline_commands",
            "Commands of clients, by type.",
            "type",
            counts.commands.iter().copied(),
        )?;
        self.counters(
            "trunkline_errors",
            "Errors that clients were told, by code.",
            "code",
            counts.errors.iter().copied(),
        )?;
        let closes = counts.closes.iter().map(|(code, count)| (code.to_string(), *count));
        self.counters(
            "trunkline_closes",
            "WebSockets that the server closed, by close code.",
            "code",
            closes,
        )?;
        self.counters(
            "trunkline_refusals",
            "Those that were sent away before anything else was known of them, by reason.",
            "reason",
            counts.refusals.iter().copied(),
        )?;
        self.counter(
            "trunkline_deliveries",
            "Publications that went to subscribers, one each.",
            counts.deliveries,
        )?;
        self.counter("trunkline_received_bytes", "Bytes read from WebSockets.", counts.received_bytes)?;
        self.counter("trunkline_sent_bytes", "Bytes written to WebSockets.", counts.sent_bytes)?;
        self.histogram(
            "trunkline_append_duration_seconds",
            "From a publish being given to the store to its answer.",
            &counts.appends,
        )?;
        self.histogram(
            "trunkline_turn_duration_seconds",
            "A pass of a worker over all that there is to do; nothing else happens at that worker meanwhile.",
            &counts.turns,
        )
    }

    fn of_process(&mut self, started: f64) -> fmt::Result {
        if let Some(bytes) = process::resident_bytes() {
            self.gauge("process_resident_memory_bytes", "Memory of the process.", bytes)?;
        }
        if let Some(files) = process::open_files() {
            self.gauge("process_open_fds", "Files and sockets that the process has open.", files)?;
        }
        let help = "When the process was started, in seconds since 1970.";
        self.0
            .encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&started)?;
        let help = "CPU time of the process.";
        let mut metric = self.0.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, f64, f64>(&process::cpu_time().as_secs_f64(), None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&signed(value))
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(which, value)| {
            metric.encode_family(&[(label, *which)])?.encode_gauge(&signed(*value))
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (impl AsRef<str>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (which, value) in values {
            let labels = [(label, which.as_ref())];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, durations: &Durations) -> fmt::Result {
        let buckets: Vec<_> = BUCKETS.into_iter().zip(durations.buckets.iter().copied()).collect();
        let count = durations.buckets.iter().sum();
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(durations.sum, count, &buckets, None)
    }
}

/// Gauges are signed.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
