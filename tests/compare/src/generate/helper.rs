// SPDX-License-Identifier: GPL-2.0

//! Walks of protocols whose helpers read, and with NAT rewrite, what is said: FTP, TFTP and SIP.

use crate::{
    checksum::proto,
    generate::walk::{
        Body,
        Side,
        Walk, //
    },
    packet::{
        Addr,
        Ip, //
    },
    rng::Rng,
    sequence::Rule, //
};

/// The rules that give connections a helper, and some of NAT that draw no ports: ports would be in
/// what is said.
pub fn rules(rng: &mut Rng) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut push = |chain: &str, text: &str| {
        rules.push(Rule {
            chain: chain.to_owned(),
            text: text.to_owned(),
        });
    };
    for text in [
        "tcp dport 21 ct helper set \"ftp\"",
        "udp dport 69 ct helper set \"tftp\"",
        "udp dport 5060 ct helper set \"sip\"",
    ] {
        for chain in ["early", "local"] {
            push(chain, text);
        }
    }
    let [v4, v6] = rng.pick(&[
        ["masquerade", "masquerade"],
        ["snat ip to 192.0.2.7", "snat ip6 to 2001:db8:ffff::7"],
        ["", ""],
    ]);
    let matches = rng.pick(&["", "ct direction original ", "meta l4proto { tcp, udp } "]);
    for (family, action) in [("ipv4", v4), ("ipv6", v6)] {
        if !action.is_empty() {
            let text = format!("meta nfproto {family} {matches}{action}");
            push("postrouting", &text);
        }
    }
    if rng.chance(30) {
        let text = "meta nfproto ipv4 tcp dport 21 dnat ip to 198.51.100.5";
        push("prerouting", text);
        push("output", text);
    }
    if rng.chance(15) {
        push("prerouting", "udp dport { 69, 5060 } redirect");
    }
    rules
}

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    walk.hold_still();
    while walk.has_room() {
        match walk.rng.below(5) {
            0..=2 => Ftp::new(walk).talk(),
            3 => tftp(walk),
            _ => sip(walk),
        }
        if walk.rng.chance(60) {
            break;
        }
    }
}

/// Where a client is to be found from the far side: at its own address, or at an address of NAT's.
fn outside(walk: &mut Walk<'_>) -> Addr {
    let own = walk.addr(Side::Client);
    let last = walk.rng.weighted(&[(40, 0), (35, 1), (25, 7)]);
    match (own, last) {
        (_, 0) => own,
        (Addr::V4(_), last) => Addr::V4([192, 0, 2, last]),
        (Addr::V6(_), last) => {
            let mut bytes = [0; 16];
            bytes[..6].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0xff, 0xff]);
            bytes[15] = last;
            Addr::V6(bytes)
        }
    }
}

/// Sends a body to a client's outside, or to the server.
fn send(walk: &mut Walk<'_>, from: Side, to: Addr, body: Body) {
    let ip = Ip::new(walk.addr(from), to);
    let way = walk.way(from);
    walk.send_as(ip, way, body);
}

