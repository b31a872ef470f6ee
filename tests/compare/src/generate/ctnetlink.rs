// SPDX-License-Identifier: GPL-2.0

//! Walks of requests to ctnetlink, about flows whose packets come in between.

use crate::{
    checksum::proto,
    ctnetlink::message::{
        attr,
        nest,
        request,
        Message,
        CT,
        EXP,
        NLM_F_CREATE,
        NLM_F_DUMP,
        NLM_F_EXCL, //
    },
    generate::walk::{
        Body,
        Side,
        Walk, //
    },
    packet::{
        self,
        Addr, //
    },
    rng::Rng,
};

/// A flow that packets and requests are about.
#[derive(Clone, Copy, Debug)]
struct Flow {
    proto: u8,
    src: Addr,
    dst: Addr,
    /// Of ICMP, identifier and type.
    ports: [u16; 2],
}

/// The flags of messages that make something.
const MAKE: [(u32, u16); 4] = [
    (45, NLM_F_CREATE | NLM_F_EXCL),
    (20, NLM_F_CREATE),
    (30, 0),
    (5, NLM_F_EXCL),
];

/// Names of helpers: all but the last exist.
const HELPERS: [&str; 5] = ["ftp", "tftp", "sip", "irc", "none-such"];

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    let flows: Vec<_> = (0..6).map(|_| Flow::any(walk)).collect();
    let expected: Vec<_> = (0..3).map(|_| Flow::any(walk)).collect();
    while walk.has_room() {
        let flow = walk.rng.pick(&flows);
        let other = walk.rng.pick(&flows);
        let kind = walk.rng.weighted(&[
            (30, 0),
            (22, 1),
            (8, 2),
            (9, 3),
            (8, 4),
            (3, 5),
            (9, 6),
            (6, 7),
            (5, 8),
            (1, 9),
        ]);
        match kind {
            0 => flow.speak(walk),
            1 => make(walk, flow, other),
            2 => ask(walk, flow, 1, 0),
            3 => dump(walk, flow),
            4 => ask(walk, flow, 2, 0),
            5 => flush(walk, flow),
            6 => expect(walk, flow, &expected),
            7 => about_expectation(walk, flow, &expected),
            8 => statistics(walk),
            _ => anything(walk),
        }
        if walk.rng.one_in(40) {
            walk.short_wait();
        }
    }
}

impl Flow {
    fn any(walk: &mut Walk<'_>) -> Self {
        let icmp = match walk.is_ipv6() {
            true => (proto::ICMPV6, 128),
            false => (proto::ICMP, 8),
        };
        let port = walk.rng.range(1024, 1027) as u16;
        let dport = walk.rng.pick(&[21, 21, 69, 5060, 80, 53]);
        let (proto, ports) = walk.rng.weighted(&[
            (45, (proto::TCP, [port, dport])),
            (35, (proto::UDP, [port, dport])),
            (10, (icmp.0, [port, icmp.1])),
            (5, (proto::SCTP, [port, dport])),
            (5, (proto::NONE + 100, [0, 0])),
        ]);
        Self {
            proto,
            src: walk.addr(Side::Client),
            dst: walk.addr(Side::Server),
            ports,
        }
    }

