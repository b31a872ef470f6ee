// SPDX-License-Identifier: GPL-2.0

//! The straight way: that of a packet that only lets its connection live on, as nearly all packets
//! of TCP and UDP do, or that begins one in the usual way.
//!
//! headers -> tuple -> lookup -> protocol -> attach, as in [`crate::datapath::packet`], with
//! everything rare left out: a packet in which anything is not plain takes the long way, and
//! nothing was changed for it. If it was looked up, the long way begins behind the lookup. So this
//! decides nothing that is not decided there as well: what is plain is said in [`crate::pure`],
//! beside what is judged there, and tests compare the two.

use crate::{
    datapath::{
        begin,
        bytes::Linear,
        headers::Headers,
        lookup,
        packet,
        refuse::{
            self,
            Refusal, //
        },
        renew,
        surroundings::Surroundings, //
    },
    object::{
        conn::{
            self,
            event::Event,
            Conn,
            Key,
            NewConn, //
        },
        l4proto::Storage,
        netns::Netns,
        table::{
            Found,
            Looked,
            TABLE, //
        },
    },
    pure::{
        l4proto::{
            tcp::Tcp,
            udp::Udp,
            Input,
            L4Proto,
            Plain, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        tuple::{
            Direction,
            Tuple, //
        },
        wire::{
            self,
            ipv4::Ipv4,
            ipv6::Ipv6,
            Family,
            Packet, //
        },
        zone::Zone, //
    },
    sys::{
        field::Field,
        hook::{
            State,
            Verdict, //
        },
        skb::Skb,
        time, //
    },
};
use kernel::sync::aref::ARef;

/// Finds the connection of a packet and attaches it; what cannot be passed straight on takes the
/// long way. Softirq or process context.
#[inline(never)]
pub(crate) fn track(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
    // There is code of its own for each family and protocol.
    match plain(skb, state) {
        Some((Family::Ipv4, Udp::NUMBER)) => pass::<Ipv4, Udp>(netns, skb, state),
        Some((Family::Ipv4, Tcp::NUMBER)) => pass::<Ipv4, Tcp>(netns, skb, state),
        Some((Family::Ipv6, Udp::NUMBER)) => pass::<Ipv6, Udp>(netns, skb, state),
        Some((Family::Ipv6, Tcp::NUMBER)) => pass::<Ipv6, Tcp>(netns, skb, state),
        _ => packet::track(netns, skb, state),
    }
}

/// Family and protocol of a packet to which nothing is attached, whose network header is plain and
/// at its beginning; `None` of other packets.
#[inline(always)]
fn plain(skb: &Skb, state: &State) -> Option<(Family, u8)> {
    // Where the two ways are compared, all packets take the long one.
    if cfg!(rust_ct_long_way) || skb.nfct() != 0 || skb.network_offset() != 0 {
        return None;
    }
    let family = Family::from_nfproto(state.nfproto().into())?;
    let l4 = wire::plain_l4(&Linear::of(skb, state), 0, family)?;
    Some((family, l4.proto))
}

/// Passes a packet on with its connection, if it only renews that or begins it, or sends it the
/// long way. The caller has checked the packet with [`plain`].
#[inline(never)]
fn pass<N: wire::Plain, P: Storage + Plain>(
    netns: &Netns,
    skb: &mut Skb,
    state: &State,
) -> Verdict {
    let now = time::jiffies();
    let Some(tuple) = tuple::<N, P>(skb, state) else {
        return packet::track(netns, skb, state);
    };
    let key = Key::new(&tuple, Zone::DEFAULT, state.net());
    let hash = key.hash(Direction::Original);
    // CAST: Connections keep the lower half.
    match TABLE.find_at_once(&key, hash, now as u32, state.rcu()) {
        Looked::Found(found) => match renew::<N, P>(netns, skb, state, &found, now) {
            Some(info) => {
                conn::attach(skb, found.conn, info);
                Verdict::ACCEPT
            }
            None => packet::track_found(netns, skb, state, found.conn, found.dir),
        },
        Looked::Nothing => begin::<N, P>(netns, skb, state, hash),
        Looked::Astray => packet::track(netns, skb, state),
    }
}

#[inline(always)]
fn tuple<N: wire::Plain, P: Storage>(skb: &Skb, state: &State) -> Option<Tuple> {
    let pkt = Linear::of(skb, state);
    Tuple::read(P::IDS, &pkt, 0, N::FAMILY, &N::l4(P::NUMBER)).ok()
}

/// Begins a connection with a packet whose tuple no connection has; `hash` is that of the tuple's
/// key. The tuple is read again: kept for this, it would cost all other packets.
#[inline(never)]
fn begin<N: wire::Plain, P: Storage + Plain>(
    netns: &Netns,
    skb: &mut Skb,
    state: &State,
    hash: u32,
) -> Verdict {
    let l4 = N::l4(P::NUMBER);
    let Some(tuple) = tuple::<N, P>(skb, state) else {
        return packet::track(netns, skb, state);
    };
    let Some(header) = P::read_first(&Linear::of(skb, state), &l4) else {
        let headers = Headers {
            family: N::FAMILY,
            nhoff: 0,
            l4,
        };
        return packet::track_new(netns, skb, state, headers, &tuple, hash);
    };
    match make::<N, P>(netns, skb, state, &tuple, hash, &header) {
        Ok((conn, info)) => {
            conn::attach(skb, conn, info);
            Verdict::ACCEPT
        }
        Err(refusal) => refuse::refuse(netns, skb, state, &refusal),
    }
}

/// Makes the connection that a packet begins. Returns what the packet is to it, too.
#[inline(always)]
fn make<N: wire::Plain, P: Storage + Plain>(
    netns: &Netns,
    skb: &Skb,
    state: &State,
    tuple: &Tuple,
    hash: u32,
    header: &P::Header,
) -> Result<(ARef<Conn>, CtInfo), Refusal> {
    let (net, rcu) = (state.net(), state.rcu());
    lookup::end_overdue(hash, rcu);
    let reply = tuple
        .invert_as(P::IDS)
        .ok_or(Refusal::Invalid(Reason::IcmpNoCounterpart))?;
    let new_conn = NewConn {
        original: tuple,
        reply: &reply,
        zone: Zone::DEFAULT,
        hash,
    };
    let conn = begin::begin(netns, net, &new_conn, None, rcu).map_err(Refusal::Refused)?;
    // Behind what may refuse the connection, so that no refused packet is summed.
    let (pkt, l4) = (Linear::of(skb, state), N::l4(P::NUMBER));
    if packet::verifies_checksums(state) {
        P::verify(&pkt, header, &l4, N::FAMILY).map_err(Refusal::Invalid)?;
    }

    let status = conn.status();
    let input = packet::input(&conn, status, packet::info(status, Direction::Original));
    // The connection has no timeout policy, which comes by a template.
    let timeout = |index| P::timeout(net, index);
    let beginning = P::begin(header, input.now, input.hz, timeout);
    // Without the lock: no CPU reads it before the connection is confirmed.
    conn.store_private(&beginning.private);
    let is_settled = !beginning.protoinfo_changed;
    if beginning.protoinfo_changed {
        conn.cache_event(Event::ProtoInfo);
    }
    let jiffies = beginning.jiffies;
    renew::renew(netns, &conn, &input, jiffies, is_settled, pkt.len());
    Ok((conn, input.ctinfo))
}

/// Renews the packet's connection. Returns what the packet is to it.
#[inline(always)]
fn renew<N: wire::Plain, P: Storage + Plain>(
    netns: &Netns,
    skb: &Skb,
    state: &State,
    found: &Found,
    now: usize,
) -> Option<CtInfo> {
    let (net, rcu) = (state.net(), state.rcu());
    let (pkt, l4) = (Linear::of(skb, state), N::l4(P::NUMBER));
    let header = P::read_plain(&pkt, &l4)?;

    let (conn, status) = (&found.conn, found.status);
    let ctinfo = match (status.contains(Status::SEEN_REPLY), found.dir) {
        // The first reply has an event.
        (false, Direction::Reply) => return None,
        (false, Direction::Original) => packet::info(status, Direction::Original),
        (true, Direction::Original) => CtInfo::Established,
        (true, Direction::Reply) => CtInfo::EstablishedReply,
    };
    // Behind the lookup, so that only a packet of a known connection can be summed twice.
    if packet::verifies_checksums(state) && P::verify(&pkt, &header, &l4, N::FAMILY).is_err() {
        return None;
    }
    let input = Input {
        status,
        ctinfo,
        now,
        remaining: found.remaining,
        hz: time::HZ,
    };
    let timeouts = P::place_in_force(conn, net, rcu)?;
    let timeout = |index: usize| timeouts.get(index).map_or(0, Field::load);

    let mut context = Surroundings {
        pkt: &pkt,
        l4: &l4,
        family: N::FAMILY,
        net,
        conn,
        locked: P::LOCKED.then(|| conn.lock()),
    };
    let old = conn.private_seen::<P>(found.dir);
    let mut private = old;
    let jiffies = P::renew(&mut private, &header, &input, timeout, &mut context)?;
    if P::LOCKED {
        conn.replace_private_seen::<P>(old, &private, found.dir);
    }
    drop(context);

    renew::renew(netns, conn, &input, jiffies, true, pkt.len());
    Some(input.ctinfo)
}
