// SPDX-License-Identifier: GPL-2.0

//! Socket buffers: reading a packet, and the slot that carries what tracking attached to it.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use crate::{
    bindings,
    sys::{
        field::{
            field,
            Fixed,
            Memory, //
        },
        net::Net, //
    },
};
use core::{
    mem::MaybeUninit,
    slice, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

// Safe, because that is all that they ask for, in any context: a buffer of ours, as [`Skb`] has it.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe fn rct_skb_csum_none(skb: &Skb) -> bool;
    safe fn rct_skb_csum_set_unnecessary(skb: &Skb);
    safe fn rct_skb_is_gso(skb: &Skb) -> bool;
    safe fn rct_skb_is_loopback(skb: &Skb) -> bool;
    safe fn rct_skb_mark(skb: &Skb) -> u32;
    /// The device of a packet lives while the packet is on its way.
    safe fn rct_skb_dev(skb: &Skb) -> Option<&Memory<bindings::net_device>>;
    /// The device of a packet lives while the packet is on its way, and with it the namespace.
    safe fn rct_skb_dev_net(skb: &Skb) -> Option<&Net>;
    safe fn skb_ensure_writable(skb: &mut Skb, len: u32) -> c_int;
    safe fn rct_skb_trim(skb: &mut Skb, len: c_uint) -> c_int;
    safe fn rct_skb_ipv4_len(skb: &Skb) -> c_uint;
    safe fn rct_skb_ipv6_payload_len(skb: &Skb) -> c_uint;
    /// Checks the header for every hop, and reads a jumbogram's length from it.
    safe fn nf_ip6_check_hbh_len(skb: &mut Skb, len: &mut u32) -> c_int;
    /// The network header was checked by the IP layer before any hook ran.
    safe fn nf_checksum(skb: &Skb, hook: u32, dataoff: u32, proto: u8, family: u16) -> u16;
}

/// A packet on its way, the kernel's `struct sk_buff`.
///
/// # Invariants
///
/// The owner of the buffer lends it: no other code uses it while a reference lives.
#[repr(transparent)]
pub(crate) struct Skb(Memory<bindings::sk_buff>, NotThreadSafe);

