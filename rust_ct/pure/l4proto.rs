// SPDX-License-Identifier: GPL-2.0

//! Transport protocols: what there is to say about each, in one file for each of them, and what a
//! packet does to its connection.
//!
//! A protocol is an [`L4Proto`]. There is one list of them, in [`among_protocols`]; whatever
//! depends on the protocol goes by it, with [`dispatch`] or [`for_each_protocol`].
//!
//! A tracker is a total function from the connection's private state, the packet's header and a few
//! facts ([`Input`]) to an [`Outcome`]. It changes the private state and nothing else; the caller
//! holds the connection's lock around it and carries out the outcome. Reading the header, which may
//! take long because of the checksum, is a function of its own that needs no lock.
//!
//! The private states have the kernel's layout (`union nf_conntrack_proto`), because other modules
//! read them.

mod context;
pub(crate) mod generic;
pub(crate) mod gre;
pub(crate) mod icmp;
pub(crate) mod icmp_error;
mod ids;
mod input;
mod outcome;
mod plain;
mod protocol;
pub(crate) mod sctp;
pub(crate) mod seqadj;
mod shown;
pub(crate) mod tcp;
pub(crate) mod udp;

pub(crate) use context::Context;
pub(crate) use ids::Ids;
pub(crate) use input::Input;
pub(crate) use outcome::{
    Action,
    Outcome, //
};
pub(crate) use plain::{
    Beginning,
    Plain, //
};
pub(crate) use protocol::L4Proto;
pub(crate) use shown::Shown;

use crate::pure::{
    reason::Reason,
    tuple::{
        Addr,
        Tuple, //
    },
    wire::{
        ipv4::Ipv4,
        ipv6::Ipv6,
        Family,
        Packet,
        L4, //
    },
};

/// The list of protocols: passes it to another macro, before that macro's other arguments.
macro_rules! among_protocols {
    ($then:ident!($($arguments:tt)*)) => {
        $then! {
            [
                $crate::pure::l4proto::tcp::Tcp,
                $crate::pure::l4proto::udp::Udp,
                $crate::pure::l4proto::icmp::Icmp,
                $crate::pure::l4proto::icmp::Icmpv6,
                $crate::pure::l4proto::sctp::Sctp,
                $crate::pure::l4proto::gre::Gre
            ]
            $($arguments)*
        }
    };
}
pub(crate) use among_protocols;

/// `dispatch!(number, P => expression)`: an expression in which `P` is the protocol of a number.
macro_rules! dispatch {
    ([$($protocol:ty),*] $number:expr, $name:ident => $value:expr) => {
        match $number {
            $(
                <$protocol as $crate::pure::l4proto::L4Proto>::NUMBER => {
                    type $name = $protocol;
                    $value
                }
            )*
            _ => {
                type $name = $crate::pure::l4proto::generic::Generic;
                $value
            }
        }
    };
    ($number:expr, $name:ident => $value:expr) => {
        $crate::pure::l4proto::among_protocols!(dispatch!($number, $name => $value))
    };
}
#[allow(unused_imports)] // The tests on the host have no use for it.
pub(crate) use dispatch;

/// `for_each_protocol!(P => expression)`: an expression again and again, in which `P` is each
/// protocol in turn, last the protocol that stands for the rest.
macro_rules! for_each_protocol {
    ([$($protocol:ty),*] $name:ident => $value:expr) => {
        $({
            type $name = $protocol;
            $value;
        })*
        {
            type $name = $crate::pure::l4proto::generic::Generic;
            $value;
        }
    };
    ($name:ident => $value:expr) => {
        $crate::pure::l4proto::among_protocols!(for_each_protocol!($name => $value))
    };
}
pub(crate) use for_each_protocol;

/// The name of a protocol, as in /proc/net/nf_conntrack.
///
/// Source: net/netfilter/nf_conntrack_standalone.c, l4proto_name().
pub(crate) fn name(proto: u8) -> &'static str {
    dispatch!(proto, P => P::NAME)
}

/// Returns whether two connections of this protocol that begin at once may be merged at
/// confirmation.
///
/// Source: `allow_clash` in net/netfilter/nf_conntrack_proto_*.c.
pub(crate) fn allow_clash(proto: u8) -> bool {
    dispatch!(proto, P => P::ALLOW_CLASH)
}

/// Returns whether a connection may be removed early although it is assured, because it is closing.
///
/// `state` is the state in the protocol's private state.
/// Source: `can_early_drop` in net/netfilter/nf_conntrack_proto_{tcp,sctp}.c.
pub(crate) fn can_early_drop(proto: u8, state: u8) -> bool {
    dispatch!(proto, P => P::can_early_drop(state))
}

/// What a protocol's tuples hold.
pub(crate) fn ids(proto: u8) -> Ids {
    dispatch!(proto, P => P::IDS)
}

impl Tuple {
    /// Reads the tuple of a packet whose network header is at `nhoff`; its direction is the
    /// original one.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_get_tuple().
    ///
    /// # Errors
    ///
    /// The packet ends before the fields that are needed, or it is PPTP without PPP in it.
    #[inline]
    pub(crate) fn from_packet<P: Packet>(
        pkt: &P,
        nhoff: u32,
        family: Family,
        l4: &L4,
    ) -> Result<Self, Reason> {
        dispatch!(l4.proto, Protocol => Self::read(Protocol::IDS, pkt, nhoff, family, l4))
    }

    /// As [`Tuple::from_packet`], for a caller that knows what the tuples of the protocol hold.
    #[inline(always)]
    pub(crate) fn read<P: Packet>(
        ids: Ids,
        pkt: &P,
        nhoff: u32,
        family: Family,
        l4: &L4,
    ) -> Result<Self, Reason> {
        let tuple = Self::of_addresses(pkt, nhoff, family).ok_or(Reason::IpShort)?;
        ids.read(tuple.with_proto(l4.proto), pkt, l4.offset)
    }

    /// What the network header says of a packet's tuple: its addresses, and what comes next.
    #[inline(always)]
    pub(crate) fn of_addresses<P: Packet>(pkt: &P, nhoff: u32, family: Family) -> Option<Self> {
        Some(match family {
            Family::Ipv4 => {
                let ip = Ipv4::read(pkt, nhoff)?;
                Self::new(family, ip.proto, Addr::v4(ip.saddr), Addr::v4(ip.daddr))
            }
            Family::Ipv6 => {
                let ip = Ipv6::read(pkt, nhoff)?;
                Self::new(family, ip.nexthdr, Addr::v6(ip.saddr), Addr::v6(ip.daddr))
            }
        })
    }

    /// The tuple of the packets that answer those with this tuple.
    ///
    /// `None` for an ICMP message that has no answer.
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_invert_tuple().
    #[inline]
    pub(crate) fn invert(&self) -> Option<Self> {
        dispatch!(self.proto(), Protocol => self.invert_as(Protocol::IDS))
    }

    /// As [`Tuple::invert`], for a caller that knows what the tuples of the protocol hold.
    #[inline(always)]
    pub(crate) fn invert_as(&self, ids: Ids) -> Option<Self> {
        let (src_id, dst_id) = ids.invert(self)?;
        Some(self.answered(src_id, dst_id))
    }
}
