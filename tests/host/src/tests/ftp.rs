// SPDX-License-Identifier: GPL-2.0

//! FTP: announcements are found in every form and however the stream is cut, nothing else is taken
//! for one, and they open only what they may.

use crate::{
    packet::Bytes,
    payload::{
        ftp::{
            check,
            Announced,
            Event,
            Expected,
            Kind,
            Refused,
            Session,
            Text,
            MOST_EVENTS, //
        },
        LINE,
    },
    tuple::{
        Addr,
        Direction::{
            self,
            Original,
            Reply, //
        },
        Tuple,
    },
    wire::{
        ipproto,
        Family, //
    },
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Where the data begins in the tests' packets.
const OFFSET: u32 = 20;

/// Gives a segment to a session, and returns what it announces.
fn feed(session: &mut Session, dir: Direction, seq: u32, data: &[u8]) -> Vec<Event> {
    let mut packet = vec![b'\n'; OFFSET as usize];
    packet.extend(data);
    let mut events = Vec::new();
    session.feed(dir, seq, &Bytes(&packet), OFFSET, |event| {
        events.push(event);
    });
    assert!(events.len() <= MOST_EVENTS);
    for event in &events {
        assert_eq!(event.kind.dir(), dir);
        if let Ok(announced) = event.outcome {
            assert_eq!(announced.kind, event.kind);
            assert_ne!(announced.port, 0);
            assert_eq!(announced.address.is_none(), event.kind == Kind::Epsv);
            text_of(&announced, seq, data);
        }
    }
    events
}

/// What the text of an announcement is, if it is in a segment.
fn text_of<'a>(announced: &Announced, seq: u32, data: &'a [u8]) -> Option<&'a str> {
    let Text { seq: at, len } = announced.text?;
    let at = at.wrapping_sub(seq) as usize;
    let text = data.get(at..at + len as usize);
    Some(std::str::from_utf8(text.expect("the text is in the segment")).expect("the text is ASCII"))
}

/// A session in which lines begin at `seq`.
fn session(seq: u32) -> Session {
    let mut session = Session::new();
    session.begin(Original, seq);
    session.begin(Reply, seq);
    session
}

/// What a segment on its own announces, that begins with a line.
fn alone(dir: Direction, data: &[u8]) -> Vec<Event> {
    feed(&mut session(7), dir, 7, data)
}

/// What was announced, without where it is written.
fn outcomes(events: &[Event]) -> Vec<(Kind, Result<Announced, Refused>)> {
    let bare = |event: &Event| {
        let outcome = event.outcome.map(|announced| Announced {
            text: None,
            ..announced
        });
        (event.kind, outcome)
    };
    events.iter().map(bare).collect()
}

/// The ports of what was announced.
fn ports(events: &[Event]) -> Vec<u16> {
    let port = |event: &Event| event.outcome.ok().map(|announced| announced.port);
    events.iter().filter_map(port).collect()
}

fn v4(text: &str) -> Option<(Family, Addr)> {
    let addr: std::net::Ipv4Addr = text.parse().unwrap();
    Some((Family::Ipv4, Addr::v4(addr.octets())))
}

fn v6(text: &str) -> Option<(Family, Addr)> {
    let addr: std::net::Ipv6Addr = text.parse().unwrap();
    Some((Family::Ipv6, Addr::v6(addr.octets())))
}

/// What a line, with or without the ends that lines have, announces: address and port, and the text
/// that says so.
fn assert_announces(
    line: &[u8],
    kind: Kind,
    address: Option<(Family, Addr)>,
    port: u16,
    text: &str,
) {
    for end in ["\r\n", "\n", " \r\n"] {
        let data = [line, end.as_bytes()].concat();
        let events = alone(kind.dir(), &data);
        let shown = String::from_utf8_lossy(&data);
        let [event] = events[..] else {
            panic!("{shown:?}: {events:?}");
        };
        let announced = event
            .outcome
            .unwrap_or_else(|why| panic!("{shown:?}: {why:?}"));
        assert_eq!(event.kind, kind, "{shown:?}");
        assert_eq!(
            (announced.address, announced.port),
            (address, port),
            "{shown:?}"
        );
        assert_eq!(text_of(&announced, 7, &data), Some(text), "{shown:?}");
        // In the other direction it means nothing.
        assert_eq!(alone(!kind.dir(), &data), [], "{shown:?}");
    }
}

#[test]
fn port_commands() {
    let rows: [(&[u8], &str, u16, &str); 14] = [
        (
            b"PORT 192,168,1,2,7,138",
            "192.168.1.2",
            1930,
            "192,168,1,2,7,138",
        ),
        (
            b"port 192,168,1,2,7,138",
            "192.168.1.2",
            1930,
            "192,168,1,2,7,138",
        ),
        (b"PoRt 10,0,0,1,4,0", "10.0.0.1", 1024, "10,0,0,1,4,0"),
        (b"PORT   10,0,0,1,4,0", "10.0.0.1", 1024, "10,0,0,1,4,0"),
        (b"PORT\t10,0,0,1,4,0  ", "10.0.0.1", 1024, "10,0,0,1,4,0"),
        (
            b"PORT 010,000,00,001,004,00",
            "10.0.0.1",
            1024,
            "010,000,00,001,004,00",
        ),
        (
            b"PORT 255,255,255,255,255,255",
            "255.255.255.255",
            65535,
            "255,255,255,255,255,255",
        ),
        (b"PORT 0,0,0,0,0,1", "0.0.0.0", 1, "0,0,0,0,0,1"),
        (b"PORT 1,2,3,4,1,0", "1.2.3.4", 256, "1,2,3,4,1,0"),
        (b"PORT 1,2,3,4,0,255", "1.2.3.4", 255, "1,2,3,4,0,255"),
        // Telnet's interrupt and data mark, a negotiation, and several of both.
        (
            b"\xff\xf4\xff\xf2PORT 1,2,3,4,5,6",
            "1.2.3.4",
            1286,
            "1,2,3,4,5,6",
        ),
        (
            b"\xff\xfb\x06PORT 1,2,3,4,5,6",
            "1.2.3.4",
            1286,
            "1,2,3,4,5,6",
        ),
        (b"\xff\xfePORT 1,2,3,4,5,6", "", 0, ""),
        (
            b"\xff\xfe\xff\xff\xf1\xff\xfdPport 1,2,3,4,5,6",
            "1.2.3.4",
            1286,
            "1,2,3,4,5,6",
        ),
    ];
    for (line, address, port, text) in rows {
        if address.is_empty() {
            // The option takes the first letter.
            assert_eq!(alone(Original, &[line, b"\r\n"].concat()), []);
        } else {
            assert_announces(line, Kind::Port, v4(address), port, text);
        }
    }
}

