//! The headers of one head, with the few questions that a handshake asks. Not a map: a head is asked a dozen
//! questions and dropped. Used by `request.rs`, `accept.rs` and `client.rs`.

/// Names and values as they lie in the head.
#[derive(Clone, Debug)]
pub(crate) struct Headers<'h>(Vec<(&'h str, &'h [u8])>);

/// A header that may be there once is there more than once.
pub(crate) struct Repeated;

impl<'h> Headers<'h> {
    pub(crate) fn new(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        Self(headers.into_iter().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'h str, &'h [u8])> {
        self.0.iter().copied()
    }

    /// All values of a header, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a header that may be there once, without the space around it.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&'h [u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first.map(<[u8]>::trim_ascii)) }
    }

    /// The elements of a comma-separated list, over all headers of that name; empty ones left out (RFC 9110 §5.6.1).
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    /// Whether a list names `token`, in any case.
    pub(crate) fn names(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// Whether `text` is a token (RFC 9110 §5.6.2): what header names and subprotocols are made of.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Whether `value` can be sent as a header value: no CR, LF, NUL or other control characters but tab.
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// Whether `target` can stand in a request line: a path and a query of visible ASCII, without a fragment.
pub(crate) fn is_origin_form(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#')
}
