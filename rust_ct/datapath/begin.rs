// SPDX-License-Identifier: GPL-2.0

//! The beginning of a connection, and where it finds room.

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use crate::object::conn::ext::wants_events;
use crate::{
    datapath::{
        end,
        expire,
        helper::builtin, //
    },
    object::{
        conn::{
            ext::{
                EventMasks,
                Kind,
                Plan, //
            },
            Conn,
            NewConn,
            UniqueConn, //
        },
        expect::{
            self,
            Expect, //
        },
        netns::{
            Limit,
            Netns, //
        },
        setting,
        stat::Stat,
        table::{
            Visit,
            TABLE, //
        },
    },
    pure::{
        state::Status,
        tuple::Tuple, //
    },
    sys::{
        net::Net,
        rcu::ReadSide, //
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

/// How many buckets are searched for a connection that can be removed to make room. It bounds what
/// a packet costs while the table is full, which is when most of them come.
///
/// Source: net/netfilter/nf_conntrack_core.c, NF_CT_EVICTION_RANGE.
const EVICTION_RANGE: usize = 8;

/// There is no room, or no memory, for a connection.
pub(crate) struct Refused;

/// Makes a connection without extensions, which counts from now on, and has no reference yet. Any
/// context.
///
/// Where the namespace is full, one of its connections that is not assured has to make room for it;
/// where the machine is, one of anybody's.
/// Source: net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc().
pub(crate) fn allocate(
    netns: &Netns,
    net: &Net,
    new_conn: &NewConn<'_>,
    rcu: ReadSide<'_>,
) -> Result<UniqueConn, Refused> {
    if let Some(limit) = netns.count() {
        let whose = (limit == Limit::Namespace).then_some(net);
        if !early_drop(netns, whose, new_conn.hash, rcu) {
            netns.uncount();
            netns.stats.count(Stat::Full);
            warn_full(netns, net);
            expire::request_early_drop();
            return Err(Refused);
        }
    }
    UniqueConn::new(net, new_conn).ok_or_else(|| {
        netns.uncount();
        Refused
    })
}

/// Makes a connection for a packet that belongs to none, as a template wants it, if a rule gave it
/// one. Any context.
///
/// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
pub(crate) fn begin(
    netns: &Netns,
    net: &Net,
    new_conn: &NewConn<'_>,
    template: Option<&Conn>,
    rcu: ReadSide<'_>,
) -> Result<ARef<Conn>, Refused> {
    let mut unique = allocate(netns, net, new_conn, rcu)?;
    let masks = template.and_then(Conn::event_masks);
    let plan = extensions(net, template, masks);
    if !plan.is_empty() {
        // What was allocated is dropped, and uncounted, if this fails.
        unique.extend(&plan).map_err(|_| Refused)?;
        unique.begin_events(masks);
        if let Some(template) = template {
            unique.take_policy(template, rcu);
        }
    }
    let expected = find_expected(netns, net, new_conn, template, &mut unique, rcu);
    if expected.is_none() {
        find_helper(&mut unique, new_conn.original, template, rcu);
    }
    let conn = unique.publish();
    if let Some(exp) = expected {
        exp.introduce(&conn);
    }
    Ok(conn)
}

/// Makes a new connection what another one has announced, if one has: RELATED, with the marks of
/// its master, and with the helper that is to help it.
///
/// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
fn find_expected(
    netns: &Netns,
    net: &Net,
    new_conn: &NewConn<'_>,
    template: Option<&Conn>,
    unique: &mut UniqueConn,
    rcu: ReadSide<'_>,
) -> Option<ARef<Expect>> {
    if netns.expects.load(Relaxed) == 0 {
        return None;
    }
    // A template that is for this packet alone is CONFIRMED; a rule's own asks first, and leaves
    // the expectation to the one that asks after it.
    let keep = template.is_some_and(|template| !template.status().contains(Status::CONFIRMED));
    let (exp, master) = expect::find_expectation(net, &new_conn.zone, new_conn.original, keep)?;
    unique.follow(master);
    if let Some(helper) = exp.assign_helper(rcu) {
        unique.alone().assign_helper(helper);
    }
    netns.stats.count(Stat::ExpectNew);
    Some(exp)
}

/// Gives a new connection the helper that a template wants, or else the one that the parameter
/// `helpers` has for the port that its first packet goes to.
fn find_helper(
    unique: &mut UniqueConn,
    original: &Tuple,
    template: Option<&Conn>,
    rcu: ReadSide<'_>,
) {
    let wanted = template.is_some_and(|template| unique.alone().assign_helper_of(template, rcu));
    if let Some(helper) = builtin::of_port(original, rcu).filter(|_| !wanted) {
        unique.alone().assign_helper(helper);
    }
}

/// The extensions that the settings of a namespace, or a template, give to a new connection.
///
/// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
#[inline]
fn extensions(net: &Net, template: Option<&Conn>, masks: Option<EventMasks>) -> Plan {
    let mut plan = Plan::NONE;
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    if template.is_some_and(Conn::has_policy) {
        plan.add(Kind::Timeout);
    }
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    if template.is_some_and(Conn::is_proxied) {
        plan.add(Kind::SeqAdj);
        plan.add(Kind::SynProxy);
    }
    let _ = template;
    if setting::ACCT.get(net) != 0 {
        plan.add(Kind::Accounting);
    }
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    if setting::TIMESTAMP.get(net) != 0 {
        plan.add(Kind::Times);
    }
    #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
    if net.labels_used() {
        plan.add(Kind::Labels);
    }
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    if wants_events(net, masks) {
        plan.add(Kind::Events);
    }
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    let _ = masks;
    plan
}

/// Removes connections that are not assured, of a namespace or of all, from the buckets around a
/// hash: those of the first one that has any. Returns whether it did.
///
/// A connection that becomes assured just now may be removed: there is no room, so one has to go.
/// Source: net/netfilter/nf_conntrack_core.c, early_drop().
fn early_drop(netns: &Netns, whose: Option<&Net>, hash: u32, rcu: ReadSide<'_>) -> bool {
    let mut index = TABLE.index(hash, rcu);
    for _ in 0..EVICTION_RANGE {
        let mut dropped = 0u32;
        let visit = TABLE.visit(index, rcu, |candidate| {
            if candidate.is_expired() {
                end::overdue(candidate);
            } else if candidate.is_of_any(whose) && may_go(candidate.status()) {
                // What was seen without a reference is looked at again with one.
                if let Some(conn) = candidate.get() {
                    let going = candidate.is_of_any(whose)
                        && may_go(conn.status())
                        && conn.status().contains(Status::CONFIRMED);
                    if going && end::kill(&conn) {
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
    if !netns.warning.is_due() {
        return;
    }
    let max = netns.limit();
    if net.is_init() {
        pr_warn!(
            "table full ({} connections), dropping packet; see net.netfilter.nf_conntrack_max\n",
            max
        );
    } else {
        pr_warn!(
            "table full in netns {} ({} connections), dropping packet; see \
             net.netfilter.nf_conntrack_max there and in the initial namespace\n",
            net.inum(),
            max
        );
    }
}
