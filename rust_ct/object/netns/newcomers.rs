// SPDX-License-Identifier: GPL-2.0

//! Where in the table the connections are that a namespace has begun last.
//!
//! A namespace with few connections of a large table, or of a table that another namespace fills,
//! finds them by this when one has to make room for a new one: a search from bucket to bucket,
//! which is bound, would meet none of them.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Of so many connections it is known, which is a kilobyte for each namespace: nearly all of a
/// namespace with some dozens, and enough to choose from of one with more.
const COUNT: usize = 256;

/// The hash of the connection that came last, of those with each remainder of a division by
/// [`COUNT`]. The connection may be gone.
pub(crate) struct Newcomers([Atomic<u32>; COUNT]);

impl Newcomers {
    /// No connection has come yet.
    pub(crate) const fn new() -> Self {
        // Zero is the hash of no place but the first, where it means a bucket that is searched in
        // vain.
        Self([const { Atomic::new(0) }; COUNT])
    }

    /// Notes the hash of a connection that has come into the table. Any context.
    #[inline]
    pub(crate) fn note(&self, hash: u32) {
        self.0[hash as usize % COUNT].store(hash, Relaxed);
    }

    /// The hashes that are known, that with the remainder of `from` first. Any context.
    pub(crate) fn hashes(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        (0..COUNT).filter_map(move |step| {
            let place = (from as usize).wrapping_add(step) % COUNT;
            let hash = self.0[place].load(Relaxed);
            (hash as usize % COUNT == place).then_some(hash)
        })
    }
}
