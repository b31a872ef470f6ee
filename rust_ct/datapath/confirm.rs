// SPDX-License-Identifier: GPL-2.0

//! A packet's way out: a connection whose first packet gets here enters the table.
//!
//! A packet that is dropped between [`crate::datapath::packet`] and here takes its unconfirmed
//! connection with it, so that what rules forbid costs no place in the table.

use crate::{
    datapath::{
        bytes::Bytes,
        expire,
        passing,
        seqadj, //
    },
    object::{
        conn::{
            self,
            event::Event,
            Attached,
            Candidate,
            Conn, //
        },
        helper::Helper,
        netns::Netns,
        recent,
        stat::Stat,
        table::{
            Admission,
            Place,
            Refusal,
            TABLE, //
        },
        trace, //
    },
    pure::{
        fate::{
            Begun,
            Dropped,
            Refused, //
        },
        l4proto,
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        wire::{
            Family,
            L4, //
        },
    },
    sys::{
        hook::{
            self,
            State,
            Verdict, //
        },
        rcu::ReadSide,
        skb::Skb,
        trace as point, //
    },
};
use kernel::sync::{
    aref::ARef,
    rcu, //
};

/// The status bits of connections whose packets are looked into on their way out.
const WATCHED: Status = Status::SEQ_ADJUST.with(Status::HELPER);

/// Confirms the connection of a packet that leaves or reaches a socket. Softirq or process context.
///
/// Source: net/netfilter/nf_conntrack_proto.c, nf_confirm().
#[inline]
pub(crate) fn leave(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
    const ASKED: Status = Status::CONFIRMED.with(Status::TEMPLATE).with(WATCHED);

    // For most packets one read of the status is enough: nothing is left to be done.
    if let Some(conn) = conn::carried(skb) {
        if conn.status().and(ASKED) == Status::CONFIRMED {
            conn.deliver_cached();
            return Verdict::ACCEPT;
        }
    }
    leave_slowly(netns, skb, state)
}

/// As [`leave`], for whatever a packet may carry.
#[inline(never)]
fn leave_slowly(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
    let Attached::Conn(conn, info) = conn::attached(skb) else {
        return Verdict::ACCEPT;
    };
    let status = conn.status();
    let watched = status.intersects(WATCHED);
    // Another packet may have confirmed it just now.
    if status.contains(Status::CONFIRMED) && !watched {
        conn.deliver_cached();
        return Verdict::ACCEPT;
    }
    // The packet comes by again, through the device below, perhaps with another source.
    if state.leaves_through_vrf() {
        return Verdict::ACCEPT;
    }
    if !watched {
        return confirm_and_deliver(netns, skb);
    }
    // An ICMP error holds no segment of its own.
    if info != CtInfo::RelatedReply {
        let conn = ARef::from(conn);
        match look_into(netns, &conn, status, info, skb, state) {
            Verdict::ACCEPT => (),
            verdict => return verdict,
        }
    }
    confirm_once(netns, skb)
}

/// Lets the helper of a connection read a packet, and shifts the packet's sequence numbers where a
/// helper has changed what went before. What passes by is nothing that an end has said, and what
/// its receiver has acknowledged is nothing new.
///
/// A packet that is no longer a whole segment, a fragment, passes as it is.
fn look_into(
    netns: &Netns,
    conn: &Conn,
    status: Status,
    info: CtInfo,
    skb: &mut Skb,
    state: &State,
) -> Verdict {
    // A bridge has no family, the connection has.
    let family = conn.tuple(Direction::Original).family();
    let Some(family) = family else {
        return Verdict::ACCEPT;
    };
    let pkt = Bytes::of(skb, state);
    let Some(l4) = pkt.l4(family) else {
        return Verdict::ACCEPT;
    };
    let helper = conn.helper(state.rcu());
    let helper = helper.filter(|_| !passing::is_passing_by(netns, conn, info, &pkt, &l4, family));
    if let Some(helper) = helper {
        let verdict = helper.help(skb, &l4, conn, info, state.rcu());
        if verdict != Verdict::ACCEPT {
            return told(verdict, skb, conn, info);
        }
    }
    // What the helper shifts by this packet is what comes behind it: the status of before counts.
    adjust(netns, conn, status, info, skb, &l4)
}

/// Tells of a packet if its helper's verdict drops it.
fn told(verdict: Verdict, skb: &Skb, conn: &Conn, info: CtInfo) -> Verdict {
    if verdict == Verdict::DROP {
        tell_of_drop(skb, conn, info, Dropped::Helper.word());
    }
    verdict
}

/// Tells of a packet that is dropped. Its connection's tuple is what it had when it came.
#[inline(always)]
fn tell_of_drop(skb: &Skb, conn: &Conn, info: CtInfo, word: &'static str) {
    let tuple = || Some(conn.tuple(info.direction()));
    trace::packet::<point::Dropped>(skb, None, conn.net(), tuple, word);
}

