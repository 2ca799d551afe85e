//! How long a test waits for what must happen before it fails: long enough for a busy machine. Used by all
//! tests here; none of them asserts that something is fast.

use std::time::Duration;

/// The longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a poll rests between two looks at what nobody announces.
const REST: Duration = Duration::from_millis(20);

/// The result of `future`, which must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Looks until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(REST).await,
            }
        }
    })
    .await
}
