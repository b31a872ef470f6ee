// SPDX-License-Identifier: GPL-2.0

//! The hash of the table, beside the kernel's.

use crate::{
    bindings,
    pure::siphash::{
        hash,
        Seed, //
    },
    random::Random, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

#[kunit_tests(rust_ct_siphash)]
mod tests {
    use super::*;

    /// A hash is that of the kernel's hsiphash() of all bytes but the last, whose lower half it
    /// gives on machines of 64 bits, whatever the key.
    #[test]
    fn the_hash_is_hsiphash() -> Result {
        const ROUNDS: u32 = 1000;

        let mut random = Random::of("the_hash_is_hsiphash");
        let mut word = || {
            let mut bytes = [0; size_of::<u64>()];
            random.fill(&mut bytes);
            u64::from_ne_bytes(bytes)
        };
        for _ in 0..ROUNDS {
            let key = [word(), word()];
            let words: [u64; 5] = core::array::from_fn(|_| word());
            let [a, b, ..] = words;
            // SAFETY: So many bytes are there, and the key has two words.
            let expected = unsafe {
                [
                    bindings::rct_kunit_hsiphash([a, b].as_ptr(), 15, key.as_ptr()),
                    bindings::rct_kunit_hsiphash(words.as_ptr(), 39, key.as_ptr()),
                ]
            };
            // CAST: The lower half is compared.
            let found = [
                hash(Seed::new(key), [a, b]) as u32,
                hash(Seed::new(key), words) as u32,
            ];
            check_eq!(found, expected);
        }
        Ok(())
    }
}
