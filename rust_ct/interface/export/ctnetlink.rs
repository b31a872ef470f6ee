// SPDX-License-Identifier: GPL-2.0

//! What ctnetlink calls: to make connections and change them, and to hear of events.

use crate::{
    bindings,
    datapath::{
        begin,
        expire,
        headers, //
    },
    object::{
        conn::{
            event::Requester,
            Conn,
            Key,
            NewConn,
            UniqueConn,
            MASTERS, //
        },
        netns::NETNS,
        table::TABLE, //
    },
    pure::{
        state::{
            CtInfo,
            Status, //
        },
        tuple::{
            Direction,
            Tuple, //
        },
        wire::ipproto,
        zone::Zone, //
    },
    sys::{
        abi::Lasting,
        field::Fixed,
        lock::Lock,
        net::Net,
        rcu::ReadSide,
        skb::Skb, //
    },
};
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use core::ptr;
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint,
        c_ulong, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// nf_conntrack_alloc(): a connection without a reference, which counts already, or null.
#[no_mangle]
extern "C" fn rust_ct_alloc(
    net: &Net,
    zone: &Fixed<Zone>,
    original: &Fixed<Tuple>,
    reply: &Fixed<Tuple>,
) -> Option<UniqueConn> {
    allocate(net, zone.load(), &original.load(), &reply.load())
}

/// Makes a connection without a reference, which counts already; `None` if there is no room. Any
/// context.
pub(super) fn allocate(
    net: &Net,
    zone: Zone,
    original: &Tuple,
    reply: &Tuple,
) -> Option<UniqueConn> {
    let new_conn = NewConn {
        original,
        reply,
        zone,
        hash: Key::new(original, zone, net).hash(Direction::Original),
    };
    let guard = rcu::read_lock();
    let made = NETNS
        .get(net)
        .and_then(|netns| begin::allocate(netns, net, &new_conn, ReadSide::of(&guard)).ok());
    drop(guard);
    made
}

/// nf_conntrack_free(): a connection without a reference goes. Its master's reference is the
/// caller's.
#[no_mangle]
extern "C" fn rust_ct_free(unique: Option<UniqueConn>) {
    if let Some(mut unique) = unique {
        unique.leave_master();
    }
}

/// nf_conntrack_hash_check_insert(): see [`crate::object::table::Table::insert`]. Afterwards the
/// caller has a reference; if it fails, the connection remains as it was. `EMLINK` if too many
/// masters are above it.
#[no_mangle]
extern "C" fn rust_ct_insert(unique: UniqueConn) -> c_int {
    if unique.masters() > MASTERS {
        let _ = unique.into_raw();
        return EMLINK.to_errno();
    }
    match TABLE.insert(unique) {
        Ok(conn) => {
            expire::lives_for(conn.remaining());
            // The caller's reference.
            let _ = ARef::into_raw(conn);
            0
        }
        Err((unique, error)) => {
            let _ = unique.into_raw();
            error.to_errno()
        }
    }
}

/// nf_conntrack_count(): how many connections a namespace has.
#[no_mangle]
extern "C" fn rust_ct_count(net: &Net) -> u32 {
    NETNS.get(net).map_or(0, |netns| netns.connections())
}

/// nf_conntrack_lock(): see [`crate::object::table::Table::take_lock`].
///
/// Softirqs are off; the lock is one of `nf_conntrack_locks`.
#[no_mangle]
extern "C" fn rust_ct_lock(lock: &Lock) {
    TABLE.take_lock(lock);
}

/// __nf_ct_change_status(): see [`crate::object::conn::Conn::change_status`].
#[no_mangle]
extern "C" fn rust_ct_change_status(conn: &Conn, on: c_ulong, off: c_ulong) {
    conn.change_status(Status::from_bits(on as u64), Status::from_bits(off as u64));
}

/// nf_ct_change_status_common(): see [`crate::object::conn::Conn::ask_status`].
#[no_mangle]
extern "C" fn rust_ct_ask_status(conn: &Conn, status: c_uint) -> c_int {
    from_result(|| {
        conn.ask_status(Status::from_bits(status.into()))
            .map(|()| 0)
    })
}

/// __nf_ct_change_timeout(): the connection expires in so many jiffies.
///
/// Source: net/netfilter/nf_conntrack_core.c. `EPERM` if its timeout is fixed, `ETIME` if it is
/// over.
#[no_mangle]
extern "C" fn rust_ct_change_timeout(conn: &Conn, jiffies: u64) -> c_int {
    if conn.status().contains(Status::FIXED_TIMEOUT) {
        return EPERM.to_errno();
    }
    conn.set_timeout(jiffies);
    // An unconfirmed connection has a span, which begins soon.
    expire::lives_for(u32::try_from(jiffies).unwrap_or(u32::MAX));
    match conn.status().contains(Status::DYING) {
        true => ETIME.to_errno(),
        false => 0,
    }
}

/// nf_ct_tcp_seqadj_set(): what follows the segment in a packet is shifted by so many bytes more.
#[no_mangle]
extern "C" fn rust_ct_tcp_seqadj_set(
    skb: &Skb,
    conn: &Conn,
    info: bindings::ip_conntrack_info,
    by: i32,
) {
    if conn.proto() != ipproto::TCP {
        return;
    }
    let family = conn.tuple(Direction::Original).family();
    // CAST: There are eight.
    let (Some(family), Some(info)) = (family, CtInfo::from_bits(info as u8)) else {
        return;
    };
    if let Some(seq) = headers::sequence_number(skb, family) {
        super::seqadj::shift(conn, info.direction(), seq, by);
    }
}

/// nf_conn_pernet_ecache(): see [`crate::object::dying::DyingList`].
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
#[no_mangle]
extern "C" fn rust_ct_dying(net: &Net) -> *mut bindings::nf_conntrack_net_ecache {
    NETNS
        .get(net)
        .map_or(ptr::null_mut(), |netns| netns.dying.raw())
}

/// nf_conntrack_register_notifier() and, with null, nf_conntrack_unregister_notifier(): sets the
/// listener to the events of a namespace.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
#[no_mangle]
extern "C" fn rust_ct_set_listener(
    net: &Net,
    listener: Option<Lasting<bindings::nf_ct_event_notifier>>,
) {
    net.set_listener(listener);
}

/// nf_conntrack_eventmask_report(): see [`crate::object::conn::Conn::report_events`].
#[no_mangle]
extern "C" fn rust_ct_report(events: c_uint, conn: &Conn, portid: u32, report: c_int) -> c_int {
    let told = conn.report_events(events, Requester { portid, report });
    // What the listener has said is not kept; this is what it says when its queue is full.
    told.map_or(ENOBUFS.to_errno(), |()| 0)
}
