// SPDX-License-Identifier: GPL-2.0

//! FTP: however the stream is cut, and whatever of it is lost, late or comes twice, announcements
//! are found as far as they can be.

use super::ftp::{
    alone,
    feed,
    outcomes,
    ports,
    session,
    text_of, //
};
use crate::{
    packet::Bytes,
    pure::{
        payload::{
            ftp::{
                Event,
                Refused,
                Session,
                MOST_EVENTS, //
            },
            LINE, //
        },
        tuple::Direction::{
            self,
            Original,
            Reply, //
        },
    },
};
use proptest::prelude::*;
use std::collections::BTreeSet;

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
                // The text is given if it is not cut, and then it is where it was.
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

/// Without a known beginning, the first line end makes a beginning.
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

/// Where data that comes again is other data, what was seen first counts, and nothing is said to be
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
    // A hole of ten bytes; then a piece that ends no line, and a piece that does.
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
    // So does what was read already, and the two places meet: the rest is read once.
    assert_eq!(
        ports(&feed(&mut session, dir, 36, b"PORT 1,2,3,4,5,7\r\n")),
        [1287]
    );
    for told in [&[1288][..], &[]] {
        let events = feed(&mut session, dir, 54, b"PORT 1,2,3,4,5,8\r\n");
        assert_eq!(ports(&events), told);
    }
}

/// Two segments that change places: the segment that came too early is not read, the late segment
/// and all that follow are.
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

/// There are two places: a third takes the room of the place that is further behind, if it is ahead
/// of both.
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
    assert_eq!(places([2 * long, 3 * long, long]), [false, true, true]);
    assert_eq!(places([long, 3 * long, 2 * long]), [true, false, true]);
    assert_eq!(places([long, long, 3 * long]), [true, false, true]);
}

/// A line end behind a known place makes no other place, however far behind it is: segments below
/// the window pass, so that whoever does not know the sequence numbers could choose one.
#[test]
fn old_line_ends() {
    let line = b"PORT 1,2,3,4,5,6\r\n";
    let place = 1000u32;
    for distance in [19, 1 << 16, (1 << 16) + 1, 1 << 30, (1 << 31) - 1] {
        let mut session = session(place);
        let end = place.wrapping_sub(distance);
        assert_eq!(feed(&mut session, Original, end.wrapping_sub(1), b"\n"), []);
        assert_eq!(
            feed(&mut session, Original, end, &line[..]),
            [],
            "{distance}"
        );
        assert_eq!(
            ports(&feed(&mut session, Original, place, &line[..])),
            [1286]
        );
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
    // A line that announces nothing is passed over in silence, however it ends.
    let data = format!(
        "{}PORT 1,2,3,4,5,6\r\nPORT 1,2,3,4,5,7\r\n",
        "x".repeat(LINE)
    );
    assert_eq!(ports(&alone(Original, data.as_bytes())), [1287]);
}

/// A segment of any length is read to its end, up to 64 KiB; a longer segment is not.
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

/// More announcements in a segment than there is use for.
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

    /// Whatever segments of a stream are lost, late or doubled, nothing is found that it does not
    /// say; and behind a line end all is found again.
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
