// SPDX-License-Identifier: GPL-2.0

//! The straight way: that of a packet that only lets its connection live on, as nearly all packets
//! of TCP and UDP do.
//!
//! headers -> tuple -> lookup -> protocol -> attach, as in [`crate::datapath::packet`], with
//! everything rare left out: whatever is met that is not plain, the packet takes the long way, and
//! nothing was changed for it. If it was looked up, the long way begins behind the lookup. So this
//! decides nothing that is not decided there as well: what is plain is said in [`crate::pure`],
//! beside what is judged there, and tests compare the two.

use crate::{
    datapath::{
        bytes::Linear,
        packet::{
            self,
            Headers,
            Surroundings, //
        },
    },
    object::{
        conn::{
            self,
            Conn,
            Key, //
        },
        l4proto::Storage,
        netns::Netns,
        table::{
            Looked,
            TABLE, //
        },
    },
    pure::{
        l4proto::{
            tcp::Tcp,
            udp::Udp,
            Ids,
            Input,
            L4Proto, //
        },
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
        skb::Skb, //
    },
};

/// A packet to which nothing is attached, with its headers.
struct Plain<'a> {
    pkt: Linear<'a>,
    state: &'a State,
    headers: Headers,
}

/// Finds the connection of a packet and attaches it. Softirq or process context. `None` if the
/// packet is to take the long way from the beginning.
#[inline(always)]
pub(crate) fn pass(netns: &Netns, skb: &mut Skb, state: &State) -> Option<Verdict> {
    // Where the two ways are compared, all packets take the long one.
    if cfg!(rust_ct_long_way) || skb.nfct() != 0 {
        return None;
    }
    // There is code of its own for each family and protocol.
    match Family::from_nfproto(state.nfproto().into())? {
        Family::Ipv4 => pass_among(Family::Ipv4, netns, skb, state),
        Family::Ipv6 => pass_among(Family::Ipv6, netns, skb, state),
    }
}

#[inline(always)]
fn pass_among(family: Family, netns: &Netns, skb: &mut Skb, state: &State) -> Option<Verdict> {
    let nhoff = u32::try_from(skb.network_offset()).ok()?;
    let headers = Headers {
        family,
        nhoff,
        l4: wire::plain_l4(&Linear::of(skb, state), nhoff, family)?,
    };
    match headers.l4.proto {
        Tcp::NUMBER => pass_of::<Tcp>(headers, netns, skb, state),
        Udp::NUMBER => pass_of::<Udp>(headers, netns, skb, state),
        _ => None,
    }
}

#[inline(always)]
fn pass_of<P: Storage>(
    headers: Headers,
    netns: &Netns,
    skb: &mut Skb,
    state: &State,
) -> Option<Verdict> {
    let plain = Plain {
        pkt: Linear::of(skb, state),
        state,
        headers,
    };
    let tuple = plain.tuple(P::IDS)?;
    let key = Key::new(&tuple, Zone::DEFAULT, state.net());
    let hash = key.hash(Direction::Original);
    match TABLE.find_at_once(&key, hash, state.rcu()) {
        Looked::Found(conn, dir) => Some(match plain.renew::<P>(netns, &conn, dir) {
            Some(info) => {
                conn::attach(skb, conn, info);
                Verdict::ACCEPT
            }
            None => packet::track_found(netns, skb, state, conn, dir),
        }),
        Looked::Nothing => Some(packet::track_new(netns, skb, state, headers, tuple, hash)),
        Looked::Astray => None,
    }
}

impl Plain<'_> {
    #[inline(always)]
    fn tuple(&self, ids: Ids) -> Option<Tuple> {
        let Headers {
            family, nhoff, l4, ..
        } = &self.headers;
        Tuple::read(ids, &self.pkt, *nhoff, *family, l4).ok()
    }

    /// Renews the packet's connection, which was found by a direction. Returns what the packet is
    /// to it.
    #[inline(always)]
    fn renew<P: Storage>(&self, netns: &Netns, conn: &Conn, dir: Direction) -> Option<CtInfo> {
        let (net, rcu) = (self.state.net(), self.state.rcu());
        let Headers { family, l4, .. } = &self.headers;
        let header = P::read_plain(&self.pkt, l4)?;
        let status = conn.status();
        // The first answer is told of.
        if dir == Direction::Reply && !status.contains(Status::SEEN_REPLY) {
            return None;
        }
        // Behind the lookup, so that only who has a connection can have a packet summed twice.
        if packet::verifies_checksums(self.state) && !P::verify(&self.pkt, &header, l4, *family) {
            return None;
        }
        let input = packet::input(conn, status, packet::info(status, dir));
        let timeouts = P::place_in_force(conn, net, rcu)?;
        let timeout = |index: usize| timeouts.get(index).map_or(0, Field::load);

        let jiffies = self.judge::<P>(conn, &header, &input, timeout)?;
        packet::renew(netns, conn, &input, jiffies, true, self.pkt.len());
        Some(input.ctinfo)
    }

    /// For how many jiffies the packet renews its connection, of which the private state follows.
    #[inline(always)]
    fn judge<P: Storage>(
        &self,
        conn: &Conn,
        header: &P::Header,
        input: &Input,
        timeout: impl Fn(usize) -> u32,
    ) -> Option<u32> {
        let mut context = Surroundings {
            pkt: &self.pkt,
            l4: &self.headers.l4,
            family: self.headers.family,
            net: self.state.net(),
            conn,
            locked: P::LOCKED.then(|| conn.lock()),
        };
        let old = conn.private();
        let mut private = old;
        let jiffies = P::renew(&mut private, header, input, timeout, &mut context)?;
        if P::LOCKED {
            conn.replace_private(&old, &private);
        }
        Some(jiffies)
    }
}
