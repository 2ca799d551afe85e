//! Places in a channel's log and in time: offset, epoch, position, timestamp. Plain values; who assigns
//! them is the store's business, who compares them the hub's.

use std::fmt;

/// A publication's place in its channel: 1, 2, 3… without holes in a `log`. 0 is the place before the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The place before the first publication.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before this one; 0 stays 0.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many places lie in `(earlier, self]`; 0 if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The random name of one life of a store. Entries written in different lives carry different epochs, so
/// a position from a life whose end was lost is recognised.
///
/// 40 bits, written as base 36 (at most 8 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// A text that is not an epoch's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is 1 to 8 characters of 0–9 a–z, as the server gave it")]
pub struct InvalidEpoch;

impl Epoch {
    const BITS: u32 = 40;

    /// The name that stands where no entry is meant.
    pub const NONE: Self = Self(0);

    /// The epoch named by the low 40 bits of `random`.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        Self(random & ((1 << Self::BITS) - 1))
    }

    /// The number behind the name, below 2^40, as stores keep it.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// Reads a name as [`fmt::Display`] writes it.
    ///
    /// # Errors
    /// [`InvalidEpoch`] if it is none.
    pub fn parse(name: &str) -> Result<Self, InvalidEpoch> {
        let number = u64::from_str_radix(name, 36).map_err(|_| InvalidEpoch)?;
        let epoch = Self(number);
        // One epoch has one spelling: no sign, no capitals, no leading zeros.
        if number < 1 << Self::BITS && epoch.to_string() == name { Ok(epoch) } else { Err(InvalidEpoch) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0u8; 8];
        let mut rest = self.0;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(std::str::from_utf8(&digits[at..]).expect("base-36 digits are ASCII"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a log that names one publication for ever: the epoch of the entry at that offset, and the
/// offset. (any epoch, 0) is the place before the first publication.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    /// The epoch of the entry at `offset`.
    pub epoch: Epoch,
    /// The offset.
    pub offset: Offset,
}

/// Milliseconds since 1970-01-01 UTC, by the clock of the store or the node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_written_in_base_36_and_read_back() {
        for number in [0, 1, 35, 36, 13_291, (1 << 40) - 1] {
            let epoch = Epoch::from_random(number);
            assert_eq!(Epoch::parse(&epoch.to_string()), Ok(epoch));
        }
        assert_eq!(Epoch::from_random(36 * 36 * 10 + 36 + 15).to_string(), "a1f");
        assert_eq!(Epoch::from_random(u64::MAX).number(), (1 << 40) - 1);
    }

    #[test]
    fn what_is_no_epoch_is_refused() {
        for name in ["", "A1F", "a-f", "+1", "01", "000000001", "zzzzzzzz", "123456789", "é"] {
            assert_eq!(Epoch::parse(name), Err(InvalidEpoch), "{name:?}");
        }
    }
}
