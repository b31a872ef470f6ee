// SPDX-License-Identifier: GPL-2.0

//! Helpers: they read in what a connection says which other connections will come.
//!
//! A helper is the kernel's `struct nf_conntrack_helper`: those in C are modules of their own,
//! which register ([`registry`]). Ours register in the same way ([`builtin`]), if the parameter
//! `helpers` names them.
//!
//! The registry has a reference to each helper, and so has each connection that it helps. An
//! unregistered helper does nothing more: its function is taken away.
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
        abi::Given,
        field::{
            field,
            Field,
            Fixed,
            Memory,
            Mirrors, //
        },
        hook::Verdict,
        rcu::ReadSide,
        refcount::{
            counted,
            Counted, //
        },
        skb::Skb, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    ffi::c_char,
    sync::atomic::Atomic, //
};

/// How many classes of expectations a helper may have (`NF_CT_MAX_EXPECT_CLASSES`).
pub(crate) const CLASSES: usize = bindings::NF_CT_MAX_EXPECT_CLASSES as usize;

/// Stands for both families (`NFPROTO_UNSPEC`).
const ANY_FAMILY: u8 = 0;

/// A helper whose packets user space reads (`NF_CT_HELPER_F_USERSPACE`).
const USERSPACE: u32 = bindings::nf_ct_helper_flags_NF_CT_HELPER_F_USERSPACE;

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

/// A helper that is not registered, as its module describes it.
///
/// # Invariants
///
/// Its functions and its module are there as long as it, or a copy of it, is registered.
#[repr(transparent)]
pub(crate) struct NewHelper(bindings::nf_conntrack_helper);

/// A helper that is registered, in the hands of the code that has registered it.
///
/// # Invariants
///
/// It is in the registry, and this owns the registry's reference to it.
#[repr(transparent)]
pub(crate) struct RegisteredHelper(NonNull<Helper>);

/// A helper that a rule has, with a reference.
///
/// # Invariants
///
/// Its module is kept from being unloaded.
#[repr(transparent)]
pub(crate) struct KeptHelper(Given<Counted<Helper>>);

impl KeptHelper {
    /// The kernel's pointer, by which C gives it back.
    pub(crate) fn into_raw(self) -> *mut bindings::nf_conntrack_helper {
        Counted::into_raw(self.0.take()).as_ptr().cast()
    }
}

/// How much of a class a connection may expect, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How many at a time.
    pub(crate) max_expected: u32,
    /// For how many seconds.
    pub(crate) timeout: u32,
}

/// Where a helper is, if there is one.
///
/// # Invariants
///
/// It holds null, or a helper that has a reference, or had one until a grace period after it was
/// taken away.
#[repr(transparent)]
pub(crate) struct Slot(Atomic<*mut bindings::nf_conntrack_helper>);

// SAFETY: Whatever has a pointer to a helper has a reference, or is forgotten, and waited for,
// before the registry gives up its reference. It is read and written by one access.
unsafe impl Mirrors<*mut bindings::nf_conntrack_helper> for Slot {}

impl Slot {
    /// The helper.
    #[inline]
    pub(crate) fn get<'a>(&self, _rcu: ReadSide<'a>) -> Option<&'a Helper> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ptr().read_volatile().cast::<Helper>().as_ref() }
    }
}

impl Helper {
    /// The kernel's pointer.
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conntrack_helper {
        self.0.get()
    }

    /// The name, with zeroes behind it.
    pub(crate) fn name(&self) -> Name {
        field!(self.0, name as Fixed<_>).load()
    }

    /// Where the name is, for C.
    pub(crate) fn name_ptr(&self) -> *const c_char {
        field!(self.0, name).as_ptr().cast()
    }

    /// The name of the module that rewrites for NAT what the helper reads, with zeroes behind it.
    pub(crate) fn nat_module(&self) -> Name {
        field!(self.0, nat_mod_name as Fixed<_>).load()
    }

    /// The policy of a class now. nfnetlink_cthelper changes it at any time.
    pub(crate) fn policy(&self, class: usize) -> Option<Policy> {
        (class < CLASSES).then(|| Policy {
            max_expected: field!(self.0, expect_policy[class].max_expected as Field<_>).load(),
            timeout: field!(self.0, expect_policy[class].timeout as Field<_>).load(),
        })
    }

    /// The name of a class, with zeroes behind it. It may be empty.
    pub(crate) fn class_name(&self, class: usize) -> Name {
        if class >= CLASSES {
            return Name::default();
        }
        field!(self.0, expect_policy[class].name as Fixed<_>).load()
    }

    /// Returns whether user space reads the packets.
    pub(crate) fn is_in_user_space(&self) -> bool {
        field!(self.0, flags).load() & USERSPACE != 0
    }

    fn is_for(&self, name: &[u8], l3num: u16, proto: u8) -> bool {
        text(&self.name()) == name && self.reads(l3num, proto)
    }

    /// Returns whether the helper reads packets of a family, `NFPROTO_*`, and protocol.
    pub(crate) fn reads(&self, l3num: u16, proto: u8) -> bool {
        let family = field!(self.0, nfproto).load();
        field!(self.0, l4proto).load() == proto
            && (family == ANY_FAMILY || u16::from(family) == l3num)
    }

    /// Lets the helper read a packet of a connection that it helps. A hook runs.
    ///
    /// The helper was unregistered meanwhile if it has no function. It writes to what is kept for
    /// helpers, so a connection without that is none that it helps.
    pub(crate) fn help(
        &self,
        skb: &mut Skb,
        l4: &L4,
        conn: &Conn,
        info: CtInfo,
        _rcu: ReadSide<'_>,
    ) -> Verdict {
        let Some(function) = field!(self.0, help)
            .load()
            .filter(|_| conn.help().is_some())
        else {
            return Verdict::ACCEPT;
        };
        // SAFETY: The function is there until a grace period after it was taken away, and RCU is
        // held; the connection has the extension that it writes to. Packet and connection are those
        // of the hook.
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

/// The name of a helper, of a class or of a module, with zeroes behind it.
pub(crate) type Name = [c_char; bindings::NF_CT_HELPER_NAME_LEN as usize];

/// Writes a text to an array, as far as there is room before the zero at its end.
pub(crate) fn write_text<const N: usize>(to: &mut [c_char; N], text: impl Iterator<Item = u8>) {
    for (to, byte) in to.iter_mut().take(N - 1).zip(text) {
        // CAST: A character is a byte.
        *to = byte as c_char;
    }
}

/// The text of an array that ends with a zero, or where the array does.
pub(crate) fn text(chars: &[c_char]) -> &[u8] {
    chars.split(|c| *c == 0).next().unwrap_or_default()
}
