// SPDX-License-Identifier: GPL-2.0

//! The buckets of a table of one size.

use crate::{
    bindings,
    object::conn::Candidate,
    sys::{
        call,
        nulls::{
            Head,
            Link,
            Node, //
        },
        rcu::ReadSide, //
    },
};
use core::ops::ControlFlow;
use kernel::prelude::*;

/// Buckets come in multiples of this number, a page full of them and a power of two.
pub(crate) const STEP: u32 = 512;

/// The largest number of buckets: as many lists as an `int` counts bytes of, as in
/// nf_ct_alloc_hashtable().
pub(crate) const MAX_SIZE: u32 = (i32::MAX as u32 / size_of::<Head>() as u32) / STEP * STEP;

/// Which of two sets of buckets: a table that is resized has both for a while, and a reader that is
/// led from a list of one set into a list of the other notices at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    One,
    Other,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::One => Self::Other,
            Self::Other => Self::One,
        }
    }

    /// The number of the list of a bucket.
    #[inline]
    fn list(self, index: usize) -> usize {
        match self {
            Self::One => index,
            Self::Other => index | OTHER,
        }
    }
}

/// Larger than the number of any bucket.
const OTHER: usize = 1 << 29;
const _: () = assert!((MAX_SIZE as usize) < OTHER);

/// The buckets of a table of one size.
pub(super) struct Buckets {
    heads: KVVec<Head>,
    size: u32,
    side: Side,
}

impl Buckets {
    /// Empty buckets, `size` of them, rounded up. Process context, sleeps.
    pub(super) fn new(size: u32, side: Side) -> Result<KBox<Self>> {
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(EINVAL);
        }
        // `MAX_SIZE` is a multiple itself.
        let size = size.wrapping_add(STEP - 1) & !(STEP - 1);
        let mut heads = KVVec::with_capacity(size as usize, GFP_KERNEL | __GFP_NOWARN)?;
        for i in 0..size as usize {
            heads.push(Head::new(side.list(i)), GFP_KERNEL)?;
            if i % STEP as usize == 0 {
                call::rct_cond_resched();
            }
        }
        Ok(KBox::new(Self { heads, size, side }, GFP_KERNEL)?)
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// How many there are.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Makes them those that other modules see. All locks are held, or there is no reader yet.
    pub(super) fn show(&self) {
        // SAFETY: The variables are ours. Other modules read them with the lock of a bucket held,
        // or the number alone.
        unsafe {
            (&raw mut bindings::nf_conntrack_hash)
                .write_volatile(self.heads.as_ptr().cast_mut().cast());
            (&raw mut bindings::nf_conntrack_htable_size).write_volatile(self.size);
        }
    }

    /// The number of the bucket of a hash, as reciprocal_scale().
    #[inline]
    pub(super) fn index(&self, hash: u32) -> usize {
        // CAST: The upper half is below `size`.
        ((u64::from(hash) * u64::from(self.size)) >> 32) as usize
    }

    /// The smallest hash behind those of the bucket of a hash; `None` if it is the last bucket.
    pub(super) fn end(&self, hash: u32) -> Option<u32> {
        let size = u64::from(self.size);
        let next = (self.index(hash) as u64).checked_add(1)?;
        let first = (next << 32)
            .checked_add(size.wrapping_sub(1))?
            .checked_div(size)?;
        u32::try_from(first).ok()
    }

    /// The bucket of a hash.
    #[inline]
    pub(super) fn of(&self, hash: u32) -> Option<Bucket<'_>> {
        self.bucket(self.index(hash))
    }

    #[inline]
    pub(super) fn bucket(&self, index: usize) -> Option<Bucket<'_>> {
        let (head, side) = (self.heads.get(index)?, self.side);
        Some(Bucket { head, index, side })
    }
}

/// One list of the table.
#[derive(Clone, Copy)]
pub(super) struct Bucket<'a> {
    pub(super) head: &'a Head,
    /// Its number, by which it has its lock.
    pub(super) index: usize,
    side: Side,
}

impl<'a> Bucket<'a> {
    /// The number of its list.
    #[inline(always)]
    fn list(self) -> usize {
        self.side.list(self.index)
    }

    /// What `f` finds of the first connection of which it finds something, if there is one. `None`
    /// as of [`Bucket::walk`].
    #[inline(always)]
    pub(super) fn find<R>(
        self,
        _rcu: ReadSide<'a>,
        mut f: impl FnMut(Candidate<'a>) -> Option<R>,
    ) -> Option<Option<R>> {
        // SAFETY: Everything in the list is a connection's link, and RCU keeps the memory that of a
        // connection.
        let found = unsafe { self.head.find(|node| f(Candidate::new(node))) };
        match found {
            Ok(found) => Some(Some(found)),
            Err(list) => (list == self.list()).then_some(None),
        }
    }

    /// Calls `f` for each connection until it breaks. `None` if a connection was moved to another
    /// list while we were at it, so that some may have been missed.
    #[inline(always)]
    pub(super) fn walk<R>(
        self,
        _rcu: ReadSide<'a>,
        mut f: impl FnMut(Candidate<'a>) -> ControlFlow<R>,
    ) -> Option<ControlFlow<R>> {
        let mut link = self.head.first();
        loop {
            match link {
                Link::Node(node) => {
                    // The next link is read first: `f` may end the connection, whose link then
                    // may lead into the dying list.
                    // SAFETY: Everything in the list is a connection's link, and RCU keeps the
                    // memory that of a connection.
                    let (next, candidate) = unsafe { (Node::next(node), Candidate::new(node)) };
                    if let ControlFlow::Break(found) = f(candidate) {
                        return Some(ControlFlow::Break(found));
                    }
                    link = next;
                }
                Link::End(list) if list == self.list() => return Some(ControlFlow::Continue(())),
                Link::End(_) => return None,
            }
        }
    }
}