#[test]
fn eprt_commands() {
    let rows = [
        (
            "EPRT |1|132.235.1.2|6275|",
            v4("132.235.1.2"),
            6275,
            "|1|132.235.1.2|6275|",
        ),
        (
            "eprt |1|1.2.3.4|65535|",
            v4("1.2.3.4"),
            65535,
            "|1|1.2.3.4|65535|",
        ),
        (
            "EPRT   |1|1.2.3.4|00080|",
            v4("1.2.3.4"),
            80,
            "|1|1.2.3.4|00080|",
        ),
        ("EPRT !1!1.2.3.4!99!", v4("1.2.3.4"), 99, "!1!1.2.3.4!99!"),
        (
            "EPRT ~1~1.2.3.4~99~ trailing",
            v4("1.2.3.4"),
            99,
            "~1~1.2.3.4~99~",
        ),
        ("EPRT a1a1.2.3.4a99a", v4("1.2.3.4"), 99, "a1a1.2.3.4a99a"),
        ("EPRT |2|::1|5282|", v6("::1"), 5282, "|2|::1|5282|"),
        ("EPRT |2|::|5282|", v6("::"), 5282, "|2|::|5282|"),
        (
            "EPRT |2|1080::8:800:200C:417A|5282|",
            v6("1080::8:800:200c:417a"),
            5282,
            "|2|1080::8:800:200C:417A|5282|",
        ),
        (
            "EPRT |2|::ffff:1.2.3.4|5282|",
            v6("::ffff:102:304"),
            5282,
            "|2|::ffff:1.2.3.4|5282|",
        ),
        (
            "EPRT |2|ABCD:ef01:2345:6789:abcd:EF01:255.255.255.255|65535|",
            v6("abcd:ef01:2345:6789:abcd:ef01:ffff:ffff"),
            65535,
            "|2|ABCD:ef01:2345:6789:abcd:EF01:255.255.255.255|65535|",
        ),
    ];
    for (line, address, port, text) in rows {
        assert_announces(line.as_bytes(), Kind::Eprt, address, port, text);
    }
}

#[test]
fn replies_227() {
    let rows = [
        (
            "227 Entering Passive Mode (192,168,1,2,7,138).",
            1930,
            "192,168,1,2,7,138",
        ),
        (
            "227 Entering Passive Mode (192,168,1,2,7,138)",
            1930,
            "192,168,1,2,7,138",
        ),
        (
            "227 Entering Passive Mode. 192,168,1,2,7,138",
            1930,
            "192,168,1,2,7,138",
        ),
        (
            "227 Entering Passive Mode 192,168,1,2,7,138.",
            1930,
            "192,168,1,2,7,138",
        ),
        ("227 =192,168,1,2,7,138", 1930, "192,168,1,2,7,138"),
        (
            "227 Entering Passive Mode, a=192,168,1,2,7,138;",
            1930,
            "192,168,1,2,7,138",
        ),
        (
            "227 192,168,1,2,7,138 is where 2 connect to",
            1930,
            "192,168,1,2,7,138",
        ),
        (
            "227 Passage en mode passif r\u{e9}ussi (192,168,1,2,7,138).",
            1930,
            "192,168,1,2,7,138",
        ),
        ("227 (192,168,1,2,255,255)", 65535, "192,168,1,2,255,255"),
        ("227 (192,168,1,2,0,1)", 1, "192,168,1,2,0,1"),
    ];
    for (line, port, text) in rows {
        assert_announces(line.as_bytes(), Kind::Pasv, v4("192.168.1.2"), port, text);
    }
}

#[test]
fn replies_229() {
    let rows = [
        (
            "229 Entering Extended Passive Mode (|||6446|)",
            6446,
            "|||6446|",
        ),
        (
            "229 Entering Extended Passive Mode (|||6446|).",
            6446,
            "|||6446|",
        ),
        (
            "229 Extended passive mode OK (|||6446|) (really)",
            6446,
            "|||6446|",
        ),
        ("229 (|||6446|", 6446, "|||6446|"),
        ("229 (!!!65535!)", 65535, "!!!65535!"),
        ("229 (~~~1~)", 1, "~~~1~"),
        ("229 (***00021*)", 21, "***00021*"),
        ("229 ((((1024()", 1024, "(((1024("),
    ];
    for (line, port, text) in rows {
        assert_announces(line.as_bytes(), Kind::Epsv, None, port, text);
    }
}