/// Shifts the sequence numbers of a packet if, by its status, those of its connection are shifted;
/// a packet that cannot be changed is dropped.
fn adjust(
    netns: &Netns,
    conn: &Conn,
    status: Status,
    info: CtInfo,
    skb: &mut Skb,
    l4: &L4,
) -> Verdict {
    let adjusted = status.contains(Status::SEQ_ADJUST) && !skb.is_loopback();
    if adjusted && seqadj::adjust(conn, info.direction(), skb, l4).is_none() {
        netns.stats.count(Stat::Drop);
        tell_of_drop(skb, conn, info, Dropped::SeqAdjust.word());
        return Verdict::DROP;
    }
    Verdict::ACCEPT
}

/// Lets the helper of a packet's connection read the packet, for a caller that confirms the
/// connection in its own way. RCU is held.
///
/// Source: net/netfilter/nf_conntrack_ovs.c, nf_ct_helper().
pub(crate) fn help(
    conn: &Conn,
    info: CtInfo,
    skb: &mut Skb,
    family: Family,
    rcu: ReadSide<'_>,
) -> Verdict {
    // An ICMP error holds no segment of its own.
    if info == CtInfo::RelatedReply {
        return Verdict::ACCEPT;
    }
    let pkt = Bytes::at(skb, hook::Place::PostRouting);
    let (Some(helper), Some(l4)) = (conn.helper(rcu), pkt.l4(family)) else {
        return Verdict::ACCEPT;
    };
    if !helper.reads(family.nfproto(), l4.proto) {
        return Verdict::ACCEPT;
    }
    let passes = |netns| passing::is_passing_by(netns, conn, info, &pkt, &l4, family);
    if !conn.netns().is_some_and(passes) {
        match helper.help(skb, &l4, conn, info, rcu) {
            Verdict::ACCEPT => (),
            verdict => return told(verdict, skb, conn, info),
        }
    }
    let shifted = conn.status().contains(Status::SEQ_ADJUST);
    if shifted && seqadj::adjust(conn, info.direction(), skb, &l4).is_none() {
        tell_of_drop(skb, conn, info, Dropped::SeqAdjust.word());
        return Verdict::DROP;
    }
    Verdict::ACCEPT
}

/// A packet comes back that a helper in user space has read: what was left undone is done.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_confirm_cthelper().
pub(crate) fn reinject(skb: &mut Skb, rcu: ReadSide<'_>) -> Verdict {
    let Attached::Conn(conn, info) = conn::attached(skb) else {
        return Verdict::ACCEPT;
    };
    if !conn.helper(rcu).is_some_and(Helper::is_in_user_space) {
        return Verdict::ACCEPT;
    }
    let conn = ARef::from(conn);
    let family = conn.tuple(Direction::Original).family();
    let (Some(netns), Some(family)) = (conn.netns(), family) else {
        return Verdict::ACCEPT;
    };
    if let Some(l4) = Bytes::at(skb, hook::Place::PostRouting).l4(family) {
        let verdict = adjust(netns, &conn, conn.status(), info, skb, &l4);
        if verdict != Verdict::ACCEPT {
            return verdict;
        }
    }
    confirm_once(netns, skb)
}

/// Confirms the connection of a packet, unless it is confirmed, and delivers its cached events.
///
/// Source: include/net/netfilter/nf_conntrack_core.h, nf_conntrack_confirm().
fn confirm_once(netns: &Netns, skb: &mut Skb) -> Verdict {
    match conn::attached(skb) {
        Attached::Conn(conn, _) if conn.status().contains(Status::CONFIRMED) => {
            conn.deliver_cached();
            Verdict::ACCEPT
        }
        Attached::Conn(..) => confirm_and_deliver(netns, skb),
        _ => Verdict::ACCEPT,
    }
}

/// As [`confirm_once`], for a packet whose connection is not confirmed.
#[inline(always)]
fn confirm_and_deliver(netns: &Netns, skb: &mut Skb) -> Verdict {
    if confirm(netns, skb) != Verdict::ACCEPT {
        return Verdict::DROP;
    }
    // It may be another connection now, after a clash.
    if let Attached::Conn(conn, _) = conn::attached(skb) {
        conn.deliver_cached();
    }
    Verdict::ACCEPT
}

/// What the locks of the buckets decided.
enum Decision {
    /// The connection is in the table.
    Entered,
    /// The connection is in the table by its replies alone.
    Beside,
    /// The packet is to go with this connection instead, the same one, which came first.
    Merge(ARef<Conn>),
    /// The connection is refused, and the packet is to be dropped.
    Drop(Refused),
}

