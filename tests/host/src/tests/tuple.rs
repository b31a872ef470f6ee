// SPDX-License-Identifier: GPL-2.0

//! Tuples: what is read from a packet, and what the answer to it looks like.

use super::build::{
    chunk,
    icmp,
    ip,
    ipv4,
    sctp,
    tcp,
    udp,
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6, //
};
use crate::{
    packet::Bytes,
    pure::{
        reason::Reason,
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            self,
            icmp::counterpart,
            ipproto,
            Family, //
        },
    },
};
use proptest::prelude::*;
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

fn read(family: Family, pkt: &[u8]) -> Result<Tuple, Reason> {
    let pkt = Bytes(pkt);
    let l4 = wire::l4(&pkt, 0, family)?;
    Tuple::from_packet(&pkt, 0, family, &l4)
}

fn expected(family: Family, proto: u8) -> Tuple {
    let (src, dst) = match family {
        Family::Ipv4 => (Addr::v4(CLIENT), Addr::v4(SERVER)),
        Family::Ipv6 => (Addr::v6(CLIENT6), Addr::v6(SERVER6)),
    };
    Tuple::new(family, proto, src, dst)
}

/// Each protocol puts what tells its connections apart into the tuple, and nothing else.
#[test]
fn a_packet_gives_its_tuple() {
    let pptp = [0x30, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34, 0, 0, 0, 0];
    let plain_gre = [0x00, 0, 0x08, 0x00, 1, 2, 3, 4];
    for family in [Family::Ipv4, Family::Ipv6] {
        let base = |proto| expected(family, proto);
        let rows: &[(u8, Vec<u8>, Tuple)] = &[
            (6, tcp(1, 2, 0x10, &[], b"x"), base(6).with_ports(1000, 80)),
            (17, udp(b"query"), base(17).with_ports(1000, 53)),
            (
                132,
                sctp(7, &[chunk(0, 0, b"data")]),
                base(132).with_ports(1000, 80),
            ),
            (1, icmp(8, 0, 77, b""), base(1).with_icmp(8, 0, 77)),
            (58, icmp(128, 3, 99, b""), base(58).with_icmp(128, 3, 99)),
            (47, pptp.to_vec(), base(47).with_ports(0, 0x1234)),
            (47, plain_gre.to_vec(), base(47)),
            (47, vec![], base(47)),
            (50, vec![1, 2, 3, 4], base(50)),
            (33, vec![], base(33)),
        ];
        for (proto, body, tuple) in rows {
            let found = read(family, &ip(family, *proto, body));
            assert_eq!(found, Ok(*tuple), "{family:?} protocol {proto}");
            assert_eq!(found.unwrap().dir(), Direction::Original);
        }
    }
}

/// PPTP carries PPP; anything else under its header is not tracked.
#[test]
fn pptp_without_ppp_is_invalid() {
    let pkt = ipv4(ipproto::GRE, &[0x30, 1, 0x08, 0x00, 0, 4, 0x12, 0x34]);
    assert_eq!(read(Family::Ipv4, &pkt), Err(Reason::GreProtocol));
}

/// A transport header that is cut off has its own reason for each protocol, with what is needed of
/// it.
#[test]
fn a_short_transport_header_is_named() {
    let rows = [
        (ipproto::TCP, 4, Reason::TcpShort),
        (ipproto::UDP, 4, Reason::UdpShort),
        (ipproto::SCTP, 4, Reason::SctpShort),
        (ipproto::ICMP, 8, Reason::IcmpShort),
        (ipproto::ICMPV6, 8, Reason::Icmpv6Short),
    ];
    for (proto, needed, reason) in rows {
        for len in 0..=needed {
            let found = read(Family::Ipv4, &ipv4(proto, &vec![0; len]));
            if len < needed {
                assert_eq!(found, Err(reason), "protocol {proto}, {len} bytes");
            } else {
                assert!(found.is_ok(), "protocol {proto}, {len} bytes");
            }
        }
    }
}

/// Every type of ICMP and ICMPv6 has the answer that the RFCs give it, or none.
#[test]
fn icmp_types_have_their_counterparts() {
    let rows = [
        (
            Family::Ipv4,
            ipproto::ICMP,
            &[(8, 0), (13, 14), (15, 16), (17, 18)][..],
        ),
        (Family::Ipv6, ipproto::ICMPV6, &[(128, 129), (139, 140)][..]),
    ];
    for (family, proto, pairs) in rows {
        for kind in 0..=u8::MAX {
            let answer = pairs.iter().find_map(|&(query, answer)| match kind {
                _ if kind == query => Some(answer),
                _ if kind == answer => Some(query),
                _ => None,
            });
            assert_eq!(counterpart(family, kind), answer, "{family:?} type {kind}");

            let tuple = expected(family, proto).with_icmp(kind, 5, 1);
            let inverse = tuple.invert();
            assert_eq!(inverse.map(|t| t.icmp_type()), answer);
            if let Some(inverse) = inverse {
                assert_eq!((inverse.icmp_code(), inverse.icmp_id()), (5, 1));
            }
        }
    }
}

/// Tuples that differ in anything but the direction differ.
#[test]
fn every_byte_but_the_direction_counts() {
    let tuple = expected(Family::Ipv6, ipproto::TCP).with_ports(1, 2);
    let bytes = tuple.as_bytes();
    assert_eq!(bytes.len(), 40);
    for at in 0..bytes.len() {
        let mut other: [u8; 40] = bytes.try_into().unwrap();
        other[at] ^= 1;
        let other = Tuple::read_from_bytes(&other).unwrap();
        assert_eq!(tuple == other, at == Tuple::KEY_LEN, "byte {at}");
    }
}

