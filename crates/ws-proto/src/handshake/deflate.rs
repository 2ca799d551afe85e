//! The negotiation of permessage-deflate (RFC 7692 §5, §7.1), both roles: header values in, parameters out. Not what is
//! done with them. Used by `accept.rs` and `client.rs`, and by shells whose handshake is made by an HTTP library.

use crate::deflate::{DeflateParams, WINDOW_BITS_MAX};
use crate::error::{HandshakeError, Rejection};
use crate::handshake::extension::{Extension, parse};

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The client's `Sec-WebSocket-Extensions` header: one offer. It says that our window may be limited, so that the
/// server may ask for that.
pub fn offer_deflate(params: DeflateParams) -> String {
    let params = params.clamped();
    let mut offer = String::from(NAME);
    push_flags(&mut offer, params);
    if params.server_max_window_bits < WINDOW_BITS_MAX {
        push_bits(&mut offer, SERVER_MAX_WINDOW_BITS, params.server_max_window_bits);
    }
    if params.client_max_window_bits < WINDOW_BITS_MAX {
        push_bits(&mut offer, CLIENT_MAX_WINDOW_BITS, params.client_max_window_bits);
    } else {
        offer.extend(["; ", CLIENT_MAX_WINDOW_BITS]);
    }
    offer
}

/// The server's choice among the offers in all `Sec-WebSocket-Extensions` headers of a request: the first one that is
/// valid, with what `wish` asks for beyond it. Returns what is agreed and the header of the answer, or `None` where
/// there is no such offer and the line stays uncompressed.
///
/// A window that the client cannot limit is 15 bits also where the wish is for less.
///
/// # Errors
/// [`Rejection::ExtensionList`] for a header that does not follow the grammar (RFC 6455 §9.1). An offer with unknown,
/// repeated or invalid parameters is passed over (RFC 7692 §7.1).
pub fn answer_deflate<'h>(
    headers: impl IntoIterator<Item = &'h [u8]>,
    wish: DeflateParams,
) -> Result<Option<(DeflateParams, String)>, Rejection> {
    let offers = parse(headers).map_err(|_| Rejection::ExtensionList)?;
    let terms = offers.iter().filter(|offer| is_deflate(offer)).find_map(Terms::read);
    Ok(terms.map(|terms| terms.answer(wish.clamped())))
}

/// The client's judgement of all `Sec-WebSocket-Extensions` headers of an answer to `offered`; `None` where the server
/// wants no compression.
///
/// # Errors
/// [`HandshakeError::ExtensionUnasked`] for anything but one permessage-deflate, and then only if it was offered;
/// [`HandshakeError::DeflateAnswer`] for parameters that do not fit the offer (RFC 7692 §7.1).
pub fn confirm_deflate<'h>(
    headers: impl IntoIterator<Item = &'h [u8]>,
    offered: Option<DeflateParams>,
) -> Result<Option<DeflateParams>, HandshakeError> {
    let answers = parse(headers).map_err(|_| HandshakeError::ExtensionUnasked)?;
    match (&answers[..], offered) {
        ([], _) => Ok(None),
        ([answer], Some(offered)) if is_deflate(answer) => {
            let terms =
                Terms::read(answer).ok_or(HandshakeError::DeflateAnswer("a parameter is not valid"))?;
            terms.confirm(offered.clamped()).map(Some).map_err(HandshakeError::DeflateAnswer)
        }
        _ => Err(HandshakeError::ExtensionUnasked),
    }
}

fn is_deflate(extension: &Extension<'_>) -> bool {
    extension.name.eq_ignore_ascii_case(NAME.as_bytes())
}

/// The parameters of one offer or answer, as they stand there.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Present, and its value if it has one.
    client_max_window_bits: Option<Option<u8>>,
}

impl Terms {
    /// `None` where a parameter is unknown, repeated or has a value that it cannot have.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut terms = Self::default();
        for (name, value) in &extension.params {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            let value = value.as_deref();
            let repeated = if is(SERVER_NO_CONTEXT_TAKEOVER) && value.is_none() {
                std::mem::replace(&mut terms.server_no_context_takeover, true)
            } else if is(CLIENT_NO_CONTEXT_TAKEOVER) && value.is_none() {
                std::mem::replace(&mut terms.client_no_context_takeover, true)
            } else if is(SERVER_MAX_WINDOW_BITS) {
                terms.server_max_window_bits.replace(window_bits(value?)?).is_some()
            } else if is(CLIENT_MAX_WINDOW_BITS) {
                let bits = match value {
                    Some(value) => Some(window_bits(value)?),
                    None => None,
                };
                terms.client_max_window_bits.replace(bits).is_some()
            } else {
                true
            };
            if repeated {
                return None;
            }
        }
        Some(terms)
    }

    fn answer(self, wish: DeflateParams) -> (DeflateParams, String) {
        // A client that offers a value will not use more, whether it is told to or not (§7.1.2.2).
        let client_bits = self.client_max_window_bits.map(|bits| bits.unwrap_or(WINDOW_BITS_MAX));
        let params = DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover || wish.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || wish.client_no_context_takeover,
            server_max_window_bits: self
                .server_max_window_bits
                .unwrap_or(WINDOW_BITS_MAX)
                .min(wish.server_max_window_bits),
            client_max_window_bits: client_bits
                .map_or(WINDOW_BITS_MAX, |bits| bits.min(wish.client_max_window_bits)),
        };
        let mut answer = String::from(NAME);
        push_flags(&mut answer, params);
        // What was asked for has to be confirmed (§7.1.2.1).
        if self.server_max_window_bits.is_some() || params.server_max_window_bits < WINDOW_BITS_MAX {
            push_bits(&mut answer, SERVER_MAX_WINDOW_BITS, params.server_max_window_bits);
        }
        if params.client_max_window_bits < WINDOW_BITS_MAX {
            push_bits(&mut answer, CLIENT_MAX_WINDOW_BITS, params.client_max_window_bits);
        }
        (params, answer)
    }

    fn confirm(self, offered: DeflateParams) -> Result<DeflateParams, &'static str> {
        if offered.server_no_context_takeover && !self.server_no_context_takeover {
            return Err("it does not confirm server_no_context_takeover");
        }
        let server_bits = self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
        if server_bits > offered.server_max_window_bits {
            return Err("it does not confirm server_max_window_bits");
        }
        let client_bits = match self.client_max_window_bits {
            None => offered.client_max_window_bits,
            Some(Some(bits)) if bits <= offered.client_max_window_bits => bits,
            Some(Some(_)) => return Err("its client_max_window_bits is more than was offered"),
            Some(None) => return Err("its client_max_window_bits has no value"),
        };
        Ok(DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || offered.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        })
    }
}

/// 8 to 15 in decimal, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

fn push_flags(to: &mut String, params: DeflateParams) {
    if params.server_no_context_takeover {
        to.extend(["; ", SERVER_NO_CONTEXT_TAKEOVER]);
    }
    if params.client_no_context_takeover {
        to.extend(["; ", CLIENT_NO_CONTEXT_TAKEOVER]);
    }
}

fn push_bits(to: &mut String, name: &str, bits: u8) {
    to.push_str(&format!("; {name}={bits}"));
}