#[test]
fn refusals() {
    let rows = [
        ("PORT", Refused::Number),
        ("PORT ", Refused::Number),
        ("PORT x", Refused::Number),
        ("PORT 1,2,3,4,5", Refused::Number),
        ("PORT 1,2,3,4,5,", Refused::Number),
        ("PORT 1,2,,4,5,6", Refused::Number),
        ("PORT ,2,3,4,5,6", Refused::Number),
        ("PORT 256,2,3,4,5,6", Refused::Number),
        ("PORT 1,2,3,256,5,6", Refused::Number),
        ("PORT 1,2,3,4,256,6", Refused::Number),
        ("PORT 1,2,3,4,5,256", Refused::Number),
        ("PORT 1,2,3,4,5,999", Refused::Number),
        ("PORT 1,2,3,4,5,0006", Refused::Number),
        ("PORT 1,2,3,4,5,4294967297", Refused::Number),
        ("PORT 1,2,3,4,5,-6", Refused::Number),
        ("PORT 1,2,3,4,5,+6", Refused::Number),
        ("PORT 1,2,3,4,5,6,7", Refused::Number),
        ("PORT 1,2,3,4,5,6,", Refused::Number),
        ("PORT 1,2,3,4,5,6x", Refused::Number),
        ("PORT 1,2,3,4,5,6 x", Refused::Number),
        ("PORT 1, 2,3,4,5,6", Refused::Number),
        ("PORT 1.2.3.4.5.6", Refused::Delimiter),
        ("PORT 1,2,3,4,5;6", Refused::Delimiter),
        ("PORT 1,2,3,4 ,5,6", Refused::Delimiter),
        ("PORT 1,2,3,4,0,0", Refused::PortZero),
        ("227 Entering Passive Mode", Refused::Number),
        ("227 Entering Passive Mode (", Refused::Number),
        ("227 Entering Passive Mode (1,2,3,4,5)", Refused::Delimiter),
        ("227 Entering Passive Mode (1,2,3,4,5", Refused::Number),
        ("227 Entering Passive Mode (1,2,3,4,5,)", Refused::Number),
        ("227 Entering Passive Mode (1,2,3,4,5,256)", Refused::Number),
        ("227 Entering Passive Mode (1,2,3,4,5,6,7)", Refused::Number),
        ("227 Passive Mode 2 (1,2,3,4,5,6)", Refused::Delimiter),
        ("227 (1,2,3,4,0,0)", Refused::PortZero),
        ("EPRT", Refused::Delimiter),
        ("EPRT ", Refused::Delimiter),
        ("EPRT |", Refused::Delimiter),
        ("EPRT |1|1.2.3.4|99", Refused::Delimiter),
        ("EPRT |1|1.2.3.4", Refused::Delimiter),
        ("EPRT |1!1.2.3.4!99!", Refused::Delimiter),
        ("EPRT 111.2.3.41991", Refused::Delimiter),
        (
            "EPRT \u{7f}1\u{7f}1.2.3.4\u{7f}99\u{7f}",
            Refused::Delimiter,
        ),
        ("EPRT \u{1}1\u{1}1.2.3.4\u{1}99\u{1}", Refused::Delimiter),
        ("EPRT |0|1.2.3.4|99|", Refused::Family),
        ("EPRT |3|1.2.3.4|99|", Refused::Family),
        ("EPRT ||1.2.3.4|99|", Refused::Family),
        ("EPRT |12|1.2.3.4|99|", Refused::Family),
        ("EPRT |1|1.2.3|99|", Refused::Address),
        ("EPRT |1|1.2.3.4.5|99|", Refused::Address),
        ("EPRT |1|1.2.3.256|99|", Refused::Address),
        ("EPRT |1|1,2,3,4|99|", Refused::Address),
        ("EPRT |1| 1.2.3.4|99|", Refused::Address),
        ("EPRT |1||99|", Refused::Address),
        ("EPRT |1|::1|99|", Refused::Address),
        ("EPRT |2|1.2.3.4|99|", Refused::Address),
        ("EPRT |2|:::1|99|", Refused::Address),
        ("EPRT |2|1::2::3|99|", Refused::Address),
        ("EPRT |2|1:2:3:4:5:6:7|99|", Refused::Address),
        ("EPRT |2|1:2:3:4:5:6:7:8:9|99|", Refused::Address),
        ("EPRT |2|12345::|99|", Refused::Address),
        ("EPRT |2|g::|99|", Refused::Address),
        ("EPRT |2|fe80::1%eth0|99|", Refused::Address),
        ("EPRT |2|[::1]|99|", Refused::Address),
        ("EPRT |2|\u{661}::|99|", Refused::Address),
        ("EPRT |1|1.2.3.4||", Refused::Number),
        ("EPRT |1|1.2.3.4|65536|", Refused::Number),
        ("EPRT |1|1.2.3.4|000099|", Refused::Number),
        ("EPRT |1|1.2.3.4|-1|", Refused::Number),
        ("EPRT |1|1.2.3.4|99 |", Refused::Number),
        ("EPRT |1|1.2.3.4|4294967395|", Refused::Number),
        ("EPRT |1|1.2.3.4|0|", Refused::PortZero),
        ("229 Entering Extended Passive Mode", Refused::Delimiter),
        (
            "229 Entering Extended Passive Mode |||99|",
            Refused::Delimiter,
        ),
        ("229 (", Refused::Delimiter),
        ("229 (|||99)", Refused::Delimiter),
        ("229 (||99|)", Refused::Delimiter),
        ("229 (|!|99|)", Refused::Delimiter),
        ("229 (|1||99|)", Refused::Delimiter),
        ("229 (|1|1.2.3.4|99|)", Refused::Delimiter),
        ("229 ( |||99|)", Refused::Delimiter),
        ("229 (1111991)", Refused::Delimiter),
        ("229 (||||)", Refused::Number),
        ("229 (|||65536|)", Refused::Number),
        ("229 (|||99999|)", Refused::Number),
        ("229 (|||9x|)", Refused::Number),
        ("229 (|||000000|)", Refused::Number),
        ("229 (|||0|)", Refused::PortZero),
        ("229 (|||00000|)", Refused::PortZero),
    ];
    for (line, refused) in rows {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| line.starts_with(kind.name()));
        let kind = kind.expect("a line of some kind");
        for end in ["\r\n", "\n"] {
            let events = alone(kind.dir(), [line, end].concat().as_bytes());
            let outcome = Err(refused);
            assert_eq!(events, [Event { kind, outcome }], "{line:?}");
        }
    }
    let seen: BTreeSet<_> = rows.iter().map(|(_, refused)| refused.name()).collect();
    assert_eq!(
        seen.len() + 3,
        Refused::ALL.len(),
        "other tests have the other three"
    );
}

