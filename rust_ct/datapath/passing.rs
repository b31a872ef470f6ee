// SPDX-License-Identifier: GPL-2.0

//! TCP segments of which their receiver takes nothing, but which go with a connection: those that
//! are left to their receiver, and those below its window that it has acknowledged. No helper is to
//! believe them.

use crate::{
    datapath::{
        bytes::Bytes,
        surroundings::tcp_tuning, //
    },
    object::{
        conn::Conn,
        netns::Netns, //
    },
    pure::{
        l4proto::{
            tcp::{
                self,
                Tcp, //
            },
            Action,
            Input,
            L4Proto, //
        },
        state::CtInfo,
        wire::{
            ipproto,
            tcp::Segment,
            Family,
            L4, //
        },
    },
    sys::time,
};

/// Returns whether a packet goes with a connection, but nothing of it is for its receiver, so that
/// no helper is to believe it. nf_conntrack's helpers read what is below the window; so do they
/// where `tcp_rfc5961` is off. Any context; the caller holds no lock.
#[inline]
pub(crate) fn is_passing_by(
    netns: &Netns,
    conn: &Conn,
    info: CtInfo,
    pkt: &Bytes<'_>,
    l4: &L4,
    family: Family,
) -> bool {
    l4.proto == ipproto::TCP
        && netns.has_overheard()
        && netns.leaves_to_receiver()
        && !conn.is_behind_proxy()
        && passes(conn, info, pkt, l4, family)
}

/// Returns whether its receiver takes nothing of a segment of a connection: the packet does not say
/// so, so it is judged once more. What counted when it came counts again, unless another packet has
/// moved the connection meanwhile.
#[cold]
#[inline(never)]
fn passes(conn: &Conn, info: CtInfo, pkt: &Bytes<'_>, l4: &L4, family: Family) -> bool {
    let Ok(segment) = Segment::read(pkt, l4, family, false) else {
        return false;
    };
    let input = Input {
        status: conn.status(),
        ctinfo: info,
        now: 0,
        remaining: 0,
        hz: time::HZ,
    };
    let locked = conn.lock();
    let met: tcp::Proto = locked.private();
    let env = tcp::Env {
        tuning: &tcp_tuning(conn.net()),
        // For how long it would live is not asked.
        timeouts: &Tcp::defaults(time::HZ),
        synproxy: conn.is_proxied(),
        seqadj: locked.shift(input.dir().other()),
    };
    let mut private = met;
    let outcome = tcp::track(&mut private, &segment, &input, &env);
    let outcome = tcp::reconsider(&mut private, &met, &segment, &input, outcome);
    let is_left = outcome.action == Action::PassBy;
    is_left || (outcome.is_overheard() && met.is_acknowledged(&segment, input.dir()))
}
