// SPDX-License-Identifier: GPL-2.0

//! IP packets: how they are built, cut into fragments and taken apart.

use crate::checksum::{
    self,
    proto, //
};
use std::{
    fmt::{
        Display,
        Formatter,
        Result as FmtResult, //
    },
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    },
};

/// `NFPROTO_IPV4`.
pub const IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
pub const IPV6: u8 = 10;

/// Length of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Length of the fixed IPv6 header.
pub const IPV6_LEN: usize = 40;

/// An IPv4 or IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addr {
    /// Of IPv4.
    V4([u8; 4]),
    /// Of IPv6.
    V6([u8; 16]),
}

impl Addr {
    /// The bytes in network order.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }

    /// The address as /proc/net/nf_conntrack shows it.
    pub fn listed(&self) -> String {
        match self {
            Self::V4(_) => self.to_string(),
            Self::V6(bytes) => {
                let words = bytes.chunks(2).map(|w| format!("{:02x}{:02x}", w[0], w[1]));
                words.collect::<Vec<_>>().join(":")
            }
        }
    }
}

impl Display for Addr {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match *self {
            Self::V4(bytes) => Ipv4Addr::from(bytes).fmt(f),
            Self::V6(bytes) => Ipv6Addr::from(bytes).fmt(f),
        }
    }
}

/// An extension header of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Which extension header.
    pub kind: u8,
    /// What follows the byte that names the next header.
    pub body: Vec<u8>,
}

/// The header of an IP packet that is built.
#[derive(Clone, Debug)]
pub struct Ip {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// Identification, of IPv4.
    pub id: u16,
    /// Options of IPv4, in whole words.
    pub options: Vec<u8>,
    /// Extension headers of IPv6.
    pub extensions: Vec<Extension>,
}

