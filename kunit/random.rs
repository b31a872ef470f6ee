// SPDX-License-Identifier: GPL-2.0

//! Random numbers that can be repeated: each test that uses them logs the seed.

use crate::bindings;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The seed of random tests.
static SEED: Atomic<u64> = Atomic::new(0);

/// Takes the seed that was asked for, or draws one if it is zero.
pub(crate) fn begin(asked: u64) {
    // SAFETY: May be called in any context.
    let drawn = || u64::from(unsafe { bindings::get_random_u32() }).max(1);
    SEED.store(if asked > 0 { asked } else { drawn() }, Relaxed);
}

/// A sequence of random numbers (xorshift64*, by Sebastiano Vigna).
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a test, which logs how to repeat it.
    pub(crate) fn of(test: &str) -> Self {
        let seed = SEED.load(Relaxed);
        pr_info!("# {test}: seed={seed}\n");
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    /// The next number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // CAST: The remainder is below `end`.
        (self.next() % end as u64) as usize
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Fills a buffer.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.byte());
    }
}
