// SPDX-License-Identifier: GPL-2.0

//! Trackers: what a packet does to its connection, one file for each transport protocol.
//!
//! A tracker is a total function from the connection's private state, the packet's header and a few
//! facts ([`Input`]) to an [`Outcome`]. It changes the private state and nothing else; the caller
//! holds the connection's lock around it and carries out the outcome. Reading the header, which may
//! take long because of the checksum, is a function of its own that needs no lock.
//!
//! The private states have the kernel's layout (`union nf_conntrack_proto`), because other modules
//! read them.

pub(crate) mod generic;
pub(crate) mod gre;
pub(crate) mod icmp;
pub(crate) mod icmp_error;
mod input;
mod outcome;
pub(crate) mod sctp;
pub(crate) mod seqadj;
pub(crate) mod tcp;
pub(crate) mod udp;

pub(crate) use input::Input;
pub(crate) use outcome::{
    Action,
    Outcome, //
};

use crate::pure::wire::ipproto;

/// The name of a protocol, as in /proc/net/nf_conntrack.
///
/// Source: net/netfilter/nf_conntrack_standalone.c, l4proto_name().
pub(crate) const fn name(proto: u8) -> &'static str {
    match proto {
        ipproto::ICMP => "icmp",
        ipproto::TCP => "tcp",
        ipproto::UDP => "udp",
        ipproto::GRE => "gre",
        ipproto::SCTP => "sctp",
        ipproto::ICMPV6 => "icmpv6",
        _ => "unknown",
    }
}

/// Returns whether two connections of this protocol that begin at once may be merged at
/// confirmation.
///
/// Source: `allow_clash` in net/netfilter/nf_conntrack_proto_*.c.
pub(crate) const fn allow_clash(proto: u8) -> bool {
    !matches!(proto, ipproto::TCP | ipproto::SCTP)
}

/// Returns whether a connection may be removed early although it is assured, because it is closing.
///
/// `state` is the state in the protocol's private state; it matters for TCP and SCTP only.
/// Source: `can_early_drop` in net/netfilter/nf_conntrack_proto_{tcp,sctp}.c.
pub(crate) fn can_early_drop(proto: u8, state: u8) -> bool {
    match proto {
        ipproto::TCP => tcp::State::from_bits(state).is_closing(),
        ipproto::SCTP => sctp::State::from_bits(state).is_closing(),
        _ => false,
    }
}