impl Ip {
    /// A plain header.
    pub fn new(src: Addr, dst: Addr) -> Self {
        Self {
            src,
            dst,
            hop_limit: 64,
            id: 0,
            options: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// The packet with this header and this body.
    pub fn packet(&self, proto: u8, body: &[u8]) -> Vec<u8> {
        match self.src {
            Addr::V4(_) => self.packet_v4(proto, body),
            Addr::V6(_) => self.packet_v6(proto, body),
        }
    }

    fn packet_v4(&self, proto: u8, body: &[u8]) -> Vec<u8> {
        let header_len = IPV4_LEN + self.options.len();
        let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
        packet.extend(((header_len + body.len()) as u16).to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend([0, 0, self.hop_limit, proto, 0, 0]);
        packet.extend(self.src.bytes());
        packet.extend(self.dst.bytes());
        packet.extend(&self.options);
        seal_v4(&mut packet);
        packet.extend(body);
        packet
    }

    fn packet_v6(&self, proto: u8, body: &[u8]) -> Vec<u8> {
        let kinds = self.extensions.iter().map(|extension| extension.kind);
        let mut nexts = kinds.chain([proto]);
        let first = nexts.next().unwrap_or(proto);

        let mut behind = Vec::new();
        for (extension, next) in self.extensions.iter().zip(nexts) {
            behind.push(next);
            behind.extend(&extension.body);
        }
        behind.extend(body);

        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((behind.len() as u16).to_be_bytes());
        packet.extend([first, self.hop_limit]);
        packet.extend(self.src.bytes());
        packet.extend(self.dst.bytes());
        packet.extend(behind);
        packet
    }
}

/// Writes the length that a packet now has into its header.
pub fn set_length(packet: &mut [u8]) {
    let len = packet.len();
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let header_len = usize::from(packet[0] & 0xf) * 4;
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            seal_v4(&mut packet[..header_len]);
        }
        _ => packet[4..6].copy_from_slice(&((len - IPV6_LEN) as u16).to_be_bytes()),
    }
}

/// Writes addresses, of the version that it has, into a header that nothing follows.
pub fn set_addresses(header: &mut [u8], src: Addr, dst: Addr) {
    match (src, dst) {
        (Addr::V4(src), Addr::V4(dst)) => {
            header[12..16].copy_from_slice(&src);
            header[16..20].copy_from_slice(&dst);
            seal_v4(header);
        }
        (Addr::V6(src), Addr::V6(dst)) => {
            header[8..24].copy_from_slice(&src);
            header[24..40].copy_from_slice(&dst);
        }
        _ => {}
    }
}

/// Writes the checksum of an IPv4 header that nothing follows.
fn seal_v4(header: &mut [u8]) {
    header[10..12].fill(0);
    let value = checksum::checksum(checksum::sum(header));
    header[10..12].copy_from_slice(&value.to_be_bytes());
}

/// Cuts a packet into pieces that begin at these offsets of what follows the header, in ascending
/// order and units of eight bytes; the first piece begins at zero by itself.
pub fn fragments(packet: &[u8], cuts: &[u16], id: u32) -> Vec<Vec<u8>> {
    let v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let header_len = match v4 {
        true => usize::from(packet[0] & 0xf) * 4,
        // A hop-by-hop header stays in front of the fragment header.
        false if packet[6] == proto::HOP_BY_HOP => IPV6_LEN + (usize::from(packet[41]) + 1) * 8,
        false => IPV6_LEN,
    };
    let (header, body) = packet.split_at(header_len.min(packet.len()));

    let mut starts = vec![0];
    let inside = cuts.iter().map(|&cut| usize::from(cut) * 8);
    starts.extend(inside.filter(|&cut| 0 < cut && cut < body.len()));
    let ends = starts.iter().skip(1).copied().chain([body.len()]);
    let pieces = starts.iter().copied().zip(ends);
    pieces
        .map(|(start, end)| {
            let more = end < body.len();
            let piece = &body[start..end];
            match v4 {
                true => fragment_v4(header, piece, start, more, id),
                false => fragment_v6(header, piece, start, more, id),
            }
        })
        .collect()
}

fn fragment_v4(header: &[u8], piece: &[u8], start: usize, more: bool, id: u32) -> Vec<u8> {
    let mut packet = header.to_vec();
    let len = (header.len() + piece.len()) as u16;
    let offset = (start / 8) as u16 | (u16::from(more) << 13);
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[4..6].copy_from_slice(&(id as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&offset.to_be_bytes());
    seal_v4(&mut packet);
    packet.extend(piece);
    packet
}

fn fragment_v6(header: &[u8], piece: &[u8], start: usize, more: bool, id: u32) -> Vec<u8> {
    let mut packet = header.to_vec();
    let named_at = if header.len() > IPV6_LEN { IPV6_LEN } else { 6 };
    let next = packet[named_at];
    packet[named_at] = proto::FRAGMENT;
    packet.extend([next, 0]);
    packet.extend((start as u16 | u16::from(more)).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(piece);
    set_length(&mut packet);
    packet
}

/// Why the IP layer would not let a packet through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Neither IPv4 nor IPv6.
    Version,
    /// The header is not whole, or says so.
    Header,
    /// The header says more than there is.
    Length,
}

/// How long a packet says that it is, if the IP layer lets it through.
pub fn length(bytes: &[u8]) -> Result<usize, Refusal> {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 2).ok_or(Refusal::Header)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let len = match bytes.first().map(|first| first >> 4) {
        Some(4) => {
            let header_len = usize::from(bytes[0] & 0xf) * 4;
            let len = word(2)?;
            let header = bytes.get(..header_len).ok_or(Refusal::Header)?;
            if header_len < IPV4_LEN || len < header_len {
                return Err(Refusal::Header);
            }
            if checksum::checksum(checksum::sum(header)) != 0 {
                return Err(Refusal::Header);
            }
            len
        }
        Some(6) if bytes.len() < IPV6_LEN => return Err(Refusal::Header),
        Some(6) => word(4)? + IPV6_LEN,
        _ => return Err(Refusal::Version),
    };
    if len > bytes.len() {
        return Err(Refusal::Length);
    }
    Ok(len)
}

/// A packet taken apart.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// The kinds of the extension headers of IPv6 that were walked.
    pub extensions: Vec<u8>,
    /// The protocol behind them.
    pub proto: u8,
    /// Where the transport header begins.
    pub offset: usize,
    /// The transport header and what follows.
    pub body: &'a [u8],
    /// The offset in bytes, and whether more follow, of a fragment.
    pub fragment: Option<(usize, bool)>,
}

