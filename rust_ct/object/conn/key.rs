// SPDX-License-Identifier: GPL-2.0

//! What a connection is looked up by.

use crate::{
    pure::{
        siphash::{
            hash,
            Seed, //
        },
        tuple::{
            Direction,
            Tuple, //
        },
        wire::Family,
        zone::Zone, //
    },
    sys::{
        field::Field,
        net::Net,
        siphash, //
    },
};

/// The key of the hash of tuples, drawn when the module is loaded.
pub(crate) static HASH_KEY: HashKey = HashKey([const { Field::new(0) }; 4]);

/// A key of the hash of tuples, as what the hash begins with.
#[repr(align(32))]
pub(crate) struct HashKey([Field<u64>; 4]);

impl HashKey {
    /// Draws the key at random. What was hashed before is not found again.
    pub(crate) fn draw(&self) {
        let key = siphash::Key::new();
        key.draw();
        let Seed(words) = Seed::new(key.words());
        for (place, word) in self.0.iter().zip(words) {
            place.store(word);
        }
    }

    #[inline(always)]
    fn seed(&self) -> Seed {
        Seed(self.0.each_ref().map(Field::load))
    }
}

/// The words of a tuple. Equal words name the same connection, whatever the direction.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) [u64; 5]);

impl Words {
    /// All bits of the last word but the direction's.
    const MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);

    /// The words of a tuple.
    #[inline]
    pub(super) fn of(tuple: &Tuple) -> Self {
        Self(zerocopy::transmute!(*tuple))
    }

    /// What the words of a tuple in memory hold.
    #[inline(always)]
    pub(super) fn load([a, b, c, d, e]: &[Field<u64>; 5]) -> Self {
        Self([a.load(), b.load(), c.load(), d.load(), e.load()])
    }

    #[inline]
    pub(super) fn tuple(&self) -> Tuple {
        zerocopy::transmute!(self.0)
    }

    /// Returns whether the middle and the last word of a tuple are as these: those with ports,
    /// protocol and family.
    #[inline]
    pub(super) fn resemble(&self, middle: u64, last: u64) -> bool {
        let [_, _, c, _, e] = self.0;
        (c ^ middle) | ((e ^ last) & Self::MASK) == 0
    }

    /// Both ends. Their order is of no concern, as long as it is the same for both.
    #[inline(always)]
    fn ends(&self) -> Ends {
        // The bytes of a tuple: address 0 to 15, port 16, 17, family 18, 19; address 20 to 35,
        // port 36, 37, protocol 38.
        let [a, b, c, d, e] = self.0.map(u64::from_le);
        // CAST: The bits that are wanted are the lower ones.
        Ends {
            src: End {
                addr: [a, b],
                port: c as u16,
            },
            dst: End {
                addr: [c >> 32 | d << 32, d >> 32 | e << 32],
                port: (e >> 32) as u16,
            },
            proto: (e >> 48) as u8,
        }
    }

    /// Returns whether packets with this key come from where packets with `other` go to, and go to
    /// where those come from.
    #[inline(always)]
    pub(super) fn mirrors(&self, other: &Self) -> bool {
        let (this, other) = (self.ends(), other.ends());
        this.src.differs(&other.dst) | this.dst.differs(&other.src) == 0
    }

    #[inline]
    pub(super) fn same_key(&self, other: &Self) -> bool {
        let [a0, a1, a2, a3, a4] = self.0;
        let [b0, b1, b2, b3, b4] = other.0;
        (a0 ^ b0) | (a1 ^ b1) | (a2 ^ b2) | (a3 ^ b3) | ((a4 ^ b4) & Self::MASK) == 0
    }
}

/// What a connection is looked up by.
pub(crate) struct Key<'a> {
    pub(super) words: Words,
    family: Option<Family>,
    pub(super) zone: Zone,
    /// The namespace of the packets.
    pub(crate) net: &'a Net,
}

impl<'a> Key<'a> {
    /// The key of packets with a tuple, in a zone of a namespace.
    #[inline]
    pub(crate) fn new(tuple: &Tuple, zone: Zone, net: &'a Net) -> Self {
        Self {
            words: Words::of(tuple),
            family: tuple.family(),
            zone,
            net,
        }
    }

    /// Returns whether the number of the zone differs for packets in the reply direction.
    #[inline]
    pub(crate) fn has_other_reply(&self) -> bool {
        self.zone.is_one_way()
    }

    /// The hash by which a connection is found if its packets in direction `dir` have the key. It
    /// is the same for packets and their replies, unless NAT, the zone, or the protocol, as ICMP,
    /// makes their keys differ.
    ///
    /// The namespace and the number of the zone are part of the hash's key, as in
    /// hash_conntrack_raw(): equal tuples in many of them spread out, and what is learnt of one
    /// namespace or zone says nothing of another.
    #[inline(always)]
    pub(crate) fn hash(&self, dir: Direction) -> u32 {
        let differs = [self.zone.id(dir).into(), self.net.hash_mix().into()];
        let seed = HASH_KEY.seed().with(differs);
        let ends = self.words.ends();
        let hash = match self.family {
            Some(Family::Ipv4) => hash(seed, ends.ipv4()),
            _ => hash(seed, ends.any()),
        };
        // CAST: One half is as good as the other.
        hash as u32
    }
}

/// Where packets come from and where they go to.
struct Ends {
    src: End,
    dst: End,
    proto: u8,
}

/// An address, and the port or the like.
#[derive(Clone, Copy)]
struct End {
    addr: [u64; 2],
    port: u16,
}

impl End {
    /// Bits that differ; zero if it is the same end.
    #[inline(always)]
    fn differs(&self, other: &Self) -> u64 {
        let ([a, b], [c, d]) = (self.addr, other.addr);
        (a ^ c) | (b ^ d) | u64::from(self.port ^ other.port)
    }

    /// Returns whether this end comes before `other` in an order of all ends: that of their sums,
    /// which are one word, and of ends with the same sum that of the parts.
    #[inline(always)]
    fn comes_before(&self, other: &Self) -> bool {
        let sum = |end: &Self| {
            let [a, b] = end.addr;
            a.wrapping_add(b).wrapping_add(end.port.into())
        };
        let (this, that) = (sum(self), sum(other));
        if this == that {
            return self.parts_come_before(other);
        }
        this < that
    }

    #[cold]
    fn parts_come_before(&self, other: &Self) -> bool {
        (self.addr, self.port) < (other.addr, other.port)
    }
}

impl Ends {
    /// Words to be hashed, the same whichever end packets come from; IPv4's addresses are the lower
    /// quarter. The highest byte of the last one is zero.
    #[inline(always)]
    fn ipv4(&self) -> [u64; 2] {
        // CAST: The rest is zero.
        let word = |End {
                        addr: [low, _],
                        port,
                    }| u64::from(low as u32) << 16 | u64::from(port);
        let (src, dst) = (word(self.src), word(self.dst));
        [src.min(dst), src.max(dst) | u64::from(self.proto) << 48]
    }

    /// As [`Ends::ipv4`], of any family.
    #[inline(always)]
    fn any(&self) -> [u64; 5] {
        let (one, other) = match self.src.comes_before(&self.dst) {
            true => (self.src, self.dst),
            false => (self.dst, self.src),
        };
        let ports = u64::from(one.port) | u64::from(other.port) << 16;
        let ([a, b], [c, d]) = (one.addr, other.addr);
        [a, b, c, d, ports | u64::from(self.proto) << 32]
    }
}
