//! The only place that opens what a client presents to say who it is. In this version that is the secret of
//! an anonymous session: `<id>.<mac>`, signed by the server so that it survives a restart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use trunkline_model::{ClientId, Identity, Publisher, Secret, UserName};
use trunkline_node::Door;

type Signature = Hmac<Sha256>;

/// Bytes of a session's id.
const ID_SIZE: usize = 16;
/// Bytes of its signature (HMAC-SHA-256, truncated as RFC 2104 section 5 allows).
const MAC_SIZE: usize = 16;
/// Bytes of the signing key.
pub(crate) const KEY_SIZE: usize = 32;

/// Lets anyone in as a guest, and recognises guests by their secret.
pub(crate) struct GuestDoor {
    signature: Signature,
}

impl GuestDoor {
    /// A door that signs with `key`.
    pub(crate) fn new(key: &[u8]) -> Self {
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

impl Door for GuestDoor {
    fn admit(&self, presented: Option<&Secret>) -> Identity {
        let id = presented.and_then(|secret| self.open(secret)).unwrap_or_else(fresh_id);
        let mac = self.sign("session", &id).finalize().into_bytes();
        let secret = format!("{}.{}", BASE64.encode(id), BASE64.encode(&mac[..MAC_SIZE]));
        Identity {
            client: ClientId::new(&self.name("client", &id, 12)),
            // 60 bits: who has the name of an author may edit what that one wrote.
            user: UserName::new(&format!("guest-{}", self.name("guest", &id, 12))),
            publisher: Publisher::new(&format!("session:{}", BASE64.encode(id))),
            session: Some(Secret::new(&secret)),
            named: true,
        }
    }
}

fn fresh_id() -> [u8; ID_SIZE] {
    let mut id = [0; ID_SIZE];
    getrandom::fill(&mut id).expect("the system has randomness once it is up");
    id
}

/// Who calls over HTTP in this version: the server's own API, in nobody's name.
pub(crate) fn api_identity() -> Identity {
    Identity {
        client: ClientId::new("api"),
        user: UserName::new("api"),
        publisher: Publisher::new("api"),
        session: None,
        named: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_comes_back_as_the_same() {
        let first = GuestDoor::new(b"key").admit(None);
        let again = GuestDoor::new(b"key").admit(first.session.as_ref());
        assert_eq!(first, again);
        assert!(first.user.as_str().starts_with("guest-"));
    }

    #[test]
    fn a_secret_that_is_not_the_doors_own_is_none() {
        let door = GuestDoor::new(b"key");
        let known = door.admit(None);
        let secret = known.session.as_ref().expect("guests have one").reveal().to_owned();
        let flipped = secret.replacen(|c: char| c != '.', "_", 1);
        let (id, mac) = secret.split_once('.').expect("two parts");
        for forged in ["", ".", "a.b", id, &flipped, &format!("{id}."), &format!("{id}.{}", &mac[..8])] {
            if forged != secret {
                assert_ne!(door.admit(Some(&Secret::new(forged))).publisher, known.publisher, "{forged}");
            }
        }
        assert_ne!(GuestDoor::new(b"other").admit(Some(&Secret::new(&secret))).publisher, known.publisher);
    }

    #[test]
    fn public_names_do_not_give_the_id_away() {
        let identity = GuestDoor::new(b"key").admit(None);
        let id = identity.publisher.as_str().trim_start_matches("session:").to_owned();
        assert!(!identity.client.as_str().contains(&id));
        assert!(!identity.user.as_str().contains(&id));
    }
}
