// SPDX-License-Identifier: GPL-2.0

//! Headers in socket buffers: cut off at every byte, and in pieces of every kind that end at every
//! byte.

use crate::{
    pure::{
        reason::Reason,
        tuple::{
            Direction::{
                self,
                Original, //
            },
            Tuple, //
        },
        wire::{
            self,
            sctp::{
                Kinds,
                Sctp,
                Tag, //
            },
            tcp::{
                Options,
                Segment, //
            },
            Family, //
        },
    },
    skbs::{
        self,
        icmp,
        ip,
        Buffer,
        Bytes,
        InBuffer,
        Shape, //
    },
    sys::skb::Skb, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// All that is read from a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
    /// A TCP segment.
    Tcp(Tuple, Segment),
    /// The tag and the kinds of chunks of an SCTP packet.
    Sctp(Tuple, Tag, Kinds),
    /// Something else.
    Other(Tuple),
}

fn read(skb: &Skb, family: Family) -> Result<Read, Reason> {
    let pkt = InBuffer(skb);
    let l4 = wire::l4(&pkt, 0, family)?;
    let tuple = Tuple::from_packet(&pkt, 0, family, &l4)?;
    Ok(match l4.proto {
        wire::ipproto::TCP => Read::Tcp(tuple, Segment::read(&pkt, &l4, family, true)?),
        wire::ipproto::SCTP => {
            let sctp = Sctp::read(&pkt, &l4, family, true)?;
            Read::Sctp(tuple, sctp.tag, sctp.kinds)
        }
        _ => Read::Other(tuple),
    })
}

fn read_as(bytes: &Bytes, shape: Shape, family: Family) -> Result<Result<Read, Reason>> {
    Ok(read(Buffer::shaped(bytes.get(), shape)?.skb(), family))
}

/// A TCP segment with a timestamp, selective acknowledgements and a window scale.
fn tcp_with_options() -> Bytes {
    let options = [
        3, 3, 7, 1, // window scale
        4, 2, 1, 1, // selective acknowledgements are understood
        8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, // timestamp
        5, 10, 0, 0, 4, 0, 0, 0, 8, 0, 1, 1, // one block
    ];
    // The header has 5 words, the options 8.
    skbs::tcp(Original, 1000, 0x10, 7, 9, b"")
        .patched(12, &[(5 + 8) << 4])
        .with(&options)
        .with(b"data")
}

/// An SCTP packet with three chunks: DATA, SACK, HEARTBEAT.
fn sctp() -> Bytes {
    Bytes::new()
        .with(&[3, 232, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0])
        .with(&[
            0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'x', 0, 0, 0,
        ])
        .with(&[3, 0, 0, 8, 0, 0, 0, 1])
        .with(&[4, 0, 0, 6, 0, 0, 0, 0])
}

/// Packets with every header that is read, and how many of their bytes it takes to read them.
fn packets(family: Family) -> [(Bytes, usize); 8] {
    let pptp = [0x30, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34];
    let head = match family {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    };
    let packet = |proto, body: Bytes, needed: usize| {
        (
            ip(family, Direction::Original, proto, body.get()),
            head + needed,
        )
    };
    let udp = skbs::udp(Original, 1000, b"query");
    [
        packet(6, skbs::tcp(Original, 1000, 0x02, 1, 0, b""), 20),
        packet(6, tcp_with_options(), 20 + 32),
        packet(17, udp, 4),
        packet(132, sctp(), 12 + 4),
        packet(1, icmp(8, 0, 1, b"ping"), 8),
        packet(58, icmp(128, 0, 1, b"ping"), 8),
        packet(47, Bytes::new().with(&pptp), 0),
        packet(50, Bytes::new().with(b"payload"), 0),
    ]
}

/// An IPv6 extension header of `8 * (1 + more)` bytes.
fn extension(next: u8, more: u8) -> Bytes {
    let mut bytes = Bytes::new();
    for _ in 0..=more {
        bytes = bytes.with(&[0; 8]);
    }
    bytes.patched(0, &[next, more])
}

/// An IPv6 packet with a chain of extension headers in front of a UDP datagram.
fn chain(first: u8, parts: &[Bytes]) -> Bytes {
    let mut body = Bytes::new();
    for part in parts {
        body = body.with(part.get());
    }
    let body = body.with(skbs::udp(Original, 1000, b"").get());
    ip(Family::Ipv6, Direction::Original, first, body.get())
}

