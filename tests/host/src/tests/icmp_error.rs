// SPDX-License-Identifier: GPL-2.0

//! ICMP errors find the connection that they are about, and only from where they can come.

use super::build::{
    icmp,
    ip,
    ipv4,
    ipv6,
    seal,
    tcp,
    udp, //
};
use crate::{
    packet::Bytes,
    pure::{
        l4proto::icmp_error::{
            parse,
            Message, //
        },
        reason::Reason,
        tuple::Tuple,
        wire::{
            self,
            Family, //
        },
    },
};

/// What became of a message.
#[derive(Debug, PartialEq)]
enum Found {
    Query,
    Untracked,
    Error,
    Invalid(Reason),
}

fn read(family: Family, pkt: &[u8], verify: bool) -> Result<Message, Reason> {
    let pkt = Bytes(pkt);
    let l4 = wire::l4(&pkt, 0, family).unwrap();
    parse(&pkt, 0, family, &l4, verify)
}

fn found(family: Family, pkt: &[u8]) -> Found {
    match read(family, pkt, false) {
        Ok(Message::Query) => Found::Query,
        Ok(Message::Untracked) => Found::Untracked,
        Ok(Message::Error(_)) => Found::Error,
        Err(reason) => Found::Invalid(reason),
    }
}

/// The packet that an error goes back to the client with: a packet that the client sent.
fn sent(family: Family) -> Vec<u8> {
    ip(family, 17, &udp(b"query"))
}

/// Turns a packet of the client into a packet for the client.
fn to_client(family: Family, mut pkt: Vec<u8>) -> Vec<u8> {
    let (src, len) = match family {
        Family::Ipv4 => (12, 4),
        Family::Ipv6 => (8, 16),
    };
    let client = pkt[src..src + len].to_vec();
    pkt[src..src + len].fill(9);
    pkt[src + len..src + 2 * len].copy_from_slice(&client);
    pkt
}

/// Every type of ICMP is a query, an error or invalid, as RFC 1122 and the kernel have it.
#[test]
fn icmp_types() {
    for kind in 0..=u8::MAX {
        let pkt = ipv4(1, &icmp(kind, 0, 0, &sent(Family::Ipv4)));
        let expected = match kind {
            3 | 4 | 5 | 11 | 12 => Found::Error,
            0..=18 => Found::Query,
            _ => Found::Invalid(Reason::IcmpType),
        };
        assert_eq!(found(Family::Ipv4, &pkt), expected, "type {kind}");
    }
}

/// Every type of ICMPv6 is a query, an error or not tracked.
#[test]
fn icmpv6_types() {
    for kind in (0..=u8::MAX).filter(|&kind| kind != 137) {
        let pkt = ipv6(58, &icmp(kind, 0, 0, &sent(Family::Ipv6)));
        let expected = match kind {
            0..=127 => Found::Error,
            130..=136 | 143 | 151 | 152 => Found::Untracked,
            _ => Found::Query,
        };
        assert_eq!(found(Family::Ipv6, &pkt), expected, "type {kind}");
    }
}

/// The lookup is by the tuple of the answer to the packet inside, and the error must go to its
/// sender.
#[test]
fn errors_lead_to_their_connection() {
    for (family, proto, kind) in [(Family::Ipv4, 1, 3), (Family::Ipv6, 58, 1)] {
        let inner = sent(family);
        let pkt = to_client(family, ip(family, proto, &icmp(kind, 0, 0, &inner)));
        let Ok(Message::Error(error)) = read(family, &pkt, false) else {
            panic!("not an error");
        };

        let l4 = wire::l4(&Bytes(&inner), 0, family).unwrap();
        let tuple = Tuple::from_packet(&Bytes(&inner), 0, family, &l4).unwrap();
        let answer = tuple.invert().unwrap();
        assert_eq!(error.lookup, answer);
        // Found is the reply direction, whose packets go to the client, as the error does.
        assert!(error.is_addressed_to(&answer));
        assert!(!error.is_addressed_to(&tuple));
    }
}

/// An error is about a PPTP call if the packet inside is of GRE, and has the header of one.
#[test]
fn errors_about_calls() {
    let call = [0x30, 1, 0x88, 0x0b, 0, 8, 0, 1];
    let rows = [
        ("a call", 47, call, true),
        ("plain GRE", 47, [0, 0, 8, 0, 1, 2, 3, 4], false),
        ("UDP whose ports look like it", 17, call, false),
    ];
    for (family, proto, kind) in [(Family::Ipv4, 1, 3), (Family::Ipv6, 58, 1)] {
        for (what, inside, bytes, is_call) in rows {
            let inner = ip(family, inside, &bytes);
            let pkt = to_client(family, ip(family, proto, &icmp(kind, 0, 0, &inner)));
            let Ok(Message::Error(error)) = read(family, &pkt, false) else {
                panic!("{what}: not an error");
            };
            assert_eq!(error.is_call, is_call, "{what}");
        }
    }
}

