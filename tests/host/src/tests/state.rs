// SPDX-License-Identifier: GPL-2.0

//! States and zones have the kernel's values.

use crate::pure::{
    state::{
        CtInfo,
        Status, //
    },
    tuple::Direction,
    zone::Zone, //
};

/// Each value of `enum ip_conntrack_info` has its variant and direction, and the gaps have none.
#[test]
fn ctinfo_has_the_kernels_values() {
    use Direction::{
        Original,
        Reply, //
    };
    let rows = [
        (0, Some((CtInfo::Established, Original))),
        (1, Some((CtInfo::Related, Original))),
        (2, Some((CtInfo::New, Original))),
        (3, Some((CtInfo::EstablishedReply, Reply))),
        (4, Some((CtInfo::RelatedReply, Reply))),
        (5, None),
        (6, None),
        (7, Some((CtInfo::Untracked, Reply))),
        (8, None),
    ];
    for (bits, expected) in rows {
        let found = CtInfo::from_bits(bits);
        assert_eq!(found.map(|info| (info, info.direction())), expected);
        assert_eq!(found.map(CtInfo::bits), expected.map(|_| bits));
    }
}

/// The status bits are those of `enum ip_conntrack_status`, in its order.
#[test]
fn status_has_the_kernels_bits() {
    let all = [
        Status::EXPECTED,
        Status::SEEN_REPLY,
        Status::ASSURED,
        Status::CONFIRMED,
        Status::SRC_NAT,
        Status::DST_NAT,
        Status::SEQ_ADJUST,
        Status::SRC_NAT_DONE,
        Status::DST_NAT_DONE,
        Status::DYING,
        Status::FIXED_TIMEOUT,
        Status::TEMPLATE,
        Status::NAT_CLASH,
        Status::HELPER,
        Status::OFFLOAD,
        Status::HW_OFFLOAD,
    ];
    for (bit, status) in all.into_iter().enumerate() {
        assert_eq!(status.bits(), 1 << bit);
        assert!(Status::from_bits(u64::MAX).contains(status));
        assert!(!Status::from_bits(!(1 << bit)).contains(status));
        assert_eq!(Status::from_bits(u64::MAX).and(status), status);
        assert_eq!(
            Status::from_bits(!(1 << bit)).and(status),
            Status::default()
        );
    }
}

/// A direction is its own index and the opposite of its opposite.
#[test]
fn directions() {
    for (index, dir) in Direction::BOTH.into_iter().enumerate() {
        assert_eq!(dir.index(), index);
        assert_eq!(Direction::from_bits(u8::try_from(index).unwrap()), dir);
        assert_ne!(!dir, dir);
        assert_eq!(!!dir, dir);
    }
}

/// A zone counts in the directions that it applies to, and elsewhere is the default zone.
#[test]
fn zones_apply_by_direction() {
    let rows = [(0, 0, 0), (1, 5, 0), (2, 0, 5), (3, 5, 5)];
    for (dir, original, reply) in rows {
        let zone = Zone {
            id: 5,
            flags: 0,
            dir,
        };
        assert_eq!(zone.id(Direction::Original), original);
        assert_eq!(zone.id(Direction::Reply), reply);
        assert_eq!(zone.is_one_way(), original != reply);
        assert_eq!(
            zone.equal(&Zone::DEFAULT, Direction::Original),
            original == 0
        );
        assert_eq!(zone.equal(&Zone::DEFAULT, Direction::Reply), reply == 0);
    }
    assert_eq!(
        (Zone::DEFAULT.id, Zone::DEFAULT.flags, Zone::DEFAULT.dir),
        (0, 0, 3)
    );
}

/// With the flag for it, the lower half of the packet's mark is the zone.
#[test]
fn zones_come_from_the_mark() {
    let mut zone = Zone {
        id: 9,
        flags: 0,
        dir: 1,
    };
    assert_eq!(zone.of_packet(0x0001_0002), zone);
    zone.flags = Zone::FLAG_MARK;
    assert_eq!(
        zone.of_packet(0x0001_0002),
        Zone {
            id: 2,
            flags: 0,
            dir: 1,
        }
    );
}

/// Sets of status bits: what is in both, in one of them, in either.
#[test]
fn status_bits_are_sets() {
    let (one, two) = (Status::ASSURED, Status::DYING);
    let both = one.with(two);
    let none = Status::default();
    let rows = [
        (both, one, true, true, two),
        (both, both, true, true, none),
        (one, both, false, true, none),
        (one, two, false, false, one),
        (none, one, false, false, none),
        (one, none, true, false, one),
    ];
    for (set, of, contains, intersects, without) in rows {
        assert_eq!(set.contains(of), contains, "{set:?} contains {of:?}");
        assert_eq!(set.intersects(of), intersects, "{set:?} meets {of:?}");
        assert_eq!(set.without(of), without, "{set:?} without {of:?}");
    }
}
