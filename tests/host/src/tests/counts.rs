// SPDX-License-Identifier: GPL-2.0

//! Which keys have most, in bounded memory: no key that has more than a slot's part is missed; what
//! is said of each is true within the error that it names.

use crate::pure::counts::{
    Counts,
    Slot, //
};
use proptest::prelude::*;
use std::collections::HashMap;

const SLOTS: usize = 8;

fn counted(added: &[(u32, u64)]) -> Counts<Vec<Slot<u32>>> {
    let mut counts = Counts::new(vec![Slot::EMPTY; SLOTS]);
    for &(key, weight) in added {
        counts.add(key, weight);
    }
    counts
}

fn rows(counts: &Counts<Vec<Slot<u32>>>) -> Vec<(u32, u64, u64)> {
    let most = counts.most::<u32>();
    most.map(|(key, slot)| (key, slot.count, slot.error))
        .collect()
}

#[test]
fn nobody() {
    assert_eq!(rows(&counted(&[])), []);
    let mut none = Counts::new(Vec::<Slot<u32>>::new());
    none.add(1, 5);
    assert_eq!((rows(&none), none.total()), (vec![], 5), "there is no slot");
}

#[test]
fn who_has_most_comes_first() {
    let counts = counted(&[(1, 1), (2, 5), (3, 2), (1, 3), (3, 9)]);
    assert_eq!(rows(&counts), [(3, 11, 0), (2, 5, 0), (1, 4, 0)]);
    assert_eq!(counts.total(), 20);
}

#[test]
fn the_least_one_gives_way() {
    let mut counts = counted(&[
        (1, 9),
        (2, 8),
        (3, 7),
        (4, 6),
        (5, 5),
        (6, 4),
        (7, 3),
        (8, 2),
    ]);
    assert_eq!(counts.add(9, 1), 1, "at least what was seen of it");
    assert_eq!(rows(&counts)[6..], [(7, 3, 0), (9, 3, 2)]);
}

#[test]
fn forgotten() {
    let mut counts = counted(&[(1, 1), (2, 5)]);
    counts.clear();
    assert_eq!((rows(&counts), counts.total()), (vec![], 0));
    assert_eq!(counts.add(2, 1), 1);
    assert_eq!(rows(&counts), [(2, 1, 0)]);
}

proptest! {
    #[test]
    fn within_the_error(
        added in prop::collection::vec((0u32..40, prop_oneof![Just(1u64), 0u64..50]), 0..400),
    ) {
        let mut counts = Counts::new([Slot::EMPTY; SLOTS]);
        let mut true_counts = HashMap::<u32, u64>::new();
        for &(key, weight) in &added {
            *true_counts.entry(key).or_default() += weight;
            let least = counts.add(key, weight);
            prop_assert!(least >= weight && least <= true_counts[&key]);
        }
        let total: u64 = true_counts.values().sum();
        prop_assert_eq!(counts.total(), total);

        let rows: Vec<_> = counts.most::<u32>().collect();
        prop_assert!(rows.windows(2).all(|pair| pair[0].1.count >= pair[1].1.count), "in order");
        let mut found = HashMap::new();
        for (key, slot) in &rows {
            prop_assert!(found.insert(*key, slot.count).is_none(), "each once");
            prop_assert!(slot.at_least() <= true_counts[key] && true_counts[key] <= slot.count);
            prop_assert!(slot.error <= total / SLOTS as u64);
        }
        // All counts add up to the total, as each addition goes to one slot.
        prop_assert_eq!(rows.iter().map(|(_, slot)| slot.count).sum::<u64>(), total);
        for (key, count) in &true_counts {
            if *count > total / SLOTS as u64 {
                prop_assert!(found.contains_key(key), "{} has {} of {}", key, count, total);
            }
        }
        if true_counts.len() <= SLOTS {
            prop_assert_eq!(found, true_counts, "exact, if there are slots for all");
        }
    }
}
