// SPDX-License-Identifier: GPL-2.0

//! A packet renews the timeout of its connection.

use crate::{
    datapath::expire,
    object::{
        conn::Conn,
        netns::{
            limit,
            Netns, //
        },
        stat::Stat, //
    },
    pure::{
        l4proto::Input,
        state::Status, //
    },
};

/// Lets a connection live on for so many jiffies, and counts a packet of so many bytes.
/// `is_settled` says whether the packet changes no state.
#[inline(always)]
pub(super) fn renew(
    netns: &Netns,
    conn: &Conn,
    input: &Input,
    mut jiffies: u32,
    is_settled: bool,
    bytes: u32,
) {
    if expire::is_brief(jiffies) {
        jiffies = renew_briefly(netns, conn, jiffies, is_settled && input.assured());
    }
    // CAST: Connections keep the lower half.
    let now = input.now as u32;
    match input.confirmed() {
        true => conn.refresh_confirmed(now, jiffies),
        false => conn.refresh_at(now, jiffies),
    }
    conn.account(input.dir(), bytes);
}

/// For how long a packet renews its connection, if that is not for long, or timeouts shrink. They
/// do not for a packet of an assured connection that changes no state.
#[cold]
#[inline(never)]
fn renew_briefly(netns: &Netns, conn: &Conn, jiffies: u32, is_settled: bool) -> u32 {
    let jiffies = if limit::is_adaptive() && !is_settled {
        adapt(netns, conn, jiffies)
    } else {
        jiffies
    };
    expire::hasten(jiffies);
    jiffies
}

/// For how long a packet renews its connection where timeouts shrink: they do if the connection is
/// not assured, or is closing.
fn adapt(netns: &Netns, conn: &Conn, jiffies: u32) -> u32 {
    if conn.status().contains(Status::ASSURED) && !conn.is_closing() {
        return jiffies;
    }
    let shrunk = netns.shrink(jiffies);
    if shrunk < jiffies {
        netns.stats.count(Stat::TimeoutShrunk);
    }
    shrunk
}
