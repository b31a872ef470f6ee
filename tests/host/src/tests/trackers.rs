// SPDX-License-Identifier: GPL-2.0

//! The trackers of UDP, ICMP, GRE and the rest.

use super::build::{
    ip,
    ipv4,
    seal,
    udp, //
};
use crate::{
    expected::protocols::PROTOCOLS,
    fuzz,
    packet::Bytes,
    pure::{
        l4proto::{
            self,
            generic,
            gre,
            icmp,
            udp as udp_tracker,
            Action,
            Input,
            L4Proto,
            Outcome, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        tuple::{
            Addr,
            Tuple, //
        },
        wire::{
            Checksum,
            Family,
            Packet,
            L4, //
        },
    },
    timeouts::Timeouts, //
};

const HZ: u32 = 250;
const NEW: Status = Status::from_bits(0);
const CONFIRMED: Status = Status::CONFIRMED;
const REPLIED: Status = Status::CONFIRMED.with(Status::SEEN_REPLY);
const ASSURED: Status = REPLIED.with(Status::ASSURED);
const CLASHED: Status = REPLIED.with(Status::NAT_CLASH);

fn input(status: Status, now: usize) -> Input {
    Input {
        status,
        ctinfo: CtInfo::New,
        now,
        remaining: 0,
        hz: HZ,
    }
}

fn refresh(seconds: u32, assured: bool) -> Outcome {
    let mut outcome = Outcome::refresh(seconds * HZ);
    outcome.assured = assured;
    outcome
}

/// UDP is a stream, and assured, once it was answered and two seconds have passed; also where
/// jiffies wrap.
#[test]
fn udp_streams() {
    let hz = HZ as usize;
    let rows = [
        ("first", NEW, 0, refresh(30, false)),
        (
            "repeated, not answered",
            CONFIRMED,
            10 * hz,
            refresh(30, false),
        ),
        ("answered at once", REPLIED, 0, refresh(30, false)),
        (
            "answered at two seconds",
            REPLIED,
            2 * hz,
            refresh(30, false),
        ),
        ("answered later", REPLIED, 2 * hz + 1, refresh(120, true)),
        ("assured before", ASSURED, 3 * hz, refresh(120, false)),
        ("clashed", CLASHED, 3 * hz, refresh(120, false)),
    ];
    for start in [0, 1_000_000, usize::MAX - hz] {
        let timeouts = Timeouts::new(HZ);
        let mut proto = udp_tracker::Proto::default();
        fuzz::judge_udp(&mut proto, &input(NEW, start), &timeouts.udp);
        for (what, status, later, expected) in rows {
            let input = input(status, start.wrapping_add(later));
            let mut proto = proto;
            let found = fuzz::judge_udp(&mut proto, &input, &timeouts.udp);
            assert_eq!(found, expected, "{what}, from {start}");
        }
    }
}

/// A UDP packet that stands for several segments.
struct Gso<'a>(Bytes<'a>);

impl Packet for Gso<'_> {
    fn len(&self) -> u32 {
        self.0.len()
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.0.read(offset)
    }

    fn checksum_ok(&self, checksum: Checksum, l4: &L4, family: Family) -> bool {
        self.0.checksum_ok(checksum, l4, family)
    }

    fn is_gso(&self) -> bool {
        true
    }
}

/// The length in the header must hold the header and be in the packet; zero is for big packets
/// only.
#[test]
fn udp_lengths() {
    let l4 = L4 {
        proto: 17,
        offset: 20,
    };
    for len in 0..=20u16 {
        let mut pkt = ipv4(17, &udp(b"12345678"));
        pkt[24..26].copy_from_slice(&len.to_be_bytes());

        let found = udp_tracker::check(&Bytes(&pkt), &l4, Family::Ipv4, false).map(|_| ());
        let right = if (8..=16).contains(&len) {
            Ok(())
        } else {
            Err(Reason::UdpLength)
        };
        assert_eq!(found, right, "length {len}");

        let gso = udp_tracker::check(&Gso(Bytes(&pkt)), &l4, Family::Ipv4, false).map(|_| ());
        assert_eq!(
            gso,
            if len == 0 { Ok(()) } else { right },
            "length {len}, GSO"
        );
    }
    for len in 0..8 {
        let pkt = ipv4(17, &udp(b"")[..len]);
        let found = udp_tracker::check(&Bytes(&pkt), &l4, Family::Ipv4, false).map(|_| ());
        assert_eq!(found, Err(Reason::UdpShort), "{len} bytes");
    }
}

/// A checksum is verified where it was made and when it was asked for.
#[test]
fn udp_checksums() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let sealed = seal(family, ip(family, 17, &udp(b"query")));
        let l4 = crate::pure::wire::l4(&Bytes(&sealed), 0, family).unwrap();
        let at = l4.offset as usize + 6;

        let with = |checksum: [u8; 2]| {
            let mut pkt = sealed.clone();
            pkt[at..at + 2].copy_from_slice(&checksum);
            pkt
        };
        let rows = [
            (sealed.clone(), Ok(())),
            (with([0, 0]), Ok(())),
            (with([0, 1]), Err(Reason::UdpChecksum)),
        ];
        for (pkt, expected) in rows {
            let check = |verify| udp_tracker::check(&Bytes(&pkt), &l4, family, verify).map(|_| ());
            assert_eq!(check(true), expected);
            assert_eq!(check(false), Ok(()));
        }
    }
}

