//! Randomness for a client: masking keys and the handshake's nonce, from the operating system. Keys are drawn many at a
//! time, because a system call per frame would cost more than the frame.

use std::cell::RefCell;
use std::io;

/// How many keys one draw brings.
const KEYS_PER_DRAW: usize = 64;

thread_local! {
    /// Drawn and not yet used, by whichever socket of the thread sends next.
    static DRAWN: RefCell<Vec<[u8; 4]>> = const { RefCell::new(Vec::new()) };
}

/// An unpredictable masking key that was never used before (RFC 6455 §5.3, §10.3).
pub(crate) fn mask_key() -> [u8; 4] {
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.is_empty() {
            let mut bytes = [0; KEYS_PER_DRAW * 4];
            getrandom::fill(&mut bytes).expect("the random source gave the handshake its nonce before");
            drawn.extend_from_slice(bytes.as_chunks().0);
        }
        drawn.pop().expect("a draw brings keys")
    })
}

/// Sixteen random bytes for `Sec-WebSocket-Key`.
pub(crate) fn nonce() -> io::Result<[u8; 16]> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn t29_no_key_comes_twice_and_no_bit_stands_still() {
        let drawn: Vec<u32> = (0..1_000).map(|_| u32::from_ne_bytes(mask_key())).collect();
        let distinct: HashSet<_> = drawn.iter().collect();
        // Two of a thousand keys are equal once in 8,000 runs; three pairs never.
        assert!(distinct.len() > 997);
        let (ones, zeros) = drawn.iter().fold((0, 0), |(ones, zeros), key| (ones | key, zeros | !key));
        assert_eq!((ones, zeros), (u32::MAX, u32::MAX));
    }

    #[test]
    fn each_handshake_has_a_nonce_of_its_own() {
        let nonces: HashSet<_> = (0..100).map(|_| nonce().expect("a random source")).collect();
        assert_eq!(nonces.len(), 100);
    }
}