impl Skb {
    /// The buffer at `skb`.
    ///
    /// # Safety
    ///
    /// `skb` must be a valid buffer that the caller owns, or was lent, for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(skb: *mut bindings::sk_buff) -> &'a mut Self {
        // SAFETY: `Self` is a transparent wrapper, and the caller vouches for the pointer.
        // INVARIANT: The caller also vouches that no other code uses the buffer.
        unsafe { &mut *skb.cast() }
    }

    /// Makes the first bytes of the packet writable, and its own; `None` if it has not so many, or
    /// there is no memory.
    pub(crate) fn make_writable(&mut self, len: u32) -> Option<Writable<'_>> {
        // INVARIANT: They are linear and the packet's own now.
        (skb_ensure_writable(self, len) == 0).then_some(Writable { skb: self, len })
    }

    /// Cuts off what is behind so many bytes. The Internet checksum of the whole follows.
    pub(crate) fn trim(&mut self, len: u32) -> Result {
        to_result(rct_skb_trim(self, len))
    }

    /// How long the packet is by its header of IPv4, which is in the linear part.
    pub(crate) fn ipv4_len(&self) -> u32 {
        rct_skb_ipv4_len(self)
    }

    /// How long the packet is by its header of IPv6, which is in the linear part, and by that for
    /// every hop.
    pub(crate) fn ipv6_len(&mut self) -> Result<u32> {
        /// What the header counts not: itself.
        const HEADER: u32 = 40;
        const NEXT_HEADER: u32 = 6;
        const HOP_BY_HOP: u8 = 0;

        let mut len = rct_skb_ipv6_payload_len(self);
        let at = u32::try_from(self.network_offset()).map_err(|_| EINVAL)?;
        if self.read(at.wrapping_add(NEXT_HEADER)) == Some([HOP_BY_HOP]) {
            to_result(nf_ip6_check_hbh_len(self, &mut len))?;
        }
        Ok(len.saturating_add(HEADER))
    }

    /// Returns whether the packet goes from this machine to itself.
    pub(crate) fn is_loopback(&self) -> bool {
        rct_skb_is_loopback(self)
    }

    /// The kernel's pointer, for a callee that borrows the packet in turn.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut bindings::sk_buff {
        self.0.get()
    }

    /// Number of bytes from the start of the data, linear or not.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        field!(self.0, len as Fixed<_>).load()
    }

    /// Offset of the network header from the start of the data; negative if it was pulled.
    #[inline]
    pub(crate) fn network_offset(&self) -> i32 {
        let head = field!(self.0, head as Fixed<*mut u8>).load();
        let data = field!(self.0, data as Fixed<*mut u8>).load();
        // SAFETY: By the type invariant, the buffer is valid, and no other code uses it. Both of
        // the union are the same.
        let offset = unsafe {
            (*self.0.get())
                .__bindgen_anon_4
                .headers
                .as_ref()
                .network_header
        };
        let header = head.addr().wrapping_add(offset.into());
        // CAST: Both are in one buffer.
        header.wrapping_sub(data.addr()) as i32
    }

    /// Where the linear part of the data is, and how long; of all that is `len` long.
    #[inline]
    fn linear_of(&self, len: u32) -> (*mut u8, u32) {
        let beyond = field!(self.0, data_len as Fixed<u32>).load();
        let data = field!(self.0, data as Fixed<_>).load();
        (data, len.wrapping_sub(beyond))
    }

    #[inline]
    fn linear(&self) -> (*mut u8, u32) {
        self.linear_of(self.len())
    }

    /// The linear part of the data, and how much data there is.
    #[inline]
    pub(crate) fn linear_bytes(&self) -> (&[u8], u32) {
        let len = self.len();
        let (data, linear) = self.linear_of(len);
        // SAFETY: So many bytes are there. By the type invariant no other code uses the buffer
        // while it is borrowed, and a holder of a clone of it, with the same data, does not write
        // to them.
        (unsafe { slice::from_raw_parts(data, linear as usize) }, len)
    }

    /// Copies `N` bytes from `offset` on; `None` if the packet does not hold all of them.
    #[inline]
    pub(crate) fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let skb = self.0.get();
        let (data, linear) = self.linear();
        // CAST: `N` is the size of a header.
        let end = offset.checked_add(N as u32)?;
        if end <= linear {
            // SAFETY: The linear part holds these bytes.
            return Some(unsafe { data.add(offset as usize).cast::<[u8; N]>().read() });
        }
        let from = i32::try_from(offset).ok()?;
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: `bytes` is valid for `N` bytes, and `skb_copy_bits` checks the rest. It fills
        // them all, or fails.
        unsafe {
            let err = bindings::skb_copy_bits(skb, from, bytes.as_mut_ptr().cast(), N as c_int);
            (err == 0).then(|| bytes.assume_init())
        }
    }

    /// Returns whether the transport checksum is right, pseudo header included.
    ///
    /// `dataoff` is the offset of the transport header in bytes. Source: net/netfilter/utils.c,
    /// nf_checksum().
    #[inline(always)]
    pub(crate) fn checksum_ok(&self, hook: u8, dataoff: u32, proto: u8, nfproto: u16) -> bool {
        // Of most packets the device has found so, or they are this machine's own: no function is
        // called for them.
        const UNNECESSARY: u8 = bindings::CHECKSUM_UNNECESSARY as u8;
        const PARTIAL: u8 = bindings::CHECKSUM_PARTIAL as u8;
        // SAFETY: By the type invariant, the buffer is valid, and no other code uses it. Both of
        // the union are the same.
        let summed = unsafe {
            (*self.0.get())
                .__bindgen_anon_4
                .headers
                .as_ref()
                .ip_summed()
        };
        matches!(summed, UNNECESSARY | PARTIAL)
            || nf_checksum(self, hook.into(), dataoff, proto, nfproto) == 0
    }

    /// Returns whether the CRC32c of an SCTP packet is right, with its header at `dataoff`; if it
    /// is, or the device has found so, it need not be checked again.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_error().
    pub(crate) fn crc32c_ok(&self, dataoff: u32) -> bool {
        /// Offset of the checksum in the header, and its length.
        const SUM: u32 = 8;
        const SUM_LEN: u32 = 4;

        let skb = self.0.get();
        if !rct_skb_csum_none(self) {
            return true;
        }
        let Some(sum) = dataoff.checked_add(SUM).and_then(|at| self.read::<4>(at)) else {
            return false;
        };
        // The header is inside the packet, so its end is too.
        let rest = dataoff.wrapping_add(SUM + SUM_LEN);
        // The checksum counts as zero in the sum. SAFETY: By the type invariant, the buffer is
        // valid and ours. The header is inside it, as `read` has found, and so is what is behind
        // the header.
        let crc = unsafe {
            let crc = bindings::skb_crc32c(skb, dataoff as c_int, SUM as c_int, !0);
            let crc = bindings::crc32c(crc, [0u8; SUM_LEN as usize].as_ptr().cast(), 4);
            !bindings::skb_crc32c(
                skb,
                rest as c_int,
                self.len().wrapping_sub(rest) as c_int,
                crc,
            )
        };
        let ok = crc == u32::from_le_bytes(sum);
        if ok {
            rct_skb_csum_set_unnecessary(self);
        }
        ok
    }

    /// Returns whether the packet stands for several segments.
    pub(crate) fn is_gso(&self) -> bool {
        rct_skb_is_gso(self)
    }

    /// The packet's mark, as rules see it.
    pub(crate) fn mark(&self) -> u32 {
        rct_skb_mark(self)
    }

    /// The slot `_nfct`: a pointer with three bits of information below it, or zero.
    #[inline]
    pub(crate) fn nfct(&self) -> usize {
        field!(self.0, _nfct as Fixed<_>).load()
    }

    /// Fills the slot `_nfct`. What it holds is forgotten.
    ///
    /// # Safety
    ///
    /// The pointer in it must be null, or at a connection to which the packet has a reference from
    /// now on.
    #[inline]
    pub(crate) unsafe fn set_nfct(&mut self, nfct: usize) {
        let skb = self.0.get();
        // SAFETY: By the type invariant, the buffer is valid, and no other code uses it. Both of
        // the union are the same.
        unsafe {
            (*skb)._nfct = nfct;
            // As skb_set_nfct(): GRO has more to clear when it takes the buffer again.
            if nfct != 0 {
                (*skb).__bindgen_anon_4.headers.as_mut().set_slow_gro(1);
            }
        }
    }

    /// Empties the slot `_nfct`, and gives what it held to the caller.
    #[inline]
    pub(crate) fn take_nfct(&mut self) -> usize {
        let held = self.nfct();
        field!(self.0, _nfct).store(0);
        held
    }

    /// The device that the packet is at, if it is at one.
    pub(super) fn dev(&self) -> Option<&Memory<bindings::net_device>> {
        rct_skb_dev(self)
    }

    /// The namespace of the device that the packet is at, if it is at one.
    pub(crate) fn dev_net(&self) -> Option<&Net> {
        rct_skb_dev_net(self)
    }
}

/// A packet whose first bytes may be written to.
///
/// # Invariants
///
/// The first `len` bytes are in the linear part, and no other packet has them.
pub(crate) struct Writable<'a> {
    skb: &'a mut Skb,
    len: u32,
}

impl Writable<'_> {
    /// Replaces a number of the packet, in network order, and lets the Internet checksum at `sum`
    /// follow. `None` if either is behind what is writable.
    pub(crate) fn replace(&mut self, offset: u32, old: u32, new: u32, sum: u32) -> Option<()> {
        if offset.checked_add(4)? > self.len || sum.checked_add(2)? > self.len {
            return None;
        }
        let (data, _) = self.skb.linear();
        // SAFETY: By the type invariant, number and checksum are in the linear part, and there is
        // no reference to them, as the packet is borrowed.
        unsafe {
            data.add(offset as usize)
                .cast::<[u8; 4]>()
                .write(new.to_be_bytes());
            bindings::inet_proto_csum_replace4(
                data.add(sum as usize).cast(),
                self.skb.0.get(),
                old.to_be(),
                new.to_be(),
                false,
            );
        }
        Some(())
    }
}
