// SPDX-License-Identifier: GPL-2.0

//! What ctnetlink calls: to make connections and change them, and to hear of events.

use super::{
    conn,
    tuple, //
};
use crate::{
    bindings,
    datapath::{
        begin,
        packet, //
    },
    object::{
        conn::{
            event::Requester,
            Key, //
            NewConn,
            UniqueConn,
        },
        netns::NETNS,
        table::TABLE, //
    },
    pure::{
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        wire::ipproto, //
    },
    sys::{
        net::Net,
        rcu::ReadSide,
        skb::Skb, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint,
        c_ulong, //
    },
    prelude::*,
    sync::rcu, //
};

/// nf_conntrack_alloc(): a connection without a reference, which counts already, or null.
///
/// # Safety
///
/// Called from C with a namespace, a zone and two tuples.
#[no_mangle]
unsafe extern "C" fn rust_ct_alloc(
    net: *mut bindings::net,
    zone: *const bindings::nf_conntrack_zone,
    original: *const bindings::nf_conntrack_tuple,
    reply: *const bindings::nf_conntrack_tuple,
) -> *mut bindings::nf_conn {
    // SAFETY: The caller vouches for all four.
    let ((net, zone, original), reply) =
        unsafe { (super::wanted(net, zone, original), tuple(reply)) };
    let new_conn = NewConn {
        original: &original,
        reply: &reply,
        zone,
        hash: Key::new(&original, zone, net).hash(Direction::Original),
    };
    let guard = rcu::read_lock();
    let made = NETNS
        .get(net)
        .and_then(|netns| begin::allocate(netns, net, &new_conn, ReadSide::of(&guard)).ok());
    drop(guard);
    made.map_or(ptr::null_mut(), |unique| unique.into_raw().as_ptr().cast())
}

/// nf_conntrack_free(): a connection without a reference goes. Its master's reference is the
/// caller's.
///
/// # Safety
///
/// Called from C with a connection from [`rust_ct_alloc`].
#[no_mangle]
unsafe extern "C" fn rust_ct_free(ct: *mut bindings::nf_conn) {
    if let Some(ct) = NonNull::new(ct) {
        // SAFETY: The caller vouches for the connection, which nobody else has.
        unsafe {
            (*ct.as_ptr()).master = ptr::null_mut();
            drop(UniqueConn::from_raw(ct.cast()));
        }
    }
}

/// nf_conntrack_hash_check_insert(): see [`crate::object::table::Table::insert`]. Afterwards the
/// caller has a reference; if it fails, the connection remains as it was.
///
/// # Safety
///
/// Called from C with a connection from [`rust_ct_alloc`].
#[no_mangle]
unsafe extern "C" fn rust_ct_insert(ct: *mut bindings::nf_conn) -> c_int {
    let Some(ct) = NonNull::new(ct) else {
        return EINVAL.to_errno();
    };
    // SAFETY: The caller vouches for the connection, which nobody else has.
    match TABLE.insert(unsafe { UniqueConn::from_raw(ct.cast()) }) {
        Ok(conn) => {
            // The caller's reference.
            let _ = kernel::sync::aref::ARef::into_raw(conn);
            0
        }
        Err((unique, error)) => {
            let _ = unique.into_raw();
            error.to_errno()
        }
    }
}

/// nf_conntrack_count(): how many connections a namespace has.
///
/// # Safety
///
/// Called from C with a namespace.
#[no_mangle]
unsafe extern "C" fn rust_ct_count(net: *const bindings::net) -> u32 {
    // SAFETY: The caller vouches for the namespace.
    let net = unsafe { Net::from_raw(net.cast_mut()) };
    NETNS.get(net).map_or(0, |netns| netns.connections())
}

/// nf_conntrack_lock(): see [`crate::object::table::Table::take_lock`].
///
/// # Safety
///
/// Called from C with softirqs off, and one of `nf_conntrack_locks`.
#[no_mangle]
unsafe extern "C" fn rust_ct_lock(lock: *mut bindings::spinlock_t) {
    // SAFETY: The caller vouches for the lock.
    unsafe { TABLE.take_lock(lock) };
}

