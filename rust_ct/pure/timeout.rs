// SPDX-License-Identifier: GPL-2.0

//! Timeouts: how long a connection is kept after its last packet, by protocol and state.
//!
//! The defaults are those of nf_conntrack. A namespace, or a rule's timeout policy, holds its own
//! in arrays of jiffies with the kernel's indices: [`Timeouts`].

use core::ffi::CStr;

/// A timeout as users know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Name of the sysctl behind `net.netfilter.`; `None` if there is none.
    pub(crate) sysctl: Option<&'static CStr>,
    /// Default in seconds.
    pub(crate) seconds: u32,
}

const fn setting(sysctl: &'static CStr, seconds: u32) -> Setting {
    Setting {
        sysctl: Some(sysctl),
        seconds,
    }
}

const fn unnamed(seconds: u32) -> Setting {
    Setting {
        sysctl: None,
        seconds,
    }
}

const MINUTES: u32 = 60;
const DAYS: u32 = 24 * 60 * MINUTES;

/// Index in [`TCP`] of the timeout after too many retransmissions (`TCP_CONNTRACK_RETRANS`).
pub(crate) const TCP_RETRANS: usize = 12;
/// Index in [`TCP`] of the timeout while data is not acknowledged (`TCP_CONNTRACK_UNACK`).
pub(crate) const TCP_UNACK: usize = 13;

/// TCP, indexed by state; the first slot is the timeout of a new connection.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_timeouts and nf_conntrack_tcp_init_net().
pub(crate) const TCP: [Setting; 14] = [
    unnamed(2 * MINUTES),
    setting(c"nf_conntrack_tcp_timeout_syn_sent", 2 * MINUTES),
    setting(c"nf_conntrack_tcp_timeout_syn_recv", MINUTES),
    setting(c"nf_conntrack_tcp_timeout_established", 5 * DAYS),
    setting(c"nf_conntrack_tcp_timeout_fin_wait", 2 * MINUTES),
    setting(c"nf_conntrack_tcp_timeout_close_wait", MINUTES),
    setting(c"nf_conntrack_tcp_timeout_last_ack", 30),
    setting(c"nf_conntrack_tcp_timeout_time_wait", 2 * MINUTES),
    setting(c"nf_conntrack_tcp_timeout_close", 10),
    unnamed(2 * MINUTES),
    unnamed(0),
    unnamed(0),
    setting(c"nf_conntrack_tcp_timeout_max_retrans", 5 * MINUTES),
    setting(c"nf_conntrack_tcp_timeout_unacknowledged", 5 * MINUTES),
];

/// Index in [`UDP`] and [`GRE`] of a connection that may not have been answered.
pub(crate) const UNREPLIED: usize = 0;
/// Index in [`UDP`] and [`GRE`] of a stream in both directions.
pub(crate) const REPLIED: usize = 1;

/// UDP. Source: net/netfilter/nf_conntrack_proto_udp.c, udp_timeouts.
pub(crate) const UDP: [Setting; 2] = [
    setting(c"nf_conntrack_udp_timeout", 30),
    setting(c"nf_conntrack_udp_timeout_stream", 2 * MINUTES),
];

/// GRE. Source: net/netfilter/nf_conntrack_proto_gre.c, gre_timeouts.
pub(crate) const GRE: [Setting; 2] = [
    setting(c"nf_conntrack_gre_timeout", 30),
    setting(c"nf_conntrack_gre_timeout_stream", 3 * MINUTES),
];

