//! The only place that opens what a client presents to say who it is: a token; a key of the HTTP API; or the secret of a
//! session, `<id>.<mac>`, signed by the server so that it survives a restart.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use trunkline_auth::Claims;
use trunkline_model::{
    Access, Admitted, Capabilities, Capability, ChannelName, ChannelPattern, ClientId, ErrorCode, Fault,
    Grant, Identity, Presented, Publisher, Secret, Standing, Timestamp, UserName,
};
use trunkline_node::{Admission, Door};

use crate::config::AuthSettings;
use crate::key_ring::KeyRing;

type Signature = Hmac<Sha256>;

/// Bytes of a session's id.
const ID_SIZE: usize = 16;
/// Bytes of its signature (HMAC-SHA-256, truncated as RFC 2104 section 5 allows).
const MAC_SIZE: usize = 16;
/// Bytes of the signing key.
pub(crate) const KEY_SIZE: usize = 32;

/// Makes guests, and recognises them by their secret.
struct GuestDoor {
    signature: Signature,
}

impl GuestDoor {
    /// A door that signs with `key`.
    fn new(key: &[u8]) -> Self {
        Self { signature: Signature::new_from_slice(key).expect("HMAC takes keys of any length") }
    }

    /// The id within a secret that this door has signed.
    fn open(&self, presented: &Secret) -> Option<[u8; ID_SIZE]> {
        let (id, mac) = presented.reveal().split_once('.')?;
        let id: [u8; ID_SIZE] = BASE64.decode(id).ok()?.try_into().ok()?;
        let mac = BASE64.decode(mac).ok()?;
        if mac.len() != MAC_SIZE {
            return None;
        }
        // Compares in constant time.
        self.sign("session", &id).verify_truncated_left(&mac).ok().map(|()| id)
    }

    fn sign(&self, purpose: &str, id: &[u8]) -> Signature {
        self.signature.clone().chain_update(purpose).chain_update(id)
    }

    /// A name that follows from the id and does not give it away.
    fn name(&self, purpose: &str, id: &[u8], length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let digest = self.sign(purpose, id).finalize().into_bytes();
        digest.iter().take(length).map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
    }
}

/// Decides who a connection or a request is: a guest, a user by a token, or a program by a key.
pub(crate) struct ServerDoor {
    guests: GuestDoor,
    keys: Arc<KeyRing>,
    settings: RwLock<Arc<AuthSettings>>,
}

impl ServerDoor {
    /// A door by these settings, that signs the sessions of guests with `key`.
    ///
    /// # Errors
    /// There is a set of keys to be fetched, and that cannot even be tried.
    pub(crate) fn new(key: &[u8], settings: AuthSettings) -> Result<Self, String> {
        let keys = KeyRing::start(settings.verifier.clone(), settings.jwks.clone())?;
        Ok(Self { guests: GuestDoor::new(key), keys, settings: RwLock::new(Arc::new(settings)) })
    }

