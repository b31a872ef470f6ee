// SPDX-License-Identifier: GPL-2.0

//! Why a packet is not tracked, or tracked without effect: one name for every cause.

/// Defines an enumeration of causes from a table of sentence, variant and name. Each cause is a
/// counter of /proc/rust_ct_stat.
macro_rules! causes {
    (
        $(#[$about:meta])*
        enum $causes:ident {
            $(#[doc = $sentence:literal] $variant:ident = $name:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum $causes {
            $(#[doc = $sentence] $variant,)*
        }

        impl $causes {
            /// All of them, in the order of their indices.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// Position in `ALL`.
            pub(crate) const fn index(self) -> usize {
                self as usize
            }

            /// The name of the counter, in snake case.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// One sentence that says what is wrong.
            pub(crate) const fn describe(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence.trim_ascii(),)*
                }
            }
        }
    };
}
pub(crate) use causes;

causes! {
    /// Why a packet was found INVALID, was dropped by a tracker, or passed without moving its
    /// connection.
    ///
    /// A reason is also a sentence of the log of invalid packets.
    enum Reason {
        /// The packet ends inside the IP header.
        IpShort = "ip_short",
        /// The packet is neither IPv4 nor IPv6.
        IpFamily = "ip_family",
        /// The IPv4 header length is beyond the packet.
        IpHeaderLength = "ip_header_length",
        /// The packet is a fragment other than the first one.
        IpFragment = "ip_fragment",
        /// The packet ends inside an IPv6 extension header.
        Ipv6ExtensionShort = "ipv6_extension_short",
        /// The IPv6 packet says that it has no transport header.
        Ipv6NoNextHeader = "ipv6_no_next_header",
        /// The IPv6 packet has more than 12 extension headers.
        Ipv6TooManyHeaders = "ipv6_too_many_headers",

        /// The packet ends inside the TCP header.
        TcpShort = "tcp_short",
        /// The TCP header length is below 20 bytes or beyond the packet.
        TcpHeaderLength = "tcp_header_length",
        /// The TCP checksum is wrong.
        TcpChecksum = "tcp_checksum",
        /// The combination of TCP flags is one that no TCP sends.
        TcpFlags = "tcp_flags",
        /// The TCP segment cannot begin a connection, and belongs to none.
        TcpNew = "tcp_new",
        /// The TCP segment belongs to no connection, and tcp_loose is off.
        TcpPickup = "tcp_pickup",
        /// The TCP segment does not fit the state of its connection.
        TcpState = "tcp_state",
        /// The TCP sequence number is beyond the window of the receiver.
        TcpSeqOver = "tcp_seq_over",
        /// The TCP segment acknowledges data that was not seen.
        TcpAckOver = "tcp_ack_over",
        /// The TCP reset is below what its receiver had acknowledged.
        TcpRst = "tcp_rst",
        /// The TCP connection to be replaced is being removed by another CPU.
        TcpReuseRace = "tcp_reuse_race",
        /// The TCP segment passes, but waits for the answer to show its meaning.
        TcpIgnored = "tcp_ignored",
        /// The TCP segment passes as a challenge ACK (RFC 5961).
        TcpChallengeAck = "tcp_challenge_ack",
        /// The TCP segment passes, but is longer than the window allows.
        TcpOvershot = "tcp_overshot",
        /// The TCP segment passes, but holds only data acknowledged before.
        TcpSeqUnder = "tcp_seq_under",
        /// The TCP segment passes, but its acknowledgment is overly delayed.
        TcpAckUnder = "tcp_ack_under",
        /// The TCP segment passes without effect, as its receiver may answer or take it (RFC 5961).
        TcpRfc5961 = "tcp_rfc5961",

        /// The packet ends inside the UDP header.
        UdpShort = "udp_short",
        /// The UDP length is below 8 bytes or beyond the packet.
        UdpLength = "udp_length",
        /// The UDP checksum is wrong.
        UdpChecksum = "udp_checksum",

        /// The packet ends inside the ICMP header.
        IcmpShort = "icmp_short",
        /// The ICMP checksum is wrong.
        IcmpChecksum = "icmp_checksum",
        /// The ICMP type is above 18, the highest one known.
        IcmpType = "icmp_type",
        /// ICMP came over IPv6, or ICMPv6 over IPv4.
        IcmpFamily = "icmp_family",
        /// The ICMP message is an answer to no query that was seen.
        IcmpNew = "icmp_new",
        /// The ICMP type is neither a query, an answer nor an error.
        IcmpNoCounterpart = "icmp_no_counterpart",
        /// The packet inside the ICMP error cannot be read.
        IcmpErrorInner = "icmp_error_inner",
        /// The packet inside the ICMP error is of no known connection.
        IcmpErrorUnknown = "icmp_error_unknown",
        /// The ICMP error is not addressed to the sender of the packet in it.
        IcmpErrorAddress = "icmp_error_address",
        /// The packet ends inside the ICMPv6 header.
        Icmpv6Short = "icmpv6_short",
        /// The ICMPv6 checksum is wrong.
        Icmpv6Checksum = "icmpv6_checksum",
        /// The packet ends inside the ICMPv6 redirect.
        Icmpv6RedirectShort = "icmpv6_redirect_short",
        /// The ICMPv6 redirect does not come from this link.
        Icmpv6RedirectSender = "icmpv6_redirect_sender",
        /// The ICMPv6 redirect has no option.
        Icmpv6RedirectOption = "icmpv6_redirect_option",

        /// The packet ends inside the SCTP header, or before any chunk.
        SctpShort = "sctp_short",
        /// The SCTP checksum (CRC32c) is wrong.
        SctpChecksum = "sctp_checksum",
        /// An SCTP chunk is empty, cut off, or not allowed beside the others.
        SctpChunk = "sctp_chunk",
        /// The SCTP packet cannot begin an association, and belongs to none.
        SctpNew = "sctp_new",
        /// The SCTP verification tag is not that of the association.
        SctpTag = "sctp_tag",
        /// An SCTP chunk does not fit the state of the association.
        SctpState = "sctp_state",

        /// The GRE packet has the PPTP header, but does not carry PPP.
        GreProtocol = "gre_protocol",
    }
}