/// The fields lie where the kernel's `struct nf_conntrack_tuple` has them.
#[test]
fn the_layout_is_the_kernels() {
    let tuple = expected(Family::Ipv4, ipproto::UDP)
        .with_ports(0x0102, 0x0304)
        .with_dir(Direction::Reply);
    let mut bytes = vec![10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];
    bytes.extend(2u16.to_ne_bytes());
    bytes.extend([10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 17, 1]);
    assert_eq!(tuple.as_bytes(), bytes);
}

/// The accessors give back what the constructors were given.
#[test]
fn accessors_give_what_was_put_in() {
    let tuple = expected(Family::Ipv6, ipproto::TCP).with_ports(1000, 80);
    assert_eq!(tuple.family(), Some(Family::Ipv6));
    assert_eq!(tuple.l3num(), 10);
    assert_eq!(tuple.proto(), ipproto::TCP);
    assert_eq!(tuple.src().v6_octets(), CLIENT6);
    assert_eq!(tuple.dst().v6_octets(), SERVER6);
    assert_eq!((tuple.src_port(), tuple.dst_port()), (1000, 80));
    assert_eq!(Addr::v4(CLIENT).v4_octets(), CLIENT);
}

/// Any tuple that a packet can give.
pub(super) fn any_tuple() -> impl Strategy<Value = Tuple> {
    let protos = prop_oneof![
        Just(ipproto::TCP),
        Just(ipproto::UDP),
        Just(ipproto::ICMP),
        Just(ipproto::ICMPV6),
        Just(ipproto::GRE),
        any::<u8>(),
    ];
    (
        any::<bool>(),
        protos,
        any::<[[u8; 16]; 2]>(),
        any::<[u16; 2]>(),
    )
        .prop_map(|(v6, proto, [src, dst], [from, to])| {
            let tuple = if v6 {
                Tuple::new(Family::Ipv6, proto, Addr::v6(src), Addr::v6(dst))
            } else {
                let v4 = |addr: [u8; 16]| Addr::v4(*addr.first_chunk().unwrap());
                Tuple::new(Family::Ipv4, proto, v4(src), v4(dst))
            };
            tuple.with_ports(from, to)
        })
}

proptest! {
    /// The answer to the answer is the tuple itself, down to the last byte.
    #[test]
    fn inverting_twice_is_the_identity(tuple in any_tuple()) {
        let icmp = matches!(tuple.proto(), ipproto::ICMP | ipproto::ICMPV6);
        match tuple.invert() {
            Some(inverse) => {
                prop_assert_eq!(inverse.dir(), Direction::Reply);
                prop_assert_eq!(inverse.src(), tuple.dst());
                prop_assert_eq!(inverse.dst(), tuple.src());
                let twice = inverse.invert().unwrap();
                prop_assert_eq!(twice.as_bytes(), tuple.as_bytes());
            }
            None => prop_assert!(icmp, "only ICMP has messages without an answer"),
        }
    }

    /// Two tuples are equal exactly if the bytes of their keys are: a hash of the key agrees with
    /// equality.
    #[test]
    fn equality_is_that_of_the_key(a in any_tuple(), b in any_tuple(), same in any::<bool>()) {
        let b = if same { a.with_dir(Direction::Reply) } else { b };
        let key = |t: &Tuple| t.as_bytes()[..Tuple::KEY_LEN].to_vec();
        prop_assert_eq!(a == b, key(&a) == key(&b));
    }
}

/// A tuple that says nothing yet has nothing but zeroes where something could be; a mask has all
/// bits of its family's addresses.
#[test]
fn nothing_but_what_was_said() {
    let new = expected(Family::Ipv4, 6);
    assert_eq!((new.src_id(), new.dst_id()), ([0; 2], [0; 2]));
    let numbers = Tuple::of_numbers(3, 7);
    assert_eq!((numbers.l3num(), numbers.proto()), (3, 7));
    assert_eq!(
        (*numbers.src(), *numbers.dst()),
        (Addr::default(), Addr::default())
    );
    assert_eq!(Addr::mask(2), Addr::v4([255; 4]));
    assert_eq!(Addr::mask(10), Addr::v6([255; 16]));

    let (one, two): ([u8; 16], [u8; 16]) = ([0x0f; 16], [0x3c; 16]);
    assert_eq!(Addr::v6(one).and(&Addr::v6(two)), Addr::v6([0x0c; 16]));

    let query = expected(Family::Ipv4, 1).with_icmp(8, 3, 77);
    let found = (query.icmp_type(), query.icmp_code(), query.icmp_id());
    assert_eq!(found, (8, 3, 77));
}

/// A call of PPTP is told by the ends and the number of its receiver, whatever the sender says that
/// it is.
#[test]
fn calls() {
    let call = expected(Family::Ipv4, 47).with_ports(1, 2);
    let elsewhere = Addr::v4([192, 0, 2, 1]);
    let rows = [
        ("itself", call, true),
        (
            "another number of the sender's",
            call.with_ports(9, 2),
            true,
        ),
        ("the other direction", call.with_dir(Direction::Reply), true),
        ("another call", call.with_ports(1, 9), false),
        ("another sender", call.with_source(elsewhere, [0, 1]), false),
        (
            "another receiver",
            call.with_destination(elsewhere, [0, 2]),
            false,
        ),
        ("another protocol", call.with_proto(6), false),
        (
            "another family",
            Tuple::of_numbers(10, 47)
                .with_source(*call.src(), call.src_id())
                .with_destination(*call.dst(), call.dst_id()),
            false,
        ),
    ];
    for (what, other, same) in rows {
        assert_eq!(call.call() == other.call(), same, "{what}");
        assert_eq!(other.call() == call.call(), same, "{what}, turned");
    }
}