    /// Lets an end say something, which is mostly right.
    fn speak(self, walk: &mut Walk<'_>) {
        let from = walk.rng.pick(&[Side::Client, Side::Client, Side::Server]);
        let [mut sport, mut dport] = self.ports;
        if from == Side::Server {
            (sport, dport) = (dport, sport);
        }
        let ports = [sport, dport].map(u16::to_be_bytes).concat();
        let bytes = match self.proto {
            proto::TCP => {
                let flags = walk.rng.pick(&[2, 2, 18, 16, 16, 17, 4]);
                let head = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 16, 0, 0, 0, 0, 0];
                [&ports[..], &head].concat()
            }
            proto::UDP => [&ports[..], &[0, 12, 0, 0, 1, 2, 3, 4]].concat(),
            proto::ICMP | proto::ICMPV6 => {
                let reply = if self.proto == proto::ICMP { 0 } else { 129 };
                let kind = match from {
                    Side::Client => self.ports[1] as u8,
                    Side::Server => reply,
                };
                let [high, low] = self.ports[0].to_be_bytes();
                vec![kind, 0, 0, 0, high, low, 0, 1]
            }
            // An INIT.
            proto::SCTP => {
                let mut bytes = [&ports[..], &[0; 8], &[1, 0, 0, 20, 0, 0, 0, 9]].concat();
                bytes.extend([0, 0, 16, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
                bytes
            }
            _ => vec![1, 2, 3, 4],
        };
        walk.send(from, Body::new(self.proto, bytes));
    }

    fn inverse(self) -> Self {
        let [sport, dport] = self.ports;
        let ports = match self.proto {
            proto::ICMP => [sport, 0],
            proto::ICMPV6 => [sport, 129],
            _ => [dport, sport],
        };
        Self {
            src: self.dst,
            dst: self.src,
            ports,
            ..self
        }
    }

    /// A tuple as the kernel writes it.
    fn tuple(self, kind: u16) -> Vec<u8> {
        nest(kind, &[self.addresses(), self.numbers()])
    }

    fn addresses(self) -> Vec<u8> {
        let [src, dst] = match self.src {
            Addr::V4(_) => [1, 2],
            Addr::V6(_) => [3, 4],
        };
        nest(
            1,
            &[attr(src, self.src.bytes()), attr(dst, self.dst.bytes())],
        )
    }

    fn numbers(self) -> Vec<u8> {
        let [first, second] = self.ports;
        let number = attr(1, &[self.proto]);
        let id = |place: u16| {
            vec![
                attr(place, &first.to_be_bytes()),
                attr(place + 1, &[second as u8]),
                attr(place + 2, &[0]),
            ]
        };
        let mut attrs = vec![number];
        match self.proto {
            proto::ICMP => attrs.extend(id(4)),
            proto::ICMPV6 => attrs.extend(id(7)),
            _ => attrs.extend([
                attr(2, &first.to_be_bytes()),
                attr(3, &second.to_be_bytes()),
            ]),
        }
        nest(2, &attrs)
    }
}

/// A number in network order as an attribute.
fn number(kind: u16, value: u32) -> Vec<u8> {
    attr(kind, &value.to_be_bytes())
}

fn text(kind: u16, text: &str) -> Vec<u8> {
    attr(kind, &[text.as_bytes(), &[0]].concat())
}

/// What lasts so many seconds does not expire while a case is played.
const LASTING: u32 = 100;
/// The jiffies of so many seconds are no small number in 32 bits.
const MONTH: u32 = 30 * 24 * 3600;

/// Seconds that do not go by while a case is played.
fn timeout(rng: &mut Rng) -> u32 {
    let any = rng.range(1000, 1_000_000);
    rng.pick(&[120, 300, 600, any, 1 << 20])
}

fn family(walk: &mut Walk<'_>) -> u8 {
    let own = if walk.is_ipv6() {
        packet::IPV6
    } else {
        packet::IPV4
    };
    let other = packet::IPV4 + packet::IPV6 - own;
    walk.rng.weighted(&[(94, own), (2, 0), (2, other), (2, 7)])
}

/// Makes a connection, or changes it.
fn make(walk: &mut Walk<'_>, flow: Flow, other: Flow) {
    let rng = &mut walk.rng;
    let flags = rng.weighted(&MAKE);
    let mut attrs = vec![flow.tuple(1), flow.inverse().tuple(2)];
    if flags & NLM_F_CREATE == 0 && rng.chance(50) {
        let gone = rng.index(2);
        attrs.remove(gone);
    }
    if rng.chance(if flags & NLM_F_CREATE == 0 { 50 } else { 95 }) {
        attrs.push(number(7, timeout(rng)));
    }
    // STATUS: SEEN_REPLY, ASSURED, CONFIRMED, and bits that may not be set.
    if rng.chance(40) {
        let any = rng.u32();
        let status = rng.weighted(&[
            (30, 0x08),
            (20, 0x0a),
            (30, 0x0e),
            (5, 0),
            (5, 0x40e),
            (5, 1 << rng.clone().below(16)),
            (5, any),
        ]);
        attrs.push(number(3, status));
    }
    if rng.chance(30) {
        let mark = rng.u32();
        attrs.push(number(8, mark));
        if rng.chance(40) {
            let mask = rng.pick(&[0xff, 0xffff_0000, mark, 0]);
            attrs.push(number(21, mask));
        }
    }
    if rng.chance(30) {
        let info = protoinfo(rng, flow.proto);
        attrs.push(info);
    }
    if rng.chance(45) {
        let right = match flow.proto {
            proto::UDP => rng.pick(&[HELPERS[1], HELPERS[2]]),
            _ => HELPERS[0],
        };
        let any = HELPERS[rng.index(4)];
        // The kernel looks for a module of a helper that it does not know, which takes long.
        let unknown = if rng.one_in(50) { HELPERS[4] } else { "ftp" };
        let name = rng.weighted(&[(85, right), (10, any), (4, ""), (1, unknown)]);
        attrs.push(nest(5, &[text(1, name)]));
    }
    if rng.chance(12) {
        let nat = nat(rng, flow);
        attrs.push(nat);
    }
    if rng.chance(15) {
        let len = rng.pick(&[16, 16, 16, 4, 8, 20]);
        let labels = rng.bytes(len);
        attrs.push(attr(22, &labels));
        if rng.chance(40) {
            let mask = rng.bytes(len);
            attrs.push(attr(23, &mask));
        }
    }
    if rng.chance(15) {
        let kind = rng.pick(&[15, 16]);
        let values = [1, 2, 3].map(|kind| number(kind, rng.below(1000)));
        attrs.push(nest(kind, &values));
    }
    if rng.chance(6) {
        attrs.push(other.tuple(14));
    }
    if rng.chance(5) {
        let values = [1, 2, 3].map(|kind| number(kind, rng.u32()));
        attrs.push(nest(24, &values));
    }
    zone(rng, &mut attrs, 18);
    send(walk, CT, 0, flags, attrs);
}

fn zone(rng: &mut Rng, attrs: &mut Vec<Vec<u8>>, kind: u16) {
    if rng.chance(8) {
        let zone: u16 = rng.pick(&[0, 1, 1, 2]);
        attrs.push(attr(kind, &zone.to_be_bytes()));
    }
}

fn protoinfo(rng: &mut Rng, proto: u8) -> Vec<u8> {
    let state = rng.weighted(&[(90, 9), (10, 20)]);
    let state = rng.below(state) as u8;
    let sctp = proto == proto::SCTP;
    let sctp = sctp != rng.one_in(15);
    if sctp {
        let tags = [2, 3].map(|kind| number(kind, rng.u32()));
        return nest(
            4,
            &[nest(3, &[vec![attr(1, &[state])], tags.to_vec()].concat())],
        );
    }
    let mut attrs = vec![attr(1, &[state])];
    for kind in [2, 3] {
        if rng.chance(40) {
            let scale = rng.below(16) as u8;
            attrs.push(attr(kind, &[scale]));
        }
    }
    for kind in [4, 5] {
        if rng.chance(40) {
            let (flags, mask) = (rng.u8() & 0x3f, rng.u8() & 0x3f);
            attrs.push(attr(kind, &[flags, mask]));
        }
    }
    nest(4, &[nest(1, &attrs)])
}

/// What a new connection's source or destination becomes; a port that need not be drawn.
fn nat(rng: &mut Rng, flow: Flow) -> Vec<u8> {
    let kind = rng.pick(&[6, 13]);
    let to = match flow.src {
        Addr::V4(_) => attr(1, &[192, 0, 2, 7]),
        Addr::V6(_) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
            bytes[15] = 7;
            attr(4, &bytes)
        }
    };
    let mut attrs = vec![to];
    if rng.chance(50) {
        let port = rng.range(2000, 2003) as u16;
        attrs.push(nest(3, &[attr(1, &port.to_be_bytes())]));
    }
    nest(kind, &attrs)
}

