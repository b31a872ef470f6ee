// SPDX-License-Identifier: GPL-2.0

//! Lookups in the table, which end what they meet that has expired. Any context, under RCU.

use crate::{
    datapath::end,
    object::{
        conn::{
            Conn,
            Key, //
        },
        table::TABLE, //
    },
    pure::tuple::{
        Direction,
        Tuple, //
    },
    sys::rcu::ReadSide, //
};
use core::ops::ControlFlow;
use kernel::sync::aref::ARef;

/// Finds the connection with a key, by the key's hash, and takes a reference to it.
#[inline]
pub(crate) fn find(key: &Key<'_>, hash: u32, rcu: ReadSide<'_>) -> Option<(ARef<Conn>, Direction)> {
    TABLE.find(key, hash, rcu, end::overdue)
}

/// Ends what has expired in the bucket of a hash, as [`find`] does that finds nothing there.
#[inline(never)]
pub(crate) fn end_overdue(hash: u32, rcu: ReadSide<'_>) {
    TABLE.visit_home(hash, rcu, |candidate| {
        if candidate.is_expired() {
            end::overdue(candidate);
        }
        ControlFlow::Continue(())
    });
}

/// As [`find`], whichever direction the packets with the key go in, where the number of its zone
/// differs between the directions.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_find_get().
pub(crate) fn find_either(key: &Key<'_>, rcu: ReadSide<'_>) -> Option<(ARef<Conn>, Direction)> {
    find(key, key.hash(Direction::Original), rcu).or_else(|| find_reply(key, rcu))
}

/// As [`find_either`], for the end of a connection: what has expired stays. A lookup that ends what
/// it meets may have brought that end about, and one end would lead to the next on one stack.
pub(crate) fn find_sibling(key: &Key<'_>, rcu: ReadSide<'_>) -> Option<ARef<Conn>> {
    let find = |dir| TABLE.find(key, key.hash(dir), rcu, |_| ());
    let reply = || key.has_other_reply().then(|| find(Direction::Reply))?;
    find(Direction::Original)
        .or_else(reply)
        .map(|(conn, _)| conn)
}

/// As [`find`], for packets in the reply direction, if the number of the key's zone differs there.
pub(crate) fn find_reply(key: &Key<'_>, rcu: ReadSide<'_>) -> Option<(ARef<Conn>, Direction)> {
    if !key.has_other_reply() {
        return None;
    }
    find(key, key.hash(Direction::Reply), rcu)
}

/// See [`crate::object::table::Table::is_taken`].
pub(crate) fn is_taken(reply: &Tuple, conn: &Conn, rcu: ReadSide<'_>) -> bool {
    TABLE.is_taken(reply, conn, rcu, end::overdue)
}
