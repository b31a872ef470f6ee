// SPDX-License-Identifier: GPL-2.0

//! The hash of the table of connections.

use crate::pure::siphash::{
    hash,
    Seed, //
};
use proptest::prelude::*;
use std::{
    collections::{
        hash_map::DefaultHasher,
        HashSet, //
    },
    hash::Hasher, //
};

/// The hash of the standard library, which is SipHash-1-3 with a key of zeroes, of all bytes but
/// the last.
fn standard<const N: usize>(words: [u64; N]) -> u64 {
    let bytes = words.map(u64::to_le_bytes).concat();
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes[..bytes.len() - 1]);
    hasher.finish()
}

/// Each bit of a key counts.
#[test]
fn keys_matter() {
    let one = |bit| [1u64 << bit, 0];
    let other = |bit| [0, 1u64 << bit];
    let keys = (0..64).flat_map(|bit| [one(bit), other(bit)]);
    let hashes: HashSet<u64> = keys
        .chain([[0, 0]])
        .map(|key| hash(Seed::new(key), [1, 2]))
        .collect();
    assert_eq!(hashes.len(), 129);
}

/// A key that has bits in common with what it is mixed with.
#[test]
fn a_key_is_mixed_in() {
    let words = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    assert_eq!(hash(Seed::new(words), words), 0xd320_d86d_2a51_9956);
}

proptest! {
    /// The hash is SipHash-1-3. (KUnit compares it with the kernel's for other keys.)
    #[test]
    fn the_hash_is_siphash_1_3(words in any::<[u64; 5]>()) {
        let [a, b, ..] = words;
        prop_assert_eq!(hash(Seed::new([0, 0]), [a, b]), standard([a, b]));
        prop_assert_eq!(hash(Seed::new([0, 0]), words), standard(words));
    }
}