/// Only a line that begins with the command or the code, and goes on as it must, is one.
#[test]
fn other_lines() {
    let numbers = "1,2,3,4,5,6 (|||99|)";
    let rows = [
        (Original, "PORTS "),
        (Original, "PORT"),
        (Original, "PORT,"),
        (Original, "XPORT "),
        (Original, " PORT "),
        (Original, "POR "),
        (Original, "LPRT "),
        (Original, "NOOP PORT "),
        (Original, "EPRT|1|1.2.3.4|99|"),
        (Original, "PASV "),
        (Original, "\rPORT "),
        (Original, "\0PORT "),
        (Reply, "227-"),
        (Reply, "229-"),
        (Reply, "227"),
        (Reply, "227\t"),
        (Reply, "2271 "),
        (Reply, " 227 "),
        (Reply, "220 227 "),
        (Reply, "228 "),
        (Reply, "200 "),
        (Reply, "\r227 "),
    ];
    for (dir, begin) in rows {
        let line = [begin, numbers, "\r\n"].concat();
        assert_eq!(alone(dir, line.as_bytes()), [], "{line:?}");
    }
    for line in ["", "\r", "227", "227 ", "PORT\0", "\u{7f}"] {
        let line = [line, "\n"].concat();
        assert!(ports(&alone(Reply, line.as_bytes())).is_empty(), "{line:?}");
        assert_eq!(alone(Original, line.as_bytes()), [], "{line:?}");
    }
    // Telnet commands that are not whole, and an escaped byte.
    for line in [
        &b"\xff"[..],
        b"\xff\xfb",
        b"\xff\xff\xff\xf4PORT 1,2,3,4,5,6",
    ] {
        assert_eq!(alone(Original, &[line, b"\n"].concat()), [], "{line:?}");
    }
}

/// Of a reply of several lines the last one counts, and of a segment every line.
#[test]
fn several_lines() {
    let replies = "227-Entering 1,2,3,4,5,6\r\n 227 (1,2,3,4,5,6)\r\n227 Now (1,2,3,4,5,7)\r\n";
    assert_eq!(ports(&alone(Reply, replies.as_bytes())), [1287]);

    let commands = "USER a\r\nPORT 1,2,3,4,5,6\nPORT 1,2,3\r\neprt |1|1.2.3.4|99|\r\nQUIT\r\n";
    let events = alone(Original, commands.as_bytes());
    assert_eq!(ports(&events), [1286, 99]);
    assert_eq!(events[1].outcome, Err(Refused::Number));
}

/// A refusal has its own name and sentence; kinds have the kernel's numbers.
#[test]
fn names_and_sentences() {
    let names: BTreeSet<_> = Refused::ALL.iter().map(|refused| refused.name()).collect();
    let sentences: BTreeSet<_> = Refused::ALL.iter().map(|why| why.describe()).collect();
    assert_eq!(
        (names.len(), sentences.len()),
        (Refused::ALL.len(), Refused::ALL.len())
    );
    for refused in Refused::ALL {
        let name = refused.name();
        assert!(name.starts_with("ftp_"), "{name}");
        assert!(
            name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'),
            "{name}"
        );
        let sentence = refused.describe();
        assert!(
            sentence.starts_with(char::is_uppercase) && sentence.ends_with('.'),
            "{sentence}"
        );
    }
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, index);
    }
    assert_eq!(Kind::ALL, [Kind::Port, Kind::Pasv, Kind::Eprt, Kind::Epsv]);
}

/// The tuples of a connection between two addresses, and with the client seen by the server, and
/// the server seen by the client, under others.
fn tuples(family: Family, addrs: [Addr; 4]) -> [Tuple; 2] {
    let [client, server_seen, server, client_seen] = addrs;
    [
        Tuple::new(family, ipproto::TCP, client, server_seen).with_ports(40000, 21),
        Tuple::new(family, ipproto::TCP, server, client_seen)
            .with_ports(21, 40000)
            .with_dir(Reply),
    ]
}

fn announced(kind: Kind, address: Option<(Family, Addr)>, port: u16) -> Announced {
    Announced {
        kind,
        address,
        port,
        text: None,
    }
}

const CLIENT: Addr = Addr::v4([10, 0, 0, 1]);
const SERVER: Addr = Addr::v4([192, 0, 2, 1]);
const OTHER: Addr = Addr::v4([198, 51, 100, 1]);

#[test]
fn checks() {
    let plain = tuples(Family::Ipv4, [CLIENT, SERVER, SERVER, CLIENT]);
    let to = |src, dst, port, foreign| {
        Ok(Expected {
            src,
            dst,
            port,
            foreign,
        })
    };
    let v4 = |addr| Some((Family::Ipv4, addr));
    let v6 = Some((Family::Ipv6, Addr::v6([0; 16])));
    let low = Err(Refused::LowPort);
    let far = Err(Refused::ForeignAddress);
    let family = Err(Refused::Family);
    // (kind, address, port, strict, loose)
    let rows = [
        (
            Kind::Port,
            v4(CLIENT),
            1024,
            to(SERVER, CLIENT, 1024, false),
            None,
        ),
        (
            Kind::Port,
            v4(CLIENT),
            65535,
            to(SERVER, CLIENT, 65535, false),
            None,
        ),
        (Kind::Port, v4(CLIENT), 1023, low, None),
        (Kind::Port, v4(CLIENT), 1, low, None),
        (Kind::Port, v4(OTHER), 1023, low, None),
        (
            Kind::Port,
            v4(OTHER),
            1024,
            far,
            Some(to(SERVER, OTHER, 1024, true)),
        ),
        (
            Kind::Port,
            v4(SERVER),
            1024,
            far,
            Some(to(SERVER, SERVER, 1024, true)),
        ),
        (
            Kind::Eprt,
            v4(CLIENT),
            1024,
            to(SERVER, CLIENT, 1024, false),
            None,
        ),
        (
            Kind::Eprt,
            v4(OTHER),
            1024,
            far,
            Some(to(SERVER, OTHER, 1024, true)),
        ),
        (Kind::Eprt, v6, 1024, family, None),
        (Kind::Eprt, v6, 80, family, None),
        (
            Kind::Pasv,
            v4(SERVER),
            1024,
            to(CLIENT, SERVER, 1024, false),
            None,
        ),
        (
            Kind::Pasv,
            v4(CLIENT),
            1024,
            far,
            Some(to(CLIENT, CLIENT, 1024, true)),
        ),
        (
            Kind::Pasv,
            v4(OTHER),
            1024,
            far,
            Some(to(CLIENT, OTHER, 1024, true)),
        ),
        (Kind::Pasv, v4(SERVER), 1023, low, None),
        (
            Kind::Epsv,
            None,
            1024,
            to(CLIENT, SERVER, 1024, false),
            None,
        ),
        (Kind::Epsv, None, 1023, low, None),
    ];
    for (kind, address, port, strict, loose) in rows {
        let announced = announced(kind, address, port);
        assert_eq!(check(&announced, &plain, false), strict, "{announced:?}");
        assert_eq!(
            check(&announced, &plain, true),
            loose.unwrap_or(strict),
            "{announced:?}"
        );
    }
}

