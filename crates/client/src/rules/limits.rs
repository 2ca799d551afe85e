//! Every cap and span of the client's rules, with its default and what happens at it. Given to
//! [`Session::new`](super::Session::new).

use std::time::Duration;

/// The caps and spans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Publishes that are not answered yet, sent or not (1,024). One more is refused with
    /// [`QueueFull`](super::PublishError::QueueFull).
    pub publishes: usize,
    /// Publishes that are under way at a time (64, as many as a server takes). Further ones wait in the queue.
    pub publishes_in_flight: usize,
    /// How long a publish may wait for its answer (10 min, so that its key is remembered wherever it was sent to). Then
    /// it ends with [`Expired`](super::PublishError::Expired).
    pub publish_age: Duration,
    /// Own publications that are remembered after their acknowledgement, to be published again after a rewind (100).
    /// The oldest are forgotten.
    pub acknowledged: usize,
    /// Requests for pages that are not answered yet (64). One more is refused with
    /// [`QueueFull`](super::RequestError::QueueFull).
    pub requests: usize,
    /// Messages of one channel that wait for those before them (1,024). The newest are dropped and fetched later.
    pub ahead: usize,
    /// Messages of one page that fills a gap (500).
    pub fill_page: u32,
    /// The longest gap that is filled after an absence (500 messages). What lies before a longer one is skipped, and told
    /// as [`Missed`](super::Notice::Missed).
    pub fill: u64,
    /// The cap of the first wait before a reconnect, doubled with each failure in a row (0.5 s).
    pub backoff_first: Duration,
    /// The highest cap of these waits (20 s).
    pub backoff_max: Duration,
    /// How long a session must have lived to count as a good one (5 s).
    pub good_after: Duration,
    /// The longest `retry` of a server that is obeyed (5 min). More is cut to it.
    pub retry_max: Duration,
    /// How long the server may take from the open line to `welcome`, and to answer a probe (10 s). Then the line counts
    /// as lost.
    pub answer: Duration,
    /// Bytes of one `connect` that names channels to be resumed (48 KiB). Further ones are subscribed to one by one.
    pub connect_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publishes: 1_024,
            publishes_in_flight: 64,
            publish_age: Duration::from_secs(600),
            acknowledged: 100,
            requests: 64,
            ahead: 1_024,
            fill_page: 500,
            fill: 500,
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(20),
            good_after: Duration::from_secs(5),
            retry_max: Duration::from_secs(300),
            answer: Duration::from_secs(10),
            connect_bytes: 48 << 10,
        }
    }
}
