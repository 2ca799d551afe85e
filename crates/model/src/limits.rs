//! Every named cap of the hub and the node, with its default and what happens at it.

use std::time::Duration;

use crate::Rate;

/// The caps. All are on by default; each says what happens when it is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections of this server, WebSocket and HTTP together (15,000). One more is answered with HTTP
    /// 503 and closed.
    pub connections: usize,
    /// How many connections the server takes per second after a restart (2,000). Clients are told to spread
    /// their first retry over the time that all of them need at this rate.
    pub accept_rate: u32,
    /// Subscriptions of one session (128). One more is answered with `limit_exceeded`.
    pub subscriptions: usize,
    /// Commands of one session that wait for their answer (64). Further ones wait unread in the socket.
    pub commands_in_flight: usize,
    /// How often a connection may send a command (1,000 per second, and 2,000 at once). One more is answered with
    /// `rate_limited` and `retry`, and nothing else comes of it; a plain room is closed with 4500. `None`: as often as it
    /// likes.
    pub command_rate: Option<Rate>,
    /// Publications of one worker that wait for the store (16,384). One more is refused with
    /// `not_available` and `retry`; nothing is stored.
    pub appends_in_flight: usize,
    /// Publications that wait for one channel to be opened (256). One more is refused likewise.
    pub channel_waiting: usize,
    /// Reads of one worker from the store at a time (64). Further ones wait their turn in the hub.
    pub reads_in_flight: usize,
    /// Channels whose state one worker holds (100,000). Beyond it idle ones are let go; if none is idle,
    /// `limit_exceeded`.
    pub channels: usize,
    /// Entries of one `map` (10,000). A publish that would add one more is answered with `limit_exceeded`.
    pub entries: usize,
    /// Bytes of all entries of one `value` or `map` (1 MiB, counted as
    /// [`Publication::cost`](crate::Publication::cost)). A publish that would take it above is answered with
    /// `limit_exceeded`.
    pub entries_bytes: usize,
    /// Calls of the application (`rpc`) of one worker at a time (1,024). One more is refused with `not_available` and
    /// `retry`, and the application is not asked.
    pub calls: usize,
    /// How long the application may take to answer one (10 s). Then `timeout`, its answer is not waited for any more,
    /// and whether it was done stays open.
    pub call_timeout: Duration,
    /// The largest answer of the application, in bytes (64 KiB). A larger one is answered with `internal`.
    pub call_answer_max: usize,
    /// Bytes of publications that one worker keeps in memory, counted as
    /// [`Publication::weight`](crate::Publication::weight) (128 MiB). Beyond it the oldest of the largest logs are let go,
    /// and are read from the store again when somebody asks for them. What `value` and `map` channels that are in use
    /// hold cannot be let go: where that is more than half of it, publishes to them, and opening one more, are refused
    /// with `limit_exceeded` and `retry`.
    pub hot_bytes: usize,
    /// How long an unused channel's hot ring stays in memory (60 s).
    pub channel_idle: Duration,
    /// Items of one history page (1,000); more asked for is answered with `bad_request`.
    pub history_page: u32,
    /// Bytes of one history page (1 MiB): the page ends early, `more` is true, and it holds at least one.
    pub history_page_bytes: usize,
    /// Items of a history page when none are asked for (50).
    pub history_page_default: u32,
    /// Bytes that wait in one connection's outbox (4 MiB). Above half of it the connection is not read and its
    /// subscriptions are pushed nothing: a log goes on from its place when a quarter is left, of signals the oldest make
    /// room. A client that reaches it with answers to its own commands, though the socket was offered everything first,
    /// is closed with 4508.
    pub outbox_bytes: usize,
    /// Messages that wait in the queue from one worker to another (4,096). Commands that do not fit stay
    /// in their connection; broadcasts that do not fit are read again when there is room.
    pub queue: usize,
    /// The largest state of a member of a channel's presence, in bytes (1 KiB). A larger one is answered with `too_large`.
    pub presence_state: usize,
    /// How often the changes of one channel's presence are told at most (250 ms). Those in between are told together.
    pub presence_interval: Duration,
    /// Bytes of presence that one subscriber is told of one channel per second, lists that it asked for aside (16 KiB,
    /// and as much at once after a quiet time). What is more is told later, by then the newest of it.
    pub presence_bytes_per_second: usize,
    /// Up to how many members a channel's presence names them (1,000). Above it only their number is told.
    pub presence_members_told: usize,
    /// The largest WebSocket message that may arrive on `/ws`, in bytes (64 KiB). Above it 1009.
    pub frame_size_max: usize,
    /// The largest message of `/echo`, in bytes (16 MiB). Above it 1009.
    pub echo_size_max: usize,
    /// The largest message to a client that is compressed, in bytes (256 KiB): a worker has better to do than to
    /// compress more at a time. Larger ones are sent as they are.
    pub deflate_size_max: usize,
    /// Bytes of messages that a connection is served out of one read (1 MiB), compressed ones counted as they come
    /// out: 64 KiB can become 64 MiB. The rest waits in memory for the next turn, and nothing more is read till then.
    pub served_per_read: usize,
    /// How often an idle connection is pinged (25 s). One that answers nothing for twice as long is
    /// closed.
    pub ping_interval: Duration,
    /// How long a client may take until its first command (300 s; 10 s where nobody is let in without a token). Then its
    /// connection is closed with 4401.
    pub first_command: Duration,
    /// How long a TLS handshake may take, with the PROXY header before it, and again a request head (10 s). Then the
    /// connection is closed.
    pub handshake_timeout: Duration,
    /// How long the other side may take to answer a close frame (5 s). Then TCP is closed.
    pub close_timeout: Duration,
    /// How long a client may take no byte of what waits for it (30 s). Then the connection is dropped.
    pub write_timeout: Duration,
    /// How long the server waits at its end for what is in flight (5 s).
    pub shutdown_timeout: Duration,
    /// The largest body of an HTTP request, in bytes (64 KiB). Above it 413.
    pub http_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 15_000,
            accept_rate: 2_000,
            subscriptions: 128,
            commands_in_flight: 64,
            command_rate: Some(Rate { interval: Duration::from_millis(1), burst: 2_000 }),
            appends_in_flight: 16_384,
            channel_waiting: 256,
            reads_in_flight: 64,
            channels: 100_000,
            entries: 10_000,
            entries_bytes: 1 << 20,
            calls: 1_024,
            call_timeout: Duration::from_secs(10),
            call_answer_max: 64 << 10,
            hot_bytes: 128 << 20,
            channel_idle: Duration::from_secs(60),
            history_page: 1_000,
            history_page_bytes: 1 << 20,
            history_page_default: 50,
            outbox_bytes: 4 << 20,
            queue: 4_096,
            presence_state: 1 << 10,
            presence_interval: Duration::from_millis(250),
            presence_bytes_per_second: 16 << 10,
            presence_members_told: 1_000,
            frame_size_max: 64 << 10,
            echo_size_max: 16 << 20,
            deflate_size_max: 256 << 10,
            served_per_read: 1 << 20,
            ping_interval: Duration::from_secs(25),
            first_command: Duration::from_secs(300),
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
            http_body: 64 << 10,
        }
    }
}
