// SPDX-License-Identifier: GPL-2.0

//! Extensions: what only some connections have, in a piece of memory of its own.
//!
//! Layout and places are the kernel's (`struct nf_ct_ext`), because other modules read and add
//! extensions. They are added while a connection is not confirmed and one owner has it; from then
//! on they stay where they are until the connection is freed, so that readers need no lock to find
//! them.
//!
//! Source: net/netfilter/nf_conntrack_extend.c.

mod accounting;
pub(super) mod events;
mod seqadj;
mod timeout;
mod times;

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
pub(crate) use events::wants_events;
pub(crate) use events::EventMasks;
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
pub(crate) use timeout::TimeoutPolicy;

use crate::{
    bindings,
    object::conn::{
        Alone,
        Conn,
        UniqueConn, //
    },
    pure::state::Status,
    sys::{
        field::field,
        memory::{
            self,
            Gfp, //
        },
    },
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Extensions begin at multiples of this many bytes.
const ALIGN: usize = 8;

/// Where the first extension begins.
const FIRST: usize = offset_of!(bindings::nf_ct_ext, data);

/// Room for all extensions: a connection with a helper has it, as what it expects is linked to a
/// head in there, so that the memory may not move.
const ALL: usize = {
    let (mut len, mut at) = (FIRST, 0);
    while at < Kind::ALL.len() {
        len += Kind::ALL[at].size().next_multiple_of(ALIGN);
        at += 1;
    }
    len
};
// Places are bytes.
const _: () = assert!(ALL <= u8::MAX as usize);

/// Defines the kinds of extensions: name, the kernel's type, and number (`enum nf_ct_ext_id`) of
/// each.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $(#[cfg($cfg:meta)])? $kind:ident: $type:ty = $id:ident;)*) => {
        /// Which extension.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[doc = $doc])* $(#[cfg($cfg)])? $kind,)*
        }

        impl Kind {
            /// All of them.
            const ALL: [Self; COUNT] = [$($(#[cfg($cfg)])? Self::$kind,)*];

            /// The number, `enum nf_ct_ext_id`.
            const fn id(self) -> usize {
                // CAST: A few.
                (match self {
                    $($(#[cfg($cfg)])? Self::$kind => bindings::$id,)*
                }) as usize
            }

            /// How many bytes it takes.
            const fn size(self) -> usize {
                match self {
                    $($(#[cfg($cfg)])? Self::$kind => size_of::<$type>(),)*
                }
            }
        }
    };
}

/// What an extension is.
///
/// # Safety
///
/// An extension of this kind must be a `Self`, zeroes must be one, and what changes in it while the
/// connection is shared must be atomic, or in an `UnsafeCell`.
pub(super) unsafe trait Part {
    /// Of this kind.
    const KIND: Kind;
}

kinds! {
    /// The helper, and what it keeps.
    Helper: bindings::nf_conn_help = nf_ct_ext_id_NF_CT_EXT_HELPER;
    /// What NAT keeps, of its own.
    #[cfg(CONFIG_NF_NAT)]
    Nat: bindings::nf_conn_nat = nf_ct_ext_id_NF_CT_EXT_NAT;
    /// The shifts of both directions.
    SeqAdj: bindings::nf_conn_seqadj = nf_ct_ext_id_NF_CT_EXT_SEQADJ;
    /// What was counted.
    Accounting: bindings::nf_conn_acct = nf_ct_ext_id_NF_CT_EXT_ACCT;
    /// What is reported to user space.
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    Events: bindings::nf_conntrack_ecache = nf_ct_ext_id_NF_CT_EXT_ECACHE;
    /// When it began and ended.
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    Times: bindings::nf_conn_tstamp = nf_ct_ext_id_NF_CT_EXT_TSTAMP;
    /// The timeout policy of a rule.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    Timeout: bindings::nf_conn_timeout = nf_ct_ext_id_NF_CT_EXT_TIMEOUT;
    /// Labels that rules set.
    #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
    Labels: bindings::nf_conn_labels = nf_ct_ext_id_NF_CT_EXT_LABELS;
    /// What the SYN proxy keeps, of its own.
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    SynProxy: bindings::nf_conn_synproxy = nf_ct_ext_id_NF_CT_EXT_SYNPROXY;
    /// What traffic control keeps, of its own.
    #[cfg(CONFIG_NET_ACT_CT)]
    ActCt: bindings::nf_conn_act_ct_ext = nf_ct_ext_id_NF_CT_EXT_ACT_CT;
}

impl Kind {
    /// The kind with a number, `enum nf_ct_ext_id`.
    pub(crate) fn from_id(id: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }
}

const _: () = assert!(FIRST % ALIGN == 0);

/// Extensions of a new connection that are not allocated yet, a bit for each: nearly all
/// connections have none.
pub(crate) struct Plan(u16);

/// How many extensions there may be.
const COUNT: usize = bindings::nf_ct_ext_id_NF_CT_EXT_NUM as usize;
const _: () = assert!(COUNT <= u16::BITS as usize);

impl Plan {
    /// None.
    pub(crate) const NONE: Self = Self(0);

    /// Adds a kind.
    #[inline]
    pub(crate) fn add(&mut self, kind: Kind) {
        self.0 |= 1 << kind.id();
    }

    fn has(&self, kind: Kind) -> bool {
        self.0 & 1 << kind.id() != 0
    }

    /// Returns whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Where each begins, zero for those that are not planned, and where the last extension ends.
    fn places(&self) -> ([u8; COUNT], u8) {
        let mut offsets = [0; COUNT];
        // CAST: Some 16 bytes.
        let mut len = FIRST as u8;
        for kind in Kind::ALL.into_iter().filter(|kind| self.has(*kind)) {
            // All that there are have room, as the kernel asserts.
            if let (Some((begin, end)), Some(offset)) =
                (place(len.into(), kind), offsets.get_mut(kind.id()))
            {
                *offset = begin;
                len = end;
            }
        }
        (offsets, len)
    }
}

/// Where behind `len` bytes of extensions another one begins and ends, if there is room for it:
/// places are bytes.
fn place(len: usize, kind: Kind) -> Option<(u8, u8)> {
    let begin = len.checked_next_multiple_of(ALIGN)?;
    let end = begin.checked_add(kind.size())?;
    Some((u8::try_from(begin).ok()?, u8::try_from(end).ok()?))
}

impl UniqueConn {
    /// Allocates extensions, filled with zeroes. Any context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn extend(&mut self, plan: &Plan) -> Result {
        let (offsets, len) = plan.places();
        let memory = memory::zeroed(len.into(), memory::ATOMIC).ok_or(ENOMEM)?;
        let ext = memory.cast::<bindings::nf_ct_ext>().as_ptr();
        // SAFETY: The memory is ours, and as large as its header at least.
        unsafe {
            (&raw mut (*ext).offset)
                .cast::<[u8; COUNT]>()
                .write(offsets);
            (&raw mut (*ext).len).write(len);
        }
        field!(self.conn().ct, ext).store(ext);
        Ok(())
    }
}

impl Alone<'_> {
    /// Adds an extension of zeroes to a connection, or a template, that is not confirmed. `None` if
    /// it has it, if it is confirmed, or if there is no memory.
    ///
    /// Source: net/netfilter/nf_conntrack_extend.c, nf_ct_ext_add().
    pub(crate) fn add_extension(self, kind: Kind, gfp: Gfp) -> Option<NonNull<u8>> {
        let conn = self.0;
        let status = conn.status();
        // A template may have CONFIRMED, and gets extensions all the same.
        if status.contains(Status::CONFIRMED) && !status.contains(Status::TEMPLATE) {
            return None;
        }
        let old = field!(conn.ct, ext).load();
        // SAFETY: The header of extensions that are there is valid.
        let len = match unsafe { old.as_ref() } {
            Some(_) if conn.extension(kind).is_some() => return None,
            Some(ext) => ext.len.into(),
            None => FIRST,
        };
        let (offset, new_len) = place(len, kind)?;
        let end = usize::from(new_len);
        let room = match kind == Kind::Helper || conn.extension(Kind::Helper).is_some() {
            true => ALL,
            false => end,
        };

        // SAFETY: Extensions are from kmalloc(), and no other code has them. Nothing is linked to
        // them but to a helper's, which do not move: they have had all the room since there is one.
        let memory = unsafe { memory::enlarge(old.cast(), room, gfp) }?;
        let new = memory.cast::<bindings::nf_ct_ext>().as_ptr();
        // SAFETY: The memory holds what was there, or nothing, and has room up to `end`.
        unsafe {
            let offsets = (&raw mut (*new).offset).cast::<[u8; COUNT]>();
            if old.is_null() {
                offsets.write([0; COUNT]);
            }
            offsets.cast::<u8>().add(kind.id()).write(offset);
            (&raw mut (*new).len).write(new_len);
            memory.add(len).write_bytes(0, end - len);
        }
        field!(conn.ct, ext).store(new);
        conn.extension(kind)
    }
}

impl Conn {
    /// An extension, as what it is.
    #[inline]
    pub(super) fn part<T: Part>(&self) -> Option<&T> {
        const { assert!(size_of::<T>() == T::KIND.size()) };
        // SAFETY: By the contract of `Part`. Extensions stay as long as they are borrowed.
        Some(unsafe { self.extension(T::KIND)?.cast().as_ref() })
    }

    /// Where an extension is.
    #[inline]
    pub(super) fn extension(&self, kind: Kind) -> Option<NonNull<u8>> {
        // It does not change from confirmation on. A reader that finds the connection in the table
        // reads it behind CONFIRMED, with a barrier in between; before, the owner reads it.
        let ext = NonNull::new(field!(self.ct, ext).load())?;
        // SAFETY: The header is valid as long as the connection.
        let offset = unsafe { (*ext.as_ptr()).offset[kind.id()] };
        // SAFETY: The extension is that far from the beginning.
        (offset != 0).then(|| unsafe { ext.cast::<u8>().add(offset.into()) })
    }

    /// Returns whether the connection may go through a SYN proxy, or a template wants that of its
    /// connections. Those that user space has entered have the extension as well.
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    #[inline]
    pub(crate) fn is_proxied(&self) -> bool {
        self.extension(Kind::SynProxy).is_some()
    }

    /// Returns whether the connection goes through a SYN proxy: it has noted the sequence number
    /// with which it began towards the client, a cookie, before the connection was confirmed.
    ///
    /// Source: net/netfilter/nf_synproxy_core.c, ipv4_synproxy_hook().
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    pub(crate) fn is_behind_proxy(&self) -> bool {
        self.extension(Kind::SynProxy).is_some_and(|proxy| {
            let proxy = proxy.cast::<bindings::nf_conn_synproxy>().as_ptr();
            // SAFETY: The extension is that structure, and stays as long as it is borrowed. The
            // number may be written meanwhile, in one access.
            unsafe { (&raw const (*proxy).isn).read_volatile() != 0 }
        })
    }

    /// There is no SYN proxy.
    #[cfg(not(CONFIG_NETFILTER_SYNPROXY))]
    #[inline]
    pub(crate) fn is_proxied(&self) -> bool {
        false
    }

    /// There is no SYN proxy.
    #[cfg(not(CONFIG_NETFILTER_SYNPROXY))]
    pub(crate) fn is_behind_proxy(&self) -> bool {
        false
    }
}
