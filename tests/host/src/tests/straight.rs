// SPDX-License-Identifier: GPL-2.0

//! The straight way: which packets are plain, and that most are. That what is found of them is what
//! the trackers find is looked at wherever a test gives a packet to a tracker, see
//! [`crate::fuzz::judge_tcp`].

use super::{
    build::{
        ip,
        seal,
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
    packet::{
        Bytes,
        Linear, //
    },
    pure::{
        l4proto::{
            seqadj::SeqAdj,
            tcp::{
                renew,
                Proto,
                State,
                Tcp,
                Tuning, //
            },
            udp::{
                self as udp_tracker,
                Udp, //
            },
            Action,
            Context,
            Input,
            L4Proto,
            Plain, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        timeout::slot,
        tuple::{
            Direction::{
                self,
                Original,
                Reply, //
            },
            Tuple, //
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
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

const PSH: u8 = 0x08;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;

/// What a tracker knows of a packet of the connection of a rig.
fn input_of(rig: &Rig, dir: Direction) -> Input {
    Input {
        status: rig.conn.status,
        ctinfo: match dir {
            Original => CtInfo::Established,
            Reply => CtInfo::EstablishedReply,
        },
        now: 0,
        remaining: 0,
        hz: HZ,
    }
}

/// For how long a segment renews the connection of a rig, if it is plain.
fn renewal(rig: &Rig, dir: Direction, seg: &Segment) -> Option<u32> {
    let input = input_of(rig, dir);
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

/// The shorter way is not for a sender that has no window yet, but for a sender with the least.
#[test]
fn renewed_with_a_window() {
    for (window, renewed) in [(0, false), (1, true)] {
        let mut rig = Rig::in_window(State::Established);
        rig.conn.proto.seen[0].td_maxwin = window;
        let got = renewal(&rig, Original, &segment(ACK, 1000, 1000, 0));
        assert_eq!(got.is_some(), renewed, "{window}");
    }
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
    let mut rig = Rig::in_window(State::Established);
    rig.conn.proto.seen[Original as usize].td_maxwin = 0;
    let begins_window = renewal(&rig, Original, &ack).is_none();
    assert!(begins_window, "its sender has no window yet");
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

/// Headers of an ACK with nothing or a time stamp are plain; headers of other segments, and what
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
            assert_eq!(
                Tcp::verify(&Bytes(&whole), &segment(ACK, 0, 0, 0), &l4, family),
                Err(Reason::TcpChecksum)
            );
        }
    }
}

/// Headers of SYNs are read whatever options they have; headers of other segments, and what is
/// cut off, are not.
#[test]
fn first_headers() {
    const LINUX: [u8; 20] = [
        2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ];

    let rows: [(&str, u8, &[u8], bool); 9] = [
        ("SYN", SYN, &[], true),
        ("as Linux sends it", SYN, &LINUX, true),
        ("with another option", SYN, &[254, 4, 0, 0], true),
        ("with ECE", SYN | ECE, &LINUX, true),
        ("with PSH", SYN | PSH, &[], true),
        ("with URG", SYN | URG, &[], false),
        ("SYN and ACK", SYN | ACK, &LINUX, false),
        ("SYN and FIN", SYN | FIN, &[], false),
        ("ACK", ACK, &[], false),
    ];
    for family in [Family::Ipv4, Family::Ipv6] {
        for (what, flags, options, expected) in rows {
            let whole = ip(family, ipproto::TCP, &tcp(1, 2, flags, options, b"data"));
            let l4 = wire::plain_l4(&Bytes(&whole), 0, family).expect("plain");
            let header = l4.offset as usize + 20 + options.len();
            for len in 0..=whole.len() {
                let pkt = Bytes(&whole[..len]);
                let found = Tcp::read_first(&pkt, &l4);
                assert_eq!(found.is_some(), expected && len >= header, "{what}, {len}");
                assert_eq!(Tcp::read_first(&Linear(pkt.0, len), &l4), found);
                assert!(header <= len || Tcp::read_first(&Linear(&whole, len), &l4).is_none());
                if let Some(syn) = found {
                    assert_eq!(Segment::read(&pkt, &l4, family, false), Ok(syn), "{what}");
                }
            }
        }
        // A header that says that it is shorter than it can be.
        let mut short = ip(family, ipproto::TCP, &tcp(1, 2, SYN, &[], b"data"));
        let l4 = wire::plain_l4(&Bytes(&short), 0, family).expect("plain");
        short[l4.offset as usize + 12] = 4 << 4;
        assert_eq!(Tcp::read_first(&Bytes(&short), &l4), None);
    }
}

/// What the trait says of a connection's first packet is what the tracker says.
#[test]
fn protocols_begin_connections() {
    let input = Input {
        status: Status::default(),
        ctinfo: CtInfo::New,
        now: 1000,
        remaining: 0,
        hz: HZ,
    };
    // The timeout after too many retransmissions counts where it is shorter.
    const RETRANS: usize = 12;
    let mut rig = Rig::new();
    let usual = rig.timeouts.tcp[State::SynSent as usize];
    for (max_retrans, retrans, expected) in [
        (0, usual - 1, usual - 1),
        (3, usual - 1, usual - 1),
        (3, usual + 1, usual),
    ] {
        rig.tuning.max_retrans = max_retrans;
        rig.timeouts.tcp[RETRANS] = retrans;
        for window in [0, 1, u16::MAX] {
            let mut syn = segment(SYN, 1000, 0, 10);
            syn.window = window;
            let timeout = |index| slot(&rig.timeouts.tcp, index);
            let begun = Tcp::begin(&syn, input.now, input.hz, timeout);
            assert_eq!(begun.jiffies, expected);
            let mut around = Around {
                rig: &rig,
                shifts: Default::default(),
                leaves_to_receiver: false,
            };
            let mut proto = Proto::default();
            let outcome = Tcp::track(&mut proto, &syn, &input, &rig.timeouts.tcp, &mut around);
            assert_eq!(outcome.action, Action::Refresh(begun.jiffies));
            assert_eq!(outcome.protoinfo_changed, begun.protoinfo_changed);
            assert_eq!(begun.private, proto);
        }
    }
    let whole = ip(Family::Ipv4, ipproto::UDP, &udp(b"data"));
    let l4 = wire::plain_l4(&Bytes(&whole), 0, Family::Ipv4).expect("plain");
    let header = Udp::read_first(&Bytes(&whole), &l4).expect("plain");
    let begun = Udp::begin(&header, input.now, input.hz, |index| [30, 120][index]);
    let mut proto = udp_tracker::Proto::default();
    let outcome = udp_tracker::track(&mut proto, &input, &[30, 120]);
    assert_eq!(outcome.action, Action::Refresh(begun.jiffies));
    assert_eq!((begun.private, begun.protoinfo_changed), (proto, false));
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
                // An option, then a fragment that is not the first.
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

/// A datagram without data is plain, and what is shorter than its header is not.
#[test]
fn udp_without_data_is_plain() {
    for (len, expected) in [(7, false), (8, true), (9, false)] {
        let mut datagram = udp(b"");
        datagram[5] = len;
        let pkt = ip(Family::Ipv4, ipproto::UDP, &datagram);
        let l4 = wire::plain_l4(&Bytes(&pkt), 0, Family::Ipv4).expect("plain");
        assert_eq!(
            Udp::read_plain(&Bytes(&pkt), &l4).is_some(),
            expected,
            "{len}"
        );
    }
}

/// What is taken over of TCP's private state is given with its place in it, all of it.
#[test]
fn what_is_taken_over_has_its_place() {
    let numbers: Vec<_> = (0..size_of::<Proto>()).map(|at| at as u8 + 1).collect();
    let new = Proto::read_from_bytes(&numbers).expect("any bytes are one");
    let mut old = Proto::default();
    let taken: Vec<_> = Tcp::take_over(&mut old, &new).collect();
    let mut expected = Proto::default();
    for (at, value) in taken {
        let bytes = value.to_ne_bytes();
        assert_eq!(new.as_bytes()[at..at + 4], bytes, "{at}");
        expected.as_mut_bytes()[at..at + 4].copy_from_slice(&bytes);
    }
    assert_ne!(old, Proto::default());
    assert_eq!(old, expected);
}

/// What is around a segment of the connection of a rig.
struct Around<'a> {
    rig: &'a Rig,
    /// The shift of the sequence numbers of each direction.
    shifts: [SeqAdj; 2],
    leaves_to_receiver: bool,
}

impl Context for Around<'_> {
    type Packet = Bytes<'static>;

    fn packet(&self) -> &Bytes<'static> {
        unreachable!("the segment was read")
    }

    fn l4(&self) -> &L4 {
        unreachable!("the segment was read")
    }

    fn family(&self) -> Family {
        unreachable!("the segment was read")
    }

    fn original(&self) -> Tuple {
        unreachable!("TCP does not ask for it")
    }

    fn tuning(&self) -> Tuning {
        self.rig.tuning
    }

    fn leaves_to_receiver(&self) -> bool {
        self.leaves_to_receiver
    }

    fn met(&self) -> Proto {
        self.rig.conn.proto
    }

    fn synproxy(&self) -> bool {
        self.rig.synproxy
    }

    fn shift(&mut self, dir: Direction) -> SeqAdj {
        self.shifts[dir.index()]
    }
}

/// What the datapath asks a protocol for a plain packet, by its trait.
#[test]
fn protocols_read_plain_packets() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let whole = seal(
            family,
            ip(family, ipproto::TCP, &tcp(1, 2, ACK, &[], b"data")),
        );
        let l4 = wire::plain_l4(&Bytes(&whole), 0, family).expect("plain");
        let found = Tcp::read_plain(&Bytes(&whole), &l4).expect("plain");
        assert_eq!(Segment::read_plain(&Bytes(&whole), &l4), Some(found));
        assert_eq!(Tcp::verify(&Bytes(&whole), &found, &l4, family), Ok(()));

        let mut whole = seal(family, ip(family, ipproto::UDP, &udp(b"data")));
        let l4 = wire::plain_l4(&Bytes(&whole), 0, family).expect("plain");
        let found = Udp::read_plain(&Bytes(&whole), &l4).expect("plain");
        assert_eq!(Udp::verify(&Bytes(&whole), &found, &l4, family), Ok(()));
        *whole.last_mut().expect("data") ^= 1;
        let wrong = Err(Reason::UdpChecksum);
        assert_eq!(Udp::verify(&Bytes(&whole), &found, &l4, family), wrong);
    }
}

