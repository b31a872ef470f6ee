// SPDX-License-Identifier: GPL-2.0

//! Masks: which bits of a tuple's source an expectation cares about. The destination always counts.

use crate::pure::tuple::{
    Addr,
    Tuple, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Which bits of the source count, laid out as the kernel's `struct nf_conntrack_tuple_mask`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Mask {
    addr: Addr,
    /// Of the port, ICMP identifier or GRE key, in network order.
    id: [u8; 2],
    /// Room up to the kernel's size, of no meaning.
    padding: [u8; 2],
}

const _: () = assert!(size_of::<Mask>() == 20 && core::mem::offset_of!(Mask, id) == 16);

impl PartialEq for Mask {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr && self.id == other.id
    }
}

impl Eq for Mask {}

impl Mask {
    /// A mask for an address, and for a port or its like.
    pub(crate) const fn new(addr: Addr, id: [u8; 2]) -> Self {
        Self {
            addr,
            id,
            padding: [0; 2],
        }
    }

    /// Returns whether two tuples are the same but for what does not count.
    ///
    /// Source: include/net/netfilter/nf_conntrack_tuple.h, nf_ct_tuple_mask_cmp().
    pub(crate) fn matches(&self, a: &Tuple, b: &Tuple) -> bool {
        a.with_source(self.addr.and(a.src()), self.and_id(a))
            == b.with_source(self.addr.and(b.src()), self.and_id(b))
    }

    fn and_id(&self, tuple: &Tuple) -> [u8; 2] {
        let ([a, b], [m, n]) = (tuple.src_id(), self.id);
        [a & m, b & n]
    }

    /// What counts for both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let ([a, b], [m, n]) = (self.id, other.id);
        Self::new(self.addr.and(&other.addr), [a & m, b & n])
    }
}
