// SPDX-License-Identifier: GPL-2.0

//! A packet in words, in a line like tcpdump's.

use crate::{
    checksum::{
        self,
        proto, //
    },
    ctnetlink,
    format::{
        Step,
        STEP_DROP,
        STEP_KNOWN,
        STEP_PLAIN,
        STEP_VERIFIED,
        WAY_IN,
        WAY_NETLINK,
        WAY_OUT,
        WAY_THROUGH, //
    },
    packet::View,
    sequence::Packet,
};
use std::fmt::Write;

/// What is said of UDP without a checksum.
const NO_CHECKSUM: &str = " no-checksum";

/// Describes a packet and what happens around it.
pub fn packet(packet: &Packet) -> String {
    if packet.step.way == WAY_NETLINK {
        let said = ctnetlink::show(&packet.bytes);
        return format!("{} {said}", around(&packet.step));
    }
    format!("{} {}", around(&packet.step), bytes(&packet.bytes))
}

/// Describes a packet and gives its bytes.
pub fn whole(packet: &[u8]) -> String {
    format!("{} [{}]", bytes(packet), hex(packet))
}

/// Bytes in digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Describes what happens around a packet.
fn around(step: &Step) -> String {
    let mut text = match step.way {
        WAY_IN => "in",
        WAY_THROUGH => "through",
        WAY_OUT => "out",
        WAY_NETLINK => "netlink",
        _ => "way?",
    }
    .to_owned();
    if step.delay > 0 {
        let _ = write!(text, " +{}.{:03}s", step.delay / 1000, step.delay % 1000);
    }
    if step.mark != 0 {
        let _ = write!(text, " mark {:#x}", step.mark);
    }
    if step.zone_dir != 0 {
        let (zone, dir, flags) = (step.zone, step.zone_dir, step.zone_flags);
        let _ = write!(text, " zone {zone} dir {dir} flags {flags}");
        if step.policy != 0 {
            let _ = write!(text, " policy {}", step.policy);
        }
    }
    for (flag, name) in [
        (STEP_DROP, " dropped"),
        (STEP_VERIFIED, " verified"),
        (STEP_PLAIN, " plain"),
        (STEP_KNOWN, " known"),
    ] {
        if step.flags & flag != 0 {
            text += name;
        }
    }
    text
}

/// Describes a packet from its IP header on, which may be cut.
pub fn bytes(bytes: &[u8]) -> String {
    let Some(view) = View::of(bytes) else {
        return format!("{} bytes that are no IP packet", bytes.len());
    };
    let mut text = format!("{} > {}", view.src, view.dst);
    for extension in &view.extensions {
        let _ = write!(text, " ext {extension}");
    }
    if let Some((start, more)) = view.fragment {
        let _ = write!(text, " frag {start}{}", if more { "+" } else { "" });
    }
    text.push(' ');
    let later = view.fragment.is_some_and(|(start, _)| start > 0);
    let described = match view.proto {
        _ if later => None,
        proto::TCP => tcp(view.body),
        proto::UDP => udp(view.body),
        proto::ICMP => icmp("icmp", view.body),
        proto::ICMPV6 => icmp("icmpv6", view.body),
        proto::SCTP => sctp(view.body),
        proto::GRE => gre(view.body),
        _ => None,
    };
    match described {
        Some(described) => text += &described,
        None => {
            let (proto, len) = (view.proto, view.body.len());
            let _ = write!(text, "proto {proto} len {len}");
        }
    }
    // What is not there, or not made yet, is not wrong.
    let made = view.fragment.is_none() && !text.ends_with(NO_CHECKSUM);
    if made && !checksum::is_sealed(view.src, view.dst, view.proto, view.body) {
        text += " bad-checksum";
    }
    text
}

/// A number of two bytes in network order.
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u16::from_be_bytes(*b))
}

/// A number of four bytes in network order.
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u32::from_be_bytes(*b))
}

fn tcp(body: &[u8]) -> Option<String> {
    let (sport, dport) = (be16(body, 0)?, be16(body, 2)?);
    let mut text = format!("tcp {sport} > {dport}");
    // An ICMP error may quote the ports and the sequence number only.
    let Some(seq) = be32(body, 4) else {
        return Some(text);
    };
    let Some(head) = body.get(..20) else {
        let _ = write!(text, " seq {seq} (short)");
        return Some(text);
    };
    let _ = write!(text, " [{}]", tcp_flags(head[13]));
    let _ = write!(text, " seq {seq} ack {}", be32(head, 8)?);
    let _ = write!(text, " win {}", be16(head, 14)?);
    if head[12] & 0xf != 0 {
        let _ = write!(text, " reserved {}", head[12] & 0xf);
    }

    let header_len = usize::from(head[12] >> 4) * 4;
    match body.get(20..header_len) {
        Some(options) => {
            let _ = write!(text, " len {}", body.len() - header_len);
            if !options.is_empty() {
                let _ = write!(text, " <{}>", tcp_options(options));
            }
        }
        None => {
            let _ = write!(text, " doff {} of {} bytes", head[12] >> 4, body.len());
        }
    }
    Some(text)
}

fn tcp_flags(flags: u8) -> String {
    let names = "FSRPAUEC".chars().enumerate();
    let set = names.filter(|(bit, _)| flags & (1 << bit) != 0);
    match flags {
        0 => "none".to_owned(),
        _ => set.map(|(_, name)| name).collect(),
    }
}