/// IPv6 connections, where all 16 bytes count and 227 names no address that would do.
#[test]
fn checks_ipv6() {
    let addr = |last| Addr::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    let tuples = tuples(Family::Ipv6, [addr(1), addr(2), addr(2), addr(1)]);
    let eprt = |addr| announced(Kind::Eprt, Some((Family::Ipv6, addr)), 2000);

    let expected = check(&eprt(addr(1)), &tuples, false).unwrap();
    assert_eq!(
        (expected.src, expected.dst, expected.port),
        (addr(2), addr(1), 2000)
    );
    assert_eq!(
        check(&eprt(addr(3)), &tuples, false),
        Err(Refused::ForeignAddress)
    );
    assert!(check(&eprt(addr(3)), &tuples, true).unwrap().foreign);

    for kind in [Kind::Port, Kind::Pasv, Kind::Eprt] {
        let announced = announced(kind, Some((Family::Ipv4, CLIENT)), 2000);
        assert_eq!(check(&announced, &tuples, true), Err(Refused::Family));
    }
    let expected = check(&announced(Kind::Epsv, None, 2000), &tuples, false).unwrap();
    assert_eq!((expected.src, expected.dst), (addr(1), addr(2)));
}

/// Behind NAT the sender announces the address that it has, and is reached at the one that it is
/// seen under.
#[test]
fn checks_nat() {
    let seen = Addr::v4([203, 0, 113, 7]);
    let inner = Addr::v4([172, 16, 0, 1]);
    let tuples = tuples(Family::Ipv4, [CLIENT, SERVER, inner, seen]);
    let announced = |kind, addr| announced(kind, Some((Family::Ipv4, addr)), 2000);

    let expected = check(&announced(Kind::Port, CLIENT), &tuples, false).unwrap();
    assert_eq!(
        (expected.src, expected.dst, expected.foreign),
        (inner, seen, false)
    );
    let expected = check(&announced(Kind::Pasv, inner), &tuples, false).unwrap();
    assert_eq!(
        (expected.src, expected.dst, expected.foreign),
        (CLIENT, SERVER, false)
    );

    for (kind, addr) in [(Kind::Port, seen), (Kind::Pasv, SERVER)] {
        assert_eq!(
            check(&announced(kind, addr), &tuples, false),
            Err(Refused::ForeignAddress)
        );
        assert_eq!(
            check(&announced(kind, addr), &tuples, true).unwrap().dst,
            addr
        );
    }
}

/// A stream with every kind of line that matters, for one direction.
fn stream(dir: Direction) -> Vec<u8> {
    let lines: &[&str] = match dir {
        Original => &[
            "USER anonymous\r\n",
            "PORT 192,168,1,2,7,138\r\n",
            "\n",
            "PORT 1,2,3,4,5\r\n",
            "EPRT |2|2001:db8::ffff:1.2.3.4|5282|\n",
            "QUIT\r\n",
        ],
        Reply => &[
            "220-Welcome\r\n",
            " to (1,2,3,4,5,6)\r\n220 it\r\n",
            "227 Entering Passive Mode (192,168,1,2,7,138).\r\n",
            "227 1,2,3\r\n",
            "229 Entering Extended Passive Mode (|||6446|)\r\n",
            "226 done\r\n",
        ],
    };
    lines.concat().into_bytes()
}

/// Gives a stream that begins at `seq`, cut at some places, to a session.
fn feed_cut(
    session: &mut Session,
    dir: Direction,
    seq: u32,
    data: &[u8],
    cuts: &[usize],
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([data.len()]) {
        let at = seq.wrapping_add(from as u32);
        events.extend(feed(session, dir, at, &data[from..to]));
        from = to;
    }
    events
}

/// Wherever the stream is cut once, and cut into single bytes, it announces the same; also across
/// the end of the sequence numbers.
#[test]
fn cut_at_every_byte() {
    for dir in Direction::BOTH {
        let data = stream(dir);
        for seq in [0, 1000, u32::MAX - 60, 0u32.wrapping_sub(data.len() as u32)] {
            let whole = feed(&mut session(seq), dir, seq, &data);
            assert_eq!(whole.len(), 3);
            assert!(whole
                .iter()
                .flat_map(|event| event.outcome)
                .all(|a| a.text.is_some()));

            for cut in 0..=data.len() {
                let events = feed_cut(&mut session(seq), dir, seq, &data, &[cut]);
                assert_eq!(outcomes(&events), outcomes(&whole), "{cut}");
                // The text is told if it is not cut, and then it is where it was.
                for (event, whole) in events.iter().zip(&whole) {
                    let (Ok(event), Ok(whole)) = (event.outcome, whole.outcome) else {
                        continue;
                    };
                    let text = whole.text.unwrap();
                    let begin = text.seq.wrapping_sub(seq) as usize;
                    let inside = begin + text.len as usize;
                    let line_end =
                        inside + data[inside..].iter().position(|b| *b == b'\n').unwrap();
                    let in_one = cut <= begin || cut > line_end;
                    assert_eq!(event.text, in_one.then_some(text), "{cut}");
                }
            }

            let bytes: Vec<_> = (1..data.len()).collect();
            let events = feed_cut(&mut session(seq), dir, seq, &data, &bytes);
            assert_eq!(outcomes(&events), outcomes(&whole));
        }
    }
}

/// Without a known beginning, the first line end makes one.
#[test]
fn first_segment() {
    let line = b"227 (1,2,3,4,5,6)\r\n";
    let mut session = Session::new();
    assert_eq!(feed(&mut session, Reply, 100, line), []);
    assert_eq!(ports(&feed(&mut session, Reply, 119, line)), [1286]);
    // The other direction knows nothing of it.
    assert_eq!(
        feed(&mut session, Original, 138, b"PORT 1,2,3,4,5,6\r\n"),
        []
    );

    let mut session = Session::new();
    assert_eq!(feed(&mut session, Reply, 100, b"220 no end"), []);
    assert_eq!(feed(&mut session, Reply, 110, line), []);
    assert_eq!(ports(&feed(&mut session, Reply, 129, line)), [1286]);
}

