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
pub(crate) mod sctp;
pub(crate) mod seqadj;
pub(crate) mod tcp;
pub(crate) mod udp;

use crate::pure::{
    reason::Reason,
    state::{
        CtInfo,
        Status, //
    },
    tuple::Direction,
    wire::ipproto, //
};

/// What a tracker may know of the connection and the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    /// The connection's status when the packet came; SEEN_REPLY is not yet set by this packet.
    pub(crate) status: Status,
    /// What the packet is to the connection.
    pub(crate) ctinfo: CtInfo,
    /// Now, in jiffies at full width (`unsigned long`).
    pub(crate) now: usize,
    /// Jiffies left until the connection expires; zero if it has, or is not confirmed.
    pub(crate) remaining: u32,
    /// Jiffies in a second.
    pub(crate) hz: u32,
}

impl Input {
    /// The direction of the packet.
    pub(crate) const fn dir(&self) -> Direction {
        self.ctinfo.direction()
    }

    /// Returns whether the connection is in the table.
    pub(crate) const fn confirmed(&self) -> bool {
        self.status.contains(Status::CONFIRMED)
    }

    /// Returns whether packets were seen in both directions before this one.
    pub(crate) const fn seen_reply(&self) -> bool {
        self.status.contains(Status::SEEN_REPLY)
    }

    /// Returns whether the connection must not be removed early.
    pub(crate) const fn assured(&self) -> bool {
        self.status.contains(Status::ASSURED)
    }
}

/// What is to be done with the packet and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The packet is INVALID: it passes without its connection.
    Invalid(Reason),
    /// The packet is dropped.
    Drop(Reason),
    /// The connection is over and this packet begins a new one: kill it and track the packet anew.
    Reuse,
    /// The packet is accounted, the connection is killed, the packet passes.
    Kill,
    /// The packet passes with its connection, but neither renews the timeout nor is accounted.
    Accept,
    /// The packet is accounted, and the connection is to expire this many jiffies from now.
    Refresh(u32),
}

/// What a tracker decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What is to be done.
    pub(crate) action: Action,
    /// The connection has become assured: set ASSURED, and report it if it was not set.
    pub(crate) assured: bool,
    /// The private state changed in a way that is reported (the event `IPCT_PROTOINFO`).
    pub(crate) protoinfo_changed: bool,
    /// The connection is to expire this many jiffies from now, whatever becomes of the packet.
    pub(crate) lower_timeout: Option<u32>,
    /// What to write to the log of invalid packets although the packet passes.
    pub(crate) log: Option<Reason>,
}

impl Outcome {
    /// Nothing but an action.
    pub(crate) const fn of(action: Action) -> Self {
        Self {
            action,
            assured: false,
            protoinfo_changed: false,
            lower_timeout: None,
            log: None,
        }
    }

    /// The packet is INVALID.
    pub(crate) const fn invalid(reason: Reason) -> Self {
        Self::of(Action::Invalid(reason))
    }

    /// The connection lives on for this many jiffies.
    pub(crate) const fn refresh(jiffies: u32) -> Self {
        Self::of(Action::Refresh(jiffies))
    }

    /// The packet passes without effect, for a reason worth a line in the log.
    pub(crate) const fn ignore(reason: Reason) -> Self {
        let mut outcome = Self::of(Action::Accept);
        outcome.log = Some(reason);
        outcome
    }
}

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
