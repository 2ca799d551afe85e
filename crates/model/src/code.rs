//! The error codes that a client can see. One table: documentation and SDK types follow it.

use std::fmt;

macro_rules! error_codes {
    ($($variant:ident $text:literal $open:literal $http:literal $doc:literal;)*) => {
        /// A stable, client-visible error code.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $doc] $variant,)*
        }

        impl ErrorCode {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The string on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }

            /// Whether it leaves open if a publication was stored. All others mean: not stored.
            #[must_use]
            pub fn leaves_outcome_open(self) -> bool {
                match self { $(Self::$variant => $open,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$variant => $http,)* }
            }
        }
    };
}

error_codes! {
    BadRequest       "bad_request"       false 400 "The command or request is malformed; the message says which field.";
    UnknownType      "unknown_type"      false 400 "No command has this type.";
    Unauthorized     "unauthorized"      false 401 "Who asks is not known, or not by a valid token.";
    TokenExpired     "token_expired"     false 401 "The token was valid; get a new one.";
    Forbidden        "forbidden"         false 403 "This user may not do this.";
    NotFound         "not_found"         false 404 "What was asked for does not exist.";
    UnknownNamespace "unknown_namespace" false 404 "The channel's namespace is not configured.";
    TooLarge         "too_large"         false 413 "The message is larger than its limit.";
    RateLimited      "rate_limited"      false 429 "Too many commands in a short time; wait for `retry`.";
    LimitExceeded    "limit_exceeded"    false 429 "A limit is reached; the message names it.";
    KeyExpired       "key_expired"       false 409 "The idempotency key is older than keys are remembered.";
    Conflict         "conflict"          false 409 "The condition of the publish does not hold.";
    Rewound          "rewound"           false 410 "The log no longer holds what the position names.";
    NotAvailable     "not_available"     false 503 "It cannot be done now; wait for `retry`.";
    Timeout          "timeout"           true  504 "No answer in time; repeat with the same key.";
    Internal         "internal"          true  500 "The server failed; repeat with the same key.";
    Draining         "draining"          false 503 "The server is about to end; connect again.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
