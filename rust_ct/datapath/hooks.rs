// SPDX-License-Identifier: GPL-2.0

//! Where packets come by: the hooks of each family, registered in a namespace while a rule or a
//! module there wants connections tracked.

use crate::{
    datapath::{
        confirm,
        headers,
        straight, //
    },
    object::{
        conn::{
            self,
            Attached, //
        },
        netns::{
            Netns,
            NETNS, //
        },
        table::{
            Cursor,
            Which,
            TABLE, //
        },
    },
    pure::{
        l4proto::tcp,
        tuple::Direction,
        wire::{
            ipproto,
            Family, //
        },
    },
    sys::{
        defrag,
        hook::{
            Hook,
            Place,
            Point,
            State,
            Verdict,
            HOOKS,
            NFPROTO_INET,
            PRI_CONNTRACK,
            PRI_LAST, //
        },
        net::Net,
        skb::Skb, //
    },
};
use kernel::prelude::*;

/// A packet comes in.
struct Track;

impl Hook for Track {
    type Data = Netns;

    fn run(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
        straight::track(netns, skb, state)
    }
}

/// An IPv4 packet of this machine comes in.
///
/// A fragment here is one whose socket has set IP_NODEFRAG: it is not tracked.
/// Source: net/netfilter/nf_conntrack_proto.c, ipv4_conntrack_local().
struct TrackLocalIpv4;

impl Hook for TrackLocalIpv4 {
    type Data = Netns;

    fn run(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
        if !headers::is_ipv4_fragment(skb, state) {
            return straight::track(netns, skb, state);
        }
        if let Attached::Template(_) = conn::attached(skb) {
            drop(conn::detach(skb));
        }
        Verdict::ACCEPT
    }
}

/// A packet goes out, or to a socket.
struct Confirm;

impl Hook for Confirm {
    type Data = Netns;

    #[inline]
    fn run(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
        confirm::leave(netns, skb, state)
    }
}

const IPV4: u8 = Family::Ipv4 as u8;
const IPV6: u8 = Family::Ipv6 as u8;

/// Source: net/netfilter/nf_conntrack_proto.c, ipv4_conntrack_ops.
const POINTS_IPV4: [Point<Netns>; HOOKS] = [
    Point::new::<Track>(IPV4, Place::PreRouting, PRI_CONNTRACK),
    Point::new::<TrackLocalIpv4>(IPV4, Place::LocalOut, PRI_CONNTRACK),
    Point::new::<Confirm>(IPV4, Place::PostRouting, PRI_LAST),
    Point::new::<Confirm>(IPV4, Place::LocalIn, PRI_LAST),
];

/// Source: net/netfilter/nf_conntrack_proto.c, ipv6_conntrack_ops.
const POINTS_IPV6: [Point<Netns>; HOOKS] = [
    Point::new::<Track>(IPV6, Place::PreRouting, PRI_CONNTRACK),
    Point::new::<Track>(IPV6, Place::LocalOut, PRI_CONNTRACK),
    Point::new::<Confirm>(IPV6, Place::PostRouting, PRI_LAST),
    Point::new::<Confirm>(IPV6, Place::LocalIn, PRI_LAST - 1),
];

/// Position of a family's hooks among those of a namespace.
const fn which(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}

/// Has the packets of a family tracked in a namespace, once more. Process context.
fn get_family(net: &Net, family: Family) -> Result {
    let (points, defrag): (_, fn(&Net) -> Result) = match family {
        Family::Ipv4 => (&POINTS_IPV4, defrag::enable_ipv4),
        Family::Ipv6 => (&POINTS_IPV6, defrag::enable_ipv6),
    };
    let mut defragmented = false;
    let begun = NETNS.get_hooks(net, which(family), points, || {
        defrag(net)?;
        defragmented = true;
        Ok(())
    });
    if begun.is_err() && defragmented {
        unhooked(net, which(family));
    }
    if begun? {
        forget_windows(net, family);
    }
    Ok(())
}

/// Lets the windows of TCP be found out anew: packets went by untracked. Process context.
///
/// Source: net/netfilter/nf_conntrack_proto.c, nf_ct_tcp_fixup().
fn forget_windows(net: &Net, family: Family) {
    let mut at = Some(Cursor::BEGIN);
    while let Some((conn, cursor)) = at.and_then(|at| TABLE.seek(at, Which::All, Some(net))) {
        let tuple = conn.tuple(Direction::Original);
        if tuple.family() == Some(family) && tuple.proto() == ipproto::TCP {
            conn.lock().change(tcp::Proto::forget_windows);
        }
        at = cursor.next();
    }
}

/// Gives back one [`get_family`]. Process context.
fn put_family(net: &Net, family: Family) {
    if NETNS.put_hooks(net, which(family)) {
        unhooked(net, which(family));
    }
}

/// Undoes what was done for hooks that were just unregistered. Process context.
pub(crate) fn unhooked(net: &Net, which: usize) {
    match which {
        0 => defrag::disable_ipv4(net),
        _ => defrag::disable_ipv6(net),
    }
}

/// Has connections tracked in a namespace, once more. Process context.
///
/// `nfproto` is `NFPROTO_IPV4`, `NFPROTO_IPV6`, or `NFPROTO_INET` for both.
/// Source: net/netfilter/nf_conntrack_proto.c, nf_ct_netns_get().
///
/// # Errors
///
/// `EPROTO` for another family, or what registering hooks or reassembly fails with.
pub(crate) fn get(net: &Net, nfproto: u8) -> Result {
    if nfproto != NFPROTO_INET {
        let family = Family::from_nfproto(nfproto.into()).ok_or(EPROTO)?;
        return get_family(net, family);
    }
    get_family(net, Family::Ipv4)?;
    // A kernel without IPv6 has no packets of it.
    if cfg!(CONFIG_IPV6) {
        get_family(net, Family::Ipv6).inspect_err(|_| put_family(net, Family::Ipv4))?;
    }
    Ok(())
}

/// Gives back one [`get`]. Process context.
pub(crate) fn put(net: &Net, nfproto: u8) {
    if nfproto == NFPROTO_INET {
        put_family(net, Family::Ipv4);
        put_family(net, Family::Ipv6);
    } else if let Some(family) = Family::from_nfproto(nfproto.into()) {
        put_family(net, family);
    }
}

/// Has connections tracked in a namespace from its beginning to its end. Process context.
pub(crate) fn get_for_ever(net: &Net) -> Result {
    get(net, NFPROTO_INET)
}