/// What the trait says of a packet is what the tracker says. An ACK is shifted as the last byte
/// that it acknowledges; by another shift it would lie outside of the window.
#[test]
fn protocols_renew_connections() {
    // What the other direction has sent reaches the sender shifted by so much.
    const SHIFT: u32 = 10;
    const FAR: u32 = 1 << 24;
    for (dir, seq, ack) in [(Original, 1001, 5001 + SHIFT), (Reply, 5001, 1001 + SHIFT)] {
        // The last change just behind that byte, and just before it.
        for (changed, before, after) in [(ack - 1, SHIFT, FAR), (ack - 2, FAR, SHIFT)] {
            let mut rig = Rig::established();
            rig.seqadj.correction_pos = changed;
            rig.seqadj.offset_before = before as i32;
            rig.seqadj.offset_after = after as i32;
            let mut shifts = [SeqAdj::default(); 2];
            shifts[dir.other().index()] = rig.seqadj;
            let mut around = Around {
                rig: &rig,
                shifts,
                leaves_to_receiver: false,
            };
            let input = input_of(&rig, dir);
            for (seg, is_plain) in [
                (segment(ACK, seq, ack, 0), true),
                (segment(FIN | ACK, seq, ack, 0), false),
            ] {
                let timeout = |index| slot(&rig.timeouts.tcp, index);
                let mut proto = rig.conn.proto.seen_by(dir);
                let found = Tcp::renew(&mut proto, &seg, &input, timeout, &mut around);
                assert_eq!(found, renewal(&rig, dir, &seg), "{dir:?}");
                assert_eq!(found.is_some(), is_plain, "{dir:?}, {changed}");
            }
        }
    }
    let rig = Rig::established();
    let mut around = Around {
        rig: &rig,
        shifts: Default::default(),
        leaves_to_receiver: false,
    };
    let input = input_of(&rig, Original);
    let whole = ip(Family::Ipv4, ipproto::UDP, &udp(b"data"));
    let l4 = wire::plain_l4(&Bytes(&whole), 0, Family::Ipv4).expect("plain");
    let header = Udp::read_plain(&Bytes(&whole), &l4).expect("plain");
    for (status, expected) in [(Status::CONFIRMED, Some(30)), (Status::default(), None)] {
        let mut proto = udp_tracker::Proto::default();
        let input = Input { status, ..input };
        let found = Udp::renew(&mut proto, &header, &input, |i| [30, 120][i], &mut around);
        assert_eq!(found, expected, "{status:?}");
    }
}

/// A segment that its receiver answers is INVALID unless the namespace leaves it to the receiver.
#[test]
fn tcp_asks_what_is_left_to_the_receiver() {
    let rig = Rig::established();
    let seg = segment(ACK, 1001, 6000, 0);
    let judged = [false, true].map(|leaves_to_receiver| {
        let mut around = Around {
            rig: &rig,
            shifts: Default::default(),
            leaves_to_receiver,
        };
        let (mut proto, input) = (rig.conn.proto, input_of(&rig, Original));
        Tcp::track(&mut proto, &seg, &input, &rig.timeouts.tcp, &mut around).action
    });
    assert!(
        matches!(judged, [Action::Invalid(_), Action::PassBy]),
        "{judged:?}"
    );
}
