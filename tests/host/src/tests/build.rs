// SPDX-License-Identifier: GPL-2.0

//! Packets made for tests, in two families and every protocol with a tracker.

use crate::{
    packet::{
        crc32c,
        fold,
        Bytes, //
    },
    pure::wire::{
        self,
        ipproto,
        Checksum,
        Family,
        Packet, //
    },
};

pub(super) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(super) const SERVER: [u8; 4] = [10, 0, 0, 2];
pub(super) const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const SERVER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// An IPv4 packet from the client to the server.
pub(super) fn ipv4(proto: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut pkt = vec![0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, proto, 0, 0];
    pkt.extend(CLIENT);
    pkt.extend(SERVER);
    pkt.extend(body);
    pkt
}

/// An IPv6 packet from the client to the server.
pub(super) fn ipv6(nexthdr: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let mut pkt = vec![0x60, 0, 0, 0, len[0], len[1], nexthdr, 255];
    pkt.extend(CLIENT6);
    pkt.extend(SERVER6);
    pkt.extend(body);
    pkt
}

/// A packet of either family from the client to the server.
pub(super) fn ip(family: Family, proto: u8, body: &[u8]) -> Vec<u8> {
    match family {
        Family::Ipv4 => ipv4(proto, body),
        Family::Ipv6 => ipv6(proto, body),
    }
}

/// A TCP segment from port 1000 to port 80, with options padded to whole words.
pub(super) fn tcp(seq: u32, ack: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = options.len().div_ceil(4);
    let mut seg = vec![3, 232, 0, 80];
    seg.extend(seq.to_be_bytes());
    seg.extend(ack.to_be_bytes());
    seg.extend([
        u8::try_from(5 + words).unwrap() << 4,
        flags,
        0x10,
        0,
        0,
        0,
        0,
        0,
    ]);
    seg.extend(options);
    seg.resize(20 + 4 * words, 0);
    seg.extend(payload);
    seg
}

/// A UDP datagram from port 1000 to port 53.
pub(super) fn udp(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let mut dgram = vec![3, 232, 0, 53, len[0], len[1], 0, 0];
    dgram.extend(payload);
    dgram
}

/// An ICMP or ICMPv6 message.
pub(super) fn icmp(kind: u8, code: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let mut msg = vec![kind, code, 0, 0, id[0], id[1], 0, 1];
    msg.extend(payload);
    msg
}

/// An SCTP packet from port 1000 to port 80 with a tag and chunks.
pub(super) fn sctp(tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut pkt = vec![3, 232, 0, 80];
    pkt.extend(tag.to_be_bytes());
    pkt.extend([0; 4]);
    pkt.extend(chunks.concat());
    pkt
}

/// An SCTP chunk.
pub(super) fn chunk(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + body.len()).unwrap().to_be_bytes();
    let mut chunk = vec![kind, flags, len[0], len[1]];
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// An SCTP INIT (kind 1) or INIT ACK (kind 2) chunk that asks for a tag.
pub(super) fn init(kind: u8, tag: u32) -> Vec<u8> {
    let mut body = tag.to_be_bytes().to_vec();
    body.resize(16, 1);
    chunk(kind, 0, &body)
}

/// Fills in the checksum of the transport header.
pub(super) fn seal(family: Family, mut pkt: Vec<u8>) -> Vec<u8> {
    let l4 = wire::l4(&Bytes(&pkt), 0, family).unwrap();
    let body = l4.offset as usize;

    if l4.proto == ipproto::SCTP {
        let crc = crc32c(pkt[body..].iter().copied()).to_le_bytes();
        pkt[body + 8..body + 12].copy_from_slice(&crc);
    } else {
        let at = body
            + match l4.proto {
                ipproto::TCP => 16,
                ipproto::UDP => 6,
                _ => 2,
            };
        let sum = match l4.proto {
            ipproto::ICMP => crate::packet::sum(&pkt[body..]),
            _ => Bytes(&pkt).pseudo_header(&l4, family) + crate::packet::sum(&pkt[body..]),
        };
        pkt[at..at + 2].copy_from_slice(&(!fold(sum)).to_be_bytes());
    }
    assert!(
        Bytes(&pkt).checksum_ok(Checksum::Internet, &l4, family),
        "sealed, and not right"
    );
    pkt
}

/// A packet in pieces, cut at some places: a read may cross any of them.
pub(super) struct Pieces(pub(super) Vec<Vec<u8>>);

impl Pieces {
    /// Cuts a packet at every place in `cuts` that is inside it.
    pub(super) fn cut(pkt: &[u8], cuts: &[usize]) -> Self {
        let mut places: Vec<_> = cuts.iter().map(|cut| cut % (pkt.len() + 1)).collect();
        places.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for to in places {
            pieces.push(pkt[from..to].to_vec());
            from = to;
        }
        pieces.push(pkt[from..].to_vec());
        Self(pieces)
    }
}

impl Packet for Pieces {
    fn len(&self) -> u32 {
        u32::try_from(self.0.iter().map(Vec::len).sum::<usize>()).unwrap()
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let bytes = self.0.iter().flatten().copied();
        let read: Vec<u8> = bytes.skip(offset as usize).take(N).collect();
        read.try_into().ok()
    }

    fn checksum_ok(&self, checksum: Checksum, l4: &wire::L4, family: Family) -> bool {
        Bytes(&self.0.concat()).checksum_ok(checksum, l4, family)
    }
}