fn tcp_options(mut options: &[u8]) -> String {
    let mut texts = Vec::new();
    while let Some((&kind, rest)) = options.split_first() {
        options = match kind {
            0 => {
                texts.push("end".to_owned());
                break;
            }
            1 => rest,
            _ => {
                let len = rest.first().copied().unwrap_or(0);
                let whole = options.get(2..usize::from(len));
                let Some(value) = whole else {
                    texts.push(format!("option {kind} of length {len}"));
                    break;
                };
                texts.push(tcp_option(kind, value));
                options.get(usize::from(len)..).unwrap_or_default()
            }
        };
    }
    texts.join(",")
}

fn tcp_option(kind: u8, value: &[u8]) -> String {
    match (kind, value) {
        (2, [_, _]) => "mss".to_owned(),
        (3, [scale]) => format!("wscale {scale}"),
        (4, []) => "sackOK".to_owned(),
        (5, blocks) if blocks.len() % 8 == 0 => {
            let blocks = blocks.chunks(8).map(|block| {
                let (left, right) = (be32(block, 0), be32(block, 4));
                format!("{}:{}", left.unwrap_or(0), right.unwrap_or(0))
            });
            format!("sack {}", blocks.collect::<Vec<_>>().join(" "))
        }
        (8, value) if value.len() == 8 => "ts".to_owned(),
        _ => format!("option {kind} {value:02x?}"),
    }
}

fn udp(body: &[u8]) -> Option<String> {
    let (sport, dport) = (be16(body, 0)?, be16(body, 2)?);
    let (len, sum) = (be16(body, 4)?, be16(body, 6)?);
    let mut text = format!("udp {sport} > {dport} len {len}");
    if usize::from(len) != body.len() {
        let _ = write!(text, " of {}", body.len());
    }
    if sum == 0 {
        text += NO_CHECKSUM;
    }
    Some(text)
}

fn icmp(name: &str, body: &[u8]) -> Option<String> {
    let head = body.get(..8)?;
    let (kind, code, id) = (head[0], head[1], be16(head, 4)?);
    let mut text = format!("{name} type {kind} code {code} id {id} len {}", body.len());
    let quote = match (name, kind) {
        ("icmp", 3 | 4 | 5 | 11 | 12) | ("icmpv6", 0..=127) => body.get(8..),
        ("icmpv6", 137) => body.get(48..),
        _ => None,
    };
    if let Some(quote) = quote.filter(|quote| !quote.is_empty()) {
        let _ = write!(text, " about {{{}}}", quoted(quote));
    }
    Some(text)
}

/// Describes what an ICMP error quotes, whose checksum means nothing.
fn quoted(quote: &[u8]) -> String {
    bytes(quote).replace(" bad-checksum", "")
}

fn sctp(body: &[u8]) -> Option<String> {
    let (sport, dport, tag) = (be16(body, 0)?, be16(body, 2)?, be32(body, 4)?);
    let mut text = format!("sctp {sport} > {dport} tag {tag:#x}");
    let mut rest = body.get(12..).unwrap_or_default();
    while let (Some(&kind), Some(&flags), Some(len)) = (rest.first(), rest.get(1), be16(rest, 2)) {
        let _ = write!(text, " {}", chunk_name(kind));
        if flags != 0 {
            let _ = write!(text, "/{flags:#x}");
        }
        if let (1 | 2, Some(tag)) = (kind, be32(rest, 4)) {
            let _ = write!(text, " tag {tag:#x}");
        }
        let len = usize::from(len);
        if len < 4 || len > rest.len() {
            let _ = write!(text, " length {len} of {}", rest.len());
            break;
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(text)
}

fn chunk_name(kind: u8) -> String {
    let names = [
        "DATA",
        "INIT",
        "INIT_ACK",
        "SACK",
        "HEARTBEAT",
        "HEARTBEAT_ACK",
        "ABORT",
        "SHUTDOWN",
        "SHUTDOWN_ACK",
        "ERROR",
        "COOKIE_ECHO",
        "COOKIE_ACK",
        "ECNE",
        "CWR",
        "SHUTDOWN_COMPLETE",
    ];
    match names.get(usize::from(kind)) {
        Some(name) => (*name).to_owned(),
        None => format!("chunk {kind}"),
    }
}

fn gre(body: &[u8]) -> Option<String> {
    let (flags, payload) = (be16(body, 0)?, be16(body, 2)?);
    let mut text = format!("gre {flags:#06x} proto {payload:#06x}");
    if let (1, Some(call)) = (flags & 7, be16(body, 6)) {
        let _ = write!(text, " call {call}");
    }
    let _ = write!(text, " len {}", body.len());
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{
        Addr,
        Ip, //
    };

    #[test]
    fn a_segment_reads_like_tcpdump() {
        let ip = Ip::new(Addr::V4([10, 0, 0, 1]), Addr::V4([10, 0, 0, 2]));
        let mut body = vec![
            0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0x80, 0x12, 0, 5, 0, 0, 0, 0,
        ];
        body.extend([3, 3, 7, 1, 5, 10, 0, 0, 0, 1, 0, 0]);
        let sent = Packet {
            step: Step {
                delay: 1002,
                ..Step::default()
            },
            bytes: ip.packet(proto::TCP, &body),
        };
        assert_eq!(
            packet(&sent),
            "in +1.002s 10.0.0.1 > 10.0.0.2 tcp 1 > 2 [SA] seq 3 ack 4 win 5 len 0 \
             <wscale 7,option 5 of length 10> bad-checksum"
        );
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let mut rng = crate::rng::Rng::of(&[3]);
        for proto in 0..=255 {
            let ip = Ip::new(Addr::V6([1; 16]), Addr::V6([2; 16]));
            let len = rng.index(80);
            let mut sent = ip.packet(proto, &rng.bytes(len));
            sent.truncate(rng.index(sent.len() + 1));
            bytes(&sent);
        }
    }
}
