//! The compressed byte forms of a publication: a list that only grows at its end, so that any number of threads share
//! it without a lock. Not compression itself. Used by [`Publication`](crate::Publication).

use std::sync::OnceLock;

use bytes::Bytes;

use crate::Encoding;

/// A form for each encoding and window that somebody has asked for. Nearly all clients agree on the same window, so it
/// seldom has more than one for each encoding; a publication that is sent to nobody compressed has none.
#[derive(Default)]
pub(crate) struct Deflated(OnceLock<Box<Form>>);

struct Form {
    encoding: Encoding,
    window_bits: u8,
    /// `None` where compressing does not help.
    frame: Option<Bytes>,
    next: Deflated,
}

impl Deflated {
    /// The form for `encoding` and `window_bits`, made by `deflate` if this is the first call for it.
    pub(crate) fn get(
        &self,
        encoding: Encoding,
        window_bits: u8,
        deflate: impl FnOnce() -> Option<Bytes>,
    ) -> Option<&Bytes> {
        let mut deflate = Some(deflate);
        let mut end = self;
        loop {
            let form = end.0.get_or_init(|| {
                let deflate = deflate.take().expect("what it makes is found at once, and the loop ends");
                Box::new(Form { encoding, window_bits, frame: deflate(), next: Self::default() })
            });
            if (form.encoding, form.window_bits) == (encoding, window_bits) {
                return form.frame.as_ref();
            }
            end = &form.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_form_is_made_once_whoever_asks() {
        let (deflated, made) = (Deflated::default(), AtomicUsize::new(0));
        let asks = [
            (Encoding::Plain, 15),
            (Encoding::TrunklineV1, 15),
            (Encoding::Plain, 9),
            (Encoding::TrunklineV1, 9),
        ];
        std::thread::scope(|scope| {
            for first in 0..8 {
                let (deflated, made) = (&deflated, &made);
                scope.spawn(move || {
                    for at in 0..400 {
                        let (encoding, window_bits) = asks[(first + at) % asks.len()];
                        let form = deflated.get(encoding, window_bits, || {
                            made.fetch_add(1, Ordering::Relaxed);
                            Some(Bytes::from(format!("{encoding:?} {window_bits}")))
                        });
                        assert_eq!(form.expect("it was made"), &format!("{encoding:?} {window_bits}"));
                    }
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), asks.len());
    }

    #[test]
    fn that_it_does_not_help_is_found_out_once() {
        let (deflated, made) = (Deflated::default(), AtomicUsize::new(0));
        for _ in 0..3 {
            let none = deflated.get(Encoding::Plain, 15, || {
                made.fetch_add(1, Ordering::Relaxed);
                None
            });
            assert_eq!(none, None);
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}
