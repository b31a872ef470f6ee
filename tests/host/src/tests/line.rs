// SPDX-License-Identifier: GPL-2.0

//! Lines about connections and expectations: what each flag, zone and counter adds. How the tracker
//! fills them in is seen by KUnit and the scenarios.

use super::build::{
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6, //
};
use crate::{
    expected::expect_line::ROWS,
    pure::{
        expect_line::ExpectLine,
        l4proto::Shown,
        line::{
            Line,
            Short, //
        },
        state::Status,
        tuple::{
            Addr,
            Tuple, //
        },
        wire::Family,
        zone::Zone, //
    },
};

use std::fmt::Write;

const REPLIED: Status = Status::CONFIRMED.with(Status::SEEN_REPLY);

/// A connection without ports.
fn tuple() -> Tuple {
    Tuple::new(Family::Ipv4, 50, Addr::v4(CLIENT), Addr::v4(SERVER))
}

fn line(status: Status) -> Line<'static> {
    Line {
        original: tuple(),
        reply: tuple().invert().unwrap(),
        zone: Zone::DEFAULT,
        counters: None,
        status,
        seconds: 100,
        private: Shown::Nothing,
        mark: 3,
        secctx: None,
        age: None,
        use_count: 2,
    }
}

/// What stands before the ends, between them, behind them, and at the end of the line.
fn check(line: &Line<'_>, parts: [&str; 4], what: &str) {
    let [before, between, behind, end] = parts;
    let expected = format!(
        "ipv4     2 unknown  50 {before}src=10.0.0.1 dst=10.0.0.2 {between}\
         src=10.0.0.2 dst=10.0.0.1 {behind}mark=3 {end}use=2\n"
    );
    assert_eq!(line.to_string(), expected, "{what}");
}

#[test]
fn flags() {
    let offload = REPLIED.with(Status::ASSURED).with(Status::OFFLOAD);
    for (status, parts) in [
        (Status::CONFIRMED, ["100 ", "[UNREPLIED] ", "", "zone=0 "]),
        (REPLIED, ["100 ", "", "", "zone=0 "]),
        (
            REPLIED.with(Status::ASSURED),
            ["100 ", "", "[ASSURED] ", "zone=0 "],
        ),
        (offload, ["", "", "[OFFLOAD] ", "zone=0 "]),
        (
            offload.with(Status::HW_OFFLOAD),
            ["", "", "[HW_OFFLOAD] ", "zone=0 "],
        ),
        (
            REPLIED.with(Status::HW_OFFLOAD),
            ["100 ", "", "[HW_OFFLOAD] ", "zone=0 "],
        ),
    ] {
        check(&line(status), parts, &format!("{status:?}"));
    }
}

#[test]
fn zones_and_counters() {
    for (dir, parts) in [
        (Zone::DIR_ORIGINAL, ["100 ", "zone-orig=7 ", "", ""]),
        (Zone::DIR_REPLY, ["100 ", "", "zone-reply=7 ", ""]),
        (
            Zone::DIR_ORIGINAL | Zone::DIR_REPLY,
            ["100 ", "", "", "zone=7 "],
        ),
        (0, ["100 ", "", "", ""]),
    ] {
        let mut line = line(REPLIED);
        line.zone = Zone {
            id: 7,
            flags: 0,
            dir,
        };
        check(&line, parts, &format!("zone in {dir}"));
    }

    let line = Line {
        counters: Some([(3, 180), (u64::MAX, 0)]),
        age: Some(9),
        secctx: Some("label"),
        private: Shown::State("STATE"),
        ..line(REPLIED)
    };
    let (between, behind) = (
        "packets=3 bytes=180 ",
        "packets=18446744073709551615 bytes=0 ",
    );
    check(
        &line,
        [
            "100 STATE ",
            between,
            behind,
            "secctx=label zone=0 delta-time=9 ",
        ],
        "all",
    );
}

#[test]
fn addresses_of_ipv6() {
    let original = Tuple::new(Family::Ipv6, 50, Addr::v6(CLIENT6), Addr::v6(SERVER6));
    let line = Line {
        original,
        reply: original.invert().unwrap(),
        ..line(REPLIED)
    };
    let (client, server) = (
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "2001:0db8:0000:0000:0000:0000:0000:0002",
    );
    assert_eq!(
        line.to_string(),
        format!(
            "ipv6     10 unknown  50 100 src={client} dst={server} src={server} dst={client} \
             mark=3 zone=0 use=2\n"
        )
    );
}

#[test]
fn expectations() {
    for (flags, helper, rest) in ROWS {
        let line = ExpectLine {
            seconds: 300,
            tuple: tuple(),
            flags,
            helper,
        };
        let ends = "src=10.0.0.1 dst=10.0.0.2";
        assert_eq!(
            line.to_string(),
            format!("300 l3proto = 2 proto=50 {ends} {rest}\n"),
            "flags {flags}"
        );
    }
}

/// What does not fit into a short text is cut off, and spaces at its end are not shown.
#[test]
fn a_short_text_is_cut_off() {
    let mut text = Short::<8>::new();
    assert_eq!(text.as_str(), "");
    for (part, whole) in [
        ("ab", "ab"),
        ("c  ", "abc"),
        ("defg", "abc  def"),
        ("h", "abc  def"),
    ] {
        text.write_str(part).expect("it takes whatever comes");
        assert_eq!(text.as_str(), whole);
    }
}
