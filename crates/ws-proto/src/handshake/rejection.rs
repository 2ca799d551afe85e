//! How a refusal looks in HTTP. Not the reasons, which are in `error.rs`. Used by servers.

use crate::error::Rejection;

impl Rejection {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::OriginForbidden(_) => 403,
            Self::MethodNotGet => 405,
            Self::UpgradeMissing | Self::WebSocketVersion => 426,
            Self::HeadTooLarge(_) | Self::HeadersTooMany(_) => 431,
            Self::Other { status: status @ 400..=599, .. } => *status,
            Self::Other { .. } => 500,
            _ => 400,
        }
    }

    /// The headers that the status asks for, besides those of the body.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let headers: &[_] = match self {
            Self::MethodNotGet => &[("Allow", "GET")],
            Self::UpgradeMissing => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            Self::WebSocketVersion => &[("Sec-WebSocket-Version", "13")],
            _ => &[],
        };
        headers.iter().copied()
    }

    /// The whole response; the reason is its body, and the connection is to be closed after it.
    pub fn response(&self) -> Vec<u8> {
        let body = format!("{self}\n");
        let (status, phrase) = (self.status(), phrase(self.status()));
        let mut response = format!("HTTP/1.1 {status} {phrase}\r\n");
        for (name, value) in self.headers() {
            response.extend([name, ": ", value, "\r\n"]);
        }
        let connection = if self.status() == 426 { "Upgrade, close" } else { "close" };
        response.push_str(&format!(
            "Connection: {connection}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        ));
        response.into_bytes()
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}
