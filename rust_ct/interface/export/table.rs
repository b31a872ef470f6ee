// SPDX-License-Identifier: GPL-2.0

//! What modules call that look connections up, remove them, and go through the table.

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
        fate::Ended,
        state::CtInfo,
        tuple::{
            Direction,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        field::{
            Field,
            Fixed, //
        },
        hook,
        memory,
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
    ffi::{
        c_int,
        c_uint, //
    },
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// nf_conntrack_find_get(): see [`crate::datapath::lookup::find_either`]. The connection's half in
/// the direction in which it was found, with a reference to the connection, or null. Any context.
#[no_mangle]
extern "C" fn rust_ct_find_get(
    net: &Net,
    zone: &Fixed<Zone>,
    wanted: &Fixed<Tuple>,
) -> *mut bindings::nf_conntrack_tuple_hash {
    let guard = rcu::read_lock();
    let key = Key::new(&wanted.load(), zone.load(), net);
    let found = lookup::find_either(&key, ReadSide::of(&guard));
    drop(guard);
    found.map_or(ptr::null_mut(), |(conn, dir)| {
        let half = conn.tuplehash(dir);
        let _ = ARef::into_raw(conn);
        half
    })
}

/// nf_conntrack_tuple_taken(): see [`crate::object::table::Table::is_taken`].
#[no_mangle]
extern "C" fn rust_ct_tuple_taken(reply: &Fixed<Tuple>, conn: &Conn) -> c_int {
    let guard = rcu::read_lock();
    let taken = lookup::is_taken(&reply.load(), conn, ReadSide::of(&guard));
    drop(guard);
    taken.into()
}

/// nf_ct_delete(): see [`crate::datapath::end::kill_for`].
#[no_mangle]
extern "C" fn rust_ct_delete(conn: &Conn, portid: u32, report: c_int) -> bool {
    end::kill_for(conn, Requester { portid, report }, Ended::Deleted)
}

/// nf_ct_kill_acct(): as [`rust_ct_delete`], after a packet was counted.
#[no_mangle]
extern "C" fn rust_ct_kill_acct(conn: &Conn, info: bindings::ip_conntrack_info, skb: &Skb) -> bool {
    // CAST: There are eight.
    if let Some(info) = CtInfo::from_bits(info as u8) {
        conn.account(info.direction(), skb.len());
    }
    end::kill(conn)
}

/// nf_ct_acct_add(): counts packets of a direction that went by another way.
#[no_mangle]
extern "C" fn rust_ct_acct_add(conn: &Conn, dir: u32, packets: c_uint, bytes: c_uint) {
    // CAST: One bit.
    conn.account_many(Direction::from_bits(dir as u8), packets, bytes);
}

/// What another module says of a connection: whether it goes.
///
/// # Invariants
///
/// The function may be called with a connection, in process context with no lock held, and with the
/// data.
#[repr(transparent)]
struct Iter(bindings::rct_conn_iter);

impl Iter {
    fn takes(&self, conn: &Conn) -> bool {
        let conn = ptr::from_ref(conn).cast_mut().cast();
        // SAFETY: By the type invariant; there is a reference to the connection.
        (self.0.iter).is_some_and(|iter| unsafe { iter(conn, self.0.data) } != 0)
    }
}

/// Removes the connections of a namespace, or of all, that `iter` is true of. Process context,
/// sleeps.
fn remove_if(net: Option<&Net>, requester: Requester, iter: &Iter) {
    TABLE.for_each(net, |conn: &Conn| {
        if iter.takes(conn) {
            end::kill_for(conn, requester, Ended::Flushed);
        }
    });
}

/// nf_ct_iterate_cleanup_net(): see [`remove_if`].
#[no_mangle]
extern "C" fn rust_ct_iterate_net(net: &Net, iter: Iter, portid: u32, report: c_int) {
    remove_if(Some(net), Requester { portid, report }, &iter);
}

/// nf_ct_iterate_destroy(): see [`remove_if`]. Packets that wait in queues with a connection that
/// is not confirmed are dropped first, and those that are on their way are waited for, so that
/// afterwards `iter` has seen every connection but younger ones, and those that have left the
/// table, and NAT's list with it. The module of `iter` is going.
#[no_mangle]
extern "C" fn rust_ct_iterate_destroy(iter: Iter) {
    Net::for_each(hook::drop_queued);
    Net::wait_for_exits();
    Net::wait_for_packets();
    remove_if(None, Requester::NOBODY, &iter);
    // Other CPUs may still be at what `iter` has taken off a connection, or at one that ends.
    rcu::synchronize_rcu();
}

/// nf_ct_alloc_hashtable(): empty lists, `*size` of them, rounded up to a page full, whose ends are
/// null, or with `nulls` their numbers. To be freed by kvfree(). Null if there is no memory, or if
/// they are too many.
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_alloc_hashtable(size: &Field<c_uint>, nulls: c_int) -> Option<NonNull<u8>> {
    let (lists, rounded) = memory::lists(size.load(), nulls != 0)?;
    size.store(rounded);
    Some(lists.cast())
}
