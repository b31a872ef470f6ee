// SPDX-License-Identifier: GPL-2.0

//! Which connection makes room: the least missed, of the source that has most such connections.

use crate::pure::{
    evict::{
        Choice,
        Outlook,
        Rank,
        ENOUGH, //
    },
    source::Source,
    state::Status,
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
use std::collections::HashMap;

const RANKS: [Rank; 3] = [Rank::Unanswered, Rank::Closing, Rank::Answered];

#[test]
fn ranks() {
    let (seen, assured, dying) = (Status::SEEN_REPLY, Status::ASSURED, Status::DYING);
    let none = Status::CONFIRMED;
    let rows = [
        ("a SYN", none, false, Some(Rank::Unanswered)),
        ("answered", none.with(seen), false, Some(Rank::Answered)),
        ("reset at once", none.with(seen), true, Some(Rank::Closing)),
        ("established", none.with(seen).with(assured), false, None),
        (
            "closing",
            none.with(seen).with(assured),
            true,
            Some(Rank::Closing),
        ),
        ("picked up", none.with(assured), false, None),
        ("gone", none.with(dying), false, None),
        ("gone, closing", none.with(seen).with(dying), true, None),
    ];
    for (what, status, closing, expected) in rows {
        assert_eq!(Rank::of(status, || closing), expected, "{what}");
    }
}

/// A source with a number.
fn of(number: u64) -> Source {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    let network = Addr::v6([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]);
    Source::of(&Tuple::new(Family::Ipv6, ipproto::TCP, network, network))
}

/// Offers all of them until there are enough; returns how many were, and which was chosen.
fn choose(met: &[(usize, u64)]) -> (usize, Option<usize>) {
    let (seen, choice) = offer(met, Outlook::Unknown);
    (seen, choice.chosen())
}

fn offer(met: &[(usize, u64)], outlook: Outlook) -> (usize, Choice<usize>) {
    let mut choice = Choice::new(outlook);
    for (number, &(rank, source)) in met.iter().enumerate() {
        if choice.offer(number, RANKS[rank], of(source)).is_break() {
            return (number + 1, choice);
        }
    }
    (met.len(), choice)
}

/// What a thorough look shows for the next look.
#[test]
fn outlooks() {
    let even: Vec<_> = (0..100).map(|source| (0, source)).collect();
    let greedy: Vec<_> = (0..100).map(|source| (0, source / 2)).collect();
    let few = &even[..ENOUGH - 1];
    let answered: Vec<_> = (0..100).map(|source| (2, source)).collect();
    for (what, met, expected) in [
        ("nobody", &[][..], Outlook::Nobody),
        ("each of another source", &even, Outlook::Even),
        ("one has two", &greedy, Outlook::Unknown),
        ("few", few, Outlook::Unknown),
        ("with answers", &answered, Outlook::Unknown),
    ] {
        assert_eq!(offer(met, Outlook::Unknown).1.outlook(), expected, "{what}");
    }
    for (what, met, is_empty) in [
        ("nobody", &[][..], true),
        ("an answered one", &answered[..1], false),
    ] {
        let (_, choice) = offer(met, Outlook::Unknown);
        assert_eq!(choice.is_empty(), is_empty, "{what}");
    }
    // Then the first connection without an answer goes.
    let (seen, choice) = offer(&[(2, 1), (0, 2), (0, 3), (0, 3)], Outlook::Even);
    assert_eq!((seen, choice.chosen()), (2, Some(1)));
}

proptest! {
    /// An outlook is true for less than four jiffies, and never later on.
    #[test]
    fn outlooks_pass(now: u32, later in 4u32..u32::MAX - 4) {
        for outlook in [Outlook::Unknown, Outlook::Nobody, Outlook::Even] {
            let word = outlook.pack(now);
            prop_assert_eq!(Outlook::unpack(word, now), outlook);
            let then = now.wrapping_add(later);
            prop_assert_eq!(Outlook::unpack(word, then), Outlook::Unknown);
        }
    }
}

#[test]
fn choices() {
    let rows: [(&str, &[(usize, u64)], Option<usize>); 8] = [
        ("nobody", &[], None),
        ("one", &[(2, 1)], Some(0)),
        (
            "the unanswered",
            &[(2, 1), (1, 2), (0, 3), (1, 2), (2, 1)],
            Some(2),
        ),
        (
            "then the closing",
            &[(2, 1), (2, 1), (1, 2), (2, 1)],
            Some(2),
        ),
        (
            "the greedy source",
            &[(0, 1), (0, 2), (0, 3), (0, 2)],
            Some(3),
        ),
        (
            "of equals only",
            &[(2, 1), (2, 1), (0, 1), (0, 2), (0, 2)],
            Some(4),
        ),
        (
            "who costs more does not count",
            &[(0, 2), (1, 1), (1, 1), (0, 1)],
            Some(0),
        ),
        ("the first of many", &[(0, 1), (0, 2), (0, 3)], Some(0)),
    ];
    for (what, met, expected) in rows {
        assert_eq!(choose(met).1, expected, "{what}");
    }
    // Sixteen without an answer are enough.
    let many: Vec<_> = (0..100).map(|source| (0, source)).collect();
    assert_eq!(choose(&many), (ENOUGH, Some(0)));
}

proptest! {
    /// The connection chosen is of the lowest rank that was met, and of a source that has most
    /// of that rank, as long as sources are not too many.
    #[test]
    fn the_cheapest_of_the_greediest(
        met in prop::collection::vec((0usize..3, 0u64..ENOUGH as u64), 1..80),
    ) {
        let (seen, chosen) = choose(&met);
        let (rank, source) = met[chosen.expect("somebody was met")];
        let met = &met[..seen];
        let lowest = met.iter().map(|(rank, _)| *rank).min();
        prop_assert_eq!(Some(rank), lowest);
        let mut counts = HashMap::new();
        for (_, source) in met.iter().filter(|(of, _)| *of == rank) {
            *counts.entry(*source).or_insert(0) += 1;
        }
        prop_assert_eq!(counts.get(&source), counts.values().max());
    }

    /// However many sources there are, a connection is chosen, of the lowest rank.
    #[test]
    fn any_sources(met in prop::collection::vec((0usize..3, any::<u64>()), 1..80)) {
        let (seen, chosen) = choose(&met);
        let (rank, _) = met[chosen.expect("somebody was met")];
        prop_assert_eq!(Some(rank), met[..seen].iter().map(|(rank, _)| *rank).min());
    }
}
