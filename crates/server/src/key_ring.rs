//! The keys that tokens are verified with: those of the configuration, and those of a set that an identity provider
//! publishes (JWKS), which is fetched now and then, and when a token names a key that is not known.
//!
//! ```text
//!   door ──unknown key──▶ wanted ──▶ thread: fetch ──▶ verifier ──▶ door
//!                                     ▲ every so often        └─ it failed: the keys that were known stay
//! ```

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, Uri};
use tokio::sync::{Notify, watch};
use trunkline_auth::{Claims, Denied, Key, KeySet, Verifier};
use trunkline_model::{ErrorCode, Fault, Timestamp};

use crate::outgoing::{self, shown, whole};

/// The largest set that is read, in bytes.
const SET_MAX: usize = 256 << 10;
/// How long a provider may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a token waits for it at most.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long after a fetch no other is asked for, at most.
const REST: Duration = Duration::from_secs(10);
/// How long after one that failed the next is tried, if nothing asks for it before.
const RETRY: Duration = Duration::from_secs(10);

/// A set of keys that is fetched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JwksSettings {
    /// Where it is.
    pub(crate) url: Uri,
    /// How often it is fetched.
    pub(crate) refresh: Duration,
}

/// All keys there are.
pub(crate) struct KeyRing {
    verifier: RwLock<Arc<Verifier>>,
    /// What it is made of.
    sources: Mutex<Sources>,
    /// Whether there is a set to be fetched.
    fetches: bool,
    /// How long after a fetch unknown keys are just unknown: who invents names does not make us ask the provider.
    rest: Duration,
    wanted: Notify,
    state: Mutex<State>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

/// Where keys come from.
struct Sources {
    /// What is configured.
    configured: Verifier,
    /// Those of the set.
    fetched: Vec<Key>,
}

/// How fetching has gone.
#[derive(Clone, Copy, Default)]
struct State {
    /// When the last one ended.
    ended_at: Option<Instant>,
    /// Whether any has brought a set.
    has_set: bool,
}

impl KeyRing {
    /// Those of `verifier`, and of the set of `settings`, which a thread of its own fetches from now on.
    ///
    /// # Errors
    /// There can be no thread, or no trust in whoever is asked.
    pub(crate) fn start(verifier: Verifier, settings: Option<JwksSettings>) -> Result<Arc<Self>, String> {
        let ring = Arc::new(Self {
            verifier: RwLock::new(Arc::new(verifier.clone())),
            sources: Mutex::new(Sources { configured: verifier, fetched: Vec::new() }),
            fetches: settings.is_some(),
            rest: settings.as_ref().map_or(REST, |settings| REST.min(settings.refresh)),
            wanted: Notify::new(),
            state: Mutex::default(),
            ended: watch::Sender::new(0),
        });
        if let Some(settings) = settings {
            let client = outgoing::client(&settings.url, 0)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let (runtime, keeper) = (runtime.map_err(|error| error.to_string())?, Arc::clone(&ring));
            std::thread::Builder::new()
                .name("key-set".to_owned())
                .spawn(move || runtime.block_on(keeper.keep(&client, &settings)))
                .map_err(|error| error.to_string())?;
        }
        Ok(ring)
    }

    /// From now on these are the keys of the configuration, beside those of the set.
    pub(crate) fn configure(&self, configured: Verifier) {
        self.change(|sources| sources.configured = configured);
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let mut verifier = sources.configured.clone();
        verifier.keys.extend(sources.fetched.iter().cloned());
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(verifier);
    }

