// SPDX-License-Identifier: GPL-2.0

//! The beginning of a connection, and where it finds room.

use crate::{
    conn::{
        Beginning,
        Conn,
        Fresh, //
    },
    netns::{
        Netns,
        MAX, //
    },
    stat::Stat,
    state::Status,
    sys::{
        net::Net,
        rcu::ReadSide, //
    },
    table::{
        Visit,
        TABLE, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed, //
    },
};

/// How many buckets are searched for a connection that can be removed to make room.
///
/// Source: net/netfilter/nf_conntrack_core.c, NF_CT_EVICTION_RANGE.
const EVICTION_RANGE: usize = 8;

/// There is no room, or no memory, for a connection.
pub(crate) struct Refused;

/// Makes a connection for a packet that belongs to none. Any context.
///
/// Where the namespace is full, one that is not assured has to make room for it.
/// Source: net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc().
pub(crate) fn begin(
    netns: &Netns,
    net: &Net,
    beginning: &Beginning<'_>,
    rcu: ReadSide<'_>,
) -> Result<ARef<Conn>, Refused> {
    if netns.count() > MAX.load(Relaxed) && !make_room(netns, net, beginning.hash, rcu) {
        netns.uncount();
        netns.stats.count(Stat::Full);
        warn_full(netns, net);
        crate::expire::press();
        return Err(Refused);
    }
    match Fresh::new(net, beginning) {
        Some(fresh) => Ok(fresh.publish()),
        None => {
            netns.uncount();
            Err(Refused)
        }
    }
}

/// Removes connections of the namespace that are not assured, from the buckets around a hash: those
/// of the first one that has any. Tells whether it did.
///
/// Somebody may be assured just now who is removed: there is no room, so one of them has to go.
/// Source: net/netfilter/nf_conntrack_core.c, early_drop().
fn make_room(netns: &Netns, net: &Net, hash: u32, rcu: ReadSide<'_>) -> bool {
    let mut index = TABLE.index(hash, rcu);
    for _ in 0..EVICTION_RANGE {
        let mut dropped = 0u32;
        let visit = TABLE.visit(index, rcu, |candidate| {
            if candidate.is_expired() {
                TABLE.remove_overdue(candidate, rcu);
            } else if candidate.is_of(net) && may_go(candidate.status()) {
                // What was seen without a reference is looked at again with one.
                if let Some(conn) = candidate.get() {
                    let going = candidate.is_of(net)
                        && may_go(conn.status())
                        && conn.status().contains(Status::CONFIRMED);
                    if going && TABLE.kill(&conn) {
                        dropped = dropped.saturating_add(1);
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if dropped > 0 {
            netns.stats.add(Stat::EarlyDrop as usize, dropped);
            return true;
        }
        // Behind the last bucket comes the first.
        index = if visit == Visit::End {
            0
        } else {
            index.wrapping_add(1)
        };
    }
    false
}

fn may_go(status: Status) -> bool {
    !status.contains(Status::ASSURED) && !status.contains(Status::DYING)
}

fn warn_full(netns: &Netns, net: &Net) {
    if !netns.may_warn() {
        return;
    }
    let max = MAX.load(Relaxed);
    if net.is_init() {
        pr_warn!(
            "table full ({} connections), dropping packet; see the parameter max\n",
            max
        );
    } else {
        pr_warn!(
            "table full in netns {} ({} connections), dropping packet; see the parameter max\n",
            net.inum(),
            max
        );
    }
}
