// SPDX-License-Identifier: GPL-2.0

//! Helpers of our own, which read in what a connection says which other connections will come.

pub(crate) mod builtin;
pub(crate) mod ftp;
pub(crate) mod tftp;

use crate::{
    object::{
        conn::Conn,
        stat::Stat, //
    },
    sys::hook::Verdict, //
};

/// Drops a packet, and counts it, as there is no room for what it announces: it is sent again.
fn refuse(conn: &Conn) -> Verdict {
    if let Some(netns) = conn.netns() {
        netns.stats.count(Stat::Drop);
    }
    Verdict::DROP
}