    /// Fetches the set again and again.
    async fn keep(&self, client: &outgoing::Client, settings: &JwksSettings) {
        loop {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch(client, &settings.url)).await;
            let fetched =
                fetched.unwrap_or_else(|_| Err(format!("no answer in {} s", FETCH_TIMEOUT.as_secs())));
            let succeeded = fetched.is_ok();
            match fetched {
                Ok(set) => {
                    tracing::debug!(
                        keys = set.keys.len(),
                        skipped = set.skipped,
                        "the set of keys was fetched"
                    );
                    self.change(|sources| sources.fetched = set.keys);
                }
                Err(error) => {
                    tracing::warn!(
                        url = shown(&settings.url.to_string()),
                        error,
                        "the set of keys could not be fetched; those that are known stay"
                    );
                }
            }
            let has_set = succeeded || self.state().has_set;
            let state = State { ended_at: Some(Instant::now()), has_set };
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
            self.ended.send_modify(|count| *count += 1);
            // Not more often, whoever asks. Those who have asked meanwhile were served by the one that has just ended.
            tokio::time::sleep(self.rest).await;
            let _ = tokio::time::timeout(Duration::ZERO, self.wanted.notified()).await;
            let until_next = if succeeded { settings.refresh } else { RETRY.min(settings.refresh) };
            let left = until_next.saturating_sub(self.rest);
            let _ = tokio::time::timeout(left, self.wanted.notified()).await;
        }
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Denied> {
        let verifier = Arc::clone(&self.verifier.read().unwrap_or_else(PoisonError::into_inner));
        verifier.verify(token, now)
    }

    /// What the token says, or `None` if that may be known when the set was fetched again.
    ///
    /// # Errors
    /// `unauthorized`, `token_expired`, or `not_available` as long as no set could be fetched.
    pub(crate) fn try_open(&self, token: &str, now: Timestamp) -> Option<Result<Claims, Fault>> {
        // Looked at first: what has come by then is what it is verified with.
        let rests = self.state().ended_at.and_then(|at| self.rest.checked_sub(at.elapsed()));
        match self.verify(token, now) {
            Err(denied) if self.fetches && depends_on_keys(&denied) => {
                rests.map(|left| Err(self.fault(denied, left)))
            }
            verified => Some(verified.map_err(|denied| self.fault(denied, RETRY))),
        }
    }

    /// The same, when the set was fetched again, or that has taken too long.
    pub(crate) async fn open(&self, token: &str, now: impl Fn() -> Timestamp) -> Result<Claims, Fault> {
        // From here on: one that ends while it is verified counts.
        let mut ended = self.ended.subscribe();
        if let Some(opened) = self.try_open(token, now()) {
            return opened;
        }
        self.wanted.notify_one();
        // If it takes longer, the keys that are known have to do.
        let _ = tokio::time::timeout(WAIT_MAX, ended.changed()).await;
        self.verify(token, now()).map_err(|denied| self.fault(denied, RETRY))
    }

    /// Why a token is refused; `left` is how long it takes until the set may be fetched again.
    fn fault(&self, denied: Denied, left: Duration) -> Fault {
        if self.fetches && !self.state().has_set && depends_on_keys(&denied) {
            let message = "the keys to verify tokens with could not be fetched yet";
            return Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY);
        }
        // The provider may have it already: whoever is sent away for good here would be so because somebody else has just
        // invented a name.
        if self.fetches && matches!(denied, Denied::UnknownKey(_)) {
            return Fault::new(ErrorCode::NotAvailable, denied.to_string()).retry_in(left);
        }
        let code = match denied {
            Denied::Expired(_) => ErrorCode::TokenExpired,
            _ => ErrorCode::Unauthorized,
        };
        Fault::new(code, denied.to_string())
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another set of keys might say otherwise.
fn depends_on_keys(denied: &Denied) -> bool {
    matches!(denied, Denied::UnknownKey(_) | Denied::Algorithm(_) | Denied::Signature)
}

async fn fetch(client: &outgoing::Client, url: &Uri) -> Result<KeySet, String> {
    let request = Request::get(url.clone())
        .header(hyper::header::ACCEPT, "application/jwk-set+json, application/json")
        .header(hyper::header::USER_AGENT, concat!("trunkline/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| whole(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), SET_MAX).collect().await;
    let body =
        body.map_err(|_| format!("its answer broke off, or has more than {SET_MAX} bytes"))?.to_bytes();
    let set = KeySet::parse(&body).map_err(|error| error.to_string())?;
    if set.keys.is_empty() {
        return Err(format!("of its {} keys none can be used here", set.skipped));
    }
    Ok(set)
}
