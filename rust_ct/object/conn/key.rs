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

/// The words of a tuple. Equal ones name the same connection, whatever the direction.
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

    /// Returns whether the number of the zone is another one for packets in the reply direction.
    #[inline]
    pub(crate) fn has_other_reply(&self) -> bool {
        self.zone.id(Direction::Original) != self.zone.id(Direction::Reply)
    }

    /// The hash by which a connection is found if its packets in direction `dir` have the key.
    ///
    /// The namespace and the number of the zone are part of the hash's key, as in
    /// hash_conntrack_raw(): equal tuples in many of them spread out, and what is learnt of one
    /// says nothing of another.
    #[inline(always)]
    pub(crate) fn hash(&self, dir: Direction) -> u32 {
        // The hash does not count the highest byte of the last word: on machines of either kind,
        // that is to be the direction's.
        let [a, b, c, d, e] = self.words.0;
        let e = u64::from_le(e & Words::MASK);
        let differs = [self.zone.id(dir).into(), self.net.hash_mix().into()];
        let seed = HASH_KEY.seed().with(differs);
        let hash = match self.family {
            // Of `a` the one half is zero, of `e` the other, and `b` and `d` are.
            Some(Family::Ipv4) => hash(seed, [c, u64::from_le(a) ^ e]),
            _ => hash(seed, [a, b, c, d, e]),
        };
        // CAST: One half is as good as the other.
        hash as u32
    }
}
