// SPDX-License-Identifier: GPL-2.0

//! A connection as a line of text, in the format of /proc/net/nf_conntrack.
//!
//! Source: net/netfilter/nf_conntrack_standalone.c, ct_seq_show(). Tools parse this: every space
//! counts.

use crate::pure::{
    l4proto::{
        self,
        gre,
        sctp,
        tcp, //
    },
    state::Status,
    tuple::Tuple,
    wire::{
        ipproto,
        Family, //
    },
    zone::Zone, //
};
use core::fmt::{
    self,
    Display,
    Formatter, //
};

/// What a protocol's tracker adds to a line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Private {
    /// The state of a TCP connection.
    Tcp(tcp::State),
    /// The state of an SCTP association.
    Sctp(sctp::State),
    /// The timeouts of a GRE connection.
    Gre {
        /// Before packets were seen in both directions, in seconds.
        timeout: u32,
        /// From then on, in seconds.
        stream_timeout: u32,
    },
    /// Nothing.
    None,
}

/// A connection as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The tuples of both directions.
    pub(crate) original: Tuple,
    /// That of the answers.
    pub(crate) reply: Tuple,
    /// The zone.
    pub(crate) zone: Zone,
    /// Packets and bytes of both directions, if they are counted.
    pub(crate) counters: Option<[(u64, u64); 2]>,
    /// The status bits.
    pub(crate) status: Status,
    /// Seconds until it expires.
    pub(crate) seconds: u32,
    /// What the protocol's tracker adds.
    pub(crate) private: Private,
    /// The mark that rules gave it, where the kernel has marks.
    pub(crate) mark: u32,
    /// What the security module calls its security mark, if it has a name for it.
    pub(crate) secctx: Option<&'a str>,
    /// For how many seconds it has been there, if that is known.
    pub(crate) age: Option<u64>,
    /// How many references there are, the reader's own among them.
    pub(crate) use_count: u32,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (l3num, proto) = (self.original.l3num(), self.original.proto());
        let l3 = match self.original.family() {
            Some(Family::Ipv4) => "ipv4",
            Some(Family::Ipv6) => "ipv6",
            None => "unknown",
        };
        write!(f, "{l3:<8} {l3num} {:<8} {proto} ", l4proto::name(proto))?;

        let offloaded = self.status.contains(Status::OFFLOAD);
        if !offloaded {
            write!(f, "{} ", self.seconds)?;
        }
        self.fmt_private(f, offloaded)?;

        write!(f, "{}", Ends(&self.original))?;
        self.fmt_zone(f, Zone::DIR_ORIGINAL, "zone-orig")?;
        self.fmt_counters(f, 0)?;
        if !self.status.contains(Status::SEEN_REPLY) {
            f.write_str("[UNREPLIED] ")?;
        }
        write!(f, "{}", Ends(&self.reply))?;
        self.fmt_zone(f, Zone::DIR_REPLY, "zone-reply")?;
        self.fmt_counters(f, 1)?;

        if self.status.contains(Status::HW_OFFLOAD) {
            f.write_str("[HW_OFFLOAD] ")?;
        } else if offloaded {
            f.write_str("[OFFLOAD] ")?;
        } else if self.status.contains(Status::ASSURED) {
            f.write_str("[ASSURED] ")?;
        }
        write!(f, "mark={} ", self.mark)?;
        if let Some(secctx) = self.secctx {
            write!(f, "secctx={secctx} ")?;
        }
        self.fmt_zone(f, Zone::DIR_ORIGINAL | Zone::DIR_REPLY, "zone")?;
        if let Some(age) = self.age {
            write!(f, "delta-time={age} ")?;
        }
        writeln!(f, "use={}", self.use_count)
    }
}

impl Line<'_> {
    /// A flow table does not keep the state of TCP up to date, so that one is not shown.
    fn fmt_private(&self, f: &mut Formatter<'_>, offloaded: bool) -> fmt::Result {
        match self.private {
            Private::Tcp(_) if offloaded => Ok(()),
            Private::Tcp(state) => write!(f, "{} ", state.name()),
            Private::Sctp(state) => write!(f, "{} ", state.name()),
            Private::Gre {
                timeout,
                stream_timeout,
            } => write!(f, "timeout={timeout}, stream_timeout={stream_timeout} "),
            Private::None => Ok(()),
        }
    }

    fn fmt_counters(&self, f: &mut Formatter<'_>, dir: usize) -> fmt::Result {
        match self.counters.as_ref().and_then(|both| both.get(dir)) {
            Some((packets, bytes)) => write!(f, "packets={packets} bytes={bytes} "),
            None => Ok(()),
        }
    }

    fn fmt_zone(&self, f: &mut Formatter<'_>, dir: u8, name: &str) -> fmt::Result {
        if self.zone.dir == dir {
            write!(f, "{name}={} ", self.zone.id)
        } else {
            Ok(())
        }
    }
}

impl Private {
    /// What is to be shown of a GRE connection, whose timeouts are in jiffies.
    pub(crate) const fn gre(proto: &gre::Proto, hz: u32) -> Self {
        // There are jiffies in a second.
        match (
            proto.timeout.checked_div(hz),
            proto.stream_timeout.checked_div(hz),
        ) {
            (Some(timeout), Some(stream_timeout)) => Self::Gre {
                timeout,
                stream_timeout,
            },
            _ => Self::None,
        }
    }
}

/// The two ends of a tuple, as print_tuple() in net/netfilter/nf_conntrack_standalone.c writes
/// them.
pub(crate) struct Ends<'a>(pub(crate) &'a Tuple);

impl Display for Ends<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tuple = self.0;
        match tuple.family() {
            Some(Family::Ipv4) => {
                write!(f, "src={} ", Dotted(tuple.src().v4_octets()))?;
                write!(f, "dst={} ", Dotted(tuple.dst().v4_octets()))?;
            }
            Some(Family::Ipv6) => {
                write!(f, "src={} ", Groups(tuple.src().v6_octets()))?;
                write!(f, "dst={} ", Groups(tuple.dst().v6_octets()))?;
            }
            None => (),
        }
        match tuple.proto() {
            ipproto::TCP | ipproto::UDP | ipproto::SCTP => {
                write!(f, "sport={} dport={} ", tuple.src_port(), tuple.dst_port())
            }
            ipproto::ICMP | ipproto::ICMPV6 => write!(
                f,
                "type={} code={} id={} ",
                tuple.icmp_type(),
                tuple.icmp_code(),
                tuple.icmp_id()
            ),
            ipproto::GRE => write!(
                f,
                "srckey={:#x} dstkey={:#x} ",
                tuple.src_port(),
                tuple.dst_port()
            ),
            _ => Ok(()),
        }
    }
}

/// An IPv4 address.
struct Dotted([u8; 4]);

impl Display for Dotted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// An IPv6 address in full length.
struct Groups([u8; 16]);

impl Display for Groups {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for group in self.0.chunks(2) {
            f.write_str(separator)?;
            for byte in group {
                write!(f, "{byte:02x}")?;
            }
            separator = ":";
        }
        Ok(())
    }
}
