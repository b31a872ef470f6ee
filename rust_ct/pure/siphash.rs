// SPDX-License-Identifier: GPL-2.0

//! SipHash-1-3, a keyed hash for tables.
//!
//! One round for each word and three at the end, where SipHash-2-4 has two and four: the kernel's
//! hsiphash(), which is this one on machines of 64 bits, is meant for tables whose hashes stay
//! inside (Documentation/security/siphash.rst). So it is here: a sender that does not know the key
//! cannot choose what falls into one bucket. What is shown of a hash is how long a lookup takes
//! and, to the owner of a namespace, the order of its connections in a listing.
//!
//! Source: Jean-Philippe Aumasson and Daniel J. Bernstein, "SipHash: a fast short-input PRF"
//! (2012).

/// A secret key.
pub(crate) type Key = [u64; 2];

/// What the hash begins with: the key, and letters that make the words differ.
#[derive(Clone, Copy)]
pub(crate) struct Seed(pub(crate) [u64; 4]);

impl Seed {
    /// That of a key.
    pub(crate) const fn new(key: Key) -> Self {
        Self([
            u64::from_be_bytes(*b"somepseu"),
            u64::from_be_bytes(*b"dorandom"),
            u64::from_be_bytes(*b"lygenera"),
            u64::from_be_bytes(*b"tedbytes"),
        ])
        .with(key)
    }

    /// That of the key whose bits differ in these.
    #[inline(always)]
    pub(crate) const fn with(self, [k0, k1]: Key) -> Self {
        let [v0, v1, v2, v3] = self.0;
        Self([v0 ^ k0, v1 ^ k1, v2 ^ k0, v3 ^ k1])
    }
}

/// The state, four words.
struct State(u64, u64, u64, u64);

impl State {
    #[inline(always)]
    const fn round(self) -> Self {
        let Self(mut v0, mut v1, mut v2, mut v3) = self;
        v0 = v0.wrapping_add(v1);
        v2 = v2.wrapping_add(v3);
        v1 = v1.rotate_left(13) ^ v0;
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.rotate_left(32).wrapping_add(v3);
        v2 = v2.wrapping_add(v1);
        v3 = v3.rotate_left(21) ^ v0;
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        Self(v0, v1, v2, v3)
    }

    #[inline(always)]
    const fn take(self, word: u64) -> Self {
        let Self(v0, v1, v2, v3) = self;
        let Self(v0, v1, v2, v3) = Self(v0, v1, v2, v3 ^ word).round();
        Self(v0 ^ word, v1, v2, v3)
    }

    #[inline(always)]
    const fn end(self) -> u64 {
        let Self(v0, v1, v2, v3) = self;
        let Self(v0, v1, v2, v3) = Self(v0, v1, v2 ^ 0xff, v3).round().round().round();
        v0 ^ v1 ^ v2 ^ v3
    }
}

/// All bytes of a word but the highest.
const REST: u64 = u64::MAX >> 8;

/// The hash of so many words, less the highest byte of the last one, which does not count.
///
/// That is where the number of bytes belongs: so there is a round less than for whole words.
#[inline(always)]
pub(crate) fn hash<const N: usize>(Seed([a, b, c, d]): Seed, words: [u64; N]) -> u64 {
    const { assert!(N > 0 && N * size_of::<u64>() < 1 << 8) };
    let len = const { (N * size_of::<u64>() - 1) as u64 } << 56;

    let mut state = State(a, b, c, d);
    // Unrolled, as an iterator is not.
    let mut i = 0;
    while i < N - 1 {
        state = state.take(words[i]);
        i += 1;
    }
    state.take(words[N - 1] & REST | len).end()
}
