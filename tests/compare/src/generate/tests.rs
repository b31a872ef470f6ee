// SPDX-License-Identifier: GPL-2.0

//! What the generators make.

use super::*;
use crate::{
    format::WAY_NETLINK,
    packet, //
};

/// The batches of a family that have so many packets together.
fn made(family: Family, packets: usize) -> Vec<Made> {
    let mut batches = Batches::new(7, family);
    let mut made = Vec::new();
    while made
        .iter()
        .map(|made: &Made| made.batch.packets())
        .sum::<usize>()
        < packets
    {
        made.push(batches.next(u64::MAX));
    }
    made
}

#[test]
fn the_same_arguments_make_the_same() {
    for family in FAMILIES {
        let [one, two] = [0, 1].map(|_| made(family, 3000));
        let of = |made: &[Made]| made.iter().map(|m| m.batch.clone()).collect::<Vec<_>>();
        assert!(of(&one) == of(&two), "{}", family.name);
    }
}

#[test]
fn packets_are_what_the_ip_layer_lets_through() {
    for family in FAMILIES {
        for made in made(family, 5000) {
            let (packets, disturbed) = (made.batch.packets(), made.disturbed);
            let mut waited = 0;
            for case in &made.batch.cases {
                assert!(!case.packets.is_empty());
                for packet in &case.packets {
                    waited += u64::from(packet.step.delay);
                    if packet.step.way == WAY_NETLINK {
                        continue;
                    }
                    let id = &case.id;
                    assert_eq!(
                        packet::length(&packet.bytes),
                        Ok(packet.bytes.len()),
                        "{id}"
                    );
                    assert!(packet.bytes.len() <= 1400, "{id}");
                }
            }
            assert!(disturbed <= packets);
            assert!(waited < 20 * 24 * 3600 * 1000);
        }
    }
}

#[test]
fn disturbances_are_neither_rare_nor_the_rule() {
    for family in FAMILIES {
        let made = made(family, 20_000);
        let packets: usize = made.iter().map(|made| made.batch.packets()).sum();
        let disturbed: usize = made.iter().map(|made| made.disturbed).sum();
        let share = 100 * disturbed / packets;
        assert!((10..60).contains(&share), "{}: {share}%", family.name);
    }
}

/// What a connection expects goes with it, and that is counted in whichever case is played then.
#[test]
fn nothing_expires_where_rules_give_helpers() {
    let helpers = FAMILIES.iter().find(|family| family.name == "helpers");
    for made in made(*helpers.unwrap(), 20_000) {
        let steps = made.batch.cases.iter().flat_map(|case| &case.packets);
        let mut waited = 0;
        for packet in steps {
            let policy = packet.step.policy;
            assert!(policy == 0 || policy >= 60, "{policy} s");
            waited += packet.step.delay;
        }
        // Half of the least timeout that settings::lasting() leaves.
        assert!(waited < 30_000, "{waited} ms");
    }
}
