//! Target `utf8`: any bytes as the text of one message, cut into fragments and reads, against std. The first byte chooses
//! the size of the fragments, the second that of the reads. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::{Decoder, Header, Limits, Opcode, ProtocolError, Role};

/// The decoder fails with the very byte with which std says that no continuation can mend the text.
pub(crate) fn check(data: &[u8]) {
    let [fragment, read, text @ ..] = data else { return };
    let stream = frames(text, usize::from(*fragment).max(1));
    let verdict = decode(&stream, usize::from(*read).max(1));
    assert_eq!(
        verdict,
        std::str::from_utf8(text).map(|_| text.len()).map_err(|_| ProtocolError::TextNotUtf8)
    );
    check_first_wrong_byte(text);
}

/// `text` in fragments of `size` bytes.
fn frames(text: &[u8], size: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut pieces = text.chunks(size).peekable();
    let mut opcode = Opcode::Text;
    loop {
        let piece = pieces.next().unwrap_or_default();
        let fin = pieces.peek().is_none();
        let header = Header { fin, compressed: false, opcode, mask: None, payload_len: piece.len() as u64 };
        stream.extend_from_slice(&header.encode());
        stream.extend_from_slice(piece);
        opcode = Opcode::Continuation;
        if fin {
            return stream;
        }
    }
}

/// The bytes of text that came out.
fn decode(stream: &[u8], read: usize) -> Result<usize, ProtocolError> {
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    let mut size = 0;
    for piece in stream.chunks(read) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        while let Some(chunk) = decoder.decode(&mut input)? {
            size += chunk.payload.len();
        }
    }
    assert!(decoder.is_idle());
    Ok(size)
}

/// A frame that never ends: the error comes with the first impossible byte, neither before nor after.
fn check_first_wrong_byte(text: &[u8]) {
    let wrong = std::str::from_utf8(text).err().filter(|error| error.error_len().is_some());
    let good = wrong.map_or(text.len(), |error| error.valid_up_to() + error.error_len().unwrap_or_default());
    let header =
        Header { fin: true, compressed: false, opcode: Opcode::Text, mask: None, payload_len: 1 << 20 };
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    let mut head = header.encode().to_vec();
    assert!(decoder.decode(&mut &mut head[..]).is_ok());
    for (at, byte) in text.iter().enumerate() {
        let failed = decoder.decode(&mut &mut [*byte][..]).is_err();
        // The error may name a shorter sequence than it took to see it: a byte that can begin another character ends one.
        if failed {
            let seen = std::str::from_utf8(&text[..=at]);
            assert!(seen.is_err_and(|error| error.error_len().is_some()), "byte {at} can be mended");
            assert!(at <= good, "byte {at} is late");
            return;
        }
        let seen = std::str::from_utf8(&text[..=at]);
        assert!(
            seen.is_ok() || seen.is_err_and(|error| error.error_len().is_none()),
            "byte {at} went unseen"
        );
    }
}
