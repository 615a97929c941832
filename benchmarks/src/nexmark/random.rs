//! The generator's randomness: SplitMix64, one stream per event. It is small, fast and frozen here,
//! because the topics that results refer to depend on every bit of it. Not for anything secret.

/// A stream of numbers that is determined by the seed and the event's number.
pub(crate) struct Random {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    pub(crate) fn for_event(seed: u64, number: u64) -> Self {
        // Mixed once before use: neighbouring events would otherwise be one step apart in the
        // same sequence and so share most of their numbers.
        Self { state: mix(seed ^ mix(number.wrapping_add(GOLDEN_GAMMA))) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// A number from 0 up to, not including, `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product scales without the bias towards small numbers (or the
        // division) of a remainder.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in [0, 1).
    pub(crate) fn fraction(&mut self) -> f64 {
        const DISTINCT: f64 = (1u64 << 53) as f64;
        (self.next() >> 11) as f64 / DISTINCT
    }

    /// Appends exactly `length` letters from a to z.
    pub(crate) fn letters(&mut self, length: usize, to: &mut Vec<u8>) {
        let mut missing = length;
        while missing > 0 {
            let bytes = self.next().to_le_bytes().map(letter);
            let taken = missing.min(bytes.len());
            to.extend_from_slice(&bytes[..taken]);
            missing -= taken;
        }
    }

    /// Appends a string of 3 to `longest - 1` letters, as Nexmark makes its names and descriptions.
    pub(crate) fn word(&mut self, longest: u64, to: &mut Vec<u8>) {
        const SHORTEST: u64 = 3;
        let length = SHORTEST + self.below(longest - SHORTEST);
        self.letters(length as usize, to);
    }

    pub(crate) fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn letter(byte: u8) -> u8 {
    b'a' + ((u16::from(byte) * 26) >> 8) as u8
}