fn udp(ports: [u16; 2], data: &[u8]) -> Body {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend(((data.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    Body::new(proto::UDP, bytes)
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const PSH: u8 = 8;
const FIN: u8 = 1;

fn tcp(ports: [u16; 2], [seq, ack]: [u32; 2], flags: u8, data: &[u8]) -> Body {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend([seq, ack].map(u32::to_be_bytes).concat());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(data);
    Body::new(proto::TCP, bytes)
}

/// A control connection.
struct Ftp<'w, 's> {
    walk: &'w mut Walk<'s>,
    port: u16,
    /// The next sequence number of each end.
    next: [u32; 2],
}

impl<'w, 's> Ftp<'w, 's> {
    fn new(walk: &'w mut Walk<'s>) -> Self {
        let port = walk.rng.range(1024, 65535) as u16;
        let next = [walk.rng.u32(), walk.rng.u32()];
        Self { walk, port, next }
    }

    fn segment(&mut self, from: Side, flags: u8, data: &[u8]) {
        let (here, there) = (from as usize, from.other() as usize);
        let ports = match from {
            Side::Client => [self.port, 21],
            Side::Server => [21, self.port],
        };
        let ack = if flags & ACK != 0 {
            self.next[there]
        } else {
            0
        };
        let body = tcp(ports, [self.next[here], ack], flags, data);
        let count = data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[here] = self.next[here].wrapping_add(count);
        self.walk.send(from, body.clone());
        if self.walk.rng.one_in(12) {
            // Once more.
            self.walk.send(from, body);
        }
    }

    /// An end says a line, which may come in two parts, and the other end acknowledges it.
    fn say(&mut self, from: Side, line: &str) {
        let bytes = line.as_bytes();
        match self.walk.rng.one_in(15) {
            true => {
                let (one, two) = bytes.split_at(bytes.len() / 2);
                self.segment(from, ACK | PSH, one);
                self.segment(from, ACK | PSH, two);
            }
            false => self.segment(from, ACK | PSH, bytes),
        }
        if self.walk.rng.chance(70) {
            self.segment(from.other(), ACK, &[]);
        }
    }

    fn talk(mut self) {
        self.segment(Side::Client, SYN, &[]);
        self.segment(Side::Server, SYN | ACK, &[]);
        self.segment(Side::Client, ACK, &[]);
        self.say(Side::Server, "220 ready\r\n");
        self.say(Side::Client, "USER anonymous\r\n");
        while self.walk.has_room() && !self.walk.rng.one_in(6) {
            match self.walk.rng.below(5) {
                0 | 1 => self.active(),
                2 | 3 => self.passive(),
                _ => self.say(Side::Client, "NOOP\r\n"),
            }
        }
        if self.walk.rng.chance(60) {
            self.say(Side::Client, "QUIT\r\n");
            self.segment(Side::Client, FIN | ACK, &[]);
            self.segment(Side::Server, FIN | ACK, &[]);
            self.segment(Side::Client, ACK, &[]);
        }
    }

    /// An address and port as FTP says them: of the old kind only for IPv4.
    fn place(&mut self, addr: Addr, port: u16, old: bool) -> String {
        let place = match (addr, old) {
            (Addr::V4([a, b, c, d]), true) => {
                let [high, low] = port.to_be_bytes();
                format!("{a},{b},{c},{d},{high},{low}")
            }
            (Addr::V4(_), false) => format!("|1|{addr}|{port}|"),
            (Addr::V6(_), _) => format!("|2|{addr}|{port}|"),
        };
        // What is not said as it should be.
        match self.walk.rng.below(25) {
            0 => place.replacen([',', '|'], " ", 1),
            1 => place[..place.len() - 1].to_owned(),
            2 => place.replace("10", "310"),
            3 => place + ",1",
            _ => place,
        }
    }

    /// The client says where it waits, and the server comes.
    fn active(&mut self) {
        let port = self.walk.rng.range(1023, 65535) as u16;
        let client = self.walk.addr(Side::Client);
        let old = !self.walk.is_ipv6() && self.walk.rng.chance(70);
        let said = if self.walk.rng.one_in(20) {
            self.walk.addr(Side::Server)
        } else {
            client
        };
        let place = self.place(said, port, old);
        let word = self.walk.rng.weighted(&[(90, 0), (5, 1), (5, 2)]);
        let word = match (old, word) {
            (true, 0) => "PORT ",
            (true, 1) => "port ",
            (true, _) => "PORT",
            (false, 0) => "EPRT ",
            (false, 1) => "eprt ",
            (false, _) => "EPRT  ",
        };
        self.say(Side::Client, &format!("{word}{place}\r\n"));
        self.say(Side::Server, "200 ok\r\n");
        let to = outside(self.walk);
        self.data(Side::Server, to, [20, port]);
    }

    /// The server says where it waits, and the client comes.
    fn passive(&mut self) {
        let port = self.walk.rng.range(1023, 65535) as u16;
        let server = self.walk.addr(Side::Server);
        let old = !self.walk.is_ipv6() && self.walk.rng.chance(60);
        let answer = match old {
            true => {
                self.say(Side::Client, "PASV\r\n");
                let place = self.place(server, port, true);
                format!("227 Entering Passive Mode ({place}).\r\n")
            }
            false => {
                self.say(Side::Client, "EPSV\r\n");
                format!("229 Entering Extended Passive Mode (|||{port}|)\r\n")
            }
        };
        self.say(Side::Server, &answer);
        let from = self.walk.rng.range(1024, 65535) as u16;
        self.data(Side::Client, server, [from, port]);
    }

    /// A connection of data, as far as it goes.
    fn data(&mut self, from: Side, to: Addr, [sport, dport]: [u16; 2]) {
        let back = [dport, sport];
        let [a, b] = [self.walk.rng.u32(), self.walk.rng.u32()];
        let [more_a, more_b] = [a, b].map(|seq| seq.wrapping_add(1));
        let there = [sport, dport];
        let origin = self.walk.addr(from);
        let steps = [
            (from, to, tcp(there, [a, 0], SYN, &[])),
            (from.other(), origin, tcp(back, [b, more_a], SYN | ACK, &[])),
            (from, to, tcp(there, [more_a, more_b], ACK, &[])),
            (from, to, tcp(there, [more_a, more_b], ACK | PSH, &[7; 20])),
        ];
        let count = self.walk.rng.below(5) as usize;
        for (from, to, body) in steps.into_iter().take(count) {
            send(self.walk, from, to, body);
        }
    }
}

fn tftp(walk: &mut Walk<'_>) {
    let port = walk.rng.range(1024, 65535) as u16;
    let other = walk.rng.range(1024, 65535) as u16;
    let opcode = walk.rng.weighted(&[(60, 1), (30, 2), (10, 3)]);
    let question = [&[0, opcode][..], b"name\0octet\0"].concat();
    walk.send(Side::Client, udp([port, 69], &question));
    let mut to = outside(walk);
    for block in 1..walk.rng.range(2, 5) as u8 {
        send(
            walk,
            Side::Server,
            to,
            udp([other, port], &[0, 3, 0, block]),
        );
        walk.send(Side::Client, udp([port, other], &[0, 4, 0, block]));
        if walk.rng.one_in(5) {
            to = outside(walk);
        }
    }
}

/// An address as SIP says it.
fn uri(addr: Addr) -> String {
    match addr {
        Addr::V4(_) => addr.to_string(),
        Addr::V6(_) => format!("[{addr}]"),
    }
}

/// A message of SIP: its first line, what is at each end, and a description of a session.
fn message(
    first: &str,
    ends: [Addr; 2],
    call: u32,
    method: &str,
    media: Option<(Addr, u16)>,
) -> Vec<u8> {
    let [client, server] = ends.map(uri);
    let mut body = String::new();
    if let Some((addr, port)) = media {
        let version = if matches!(addr, Addr::V4(_)) { 4 } else { 6 };
        body = format!(
            "v=0\r\no=me 1 1 IN IP{version} {addr}\r\ns=-\r\nc=IN IP{version} {addr}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
    }
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    let head = format!(
        "{first}\r\nVia: SIP/2.0/UDP {client}:5060;branch=z9hG4bK{call}\r\n\
         From: <sip:a@{client}>;tag=1\r\nTo: <sip:b@{server}>\r\nCall-ID: {call}@x\r\n\
         CSeq: 1 {method}\r\nContact: <sip:a@{client}:5060>\r\nMax-Forwards: 70\r\n{kind}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn sip(walk: &mut Walk<'_>) {
    let (client, server) = (walk.addr(Side::Client), walk.addr(Side::Server));
    let call = walk.rng.below(1000);
    let seen = outside(walk);
    let ends = [client, server];
    let back = [seen, server];
    let port = walk.rng.weighted(&[(80, 5060), (20, 5070)]);
    let there = |data: Vec<u8>| udp([port, 5060], &data);
    let answer = |data: Vec<u8>| udp([5060, port], &data);
    let to = uri(server);

    if walk.rng.chance(50) {
        let line = format!("REGISTER sip:{to} SIP/2.0");
        walk.send(
            Side::Client,
            there(message(&line, ends, call, "REGISTER", None)),
        );
        let line = walk
            .rng
            .pick(&["SIP/2.0 200 OK", "SIP/2.0 401 Unauthorized"]);
        let data = message(line, back, call, "REGISTER", None);
        walk.send(Side::Server, answer(data));
    }
    for _ in 0..walk.rng.range(1, 2) {
        let rtp = walk.rng.range(10_000, 30_000) as u16 & !1;
        let line = format!("INVITE sip:b@{to} SIP/2.0");
        let data = message(&line, ends, call, "INVITE", Some((client, rtp)));
        walk.send(Side::Client, there(data));
        let line = walk.rng.pick(&[
            "SIP/2.0 100 Trying",
            "SIP/2.0 183 Session Progress",
            "SIP/2.0 200 OK",
            "SIP/2.0 486 Busy Here",
        ]);
        let media = line.contains("200") || line.contains("183");
        let data = message(
            line,
            back,
            call,
            "INVITE",
            media.then_some((server, rtp + 40)),
        );
        walk.send(Side::Server, answer(data));
        for port in [rtp, rtp + 1] {
            if walk.rng.chance(50) {
                let to = outside(walk);
                send(walk, Side::Server, to, udp([rtp + 40, port], &[0x80; 12]));
            }
        }
        if walk.rng.chance(60) {
            walk.send(Side::Client, udp([rtp, rtp + 40], &[0x80; 12]));
        }
        let line = format!("ACK sip:b@{to} SIP/2.0");
        walk.send(Side::Client, there(message(&line, ends, call, "ACK", None)));
    }
    if walk.rng.chance(60) {
        let line = format!("BYE sip:b@{to} SIP/2.0");
        walk.send(Side::Client, there(message(&line, ends, call, "BYE", None)));
        let data = message("SIP/2.0 200 OK", back, call, "BYE", None);
        walk.send(Side::Server, answer(data));
    }
}
