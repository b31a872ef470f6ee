// SPDX-License-Identifier: GPL-2.0

//! Tuples: what names a connection in one direction.
//!
//! A tuple is made of the addresses of a packet, its protocol, and whatever its transport header
//! has to tell connections between the same two hosts apart. A connection has two: the tuple of the
//! packet that began it, and the inverse, which is the tuple of the answers.

use crate::pure::wire::Family;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// A direction of a connection, the kernel's `enum ip_conntrack_dir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Direction {
    /// That of the packet that began the connection.
    Original = 0,
    /// That of the answers.
    Reply = 1,
}

impl Direction {
    /// Both directions, so that a direction is its own index.
    pub(crate) const BOTH: [Self; 2] = [Self::Original, Self::Reply];

    /// The opposite direction.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }

    /// Position in an array with one element for each direction.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The direction with this number; every number but zero is the reply direction.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Original,
            _ => Self::Reply,
        }
    }
}

impl core::ops::Not for Direction {
    type Output = Self;

    fn not(self) -> Self {
        self.other()
    }
}

/// An address of either family, laid out as the kernel's `union nf_inet_addr`.
///
/// An IPv4 address is in the first word, and the rest is zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct Addr {
    /// The address in network order, four bytes to a word.
    words: [u32; 4],
}

impl Addr {
    /// An IPv4 address from its bytes in network order.
    pub(crate) const fn v4(octets: [u8; 4]) -> Self {
        Self {
            words: [u32::from_ne_bytes(octets), 0, 0, 0],
        }
    }

    /// An IPv6 address from its bytes in network order.
    pub(crate) const fn v6(octets: [u8; 16]) -> Self {
        Self {
            words: zerocopy::transmute!(octets),
        }
    }

    /// An address with all bits set that a family's addresses have (`NFPROTO_*`).
    pub(crate) const fn mask(l3num: u16) -> Self {
        Self {
            words: match Family::from_nfproto(l3num) {
                Some(Family::Ipv4) => [u32::MAX, 0, 0, 0],
                _ => [u32::MAX; 4],
            },
        }
    }

    /// The address as two words, for hashing.
    pub(crate) const fn words64(&self) -> [u64; 2] {
        zerocopy::transmute!(self.words)
    }

    /// The bits that are set in both.
    pub(crate) const fn and(&self, other: &Self) -> Self {
        let ([a, b, c, d], [m, n, o, p]) = (self.words, other.words);
        Self {
            words: [a & m, b & n, c & o, d & p],
        }
    }

    /// The bytes of an IPv4 address in network order.
    pub(crate) const fn v4_octets(&self) -> [u8; 4] {
        let [first, ..] = self.words;
        first.to_ne_bytes()
    }

    /// The bytes of an IPv6 address in network order.
    pub(crate) const fn v6_octets(&self) -> [u8; 16] {
        zerocopy::transmute!(self.words)
    }
}

/// A direction of a call of PPTP, as its packets name it. The order of calls means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    addrs: [[u64; 2]; 2],
    l3num: u16,
    receiver: [u8; 2],
    protonum: u8,
}

/// The source half of a tuple, the part that NAT may rewrite.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Source {
    addr: Addr,
    /// Port, ICMP identifier or GRE key, in network order; zero if the protocol has none.
    id: [u8; 2],
    /// `NFPROTO_*`, in host order.
    l3num: u16,
}

/// The destination half of a tuple.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Destination {
    addr: Addr,
    /// Port or GRE key in network order, or ICMP type and code; zero if the protocol has none.
    id: [u8; 2],
    protonum: u8,
    dir: u8,
}

/// What names a connection in one direction, laid out as the kernel's `struct nf_conntrack_tuple`.
///
/// Two tuples are equal if they name the same connection; the direction is not compared, as in
/// nf_ct_tuple_equal() in include/net/netfilter/nf_conntrack_tuple.h.
///
/// # Invariants
///
/// What the family and the protocol do not use is zero, so that equal tuples have equal bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Tuple {
    src: Source,
    dst: Destination,
}

const _: () = {
    assert!(size_of::<Tuple>() == 40 && align_of::<Tuple>() == 4);
    assert!(core::mem::offset_of!(Tuple, src.addr) == 0);
    assert!(core::mem::offset_of!(Tuple, src.id) == 16);
    assert!(core::mem::offset_of!(Tuple, src.l3num) == 18);
    assert!(core::mem::offset_of!(Tuple, dst.addr) == 20);
    assert!(core::mem::offset_of!(Tuple, dst.id) == 36);
    assert!(core::mem::offset_of!(Tuple, dst.protonum) == 38);
    assert!(core::mem::offset_of!(Tuple, dst.dir) == Tuple::KEY_LEN);
};

impl PartialEq for Tuple {
    fn eq(&self, other: &Self) -> bool {
        self.src.addr == other.src.addr
            && self.dst.addr == other.dst.addr
            && self.src.id == other.src.id
            && self.dst.id == other.dst.id
            && self.src.l3num == other.src.l3num
            && self.dst.protonum == other.dst.protonum
    }
}

impl Eq for Tuple {}

impl Tuple {
    /// How many of a tuple's bytes, from the first on, are its key: all but the direction, the last
    /// one.
    pub(crate) const KEY_LEN: usize = 39;

