//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1). Not what any extension means. Used by `deflate.rs`.

use crate::handshake::headers::is_token;

/// One element of the list.
#[derive(Debug)]
pub(crate) struct Extension<'h> {
    pub(crate) name: &'h [u8],
    /// Names, and their values where they have one, unquoted.
    pub(crate) params: Vec<(&'h [u8], Option<Vec<u8>>)>,
}

/// The header does not follow the grammar; whoever sent it is to be refused.
#[derive(Debug)]
pub(crate) struct Malformed;

/// All extensions of all headers, in order. Looks at each byte once.
pub(crate) fn parse<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Result<Vec<Extension<'h>>, Malformed> {
    let mut extensions = Vec::new();
    for value in values {
        let mut rest = Rest(value);
        loop {
            while rest.takes(b',') {}
            if rest.0.is_empty() {
                break;
            }
            extensions.push(rest.extension()?);
            if !rest.0.is_empty() && !rest.takes(b',') {
                return Err(Malformed);
            }
        }
    }
    Ok(extensions)
}

/// What is still to be read.
struct Rest<'h>(&'h [u8]);

impl<'h> Rest<'h> {
    fn extension(&mut self) -> Result<Extension<'h>, Malformed> {
        let mut extension = Extension { name: self.token()?, params: Vec::new() };
        while self.takes(b';') {
            let name = self.token()?;
            let value = if self.takes(b'=') { Some(self.value()?) } else { None };
            extension.params.push((name, value));
        }
        Ok(extension)
    }

    /// Takes `byte` with the space around it, if it is next.
    fn takes(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest.trim_ascii_start();
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'h [u8], Malformed> {
        let end = self.0.iter().position(|byte| !is_token(&[*byte])).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest.trim_ascii_start();
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, or a token in quotes.
    fn value(&mut self) -> Result<Vec<u8>, Malformed> {
        let Some(mut rest) = self.0.strip_prefix(b"\"") else { return Ok(self.token()?.to_vec()) };
        let mut value = Vec::new();
        loop {
            match rest {
                [b'"', after @ ..] => {
                    self.0 = after.trim_ascii_start();
                    return if is_token(&value) { Ok(value) } else { Err(Malformed) };
                }
                [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                    value.push(*byte);
                    rest = after;
                }
                [] => return Err(Malformed),
            }
        }
    }
}
