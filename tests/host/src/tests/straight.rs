// SPDX-License-Identifier: GPL-2.0

//! The straight way: which packets are plain, and that most are. That what is found of them is what
//! the trackers find is looked at wherever a test gives a packet to a tracker, see
//! [`crate::fuzz::judge_tcp`].

use super::{
    build::{
        ip,
        tcp,
        udp, //
    },
    tcp::{
        segment,
        Rig,
        ACK,
        FIN,
        HZ,
        RST,
        SYN, //
    },
};
use crate::{
    packet::Bytes,
    pure::{
        l4proto::{
            tcp::{
                renew,
                State,
                Tcp, //
            },
            udp as udp_tracker,
            Input,
            L4Proto, //
        },
        state::{
            CtInfo,
            Status, //
        },
        timeout::slot,
        tuple::Direction::{
            self,
            Original,
            Reply, //
        },
        wire::{
            self,
            ipproto,
            tcp::Segment,
            Family,
            L4, //
        },
    },
};

const PSH: u8 = 0x08;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;

/// For how long a segment renews the connection of a rig, if it is plain.
fn renewal(rig: &Rig, dir: Direction, seg: &Segment) -> Option<u32> {
    let input = Input {
        status: rig.conn.status,
        ctinfo: match dir {
            Original => CtInfo::Established,
            Reply => CtInfo::EstablishedReply,
        },
        now: 0,
        remaining: 0,
        hz: HZ,
    };
    let timeout = |index| slot(&rig.timeouts.tcp, index);
    let mut proto = rig.conn.proto.seen_by(dir);
    let shift = rig.seqadj.offset(seg.ack.wrapping_sub(1));
    renew(
        &mut proto,
        seg,
        &input,
        shift,
        rig.tuning.max_retrans,
        timeout,
    )
}

/// In an established connection every ACK in the window is plain, and nothing else is.
#[test]
fn acks_in_the_window_are_plain() {
    const DAYS: u32 = 24 * 60 * 60 * HZ;
    const MINUTES: u32 = 60 * HZ;

    let rig = Rig::established();
    let rows = [
        (
            "an ACK again",
            Original,
            segment(ACK, 1001, 5001, 0),
            Some(5 * DAYS),
        ),
        (
            "data, not acknowledged",
            Original,
            segment(ACK, 1001, 5001, 100),
            Some(5 * MINUTES),
        ),
        (
            "data of the other end",
            Reply,
            segment(ACK | PSH, 5001, 1001, 100),
            Some(5 * MINUTES),
        ),
        (
            "data again",
            Reply,
            segment(ACK, 4990, 1001, 11),
            Some(5 * DAYS),
        ),
        (
            "beyond the window",
            Original,
            segment(ACK, 100_000, 5001, 0),
            None,
        ),
        (
            "an ACK of what was not sent",
            Original,
            segment(ACK, 1001, 6000, 0),
            None,
        ),
        ("an end", Original, segment(FIN | ACK, 1001, 5001, 0), None),
        ("a reset", Original, segment(RST, 1001, 0, 0), None),
        ("a beginning", Original, segment(SYN, 1001, 0, 0), None),
    ];
    for (what, dir, seg, expected) in rows {
        assert_eq!(renewal(&rig, dir, &seg), expected, "{what}");
    }
}

/// In no other state, and of no connection that is not assured, a segment is plain.
#[test]
fn nothing_else_is_plain() {
    let ack = segment(ACK, 1000, 1000, 0);
    for state in State::ALL {
        let rig = Rig::in_window(state);
        let plain = renewal(&rig, Original, &ack).is_some();
        assert_eq!(plain, state == State::Established, "{state:?}");
    }
    let all = [Status::CONFIRMED, Status::SEEN_REPLY, Status::ASSURED];
    for left_out in 0..all.len() {
        let mut rig = Rig::in_window(State::Established);
        let kept = all.iter().enumerate().filter(|&(i, _)| i != left_out);
        rig.conn.status = kept.fold(Status::default(), |sum, (_, &bit)| sum.with(bit));
        assert_eq!(
            renewal(&rig, Original, &ack),
            None,
            "without {:?}",
            all[left_out]
        );
    }
}

