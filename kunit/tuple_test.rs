// SPDX-License-Identifier: GPL-2.0

//! Tuples: what is read from a packet, and what the answer to it looks like.

use crate::{
    datapath::headers,
    object::netns::NETNS,
    pure::{
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            icmp::counterpart,
            ipproto,
            Family, //
        },
    },
    random::Random,
    skbs::{
        self,
        icmp,
        ip,
        Buffer,
        Bytes,
        CLIENT,
        CLIENT6,
        SERVER,
        SERVER6, //
    },
    sys::net::Net,
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// The tuple of a packet from the client to the server, without ports.
fn plain(family: Family, proto: u8) -> Tuple {
    let (src, dst) = match family {
        Family::Ipv4 => (Addr::v4(CLIENT), Addr::v4(SERVER)),
        Family::Ipv6 => (Addr::v6(CLIENT6), Addr::v6(SERVER6)),
    };
    Tuple::new(family, proto, src, dst)
}

/// The tuple of a packet, whose network header is at its beginning, if it has one.
fn tuple(buffer: &Buffer, family: Family) -> Result<Option<Tuple>> {
    let netns = NETNS.get(Net::init()).ok_or(ENOENT)?;
    Ok(headers::whole_tuple(netns, buffer.skb(), 0, family))
}

/// The tuple that is read from a packet, if one is.
fn read(family: Family, bytes: &Bytes) -> Result<Option<Tuple>> {
    tuple(&Buffer::new(bytes.get())?, family)
}

#[kunit_tests(rust_ct_tuple)]
mod tests {
    use super::*;

    /// Each protocol puts into the tuple what tells its connections apart, and nothing else.
    #[test]
    fn a_packet_gives_its_tuple() -> Result {
        let pptp = Bytes::new().with(&[0x30, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34]);
        let gre = Bytes::new().with(&[0x00, 0, 0x08, 0x00, 1, 2, 3, 4]);
        let sctp = Bytes::new().with(&[3, 232, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0]);
        let tcp = skbs::tcp(Direction::Original, 1000, 0x10, 1, 2, b"x");
        for family in FAMILIES {
            let base = |proto| plain(family, proto);
            let rows = [
                (tcp, base(6).with_ports(1000, 80)),
                (
                    skbs::udp(Direction::Original, 1000, b"query"),
                    base(17).with_ports(1000, 53),
                ),
                (sctp, base(132).with_ports(1000, 80)),
                (icmp(8, 0, 77, b""), base(1).with_icmp(8, 0, 77)),
                (icmp(128, 3, 99, b""), base(58).with_icmp(128, 3, 99)),
                (pptp, base(47).with_ports(0, 0x1234)),
                (gre, base(47)),
                (Bytes::new(), base(47)),
                (Bytes::new().with(&[1, 2, 3, 4]), base(50)),
                (Bytes::new(), base(33)),
            ];
            for (row, (body, tuple)) in rows.iter().enumerate() {
                let bytes = ip(family, Direction::Original, tuple.proto(), body.get());
                let found = read(family, &bytes)?;
                check_eq!(found, Some(*tuple), "row {} of {:?}", row, family);
                check_eq!(found.map(|found| found.dir()), Some(Direction::Original));
            }
        }
        Ok(())
    }

    /// The answer of a packet that was sent has the inverse of its tuple, and the other direction.
    #[test]
    fn an_answer_has_the_inverse() -> Result {
        for family in FAMILIES {
            let echo = match family {
                Family::Ipv4 => (ipproto::ICMP, icmp(8, 0, 7, b""), icmp(0, 0, 7, b"")),
                Family::Ipv6 => (ipproto::ICMPV6, icmp(128, 0, 7, b""), icmp(129, 0, 7, b"")),
            };
            let both = |f: fn(Direction) -> Bytes| (f(Direction::Original), f(Direction::Reply));
            let tcp = both(|dir| skbs::tcp(dir, 1000, 0x10, 1, 2, b""));
            let udp = both(|dir| skbs::udp(dir, 1000, b""));
            let rows = [
                echo,
                (ipproto::TCP, tcp.0, tcp.1),
                (ipproto::UDP, udp.0, udp.1),
                (50, Bytes::new(), Bytes::new()),
            ];
            for (proto, query, answer) in rows {
                let query = ip(family, Direction::Original, proto, query.get());
                let answer = ip(family, Direction::Reply, proto, answer.get());
                let inverse = read(family, &query)?.and_then(|tuple| tuple.invert());
                check_eq!(inverse, read(family, &answer)?, "protocol {}", proto);
                check_eq!(inverse.map(|tuple| tuple.dir()), Some(Direction::Reply));
            }
        }
        Ok(())
    }