/// SCTP, indexed by state; the first slot is the timeout of a new association.
///
/// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_timeouts and nf_conntrack_sctp_init_net().
pub(crate) const SCTP: [Setting; 10] = [
    unnamed(10),
    setting(c"nf_conntrack_sctp_timeout_closed", 10),
    setting(c"nf_conntrack_sctp_timeout_cookie_wait", 3),
    setting(c"nf_conntrack_sctp_timeout_cookie_echoed", 3),
    setting(c"nf_conntrack_sctp_timeout_established", 210),
    setting(c"nf_conntrack_sctp_timeout_shutdown_sent", 3),
    setting(c"nf_conntrack_sctp_timeout_shutdown_recd", 3),
    setting(c"nf_conntrack_sctp_timeout_shutdown_ack_sent", 3),
    setting(c"nf_conntrack_sctp_timeout_heartbeat_sent", 30),
    unnamed(0),
];

/// ICMP. Source: net/netfilter/nf_conntrack_proto_icmp.c.
pub(crate) const ICMP: [Setting; 1] = [setting(c"nf_conntrack_icmp_timeout", 30)];

/// ICMPv6. Source: net/netfilter/nf_conntrack_proto_icmpv6.c.
pub(crate) const ICMPV6: [Setting; 1] = [setting(c"nf_conntrack_icmpv6_timeout", 30)];

/// Every other protocol. Source: net/netfilter/nf_conntrack_proto_generic.c.
pub(crate) const GENERIC: [Setting; 1] = [setting(c"nf_conntrack_generic_timeout", 10 * MINUTES)];

/// A TCP connection that a flow table handles.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_init_net().
pub(crate) const TCP_OFFLOAD: [Setting; 1] = [setting(c"nf_flowtable_tcp_timeout", 30)];

/// A UDP stream that a flow table handles.
///
/// Source: net/netfilter/nf_conntrack_proto_udp.c, nf_conntrack_udp_init_net().
pub(crate) const UDP_OFFLOAD: [Setting; 1] = [setting(c"nf_flowtable_udp_timeout", 30)];

/// The timeouts of a namespace, in jiffies.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    /// TCP, as [`TCP`].
    pub(crate) tcp: [u32; TCP.len()],
    /// UDP, as [`UDP`].
    pub(crate) udp: [u32; UDP.len()],
    /// GRE, as [`GRE`].
    pub(crate) gre: [u32; GRE.len()],
    /// SCTP, as [`SCTP`].
    pub(crate) sctp: [u32; SCTP.len()],
    /// ICMP, as [`ICMP`].
    pub(crate) icmp: [u32; ICMP.len()],
    /// ICMPv6, as [`ICMPV6`].
    pub(crate) icmpv6: [u32; ICMPV6.len()],
    /// Every other protocol, as [`GENERIC`].
    pub(crate) generic: [u32; GENERIC.len()],
    /// TCP in a flow table, as [`TCP_OFFLOAD`].
    pub(crate) tcp_offload: [u32; TCP_OFFLOAD.len()],
    /// UDP in a flow table, as [`UDP_OFFLOAD`].
    pub(crate) udp_offload: [u32; UDP_OFFLOAD.len()],
}

impl Timeouts {
    /// The defaults on a kernel with `hz` jiffies a second.
    pub(crate) fn new(hz: u32) -> Self {
        Self {
            tcp: jiffies(&TCP, hz),
            udp: jiffies(&UDP, hz),
            gre: jiffies(&GRE, hz),
            sctp: jiffies(&SCTP, hz),
            icmp: jiffies(&ICMP, hz),
            icmpv6: jiffies(&ICMPV6, hz),
            generic: jiffies(&GENERIC, hz),
            tcp_offload: jiffies(&TCP_OFFLOAD, hz),
            udp_offload: jiffies(&UDP_OFFLOAD, hz),
        }
    }
}

fn jiffies<const N: usize>(settings: &[Setting; N], hz: u32) -> [u32; N] {
    settings.map(|setting| setting.seconds.saturating_mul(hz))
}

/// The timeout at `index` in jiffies; zero, so that the connection expires at once, if there is
/// none.
pub(crate) fn slot<const N: usize>(timeouts: &[u32; N], index: usize) -> u32 {
    timeouts.get(index).copied().unwrap_or(0)
}
