// SPDX-License-Identifier: GPL-2.0

//! The end of a connection: it leaves the table, and the listener is told.
//!
//! Source: net/netfilter/nf_conntrack_core.c, nf_ct_delete().

use crate::{
    datapath::retry,
    object::{
        conn::{
            event::{
                Event,
                Requester, //
            },
            Candidate,
            Conn, //
        },
        expect,
        table::TABLE,
        trace, //
    },
    pure::{
        evict::Rank,
        fate::Ended, //
    },
    sys::{
        net::Net,
        trace::{
            self as point,
            Point, //
        },
    },
};
use kernel::sync::rcu;

/// Ends a connection: removes it from the table, and gives the table's reference back. Returns
/// whether this call did, and the DESTROY event was delivered, as nf_ct_delete(). Any context, with
/// none of the table's locks held.
pub(crate) fn kill(conn: &Conn) -> bool {
    kill_as(conn, Ended::Deleted)
}

/// As [`kill`], for a reason.
pub(crate) fn kill_as(conn: &Conn, why: Ended) -> bool {
    kill_for(conn, Requester::NOBODY, why)
}

/// As [`kill`], for a reason, on behalf of a requester. If the DESTROY event cannot be delivered,
/// the connection is out of the table, but is kept until it can.
pub(crate) fn kill_for(conn: &Conn, requester: Requester, why: Ended) -> bool {
    end(conn, requester, why).unwrap_or(false)
}

/// As [`kill`], for a reason; `None` if another caller ends the connection.
pub(crate) fn kill_first(conn: &Conn, why: Ended) -> Option<bool> {
    end(conn, Requester::NOBODY, why)
}

/// Ends a connection. Returns whether the DESTROY event was delivered; `None` if another caller
/// ends the connection.
fn end(conn: &Conn, requester: Requester, why: Ended) -> Option<bool> {
    let dying = conn.begin_dying()?;
    conn.stamp_stop();
    let told = report(conn, requester);
    conn.destroy_helper();
    // A grace period later it is in the table no more, but in the list where it waits, and has left
    // NAT's list.
    let is_in_nat_list = conn.is_in_nat_list();
    let guard = (!told || is_in_nat_list).then(rcu::read_lock);
    let unlinked = TABLE.unlink(dying)?;
    if is_in_nat_list {
        // A packet, a flow or another connection may keep it for longer than NAT's module is there.
        conn.leave_nat();
    }
    tell(conn, why);
    expect::remove_all(conn);
    if !told && unlinked.keep() {
        retry::ask();
    }
    drop(guard);
    Some(told)
}

/// Tells of a connection that has left the table.
#[inline(always)]
fn tell(conn: &Conn, why: Ended) {
    if point::EarlyDrop::is_on() && why == Ended::EarlyDrop {
        trace::conn::<point::EarlyDrop>(conn, conn.lost().map_or("", Rank::word));
    }
    trace::conn::<point::Ended>(conn, why.word());
}

/// Ends a connection that was met without a reference, if it has expired. Any context, with none of
/// the table's locks held.
pub(crate) fn overdue(candidate: Candidate<'_>) {
    if let Some(conn) = candidate.get() {
        if conn.is_overdue() {
            kill_as(&conn, Ended::Expired);
        }
    }
}

/// Ends every connection of `net`, or of all namespaces. Process context, sleeps.
pub(crate) fn kill_all(net: Option<&Net>) {
    TABLE.for_each(net, |conn| {
        kill_as(conn, Ended::Netns);
    });
}

/// Delivers the DESTROY event of a connection; returns whether that worked.
fn report(conn: &Conn, requester: Requester) -> bool {
    let told = conn.report_events(Event::Destroy.bit(), requester).is_ok();
    // There is room again.
    if told && conn.netns().is_some_and(|netns| !netns.dying.is_empty()) {
        retry::ask_at_once();
    }
    told
}
