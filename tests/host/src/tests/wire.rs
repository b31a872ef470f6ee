// SPDX-License-Identifier: GPL-2.0

//! Headers: where the transport header is, what a segment says, and that nothing is read past the
//! end.

use super::build::{
    chunk,
    icmp,
    ip,
    ipv4,
    ipv6,
    sctp,
    seal,
    tcp,
    udp,
    Pieces, //
};
use crate::{
    fuzz,
    packet::Bytes,
    pure::{
        l4proto::icmp_error,
        reason::Reason,
        tuple::Tuple,
        wire::{
            self,
            ipproto,
            ipv4::Ipv4,
            ipv6::Ipv6,
            sctp::Sctp,
            tcp::{
                Kind,
                Options,
                Segment, //
            },
            Checksum,
            Family,
            Packet,
            L4, //
        },
    },
};
use proptest::prelude::*;

const TCP_BODY: usize = 20;

fn found(family: Family, pkt: &[u8]) -> Result<(u8, u32), Reason> {
    wire::l4(&Bytes(pkt), 0, family).map(|l4| (l4.proto, l4.offset))
}

/// An IPv6 extension header of `8 * (1 + more)` bytes.
fn extension(next: u8, more: u8) -> Vec<u8> {
    let mut hdr = vec![0; 8 * (1 + usize::from(more))];
    hdr[0] = next;
    hdr[1] = more;
    hdr
}

/// An IPv6 fragment header with an offset in bytes.
fn fragment(next: u8, offset: u16) -> Vec<u8> {
    let offset = offset.to_be_bytes();
    vec![next, 0, offset[0], offset[1] | 1, 0, 0, 0, 1]
}

/// An authentication header of 24 bytes, whose length is counted in words less two.
fn auth(next: u8) -> Vec<u8> {
    let mut hdr = vec![0; 24];
    hdr[0] = next;
    hdr[1] = 4;
    hdr
}

/// IPv4: options are stepped over, and each defect has its name.
#[test]
fn ipv4_headers() {
    let body = tcp(0, 0, 2, &[], b"");
    let good = ipv4(6, &body);
    let with = |at: usize, value: u8| {
        let mut pkt = good.clone();
        pkt[at] = value;
        pkt
    };
    let rows = [
        ("plain", good.clone(), Ok((6, 20))),
        ("options of four bytes", with(0, 0x46), Ok((6, 24))),
        ("header to the very end", with(0, 0x4a), Ok((6, 40))),
        (
            "header beyond the end",
            with(0, 0x4b),
            Err(Reason::IpHeaderLength),
        ),
        (
            "header of 16 bytes, as the reference",
            with(0, 0x44),
            Ok((6, 16)),
        ),
        (
            "header of no bytes, as the reference",
            with(0, 0x40),
            Err(Reason::IpHeaderLength),
        ),
        ("version 6, as the reference", with(0, 0x65), Ok((6, 20))),
        ("don't fragment", with(6, 0x40), Ok((6, 20))),
        ("first fragment", with(6, 0x20), Ok((6, 20))),
        ("second fragment", with(7, 1), Err(Reason::IpFragment)),
        (
            "fragment far behind",
            with(6, 0x10),
            Err(Reason::IpFragment),
        ),
        ("cut off", good[..19].to_vec(), Err(Reason::IpShort)),
        ("empty", vec![], Err(Reason::IpShort)),
    ];
    for (what, pkt, expected) in rows {
        assert_eq!(found(Family::Ipv4, &pkt), expected, "{what}");
    }
}