/// Data that comes again, whole, in part or with more behind it, changes nothing.
#[test]
fn retransmissions() {
    for dir in Direction::BOTH {
        let data = stream(dir);
        let whole = feed(&mut session(5), dir, 5, &data);
        for from in 0..data.len() {
            for to in from..=data.len() {
                let mut session = session(5);
                let mut events = feed(&mut session, dir, 5, &data[..to]);
                events.extend(feed(&mut session, dir, 5 + from as u32, &data[from..to]));
                events.extend(feed(&mut session, dir, 5 + from as u32, &data[from..]));
                assert_eq!(outcomes(&events), outcomes(&whole), "{from} {to}");
            }
        }
    }
}

/// Where data that comes again is other data, what was seen first counts, and nothing is told to be
/// in the segment that is not there.
#[test]
fn other_data_again() {
    let again = |second: &str| {
        let mut session = session(0);
        assert_eq!(feed(&mut session, Original, 0, b"PORT 1,2,3,4,5,"), []);
        let events = feed(&mut session, Original, 0, second.as_bytes());
        assert_eq!(ports(&events), [1286]);
        let announced = events[0].outcome.unwrap();
        text_of(&announced, 0, second.as_bytes()).map(str::to_owned)
    };
    let text = Some("1,2,3,4,5,6".to_owned());
    assert_eq!(again("PORT 1,2,3,4,5,6\r\n"), text);
    assert_eq!(again("NOOP 1,2,3,4,5,6\r\n"), text);
    assert_eq!(again("PORT 9,2,3,4,5,6\r\n"), None);
    assert_eq!(again("PORT 1,2,3,4,9,6\r\n"), None);
}

/// What is lost is lost, but behind the next line end all is well.
#[test]
fn losses() {
    let dir = Original;
    let mut session = session(0);
    assert_eq!(feed(&mut session, dir, 0, b"USER a\r\n"), []);
    // A hole of ten bytes; then a piece that ends no line, and one that does.
    assert_eq!(feed(&mut session, dir, 18, b"PORT 1,2,3,4,5,"), []);
    assert_eq!(feed(&mut session, dir, 33, b"6\r\n"), []);
    assert_eq!(
        ports(&feed(&mut session, dir, 36, b"PORT 1,2,3,4,5,7\r\n")),
        [1287]
    );
    // The lost piece comes late, in front of what was seen already.
    assert_eq!(feed(&mut session, dir, 8, b"NOOP \xff\xf4\xff\xf2\n"), []);
    // What follows it comes again as well, and now it is known to be a line.
    assert_eq!(
        ports(&feed(&mut session, dir, 18, b"PORT 1,2,3,4,5,6\r\n")),
        [1286]
    );
    // So does what was told already, and the two places meet: the rest is told once.
    assert_eq!(
        ports(&feed(&mut session, dir, 36, b"PORT 1,2,3,4,5,7\r\n")),
        [1287]
    );
    for told in [&[1288][..], &[]] {
        let events = feed(&mut session, dir, 54, b"PORT 1,2,3,4,5,8\r\n");
        assert_eq!(ports(&events), told);
    }
}