/// Errors about what cannot be read, or has no answer, lead nowhere.
#[test]
fn unreadable_inner_packets() {
    let inner = sent(Family::Ipv4);
    let mut fragment = inner.clone();
    fragment[7] = 1;
    let mut version = inner.clone();
    version[0] = 0x65;
    let rows = [
        ("nothing", vec![]),
        ("half a header", inner[..10].to_vec()),
        ("no ports", inner[..22].to_vec()),
        ("a fragment", fragment),
        ("an error about an error", ipv4(1, &icmp(3, 0, 0, &inner))),
    ];
    for (what, inner) in rows {
        let pkt = ipv4(1, &icmp(3, 0, 0, &inner));
        assert_eq!(
            found(Family::Ipv4, &pkt),
            Found::Invalid(Reason::IcmpErrorInner),
            "{what}"
        );
    }
    // The version is not looked at, as in the reference.
    assert_eq!(
        found(Family::Ipv4, &ipv4(1, &icmp(3, 0, 0, &version))),
        Found::Error
    );
    // Eight bytes of the transport header are all that RFC 792 asks for.
    let inner = ipv4(6, &tcp(1, 2, 16, &[], b"")[..8]);
    assert_eq!(
        found(Family::Ipv4, &ipv4(1, &icmp(3, 0, 0, &inner))),
        Found::Error
    );
}

/// The checksum is verified when asked for, before anything is believed.
#[test]
fn checksums() {
    for (family, proto, kind, reason) in [
        (Family::Ipv4, 1, 3, Reason::IcmpChecksum),
        (Family::Ipv4, 1, 8, Reason::IcmpChecksum),
        (Family::Ipv6, 58, 1, Reason::Icmpv6Checksum),
        (Family::Ipv6, 58, 135, Reason::Icmpv6Checksum),
    ] {
        let good = seal(family, ip(family, proto, &icmp(kind, 0, 0, &sent(family))));
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert!(read(family, &good, true).is_ok());
        assert_eq!(read(family, &bad, true), Err(reason));
        assert!(read(family, &bad, false).is_ok());
    }
}

/// A header that is cut off is named.
#[test]
fn short_headers() {
    for len in 0..8 {
        let icmp = icmp(3, 0, 0, b"");
        let v4 = ipv4(1, &icmp[..len]);
        assert_eq!(found(Family::Ipv4, &v4), Found::Invalid(Reason::IcmpShort));
        let v6 = ipv6(58, &icmp[..len]);
        assert_eq!(
            found(Family::Ipv6, &v6),
            Found::Invalid(Reason::Icmpv6Short)
        );
    }
}

/// A redirect is believed from the link only, and holds the packet in its first option or not at
/// all.
#[test]
fn redirects() {
    let link_local = |mut pkt: Vec<u8>| {
        pkt[8..10].copy_from_slice(&[0xfe, 0x80]);
        pkt
    };
    let redirect =
        |code, option: &[u8]| ipv6(58, &icmp(137, code, 0, &[&[0; 32], option].concat()));
    let redirected = [&[4, 7, 0, 0, 0, 0, 0, 0][..], &sent(Family::Ipv6)].concat();
    let mut far = link_local(redirect(0, &redirected));
    far[7] = 254;
    let mut short = link_local(redirect(0, &[]));
    short.truncate(short.len() - 1);

    let rows = [
        ("right", link_local(redirect(0, &redirected)), Found::Error),
        ("not from a link-local address", redirect(0, &redirected), {
            Found::Invalid(Reason::Icmpv6RedirectSender)
        }),
        (
            "forwarded",
            far,
            Found::Invalid(Reason::Icmpv6RedirectSender),
        ),
        ("another code", redirect(1, &redirected), Found::Query),
        ("short", short, Found::Invalid(Reason::Icmpv6RedirectShort)),
        (
            "no option",
            link_local(redirect(0, &[])),
            Found::Invalid(Reason::Icmpv6RedirectOption),
        ),
        ("half an option", link_local(redirect(0, &[4])), {
            Found::Invalid(Reason::Icmpv6RedirectOption)
        }),
        ("empty option", link_local(redirect(0, &[4, 0])), {
            Found::Invalid(Reason::Icmpv6RedirectOption)
        }),
        (
            "another option",
            link_local(redirect(0, &[2, 1, 0, 0])),
            Found::Query,
        ),
        (
            "nothing in the option",
            link_local(redirect(0, &[4, 1, 0, 0, 0, 0, 0, 0])),
            { Found::Invalid(Reason::IcmpErrorInner) },
        ),
    ];
    for (what, pkt, expected) in rows {
        assert_eq!(found(Family::Ipv6, &pkt), expected, "{what}");
    }
}

/// A redirect is about the packet that it has in its option, eight bytes behind where that begins.
#[test]
fn the_redirected_packet() {
    let inner = ipv6(17, &udp(b"query"));
    let mut body = vec![0; 32];
    body.extend([4, u8::try_from((8 + inner.len()).div_ceil(8)).unwrap()]);
    body.extend([0; 6]);
    body.extend(&inner);
    let mut pkt = ipv6(58, &icmp(137, 0, 0, &body));
    // From a neighbour, that is, from its link-local address.
    pkt[8..10].copy_from_slice(&[0xfe, 0x80]);
    let Ok(Message::Error(error)) = read(Family::Ipv6, &pkt, false) else {
        panic!("no error");
    };
    let inner = Bytes(&inner);
    let l4 = wire::l4(&inner, 0, Family::Ipv6).unwrap();
    let about = Tuple::from_packet(&inner, 0, Family::Ipv6, &l4).unwrap();
    assert_eq!(Some(error.lookup), about.invert());
}
