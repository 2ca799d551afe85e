//! The WebSocket close codes that Trunkline gives, and whether a client should come back after each.
//!
//! The rule: 44xx and 1002, 1003, 1007, 1009, 1010 mean stop; everything else means reconnect.

/// One row of the table of close codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseReason {
    /// The code (RFC 6455 section 7.4; 4000–4999 are ours).
    pub code: u16,
    /// The reason sent with it.
    pub reason: &'static str,
}

macro_rules! close_reasons {
    ($($name:ident $code:literal $reason:literal;)*) => {
        $(#[doc = $reason] pub const $name: CloseReason = CloseReason { code: $code, reason: $reason };)*
        /// All of them, in the order of the table.
        pub const ALL: &[CloseReason] = &[$($name,)*];
    };
}

close_reasons! {
    NORMAL           1000 "closed";
    SERVICE_RESTART  1012 "the server is about to end; connect again";
    BAD_FRAME        4400 "a frame that is no command";
    INVALID_TOKEN    4401 "the token is invalid";
    FORBIDDEN        4403 "not allowed";
    REPLACED         4409 "replaced by a newer connection of the same session";
    TOO_LARGE        4413 "too large";
    PROTOCOL_TOO_OLD 4426 "this protocol version is no longer spoken";
    INTERNAL         4500 "the server failed";
    TOKEN_EXPIRED    4501 "the token has expired; get a new one first";
    DRAINING         4503 "the server is about to end; connect again";
    SLOW             4508 "too slow: the outbox is full";
    CONNECTION_LIMIT 4529 "too many connections";
}

/// Whether a client must not reconnect by itself after `code`.
#[must_use]
pub fn is_final(code: u16) -> bool {
    matches!(code, 4400..=4499 | 1002 | 1003 | 1007 | 1009 | 1010)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_control_frame() {
        for row in ALL {
            assert!(row.reason.len() <= 123, "{}", row.code);
        }
    }

    #[test]
    fn the_44xx_codes_stop_a_client_and_the_45xx_do_not() {
        for row in ALL {
            assert_eq!(is_final(row.code), (4400..4500).contains(&row.code), "{}", row.code);
        }
    }
}