/// Asks for, or deletes, a connection.
fn ask(walk: &mut Walk<'_>, flow: Flow, kind: u8, flags: u16) {
    let rng = &mut walk.rng;
    let (tuple, flow) = match rng.chance(75) {
        true => (1, flow),
        false => (2, flow.inverse()),
    };
    let mut attrs = vec![flow.tuple(tuple)];
    zone(rng, &mut attrs, 18);
    let kind = match kind {
        1 if rng.chance(20) => 3,
        kind => kind,
    };
    let id = rng.chance(30);
    if id {
        let id = rng.u32();
        attrs.push(number(12, id));
    }
    let known = id && walk.rng.chance(80);
    if known {
        return walk.request(request_of(walk.is_ipv6(), CT, kind, flags, &attrs), true);
    }
    send(walk, CT, kind, flags, attrs);
}

/// What a dump or a flush leaves out.
fn filter(rng: &mut Rng, flow: Flow, attrs: &mut Vec<Vec<u8>>) {
    match rng.below(8) {
        0 | 1 => {}
        2 => attrs.push(number(8, 1 << rng.below(4))),
        3 => {
            let mask = rng.pick(&[1, 3, 0xff, 0]);
            attrs.push(number(8, rng.below(4)));
            attrs.push(number(21, mask));
        }
        4 => {
            let status = rng.pick(&[2, 4, 8, 0x200, 0]);
            attrs.push(number(3, status));
            if rng.chance(50) {
                let mask = rng.pick(&[2, 4, 6, 0xffff, 0]);
                attrs.push(number(26, mask));
            }
        }
        5 => zone(rng, attrs, 18),
        _ => {
            let flags: u32 = rng.pick(&[1, 2, 3, 8, 0x18, 0x38, 0x3f, 0xff, 0x10, 0x8000]);
            let kind = rng.pick(&[1, 1, 2]);
            attrs.push(nest(25, &[attr(kind, &flags.to_ne_bytes())]));
            if rng.chance(85) {
                let flow = if kind == 1 { flow } else { flow.inverse() };
                attrs.push(flow.tuple(kind));
            }
        }
    }
}

