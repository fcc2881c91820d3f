//! Names of blocks: ULIDs.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    clock::Clock,
    error::{Error, Result},
};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;

/// Name of a block: a ULID, that is 48 bits of milliseconds and 80 random bits.
///
/// Printed in upper case as 26 characters of Crockford's base 32; read in either case.
///
/// ```
/// use thanoslib::BlockId;
/// let id: BlockId = "01BX5ZZKBKACTAV9WEVGEMMVS0".parse()?;
/// assert_eq!(id.time_ms(), 1_508_808_576_371);
/// assert!(BlockId::from_parts(id.time_ms() + 1, 0) > id);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u128);

impl BlockId {
    /// An id of its parts; only the low 48 and 80 bits count.
    pub const fn from_parts(time_ms: u64, random: u128) -> Self {
        Self(((time_ms as u128) & ((1 << 48) - 1)) << 80 | random & ((1 << 80) - 1))
    }

    /// The 16 bytes of the id, most significant first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id of 16 bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// When the block was made, in milliseconds since the Unix epoch.
    pub const fn time_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in (0..TEXT_LEN).rev() {
            let c = ALPHABET[(self.0 >> (5 * i)) as usize & 31];
            fmt::Write::write_char(f, c as char)?;
        }
        Ok(())
    }
}

impl FromStr for BlockId {
    type Err = Error;

    /// Compat: the texts are those of the ULID package that Prometheus uses, in strict mode.
    fn from_str(s: &str) -> Result<Self> {
        if s.len() != TEXT_LEN {
            return Err(Error::invalid("ulid: bad data size when unmarshaling"));
        }
        let mut id = 0u128;
        for (i, c) in s.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|a| *a == c.to_ascii_uppercase());
            let digit = digit.ok_or_else(|| Error::invalid("ulid: bad data characters when unmarshaling"))?;
            // 26 digits have 130 bits, so the first must leave the upper two free.
            if i == 0 && digit > 7 {
                return Err(Error::invalid("ulid: overflow when unmarshaling"));
            }
            id = id << 5 | digit as u128;
        }
        Ok(Self(id))
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes ascending ids from a clock and a seed, so that a run can be repeated.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{block::BlockIdGenerator, clock::ManualClock};
/// let mut ids = BlockIdGenerator::new(Arc::new(ManualClock::new(1_000)), 42);
/// let (a, b) = (ids.next_id(), ids.next_id());
/// assert!(a < b && a.time_ms() == 1_000);
/// ```
#[derive(Debug)]
pub struct BlockIdGenerator {
    clock: Arc<dyn Clock>,
    state: u64,
    last: BlockId,
}

impl BlockIdGenerator {
    /// A generator; two with the same clock and seed make the same ids.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { clock, state: seed, last: BlockId::default() }
    }

    /// The next id, greater than every one before.
    pub fn next_id(&mut self) -> BlockId {
        let now = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        let random = u128::from(self.random()) << 64 | u128::from(self.random());
        let fresh = BlockId::from_parts(now, random);
        // Within one millisecond, and when the clock went back, ids count up.
        self.last = if fresh.time_ms() > self.last.time_ms() || self.last == BlockId::default() {
            fresh
        } else {
            BlockId(self.last.0.saturating_add(1))
        };
        self.last
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn ids_are_read_strictly_and_printed_in_upper_case() {
        let check = |input: &str, want: Option<&str>| {
            let got = input.parse::<BlockId>().ok().map(|id| id.to_string());
            assert_eq!(got.as_deref(), want, "{input}");
        };
        check("01EJ3PX000YSB2JRHCP0ZFPEJT", Some("01EJ3PX000YSB2JRHCP0ZFPEJT"));
        check("01ej3px000ysb2jrhcp0zfpejt", Some("01EJ3PX000YSB2JRHCP0ZFPEJT"));
        check("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", Some("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
        check("8ZZZZZZZZZZZZZZZZZZZZZZZZZ", None);
        check("01EJ3PX000YSB2JRHCP0ZFPEJI", None);
        check("01EJ3PX000YSB2JRHCP0ZFPEJ", None);
        check("01EJ3PX000YSB2JRHCP0ZFPEJ\u{e9}", None);
    }

    #[test]
    fn generated_ids_ascend_and_repeat_with_the_seed() {
        let clock = Arc::new(ManualClock::new(1000));
        let ids = |seed| {
            clock.set(1000);
            let mut generator = BlockIdGenerator::new(Arc::<ManualClock>::clone(&clock), seed);
            let mut ids: Vec<_> = (0..3).map(|_| generator.next_id()).collect();
            clock.set(500);
            ids.push(generator.next_id());
            clock.set(2000);
            ids.push(generator.next_id());
            ids
        };
        let first = ids(1);
        assert!(first.is_sorted() && first.windows(2).all(|w| w[0] != w[1]));
        assert_eq!((first[0].time_ms(), first[4].time_ms()), (1000, 2000));
        assert_eq!(first, ids(1));
        assert_ne!(first, ids(2));
    }
}