/// IPv6: extension headers are stepped over, each by its own length, up to twelve of them.
#[test]
fn ipv6_headers() {
    let body = udp(b"");
    let chain =
        |first: u8, parts: &[Vec<u8>]| ipv6(first, &[parts.concat(), body.clone()].concat());
    let many = |count: usize| {
        let mut parts = vec![extension(60, 0); count - 1];
        parts.push(extension(17, 0));
        chain(60, &parts)
    };
    let mut version = ipv6(17, &body);
    version[0] = 0x45;

    let rows = [
        ("plain", ipv6(17, &body), Ok((17, 40))),
        ("hop by hop", chain(0, &[extension(17, 0)]), Ok((17, 48))),
        (
            "long destination options",
            chain(60, &[extension(17, 3)]),
            Ok((17, 72)),
        ),
        ("routing", chain(43, &[extension(17, 1)]), Ok((17, 56))),
        ("authentication", chain(51, &[auth(17)]), Ok((17, 64))),
        (
            "first fragment",
            chain(44, &[fragment(17, 0)]),
            Ok((17, 48)),
        ),
        (
            "second fragment",
            chain(44, &[fragment(17, 8)]),
            Err(Reason::IpFragment),
        ),
        (
            "several",
            chain(
                0,
                &[
                    extension(43, 0),
                    extension(44, 1),
                    fragment(51, 0),
                    auth(17),
                ],
            ),
            Ok((17, 40 + 8 + 16 + 8 + 24)),
        ),
        (
            "no next header",
            ipv6(59, &[]),
            Err(Reason::Ipv6NoNextHeader),
        ),
        (
            "no next header behind one",
            chain(0, &[extension(59, 0)]),
            Err(Reason::Ipv6NoNextHeader),
        ),
        ("ESP is a transport", ipv6(50, &[]), Ok((50, 40))),
        (
            "length beyond the end, as the reference",
            chain(0, &[vec![17, 9, 0, 0]]),
            Ok((17, 120)),
        ),
        (
            "extension cut off",
            ipv6(60, &[17]),
            Err(Reason::Ipv6ExtensionShort),
        ),
        (
            "fragment cut off",
            ipv6(44, &[17, 0, 0]),
            Err(Reason::Ipv6ExtensionShort),
        ),
        ("twelve", many(12), Ok((17, 40 + 96))),
        ("thirteen", many(13), Err(Reason::Ipv6TooManyHeaders)),
        ("version 4, as the reference", version, Ok((17, 40))),
        (
            "cut off",
            ipv6(17, &[])[..39].to_vec(),
            Err(Reason::IpShort),
        ),
    ];
    for (what, pkt, expected) in rows {
        assert_eq!(found(Family::Ipv6, &pkt), expected, "{what}");
    }
}

/// One packet of every kind, with the number of bytes that its tuple needs.
fn samples() -> Vec<(&'static str, Family, Vec<u8>, usize)> {
    let inner = ipv4(17, &udp(b"abcd"));
    let inner6 = ipv6(17, &udp(b"abcd"));
    let pptp = [0x30, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34, 0, 0, 0, 0];
    let data = sctp(1, &[chunk(0, 3, &[0; 12])]);
    let behind = [
        extension(44, 0),
        fragment(51, 0),
        auth(6),
        tcp(1, 2, 16, &[], b""),
    ]
    .concat();

    let mut samples = vec![
        (
            "v4 icmp error",
            Family::Ipv4,
            ipv4(1, &icmp(3, 1, 0, &inner)),
            28,
        ),
        (
            "v6 icmp error",
            Family::Ipv6,
            ipv6(58, &icmp(1, 4, 0, &inner6)),
            48,
        ),
        (
            "v6 extensions",
            Family::Ipv6,
            ipv6(0, &behind),
            40 + 8 + 8 + 24 + 4,
        ),
    ];
    for (family, name, head) in [(Family::Ipv4, "v4", 20), (Family::Ipv6, "v6", 40)] {
        samples.extend([
            (
                name,
                family,
                ip(family, 6, &tcp(1, 2, 18, &[2, 4, 5, 180, 3, 3, 7], b"data")),
                head + 4,
            ),
            (name, family, ip(family, 17, &udp(b"query")), head + 4),
            (name, family, ip(family, 132, &data), head + 4),
            (
                name,
                family,
                ip(family, 1, &icmp(8, 0, 7, b"ping")),
                head + 8,
            ),
            (
                name,
                family,
                ip(family, 58, &icmp(128, 0, 7, b"ping")),
                head + 8,
            ),
            (name, family, ip(family, 47, &pptp), head),
            (name, family, ip(family, 50, &[9; 12]), head),
        ]);
    }
    samples
}

