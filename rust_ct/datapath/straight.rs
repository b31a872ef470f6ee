// SPDX-License-Identifier: GPL-2.0

//! The straight way: that of a packet that only lets its connection live on, as nearly all packets
//! of TCP and UDP do.
//!
//! headers -> tuple -> lookup -> protocol -> attach, as in [`crate::datapath::packet`], with
//! everything rare left out: whatever is met that is not plain, the packet takes the long way, from
//! the beginning, and nothing was changed for it. So this decides nothing that is not decided
//! there as well: what is plain is said in [`crate::pure`], beside what is judged there, and tests
//! compare the two.

use crate::{
    datapath::{
        bytes::Linear,
        packet::{
            self,
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
        table::TABLE, //
    },
    pure::{
        l4proto::{
            tcp::Tcp,
            udp::Udp,
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
            Packet,
            L4, //
        },
        zone::Zone, //
    },
    sys::{
        field::Field,
        hook::State,
        skb::Skb, //
    },
};
use kernel::sync::aref::ARef;

/// A packet to which nothing is attached, with its headers.
struct Plain<'a> {
    pkt: Linear<'a>,
    state: &'a State,
    family: Family,
    /// Offset of the network header.
    nhoff: u32,
    l4: L4,
    verify_checksum: bool,
}

/// Finds the connection of a packet and attaches it. Softirq or process context. Returns whether it
/// did; if not, nothing has changed, and the packet is to take the long way.
#[inline(always)]
pub(crate) fn pass(netns: &Netns, skb: &mut Skb, state: &State) -> bool {
    // Where the two ways are compared, all packets take the long one.
    if cfg!(rust_ct_long_way) || skb.nfct() != 0 {
        return false;
    }
    let Some((conn, info)) = find(netns, skb, state) else {
        return false;
    };
    conn::attach(skb, conn, info);
    true
}

#[inline(always)]
fn find(netns: &Netns, skb: &Skb, state: &State) -> Option<(ARef<Conn>, CtInfo)> {
    // There is code of its own for each family and protocol.
    match Family::from_nfproto(state.nfproto().into())? {
        Family::Ipv4 => find_among(Family::Ipv4, netns, skb, state),
        Family::Ipv6 => find_among(Family::Ipv6, netns, skb, state),
    }
}

#[inline(always)]
fn find_among(
    family: Family,
    netns: &Netns,
    skb: &Skb,
    state: &State,
) -> Option<(ARef<Conn>, CtInfo)> {
    let nhoff = u32::try_from(skb.network_offset()).ok()?;
    let pkt = Linear::of(skb, state);
    let plain = Plain {
        l4: wire::plain_l4(&pkt, nhoff, family)?,
        pkt,
        state,
        family,
        nhoff,
        verify_checksum: packet::verifies_checksums(state),
    };
    match plain.l4.proto {
        Tcp::NUMBER => plain.renew::<Tcp>(netns),
        Udp::NUMBER => plain.renew::<Udp>(netns),
        _ => None,
    }
}

impl Plain<'_> {
    /// Finds the connection that the packet renews, and renews it.
    #[inline(always)]
    fn renew<P: Storage>(&self, netns: &Netns) -> Option<(ARef<Conn>, CtInfo)> {
        let (net, rcu) = (self.state.net(), self.state.rcu());
        let header = P::read_plain(&self.pkt, &self.l4)?;
        let tuple = Tuple::read(P::IDS, &self.pkt, self.nhoff, self.family, &self.l4).ok()?;
        let key = Key::new(&tuple, Zone::DEFAULT, net);
        let (conn, dir) = TABLE.find_at_once(&key, key.hash(Direction::Original), rcu)?;

        let status = conn.status();
        // The first answer is told of.
        if dir == Direction::Reply && !status.contains(Status::SEEN_REPLY) {
            return None;
        }
        // Behind the lookup, so that only who has a connection can have a packet summed twice.
        if self.verify_checksum && !P::verify(&self.pkt, &header, &self.l4, self.family) {
            return None;
        }
        let input = packet::input(&conn, status, packet::info(status, dir));
        let timeouts = P::place_in_force(&conn, net, rcu)?;
        let timeout = |index: usize| timeouts.get(index).map_or(0, Field::load);

        let jiffies = self.judge::<P>(&conn, &header, &input, timeout)?;
        packet::renew(netns, &conn, &input, jiffies, true, self.pkt.len());
        Some((conn, input.ctinfo))
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
            l4: &self.l4,
            family: self.family,
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
