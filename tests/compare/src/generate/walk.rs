// SPDX-License-Identifier: GPL-2.0

//! A walk: the packets of a case while they are made, and what happens to them on their way to the
//! tracker.

mod extension;
mod fragments;
mod mishap;
mod style;

use crate::{
    checksum,
    format::{
        Step,
        STEP_KNOWN,
        STEP_PLAIN,
        WAY_IN,
        WAY_NETLINK,
        WAY_OUT,
        WAY_THROUGH, //
    },
    generate::{
        clock::Clock,
        error,
        settings, //
    },
    packet::{
        self,
        Addr,
        Ip,
        View, //
    },
    rng::Rng,
    sequence::{
        Packet,
        Setting, //
    },
};
use mishap::Mishap;
use style::Style;

/// The most bytes that a packet has.
const LONGEST: usize = 1400;

/// One end of what a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that is meant to begin.
    Client,
    /// The other end.
    Server,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Either end.
    pub fn any(rng: &mut Rng) -> Self {
        rng.pick(&[Self::Client, Self::Server])
    }
}

/// Hosts that are neither end.
pub const ROUTER: u8 = 3;
/// A host that has nothing to do with the flow.
pub const STRANGER: u8 = 4;

/// What follows the IP header.
#[derive(Clone, Debug)]
pub struct Body {
    /// The protocol.
    pub proto: u8,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the checksum is to be made right.
    pub sealed: bool,
    /// Whether this is not what an honest sender sends.
    pub disturbed: bool,
}

impl Body {
    /// A body as it should be.
    pub fn new(proto: u8, bytes: Vec<u8>) -> Self {
        Self {
            proto,
            bytes,
            sealed: true,
            disturbed: false,
        }
    }

    /// The same, but wrong.
    pub fn disturbed(self) -> Self {
        Self {
            disturbed: true,
            ..self
        }
    }
}

/// How long fragments of IPv4 and IPv6 wait for other fragments, in milliseconds.
const REASSEMBLY: [u64; 2] = [29_900, 59_900];

/// For how long it then is not certain that their timer has run, which is rounded by that much.
const UNSURE: u64 = 4_000;

/// The least timeout policy where nothing is to expire, in seconds: a batch is played in less.
const LASTING: u8 = 100;

/// The packets of a case while they are made.
pub struct Walk<'s> {
    /// What everything is drawn from.
    pub rng: Rng,
    /// How many packets are not what an honest sender sends.
    pub disturbed: usize,
    /// Whether NAT changes packets: some answers are sent as if it did not.
    pub translated: bool,
    /// The last byte of the address that NAT gives what clients send; zero if it keeps its own.
    pub outside: u8,
    settings: &'s [Setting],
    number: u64,
    ipv6: bool,
    /// The way of what the client sends.
    way: u8,
    style: Style,
    clock: Clock,
    most: usize,
    packets: Vec<Packet>,
    /// Packets that come later, and behind how many other packets.
    held: Vec<(u32, Packet)>,
    id: u32,
    /// How long the case has lasted, in milliseconds.
    now: u64,
    /// When its fragments came.
    fragments: Vec<u64>,
    /// Whether there was a zone that holds for one direction. From then on nothing may expire: a
    /// connection that has expired in the other direction's bucket stands in the way of the next
    /// connection until the reference's worker comes by, at any time.
    half_zoned: bool,
    /// Whether nothing waits: what expires in other cases would be counted in this one.
    still: bool,
}

impl<'s> Walk<'s> {
    /// An empty walk for the case with a number.
    pub fn new(mut rng: Rng, number: u64, ipv6: bool, settings: &'s [Setting]) -> Self {
        Self {
            disturbed: 0,
            translated: false,
            outside: 0,
            settings,
            number,
            ipv6,
            way: rng.pick(&[WAY_IN, WAY_THROUGH, WAY_OUT]),
            style: Style::any(&mut rng),
            clock: Clock::default(),
            most: rng.range(10, 100) as usize,
            packets: Vec::new(),
            held: Vec::new(),
            id: rng.u32(),
            now: 0,
            fragments: Vec::new(),
            half_zoned: false,
            still: false,
            rng,
        }
    }

