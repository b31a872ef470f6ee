// SPDX-License-Identifier: GPL-2.0

//! Attributes in netlink messages.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use crate::{
    bindings,
    sys::{
        abi::Bytes,
        field::Memory, //
    },
};
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*, //
};

// Safe, because that is all that they ask for, in any context: a message of ours.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe fn rct_nla_put(message: &mut Message, number: c_int, payload: Bytes<'_>) -> c_int;
    safe fn rct_nla_nest_start(
        message: &mut Message,
        number: c_int,
    ) -> Option<NonNull<bindings::nlattr>>;
}

/// Length of an attribute's header, in bytes.
const HEADER: usize = size_of::<bindings::nlattr>();

/// Attributes begin at multiples of this many bytes.
const ALIGN: usize = 4;

/// What an attribute takes in a message, in bytes, with so much in it.
pub(crate) const fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// What an attribute of a type, `NLA_*`, looks like.
pub(crate) const fn policy(kind: u32) -> bindings::nla_policy {
    // SAFETY: All fields are integers, and pointers that may be null.
    let mut policy: bindings::nla_policy = unsafe { mem::zeroed() };
    // CAST: A few types.
    policy.type_ = kind as u8;
    policy
}

/// A message that is being written.
#[repr(transparent)]
pub(crate) struct Message(Memory<bindings::sk_buff>);

impl Message {
    /// The message in `skb`.
    ///
    /// # Safety
    ///
    /// The message must be the caller's alone for `'a`.
    pub(crate) unsafe fn from_raw<'a>(skb: *mut bindings::sk_buff) -> &'a mut Self {
        // SAFETY: `Self` is a transparent wrapper, and the caller vouches for the pointer.
        unsafe { &mut *skb.cast() }
    }

    /// Adds an attribute.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room.
    pub(crate) fn put(&mut self, number: u16, payload: &[u8]) -> Result {
        to_result(rct_nla_put(self, number.into(), payload.into()))
    }

    /// Adds an attribute that holds those that `fill` adds.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room: what was added then is of no meaning.
    pub(crate) fn nest(&mut self, number: u16, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        let nest = rct_nla_nest_start(self, number.into()).ok_or(EMSGSIZE)?;
        fill(self)?;
        // SAFETY: The nest was begun in this message.
        unsafe { bindings::rct_nla_nest_end(self.0.get(), nest.as_ptr()) };
        Ok(())
    }
}

/// Where an attribute is.
///
/// # Invariants
///
/// Its length was looked at: so much is there for `'a`.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Pointer<'a>(NonNull<bindings::nlattr>, PhantomData<&'a [u8]>);

/// An attribute of a message that user space has sent.
#[derive(Clone, Copy)]
pub(crate) struct Attribute<'a>(&'a [u8]);

impl<'a> Attribute<'a> {
    /// The attribute that is there.
    fn at(pointer: Pointer<'a>) -> Option<Self> {
        // SAFETY: By the type invariant.
        unsafe {
            let payload = usize::from(pointer.0.as_ref().nla_len).checked_sub(HEADER)?;
            let payload = NonNull::slice_from_raw_parts(pointer.0.add(1).cast(), payload);
            Some(Self(payload.as_ref()))
        }
    }

    /// The first bytes in it; `None` if it is shorter.
    pub(crate) fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        self.0.first_chunk().copied()
    }

    /// Of the attributes that it holds, the last with a number.
    pub(crate) fn find(&self, number: u16) -> Option<Attribute<'a>> {
        // The upper bits say what is in it.
        const NUMBER: u16 = 0x3fff;
        let mut found = None;
        let mut rest = self.0;
        while let Some(&[a, b, c, d]) = rest.first_chunk::<HEADER>() {
            let len = usize::from(u16::from_ne_bytes([a, b]));
            let Some(payload) = rest.get(HEADER..len) else {
                break;
            };
            if u16::from_ne_bytes([c, d]) & NUMBER == number {
                found = Some(Attribute(payload));
            }
            rest = rest.get(len.next_multiple_of(ALIGN)..).unwrap_or(&[]);
        }
        found
    }
}

/// Attributes by number, as the kernel's parser leaves them.
pub(crate) struct Table<'a> {
    attributes: &'a [Option<Pointer<'a>>],
}

impl<'a> Table<'a> {
    /// The table at `attributes`.
    ///
    /// # Safety
    ///
    /// It must be an array that goes up to the number `last`, of attributes of a message that stays
    /// for `'a`, or null pointers.
    pub(crate) unsafe fn from_raw(attributes: *mut *mut bindings::nlattr, last: usize) -> Self {
        // SAFETY: The caller vouches for the array, and for what is in it.
        let attributes = unsafe { core::slice::from_raw_parts(attributes.cast(), last + 1) };
        Self { attributes }
    }

    /// The attribute with a number.
    pub(crate) fn get(&self, number: u16) -> Option<Attribute<'a>> {
        Attribute::at((*self.attributes.get(usize::from(number))?)?)
    }
}

/// As many attributes by number, as the kernel's parser leaves them.
#[repr(transparent)]
pub(crate) struct Parsed<'a, const N: usize>([Option<Pointer<'a>>; N]);

impl<const N: usize> Parsed<'_, N> {
    /// The attributes.
    pub(crate) fn table(&self) -> Table<'_> {
        Table {
            attributes: &self.0,
        }
    }
}
