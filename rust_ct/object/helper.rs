// SPDX-License-Identifier: GPL-2.0

//! Helpers: they read in what a connection says which other connections will come.
//!
//! A helper is the kernel's `struct nf_conntrack_helper`: those in C are modules of their own,
//! which register ([`registry`]). Ours register in the same way ([`builtin`]), if the parameter
//! `helpers` names them.
//!
//! The registry has a reference to each helper, and so has each connection that it helps. One that
//! is unregistered does nothing more: its function is taken away.
//!
//! Source: net/netfilter/nf_conntrack_helper.c.

pub(crate) mod builtin;
pub(crate) mod registry;

use crate::{
    bindings,
    object::conn::Conn,
    pure::{
        state::CtInfo,
        wire::L4, //
    },
    sys::{
        field::{
            field,
            Field,
            Fixed,
            Memory, //
        },
        hook::Verdict,
        rcu::ReadSide,
        refcount::counted,
        skb::Skb, //
    },
};
use core::ptr;
use kernel::ffi::{
    c_char,
    c_int,
    c_uint, //
};

/// How many classes of expectations a helper may have (`NF_CT_MAX_EXPECT_CLASSES`).
pub(crate) const CLASSES: usize = bindings::NF_CT_MAX_EXPECT_CLASSES as usize;

/// Stands for both families (`NFPROTO_UNSPEC`).
const ANY_FAMILY: u8 = 0;

/// A helper whose packets user space reads (`NF_CT_HELPER_F_USERSPACE`).
const USERSPACE: u32 = 1 << 0;

/// A helper.
///
/// # Invariants
///
/// It is freed a grace period after the last reference. All but its links, its function, its count,
/// its flags, and numbers of its policies is constant while it is registered.
#[repr(transparent)]
pub(crate) struct Helper(Memory<bindings::nf_conntrack_helper>);

// SAFETY: A helper is freed a grace period after its last reference.
counted!(unsafe Helper(nf_conntrack_helper), ct_refcnt, rct_free_helper);

/// What a helper reads packets with.
pub(crate) type HelpFunction = Option<
    unsafe extern "C" fn(
        *mut bindings::sk_buff,
        c_uint,
        *mut bindings::nf_conn,
        bindings::ip_conntrack_info,
    ) -> c_int,
>;

/// What a helper reads with what netlink says of it.
pub(crate) type ParseFunction =
    Option<unsafe extern "C" fn(*mut bindings::nlattr, *mut bindings::nf_conn) -> c_int>;

/// A policy, as the kernel has it.
pub(crate) type RawPolicy = bindings::nf_conntrack_expect_policy;

/// How much of a class a connection may expect, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How many at a time.
    pub(crate) max_expected: u32,
    /// For how many seconds.
    pub(crate) timeout: u32,
}

impl Helper {
    /// The helper at `helper`.
    ///
    /// # Safety
    ///
    /// `helper` must be null, or at a helper that has or had a reference within `'a`.
    pub(crate) unsafe fn from_raw<'a>(
        helper: *mut bindings::nf_conntrack_helper,
        _rcu: ReadSide<'a>,
    ) -> Option<&'a Self> {
        // SAFETY: The caller vouches for the pointer.
        unsafe { helper.cast::<Self>().as_ref() }
    }

    /// The kernel's pointer.
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conntrack_helper {
        self.0.get()
    }

    /// The name, without its end.
    pub(crate) fn name(&self) -> &[u8] {
        // SAFETY: By the type invariant, the name does not change.
        text(unsafe { &(*self.as_ptr()).name })
    }

    /// The name of the module that rewrites for NAT what the helper reads, with zeroes behind it.
    pub(crate) fn nat_module(&self) -> NatModule {
        field!(self.0, nat_mod_name as Fixed<_>).load()
    }

    /// The policy of a class now. nfnetlink_cthelper changes it at any time.
    pub(crate) fn policy(&self, class: usize) -> Option<Policy> {
        (class < CLASSES).then(|| Policy {
            max_expected: field!(self.0, expect_policy[class].max_expected as Field<_>).load(),
            timeout: field!(self.0, expect_policy[class].timeout as Field<_>).load(),
        })
    }

    /// The name of a class, which may be empty.
    pub(crate) fn class_name(&self, class: usize) -> &[u8] {
        if class >= CLASSES {
            return &[];
        }
        // SAFETY: By the type invariant, the name does not change.
        text(unsafe { &(*self.as_ptr()).expect_policy[class].name })
    }

    /// Returns whether user space reads the packets.
    pub(crate) fn is_in_user_space(&self) -> bool {
        field!(self.0, flags).load() & USERSPACE != 0
    }

    fn is_for(&self, name: &[u8], l3num: u16, proto: u8) -> bool {
        let family = field!(self.0, nfproto).load();
        self.name() == name
            && field!(self.0, l4proto).load() == proto
            && (family == ANY_FAMILY || u16::from(family) == l3num)
    }

    /// Lets the helper read a packet of a connection that it helps. A hook runs.
    ///
    /// The helper was unregistered meanwhile if it has no function.
    pub(crate) fn help(&self, skb: &mut Skb, l4: &L4, conn: &Conn, info: CtInfo) -> Verdict {
        let Some(function) = field!(self.0, help).load() else {
            return Verdict::ACCEPT;
        };
        // SAFETY: The function is there until a grace period after it was taken away, and a hook
        // runs under RCU. Packet and connection are those of the hook.
        let verdict = unsafe {
            function(
                skb.as_mut_ptr(),
                l4.offset,
                ptr::from_ref(conn).cast_mut().cast(),
                info.bits().into(),
            )
        };
        // CAST: Verdicts are bits.
        Verdict::from_raw(verdict as u32)
    }

    /// Tells the helper that a connection is over, if it wants to know.
    pub(crate) fn destroy(&self, conn: &Conn) {
        if let Some(function) = field!(self.0, destroy).load() {
            // SAFETY: The helper of PPTP alone has such a function, which is one of ours,
            // gre_pptp_destroy_siblings(), for the case that its module is gone.
            unsafe { function(ptr::from_ref(conn).cast_mut().cast()) };
        }
    }

    /// Returns whether the helper wants to know when its connections are over: that of PPTP.
    pub(crate) fn cares_for_ends(&self) -> bool {
        field!(self.0, destroy).load().is_some()
    }
}

/// The name of a module, with zeroes behind it.
pub(crate) type NatModule = [c_char; bindings::NF_CT_HELPER_NAME_LEN as usize];

/// Writes a text to an array, as far as there is room before the zero at its end.
pub(crate) fn write_text<const N: usize>(to: &mut [c_char; N], text: impl Iterator<Item = u8>) {
    for (to, byte) in to.iter_mut().take(N - 1).zip(text) {
        // CAST: A character is a byte.
        *to = byte as c_char;
    }
}

/// The text of an array that ends with a zero, or where the array does.
pub(crate) fn text(chars: &[c_char]) -> &[u8] {
    let len = chars.iter().position(|c| *c == 0).unwrap_or(chars.len());
    // SAFETY: Characters are bytes, and so many are there.
    unsafe { core::slice::from_raw_parts(chars.as_ptr().cast(), len) }
}