    /// Returns whether the case is over IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.ipv6
    }

    /// What was sent so far.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// What was sent.
    pub fn into_packets(self) -> Vec<Packet> {
        self.packets
    }

    /// Returns whether there is room for more packets.
    pub fn has_room(&self) -> bool {
        self.packets.len() < self.most
    }

    /// Makes nothing wait, nor expire while the cases behind it are played.
    pub fn hold_still(&mut self) {
        self.still = true;
        if self.style.policy > 0 {
            self.style.policy = self.style.policy.max(LASTING);
        }
    }

    /// Makes the case longer, and nothing in it wait or be cut.
    pub fn make_long(&mut self) {
        self.most = self.rng.range(100, 300) as usize;
        self.style.fragment = 0;
        self.style.policy = 0;
        self.style.disturb = self.style.disturb.min(10);
    }

    /// Sends a request to ctnetlink; `known`: it ends with an identifier that the player knows.
    pub fn request(&mut self, bytes: Vec<u8>, known: bool) {
        let step = Step {
            family: if self.ipv6 {
                packet::IPV6
            } else {
                packet::IPV4
            },
            way: WAY_NETLINK,
            flags: if known { STEP_KNOWN } else { 0 },
            ..Step::default()
        };
        self.append(Packet { step, bytes });
    }

    /// Waits so long that a timeout shows it, and nothing expires.
    pub fn short_wait(&mut self) {
        if self.now < 5_000 {
            self.clock.wait(2);
        }
    }

    /// Makes ICMP errors frequent.
    pub fn expect_errors(&mut self, percent: u32) {
        self.style.error = percent;
    }

    /// Returns whether something is to be wrong now.
    pub fn is_disturbed(&mut self) -> bool {
        let percent = self.style.disturb;
        self.rng.chance(percent)
    }

    /// The address of a host of the case.
    pub fn host(&self, host: u8) -> Addr {
        let [.., high, low] = self.number.to_be_bytes();
        match self.ipv6 {
            false => Addr::V4([10, high, low, host]),
            true => self.in_prefix([0x20, 0x01, 0x0d, 0xb8, 0, 0, high, low], host),
        }
    }

    /// The address of a host of the case in its link, which only IPv6 has.
    pub fn link_local(&self, host: u8) -> Addr {
        let [.., high, low] = self.number.to_be_bytes();
        self.in_prefix([0xfe, 0x80, 0, 0, 0, 0, high, low], host)
    }

    fn in_prefix(&self, prefix: [u8; 8], host: u8) -> Addr {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&prefix);
        bytes[15] = host;
        // The prefix of a link ends with zeros.
        if prefix[0] == 0xfe {
            bytes.copy_within(6..8, 13);
            bytes[6..8].fill(0);
        }
        Addr::V6(bytes)
    }

    /// The address of an end.
    pub fn addr(&self, side: Side) -> Addr {
        self.host(match side {
            Side::Client => 1,
            Side::Server => 2,
        })
    }

    /// The header of a packet from an end to the other end.
    pub fn ip(&self, from: Side) -> Ip {
        Ip::new(self.addr(from), self.addr(from.other()))
    }

    /// The way of what an end sends.
    pub fn way(&self, from: Side) -> u8 {
        match from {
            Side::Client => self.way,
            Side::Server => opposite(self.way),
        }
    }

    /// Waits up to a few milliseconds.
    pub fn pause(&mut self) {
        let milliseconds = self.rng.weighted(&[(60, 0), (25, 1), (10, 3), (5, 15)]);
        self.clock.pause(milliseconds);
    }

    /// Waits some seconds.
    pub fn wait(&mut self, seconds: u32) {
        if !self.half_zoned && !self.still {
            self.clock.wait(seconds);
        }
    }

    /// Waits until a little before or after the end of one of some timeouts.
    pub fn wait_around(&mut self, names: &[&str]) {
        let name = self.rng.pick(names);
        let timeout = settings::timeout(self.settings, name);
        let seconds = match self.rng.below(10) {
            0..=3 => timeout.saturating_sub(1),
            4..=7 => timeout,
            8 => timeout / 2,
            _ => timeout.saturating_mul(2),
        };
        self.wait(seconds);
    }

    /// Sends a packet from an end to the other end.
    pub fn send(&mut self, from: Side, body: Body) {
        let (ip, way) = (self.ip(from), self.way(from));
        self.send_as(ip, way, body);
    }

    /// Sends a packet with a header of its own.
    pub fn send_as(&mut self, mut ip: Ip, way: u8, mut body: Body) {
        self.pause();
        let mishap = match self.is_disturbed() {
            true => Some(Mishap::any(&mut self.rng)),
            false => None,
        };
        self.disturbed += usize::from(body.disturbed || mishap.is_some());
        if self.rng.chance(self.style.extend) {
            self.extend(&mut ip);
        }
        if let Some(mishap) = mishap {
            mishap.befall_body(&mut self.rng, &mut body);
        }
        self.seal(&mut ip, &mut body);
        if let Some(mishap) = mishap {
            mishap.befall_checksum(&mut self.rng, &mut body);
        }
        let bytes = ip.packet(body.proto, &body.bytes);
        let mut packet = self.packet(way, bytes);
        if let Some(mishap) = mishap {
            mishap.befall_packet(self, &mut packet);
        }

        match mishap {
            Some(Mishap::Lost) => {
                self.disturbed -= 1;
                return;
            }
            Some(Mishap::Later) => {
                let behind = self.rng.range(1, 3);
                self.held.push((behind, packet));
                return;
            }
            Some(Mishap::Twice) => {
                self.push_or_cut(packet.clone());
                self.push(packet);
            }
            _ => self.push_or_cut(packet),
        }
        if self.rng.chance(self.style.error) {
            error::send(self);
        }
    }

    /// A packet of the case that was sent before, mostly not long before.
    pub fn earlier(&mut self) -> Option<Packet> {
        let len = self.packets.len();
        let back = match self.rng.chance(70) {
            true => self.rng.index(len.min(4)),
            false => self.rng.index(len),
        };
        let earlier = self.packets.get(len.checked_sub(back + 1)?)?;
        (earlier.step.way != WAY_NETLINK).then(|| earlier.clone())
    }

    /// Sends what was held back.
    pub fn end(&mut self) {
        for (_, packet) in std::mem::take(&mut self.held) {
            self.append(packet);
        }
    }

    /// Gives a header its number, and a body that is not too long its checksum.
    fn seal(&mut self, ip: &mut Ip, body: &mut Body) {
        ip.id = self.next_id() as u16;
        let header_len = ip.packet(body.proto, &[]).len();
        body.bytes.truncate(LONGEST - header_len);
        if body.sealed {
            checksum::seal(ip.src, ip.dst, body.proto, &mut body.bytes);
        }
    }

    fn next_id(&mut self) -> u32 {
        self.id = self.id.wrapping_add(1);
        self.id
    }

    /// Puts the step around a packet.
    fn packet(&mut self, way: u8, bytes: Vec<u8>) -> Packet {
        let mut step = Step {
            family: if self.ipv6 {
                packet::IPV6
            } else {
                packet::IPV4
            },
            way,
            ..Step::default()
        };
        if self.rng.chance(self.style.mark) {
            step.mark = self.rng.pick(&[1, 1, 2, 0x10000, u32::MAX]);
        }
        if self.rng.chance(self.style.zoned) {
            (step.zone, step.zone_dir, step.zone_flags) = self.style.zone;
            step.policy = self.style.policy;
        }
        if self.translated && self.rng.one_in(30) {
            step.flags |= STEP_PLAIN;
        }
        Packet { step, bytes }
    }

    /// Sends a packet, and then the packets that were held back behind it.
    fn push(&mut self, packet: Packet) {
        self.append(packet);
        for (behind, _) in &mut self.held {
            *behind = behind.saturating_sub(1);
        }
        let held = std::mem::take(&mut self.held);
        let (due, held) = held.into_iter().partition(|&(behind, _)| behind == 0);
        self.held = held;
        let due: Vec<(u32, Packet)> = due;
        for (_, packet) in due {
            self.append(packet);
        }
    }

    fn append(&mut self, mut packet: Packet) {
        let delay = self.clock.take();
        packet.step.delay = delay + self.past_reassembly(delay);
        self.now += u64::from(packet.step.delay);
        self.half_zoned |= matches!(packet.step.zone_dir, 1 | 2);
        let is_packet = packet.step.way != WAY_NETLINK;
        if is_packet && View::of(&packet.bytes).is_some_and(|view| view.fragment.is_some()) {
            self.fragments.push(self.now);
        }
        self.packets.push(packet);
    }

    /// How much longer to wait than `delay`, so that it is certain whether fragments still wait for
    /// other fragments.
    fn past_reassembly(&self, delay: u32) -> u32 {
        let mut more = 0;
        let unsure = |now: u64| {
            self.fragments.iter().any(|&sent| {
                let age = now - sent;
                REASSEMBLY
                    .iter()
                    .any(|&span| (span..span + UNSURE).contains(&age))
            })
        };
        while unsure(self.now + u64::from(delay + more)) {
            more += UNSURE as u32;
        }
        more
    }
}

/// The way of answers to what takes a way.
pub fn opposite(way: u8) -> u8 {
    match way {
        WAY_IN => WAY_OUT,
        WAY_OUT => WAY_IN,
        way => way,
    }
}
