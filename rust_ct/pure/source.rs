// SPDX-License-Identifier: GPL-2.0

//! Where connections come from, to tell apart those that share the table: it decides which
//! connection makes room ([`crate::pure::evict`]), and shows what fills the table
//! ([`crate::pure::top`]).

use crate::pure::{
    line::Dotted,
    tuple::Tuple,
    wire::Family, //
};
use core::fmt::{
    self,
    Display,
    Formatter, //
};

/// Where connections come from: an IPv4 address, or the network of 64 bits of an IPv6 address,
/// which is what one host can have all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// The address or the number of the network, in network order, from the first byte on.
    prefix: u64,
    ipv6: bool,
}

impl Source {
    /// Where a connection comes from that begins with a packet with a tuple.
    #[inline]
    pub(crate) fn of(tuple: &Tuple) -> Self {
        let [prefix, _] = tuple.src().words64();
        Self {
            prefix,
            ipv6: tuple.family() == Some(Family::Ipv6),
        }
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.prefix.to_ne_bytes();
        if !self.ipv6 {
            return Dotted([a, b, c, d]).fmt(f);
        }
        let groups = [[a, b], [c, d], [e, g], [h, i]].map(u16::from_be_bytes);
        for group in groups {
            write!(f, "{group:04x}:")?;
        }
        f.write_str(":/64")
    }
}

/// That a connection has begun, in two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// Where it comes from.
    pub(crate) source: Source,
    /// The number of its namespace, which is never zero.
    pub(crate) netns: u32,
    /// When, in jiffies, rounded down to an even number.
    pub(crate) when: u32,
}

impl Beginning {
    /// Of a connection that begins with a packet with a tuple, now.
    #[inline]
    pub(crate) fn of(tuple: &Tuple, netns: u32, now: u32) -> Self {
        Self {
            source: Source::of(tuple),
            netns,
            when: now & !1,
        }
    }

    /// The two words.
    #[inline]
    pub(crate) fn pack(&self) -> [u64; 2] {
        let low = self.when | u32::from(self.source.ipv6);
        [
            self.source.prefix,
            u64::from(self.netns) << 32 | u64::from(low),
        ]
    }

    /// What two words say; `None` for zeroes.
    pub(crate) fn unpack([prefix, rest]: [u64; 2]) -> Option<Self> {
        // CAST: One half each.
        let (netns, low) = ((rest >> 32) as u32, rest as u32);
        (netns != 0).then_some(Self {
            source: Source {
                prefix,
                ipv6: low & 1 != 0,
            },
            netns,
            when: low & !1,
        })
    }
}