    /// From now on it is a door by these settings. Who is in stays in, until the time of their token is over.
    pub(crate) fn configure(&self, settings: AuthSettings) {
        self.keys.configure(settings.verifier.clone());
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn settings(&self) -> Arc<AuthSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who comes without a token.
    fn without_token(&self, session: Option<&Secret>) -> Result<Admitted, Fault> {
        if self.settings().anonymous {
            return Ok(Admitted { identity: self.guests.guest(session), channels: Vec::new() });
        }
        let message = "this server lets nobody in without a token: send one in `connect`, as the subprotocol \
            `jwt.<token>`, or as `Authorization: Bearer <token>`; `anonymous = true` in [auth] would do without";
        Err(Fault::new(ErrorCode::Unauthorized, message))
    }

    fn check_has_keys(&self) -> Result<(), Fault> {
        if self.settings().verifier.keys.is_empty() && self.settings().jwks.is_none() {
            let message =
                "this server has no keys to verify tokens with; [[auth.keys]] in its configuration has them";
            return Err(Fault::new(ErrorCode::Unauthorized, message));
        }
        Ok(())
    }

    /// Who makes a request of the HTTP API: a program by its key, a user by a token, or anyone where that is allowed.
    ///
    /// # Errors
    /// `unauthorized` or `token_expired`.
    pub(crate) async fn caller(&self, bearer: Option<&Secret>) -> Result<Identity, Fault> {
        let Some(bearer) = bearer else {
            return if self.settings().open_api {
                Ok(api_identity(
                    "api",
                    vec![Grant { channels: ChannelPattern::all(), can: Capabilities::all() }],
                ))
            } else {
                let message = "the HTTP API asks for `Authorization: Bearer <key or token>`";
                Err(Fault::new(ErrorCode::Unauthorized, message))
            };
        };
        if let Some(key) = ApiKey::find(&self.settings().api_keys, bearer.reveal()) {
            return Ok(api_identity(&format!("api:{}", key.name), key.allow.clone()));
        }
        self.check_has_keys()?;
        let claims = fit_for(self.keys.open(bearer.reveal(), system_time).await?, None)?;
        // Without a line a token that names nobody is all that tells its bearer from others.
        let guest = self.guests.of_token(bearer);
        Ok(admit(Identity { session: None, ..guest }, claims).identity)
    }
}

/// The claims of a token that is shown for `channel`, or for everything. One that is for a channel alone says nothing of who
/// may come in.
fn fit_for(claims: Claims, channel: Option<&ChannelName>) -> Result<Claims, Fault> {
    match (&claims.only, channel) {
        (Some(only), None) => {
            let message = format!("this token is for a subscription to {only} alone; show it in `subscribe`");
            Err(Fault::new(ErrorCode::Unauthorized, message))
        }
        _ => Ok(claims),
    }
}

/// The session of `guest`, for whom a token says so much.
fn admit(guest: Identity, claims: Claims) -> Admitted {
    let Claims { user, mut access, channels, only: _ } = claims;
    // What it follows without asking it may follow.
    let given = channels.iter().map(|channel| Grant {
        channels: ChannelPattern::one(channel),
        can: Capabilities::default().with(Capability::Subscribe),
    });
    access.allow.extend(given);
    let publisher = user.as_ref().map(|user| Publisher::new(&format!("user:{}", user.as_str())));
    let identity = Identity {
        publisher: publisher.unwrap_or(guest.publisher),
        user: user.unwrap_or(guest.user),
        access: Arc::new(access),
        ..guest
    };
    Admitted { identity, channels }
}

impl Door for ServerDoor {
    fn admit(&self, presented: Presented) -> Admission {
        let Presented { token, session, channel } = presented;
        let Some(token) = token else {
            return Admission::Now(self.without_token(session.as_ref()).map(Box::new));
        };
        if let Err(fault) = self.check_has_keys() {
            return Admission::Now(Err(fault));
        }
        let guest = self.guests.guest(session.as_ref());
        if let Some(opened) = self.keys.try_open(token.reveal(), system_time()) {
            let claims = opened.and_then(|claims| fit_for(claims, channel.as_ref()));
            return Admission::Now(claims.map(|claims| Box::new(admit(guest, claims))));
        }
        let keys = Arc::clone(&self.keys);
        Admission::Later(Box::pin(async move {
            let claims = fit_for(keys.open(token.reveal(), system_time).await?, channel.as_ref())?;
            Ok(Box::new(admit(guest, claims)))
        }))
    }
}

/// A key of the HTTP API. Of the key itself only a digest is kept.
#[derive(Clone)]
pub(crate) struct ApiKey {
    pub(crate) name: String,
    digest: [u8; 32],
    allow: Vec<Grant>,
}

impl ApiKey {
    pub(crate) fn new(name: &str, key: &str, allow: Vec<Grant>) -> Self {
        Self { name: name.to_owned(), digest: Sha256::digest(key).into(), allow }
    }

    /// The one that was given, if it is one of them. How long that takes says nothing of how near it came: digests are
    /// compared, of all of them, to the end.
    fn find<'k>(keys: &'k [Self], given: &str) -> Option<&'k Self> {
        let digest: [u8; 32] = Sha256::digest(given).into();
        let differs =
            |key: &Self| key.digest.iter().zip(digest).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        keys.iter().fold(None, |found, key| if differs(key) == 0 { Some(key) } else { found })
    }
}

/// Shows no key.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).field("allow", &self.allow).finish_non_exhaustive()
    }
}

fn system_time() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

impl GuestDoor {
    /// Who presents this secret of an earlier session, or a new guest.
    fn guest(&self, presented: Option<&Secret>) -> Identity {
        self.guest_of(presented.and_then(|secret| self.open(secret)).unwrap_or_else(fresh_id))
    }