fn dump(walk: &mut Walk<'_>, flow: Flow) {
    let mut attrs = Vec::new();
    filter(&mut walk.rng, flow, &mut attrs);
    // GET, GET_CTRZERO, GET_DYING, GET_UNCONFIRMED.
    let kind = walk.rng.weighted(&[(60, 1), (20, 3), (10, 6), (10, 7)]);
    send(walk, CT, kind, NLM_F_DUMP, attrs);
}

fn flush(walk: &mut Walk<'_>, flow: Flow) {
    let mut attrs = Vec::new();
    filter(&mut walk.rng, flow, &mut attrs);
    send(walk, CT, 2, 0, attrs);
}

/// Makes an expectation, or changes it.
fn expect(walk: &mut Walk<'_>, master: Flow, expected: &[Flow]) {
    let rng = &mut walk.rng;
    let flow = rng.pick(expected);
    let flags = rng.weighted(&MAKE);
    let mask = Flow {
        src: match flow.src {
            Addr::V4(_) => Addr::V4([255; 4]),
            Addr::V6(_) => Addr::V6([255; 16]),
        },
        dst: match flow.dst {
            Addr::V4(_) => Addr::V4([255; 4]),
            Addr::V6(_) => Addr::V6([255; 16]),
        },
        proto: flow.proto,
        ports: [rng.pick(&[0, u16::MAX]), u16::MAX],
    };
    let mut attrs = vec![master.tuple(1), flow.tuple(2), mask.tuple(3)];
    if rng.chance(90) {
        attrs.push(number(4, timeout(rng)));
    }
    if rng.chance(40) {
        let flags = rng.weighted(&[(40, 1), (20, 2), (30, 0), (10, 8)]);
        attrs.push(number(8, flags));
    }
    if rng.chance(20) {
        let class = rng.weighted(&[(60, 0), (20, 1), (10, 2), (10, 9)]);
        attrs.push(number(9, class));
    }
    if rng.chance(10) {
        attrs.push(nest(10, &[number(1, 0), master.tuple(2)]));
    }
    if rng.chance(8) {
        let name = rng.pick(&["nat-follow-master", "sip-nat", "none-such"]);
        attrs.push(text(11, name));
    }
    zone(rng, &mut attrs, 7);
    send(walk, EXP, 0, flags, attrs);
}

/// Asks for, dumps or deletes expectations.
fn about_expectation(walk: &mut Walk<'_>, master: Flow, expected: &[Flow]) {
    let rng = &mut walk.rng;
    let flow = rng.pick(expected);
    let mut attrs = Vec::new();
    let (kind, flags) = match rng.below(10) {
        0..=2 => (1, 0),
        3 | 4 => (1, NLM_F_DUMP),
        5 => {
            attrs.push(master.tuple(1));
            (1, NLM_F_DUMP)
        }
        6 | 7 => (2, 0),
        8 => {
            attrs.push(text(6, HELPERS[rng.index(3)]));
            (2, 0)
        }
        _ => (2, 0),
    };
    let one = flags == 0 && attrs.is_empty() && !rng.one_in(6);
    if one {
        attrs.push(flow.tuple(2));
        if rng.chance(30) {
            attrs.push(number(5, rng.u32()));
            return walk.request(request_of(walk.is_ipv6(), EXP, kind, flags, &attrs), true);
        }
    }
    send(walk, EXP, kind, flags, attrs);
}

fn statistics(walk: &mut Walk<'_>) {
    let (subsystem, kind, flags) = walk.rng.pick(&[
        (CT, 4, NLM_F_DUMP),
        (CT, 5, 0),
        (EXP, 3, NLM_F_DUMP),
        (CT, 4, 0),
    ]);
    send(walk, subsystem, kind, flags, Vec::new());
}

