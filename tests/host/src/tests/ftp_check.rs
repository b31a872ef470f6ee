// SPDX-License-Identifier: GPL-2.0

//! FTP: announcements open only what they may.

use crate::pure::{
    payload::ftp::{
        check,
        Announced,
        Expected,
        Kind,
        Refused, //
    },
    tuple::{
        Addr,
        Direction::Reply,
        Tuple, //
    },
    wire::{
        ipproto,
        Family, //
    },
};

/// The tuples of a connection between two addresses, and with the client seen by the server, and
/// the server seen by the client, under other addresses.
fn tuples(family: Family, addrs: [Addr; 4]) -> [Tuple; 2] {
    let [client, server_seen, server, client_seen] = addrs;
    [
        Tuple::new(family, ipproto::TCP, client, server_seen).with_ports(40000, 21),
        Tuple::new(family, ipproto::TCP, server, client_seen)
            .with_ports(21, 40000)
            .with_dir(Reply),
    ]
}

fn announced(kind: Kind, address: Option<(Family, Addr)>, port: u16) -> Announced {
    Announced {
        kind,
        address,
        port,
        text: None,
    }
}

const CLIENT: Addr = Addr::v4([10, 0, 0, 1]);
const SERVER: Addr = Addr::v4([192, 0, 2, 1]);
const OTHER: Addr = Addr::v4([198, 51, 100, 1]);

#[test]
fn checks() {
    let plain = tuples(Family::Ipv4, [CLIENT, SERVER, SERVER, CLIENT]);
    let to = |src, dst, port, foreign| {
        Ok(Expected {
            src,
            dst,
            port,
            foreign,
        })
    };
    let v4 = |addr| Some((Family::Ipv4, addr));
    let v6 = Some((Family::Ipv6, Addr::v6([0; 16])));
    let low = Err(Refused::LowPort);
    let far = Err(Refused::ForeignAddress);
    let family = Err(Refused::Family);
    // (kind, address, port, strict, loose)
    let rows = [
        (
            Kind::Port,
            v4(CLIENT),
            1024,
            to(SERVER, CLIENT, 1024, false),
            None,
        ),
        (
            Kind::Port,
            v4(CLIENT),
            65535,
            to(SERVER, CLIENT, 65535, false),
            None,
        ),
        (Kind::Port, v4(CLIENT), 1023, low, None),
        (Kind::Port, v4(CLIENT), 1, low, None),
        (Kind::Port, v4(OTHER), 1023, low, None),
        (
            Kind::Port,
            v4(OTHER),
            1024,
            far,
            Some(to(SERVER, OTHER, 1024, true)),
        ),
        (
            Kind::Port,
            v4(SERVER),
            1024,
            far,
            Some(to(SERVER, SERVER, 1024, true)),
        ),
        (
            Kind::Eprt,
            v4(CLIENT),
            1024,
            to(SERVER, CLIENT, 1024, false),
            None,
        ),
        (
            Kind::Eprt,
            v4(OTHER),
            1024,
            far,
            Some(to(SERVER, OTHER, 1024, true)),
        ),
        (Kind::Eprt, v6, 1024, family, None),
        (Kind::Eprt, v6, 80, family, None),
        (
            Kind::Pasv,
            v4(SERVER),
            1024,
            to(CLIENT, SERVER, 1024, false),
            None,
        ),
        (
            Kind::Pasv,
            v4(CLIENT),
            1024,
            far,
            Some(to(CLIENT, CLIENT, 1024, true)),
        ),
        (
            Kind::Pasv,
            v4(OTHER),
            1024,
            far,
            Some(to(CLIENT, OTHER, 1024, true)),
        ),
        (Kind::Pasv, v4(SERVER), 1023, low, None),
        (
            Kind::Epsv,
            None,
            1024,
            to(CLIENT, SERVER, 1024, false),
            None,
        ),
        (Kind::Epsv, None, 1023, low, None),
    ];
    for (kind, address, port, strict, loose) in rows {
        let announced = announced(kind, address, port);
        assert_eq!(check(&announced, &plain, false), strict, "{announced:?}");
        assert_eq!(
            check(&announced, &plain, true),
            loose.unwrap_or(strict),
            "{announced:?}"
        );
    }
}

/// IPv6 connections, where all 16 bytes count and 227 names no address that would do.
#[test]
fn checks_ipv6() {
    let addr = |last| Addr::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    let tuples = tuples(Family::Ipv6, [addr(1), addr(2), addr(2), addr(1)]);
    let eprt = |addr| announced(Kind::Eprt, Some((Family::Ipv6, addr)), 2000);

    let expected = check(&eprt(addr(1)), &tuples, false).unwrap();
    assert_eq!(
        (expected.src, expected.dst, expected.port),
        (addr(2), addr(1), 2000)
    );
    assert_eq!(
        check(&eprt(addr(3)), &tuples, false),
        Err(Refused::ForeignAddress)
    );
    assert!(check(&eprt(addr(3)), &tuples, true).unwrap().foreign);

    for kind in [Kind::Port, Kind::Pasv, Kind::Eprt] {
        let announced = announced(kind, Some((Family::Ipv4, CLIENT)), 2000);
        assert_eq!(check(&announced, &tuples, true), Err(Refused::Family));
    }
    let expected = check(&announced(Kind::Epsv, None, 2000), &tuples, false).unwrap();
    assert_eq!((expected.src, expected.dst), (addr(1), addr(2)));
}

/// Behind NAT the sender announces the address that it has, and is reached at the address it is
/// seen under.
#[test]
fn checks_nat() {
    let seen = Addr::v4([203, 0, 113, 7]);
    let inner = Addr::v4([172, 16, 0, 1]);
    let tuples = tuples(Family::Ipv4, [CLIENT, SERVER, inner, seen]);
    let announced = |kind, addr| announced(kind, Some((Family::Ipv4, addr)), 2000);

    let expected = check(&announced(Kind::Port, CLIENT), &tuples, false).unwrap();
    assert_eq!(
        (expected.src, expected.dst, expected.foreign),
        (inner, seen, false)
    );
    let expected = check(&announced(Kind::Pasv, inner), &tuples, false).unwrap();
    assert_eq!(
        (expected.src, expected.dst, expected.foreign),
        (CLIENT, SERVER, false)
    );

    for (kind, addr) in [(Kind::Port, seen), (Kind::Pasv, SERVER)] {
        assert_eq!(
            check(&announced(kind, addr), &tuples, false),
            Err(Refused::ForeignAddress)
        );
        assert_eq!(
            check(&announced(kind, addr), &tuples, true).unwrap().dst,
            addr
        );
    }
}