impl<'a> View<'a> {
    /// Takes a packet apart, if its header is there; a packet in an ICMP error may be cut.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::of_v4(bytes),
            6 => Self::of_v6(bytes),
            _ => None,
        }
    }

    fn of_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..IPV4_LEN)?;
        let offset = usize::from(header[0] & 0xf) * 4;
        let frag = u16::from_be_bytes([header[6], header[7]]);
        let fragment =
            (frag & 0x3fff != 0).then_some((usize::from(frag & 0x1fff) * 8, frag & 0x2000 != 0));
        Some(Self {
            src: Addr::V4(*header[12..].first_chunk()?),
            dst: Addr::V4(*header[16..].first_chunk()?),
            extensions: Vec::new(),
            proto: header[9],
            offset,
            body: bytes.get(offset..).unwrap_or_default(),
            fragment,
        })
    }

    fn of_v6(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..IPV6_LEN)?;
        let mut view = Self {
            src: Addr::V6(*header[8..].first_chunk()?),
            dst: Addr::V6(*header[24..].first_chunk()?),
            extensions: Vec::new(),
            proto: header[6],
            offset: IPV6_LEN,
            body: &[],
            fragment: None,
        };
        while let Some(len) = view.extension_len(bytes) {
            view.extensions.push(view.proto);
            view.proto = bytes[view.offset];
            view.offset += len;
            if view.fragment.is_some_and(|(start, _)| start > 0) {
                break;
            }
        }
        view.body = bytes.get(view.offset..).unwrap_or_default();
        Some(view)
    }

    /// The length of the extension header that is next, if there is one with its first bytes.
    fn extension_len(&mut self, bytes: &[u8]) -> Option<usize> {
        let start = bytes.get(self.offset..)?;
        let &[_, words, ..] = start else {
            return None;
        };
        match self.proto {
            proto::HOP_BY_HOP | proto::ROUTING | proto::DEST_OPTIONS => {
                Some((usize::from(words) + 1) * 8)
            }
            proto::AUTH => Some((usize::from(words) + 2) * 4),
            proto::FRAGMENT => {
                let &[_, _, high, low, ..] = start else {
                    return None;
                };
                let frag = u16::from_be_bytes([high, low]);
                self.fragment = Some((usize::from(frag & !7), frag & 1 != 0));
                Some(8)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [Addr; 2] = [Addr::V4([10, 0, 0, 1]), Addr::V4([10, 0, 0, 2])];
    const V6: [Addr; 2] = [Addr::V6([1; 16]), Addr::V6([2; 16])];

    #[test]
    fn what_is_built_is_what_is_taken_apart() {
        let mut ip = Ip::new(V6[0], V6[1]);
        for kind in [proto::HOP_BY_HOP, proto::DEST_OPTIONS] {
            let body = vec![0, 1, 4, 0, 0, 0, 0];
            ip.extensions.push(Extension { kind, body });
        }
        let packet = ip.packet(proto::UDP, &[9; 8]);
        assert_eq!(length(&packet), Ok(64));
        let view = View::of(&packet).unwrap();
        assert_eq!((view.proto, view.offset), (proto::UDP, 56));
        assert_eq!(view.extensions, [proto::HOP_BY_HOP, proto::DEST_OPTIONS]);
        assert_eq!((view.src, view.dst, view.body), (V6[0], V6[1], &[9; 8][..]));

        let mut ip = Ip::new(V4[0], V4[1]);
        ip.options = vec![1, 1, 1, 0];
        let mut packet = ip.packet(proto::TCP, &[9; 20]);
        assert_eq!(length(&packet), Ok(44));
        assert_eq!(View::of(&packet).map(|view| view.offset), Some(24));
        assert_eq!(length(&packet[..43]), Err(Refusal::Length));
        packet[8] ^= 1;
        assert_eq!(length(&packet), Err(Refusal::Header));
    }

    #[test]
    fn fragments_hold_the_whole_packet() {
        for [src, dst] in [V4, V6] {
            let body: Vec<u8> = (0..61).collect();
            let packet = Ip::new(src, dst).packet(proto::UDP, &body);
            let pieces = fragments(&packet, &[2, 5], 7);
            let mut whole = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                assert_eq!(length(piece), Ok(piece.len()));
                let view = View::of(piece).unwrap();
                assert_eq!(view.fragment, Some((whole.len(), index < 2)));
                whole.extend(view.body);
            }
            assert_eq!((pieces.len(), whole), (3, body));
        }
    }
}