/// Everything that is read from a packet, in one value that can be compared.
fn read_all<P: Packet>(pkt: &P, family: Family) -> String {
    let l4 = match wire::l4(pkt, 0, family) {
        Ok(l4) => l4,
        Err(reason) => return format!("{reason:?}"),
    };
    format!(
        "{l4:?} {:?} {:?} {:?} {:?}",
        Tuple::from_packet(pkt, 0, family, &l4),
        icmp_error::parse(pkt, 0, family, &l4, true),
        Segment::read(pkt, &l4, family, true),
        Sctp::read(pkt, &l4, family, true),
    )
}

/// Cut at every byte, a packet has a tuple exactly as long as the bytes of the tuple are there.
#[test]
fn truncation_at_every_byte() {
    for (name, family, pkt, needed) in samples() {
        for len in 0..=pkt.len() {
            let part = Bytes(&pkt[..len]);
            let tuple =
                wire::l4(&part, 0, family).and_then(|l4| Tuple::from_packet(&part, 0, family, &l4));
            assert_eq!(
                tuple.is_ok(),
                len >= needed,
                "{name}: {len} of {} bytes: {tuple:?}",
                pkt.len()
            );
            fuzz::packet(&[&[2], &pkt[..len]].concat());
        }
    }
}

/// A TCP segment keeps its payload length, and its SYN and FIN count.
#[test]
fn segments_say_where_they_end() {
    let rows = [
        (0x02, 0, 1001, Kind::Syn),
        (0x12, 0, 1001, Kind::SynAck),
        (0x10, 0, 1000, Kind::Ack),
        (0x18, 5, 1005, Kind::Ack),
        (0x11, 5, 1006, Kind::Fin),
        (0x04, 0, 1000, Kind::Rst),
        (0x14, 0, 1000, Kind::Rst),
        (0x02, 9, 1010, Kind::Syn),
    ];
    for family in [Family::Ipv4, Family::Ipv6] {
        for (flags, len, end, kind) in rows {
            let pkt = ip(family, 6, &tcp(1000, 7, flags, &[1, 1, 1], &vec![0; len]));
            let l4 = wire::l4(&Bytes(&pkt), 0, family).unwrap();
            let seg = Segment::read(&Bytes(&pkt), &l4, family, false).unwrap();
            assert_eq!((seg.end, seg.kind), (end, kind), "flags {flags:#x}");
            assert_eq!((seg.seq, seg.ack, seg.window), (1000, 7, 4096));
        }
    }
}

/// Of the 256 combinations of flags, only what the kernel's table lets pass passes.
#[test]
fn flag_combinations() {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    const URG: u8 = 32;
    let good = [
        SYN,
        SYN | URG,
        SYN | ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN | ACK | URG,
        ACK,
        ACK | URG,
    ];
    for flags in 0..=u8::MAX {
        let pkt = ipv4(6, &tcp(0, 0, flags, &[], b""));
        let l4 = L4 {
            proto: 6,
            offset: 20,
        };
        let seg = Segment::read(&Bytes(&pkt), &l4, Family::Ipv4, false);
        let always = 0x08 | 0x40 | 0x80;
        if good.contains(&(flags & !always)) {
            assert!(seg.is_ok(), "flags {flags:#x}");
        } else {
            assert_eq!(seg, Err(Reason::TcpFlags), "flags {flags:#x}");
        }
    }
}