    /// Every type of ICMP and ICMPv6 has the answer that the RFCs give it, or none.
    #[test]
    fn icmp_types_have_their_counterparts() -> Result {
        let v4 = [(8, 0), (13, 14), (15, 16), (17, 18)];
        let v6 = [(128, 129), (139, 140)];
        let rows = [
            (Family::Ipv4, ipproto::ICMP, &v4[..]),
            (Family::Ipv6, ipproto::ICMPV6, &v6[..]),
        ];
        for (family, proto, pairs) in rows {
            for kind in 0..=u8::MAX {
                let answer = pairs.iter().find_map(|&(query, answer)| match kind {
                    _ if kind == query => Some(answer),
                    _ if kind == answer => Some(query),
                    _ => None,
                });
                check_eq!(
                    counterpart(family, kind),
                    answer,
                    "{:?} type {}",
                    family,
                    kind
                );
                let inverse = plain(family, proto).with_icmp(kind, 5, 1).invert();
                let found = inverse.map(|t| (t.icmp_type(), t.icmp_code(), t.icmp_id()));
                check_eq!(found, answer.map(|answer| (answer, 5, 1)));
            }
        }
        Ok(())
    }

    /// PPTP carries PPP; anything else under its header is not tracked.
    #[test]
    fn pptp_without_ppp_is_not_tracked() -> Result {
        let body = [0x30, 1, 0x08, 0x00, 0, 4, 0x12, 0x34];
        for family in FAMILIES {
            let bytes = ip(family, Direction::Original, ipproto::GRE, &body);
            check_eq!(read(family, &bytes)?, None);
        }
        Ok(())
    }

    /// Whatever a tuple is made of, inverting it swaps its ends, and inverting it twice gives it
    /// back.
    #[test]
    fn inverting_twice_is_the_identity() -> Result {
        let mut random = Random::of("inverting_twice_is_the_identity");
        let protos = [1, 6, 17, 47, 50, 58, 132];
        let mut invertible = 0;
        for step in 0..20_000 {
            let (mut src, mut dst) = ([0; 16], [0; 16]);
            random.fill(&mut src);
            random.fill(&mut dst);
            let proto = protos[random.below(protos.len())];
            let tuple = match random.below(2) {
                0 => {
                    let [[a, b, c, d, ..], [e, f, g, h, ..]] = [src, dst];
                    let (src, dst) = (Addr::v4([a, b, c, d]), Addr::v4([e, f, g, h]));
                    Tuple::new(Family::Ipv4, proto, src, dst)
                }
                _ => Tuple::new(Family::Ipv6, proto, Addr::v6(src), Addr::v6(dst)),
            };
            // CAST: Any number will do.
            let tuple = tuple.with_ports(random.next() as u16, random.next() as u16);
            let Some(inverse) = tuple.invert() else {
                check!(matches!(proto, 1 | 58), "step {}", step);
                continue;
            };
            invertible += 1;
            check_eq!(
                (inverse.src(), inverse.dst()),
                (tuple.dst(), tuple.src()),
                "step {}",
                step
            );
            check_eq!(inverse.dir(), Direction::Reply, "step {}", step);
            let twice = inverse.invert();
            check_eq!(twice, Some(tuple), "step {}", step);
            check_eq!(twice.map(|tuple| tuple.dir()), Some(Direction::Original));
        }
        check!(
            invertible > 10_000,
            "{} of them can be inverted",
            invertible
        );
        Ok(())
    }

    /// Whatever bytes arrive, reading them ends, and a tuple that is read has the addresses and the
    /// protocol that are in the packet.
    #[test]
    fn random_bytes_are_read_or_refused() -> Result {
        let mut random = Random::of("random_bytes_are_read_or_refused");
        let mut bytes = [0; 200];
        let mut tuples = 0;
        for step in 0..4000 {
            random.fill(&mut bytes);
            let family = FAMILIES[random.below(2)];
            // Most packets have the right version, and no options.
            if random.below(8) > 0 {
                bytes[0] = if family == Family::Ipv4 { 0x45 } else { 0x60 };
            }
            if random.below(2) > 0 {
                bytes[6] = if family == Family::Ipv4 { 0x40 } else { 17 };
                bytes[7] = 0;
            }
            let len = random.below(bytes.len());
            let bytes = bytes.get(..len).ok_or(EINVAL)?;
            let buffer = Buffer::new(bytes)?;
            let Some(tuple) = super::tuple(&buffer, family)? else {
                continue;
            };
            tuples += 1;
            check_eq!(tuple.family(), Some(family), "step {}", step);
            match family {
                Family::Ipv4 => {
                    check_eq!(tuple.src().v4_octets()[..], bytes[12..16], "step {}", step);
                    check_eq!(tuple.dst().v4_octets()[..], bytes[16..20], "step {}", step);
                    check_eq!(tuple.proto(), bytes[9], "step {}", step);
                }
                Family::Ipv6 => {
                    check_eq!(tuple.src().v6_octets()[..], bytes[8..24], "step {}", step);
                    check_eq!(tuple.dst().v6_octets()[..], bytes[24..40], "step {}", step);
                }
            }
        }
        check!(tuples > 500, "{} of them were tuples", tuples);
        Ok(())
    }
}