    /// The guest that bears this token.
    fn of_token(&self, token: &Secret) -> Identity {
        let digest = self.sign("token", token.reveal().as_bytes()).finalize().into_bytes();
        let mut id = [0; ID_SIZE];
        id.copy_from_slice(&digest[..ID_SIZE]);
        self.guest_of(id)
    }

    fn guest_of(&self, id: [u8; ID_SIZE]) -> Identity {
        let mac = self.sign("session", &id).finalize().into_bytes();
        let secret = format!("{}.{}", BASE64.encode(id), BASE64.encode(&mac[..MAC_SIZE]));
        Identity {
            client: ClientId::new(&self.name("client", &id, 12)),
            // 60 bits: who has the name of an author may edit what that one wrote.
            user: UserName::new(&format!("guest-{}", self.name("guest", &id, 12))),
            publisher: Publisher::new(&format!("session:{}", BASE64.encode(id))),
            session: Some(Secret::new(&secret)),
            named: true,
            access: Arc::default(),
        }
    }
}

fn fresh_id() -> [u8; ID_SIZE] {
    let mut id = [0; ID_SIZE];
    getrandom::fill(&mut id).expect("the system has randomness once it is up");
    id
}

/// A program that calls over HTTP, in nobody's name.
fn api_identity(scope: &str, allow: Vec<Grant>) -> Identity {
    Identity {
        client: ClientId::new("api"),
        user: UserName::new("api"),
        publisher: Publisher::new(scope),
        session: None,
        named: false,
        access: Arc::new(Access { standing: Standing::Server, allow, ..Access::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_for_who_publishes_and_not_for_the_connection() {
        let claims = |user: Option<&str>| Claims {
            user: user.map(UserName::new),
            access: Access::default(),
            channels: Vec::new(),
            only: None,
        };
        let door = GuestDoor::new(b"key");
        let (here, there) = (door.guest(None), door.guest(None));
        let publisher = |guest: &Identity, user| admit(guest.clone(), claims(user)).identity.publisher;
        assert_eq!(publisher(&here, Some("ann")), publisher(&there, Some("ann")));
        assert_ne!(publisher(&here, Some("ann")), publisher(&here, Some("bob")));
        // A token that names nobody leaves a guest a guest.
        assert_eq!(publisher(&here, None), here.publisher);
        assert_ne!(publisher(&here, None), publisher(&there, None));
    }

    #[test]
    fn an_api_key_is_found_by_all_of_it() {
        let keys = [ApiKey::new("a", "first-key", Vec::new()), ApiKey::new("b", "second-key", Vec::new())];
        let found = |given: &str| ApiKey::find(&keys, given).map(|key| key.name.as_str());
        assert_eq!((found("first-key"), found("second-key")), (Some("a"), Some("b")));
        for wrong in ["", "first-ke", "first-key ", "First-key", "third-key"] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert!(!format!("{keys:?}").contains("first-key"));
    }

    #[test]
    fn a_guest_comes_back_as_the_same() {
        let first = GuestDoor::new(b"key").guest(None);
        let again = GuestDoor::new(b"key").guest(first.session.as_ref());
        assert_eq!(first, again);
        assert!(first.user.as_str().starts_with("guest-"));
    }

    #[test]
    fn a_secret_that_is_not_the_doors_own_is_none() {
        let door = GuestDoor::new(b"key");
        let known = door.guest(None);
        let secret = known.session.as_ref().expect("guests have one").reveal().to_owned();
        let flipped = secret.replacen(|c: char| c != '.', "_", 1);
        let (id, mac) = secret.split_once('.').expect("two parts");
        for forged in ["", ".", "a.b", id, &flipped, &format!("{id}."), &format!("{id}.{}", &mac[..8])] {
            if forged != secret {
                assert_ne!(door.guest(Some(&Secret::new(forged))).publisher, known.publisher, "{forged}");
            }
        }
        assert_ne!(GuestDoor::new(b"other").guest(Some(&Secret::new(&secret))).publisher, known.publisher);
    }

    #[test]
    fn public_names_do_not_give_the_id_away() {
        let identity = GuestDoor::new(b"key").guest(None);
        let id = identity.publisher.as_str().trim_start_matches("session:").to_owned();
        assert!(!identity.client.as_str().contains(&id));
        assert!(!identity.user.as_str().contains(&id));
    }
}
