//! The masking of RFC 6455 §5.3: an exclusive-or with a key of four bytes. Not a protection, and not where
//! keys come from: they are an argument. Used by the decoder in place and by what frames a client's messages.

/// Masks or unmasks `payload` in place and returns the key turned so that it fits the byte after it.
///
/// The loop takes eight bytes at a time, which the compiler turns into vector instructions.
#[must_use = "the key for what follows"]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let narrow = u64::from(u32::from_ne_bytes(key));
    let wide = narrow | narrow << 32;
    let (blocks, rest) = payload.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(rest.len() % 4);
    next
}

/// The key source of a server, which masks nothing: pass it wherever a key is asked for.
///
/// # Panics
/// If it is called, which happens only when it is given to a connection whose role is client: a bug.
pub fn unmasked() -> [u8; 4] {
    panic!("a client's frames need masking keys from a random source")
}
