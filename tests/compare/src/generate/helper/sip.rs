// SPDX-License-Identifier: GPL-2.0

//! SIP.

use crate::{
    generate::{
        helper::{
            outside,
            say,
            send,
            udp, //
        },
        walk::{
            Side,
            Walk, //
        },
    },
    packet::Addr, //
};

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
    let kind = match (body.is_empty(), method) {
        (false, _) => "Content-Type: application/sdp\r\n",
        (true, "REGISTER") => "Expires: 3600\r\n",
        (true, _) => "",
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

/// A phone registers, and calls.
pub fn talk(walk: &mut Walk<'_>) {
    let (client, server) = (walk.addr(Side::Client), walk.addr(Side::Server));
    let call = walk.rng.below(1000);
    let seen = outside(walk);
    let ends = [client, server];
    let back = [seen, server];
    let port = walk.rng.weighted(&[(80, 5060), (20, 5070)]);
    let there = [port, 5060];
    let answer = [5060, port];
    let to = uri(server);

    if walk.rng.chance(70) {
        // These are as they should be: with another number of seconds, what they make would expire.
        let line = format!("REGISTER sip:{to} SIP/2.0");
        let data = message(&line, ends, call, "REGISTER", None);
        walk.send(Side::Client, udp(there, &data));
        let line = walk
            .rng
            .weighted(&[(90, "SIP/2.0 200 OK"), (10, "SIP/2.0 401 Unauthorized")]);
        let data = message(line, back, call, "REGISTER", None);
        walk.send(Side::Server, udp(answer, &data));
        // Somebody calls.
        for _ in 0..walk.rng.range(1, 3) {
            let from = walk.rng.range(1024, 65535) as u16;
            let data = message("OPTIONS sip:a SIP/2.0", back, call, "OPTIONS", None);
            send(walk, Side::Server, seen, udp([from, 5060], &data));
        }
    }
    for _ in 0..walk.rng.range(1, 2) {
        let rtp = walk.rng.range(10_000, 30_000) as u16 & !1;
        let line = format!("INVITE sip:b@{to} SIP/2.0");
        let data = message(&line, ends, call, "INVITE", Some((client, rtp)));
        say(walk, Side::Client, there, &data);
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
        say(walk, Side::Server, answer, &data);
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
        let data = message(&line, ends, call, "ACK", None);
        say(walk, Side::Client, there, &data);
    }
    if walk.rng.chance(60) {
        let line = format!("BYE sip:b@{to} SIP/2.0");
        let data = message(&line, ends, call, "BYE", None);
        say(walk, Side::Client, there, &data);
        let data = message("SIP/2.0 200 OK", back, call, "BYE", None);
        say(walk, Side::Server, answer, &data);
    }
}