/// Only queries begin connections; ICMP asks on every packet, ICMPv6 only at the beginning.
#[test]
fn icmp_queries() {
    let timeouts = Timeouts::new(HZ);
    let queries = |family| match family {
        Family::Ipv4 => &[8, 13, 15, 17][..],
        Family::Ipv6 => &[128, 139][..],
    };
    for (family, proto) in [(Family::Ipv4, 1), (Family::Ipv6, 58)] {
        for status in [NEW, CONFIRMED, REPLIED] {
            for kind in 0..=u8::MAX {
                let original = Tuple::new(family, proto, Addr::default(), Addr::default())
                    .with_icmp(kind, 0, 1);
                let found = icmp::track(&input(status, 0), family, &original, &timeouts.icmp);
                let asked = family == Family::Ipv4 || status == NEW;
                let expected = if asked && !queries(family).contains(&kind) {
                    Outcome::invalid(Reason::IcmpNew)
                } else {
                    refresh(30, false)
                };
                assert_eq!(found, expected, "{family:?} type {kind}");
            }
        }
    }
}

/// ICMP over IPv6 and ICMPv6 over IPv4 are invalid.
#[test]
fn icmp_of_the_other_family() {
    let timeouts = Timeouts::new(HZ);
    for (family, proto, kind) in [(Family::Ipv6, 1, 8), (Family::Ipv4, 58, 128)] {
        let original =
            Tuple::new(family, proto, Addr::default(), Addr::default()).with_icmp(kind, 0, 1);
        let found = icmp::track(&input(NEW, 0), family, &original, &timeouts.icmp);
        assert_eq!(found, Outcome::invalid(Reason::IcmpFamily));
    }
}

/// GRE keeps the timeouts of its first packet, and is assured by the first answer.
#[test]
fn gre_timeouts() {
    let mut timeouts = Timeouts::new(HZ);
    let mut proto = gre::Proto::default();
    let mut track =
        |status, timeouts: &Timeouts| gre::track(&mut proto, &input(status, 0), &timeouts.gre);

    assert_eq!(track(NEW, &timeouts), refresh(30, false));
    timeouts.gre = [1, 1];
    assert_eq!(track(CONFIRMED, &timeouts), refresh(30, false));
    assert_eq!(track(REPLIED, &timeouts), refresh(180, true));
    assert_eq!(track(ASSURED, &timeouts), refresh(180, false));
    assert_eq!(track(CLASHED, &timeouts), refresh(180, false));
}

/// The rest is kept for ten minutes after each packet.
#[test]
fn generic_timeout() {
    assert_eq!(
        generic::track(&Timeouts::new(HZ).generic),
        refresh(600, false)
    );
}

/// Names, clashes and early drop by protocol, as the kernel's trackers declare them.
#[test]
fn protocols_have_their_traits() {
    for (proto, name, clash, early) in PROTOCOLS {
        assert_eq!(l4proto::name(proto), name);
        assert_eq!(l4proto::allow_clash(proto), clash, "protocol {proto}");
        for state in 0..=u8::MAX {
            let found = l4proto::can_early_drop(proto, state);
            assert_eq!(
                found,
                early.contains(&state),
                "protocol {proto} state {state}"
            );
        }
    }
}

/// An outcome is what its constructor says, and nothing besides.
#[test]
fn outcomes() {
    let ignored = Outcome::ignore(Reason::TcpIgnored);
    assert_eq!(ignored.action, Action::Accept);
    assert_eq!(ignored.log, Some(Reason::TcpIgnored));
    let invalid = Outcome::invalid(Reason::TcpNew);
    assert_eq!(invalid, Outcome::of(Action::Invalid(Reason::TcpNew)));
    assert!(!invalid.assured && !invalid.protoinfo_changed);
    assert_eq!((invalid.lower_timeout, invalid.log), (None, None));
}

/// The timeouts of a connection of GRE are shown in seconds, where there are any.
#[test]
fn shown_of_gre() {
    let proto = gre::Proto {
        stream_timeout: 180 * HZ,
        timeout: 30 * HZ,
    };
    let shown = |hz| gre::Gre::show(&proto, REPLIED, hz).to_string();
    assert_eq!(shown(HZ), "timeout=30, stream_timeout=180 ");
    assert_eq!(shown(0), "");
}

/// A protocol without states has one state, and no datagram is taken whose header is cut off.
#[test]
fn protocols_without_states() {
    assert_eq!(udp_tracker::Udp::state(&udp_tracker::Proto::default()), 0);
    let short = ipv4(17, &udp(b"")[..7]);
    let l4 = L4 {
        proto: 17,
        offset: 20,
    };
    let read =
        |pkt: &[u8]| udp_tracker::Udp::read(&Bytes(pkt), &l4, Family::Ipv4, true).map(|_| ());
    assert_eq!(read(&short), Err(Reason::UdpShort));
    let sealed = seal(Family::Ipv4, ipv4(17, &udp(b"query")));
    assert_eq!(read(&sealed), Ok(()));
    let mut wrong = sealed;
    wrong[30] ^= 1;
    assert_eq!(read(&wrong), Err(Reason::UdpChecksum));
}