/// A chain of so many headers.
fn long_chain(count: usize) -> Bytes {
    let mut parts = [extension(60, 0); 13];
    if let Some(last) = parts.get_mut(count.wrapping_sub(1)) {
        *last = extension(17, 0);
    }
    chain(60, parts.get(..count).unwrap_or(&[]))
}

/// A fragment header with the lower byte of its offset.
fn fragment(offset: u8) -> Bytes {
    Bytes::new().with(&[17, 0, 0, offset, 0, 0, 0, 1])
}

/// A packet's name, the packet, and the result: protocol and offset of the transport header.
/// Packets are made one by one: all of them at once are more than a stack holds.
type Chain = (&'static str, fn() -> Bytes, Result<(u8, u32), Reason>);

const CHAINS: [Chain; 16] = [
    ("none", || chain(17, &[]), Ok((17, 40))),
    ("hop by hop", || chain(0, &[extension(17, 0)]), Ok((17, 48))),
    (
        "long options",
        || chain(60, &[extension(17, 3)]),
        Ok((17, 72)),
    ),
    ("routing", || chain(43, &[extension(17, 1)]), Ok((17, 56))),
    (
        "authentication",
        // Its length is counted in words less two.
        || chain(51, &[Bytes::new().with(&[17, 4]).with(&[0; 22])]),
        Ok((17, 64)),
    ),
    ("first fragment", || chain(44, &[fragment(1)]), Ok((17, 48))),
    (
        "second fragment",
        || chain(44, &[fragment(8)]),
        Err(Reason::IpFragment),
    ),
    (
        "two",
        || chain(0, &[extension(43, 0), extension(17, 2)]),
        Ok((17, 72)),
    ),
    ("encrypted", || chain(0, &[extension(50, 0)]), Ok((50, 48))),
    ("twelve", || long_chain(12), Ok((17, 136))),
    (
        "thirteen",
        || long_chain(13),
        Err(Reason::Ipv6TooManyHeaders),
    ),
    (
        "nothing behind",
        || chain(59, &[]),
        Err(Reason::Ipv6NoNextHeader),
    ),
    (
        "nothing behind one",
        || chain(0, &[extension(59, 0)]),
        Err(Reason::Ipv6NoNextHeader),
    ),
    (
        "beyond the end",
        || chain(0, &[Bytes::new().with(&[17, 255])]),
        Ok((17, 2088)),
    ),
    (
        "without a length",
        || chain(0, &[]).cut(41),
        Err(Reason::Ipv6ExtensionShort),
    ),
    (
        "version 4",
        || chain(17, &[]).patched(0, &[0x45]),
        Ok((17, 40)),
    ),
];

#[kunit_tests(rust_ct_wire)]
mod tests {
    use super::*;

    /// A read gives the bytes that are there, in whatever pieces, and nothing beyond the end.
    #[test]
    fn reads_cross_pieces() -> Result {
        let mut bytes = Bytes::new();
        for n in 0..64 {
            bytes = bytes.with(&[n]);
        }
        for head in 0..=64 {
            let shapes = [
                Shape::Linear,
                Shape::Page(head),
                Shape::List(head),
                Shape::Mixed(head, 3, 5),
            ];
            for shape in shapes {
                let buffer = Buffer::shaped(bytes.get(), shape)?;
                check_eq!(buffer.skb().len(), 64, "{:?}", shape);
                for offset in 0..=66u32 {
                    let expected = bytes
                        .get()
                        .get(offset as usize..)
                        .and_then(|b| b.first_chunk());
                    let found = buffer.skb().read::<8>(offset);
                    check_eq!(found.as_ref(), expected, "{:?} at {}", shape, offset);
                }
                for offset in [u32::MAX, u32::MAX - 7, u32::MAX - 8, 1 << 31, (1 << 31) - 1] {
                    check_eq!(
                        buffer.skb().read::<8>(offset),
                        None,
                        "{:?} at {}",
                        shape,
                        offset
                    );
                }
            }
        }
        Ok(())
    }

    /// A packet that is cut off is read if the bytes that are needed are there, and refused
    /// otherwise.
    #[test]
    fn cut_off_at_every_byte() -> Result {
        for family in FAMILIES {
            for (row, (packet, needed)) in packets(family).iter().enumerate() {
                for len in 0..=packet.len() {
                    let found = read_as(&packet.cut(len), Shape::Linear, family)?;
                    check_eq!(
                        found.is_ok(),
                        len >= *needed,
                        "row {} of {:?}, {} bytes",
                        row,
                        family,
                        len
                    );
                    let cut = read_as(&packet.cut(len), Shape::Page(len / 2), family)?;
                    check_eq!(cut, found, "row {} of {:?}, {} bytes", row, family, len);
                }
            }
        }
        Ok(())
    }

    /// Where a packet is split makes no difference.
    #[test]
    fn split_at_every_byte() -> Result {
        for family in FAMILIES {
            for (row, (packet, _)) in packets(family).iter().enumerate() {
                let whole = read_as(packet, Shape::Linear, family)?;
                check!(whole.is_ok(), "row {} of {:?}", row, family);
                for at in 0..=packet.len() {
                    let shapes = [
                        Shape::Page(at),
                        Shape::List(at),
                        Shape::Mixed(at, 1, 1),
                        Shape::Mixed(0, at, 7),
                    ];
                    for shape in shapes {
                        let found = read_as(packet, shape, family)?;
                        check_eq!(found, whole, "row {} of {:?}, {:?}", row, family, shape);
                    }
                }
            }
        }
        Ok(())
    }

    /// The options of a segment are what they say.
    #[test]
    fn options_are_read() -> Result {
        let packet = ip(
            Family::Ipv4,
            Direction::Original,
            6,
            tcp_with_options().get(),
        );
        let Ok(Read::Tcp(_, segment)) = read_as(&packet, Shape::Page(33), Family::Ipv4)? else {
            return Err(EINVAL);
        };
        let expected = Options {
            present: true,
            sack_permitted: true,
            scale: Some(7),
            sack: Some(0x800),
        };
        check_eq!(segment.options, expected);
        check_eq!(
            (segment.seq, segment.end, segment.ack, segment.window),
            (7, 11, 9, 4096)
        );
        Ok(())
    }

    /// IPv6 extension headers are stepped over, each by its own length, up to twelve of them, in
    /// whatever pieces they are.
    #[test]
    fn extension_chains() -> Result {
        for (what, packet, expected) in CHAINS {
            let packet = packet();
            for at in 0..=packet.len() {
                for shape in [Shape::Linear, Shape::Page(at), Shape::List(at)] {
                    let buffer = Buffer::shaped(packet.get(), shape)?;
                    let found = wire::l4(&InBuffer(buffer.skb()), 0, Family::Ipv6);
                    let found = found.map(|l4| (l4.proto, l4.offset));
                    check_eq!(found, expected, "{}, {:?}", what, shape);
                }
            }
        }
        Ok(())
    }

    /// IPv4 options are stepped over, and each defect has its name.
    #[test]
    fn ipv4_headers() -> Result {
        let good = ip(
            Family::Ipv4,
            Original,
            17,
            skbs::udp(Original, 1, &[0; 12]).get(),
        );
        let rows = [
            ("plain", good, Ok((17, 20))),
            ("options", good.patched(0, &[0x46]), Ok((17, 24))),
            ("to the very end", good.patched(0, &[0x4a]), Ok((17, 40))),
            (
                "beyond the end",
                good.patched(0, &[0x4b]),
                Err(Reason::IpHeaderLength),
            ),
            ("16 bytes", good.patched(0, &[0x44]), Ok((17, 16))),
            ("version 6", good.patched(0, &[0x65]), Ok((17, 20))),
            ("don't fragment", good.patched(6, &[0x40, 0]), Ok((17, 20))),
            ("first fragment", good.patched(6, &[0x20, 0]), Ok((17, 20))),
            (
                "second fragment",
                good.patched(6, &[0, 1]),
                Err(Reason::IpFragment),
            ),
            ("cut off", good.cut(19), Err(Reason::IpShort)),
        ];
        for (what, packet, expected) in rows {
            for at in 0..=packet.len() {
                let buffer = Buffer::shaped(packet.get(), Shape::Mixed(at, 2, 2))?;
                let found = wire::l4(&InBuffer(buffer.skb()), 0, Family::Ipv4);
                check_eq!(
                    found.map(|l4| (l4.proto, l4.offset)),
                    expected,
                    "{} at {}",
                    what,
                    at
                );
            }
        }
        Ok(())
    }
}
