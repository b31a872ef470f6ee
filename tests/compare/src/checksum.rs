// SPDX-License-Identifier: GPL-2.0

//! The checksums of the transport protocols.

use crate::packet::Addr;
use crc::{
    Crc,
    CRC_32_ISCSI, //
};

/// Protocol numbers (IANA).
pub mod proto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// Authentication header.
    pub const AUTH: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// IPv6 destination options.
    pub const DEST_OPTIONS: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// The CRC32c of SCTP (RFC 9260 appendix A).
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The sum of 16-bit words in network order (RFC 1071), not folded.
pub fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| match *word {
            [first, second] => u64::from(u16::from_be_bytes([first, second])),
            [first] => u64::from(first) << 8,
            _ => 0,
        })
        .sum()
}

/// The checksum that makes a sum right.
pub fn checksum(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
fn pseudo_header(src: Addr, dst: Addr, proto: u8, len: usize) -> u64 {
    sum(src.bytes()) + sum(dst.bytes()) + u64::from(proto) + len as u64
}

/// Where a protocol has its checksum, and whether that covers the addresses; `None` for SCTP and
/// protocols without one.
pub fn place(proto: u8) -> Option<(usize, bool)> {
    match proto {
        proto::TCP => Some((16, true)),
        proto::UDP => Some((6, true)),
        proto::ICMP => Some((2, false)),
        proto::ICMPV6 => Some((2, true)),
        _ => None,
    }
}

/// Writes the right checksum into a transport header with what follows it, if it has the room.
pub fn seal(src: Addr, dst: Addr, proto: u8, body: &mut [u8]) {
    if proto == proto::SCTP {
        if let Some(field) = body.get_mut(8..12) {
            field.fill(0);
            let crc = CRC32C.checksum(body);
            body[8..12].copy_from_slice(&crc.to_le_bytes());
        }
        return;
    }
    let Some((at, covers_addresses)) = place(proto) else {
        return;
    };
    let Some(field) = body.get_mut(at..at + 2) else {
        return;
    };
    field.fill(0);

    let mut total = sum(body);
    if covers_addresses {
        total += pseudo_header(src, dst, proto, body.len());
    }
    let mut value = checksum(total);
    if proto == proto::UDP && value == 0 {
        // Zero would say that there is none.
        value = 0xffff;
    }
    body[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Corrects the checksum at a place, if it is there, for two bytes that have changed (RFC 1624).
pub fn adjust(body: &mut [u8], at: usize, from: u16, to: u16) {
    let Some(field) = body.get_mut(at..at + 2) else {
        return;
    };
    let old = u16::from_be_bytes([field[0], field[1]]);
    let total = u64::from(!old) + u64::from(!from) + u64::from(to);
    field.copy_from_slice(&checksum(total).to_be_bytes());
}

/// Returns whether the checksum is what [`seal`] writes.
pub fn is_sealed(src: Addr, dst: Addr, proto: u8, body: &[u8]) -> bool {
    let mut sealed = body.to_vec();
    seal(src, dst, proto, &mut sealed);
    sealed == body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        // RFC 1071 section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(sum(&bytes)), !0xddf2);
        assert_eq!(sum(&[0x12]), 0x1200);
        // RFC 3720 appendix B.4: 32 bytes of zeros.
        assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_sealed_body_sums_up() {
        let (src, dst) = (Addr::V4([10, 0, 0, 1]), Addr::V4([10, 0, 0, 2]));
        let mut body: Vec<u8> = (0..33).collect();
        seal(src, dst, proto::TCP, &mut body);
        let total = sum(&body) + pseudo_header(src, dst, proto::TCP, body.len());
        assert_eq!(checksum(total), 0);
        assert!(is_sealed(src, dst, proto::TCP, &body));

        body[0] ^= 1;
        assert!(!is_sealed(src, dst, proto::TCP, &body));
        seal(src, dst, proto::SCTP, &mut body[..11]);
    }
}
