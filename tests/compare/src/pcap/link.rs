// SPDX-License-Identifier: GPL-2.0

//! What links put around packets (https://www.tcpdump.org/linktypes.html).

/// No header, or four bytes that name the family.
const NULL: i32 = 0;
const LOOP: i32 = 108;
const ETHERNET: i32 = 1;
/// The packet itself.
const RAW: [i32; 4] = [12, 14, 101, 228];
const RAW_IPV6: i32 = 229;
/// Linux's pseudo device `any`.
const LINUX_SLL: i32 = 113;
const LINUX_SLL2: i32 = 276;

/// Protocols behind a header of Ethernet (IANA).
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Tags of virtual networks.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What is behind a link's header, if that is IP and the kind of link is known.
pub fn payload(link: i32, frame: &[u8]) -> Option<&[u8]> {
    match link {
        NULL | LOOP => frame.get(4..),
        ETHERNET => tagged(frame, 12),
        LINUX_SLL => tagged(frame, 14),
        LINUX_SLL2 if is_ip(be16(frame, 0)?) => frame.get(20..),
        RAW_IPV6 => Some(frame),
        raw if RAW.contains(&raw) => Some(frame),
        _ => None,
    }
}

/// What is behind a protocol at this place, and behind the tags that may follow it.
fn tagged(frame: &[u8], mut at: usize) -> Option<&[u8]> {
    while TAGS.contains(&be16(frame, at)?) {
        at += 4;
    }
    match is_ip(be16(frame, at)?) {
        true => frame.get(at + 2..),
        false => None,
    }
}

fn is_ip(proto: u16) -> bool {
    matches!(proto, IPV4 | IPV6)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}
