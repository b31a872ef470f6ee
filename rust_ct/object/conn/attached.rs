// SPDX-License-Identifier: GPL-2.0

//! What a packet carries: a pointer to its connection, and in the low bits of that what the packet
//! is to it.

use crate::{
    object::conn::Conn,
    pure::{
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction, //
    },
    sys::skb::Skb, //
};
use core::ptr::NonNull;
use kernel::sync::aref::ARef;

/// The low bits of a packet's slot, which say what the packet is to its connection
/// (`NFCT_INFOMASK`).
pub(super) const INFO_MASK: usize = 7;
const _: () = assert!(align_of::<Conn>() > INFO_MASK);

/// What tracking has attached to a packet.
pub(crate) enum Attached<'a> {
    /// Nothing: the packet was not looked at yet, or is INVALID.
    Nothing,
    /// A connection.
    Conn(&'a Conn, CtInfo),
    /// Nothing, on purpose.
    Untracked,
    /// A rule's wishes for the packet's connection, to come true when it is tracked.
    Template(&'a Conn),
}

/// What tracking has attached to a packet.
#[inline]
pub(crate) fn attached(skb: &Skb) -> Attached<'_> {
    let slot = skb.nfct();
    // CAST: Three bits.
    let info = CtInfo::from_bits((slot & INFO_MASK) as u8);
    let conn = core::ptr::with_exposed_provenance_mut::<Conn>(slot & !INFO_MASK);

    // SAFETY: The slot holds a reference to a connection, or nothing. As long as the packet is
    // borrowed, it is not taken out.
    match (unsafe { conn.as_ref() }, info) {
        (Some(conn), _) if conn.status().contains(Status::TEMPLATE) => Attached::Template(conn),
        (Some(conn), Some(info)) => Attached::Conn(conn, info),
        (None, Some(CtInfo::Untracked)) => Attached::Untracked,
        _ => Attached::Nothing,
    }
}

/// The connection or template that a packet carries, whatever it is to it.
#[inline(always)]
pub(crate) fn carried(skb: &Skb) -> Option<&Conn> {
    let conn = core::ptr::with_exposed_provenance_mut::<Conn>(skb.nfct() & !INFO_MASK);
    // SAFETY: The slot holds a reference to a connection, or nothing. As long as the packet is
    // borrowed, it is not taken out.
    unsafe { conn.as_ref() }
}

/// Attaches a connection to a packet, which takes the reference over. What was attached is
/// forgotten.
#[inline]
pub(crate) fn attach(skb: &mut Skb, conn: ARef<Conn>, info: CtInfo) {
    let slot = ARef::into_raw(conn).as_ptr().expose_provenance();
    // SAFETY: The reference is the packet's now.
    unsafe { skb.set_nfct(slot | usize::from(info.bits())) };
}

/// Attaches to the kernel's answer to a packet what the packet has: its connection, to which the
/// answer is related, or its template, if it is not tracked yet, like a fragment. Any context.
pub(crate) fn attach_answer(answer: &mut Skb, skb: &Skb) {
    let (conn, info) = match attached(skb) {
        Attached::Conn(conn, info) => (conn, info),
        Attached::Template(template) => (template, CtInfo::New),
        Attached::Untracked | Attached::Nothing => return,
    };
    let info = match info.direction() {
        Direction::Original => CtInfo::RelatedReply,
        Direction::Reply => CtInfo::Related,
    };
    attach(answer, conn.into(), info);
}

/// Marks a packet that has no connection as not tracked, on purpose.
pub(crate) fn attach_untracked(skb: &mut Skb) {
    // SAFETY: The pointer is null.
    unsafe { skb.set_nfct(usize::from(CtInfo::Untracked.bits())) };
}

/// Takes the connection or template off a packet, with its reference.
pub(crate) fn detach(skb: &mut Skb) -> Option<ARef<Conn>> {
    let conn = core::ptr::with_exposed_provenance_mut::<Conn>(skb.take_nfct() & !INFO_MASK);
    // SAFETY: The slot held a reference, which is ours now.
    NonNull::new(conn).map(|conn| unsafe { ARef::from_raw(conn) })
}
