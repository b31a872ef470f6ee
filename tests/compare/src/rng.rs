// SPDX-License-Identifier: GPL-2.0

//! Random numbers that are the same for ever for the same seed.
//!
//! Only the generator comes from a crate, which promises its values; what is drawn from it
//! is drawn here, so that no new version of a crate changes a sequence.

use rand_pcg::{
    rand_core::Rng as _,
    Pcg32, //
};

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(Pcg32);

impl Rng {
    /// The generator for the thing that these numbers name together.
    pub fn of(numbers: &[u64]) -> Self {
        let state = numbers.iter().fold(0, |state, &number| mix(state ^ number));
        Self(Pcg32::new(state, mix(state)))
    }

    /// Any number.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any number.
    pub fn u16(&mut self) -> u16 {
        (self.u32() >> 16) as u16
    }

    /// Any number.
    pub fn u8(&mut self) -> u8 {
        (self.u32() >> 24) as u8
    }

    /// A number less than `limit`; zero if that is zero.
    pub fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.u32()) * u64::from(limit)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// An index of something that has `len` parts.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u32) as usize
    }

    /// True in so many cases of a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// True in one of so many cases.
    pub fn one_in(&mut self, cases: u32) -> bool {
        self.below(cases) == 0
    }

    /// One of some things.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.index(things.len())]
    }

    /// One of some things, each as likely as the weight before it.
    pub fn weighted<T: Copy>(&mut self, things: &[(u32, T)]) -> T {
        let sum = things.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(sum);
        for &(weight, thing) in things {
            if left < weight {
                return thing;
            }
            left -= weight;
        }
        unreachable!("a number below the sum of the weights falls on one of them")
    }

    /// So many random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.u8()).collect()
    }

    /// A number that is `value` or up to `by` off, either way.
    pub fn near(&mut self, value: u32, by: u32) -> u32 {
        value.wrapping_add(self.below(2 * by + 1)).wrapping_sub(by)
    }
}

/// Spreads the bits of a number over all of it (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this test fails, every seed that was ever noted down means something else.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::of(&[7, 1, 0]);
        let drawn = [rng.u32(), rng.below(1000), rng.u32()];
        assert_eq!(drawn, [2196647449, 22, 2597235079]);
    }

    #[test]
    fn numbers_stay_in_their_ranges() {
        let mut rng = Rng::of(&[1]);
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            assert!((5..=7).contains(&rng.range(5, 7)));
            assert!(rng.near(u32::MAX, 1).wrapping_add(2) <= 2);
            assert_ne!(rng.weighted(&[(1, 'a'), (0, 'b'), (2, 'c')]), 'b');
        }
        assert_eq!(rng.below(0), 0);
    }
}