/// __nf_ct_change_status(): see [`crate::object::conn::Conn::change_status`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_change_status(ct: *mut bindings::nf_conn, on: c_ulong, off: c_ulong) {
    // SAFETY: The caller vouches for the connection.
    let conn = unsafe { conn(ct.cast()) };
    conn.change_status(Status::from_bits(on as u64), Status::from_bits(off as u64));
}

/// nf_ct_change_status_common(): see [`crate::object::conn::Conn::ask_status`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_ask_status(ct: *mut bindings::nf_conn, status: c_uint) -> c_int {
    // SAFETY: The caller vouches for the connection.
    let conn = unsafe { conn(ct.cast()) };
    from_result(|| {
        conn.ask_status(Status::from_bits(status.into()))
            .map(|()| 0)
    })
}

/// __nf_ct_change_timeout(): the connection expires in so many jiffies.
///
/// Source: net/netfilter/nf_conntrack_core.c. `EPERM` if its timeout is fixed, `ETIME` if it is
/// over.
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_change_timeout(ct: *mut bindings::nf_conn, jiffies: u64) -> c_int {
    // SAFETY: The caller vouches for the connection.
    let conn = unsafe { conn(ct.cast()) };
    if conn.status().contains(Status::FIXED_TIMEOUT) {
        return EPERM.to_errno();
    }
    conn.refresh(u32::try_from(jiffies).map_or(i32::MAX as u32, |span| span.min(i32::MAX as u32)));
    match conn.status().contains(Status::DYING) {
        true => ETIME.to_errno(),
        false => 0,
    }
}

/// nf_ct_tcp_seqadj_set(): what follows the segment in a packet is shifted by so many bytes more.
///
/// # Safety
///
/// Called from C with a packet and its connection.
#[no_mangle]
unsafe extern "C" fn rust_ct_tcp_seqadj_set(
    skb: *mut bindings::sk_buff,
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
    by: i32,
) {
    // SAFETY: The caller vouches for both.
    let (skb, conn) = unsafe { (Skb::from_raw(skb), conn(ct.cast())) };
    if conn.proto() != ipproto::TCP {
        return;
    }
    let family = conn.tuple(Direction::Original).family();
    // CAST: There are eight.
    let (Some(family), Some(info)) = (family, CtInfo::from_bits(info as u8)) else {
        return;
    };
    if let Some(seq) = packet::sequence_number(skb, family) {
        super::seqadj::shift(conn, info.direction(), seq, by);
    }
}

/// nf_conn_pernet_ecache(): see [`crate::object::dying::DyingList`].
///
/// # Safety
///
/// Called from C with a namespace.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
#[no_mangle]
unsafe extern "C" fn rust_ct_dying(
    net: *const bindings::net,
) -> *mut bindings::nf_conntrack_net_ecache {
    // SAFETY: The caller vouches for the namespace.
    let net = unsafe { Net::from_raw(net.cast_mut()) };
    NETNS
        .get(net)
        .map_or(ptr::null_mut(), |netns| netns.dying.raw())
}

/// nf_conntrack_register_notifier() and, with null, nf_conntrack_unregister_notifier(): who is told
/// of the events of a namespace.
///
/// # Safety
///
/// Called from C with a namespace, and a listener that is there until a grace period after it is
/// unregistered, or null.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
#[no_mangle]
unsafe extern "C" fn rust_ct_set_listener(
    net: *mut bindings::net,
    listener: *const bindings::nf_ct_event_notifier,
) {
    // SAFETY: The caller vouches for both.
    unsafe { Net::from_raw(net).set_listener(listener) };
}

/// nf_conntrack_eventmask_report(): see [`crate::object::conn::Conn::report`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_report(
    events: c_uint,
    ct: *mut bindings::nf_conn,
    portid: u32,
    report: c_int,
) -> c_int {
    // SAFETY: The caller vouches for the connection.
    let told = unsafe { conn(ct.cast()) }.report_events(events, Requester { portid, report });
    // What the listener has said is not kept; this is what it says when its queue is full.
    told.map_or(ENOBUFS.to_errno(), |()| 0)
}