/// A header length below 20 bytes or beyond the packet is refused.
#[test]
fn tcp_header_lengths() {
    let body = tcp(0, 0, 2, &[], b"12345678");
    for words in 0..16u8 {
        let mut pkt = ipv4(6, &body);
        pkt[20 + 12] = words << 4;
        let l4 = L4 {
            proto: 6,
            offset: 20,
        };
        let seg = Segment::read(&Bytes(&pkt), &l4, Family::Ipv4, false);
        match words {
            5..=7 => assert_eq!(seg.unwrap().end, 1 + 8 - 4 * (u32::from(words) - 5)),
            _ => assert_eq!(seg, Err(Reason::TcpHeaderLength), "{words} words"),
        }
    }
    for len in 0..TCP_BODY {
        let pkt = ipv4(6, &body[..len]);
        let l4 = L4 {
            proto: 6,
            offset: 20,
        };
        let seg = Segment::read(&Bytes(&pkt), &l4, Family::Ipv4, false);
        assert_eq!(seg, Err(Reason::TcpShort), "{len} bytes");
    }
}

/// Options of most SYNs are found at one look as they are one by one, and so is what differs in
/// one byte.
#[test]
fn usual_options() {
    let rows: [&[u8]; 2] = [
        &[
            2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
        ],
        &[2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2],
    ];
    for row in rows {
        for at in 0..row.len() {
            for value in 0..=u8::MAX {
                let mut bytes = row.to_vec();
                bytes[at] = value;
                let found = Options::read(&bytes, 0);
                assert_eq!(found, Options::parse(&bytes, 0), "{bytes:?}");
                if bytes == row {
                    assert!(found.sack_permitted && found.scale.is_some());
                }
            }
        }
    }
}

fn options(bytes: &[u8]) -> Options {
    let pkt = ipv4(6, &tcp(0, 1000, 0x10, bytes, b""));
    let l4 = L4 {
        proto: 6,
        offset: 20,
    };
    Segment::read(&Bytes(&pkt), &l4, Family::Ipv4, false)
        .unwrap()
        .options
}

/// A list of SACK blocks, from their left and right edges.
fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![5, u8::try_from(2 + 8 * blocks.len()).unwrap()];
    for (left, right) in blocks {
        bytes.extend(left.to_be_bytes());
        bytes.extend(right.to_be_bytes());
    }
    bytes
}

/// The options that matter are found wherever they stand, and a malformed option ends the list.
#[test]
fn tcp_options() {
    let none = Options {
        present: true,
        ..Options::default()
    };
    let scale = |scale| Options {
        scale: Some(scale),
        ..none
    };
    let sacked = |sack| Options {
        sack: Some(sack),
        ..none
    };
    let rows: &[(&str, Vec<u8>, Options)] = &[
        ("none", vec![], Options::default()),
        ("padding", vec![1, 1, 1, 1], none),
        ("timestamp", vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], none),
        ("scale", vec![1, 3, 3, 7], scale(7)),
        ("scale too high", vec![1, 3, 3, 15], scale(14)),
        ("scale behind the end", vec![0, 3, 3, 7], none),
        ("scale with a wrong length", vec![3, 4, 7, 7], none),
        ("scale twice", vec![3, 3, 7, 1, 3, 3, 9, 1], scale(9)),
        (
            "SACK permitted",
            vec![4, 2],
            Options {
                sack_permitted: true,
                ..none
            },
        ),
        (
            "what Linux sends",
            vec![
                2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
            ],
            Options {
                sack_permitted: true,
                ..scale(7)
            },
        ),
        ("silly length", vec![9, 1, 3, 3, 7], none),
        ("length zero", vec![9, 0, 3, 3, 7], none),
        ("cut off", vec![3, 3, 7, 8, 10, 0, 0, 0], scale(7)),
        ("only a kind", vec![1, 1, 1, 3], none),
        ("SACK", sack(&[(1100, 1200)]), sacked(1200)),
        (
            "SACK, highest last",
            sack(&[(1100, 1200), (1300, 1400)]),
            sacked(1400),
        ),
        (
            "SACK, highest first",
            sack(&[(1300, 1400), (1100, 1200)]),
            sacked(1400),
        ),
        ("SACK below the ACK", sack(&[(500, 600)]), sacked(1000)),
        (
            "SACK round the end",
            sack(&[(0xffff_fff0, 2000)]),
            sacked(2000),
        ),
        ("SACK without blocks", vec![5, 2, 3, 3, 7], scale(7)),
        ("SACK of half a block", vec![5, 6, 0, 0, 9, 9], none),
        (
            "only the first SACK",
            [sack(&[(1100, 1200)]), sack(&[(1300, 1400)])].concat(),
            sacked(1200),
        ),
    ];
    for (what, bytes, expected) in rows {
        assert_eq!(options(bytes), *expected, "{what}");
    }
}

