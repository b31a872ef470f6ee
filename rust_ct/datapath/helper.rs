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

/// Drops a packet whose announcement there is no room for, and counts it: it comes again.
fn refuse(conn: &Conn) -> Verdict {
    if let Some(netns) = conn.netns() {
        netns.stats.count(Stat::Drop);
    }
    Verdict::DROP
}
