// SPDX-License-Identifier: GPL-2.0

//! Helpers: who reads in what a connection says which other connections will come.
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
        hlist::Node,
        hook::Verdict,
        rcu::ReadSide,
        skb::Skb, //
    },
};
use core::{
    cell::UnsafeCell,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    ffi::{
        c_char,
        c_int,
        c_uint, //
    },
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
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
pub(crate) struct Helper(UnsafeCell<bindings::nf_conntrack_helper>);

// SAFETY: What changes in a helper that others can see is atomic, or under the registry's lock.
unsafe impl Sync for Helper {}
// SAFETY: A helper belongs to no thread.
unsafe impl Send for Helper {}

// SAFETY: The counter is that of the helper, which lives until a grace period after it is zero.
unsafe impl AlwaysRefCounted for Helper {
    fn inc_ref(&self) {
        // SAFETY: A reference exists.
        unsafe { bindings::rct_refcount_inc(&raw mut (*self.raw()).ct_refcnt) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        let helper = obj.as_ptr().cast::<bindings::nf_conntrack_helper>();
        // SAFETY: The caller has a reference, which it gives up; after the last one, nobody but
        // readers under RCU is left.
        unsafe {
            if bindings::rct_refcount_put(&raw mut (*helper).ct_refcnt) {
                bindings::rct_free_helper(helper);
            }
        }
    }
}

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
    pub(crate) fn raw(&self) -> *mut bindings::nf_conntrack_helper {
        self.0.get()
    }

    /// Takes a reference, unless the last one is gone.
    pub(crate) fn try_get(&self) -> Option<ARef<Self>> {
        // SAFETY: The memory is a helper's; the counter is changed atomically.
        if !unsafe { bindings::rct_refcount_tryget(&raw mut (*self.raw()).ct_refcnt) } {
            return None;
        }
        // SAFETY: The reference is the one just taken.
        Some(unsafe { ARef::from_raw(NonNull::from(self)) })
    }

    /// The name, without its end.
    pub(crate) fn name(&self) -> &[u8] {
        // SAFETY: By the type invariant, the name does not change.
        text(unsafe { &(*self.raw()).name })
    }

    /// The name of the module that rewrites for NAT what the helper reads, with zeroes behind it.
    pub(crate) fn nat_module(&self) -> NatModule {
        // SAFETY: By the type invariant, the name does not change.
        unsafe { (*self.raw()).nat_mod_name }
    }

    /// The policy of a class.
    fn raw_policy(&self, class: usize) -> Option<*const RawPolicy> {
        // SAFETY: The field is inside the helper.
        let first = unsafe { (&raw const (*self.raw()).expect_policy).cast::<RawPolicy>() };
        (class < CLASSES).then(|| first.wrapping_add(class))
    }

    /// The policy of a class now. nfnetlink_cthelper changes it at any time.
    pub(crate) fn policy(&self, class: usize) -> Option<Policy> {
        let policy = self.raw_policy(class)?;
        // SAFETY: The fields are inside the helper, and written by one access each.
        Some(unsafe {
            Policy {
                max_expected: (&raw const (*policy).max_expected).read_volatile(),
                timeout: (&raw const (*policy).timeout).read_volatile(),
            }
        })
    }

    /// The name of a class, which may be empty.
    pub(crate) fn class_name(&self, class: usize) -> &[u8] {
        // SAFETY: By the type invariant, the name does not change.
        self.raw_policy(class)
            .map_or(&[], |policy| text(unsafe { &(*policy).name }))
    }

    /// Returns whether user space reads the packets.
    pub(crate) fn is_in_user_space(&self) -> bool {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.raw()).flags).read_volatile() & USERSPACE != 0 }
    }

    fn is_for(&self, name: &[u8], l3num: u16, proto: u8) -> bool {
        // SAFETY: By the type invariant, the numbers do not change.
        let (family, l4proto) = unsafe { ((*self.raw()).nfproto, (*self.raw()).l4proto) };
        self.name() == name
            && l4proto == proto
            && (family == ANY_FAMILY || u16::from(family) == l3num)
    }

    /// Lets the helper read a packet of a connection that it helps. A hook runs.
    ///
    /// The helper was unregistered meanwhile if it has no function.
    pub(crate) fn help(&self, skb: &mut Skb, l4: &L4, conn: &Conn, info: CtInfo) -> Verdict {
        // SAFETY: The field is valid, and others write it with one access.
        let function = unsafe { (&raw const (*self.raw()).help).read_volatile() };
        let Some(function) = function else {
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
        // SAFETY: By the type invariant, the function does not change.
        if let Some(function) = unsafe { (*self.raw()).destroy } {
            // SAFETY: The helper of PPTP alone has such a function, which is one of ours,
            // gre_pptp_destroy_siblings(), for the case that its module is gone.
            unsafe { function(ptr::from_ref(conn).cast_mut().cast()) };
        }
    }

    /// Returns whether the helper wants to know when its connections are over: that of PPTP.
    pub(crate) fn cares_for_ends(&self) -> bool {
        // SAFETY: By the type invariant, the function does not change.
        unsafe { (*self.raw()).destroy.is_some() }
    }

    fn node(&self) -> NonNull<Node> {
        // SAFETY: The link is inside the helper, and has the layout of a node.
        unsafe { NonNull::new_unchecked((&raw mut (*self.raw()).hnode).cast()) }
    }

    /// The helper that a link in the registry belongs to.
    ///
    /// # Safety
    ///
    /// The link must have been met in the registry, under its lock or RCU, held for `'a`.
    unsafe fn of_node<'a>(node: NonNull<Node>) -> &'a Self {
        const AT: usize = core::mem::offset_of!(bindings::nf_conntrack_helper, hnode);
        // SAFETY: The link is that far into the helper.
        unsafe { node.byte_sub(AT).cast::<Self>().as_ref() }
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
