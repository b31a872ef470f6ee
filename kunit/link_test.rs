// SPDX-License-Identifier: GPL-2.0

//! The links by which a connection is in the table, and the hashes that say where they are: packets
//! of both directions find it, by one link where that is enough, else by two.

use crate::{
    datapath::end,
    maker::{
        begin_in,
        case,
        enter,
        entered,
        find,
        find_in,
        in_table,
        leads_to,
        udp,
        zone, //
    },
    object::{
        conn::{
            Conn,
            Key, //
        },
        table::TABLE, //
    },
    pure::{
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    sys::{
        net::Net,
        rcu::ReadSide, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::rcu, //
};

/// An IPv6 address with these as the last bytes of its halves.
fn end(high: u8, low: u8) -> Addr {
    let mut bytes = [0; 16];
    bytes[0] = 0x20;
    bytes[7] = high;
    bytes[15] = low;
    Addr::v6(bytes)
}

/// How many links of a connection, of each direction, are in the bucket of its first packet.
fn links(conn: &Conn) -> [usize; 2] {
    let mut links = [0; 2];
    let guard = rcu::read_lock();
    let hash = conn.hash(Direction::Original);
    TABLE.visit_home(hash, ReadSide::of(&guard), |met| {
        if met.is(conn) {
            links[met.link().index()] += 1;
        }
        ControlFlow::Continue(())
    });
    drop(guard);
    links
}

/// Tuples of a first packet and, as NAT might give them, of replies, whose hashes in a zone happen
/// to be equal. Among some 65,000 of each, one such pair is to be expected.
fn alike(zone: Zone) -> Result<(Tuple, Tuple)> {
    const MANY: u32 = 1 << 16;
    let hash = |tuple: &Tuple, dir| Key::new(tuple, zone, Net::init()).hash(dir);
    // The last number and its hash, by the upper half of the hash.
    let mut originals = KVVec::from_elem(None, MANY as usize, GFP_KERNEL)?;
    for n in 0..MANY {
        let hash = hash(&udp(n), Direction::Original);
        if let Some(place) = originals.get_mut((hash >> 16) as usize) {
            *place = Some((hash, n));
        }
    }
    // All of 2^22 miss once in 10^17 times.
    for n in MANY..1 << 22 {
        let reply = udp(n).invert().ok_or(EINVAL)?;
        let wanted = hash(&reply, Direction::Reply);
        if let Some(&Some((hash, n))) = originals.get((wanted >> 16) as usize) {
            if hash == wanted {
                return Ok((udp(n), reply));
            }
        }
    }
    Err(ENOENT)
}

#[kunit_tests(rust_ct_link)]
mod tests {
    use super::*;

    /// A connection is found by the packets of both directions, whatever its protocol and family,
    /// until it is killed.
    #[test]
    fn found_both_ways() -> Result {
        case(|netns| {
            let (v4, v6) = (Addr::v4([10, 0, 0, 1]), Addr::v6([7; 16]));
            let plain = |family, proto, addr| Tuple::new(family, proto, addr, Addr::default());
            let rows = [
                plain(Family::Ipv4, ipproto::TCP, v4).with_ports(1, 2),
                plain(Family::Ipv4, ipproto::UDP, v4).with_ports(1, 2),
                plain(Family::Ipv4, ipproto::SCTP, v4).with_ports(1, 2),
                plain(Family::Ipv4, ipproto::ICMP, v4).with_icmp(8, 0, 1),
                plain(Family::Ipv4, ipproto::GRE, v4).with_ports(0, 9),
                plain(Family::Ipv4, 50, v4),
                plain(Family::Ipv6, ipproto::TCP, v6).with_ports(1, 2),
                plain(Family::Ipv6, ipproto::UDP, v6).with_ports(1, 2),
                plain(Family::Ipv6, ipproto::ICMPV6, v6).with_icmp(128, 0, 1),
                plain(Family::Ipv6, 50, v6),
                // Ends whose words have the same sum.
                Tuple::new(Family::Ipv6, ipproto::UDP, end(1, 2), end(2, 1)).with_ports(500, 500),
                Tuple::new(Family::Ipv6, 50, end(4, 3), end(3, 4)),
            ];
            for (row, original) in rows.iter().enumerate() {
                check!(find(original).is_none(), "row {} before", row);
                entered(original)?;
            }
            check_eq!((netns.connections(), in_table()), (12, 12));
            for (row, original) in rows.iter().enumerate() {
                let (conn, dir) = find(original).ok_or(ENOENT)?;
                check_eq!(
                    (conn.tuple(dir), dir),
                    (*original, Direction::Original),
                    "row {}",
                    row
                );
                let reply = original.invert().ok_or(EINVAL)?;
                check!(leads_to(&reply, &conn, Direction::Reply), "row {}", row);
                check!(end::kill(&conn), "row {}", row);
                check!(
                    find(original).is_none() && find(&reply).is_none(),
                    "row {} after",
                    row
                );
            }
            Ok(())
        })
    }

    /// Where the replies have another zone, they are found by that, not by the zone of the first
    /// packet.
    #[test]
    fn answers_are_found_in_their_zone() -> Result {
        case(|_| {
            let reply = udp(1).invert().ok_or(EINVAL)?;
            let one = entered(&udp(1))?;
            let theirs = zone(7, Zone::DIR_REPLY);
            let other = begin_in(Net::init(), &reply, &udp(1), theirs)?;
            enter(&other)?;
            // A packet that begins a connection is in no zone: that is looked for first.
            let found = find_in(Net::init(), &udp(1), theirs);
            let (found, dir) = found.ok_or(ENOENT)?;
            check!(core::ptr::eq(&*found, &*one));
            check_eq!(dir, Direction::Original);
            check!(end::kill(&one));
            let found = find_in(Net::init(), &udp(1), theirs);
            let (found, dir) = found.ok_or(ENOENT)?;
            check!(core::ptr::eq(&*found, &*other));
            check_eq!(dir, Direction::Reply);
            Ok(())
        })
    }

    /// If a host talks to itself, packets after the first count as replies, as with nf_conntrack.
    #[test]
    fn who_talks_to_himself_is_answered() -> Result {
        case(|_| {
            for addr in [Addr::v4([127, 0, 0, 1]), end(1, 2)] {
                let family = match addr == end(1, 2) {
                    true => Family::Ipv6,
                    false => Family::Ipv4,
                };
                let tuple = Tuple::new(family, ipproto::UDP, addr, addr).with_ports(9, 9);
                let conn = entered(&tuple)?;
                check!(leads_to(&tuple, &conn, Direction::Reply), "{:?}", family);
                check_eq!(in_table(), 1);
                check!(end::kill(&conn));
                check!(find(&tuple).is_none() && in_table() == 0, "{:?}", family);
            }
            Ok(())
        })
    }

    /// Each bit of addresses and ports counts in the hash of a key.
    #[test]
    fn each_bit_is_hashed() -> Result {
        /// The hash with one of the bits of addresses and ports flipped, if there is one.
        fn hash(family: Family, flipped: Option<usize>) -> u32 {
            let mut bytes = [0x5au8; 36];
            if let Some(bit) = flipped {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let [a, b, c, d, ..] = bytes;
            let port = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
            let tuple = match family {
                Family::Ipv4 => {
                    let [_, _, _, _, e, f, g, h, ..] = bytes;
                    let (src, dst) = (Addr::v4([a, b, c, d]), Addr::v4([e, f, g, h]));
                    Tuple::new(family, ipproto::UDP, src, dst).with_ports(port(8), port(10))
                }
                Family::Ipv6 => {
                    let address = |from: usize| core::array::from_fn(|i| bytes[from + i]);
                    let (src, dst) = (Addr::v6(address(0)), Addr::v6(address(16)));
                    Tuple::new(family, ipproto::UDP, src, dst).with_ports(port(32), port(34))
                }
            };
            Key::new(&tuple, Zone::DEFAULT, Net::init()).hash(Direction::Original)
        }

        for (family, bits) in [(Family::Ipv4, 12 * 8), (Family::Ipv6, 36 * 8)] {
            let usual = hash(family, None);
            for bit in 0..bits {
                check!(
                    hash(family, Some(bit)) != usual,
                    "bit {} of {:?}",
                    bit,
                    family
                );
            }
        }
        Ok(())
    }

    /// The hash is the same for replies, but not for packets between the same addresses with their
    /// ports exchanged.
    #[test]
    fn answers_have_the_same_hash() -> Result {
        let hash =
            |tuple: &Tuple| Key::new(tuple, Zone::DEFAULT, Net::init()).hash(Direction::Original);
        let rows = [
            (
                Family::Ipv4,
                Addr::v4([10, 0, 0, 1]),
                Addr::v4([10, 0, 0, 2]),
            ),
            (
                Family::Ipv4,
                Addr::v4([10, 0, 0, 2]),
                Addr::v4([10, 0, 0, 1]),
            ),
            (
                Family::Ipv4,
                Addr::v4([127, 0, 0, 1]),
                Addr::v4([127, 0, 0, 1]),
            ),
            (Family::Ipv6, Addr::v6([1; 16]), Addr::v6([2; 16])),
            (Family::Ipv6, Addr::v6([9; 16]), Addr::v6([2; 16])),
            (Family::Ipv6, Addr::v6([9; 16]), Addr::v6([9; 16])),
        ];
        for (row, (family, src, dst)) in rows.into_iter().enumerate() {
            let tuple = Tuple::new(family, ipproto::TCP, src, dst);
            let (one, other) = (tuple.with_ports(1, 2), tuple.with_ports(2, 1));
            let reply = one.invert().ok_or(EINVAL)?;
            check_eq!(hash(&one), hash(&reply), "row {}", row);
            // Of the same address, these are the replies.
            check_eq!(hash(&one) == hash(&other), src == dst, "row {}", row);
        }
        Ok(())
    }

    /// A connection whose hashes are equal, though NAT gives it other replies, has one link and is
    /// found by both tuples; with a zone of one direction it has two, and is found by each in the
    /// zone of its direction alone.
    #[test]
    fn equal_hashes_are_one_link_in_one_zone() -> Result {
        let both = Zone::DIR_ORIGINAL | Zone::DIR_REPLY;
        let rows = [
            (Zone::DEFAULT, [1, 0]),
            (zone(7, both), [1, 0]),
            (zone(7, Zone::DIR_ORIGINAL), [1, 1]),
            (zone(7, Zone::DIR_REPLY), [1, 1]),
        ];
        case(|_| {
            let net = Net::init();
            for (row, (of, expected)) in rows.into_iter().enumerate() {
                let (original, reply) = alike(of)?;
                let conn = begin_in(net, &original, &reply, of)?;
                enter(&conn)?;
                let hashes = Direction::BOTH.map(|dir| conn.hash(dir));
                check_eq!(hashes[0], hashes[1], "row {}", row);
                check_eq!(links(&conn), expected, "row {}", row);
                for (tuple, dir) in [(&original, Direction::Original), (&reply, Direction::Reply)] {
                    for id in [0, 7] {
                        let found = find_in(net, tuple, zone(id, both)).map(|(_, dir)| dir);
                        let expected = (of.id(dir) == id).then_some(dir);
                        check_eq!(found, expected, "row {}, zone {}", row, id);
                    }
                }
                check!(end::kill(&conn), "row {}", row);
                check_eq!((links(&conn), in_table()), ([0, 0], 0), "row {}", row);
            }
            Ok(())
        })
    }
}