/// Two segments that change places: of the one that came too early nothing is read, the late one
/// and all that follows are.
#[test]
fn swapped_segments() {
    let segments = [
        "USER a\r\n",
        "PORT 1,2,3,4,5,1\r\n",
        "NOOP\r\n",
        "PORT 1,2,3,4,5,2\r\nNOOP\r\nPORT 1,2,3,4,5,3\r\nPORT 1,",
        "2,3,4,5,4\r\n",
        "PORT 1,2,3,4,5,5\r\n",
    ];
    let starts: Vec<_> = segments
        .iter()
        .scan(u32::MAX - 20, |seq, segment| {
            let start = *seq;
            *seq = start.wrapping_add(segment.len() as u32);
            Some(start)
        })
        .collect();
    let ports_of = |order: &[usize]| {
        let mut session = session(u32::MAX - 20);
        let read = |&at: &usize| {
            ports(&feed(
                &mut session,
                Original,
                starts[at],
                segments[at].as_bytes(),
            ))
        };
        let ports: Vec<u16> = order.iter().flat_map(read).collect();
        ports
            .into_iter()
            .map(|port| port - 1280)
            .collect::<Vec<_>>()
    };
    assert_eq!(ports_of(&[0, 1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
    assert_eq!(ports_of(&[0, 2, 1, 3, 4, 5]), [1, 2, 3, 4, 5]);
    assert_eq!(ports_of(&[1, 0, 2, 3, 4, 5]), [2, 3, 4, 5]);
    assert_eq!(ports_of(&[0, 1, 3, 2, 4, 5]), [1, 5]);
    assert_eq!(ports_of(&[0, 1, 2, 4, 3, 5]), [1, 2, 3, 5]);
    assert_eq!(ports_of(&[0, 1, 2, 3, 5, 4]), [1, 2, 3, 4]);
}

/// There are two places: a third one takes the room of the one that is further behind.
#[test]
fn two_places() {
    let line = b"PORT 1,2,3,4,5,6\r\n";
    let long = 1 << 20;
    let places = |order: [u32; 3]| {
        let mut session = Session::new();
        for end in order {
            feed(&mut session, Original, end - 1, b"\n");
        }
        let read = |seq| !feed(&mut { session }, Original, seq, line).is_empty();
        [read(long), read(2 * long), read(3 * long)]
    };
    assert_eq!(places([long, 2 * long, 3 * long]), [false, true, true]);
    assert_eq!(places([2 * long, long, 3 * long]), [false, true, true]);
    assert_eq!(places([2 * long, 3 * long, long]), [true, false, true]);
    assert_eq!(places([long, long, 3 * long]), [true, false, true]);
}

/// A line end within 64 KiB behind a place was read before; one further behind is no longer
/// thought of so, and a place that is wrong does not make the session deaf.
#[test]
fn old_line_ends() {
    let line = b"PORT 1,2,3,4,5,6\r\n";
    for (distance, read) in [(1, false), (1 << 16, false), ((1 << 16) + 1, true)] {
        let place = 1000u32;
        let mut session = session(place);
        let end = place.wrapping_sub(distance);
        assert_eq!(feed(&mut session, Original, end.wrapping_sub(1), b"\n"), []);
        let events = feed(&mut session, Original, end, &line[..]);
        let events = if distance < line.len() as u32 {
            vec![]
        } else {
            events
        };
        assert_eq!(!events.is_empty(), read, "{distance}");
    }
}

/// A line that is too long is read as far as it is kept: enough if the numbers end before.
#[test]
fn long_lines() {
    let next = "227 (1,2,3,4,5,7)\r\n";
    // (length of the line without "\n", what is at its end, outcome)
    let numbers = "1,2,3,4,5,6";
    let padded = |len: usize, end: &str| {
        let text = format!("{:x<width$}{end}", "227 ", width = len - end.len());
        assert_eq!(text.len(), len);
        text
    };
    let rows = [
        (padded(LINE, numbers), Ok(1286)),
        (padded(LINE, &format!("{numbers})")), Ok(1286)),
        (
            padded(LINE + 1, &format!("{numbers})")),
            Err(Refused::LineTooLong),
        ),
        (
            padded(LINE + 2, &format!("{numbers}).")),
            Err(Refused::LineTooLong),
        ),
        (
            padded(LINE + 2, &format!("{numbers}0)")),
            Err(Refused::LineTooLong),
        ),
        (padded(LINE + 1, &format!("{numbers}).")), Ok(1286)),
        (padded(LINE + 1, numbers), Err(Refused::LineTooLong)),
        (padded(1000, numbers), Err(Refused::LineTooLong)),
        (padded(1000, ""), Err(Refused::LineTooLong)),
        (format!("227 {numbers} {}", "x".repeat(60_000)), Ok(1286)),
    ];
    for (line, outcome) in rows {
        let data = [&line, "\n", next].concat();
        for cut in [0, 3, LINE, LINE + 1, line.len(), line.len() + 1] {
            let events = feed_cut(
                &mut session(9),
                Reply,
                9,
                data.as_bytes(),
                &[cut.min(data.len())],
            );
            let found: Vec<_> = events.iter().map(|e| e.outcome.map(|a| a.port)).collect();
            assert_eq!(found, [outcome, Ok(1287)], "{} {cut}", line.len());
        }
    }
    // Where the numbers are is known all the same.
    let data = format!("227 {numbers} {}\n", "x".repeat(LINE));
    let announced = alone(Reply, data.as_bytes())[0].outcome.unwrap();
    assert_eq!(text_of(&announced, 7, data.as_bytes()), Some(numbers));
    // One that announces nothing is passed over in silence, however it ends.
    let data = format!(
        "{}PORT 1,2,3,4,5,6\r\nPORT 1,2,3,4,5,7\r\n",
        "x".repeat(LINE)
    );
    assert_eq!(ports(&alone(Original, data.as_bytes())), [1287]);
}

/// A segment of any length is read to its end, up to 64 KiB; a longer one is not.
#[test]
fn long_segments() {
    let line = "PORT 1,2,3,4,5,6\r\n";
    let lengths = (0..200).chain([65536 - line.len() - 1, 65536 - line.len()]);
    for len in lengths {
        let data = [&"\n".repeat(len), line].concat();
        assert_eq!(ports(&alone(Original, data.as_bytes())), [1286], "{len}");
    }
    let mut session = session(0);
    let data = ["\n".repeat(65536 - line.len() + 1).as_str(), line].concat();
    assert_eq!(feed(&mut session, Original, 0, data.as_bytes()), []);
    assert_eq!(
        ports(&feed(&mut session, Original, 65537, line.as_bytes())),
        [1286]
    );
}

/// More announcements in a segment than anyone has use for.
#[test]
fn many_events() {
    for count in [MOST_EVENTS - 1, MOST_EVENTS, MOST_EVENTS + 1, 500] {
        let line = "PORT 1,2,3,4,5,6\r\n";
        let mut session = session(0);
        let data = line.repeat(count);
        let events = feed(&mut session, Original, 0, data.as_bytes());
        assert_eq!(events.len(), count.min(MOST_EVENTS));
        // The next segment is read anew.
        let seq = data.len() as u32;
        assert_eq!(feed(&mut session, Original, seq, line.as_bytes()).len(), 1);
    }
}

/// An offset beyond the packet is an empty segment.
#[test]
fn no_data() {
    for (offset, len) in [(0, 0), (1, 0), (u32::MAX, 0), (u32::MAX, 8), (8, 8)] {
        let mut session = session(3);
        let packet = vec![b'\n'; len];
        session.feed(Original, 3, &Bytes(&packet), offset, |event| {
            panic!("{event:?}")
        });
        assert_eq!(
            ports(&feed(&mut session, Original, 3, b"PORT 1,2,3,4,5,6\n")),
            [1286]
        );
    }
}

/// Lines of which a stream is made; `port` makes the announcements different.
fn line(choice: u8, port: u16, junk: &[u8]) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let text = match choice % 10 {
        0 => format!("PORT 10,0,0,1,{high},{low}\r\n"),
        1 => format!("eprt |2|2001:db8::1|{port}|\r\n"),
        2 => format!("EPRT !1!10.0.0.1!{port}!\n"),
        3 => format!("227 Entering Passive Mode (10,0,0,1,{high},{low}).\r\n"),
        4 => format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"),
        5 => format!("{:x<118}{port}\r\n", "227 "),
        6 => "\n".to_owned(),
        7 => "227 nothing\r\n".to_owned(),
        8 => "PORT 1,2,3\n".to_owned(),
        _ => return [junk, b"\n"].concat(),
    };
    text.into_bytes()
}

prop_compose! {
    /// A stream of lines, of which no two announce the same.
    fn lines()(
        rows in proptest::collection::vec(
            (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)),
            0..MOST_EVENTS,
        ),
    ) -> Vec<u8> {
        let numbered = rows.iter().zip(1024..);
        numbered.flat_map(|((choice, junk), port)| line(*choice, port, junk)).collect()
    }
}

/// Places in a stream, in order, from any numbers.
fn cuts_of(numbers: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let cuts: BTreeSet<_> = numbers.iter().map(|number| number.index(len + 1)).collect();
    cuts.into_iter().collect()
}

proptest! {
    /// Any bytes in any segments do no harm; what is told is true of the segment, see [`feed`].
    #[test]
    fn any_bytes(
        segments in proptest::collection::vec(
            (any::<bool>(), any::<[u8; 2]>(), proptest::collection::vec(any::<u8>(), 0..300)),
            0..12,
        ),
        seq in any::<u32>(),
    ) {
        let mut session = session(seq);
        for (reply, [sign, distance], data) in segments {
            let dir = Direction::from_bits(reply.into());
            let distance = i32::from(distance) * (i32::from(sign % 3) - 1);
            feed(&mut session, dir, seq.wrapping_add_signed(distance), &data);
        }
    }

    /// Any text after a command is read or refused.
    #[test]
    fn any_argument(kind in 0..4usize, argument in "[ (|]{0,3}[0-9a-f:.,|() -]{0,60}") {
        let kind = Kind::ALL[kind];
        let data = format!("{} {argument}\r\n", kind.name());
        let events = alone(kind.dir(), data.as_bytes());
        // A code without any text is no announcement, a command without an argument is one.
        let is_one = kind.dir() == Original || !argument.trim().is_empty();
        prop_assert_eq!(events.len(), usize::from(is_one));
        if let Some(Ok(announced)) = events.first().map(|event| event.outcome) {
            let text = text_of(&announced, 7, data.as_bytes()).unwrap();
            prop_assert!(text.starts_with(|c: char| c.is_ascii_graphic()));
            prop_assert!(text.ends_with(|c: char| c.is_ascii_graphic()));
        }
    }

    /// Numbers are read as they are written, and refused from the first one on that is too high.
    #[test]
    fn any_numbers(numbers in any::<[u16; 6]>(), wide in 0..6usize) {
        let mut numbers = numbers.map(|number| number % 256);
        let text = numbers.map(|number| number.to_string()).join(",");
        let events = alone(Original, format!("PORT {text}\r\n").as_bytes());
        let [a, b, c, d, high, low] = numbers.map(|number| number as u8);
        let port = u16::from_be_bytes([high, low]);
        let found = events[0].outcome.map(|announced| (announced.address, announced.port));
        let right = Ok((Some((Family::Ipv4, Addr::v4([a, b, c, d]))), port));
        prop_assert_eq!(found, if port == 0 { Err(Refused::PortZero) } else { right });

        numbers[wide] += 256;
        let text = numbers.map(|number| number.to_string()).join(",");
        let events = alone(Original, format!("PORT {text}\r\n").as_bytes());
        prop_assert_eq!(events[0].outcome, Err(Refused::Number));
    }

    /// Every address is read from every form that the standard library writes.
    #[test]
    fn any_address(octets in any::<[u8; 16]>(), zeros in any::<u16>(), port in 1..=u16::MAX) {
        let octets: [u8; 16] = std::array::from_fn(|at| match zeros >> at & 1 {
            0 => 0,
            _ => octets[at],
        });
        let addr = std::net::Ipv6Addr::from(octets);
        let words = addr.segments().map(|word| format!("{word:04X}")).join(":");
        for text in [addr.to_string(), words] {
            let events = alone(Original, format!("EPRT |2|{text}|{port}|\r\n").as_bytes());
            let announced = events[0].outcome.unwrap();
            prop_assert_eq!(announced.address, Some((Family::Ipv6, Addr::v6(octets))));
            prop_assert_eq!(announced.port, port);
        }
    }

    /// However a stream is cut, and however much of it comes again, it announces the same.
    #[test]
    fn any_cuts(
        data in lines(),
        seq in any::<u32>(),
        numbers in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        again in proptest::collection::vec((0..30usize, any::<bool>()), 13),
    ) {
        for dir in Direction::BOTH {
            let whole = feed(&mut session(seq), dir, seq, &data);
            let mut session = session(seq);
            let mut events = Vec::new();
            let mut from = 0;
            let cuts = cuts_of(&numbers, data.len());
            for (to, (before, twice)) in cuts.into_iter().chain([data.len()]).zip(&again) {
                // A segment may repeat bytes before it, and may come twice.
                let begin = from - before.min(&from);
                for _ in 0..=u8::from(*twice) {
                    let at = seq.wrapping_add(begin as u32);
                    events.extend(feed(&mut session, dir, at, &data[begin..to]));
                }
                from = to;
            }
            prop_assert_eq!(outcomes(&events), outcomes(&whole));
        }
    }

    /// Whatever segments of a stream are lost, late or doubled, nothing is told that it does not
    /// say; and behind a line end all is told again.
    #[test]
    fn any_order(
        data in lines(),
        seq in any::<u32>(),
        numbers in proptest::collection::vec(any::<prop::sample::Index>(), 1..12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
        known in any::<bool>(),
    ) {
        for dir in Direction::BOTH {
            let whole = outcomes(&feed(&mut session(seq), dir, seq, &data));
            let mut cuts = cuts_of(&numbers, data.len());
            cuts.insert(0, 0);
            cuts.push(data.len());
            let mut session = if known { session(seq) } else { Session::new() };
            for index in &order {
                let piece = index.get(&cuts.windows(2).collect::<Vec<_>>()).to_vec();
                let at = seq.wrapping_add(piece[0] as u32);
                let events = feed(&mut session, dir, at, &data[piece[0]..piece[1]]);
                for outcome in outcomes(&events) {
                    prop_assert!(whole.contains(&outcome), "{outcome:?} is not in {whole:?}");
                }
            }
            let end = seq.wrapping_add(data.len() as u32);
            let last = line(if dir == Original { 0 } else { 4 }, 3333, &[]);
            feed(&mut session, dir, end.wrapping_add(9), b"over\r\n");
            let events = feed(&mut session, dir, end.wrapping_add(15), &last);
            prop_assert_eq!(ports(&events), [3333]);
        }
    }
}
