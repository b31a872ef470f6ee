// SPDX-License-Identifier: GPL-2.0

//! A packet's way out: a connection whose first packet gets here enters the table.
//!
//! A packet that is dropped between [`crate::packet`] and here takes its unconfirmed connection
//! with it, so that what rules forbid costs no place in the table.

use crate::{
    conn::{
        self,
        Attached,
        Candidate,
        Conn, //
    },
    l4proto,
    netns::Netns,
    seqadj,
    stat::Stat,
    state::{
        CtInfo,
        Status, //
    },
    sys::{
        hook::{
            State,
            Verdict, //
        },
        skb::Skb, //
    },
    table::{
        Pair,
        Place,
        TABLE, //
    },
    tuple::Direction, //
};
use kernel::sync::aref::ARef;

/// Confirms the connection of a packet that leaves or reaches a socket. Softirq or process context.
///
/// Source: net/netfilter/nf_conntrack_proto.c, nf_confirm().
#[inline]
pub(crate) fn leave(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
    let Attached::Conn(conn, info) = conn::attached(skb) else {
        return Verdict::Accept;
    };
    let status = conn.status();
    let adjusted = status.contains(Status::SEQ_ADJUST);
    if status.contains(Status::CONFIRMED) && !adjusted {
        return Verdict::Accept;
    }
    // The packet comes by again, through the device below, perhaps with another source.
    if state.leaves_through_vrf() {
        return Verdict::Accept;
    }
    // An ICMP error holds no segment of its own.
    if adjusted && info != CtInfo::RelatedReply && !skb.is_loopback() {
        let conn = ARef::from(conn);
        if seqadj::adjust(&conn, info.direction(), skb, state).is_none() {
            netns.stats.count(Stat::Drop);
            return Verdict::Drop;
        }
    }
    if status.contains(Status::CONFIRMED) {
        return Verdict::Accept;
    }
    confirm(netns, skb)
}

/// What the locks of both buckets decided.
enum Decision {
    /// The connection is in the table.
    Entered,
    /// The packet is to go with this connection instead, which is the same one and came first.
    Merge(ARef<Conn>),
    /// The packet is to be dropped.
    Drop,
}

/// Enters the unconfirmed connection of a packet into the table. Softirq or process context.
///
/// Source: net/netfilter/nf_conntrack_core.c, __nf_conntrack_confirm().
pub(crate) fn confirm(netns: &Netns, skb: &mut Skb) -> Verdict {
    let Attached::Conn(conn, info) = conn::attached(skb) else {
        return Verdict::Accept;
    };
    // What answers an unconfirmed connection, like a REJECT, does not confirm it.
    if info.direction() == Direction::Reply {
        return Verdict::Accept;
    }
    match decide(netns, conn) {
        Decision::Entered => Verdict::Accept,
        Decision::Drop => Verdict::Drop,
        Decision::Merge(winner) => {
            netns.stats.count(Stat::ClashResolve);
            drop(conn::detach(skb));
            conn::attach(skb, winner, info);
            Verdict::Accept
        }
    }
}

fn decide(netns: &Netns, conn: &Conn) -> Decision {
    // NAT may have changed what the answers look like since the connection was made.
    let reply = conn.key(Direction::Reply).hash(Direction::Reply);
    let Some(pair) = TABLE.lock_pair(conn.hash(Direction::Original), reply) else {
        return Decision::Drop;
    };
    let status = conn.status();
    // Another packet with the same connection was here first: a clone of this one.
    if status.contains(Status::CONFIRMED) {
        return Decision::Drop;
    }
    if status.contains(Status::DYING) {
        netns.stats.count(Stat::InsertFailed);
        return Decision::Drop;
    }

    match pair.place(conn) {
        Place::Free => {
            conn.store_hash(Direction::Reply, reply);
            conn.begin_timeout();
            conn.note_start();
            pair.enter(conn);
            Decision::Entered
        }
        Place::Taken(winner) => resolve_clash(netns, &pair, conn, winner, reply),
        Place::Crowded => {
            netns.stats.count(Stat::ChainTooLong);
            netns.stats.count(Stat::InsertFailed);
            Decision::Drop
        }
    }
}

/// Two packets that begin the same connection met no connection each, and one came here first.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_resolve_clash().
fn resolve_clash(
    netns: &Netns,
    pair: &Pair<'_>,
    loser: &Conn,
    winner: Candidate<'_>,
    reply: u32,
) -> Decision {
    if l4proto::allow_clash(loser.proto()) {
        if let Some(winner) = same(winner, loser) {
            return Decision::Merge(winner);
        }
        match pair.reply_taken(loser).map(|taken| same(taken, loser)) {
            Some(Some(winner)) => return Decision::Merge(winner),
            Some(None) => (),
            None => {
                // Packets go the winner's way, which may be another destination, but the answers to
                // this one are let in as well.
                loser.store_hash(Direction::Reply, reply);
                loser.begin_clash();
                loser.note_start();
                pair.enter_reply(loser);
                netns.stats.count(Stat::ClashResolve);
                return Decision::Entered;
            }
        }
    }
    netns.stats.count(Stat::Drop);
    netns.stats.count(Stat::InsertFailed);
    Decision::Drop
}

/// A reference to a connection that is the same as an unconfirmed one, or the same seen from the
/// other end.
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
