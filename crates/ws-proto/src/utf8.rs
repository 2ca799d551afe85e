//! UTF-8 checked as it arrives (RFC 6455 §8.1): at most three bytes are kept between pieces, and the first byte
//! that cannot belong to any character fails. Not a decoder: it changes nothing. Called by `decoder.rs`.

/// The unfinished character at the end of what was seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    pending: [u8; 3],
    pending_len: u8,
}

/// The text is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl Utf8 {
    /// Checks the next piece; `last` says that the text ends with it.
    pub(crate) fn receive(&mut self, piece: &[u8], last: bool) -> Result<(), NotUtf8> {
        steps::add(piece.len());
        let rest = self.finish_pending(piece)?;
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => {}
            // `error_len` is `None` when the text only ended too early: more may come.
            Err(error) if error.error_len().is_none() => self.keep(&rest[error.valid_up_to()..]),
            Err(_) => return Err(NotUtf8),
        }
        if last && self.pending_len > 0 { Err(NotUtf8) } else { Ok(()) }
    }

    /// Completes the pending character, byte by byte, and returns what comes after it.
    fn finish_pending<'p>(&mut self, mut piece: &'p [u8]) -> Result<&'p [u8], NotUtf8> {
        while self.pending_len > 0
            && let Some((&byte, rest)) = piece.split_first()
        {
            piece = rest;
            let len = usize::from(self.pending_len);
            let mut character = [0; 4];
            character[..len].copy_from_slice(&self.pending[..len]);
            character[len] = byte;
            match std::str::from_utf8(&character[..=len]) {
                Ok(_) => self.pending_len = 0,
                Err(error) if error.error_len().is_none() => self.keep(&character[..=len]),
                Err(_) => return Err(NotUtf8),
            }
        }
        Ok(piece)
    }

    fn keep(&mut self, unfinished: &[u8]) {
        self.pending[..unfinished.len()].copy_from_slice(unfinished);
        self.pending_len = unfinished.len() as u8;
    }
}

/// Bytes looked at, counted in tests so that they can prove that the work is linear.
pub(crate) mod steps {
    #[cfg(test)]
    thread_local!(static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

    #[cfg(test)]
    pub(crate) fn add(bytes: usize) {
        STEPS.with(|steps| steps.set(steps.get() + bytes));
    }

    #[cfg(not(test))]
    pub(crate) fn add(_: usize) {}

    #[cfg(test)]
    pub(crate) fn take() -> usize {
        STEPS.with(std::cell::Cell::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], valid: bool) {
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::default();
            let outcome = utf8.receive(&text[..cut], false).and_then(|()| utf8.receive(&text[cut..], true));
            assert_eq!(outcome.is_ok(), valid, "{text:x?} cut at {cut}");
        }
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        for text in ["", "a", "κόσμε", "€uro", "𝄞 and 🦀", "\u{10ffff}", "\u{d7ff}\u{e000}"] {
            check(text.as_bytes(), true);
            check(&[b"0123456789abcdef0123456789abcdef0123456789abcdef", text.as_bytes()].concat(), true);
        }
        for text in [
            &b"\x80"[..],
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"a\xe2\x82",
            b"\xf0\x9d\x84",
            b"\xce",
            b"\xe2\x28\xa1",
            b"\xff",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn fails_at_the_first_impossible_byte() {
        // U+110000 would be F4 90 80 80: the second byte already is impossible.
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.receive(b"\xf4", false), Ok(()));
        assert_eq!(utf8.receive(b"\x90", false), Err(NotUtf8));
    }

    /// The work is counted, not timed: however small the pieces, each byte of text is looked at once.
    #[test]
    fn t23_the_work_is_linear_in_the_text() {
        use crate::{Connection, Limits, Role};

        let text = "日本語のテキスト".repeat((16 << 20) / 24);
        let mut frame = crate::Header::whole(crate::Opcode::Text, text.len()).encode().to_vec();
        frame.extend_from_slice(text.as_bytes());
        let mut connection = Connection::new(Role::Client, Limits::default());
        steps::take();
        let (mut looked_at, mut messages) = (0, 0);
        for (at, mut piece) in frame.chunks_mut(64).enumerate() {
            while connection.receive(&mut piece).expect("valid").is_some() {
                messages += 1;
            }
            looked_at += steps::take();
            assert!(looked_at <= 64 * (at + 1), "{looked_at} bytes looked at after {} pieces", at + 1);
        }
        assert_eq!((looked_at, messages), (text.len(), 1));
    }
}