/// Chunks that may not stand together, or say that they are empty, make a packet invalid.
#[test]
fn sctp_chunks() {
    const INIT: u8 = 1;
    const ABORT: u8 = 6;
    const COOKIE_ECHO: u8 = 10;
    const COOKIE_ACK: u8 = 11;
    const COMPLETE: u8 = 14;
    let one = |kind| chunk(kind, 0, b"");
    let data = || chunk(0, 3, b"payload");

    type Row = (&'static str, Vec<Vec<u8>>, Option<Reason>);
    let rows: &[Row] = &[
        ("none", vec![], Some(Reason::SctpShort)),
        ("data", vec![data(), data(), data()], None),
        ("INIT alone", vec![one(INIT)], None),
        (
            "INIT and data",
            vec![one(INIT), data()],
            Some(Reason::SctpChunk),
        ),
        (
            "data and INIT",
            vec![data(), one(INIT)],
            Some(Reason::SctpChunk),
        ),
        ("COOKIE ECHO and data", vec![one(COOKIE_ECHO), data()], None),
        (
            "data and COOKIE ECHO",
            vec![data(), one(COOKIE_ECHO)],
            Some(Reason::SctpChunk),
        ),
        (
            "COOKIE ACK and data",
            vec![one(COOKIE_ACK), data(), data()],
            None,
        ),
        (
            "data and COOKIE ACK",
            vec![data(), one(COOKIE_ACK)],
            Some(Reason::SctpChunk),
        ),
        ("data and ABORT", vec![data(), one(ABORT)], None),
        (
            "SHUTDOWN COMPLETE and ABORT",
            vec![one(COMPLETE), one(ABORT)],
            Some(Reason::SctpChunk),
        ),
        ("empty", vec![vec![0, 0, 0, 0]], Some(Reason::SctpChunk)),
        (
            "data and empty",
            vec![data(), vec![0, 0, 0, 0]],
            Some(Reason::SctpChunk),
        ),
        ("data and a stump", vec![data(), vec![0, 0]], None),
        ("longer than the packet", vec![vec![0, 0, 0xff, 0xff]], None),
    ];
    for (what, chunks, reason) in rows {
        let pkt = seal(Family::Ipv4, ipv4(132, &sctp(1, chunks)));
        let l4 = L4 {
            proto: 132,
            offset: 20,
        };
        let found = Sctp::read(&Bytes(&pkt), &l4, Family::Ipv4, true);
        assert_eq!(found.err(), *reason, "{what}");
    }
}

/// A right checksum passes; with any bit of the packet turned, it does not.
#[test]
fn checksums_cover_every_bit() {
    let data = sctp(1, &[chunk(0, 3, b"some payload")]);
    for family in [Family::Ipv4, Family::Ipv6] {
        let icmp_proto = match family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 58,
        };
        let rows = [
            (6, tcp(1, 2, 16, &[], b"odd")),
            (17, udp(b"odd")),
            (icmp_proto, icmp(8, 0, 7, b"odd")),
            (132, data.clone()),
        ];
        for (proto, body) in rows {
            let pkt = seal(family, ip(family, proto, &body));
            let l4 = wire::l4(&Bytes(&pkt), 0, family).unwrap();
            for bit in 8 * l4.offset as usize..8 * pkt.len() {
                let mut bad = pkt.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let ok = Bytes(&bad).checksum_ok(Checksum::Internet, &l4, family);
                assert!(!ok, "{family:?} protocol {proto}, bit {bit}");
            }
        }
    }
}

