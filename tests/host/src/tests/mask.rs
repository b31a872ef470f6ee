// SPDX-License-Identifier: GPL-2.0

//! Masks: which bits of a tuple's source count, and how two masks go together.

use crate::pure::{
    mask::Mask,
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
use zerocopy::IntoBytes;

/// A packet from an address and port to the end that is expected.
fn from(src: [u8; 4], port: u16) -> Tuple {
    to(src, port, [10, 0, 0, 1], 4000)
}

fn to(src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16) -> Tuple {
    Tuple::new(Family::Ipv4, ipproto::TCP, Addr::v4(src), Addr::v4(dst)).with_ports(sport, dport)
}

#[test]
fn the_source_counts_as_far_as_it_is_masked() {
    const ALL: [u8; 4] = [255; 4];
    const NET: [u8; 4] = [255, 255, 0, 0];
    const NONE: [u8; 4] = [0; 4];
    let who = [10, 1, 2, 3];
    let wanted = from(who, 20);
    let ipv6 = Tuple::of_numbers(10, ipproto::TCP)
        .with_destination(Addr::v4([10, 0, 0, 1]), 4000u16.to_be_bytes());
    let rows = [
        ("all of it", ALL, 0xffff, wanted, true),
        (
            "another address",
            ALL,
            0xffff,
            from([10, 1, 2, 4], 20),
            false,
        ),
        ("another port", ALL, 0xffff, from(who, 21), false),
        ("any port", ALL, 0, from(who, 21), true),
        ("anybody", NONE, 0, from([1, 2, 3, 4], 5), true),
        ("the subnet", NET, 0, from([10, 1, 9, 9], 5), true),
        ("not the subnet", NET, 0, from([10, 2, 9, 9], 5), false),
        ("four bits of the port", ALL, 0xf, from(who, 0x34), true),
        (
            "another destination",
            NONE,
            0,
            to(who, 20, [10, 0, 0, 2], 4000),
            false,
        ),
        (
            "another port there",
            NONE,
            0,
            to(who, 20, [10, 0, 0, 1], 4001),
            false,
        ),
        (
            "another protocol",
            NONE,
            0,
            wanted.with_proto(ipproto::UDP),
            false,
        ),
        ("another family", NONE, 0, ipv6, false),
    ];
    for (what, addr, id, packet, same) in rows {
        let mask = Mask::new(Addr::v4(addr), u16::to_be_bytes(id));
        assert_eq!(mask.matches(&packet, &wanted), same, "{what}");
        assert_eq!(mask.matches(&wanted, &packet), same, "{what}, turned");
    }
}

proptest! {
    /// What matches under two masks matches under what they have in common; a mask is itself.
    #[test]
    fn together(
        one in any::<([u8; 16], [u8; 2])>(),
        two in any::<([u8; 16], [u8; 2])>(),
        src in any::<([u8; 16], [u8; 2])>(),
        other in any::<([u8; 16], [u8; 2])>(),
    ) {
        let mask = |(addr, id): ([u8; 16], [u8; 2])| Mask::new(Addr::v6(addr), id);
        let of = |(addr, id): ([u8; 16], [u8; 2])| {
            Tuple::of_numbers(10, ipproto::UDP).with_source(Addr::v6(addr), id)
        };
        let (one, two, both) = (mask(one), mask(two), mask(one).and(&mask(two)));
        let (a, b) = (of(src), of(other));
        prop_assert!(one == one.and(&one) && both == two.and(&one));
        prop_assert!(one.matches(&a, &a));
        if one.matches(&a, &b) || two.matches(&a, &b) {
            prop_assert!(both.matches(&a, &b));
        }
    }
}

/// Each bit of the port counts by itself, and each part of two masks goes with its like.
#[test]
fn every_bit_counts_by_itself() {
    let anybody = Addr::v4([0; 4]);
    let wanted = from([10, 1, 2, 3], 0x0114);
    let rows = [
        (0xff00, 0x0234, false),
        (0xff00, 0x0134, true),
        (0x0f00, 0xf1ff, true),
        (0x0f00, 0xf2ff, false),
        (0x00f0, 0xff1f, true),
        (0x00f0, 0xff2f, false),
    ];
    for (id, port, same) in rows {
        let mask = Mask::new(anybody, u16::to_be_bytes(id));
        let packet = from([1, 2, 3, 4], port);
        assert_eq!(
            mask.matches(&packet, &wanted),
            same,
            "{port:#x} under {id:#x}"
        );
    }

    let one = Mask::new(Addr::v6([0x0f; 16]), [0x0f, 0x3c]);
    let two = Mask::new(Addr::v6([0x3c; 16]), [0x3c, 0x0f]);
    let both = Mask::new(Addr::v6([0x0c; 16]), [0x0c, 0x0c]);
    assert!(one.and(&two) == both);
    assert!(both != Mask::new(Addr::v6([0x0c; 16]), [0x0c, 0x0d]));
    assert!(both != Mask::new(Addr::v6([0x0d; 16]), [0x0c, 0x0c]));
    assert_eq!(both.as_bytes()[18..], [0; 2]);
}