/// Enters the unconfirmed connection of a packet into the table. Softirq or process context.
///
/// Source: net/netfilter/nf_conntrack_core.c, __nf_conntrack_confirm().
pub(crate) fn confirm(netns: &Netns, skb: &mut Skb) -> Verdict {
    let Attached::Conn(conn, info) = conn::attached(skb) else {
        return Verdict::ACCEPT;
    };
    // What answers an unconfirmed connection, like a REJECT, does not confirm it.
    if info.direction() == Direction::Reply {
        return Verdict::ACCEPT;
    }
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    match decide(netns, conn, rcu) {
        Decision::Entered => {
            netns.newcomers.note(conn.hash(Direction::Original));
            recent::note(conn, rcu);
            cache_beginning(conn);
            Verdict::ACCEPT
        }
        Decision::Beside => {
            expire::lives_for(conn.remaining());
            recent::note(conn, rcu);
            trace::conn::<point::Confirmed>(conn, Begun::Beside.word());
            Verdict::ACCEPT
        }
        Decision::Drop(why) => {
            trace::conn::<point::Refused>(conn, why.word());
            tell_of_drop(skb, conn, info, why.word());
            Verdict::DROP
        }
        Decision::Merge(winner) => {
            netns.stats.count(Stat::ClashResolve);
            if let Some(counted) = conn.accounting() {
                let (_, bytes) = counted.get(info.direction());
                // CAST: The bytes of one packet, the only one of the losing connection.
                winner.account(info.direction(), bytes as u32);
            }
            drop(conn::detach(skb));
            conn::attach(skb, winner, info);
            Verdict::ACCEPT
        }
    }
}

/// Notes that a connection has begun.
#[inline]
fn cache_beginning(conn: &Conn) {
    let (event, begun) = match conn.master() {
        Some(_) => (Event::Related, Begun::Related),
        None => (Event::New, Begun::New),
    };
    if conn.net().has_listener() {
        if conn.has_helper() {
            conn.cache_event(Event::Helper);
        }
        conn.cache_event(event);
    }
    trace::conn::<point::Confirmed>(conn, begun.word());
}

#[inline(always)]
fn decide(netns: &Netns, conn: &Conn, rcu: ReadSide<'_>) -> Decision {
    let admission = match TABLE.admit(conn, rcu) {
        Ok(admission) => admission,
        // Another packet with the same connection was here first: a clone of this one.
        Err(Refusal::Confirmed) => return Decision::Drop(Refused::Twice),
        Err(Refusal::NoTable) => return Decision::Drop(Refused::NoTable),
        Err(Refusal::Dying) => {
            netns.stats.count(Stat::InsertFailed);
            return Decision::Drop(Refused::Ended);
        }
    };
    match admission.place() {
        Place::Free => {
            conn.begin_timeout();
            conn.stamp_start();
            admission.insert();
            Decision::Entered
        }
        Place::Taken(winner) if l4proto::allow_clash(conn.proto()) => {
            let winner = same(winner, conn);
            resolve_clash(netns, admission, conn, winner)
        }
        Place::Taken(_) => {
            netns.stats.count(Stat::Drop);
            netns.stats.count(Stat::InsertFailed);
            Decision::Drop(Refused::Taken)
        }
        Place::Crowded => {
            netns.stats.count(Stat::ChainTooLong);
            netns.stats.count(Stat::InsertFailed);
            Decision::Drop(Refused::Crowded)
        }
    }
}

/// Two packets began the same connection, as the lookups of both found none, and the other packet
/// came here first. `winner` is the connection that has one of the tuples, if it is the same
/// connection.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_resolve_clash().
fn resolve_clash(
    netns: &Netns,
    admission: Admission<'_>,
    loser: &Conn,
    winner: Option<ARef<Conn>>,
) -> Decision {
    if let Some(winner) = winner {
        return Decision::Merge(winner);
    }
    match admission.reply_taken().map(|taken| same(taken, loser)) {
        Some(Some(winner)) => Decision::Merge(winner),
        Some(None) => {
            netns.stats.count(Stat::Drop);
            netns.stats.count(Stat::InsertFailed);
            Decision::Drop(Refused::Taken)
        }
        None => {
            // Packets go with the winner, perhaps to another destination, but the replies to this
            // connection are let in as well.
            loser.begin_clash();
            loser.stamp_start();
            admission.insert_reply();
            netns.stats.count(Stat::ClashResolve);
            Decision::Beside
        }
    }
}

/// A reference to `winner`, if it is the same connection as the unconfirmed `loser`, or the same
/// seen from the other end.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_match() and nf_ct_match_reverse().
fn same(winner: Candidate<'_>, loser: &Conn) -> Option<ARef<Conn>> {
    let winner = winner.get()?;
    let equal = |w: Direction, l: Direction| {
        winner.tuple(w) == loser.tuple(l) && winner.zone().id(w) == loser.zone().id(l)
    };
    let ahead = equal(Direction::Original, Direction::Original)
        && equal(Direction::Reply, Direction::Reply);
    let reverse = equal(Direction::Original, Direction::Reply)
        && equal(Direction::Reply, Direction::Original);
    (ahead || reverse).then_some(winner)
}