/// A request that no program sends.
fn anything(walk: &mut Walk<'_>) {
    let rng = &mut walk.rng;
    let subsystem = rng.pick(&[CT, EXP]);
    let kind = rng.below(12) as u8;
    let attrs: Vec<_> = (0..rng.below(4))
        .map(|_| {
            let (kind, len) = (rng.below(32) as u16, rng.index(24));
            attr(kind, &rng.bytes(len))
        })
        .collect();
    send(walk, subsystem, kind, 0, attrs);
}

fn request_of(ipv6: bool, subsystem: u8, kind: u8, flags: u16, attrs: &[Vec<u8>]) -> Vec<u8> {
    let family = if ipv6 { packet::IPV6 } else { packet::IPV4 };
    request(subsystem, kind, flags, family, attrs)
}

/// Sends a request, or what became of it.
fn send(walk: &mut Walk<'_>, subsystem: u8, kind: u8, flags: u16, mut attrs: Vec<Vec<u8>>) {
    let family = family(walk);
    let right = request(subsystem, kind, flags, family, &attrs);
    let disturbed = walk.rng.chance(20);
    if disturbed {
        make_wrong(&mut walk.rng, &mut attrs);
    }
    let mut bytes = request(subsystem, kind, flags, family, &attrs);
    if disturbed && walk.rng.one_in(4) {
        let rng = &mut walk.rng;
        match rng.below(3) {
            // The version of `struct nfgenmsg`.
            0 => bytes[17] = rng.range(1, 3) as u8,
            1 => {
                let len = rng.range(16, bytes.len() as u32);
                bytes.truncate(len as usize);
                bytes[..4].copy_from_slice(&len.to_ne_bytes());
            }
            _ => {
                let at = rng.range(20, bytes.len().max(21) as u32 - 1) as usize;
                let bit = rng.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }
    if is_brief(&bytes) {
        bytes = right;
    }
    walk.disturbed += usize::from(disturbed);
    walk.request(bytes, false);
}

/// Returns whether a request makes something that expires soon, whatever else is wrong with it.
fn is_brief(request: &[u8]) -> bool {
    Message::all(request).iter().any(|message| {
        let place = match message.subsystem() {
            CT => 7,
            _ => 4,
        };
        message.attrs().iter().any(|(kind, value)| {
            let seconds = value.first_chunk().map(|b| u32::from_be_bytes(*b));
            // Jiffies of expectations go round after some months.
            *kind == place && seconds.is_some_and(|s| !(LASTING..MONTH).contains(&s))
        })
    })
}

/// Does something to attributes.
fn make_wrong(rng: &mut Rng, attrs: &mut Vec<Vec<u8>>) {
    if attrs.is_empty() {
        let (kind, len) = (rng.below(32) as u16, rng.index(9));
        attrs.push(attr(kind, &rng.bytes(len)));
        return;
    }
    let at = rng.index(attrs.len());
    match rng.below(7) {
        0 => {
            attrs.remove(at);
        }
        1 => attrs.push(attrs[at].clone()),
        // A length that is a little wrong.
        2 => {
            let by = rng.pick(&[-4, -1, 1, 4]);
            attrs[at][0] = attrs[at][0].wrapping_add_signed(by);
        }
        // Another number.
        3 => attrs[at][2] = rng.below(40) as u8,
        // Not said to be of attributes, or said so.
        4 => attrs[at][3] ^= 0x80,
        5 => {
            let keep = rng.index(attrs[at].len() / 4 + 1) * 4;
            let kept = attrs[at].get(4..keep).unwrap_or_default().to_vec();
            let kind = u16::from_ne_bytes([attrs[at][2], attrs[at][3]]);
            attrs[at] = attr(kind, &kept);
        }
        _ => {
            let byte = rng.index(attrs[at].len());
            let value = rng.u8();
            attrs[at][byte] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_expire_soon_is_known() {
        let brief = |subsystem, kind, seconds| {
            let attrs = [text(6, "ftp"), number(kind, seconds)];
            is_brief(&request(subsystem, 0, 0, packet::IPV4, &attrs))
        };
        assert!(brief(CT, 7, 0) && brief(CT, 7, 99) && brief(EXP, 4, 7) && brief(EXP, 4, u32::MAX));
        assert!(!brief(CT, 7, 100) && !brief(EXP, 4, 1 << 20) && !brief(CT, 4, 7));
        let cut = request(CT, 0, 0, packet::IPV4, &[attr(7, &[0, 0])]);
        assert!(!is_brief(&cut));
    }
}