/// The headers of an ACK with nothing or a time stamp are plain; those of other segments, and what
/// is cut off, are not.
#[test]
fn plain_headers() {
    const STAMP: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

    let rows: [(&str, u8, &[u8], bool); 12] = [
        ("ACK", ACK, &[], true),
        ("with PSH", ACK | PSH, &[], true),
        ("with ECE", ACK | ECE, &[], true),
        ("with a time stamp", ACK, &STAMP, true),
        (
            "a time stamp behind",
            ACK,
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1],
            false,
        ),
        (
            "selective",
            ACK,
            &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            false,
        ),
        ("of four bytes", ACK, &[1, 1, 1, 1], false),
        ("with URG", ACK | URG, &[], false),
        ("SYN", SYN, &[], false),
        ("FIN", FIN | ACK, &[], false),
        ("RST", RST | ACK, &[], false),
        ("nothing", 0, &[], false),
    ];
    for family in [Family::Ipv4, Family::Ipv6] {
        for (what, flags, options, expected) in rows {
            let whole = ip(family, ipproto::TCP, &tcp(1, 2, flags, options, b"data"));
            let l4 = wire::plain_l4(&Bytes(&whole), 0, family).expect("plain");
            let header = l4.offset as usize + 20 + options.len();
            for len in 0..=whole.len() {
                let pkt = Bytes(&whole[..len]);
                let found = Segment::read_plain(&pkt, &l4);
                assert_eq!(found.is_some(), expected && len >= header, "{what}, {len}");
                if let Some(plain) = found {
                    assert_eq!(Segment::read(&pkt, &l4, family, false), Ok(plain), "{what}");
                }
            }
            assert!(
                !Tcp::verify(&Bytes(&whole), &segment(ACK, 0, 0, 0), &l4, family),
                "its checksum is wrong"
            );
        }
    }
}

/// A transport header is found where it is right behind that of IP.
#[test]
fn plain_network_headers() {
    let plain = |family, pkt: &[u8]| wire::plain_l4(&Bytes(pkt), 0, family);
    for family in [Family::Ipv4, Family::Ipv6] {
        let offset = if family == Family::Ipv4 { 20 } else { 40 };
        for proto in [ipproto::TCP, ipproto::UDP] {
            let mut pkt = ip(family, proto, &udp(b"data"));
            assert_eq!(plain(family, &pkt), Some(L4 { proto, offset }));
            for len in 0..offset as usize {
                assert_eq!(plain(family, &pkt[..len]), None, "{family:?}, {len}");
            }
            match family {
                // An option, then a fragment that is not the first one.
                Family::Ipv4 => {
                    pkt[0] = 0x46;
                    assert_eq!(plain(family, &pkt), None);
                    (pkt[0], pkt[7]) = (0x45, 1);
                    assert_eq!(plain(family, &pkt), None);
                }
                // Extension headers.
                Family::Ipv6 => {
                    for next in [0, 43, 44, 51, 59, 60] {
                        pkt[6] = next;
                        assert_eq!(plain(family, &pkt), None, "{next}");
                    }
                }
            }
        }
    }
}

/// A packet of UDP is plain unless its connection becomes assured by it, or has just begun.
#[test]
fn udp_is_plain() {
    const CONFIRMED: Status = Status::CONFIRMED;
    const REPLIED: Status = CONFIRMED.with(Status::SEEN_REPLY);

    let later = 3 * HZ as usize;
    let rows = [
        (Status::default(), later, None),
        (CONFIRMED, later, Some(30)),
        (REPLIED, 0, Some(30)),
        (REPLIED, later, None),
        (REPLIED.with(Status::ASSURED), later, Some(120)),
        (REPLIED.with(Status::NAT_CLASH), later, Some(120)),
    ];
    let mut proto = udp_tracker::Proto::default();
    let input = |status, now| Input {
        status,
        ctinfo: CtInfo::New,
        now,
        remaining: 0,
        hz: HZ,
    };
    udp_tracker::track(&mut proto, &input(Status::default(), 0), &[30, 120]);
    for (status, now, expected) in rows {
        let found = udp_tracker::renew(&proto, &input(status, now), |index| [30, 120][index]);
        assert_eq!(found, expected, "{status:?} at {now}");
    }
}
