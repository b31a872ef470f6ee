// SPDX-License-Identifier: GPL-2.0

//! A connection as a line of text, in the format of /proc/net/nf_conntrack.
//!
//! Source: net/netfilter/nf_conntrack_standalone.c, ct_seq_show(). Tools parse this: every space
//! counts.

use crate::pure::{
    l4proto::{
        self,
        Shown, //
    },
    state::Status,
    tuple::Tuple,
    wire::Family,
    zone::Zone, //
};
use core::fmt::{
    self,
    Display,
    Formatter, //
};

/// A text that is no longer than `N` bytes: what is beyond is cut off.
pub(crate) struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Short<N> {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// The text, without spaces at its end.
    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default().trim_end()
    }
}

impl<const N: usize> fmt::Write for Short<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (byte, from) in self.bytes.iter_mut().skip(self.len).zip(text.bytes()) {
            *byte = from;
            self.len = self.len.saturating_add(1);
        }
        Ok(())
    }
}

/// A connection as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The tuple of the original direction.
    pub(crate) original: Tuple,
    /// The tuple of the replies.
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
    pub(crate) private: Shown,
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
        write!(f, "{}{}", self.private, Ends(&self.original))?;
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
        l4proto::ids(tuple.proto()).write(tuple, f)
    }
}

/// An IPv4 address.
pub(super) struct Dotted(pub(super) [u8; 4]);

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