/// The published check value of CRC32c, so that the tests do not only agree with themselves.
#[test]
fn crc32c_is_castagnolis() {
    assert_eq!(
        crate::packet::crc32c(b"123456789".iter().copied()),
        0xe306_9283
    );
    assert_eq!(ipproto::SCTP, 132);
}

proptest! {
    /// Arbitrary bytes are read without a panic, and every claim about what was read holds.
    #[test]
    fn any_bytes_can_be_read(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::packet(&data);
    }

    /// The same for bytes that begin like a packet, with some of them changed.
    #[test]
    fn any_change_to_a_packet_can_be_read(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        len in any::<prop::sample::Index>(),
    ) {
        let samples = samples();
        let (_, family, pkt, _) = which.get(&samples);
        let mut pkt = pkt.clone();
        for (at, value) in changes {
            let at = at.index(pkt.len());
            pkt[at] = value;
        }
        pkt.truncate(1 + len.index(pkt.len()));
        let choice = match family {
            Family::Ipv4 => 0,
            Family::Ipv6 => 1,
        };
        fuzz::packet(&[&[choice], &pkt[..]].concat());
    }

    /// It does not matter where a buffer is split.
    #[test]
    fn pieces_read_like_the_whole(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let samples = samples();
        let (_, family, pkt, _) = which.get(&samples);
        let whole = read_all(&Bytes(pkt), *family);
        prop_assert_eq!(read_all(&Pieces::cut(pkt, &cuts), *family), whole);
    }
}

/// The first, the last and any fragment between is a fragment; a packet that may not be cut is
/// none.
#[test]
fn fragments_of_ipv4() {
    for (frag, expected) in [
        (0u16, false),
        (0x4000, false),
        (0x8000, false),
        (0x2000, true),
        (0x0001, true),
        (0x1000, true),
        (0x2001, true),
    ] {
        let mut pkt = ipv4(17, b"");
        pkt[6..8].copy_from_slice(&frag.to_be_bytes());
        let header = Ipv4::read(&Bytes(&pkt), 0).unwrap();
        assert_eq!(header.is_fragment(), expected, "{frag:#x}");
    }
}

/// Link-local are fe80::/10 and the groups of that scope.
#[test]
fn link_local_sources() {
    for (start, expected) in [
        (0xfe80u16, true),
        (0xfebf, true),
        (0xfec0, false),
        (0xfe40, false),
        (0xfe00, false),
        (0xff02, true),
        (0xff12, true),
        (0xfff2, true),
        (0xff01, false),
        (0xff03, false),
        (0xff05, false),
        (0xfe02, false),
        (0x2001, false),
        (0, false),
    ] {
        let mut pkt = ipv6(17, b"");
        pkt[8..10].copy_from_slice(&start.to_be_bytes());
        let header = Ipv6::read(&Bytes(&pkt), 0).unwrap();
        assert_eq!(header.saddr_is_link_local(), expected, "{start:x}::");
    }
}

/// A segment is taken with a right checksum, and with a wrong one only where it is not checked.
#[test]
fn checksums_of_segments() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let right = seal(family, ip(family, 6, &tcp(1, 2, 0x10, &[], b"x")));
        let l4 = wire::l4(&Bytes(&right), 0, family).unwrap();
        let mut wrong = right.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let read = |pkt: &[u8], verify| {
            let seg = Segment::read(&Bytes(pkt), &l4, family, verify);
            seg.map(|seg| (seg.seq, seg.end, seg.ack))
        };
        assert_eq!(read(&right, true), Ok((1, 2, 2)));
        assert_eq!(read(&wrong, false), Ok((1, 2, 2)));
        assert_eq!(read(&wrong, true), Err(Reason::TcpChecksum));
    }
}
