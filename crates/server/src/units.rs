//! Sizes and durations as people write them in configuration: `16KiB`, `24h`.

use std::time::Duration;

use trunkline_model::Rate;

const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
const TIMES_MS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a size in bytes.
///
/// # Errors
/// A sentence that says what a size looks like.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let bytes = scaled(text, SIZES).ok_or_else(|| {
        format!("{text:?} is not a size; write a whole number and a unit, like \"16KiB\" or \"1MiB\"")
    })?;
    usize::try_from(bytes).map_err(|_| format!("{text:?} is more than this machine can address"))
}

/// Reads a duration.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    scaled(text, TIMES_MS).map(Duration::from_millis).ok_or_else(|| {
        format!(
            "{text:?} is not a duration; write a whole number and a unit, like \"30s\", \"10m\" or \"24h\""
        )
    })
}

/// Reads a rate; its burst is what comes in a second, at least 1.
///
/// # Errors
/// A sentence that says what a rate looks like.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let wrong =
        || format!("{text:?} is not a rate; write a whole number of times per s, m or h, like \"10/s\"");
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    let per = match per.trim() {
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return Err(wrong()),
    };
    if count == 0 || count > RATE_MAX {
        return Err(format!("{text:?} is not a rate; the number is 1 to {RATE_MAX}"));
    }
    let interval = per / count;
    let burst =
        u32::try_from(Duration::from_secs(1).as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX).max(1);
    Ok(Rate { interval, burst })
}

/// The most times in a rate.
const RATE_MAX: u32 = 1_000_000;

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expect: Option<usize>| assert_eq!(size(text).ok(), expect, "{text}");
        check("16KiB", Some(16_384));
        check("1 MiB", Some(1 << 20));
        check("500B", Some(500));
        check("2MB", Some(2_000_000));
        check("16", None);
        check("KiB", None);
        check("-1KiB", None);
        check("1.5MiB", None);
        check("99999999999999999999GiB", None);
        check("18446744073709551615GiB", None);
    }

    #[test]
    fn durations() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(duration(text).ok(), seconds.map(Duration::from_secs), "{text}");
        };
        check("30s", Some(30));
        check("10m", Some(600));
        check("24h", Some(86_400));
        check("7d", Some(604_800));
        check("forever", None);
        check("", None);
    }
}
