//! The PROXY protocol, versions 1 and 2 (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): the first bytes of
//! a connection that a balancer makes, which say whose it is. Only the source address is taken from it. Whether a
//! connection may say this at all is decided in `entrance`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = SIGNATURE.len() + 4;
/// The longest line of version 1, with its end (section 2.1).
const LINE_MAX: usize = 107;
/// The most bytes behind the fixed part of version 2. It may have 65,535; addresses take 36, and the rest, of which nothing
/// is used here, some hundred.
const REST_MAX: usize = 4 << 10;

/// How far a header has come.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Parsed {
    /// At least so many more bytes belong to it.
    Needs(usize),
    /// It is whole, and says this address; none if it speaks of no connection over TCP, or of one of the balancer's own.
    Source(Option<IpAddr>),
}

/// Reads a header, and nothing that stands behind it.
///
/// # Errors
/// The connection's; [`io::ErrorKind::InvalidData`] if it does not begin with a header.
pub(crate) async fn read(line: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut header = Vec::with_capacity(LINE_MAX);
    loop {
        match parse(&header) {
            Ok(Parsed::Source(source)) => return Ok(source),
            Ok(Parsed::Needs(count)) => {
                let before = header.len();
                header.resize(before + count, 0);
                line.read_exact(&mut header[before..]).await?;
            }
            Err(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }
}

/// Looks at the first bytes of a connection.
///
/// # Errors
/// Why they are no header.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, &'static str> {
    let Some(first) = bytes.get(..SIGNATURE.len()) else {
        return Ok(Parsed::Needs(SIGNATURE.len() - bytes.len()));
    };
    if *first == SIGNATURE {
        parse_binary(bytes)
    } else if first.starts_with(b"PROXY ") {
        parse_line(bytes)
    } else {
        Err("the connection does not begin with a PROXY header")
    }
}

/// Section 2.1.
fn parse_line(bytes: &[u8]) -> Result<Parsed, &'static str> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        // What comes is at least the end of the line.
        let least = if bytes.ends_with(b"\r") { 1 } else { 2 };
        let fits = bytes.len() + least <= LINE_MAX;
        return if fits { Ok(Parsed::Needs(least)) } else { Err("the line of the PROXY header has no end") };
    };
    let Some(line) = bytes.strip_suffix(b"\r\n").filter(|line| line.len() + 1 == end) else {
        return Err("the line of the PROXY header does not end as it should");
    };
    let line = std::str::from_utf8(line).map_err(|_| "the line of the PROXY header is no text")?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Parsed::Source(None));
    }
    let (Some(source), Some(target), Some(from), Some(to), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the line of the PROXY header does not have its six words");
    };
    let address = match family {
        Some("TCP4") => both::<Ipv4Addr>(source, target).map(IpAddr::V4),
        Some("TCP6") => both::<Ipv6Addr>(source, target).map(IpAddr::V6),
        _ => return Err("the PROXY header is of a family that is not known"),
    };
    let ports = is_port(from) && is_port(to);
    let address = address.filter(|_| ports).ok_or("the addresses of the PROXY header are none")?;
    Ok(Parsed::Source(Some(address.to_canonical())))
}

