// SPDX-License-Identifier: GPL-2.0

//! FTP: announcements are found in every form, and nothing else is taken for one. How the stream is
//! cut is the matter of `ftp_stream.rs`, what announcements may open that of `ftp_check.rs`.

use crate::{
    packet::Bytes,
    pure::{
        payload::ftp::{
            Announced,
            Event,
            Kind,
            Refused,
            Session,
            Text,
            MOST_EVENTS, //
        },
        tuple::{
            Addr,
            Direction::{
                self,
                Original,
                Reply, //
            },
        },
        wire::Family, //
    },
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Where the data begins in the tests' packets.
const OFFSET: u32 = 20;

/// Gives a segment to a session, and returns what it announces.
pub(super) fn feed(session: &mut Session, dir: Direction, seq: u32, data: &[u8]) -> Vec<Event> {
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
pub(super) fn text_of<'a>(announced: &Announced, seq: u32, data: &'a [u8]) -> Option<&'a str> {
    let Text { seq: at, len } = announced.text?;
    let at = at.wrapping_sub(seq) as usize;
    let text = data.get(at..at + len as usize);
    Some(std::str::from_utf8(text.expect("the text is in the segment")).expect("the text is ASCII"))
}

/// A session in which lines begin at `seq`.
pub(super) fn session(seq: u32) -> Session {
    let mut session = Session::new();
    session.begin(Original, seq);
    session.begin(Reply, seq);
    session
}

/// What a segment on its own announces, that begins with a line.
pub(super) fn alone(dir: Direction, data: &[u8]) -> Vec<Event> {
    feed(&mut session(7), dir, 7, data)
}

/// What was announced, without where it is written.
pub(super) fn outcomes(events: &[Event]) -> Vec<(Kind, Result<Announced, Refused>)> {
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
pub(super) fn ports(events: &[Event]) -> Vec<u16> {
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

/// An announcement is only a line that begins with the command or the code, and goes on as it must.
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

/// Of a reply of several lines the last line counts, and of a segment every line.
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

proptest! {
    /// Any bytes in any segments do no harm; what is found is true of the segment, see [`feed`].
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
        // A code without any text is no announcement, a command without an argument is.
        let is_one = kind.dir() == Original || !argument.trim().is_empty();
        prop_assert_eq!(events.len(), usize::from(is_one));
        if let Some(Ok(announced)) = events.first().map(|event| event.outcome) {
            let text = text_of(&announced, 7, data.as_bytes()).unwrap();
            prop_assert!(text.starts_with(|c: char| c.is_ascii_graphic()));
            prop_assert!(text.ends_with(|c: char| c.is_ascii_graphic()));
        }
    }

    /// Numbers are read as they are written, and refused from the first on that is too high.
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
}
