//! Settings and caps of one store. Filled in by the server from its configuration, and by tests.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use trunkline_backend::Retentions;
use trunkline_model::Timestamp;

/// Tells the time. Called on the writer's thread, once per append.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Settings and caps; each says what happens when it is reached.
#[derive(Clone)]
pub struct Options {
    /// The clock behind `ts` and the expiry of keys (the system's).
    pub clock: Clock,
    /// How much each namespace keeps (everything); [`SqliteStore::set_retentions`](crate::SqliteStore::set_retentions)
    /// changes it later.
    pub retentions: Retentions,
    /// Threads that answer `Head`, `Read` and `Locate`, each with a connection of its own (2; at least 1).
    pub readers: usize,
    /// Publications of one transaction (4,096). What waits beyond it goes into the next.
    pub transaction_publications: u32,
    /// Payload bytes of one transaction (8 MiB, or one publication). What waits beyond it goes into the
    /// next.
    pub transaction_bytes: usize,
    /// Pages that may wait in the write-ahead log before the writer copies them into the database (4,096
    /// of 8 KiB = 32 MiB; a page that was written often is copied once). That happens after the answers are
    /// given.
    pub checkpoint_pages: u32,
    /// Pages of the write-ahead log (16,384 of 8 KiB = 128 MiB). At the cap the writer waits for the readers
    /// to finish what they are reading, up to 5 s at a time, and empties it. Only one larger transaction
    /// makes it longer.
    pub wal_pages_max: u32,
    /// Channels whose heads the writer keeps in memory (100,000). Others are looked up again.
    pub heads: usize,
    /// Keys that are remembered (50,000,000: about 10 GB). At the cap a publication with a new key is refused
    /// ([`Refusal::TooManyKeys`](trunkline_backend::Refusal::TooManyKeys)) until some have expired; none is forgotten
    /// before its time.
    pub keys_max: u64,
    /// Bytes of the database file, rounded down to pages (`None`: as the disk allows). At the cap appends
    /// are answered with `NotStored`.
    pub size_max: Option<u64>,
    /// Up to this size the whole structure of the file is checked at opening (64 MiB, a tenth of a second); of a
    /// larger file only its newest entries are, so that opening does not take minutes.
    pub check_size_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(system_time),
            retentions: Retentions::default(),
            readers: 2,
            transaction_publications: 4_096,
            transaction_bytes: 8 << 20,
            checkpoint_pages: 4_096,
            wal_pages_max: 16_384,
            heads: 100_000,
            keys_max: 50_000_000,
            size_max: None,
            check_size_max: 64 << 20,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("retentions", &self.retentions)
            .field("readers", &self.readers)
            .field("transaction_publications", &self.transaction_publications)
            .field("transaction_bytes", &self.transaction_bytes)
            .field("checkpoint_pages", &self.checkpoint_pages)
            .field("wal_pages_max", &self.wal_pages_max)
            .field("heads", &self.heads)
            .field("keys_max", &self.keys_max)
            .field("size_max", &self.size_max)
            .field("check_size_max", &self.check_size_max)
            .finish_non_exhaustive()
    }
}

fn system_time() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