/// The first of two addresses, if both are some.
fn both<A: std::str::FromStr>(source: &str, target: &str) -> Option<A> {
    target.parse::<A>().ok()?;
    source.parse().ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Section 2.2.
fn parse_binary(bytes: &[u8]) -> Result<Parsed, &'static str> {
    let Some(&[version_and_command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Ok(Parsed::Needs(FIXED - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_MAX {
        return Err("the PROXY header is too long");
    }
    let is_own = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err("the PROXY header is of a version or has a command that is not known"),
    };
    let Some(rest) = bytes.get(FIXED..FIXED + length) else {
        return Ok(Parsed::Needs(FIXED + length - bytes.len()));
    };
    let source = match family {
        _ if is_own => None,
        // Nothing that is known, or a socket of the Unix domain.
        0x00 | 0x31 => None,
        0x11 => Some(IpAddr::from(source::<4>(rest)?)),
        0x21 => Some(IpAddr::from(source::<16>(rest)?)),
        _ => return Err("the PROXY header is not of TCP"),
    };
    Ok(Parsed::Source(source.map(|address| address.to_canonical())))
}

/// The first of two addresses, behind which stand two ports.
fn source<const SIZE: usize>(rest: &[u8]) -> Result<[u8; SIZE], &'static str> {
    rest.first_chunk().filter(|_| rest.len() >= 2 * SIZE + 4).copied().ok_or("the PROXY header is too short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// What the header says, read from a connection that goes on behind it, of which nothing may be taken.
    async fn check(header: &[u8], expect: Result<Option<&str>, ()>) {
        let connection = [header, b"\x16\x03\x01 what comes next"].concat();
        let mut left = &connection[..];
        let said = read(&mut left).await;
        let shown = String::from_utf8_lossy(header).into_owned();
        match expect {
            Ok(address) => {
                let address = address.map(|address| address.parse::<IpAddr>().expect("an address"));
                assert_eq!(said.expect(&shown), address, "{shown}");
                assert_eq!(left, b"\x16\x03\x01 what comes next", "{shown}");
            }
            Err(()) => assert!(said.is_err(), "{shown} is {said:?}"),
        }
        // The same in pieces asks for the same in the end, whatever is there.
        for end in 0..header.len() {
            let cut = parse(&header[..end]);
            if expect.is_ok() {
                assert!(
                    matches!(cut, Ok(Parsed::Needs(count)) if end + count <= header.len()),
                    "{shown} {cut:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn s2_1_lines() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", Ok(Some("192.0.2.1"))).await;
        check(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Ok(Some("255.255.255.255")))
            .await;
        check(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Ok(Some("2001:db8::1"))).await;
        check(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Ok(Some("192.0.2.1"))).await;
        check(b"PROXY UNKNOWN\r\n", Ok(None)).await;
        let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
        check(longest.as_bytes(), Ok(None)).await;
        for wrong in [
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 nowhere 56324 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.7 1 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.7 1 443\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.7 1 443\r\n",
            "PROXY \r\n.....",
            "PROXY TCP4\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            check(wrong.as_bytes(), Err(())).await;
        }
        check(b"PROXY TCP4 \xff\xff 198.51.100.7 1 443\r\n", Err(())).await;
        check(format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX)).as_bytes(), Err(())).await;
    }

    #[tokio::test]
    async fn s2_2_binary() {
        let four = [&[192, 0, 2, 1, 198, 51, 100, 7, 1, 2, 3, 4][..], b"\x04\0\x03abc"].concat();
        let six: Vec<u8> = [[0x20; 16], [0x21; 16]].concat().into_iter().chain([0, 1, 0, 2]).collect();
        check(&binary(0x21, 0x11, &four), Ok(Some("192.0.2.1"))).await;
        check(&binary(0x21, 0x11, &four[..12]), Ok(Some("192.0.2.1"))).await;
        check(&binary(0x21, 0x21, &six), Ok(Some("2020:2020:2020:2020:2020:2020:2020:2020"))).await;
        check(&binary(0x21, 0x31, &[0; 216]), Ok(None)).await;
        check(&binary(0x21, 0x00, &[]), Ok(None)).await;
        check(&binary(0x20, 0x00, &[]), Ok(None)).await;
        check(&binary(0x20, 0x11, &four), Ok(None)).await;
        check(&binary(0x21, 0x00, &[0; REST_MAX]), Ok(None)).await;
        check(&binary(0x21, 0x00, &[0; REST_MAX + 1]), Err(())).await;
        check(&binary(0x21, 0x11, &four[..11]), Err(())).await;
        check(&binary(0x21, 0x21, &six[..35]), Err(())).await;
        check(&binary(0x21, 0x12, &four), Err(())).await;
        check(&binary(0x21, 0xff, &four), Err(())).await;
        check(&binary(0x22, 0x11, &four), Err(())).await;
        check(&binary(0x11, 0x11, &four), Err(())).await;
        check(&binary(0x31, 0x11, &four), Err(())).await;
    }

    /// No bytes make it panic, or ask for more than a header has.
    #[test]
    fn whatever_comes() {
        let mut seed = 1_u64;
        for start in [&SIGNATURE[..], b"PROXY TCP4 ", b"PROXY TCP6 ::", b""] {
            for _ in 0..2_000 {
                let mut bytes = start.to_vec();
                for _ in 0..120 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    bytes.push((seed >> 56).to_le_bytes()[0]);
                    if let Ok(Parsed::Needs(count)) = parse(&bytes) {
                        assert!((1..=FIXED + REST_MAX).contains(&count), "{bytes:?}");
                    }
                }
            }
        }
    }
}
