// SPDX-License-Identifier: GPL-2.0

//! What modules call that look connections up, remove them, and go through the table.

use super::{
    conn,
    tuple, //
};
use crate::{
    bindings,
    datapath::{
        end,
        lookup, //
    },
    object::{
        conn::{
            event::Requester,
            Conn,
            Key, //
        },
        table::TABLE, //
    },
    pure::{
        state::CtInfo,
        tuple::Direction, //
    },
    sys::{
        hook,
        memory,
        net::Net,
        rcu::ReadSide,
        skb::Skb, //
    },
};
use core::ptr;
use kernel::{
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// nf_conntrack_find_get(): see [`crate::datapath::lookup::find_either`]. The connection's half in
/// the direction in which it was found, with a reference to the connection, or null. Any context.
///
/// # Safety
///
/// Called from C with a namespace, a zone and a tuple.
#[no_mangle]
unsafe extern "C" fn rust_ct_find_get(
    net: *mut bindings::net,
    zone: *const bindings::nf_conntrack_zone,
    wanted: *const bindings::nf_conntrack_tuple,
) -> *mut bindings::nf_conntrack_tuple_hash {
    // SAFETY: The caller vouches for all three.
    let (net, zone, tuple) = unsafe { super::wanted(net, zone, wanted) };
    let guard = rcu::read_lock();
    let found = lookup::find_either(&Key::new(&tuple, zone, net), ReadSide::of(&guard));
    drop(guard);
    found.map_or(ptr::null_mut(), |(conn, dir)| {
        let half = conn.tuplehash(dir);
        let _ = ARef::into_raw(conn);
        half
    })
}

/// nf_conntrack_tuple_taken(): see [`crate::object::table::Table::is_taken`].
///
/// # Safety
///
/// Called from C with a tuple and a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_tuple_taken(
    reply: *const bindings::nf_conntrack_tuple,
    ct: *const bindings::nf_conn,
) -> c_int {
    // SAFETY: The caller vouches for both.
    let (reply, conn) = unsafe { (tuple(reply), conn(ct.cast())) };
    let guard = rcu::read_lock();
    let taken = lookup::is_taken(&reply, conn, ReadSide::of(&guard));
    drop(guard);
    taken.into()
}

/// nf_ct_delete(): see [`crate::datapath::end::kill_for`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_delete(
    ct: *mut bindings::nf_conn,
    portid: u32,
    report: c_int,
) -> bool {
    // SAFETY: The caller vouches for the connection.
    end::kill_for(unsafe { conn(ct.cast()) }, Requester { portid, report })
}

/// nf_ct_kill_acct(): as [`rust_ct_delete`], after a packet was counted.
///
/// # Safety
///
/// Called from C with a connection that the caller has, and a packet.
#[no_mangle]
unsafe extern "C" fn rust_ct_kill_acct(
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
    skb: *const bindings::sk_buff,
) -> bool {
    // SAFETY: The caller vouches for both; the packet is read only.
    let (conn, skb) = unsafe { (conn(ct.cast()), Skb::from_raw(skb.cast_mut())) };
    // CAST: There are eight.
    if let Some(info) = CtInfo::from_bits(info as u8) {
        conn.account(info.direction(), skb.len());
    }
    end::kill(conn)
}

/// nf_ct_acct_add(): counts packets of a direction that went by another way.
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_acct_add(
    ct: *mut bindings::nf_conn,
    dir: u32,
    packets: c_uint,
    bytes: c_uint,
) {
    // SAFETY: The caller vouches for the connection. CAST: One bit.
    unsafe { conn(ct.cast()) }.account_many(Direction::from_bits(dir as u8), packets, bytes);
}

/// What another module says of a connection: whether it goes.
type Iter = unsafe extern "C" fn(*mut bindings::nf_conn, *mut c_void) -> c_int;

/// Removes the connections of a namespace, or of all, that `iter` is true of. Process context,
/// sleeps.
///
/// # Safety
///
/// `iter` must be a function to be called with a connection, with no lock held, and `data`.
unsafe fn remove_if(net: Option<&Net>, requester: Requester, iter: Iter, data: *mut c_void) {
    TABLE.for_each(net, |conn: &Conn| {
        // SAFETY: The caller vouches for function and data; there is a reference to the connection.
        if unsafe { iter(ptr::from_ref(conn).cast_mut().cast(), data) } != 0 {
            end::kill_for(conn, requester);
        }
    });
}

/// nf_ct_iterate_cleanup_net(): see [`remove_if`].
///
/// # Safety
///
/// Called from C in process context, with a function and what it is called with.
#[no_mangle]
unsafe extern "C" fn rust_ct_iterate_net(iter: Iter, what: *const bindings::nf_ct_iter_data) {
    // SAFETY: The caller vouches for both, and for the namespace.
    unsafe {
        let what = &*what;
        let requester = Requester {
            portid: what.portid,
            report: what.report,
        };
        remove_if(Some(Net::from_raw(what.net)), requester, iter, what.data);
    }
}

/// nf_ct_iterate_destroy(): see [`remove_if`]. Packets that wait in queues with a connection that
/// is not confirmed are dropped first, and those that are on their way are waited for, so that
/// afterwards every connection is one that `iter` has seen, or younger. Its module is going.
///
/// # Safety
///
/// Called from C in process context, with a function and what it is called with.
#[no_mangle]
unsafe extern "C" fn rust_ct_iterate_destroy(iter: Iter, data: *mut c_void) {
    Net::for_each(hook::drop_queued);
    Net::wait_for_exits();
    Net::wait_for_packets();
    // SAFETY: The caller vouches for both.
    unsafe { remove_if(None, Requester::NOBODY, iter, data) };
    // Somebody may still be at what `iter` has taken off a connection.
    rcu::synchronize_rcu();
}

/// nf_ct_alloc_hashtable(): empty lists, `*size` of them, rounded up to a page full, whose ends are
/// null, or with `nulls` their numbers. To be freed by kvfree(). Null if there is no memory, or if
/// they are too many.
///
/// # Safety
///
/// Called from C in process context, with a number.
#[no_mangle]
unsafe extern "C" fn rust_ct_alloc_hashtable(size: *mut c_uint, nulls: c_int) -> *mut c_void {
    // SAFETY: The caller vouches for the number.
    let wanted = unsafe { size.read() };
    match memory::lists(wanted, nulls != 0) {
        Some((lists, rounded)) => {
            // SAFETY: As above.
            unsafe { size.write(rounded) };
            lists.as_ptr().cast()
        }
        None => ptr::null_mut(),
    }
}
