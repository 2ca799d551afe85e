//! What is wanted of a certificate (RFC 5280) and rustls does not tell: from when to when it is good. Read out of its DER byte
//! by byte; whether it is right in all the rest is judged by rustls.

use std::time::Duration;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, the version.
const VERSION: u8 = 0xa0;

/// From when to when a certificate is good, in seconds since 1970. What is before counts as 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outline {
    pub(crate) begin: u64,
    /// The last second.
    pub(crate) end: u64,
}

impl Outline {
    /// `None` if it is no certificate as RFC 5280 has it.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(certificate).take(SEQUENCE)?);
        let mut inner = Der(certificate.take(SEQUENCE)?);
        if inner.0.first() == Some(&VERSION) {
            inner.take(VERSION)?;
        }
        inner.take(INTEGER)?;
        // The algorithm and the issuer.
        inner.take(SEQUENCE)?;
        inner.take(SEQUENCE)?;
        let mut validity = Der(inner.take(SEQUENCE)?);
        Some(Self { begin: validity.time()?, end: validity.time()? })
    }

    /// How long it is good in all.
    pub(crate) fn life(&self) -> Duration {
        Duration::from_secs(self.end.saturating_sub(self.begin))
    }
}

/// What is left to be read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, which is one of this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (size, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // So many bytes of size follow.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(size)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn time(&mut self) -> Option<u64> {
        let (tag, text) = self.next()?;
        let (year, text) = match tag {
            UTC_TIME => {
                let (year, text) = number(text, 2)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, text)
            }
            GENERALIZED_TIME => number(text, 4)?,
            _ => return None,
        };
        let (month, text) = number(text, 2)?;
        let (day, text) = number(text, 2)?;
        let (hour, text) = number(text, 2)?;
        let (minute, text) = number(text, 2)?;
        let (second, text) = number(text, 2)?;
        let is_one =
            (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
        if text != b"Z" || !is_one {
            return None;
        }
        Some(days(year, month, day).saturating_mul(86_400) + hour * 3_600 + minute * 60 + second)
    }
}

/// So many digits, and what follows.
fn number(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (text, rest) = text.split_at_checked(digits)?;
    let number = text
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')));
    Some((number?, rest))
}

/// Days since 1970, for the calendar that begins its years with March: a leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    (of_years + (month * 153 + 2) / 5 + day - 1).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(begin: (i32, u8, u8), end: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example.org".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(begin.0, begin.1, begin.2);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn s4_1_2_5_times_are_read() {
        let check = |begin: (i32, u8, u8), end: (i32, u8, u8), expect: (u64, u64)| {
            let outline = Outline::of(&certificate(begin, end)).expect("it is one");
            assert_eq!((outline.begin, outline.end), expect, "{begin:?} {end:?}");
        };
        check((1970, 1, 1), (1970, 1, 2), (0, 86_400));
        check((1999, 12, 31), (2000, 3, 1), (946_598_400, 951_868_800));
        check((2024, 2, 29), (2049, 12, 31), (1_709_164_800, 2_524_521_600));
        check((2026, 11, 20), (2050, 1, 1), (1_795_132_800, 2_524_608_000));
        check((1950, 1, 1), (2999, 1, 1), (0, 32_472_144_000));
        check((2100, 2, 28), (2100, 3, 1), (4_107_456_000, 4_107_542_400));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let whole = certificate((2024, 1, 1), (2025, 1, 1));
        assert!(Outline::of(&whole).is_some());
        for size in 0..whole.len() {
            assert_eq!(Outline::of(&whole[..size]), None, "{size} of {} bytes", whole.len());
        }
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                // It says something, or nothing.
                let _ = Outline::of(&changed);
            }
        }
    }
}
