// SPDX-License-Identifier: GPL-2.0

//! What fills the table: what a source is, what is kept of a beginning, rates, and the text.

use crate::pure::{
    counts::{
        Counts,
        Slot, //
    },
    l4proto::Shown,
    source::{
        Beginning,
        Source, //
    },
    state::Status,
    top::{
        Class,
        Someone,
        Space,
        Top,
        LONGEST, //
    },
    tuple::{
        Addr,
        Tuple, //
    },
    wire::{
        ipproto,
        Family, //
    },
};
use proptest::prelude::*;

fn v4(octets: [u8; 4]) -> Tuple {
    Tuple::new(
        Family::Ipv4,
        ipproto::UDP,
        Addr::v4(octets),
        Addr::v4([10, 2, 0, 2]),
    )
}

fn v6(octets: [u8; 16]) -> Tuple {
    Tuple::new(
        Family::Ipv6,
        ipproto::UDP,
        Addr::v6(octets),
        Addr::v6([1; 16]),
    )
}

#[test]
fn sources() {
    let first = [0x20, 1, 0xd, 0xb8, 0, 1, 0xab, 0xcd, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut second = first;
    second[15] = 2;
    let mut third = first;
    third[7] = 0;
    assert_eq!(
        Source::of(&v6(first)),
        Source::of(&v6(second)),
        "one network"
    );
    assert_ne!(
        Source::of(&v6(first)),
        Source::of(&v6(third)),
        "two networks"
    );
    let like = [10, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_ne!(
        Source::of(&v4([10, 1, 0, 2])),
        Source::of(&v6(like)),
        "two families"
    );
    assert_eq!(Source::of(&v4([10, 1, 0, 2])).to_string(), "10.1.0.2");
    assert_eq!(
        Source::of(&v6(first)).to_string(),
        "2001:0db8:0001:abcd::/64"
    );
}

#[test]
fn states() {
    let seen = Status::CONFIRMED.with(Status::SEEN_REPLY);
    let rows = [
        (Shown::State("SYN_SENT"), Status::CONFIRMED, "SYN_SENT"),
        (Shown::Nothing, Status::CONFIRMED, "UNREPLIED"),
        (Shown::Nothing, seen, "REPLIED"),
        (Shown::Nothing, seen.with(Status::ASSURED), "ASSURED"),
    ];
    for (shown, status, expected) in rows {
        assert_eq!(Class::state(shown, status), expected);
    }
}

/// Calls `f` with counts that have so many slots.
fn with_top<R>(slots: usize, f: impl FnOnce(&mut Top<'_>) -> R) -> R {
    f(&mut Top {
        spaces: Counts::new(&mut vec![Slot::EMPTY; slots]),
        classes: Counts::new(&mut vec![Slot::EMPTY; slots]),
        holders: Counts::new(&mut vec![Slot::EMPTY; slots]),
        beginners: Counts::new(&mut vec![Slot::EMPTY; slots]),
    })
}

const SECOND: u32 = 250;
const WINDOW: u32 = 10 * SECOND;

/// Beginnings of a source in a namespace, each as long ago as it says; then so many empty places.
fn begun(source: u8, netns: u32, ages: &[u32], empty: usize, now: u32) -> Vec<Option<Beginning>> {
    let mut last: Vec<_> = ages
        .iter()
        .map(|age| {
            Some(Beginning::of(
                &v4([10, 0, 0, source]),
                netns,
                now.wrapping_sub(*age),
            ))
        })
        .collect();
    last.resize(last.len() + empty, None);
    last
}

/// source -> thousandths of a beginning in a second
fn rates(cpus: &[Vec<Option<Beginning>>], now: u32) -> Vec<(String, u64)> {
    rates_of(cpus, now, None)
}

/// The rates of a namespace, if it is given.
fn rates_of(cpus: &[Vec<Option<Beginning>>], now: u32, whose: Option<u32>) -> Vec<(String, u64)> {
    with_top(8, |top| {
        for last in cpus {
            top.add_beginnings(last.iter().copied(), now, WINDOW, SECOND, whose);
        }
        let rows = top.beginners.most::<Someone>();
        rows.map(|(someone, slot)| (someone.source.to_string(), slot.count))
            .collect()
    })
}

#[test]
fn rates_of_beginnings() {
    let of = |source: u8, rate: u64| (format!("10.0.0.{source}"), rate);
    // Clocks wrap around.
    for now in [100_000, 600, u32::MAX - 3] {
        assert_eq!(rates(&[begun(1, 7, &[], 4, now)], now), [], "none");
        assert_eq!(
            rates(&[begun(1, 7, &[0, 100, WINDOW], 1, now)], now),
            [of(1, 300)],
            "three in ten seconds"
        );
        assert_eq!(
            rates(&[begun(1, 7, &[0, 100, WINDOW + 2], 0, now)], now),
            [of(1, 200)],
            "an older one does not count"
        );
        assert_eq!(
            rates(&[begun(1, 7, &[0, 50, 100, SECOND * 2], 0, now)], now),
            [of(1, 2000)],
            "there may have been more before"
        );
        assert_eq!(
            rates(&[begun(1, 7, &[0; 4], 0, now)], now),
            [of(1, 1_000_000)],
            "at once"
        );
        assert_eq!(
            rates_of(&[begun(1, 9, &[0], 1, now)], now, Some(7)),
            [],
            "another namespace's"
        );
        let mut both = begun(1, 7, &[0, 50], 0, now);
        both.extend(begun(2, 9, &[0; 62], 0, now));
        assert_eq!(
            rates_of(&[both], now, Some(7)),
            [of(1, 200)],
            "how many begin elsewhere does not show"
        );
        let two = [
            begun(1, 7, &[0; 3], 1, now),
            begun(2, 7, &[SECOND, SECOND], 0, now),
        ];
        assert_eq!(
            rates(&two, now),
            [of(2, 2000), of(1, 300)],
            "each CPU has its time"
        );
    }
}

#[test]
fn the_text() {
    let text = with_top(4, |top| {
        let source = Source::of(&v4([10, 9, 0, 7]));
        let someone = Someone { netns: 77, source };
        let class = Class {
            netns: 77,
            zone: 5,
            proto: ipproto::UDP,
            state: "UNREPLIED",
        };
        top.spaces.add(
            Space {
                netns: 77,
                max: 400,
            },
            12,
        );
        top.classes.add(class, 9);
        top.classes.add(
            Class {
                proto: 253,
                ..class
            },
            3,
        );
        top.holders.add(someone, 12);
        top.beginners.add(someone, 12_345);
        top.to_string()
    });
    assert_eq!(
        text,
        "table entries=12 begins_per_second=12.3\n\
         namespace netns=77 connections=12 max=400 error=0\n\
         state netns=77 zone=5 proto=udp state=UNREPLIED entries=9 error=0\n\
         state netns=77 zone=5 proto=253 state=UNREPLIED entries=3 error=0\n\
         holds netns=77 src=10.9.0.7 entries=12 error=0\n\
         begins netns=77 src=10.9.0.7 per_second=12.3 error=0.0\n"
    );
}

#[test]
fn the_longest_text() {
    let length = with_top(crate::pure::top::SLOTS, |top| {
        for number in 0..300u32 {
            let (netns, weight) = (u32::MAX - number, u64::MAX / 1000);
            let source = Source::of(&v6([0xff; 16]));
            top.spaces.add(
                Space {
                    netns,
                    max: u32::MAX,
                },
                weight,
            );
            let class = Class {
                netns,
                zone: u16::MAX,
                proto: ipproto::ICMPV6,
                state: "HEARTBEAT_ACKED",
            };
            top.classes.add(class, weight);
            top.holders.add(Someone { netns, source }, weight);
            top.beginners.add(Someone { netns, source }, weight);
        }
        top.to_string().len()
    });
    assert!(length < LONGEST, "{length}");
}

proptest! {
    #[test]
    fn two_words(octets in any::<[u8; 16]>(), ipv6: bool, netns in 1u32.., now: u32) {
        let [a, b, c, d, ..] = octets;
        let tuple = if ipv6 { v6(octets) } else { v4([a, b, c, d]) };
        let begun = Beginning::of(&tuple, netns, now);
        prop_assert_eq!(Beginning::unpack(begun.pack()), Some(begun));
        prop_assert!(now - begun.when < 2);
    }
}

#[test]
fn nothing_in_two_words() {
    assert_eq!(Beginning::unpack([0, 0]), None);
}