    /// A tuple of the original direction, without ports.
    pub(crate) const fn new(family: Family, proto: u8, src: Addr, dst: Addr) -> Self {
        Self {
            src: Source {
                addr: src,
                id: [0; 2],
                l3num: family.nfproto(),
            },
            dst: Destination {
                addr: dst,
                id: [0; 2],
                protonum: proto,
                dir: Direction::Original as u8,
            },
        }
    }

    /// A tuple of the original direction, without addresses, of any family (`NFPROTO_*`).
    pub(crate) const fn of_numbers(l3num: u16, proto: u8) -> Self {
        let nowhere = Addr { words: [0; 4] };
        let mut tuple = Self::new(Family::Ipv6, proto, nowhere, nowhere);
        tuple.src.l3num = l3num;
        tuple
    }

    /// The same tuple with another destination: address, and port, GRE key, or ICMP type and code
    /// in network order.
    pub(crate) const fn with_destination(mut self, addr: Addr, id: [u8; 2]) -> Self {
        self.dst.addr = addr;
        self.dst.id = id;
        self
    }

    /// The same tuple with ports or GRE keys, in host order.
    pub(crate) const fn with_ports(mut self, src: u16, dst: u16) -> Self {
        self.src.id = src.to_be_bytes();
        self.dst.id = dst.to_be_bytes();
        self
    }

    /// The same tuple with the fields of an ICMP or ICMPv6 header, the identifier in host order.
    pub(crate) const fn with_icmp(mut self, kind: u8, code: u8, id: u16) -> Self {
        self.src.id = id.to_be_bytes();
        self.dst.id = [kind, code];
        self
    }

    /// The same tuple with another source: address, and port, ICMP identifier or GRE key in network
    /// order.
    pub(crate) const fn with_source(mut self, addr: Addr, id: [u8; 2]) -> Self {
        self.src.addr = addr;
        self.src.id = id;
        self
    }

    /// The same tuple of another protocol.
    pub(crate) const fn with_proto(mut self, proto: u8) -> Self {
        self.dst.protonum = proto;
        self
    }

    /// The same tuple with another direction.
    pub(crate) const fn with_dir(mut self, dir: Direction) -> Self {
        self.dst.dir = dir as u8;
        self
    }

    /// What is the same in all tuples of PPTP's GRE of a direction of a call, which its receiver's
    /// number tells.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_gre.c, gre_key_cmpfn().
    pub(crate) fn call(&self) -> Call {
        Call {
            addrs: [self.src.addr.words64(), self.dst.addr.words64()],
            l3num: self.src.l3num,
            receiver: self.dst.id,
            protonum: self.dst.protonum,
        }
    }

    /// The tuple of answers, from the destination with an identifier back to the source with
    /// another.
    pub(crate) const fn answered(&self, src_id: [u8; 2], dst_id: [u8; 2]) -> Self {
        Self {
            src: Source {
                addr: self.dst.addr,
                id: src_id,
                l3num: self.src.l3num,
            },
            dst: Destination {
                addr: self.src.addr,
                id: dst_id,
                protonum: self.dst.protonum,
                dir: self.dir().other() as u8,
            },
        }
    }

    /// The family; `None` for a tuple that netlink made up for a family that is not tracked.
    pub(crate) const fn family(&self) -> Option<Family> {
        Family::from_nfproto(self.src.l3num)
    }

    /// The netfilter protocol number of the family, in host order.
    pub(crate) const fn l3num(&self) -> u16 {
        self.src.l3num
    }

    /// The transport protocol, see [`crate::pure::wire::ipproto`].
    pub(crate) const fn proto(&self) -> u8 {
        self.dst.protonum
    }

    /// The direction in which packets with this tuple go.
    pub(crate) const fn dir(&self) -> Direction {
        Direction::from_bits(self.dst.dir)
    }

    /// The source address.
    pub(crate) const fn src(&self) -> &Addr {
        &self.src.addr
    }

    /// The destination address.
    pub(crate) const fn dst(&self) -> &Addr {
        &self.dst.addr
    }

    /// The source port, ICMP identifier or GRE key, in network order.
    pub(crate) const fn src_id(&self) -> [u8; 2] {
        self.src.id
    }

    /// The destination port or GRE key, or ICMP type and code, in network order.
    pub(crate) const fn dst_id(&self) -> [u8; 2] {
        self.dst.id
    }

    /// The source port or GRE key, in host order.
    pub(crate) const fn src_port(&self) -> u16 {
        u16::from_be_bytes(self.src.id)
    }

    /// The destination port or GRE key, in host order.
    pub(crate) const fn dst_port(&self) -> u16 {
        u16::from_be_bytes(self.dst.id)
    }

    /// The identifier of an ICMP or ICMPv6 query, in host order.
    pub(crate) const fn icmp_id(&self) -> u16 {
        u16::from_be_bytes(self.src.id)
    }

    /// The type of an ICMP or ICMPv6 message.
    pub(crate) const fn icmp_type(&self) -> u8 {
        let [kind, _] = self.dst.id;
        kind
    }

    /// The code of an ICMP or ICMPv6 message.
    pub(crate) const fn icmp_code(&self) -> u8 {
        let [_, code] = self.dst.id;
        code
    }
}
