// SPDX-License-Identifier: GPL-2.0

//! The TCP and SCTP trackers beside the kernel's own, on random sequences of packets.
//!
//! Only built by tests/host/reference.sh, which compiles the kernel's trackers for user space.
//! After each packet the whole private state must be the same, byte for byte, and so must
//! everything that the rest of the kernel gets.

use super::build::{
    chunk,
    init,
    ipv4,
    sctp as sctp_packet, //
};
use crate::{
    fuzz,
    packet::Bytes,
    pure::{
        l4proto::{
            sctp,
            seqadj::SeqAdj,
            tcp,
            Action,
            Input,
            Outcome, //
        },
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        wire::{
            sctp::Sctp,
            tcp::Segment,
            Family,
            L4, //
        },
    },
    timeouts::Timeouts, //
};
use proptest::prelude::*;

const HZ: u32 = 250;

/// The time at which reference/kernel.h stands still, in jiffies.
const NOW: u32 = 1000;

/// `struct nf_conn` of reference/kernel.h.
#[derive(Clone, Copy)]
#[repr(C)]
struct Conn<T> {
    proto: T,
    timeout: u32,
    status: u64,
    refreshed: u32,
    was_refreshed: u8,
    was_killed: u8,
    protoinfo: u8,
    assured: u8,
    synproxy: u8,
    seqadj: SeqAdj,
    lock: i32,
    net: usize,
}

/// SCTP's private state with the room that TCP's takes in the kernel's union.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct SctpInUnion {
    proto: sctp::Proto,
    rest: [u32; 11],
}

extern "C" {
    fn rct_reference_tcp(
        conn: *mut Conn<tcp::Proto>,
        pkt: *const u8,
        len: u32,
        offset: u32,
        ctinfo: i32,
        loose: u8,
        liberal: u8,
        max_retrans: u8,
        ignore_invalid_rst: u8,
    ) -> i32;

    fn rct_reference_sctp(
        conn: *mut Conn<SctpInUnion>,
        pkt: *const u8,
        len: u32,
        offset: u32,
        ctinfo: i32,
    ) -> i32;
}

const NF_ACCEPT: i32 = 1;
const NF_REPEAT: i32 = 4;

/// What the kernel got, in the terms of the pure layer; reasons are not compared.
#[derive(Debug, PartialEq)]
struct Told {
    action: &'static str,
    timeout: Option<u32>,
    assured: bool,
    protoinfo: bool,
}

impl Told {
    fn by_rust(outcome: &Outcome) -> Self {
        let (action, timeout) = match outcome.action {
            Action::Invalid(_) => ("invalid", outcome.lower_timeout),
            Action::Drop(_) => ("drop", None),
            Action::Reuse => ("reuse", None),
            Action::Kill => ("kill", None),
            Action::Accept => ("accept", None),
            Action::PassBy => ("pass by", None),
            Action::Refresh(jiffies) => ("refresh", Some(jiffies)),
        };
        Self {
            action,
            timeout,
            assured: outcome.assured,
            protoinfo: outcome.protoinfo_changed,
        }
    }

    fn by_c<T>(verdict: i32, conn: &Conn<T>, expires: u32) -> Self {
        let lowered = (conn.timeout != NOW + expires).then(|| conn.timeout - NOW);
        let (action, timeout) = match verdict {
            NF_ACCEPT if conn.was_killed != 0 => ("kill", None),
            NF_ACCEPT if conn.was_refreshed != 0 => ("refresh", Some(conn.refreshed)),
            NF_ACCEPT => ("accept", None),
            verdict if verdict == -NF_ACCEPT => ("invalid", lowered),
            verdict if verdict == -NF_REPEAT => ("reuse", None),
            _ => ("drop", None),
        };
        Self {
            action,
            timeout,
            assured: conn.assured != 0,
            protoinfo: conn.protoinfo != 0,
        }
    }
}

/// A connection as the two trackers see it, with what the module does around them.
#[derive(Clone, Copy)]
struct Pair<T> {
    rust: T,
    c: T,
    status: Status,
}

impl<T: Copy + Default> Pair<T> {
    fn new() -> Self {
        Self {
            rust: T::default(),
            c: T::default(),
            status: Status::default(),
        }
    }

    fn conn(&self, expires: u32, synproxy: bool, seqadj: SeqAdj) -> Conn<T> {
        Conn {
            proto: self.c,
            timeout: NOW + expires,
            status: self.status.bits(),
            refreshed: 0,
            was_refreshed: 0,
            was_killed: 0,
            protoinfo: 0,
            assured: 0,
            synproxy: synproxy.into(),
            seqadj,
            lock: 0,
            net: 0,
        }
    }

    fn input(&self, dir: Direction, expires: u32) -> Input {
        Input {
            status: self.status,
            ctinfo: match dir {
                Direction::Original => CtInfo::Established,
                Direction::Reply => CtInfo::EstablishedReply,
            },
            now: NOW as usize,
            remaining: expires,
            hz: HZ,
        }
    }

    /// A new connection can only go in its own direction.
    fn dir(&self, reply: bool) -> Direction {
        if reply && self.status.contains(Status::CONFIRMED) {
            Direction::Reply
        } else {
            Direction::Original
        }
    }

    /// Does with the connection what the module would do.
    fn follow(&mut self, told: &Told, dir: Direction) {
        let new = !self.status.contains(Status::CONFIRMED);
        if matches!(told.action, "kill" | "reuse") || (told.action == "invalid" && new) {
            *self = Self::new();
            return;
        }
        self.status = self.status.with(Status::CONFIRMED);
        if told.assured {
            self.status = self.status.with(Status::ASSURED);
        }
        if dir == Direction::Reply && told.action != "invalid" {
            self.status = self.status.with(Status::SEEN_REPLY);
        }
    }
}

/// What a namespace and a connection can be set to.
#[derive(Clone, Copy, Debug)]
struct Setting {
    tuning: [bool; 3],
    max_retrans: u8,
    synproxy: bool,
    seqadj: [i8; 2],
    expires: u32,
    fixed_timeout: bool,
}

fn settings() -> impl Strategy<Value = Setting> {
    (
        any::<[bool; 3]>(),
        0..5u8,
        any::<bool>(),
        prop_oneof![3 => Just([0, 0]), 1 => any::<[i8; 2]>()],
        prop_oneof![Just(0), 0..1000 * HZ],
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(tuning, max_retrans, synproxy, seqadj, expires, fixed_timeout)| Setting {
                tuning,
                max_retrans,
                synproxy,
                seqadj,
                expires,
                fixed_timeout,
            },
        )
}

/// A segment to be made near the numbers that the connection is at.
#[derive(Clone, Debug)]
struct Step {
    reply: bool,
    flags: u8,
    seq: (u8, i32),
    ack: (u8, i32),
    len: usize,
    window: u16,
    options: Vec<u8>,
    doff: Option<u8>,
    sack: Vec<(i32, i32)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flags = prop_oneof![
        4 => Just(0x10u8),
        2 => Just(0x02u8),
        2 => Just(0x12u8),
        2 => Just(0x11u8),
        1 => Just(0x04u8),
        1 => Just(0x14u8),
        1 => any::<u8>(),
    ];
    let distance = || {
        prop_oneof![
            4 => Just(0),
            2 => -3..3i32,
            2 => -70_000..70_000i32,
            1 => any::<i32>(),
        ]
    };
    let near = move || (0..6u8, distance());
    let options = prop_oneof![
        3 => Just(vec![]),
        2 => Just(vec![2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]),
        2 => Just(vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        1 => (0..=255u8).prop_map(|scale| vec![3, 3, scale, 0]),
        1 => Just(vec![4, 2, 1, 1]),
        1 => prop::collection::vec(0..12u8, 0..40),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let window = prop_oneof![Just(0), 0..100u16, any::<u16>(), Just(0xffff)];
    let sack = prop_oneof![
        3 => Just(vec![]),
        1 => prop::collection::vec((distance(), distance()), 1..5),
    ];
    let step = (
        any::<bool>(),
        flags,
        (near(), near()),
        prop_oneof![Just(0usize), 0..3usize, 0..1500usize],
        window,
        (options, sack),
        prop::option::weighted(0.03, any::<u8>()),
    )
        .prop_map(
            |(reply, flags, (seq, ack), len, window, (options, sack), doff)| Step {
                reply,
                flags,
                seq,
                ack,
                len,
                window,
                options,
                doff,
                sack,
            },
        );
    prop::collection::vec(step, 1..80)
}

impl Step {
    /// Makes the packet.
    fn packet(&self, proto: &tcp::Proto, dir: Direction) -> Vec<u8> {
        let (from, to) = (proto.seen[dir.index()], proto.seen[(!dir).index()]);
        let seq = match self.seq.0 {
            0 | 1 => from.td_end,
            2 => from.td_maxend,
            3 => to.td_maxack,
            4 => proto.last_ack,
            _ => 0,
        };
        let ack = match self.ack.0 {
            0 | 1 => to.td_end,
            2 => proto.last_end,
            3 => to.td_end.wrapping_add(1),
            4 => from.td_maxack,
            _ => 0,
        };
        let seq = seq.wrapping_add_signed(self.seq.1);
        let ack = ack.wrapping_add_signed(self.ack.1);

        let mut options = self.options.clone();
        if !self.sack.is_empty() {
            options = vec![5, u8::try_from(2 + 8 * self.sack.len()).unwrap()];
            for (left, right) in &self.sack {
                options.extend(ack.wrapping_add_signed(*left).to_be_bytes());
                options.extend(ack.wrapping_add_signed(*right).to_be_bytes());
            }
        }
        let mut seg = super::build::tcp(seq, ack, self.flags, &options, &vec![0; self.len]);
        seg[14..16].copy_from_slice(&self.window.to_be_bytes());
        if let Some(doff) = self.doff {
            seg[12] = doff;
        }
        ipv4(6, &seg)
    }
}

fn by_rust(pair: &mut Pair<tcp::Proto>, pkt: &[u8], input: &Input, env: &tcp::Env<'_>) -> Outcome {
    let l4 = L4 {
        proto: 6,
        offset: 20,
    };
    match Segment::read(&Bytes(pkt), &l4, Family::Ipv4, false) {
        Ok(seg) => fuzz::judge_tcp(&mut pair.rust, &seg, input, env),
        Err(reason) => Outcome::invalid(reason),
    }
}

fn compare_tcp(setting: Setting, steps: &[Step]) -> Result<(), TestCaseError> {
    let [loose, be_liberal, ignore_invalid_rst] = setting.tuning;
    let tuning = tcp::Tuning {
        loose,
        be_liberal,
        ignore_invalid_rst,
        max_retrans: setting.max_retrans,
    };
    let timeouts = Timeouts::new(HZ);
    let [before, after] = setting.seqadj;
    let mut pair = Pair::<tcp::Proto>::new();

    for (index, step) in steps.iter().enumerate() {
        let dir = pair.dir(step.reply);
        let pkt = step.packet(&pair.rust, dir);
        let seqadj = SeqAdj {
            correction_pos: pair.rust.seen[1].td_end,
            offset_before: before.into(),
            offset_after: after.into(),
        };
        if setting.fixed_timeout {
            pair.status = pair.status.with(Status::FIXED_TIMEOUT);
        }
        let input = pair.input(dir, setting.expires);
        let mut conn = pair.conn(setting.expires, setting.synproxy, seqadj);

        // SAFETY: The packet and the connection outlive the call, which keeps neither, and their
        // layouts are those of reference/kernel.h.
        let verdict = unsafe {
            rct_reference_tcp(
                &mut conn,
                pkt.as_ptr(),
                u32::try_from(pkt.len()).unwrap(),
                20,
                i32::from(input.ctinfo.bits()),
                loose.into(),
                be_liberal.into(),
                setting.max_retrans,
                ignore_invalid_rst.into(),
            )
        };
        pair.c = conn.proto;
        let by_c = Told::by_c(verdict, &conn, setting.expires);

        let env = tcp::Env {
            tuning: &tuning,
            timeouts: &timeouts.tcp,
            synproxy: setting.synproxy,
            seqadj,
        };
        let outcome = by_rust(&mut pair, &pkt, &input, &env);
        let told = Told::by_rust(&outcome);

        prop_assert_eq!(
            &told,
            &by_c,
            "step {}: {:?}, {:?}, {:x?}",
            index,
            step,
            outcome,
            pair.rust
        );
        // A tracker that refuses the first packet does not keep its state.
        if told.action != "invalid" || input.confirmed() {
            prop_assert_eq!(
                pair.rust,
                pair.c,
                "step {}: {:?}, {:?}",
                index,
                step,
                outcome
            );
        }
        pair.follow(&told, dir);
    }
    Ok(())
}

/// A chunk whose tag, if it has one, is out of a few.
fn any_chunk() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (1..=2u8, 0..4u32).prop_map(|(kind, tag)| init(kind, tag)),
        8 => (0..16u8, 0..2u8).prop_map(|(kind, flags)| chunk(kind, flags, &[0; 4])),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

fn compare_sctp(packets: &[(bool, u32, Vec<Vec<u8>>)]) -> Result<(), TestCaseError> {
    let timeouts = Timeouts::new(HZ);
    let mut pair = Pair::<SctpInUnion>::new();
    let expires = 100;

    for (index, (reply, tag, chunks)) in packets.iter().enumerate() {
        let dir = pair.dir(*reply);
        let pkt = ipv4(132, &sctp_packet(*tag, chunks));
        let input = pair.input(dir, expires);
        let mut conn = pair.conn(expires, false, SeqAdj::default());

        // SAFETY: As for TCP.
        let verdict = unsafe {
            rct_reference_sctp(
                &mut conn,
                pkt.as_ptr(),
                u32::try_from(pkt.len()).unwrap(),
                20,
                i32::from(input.ctinfo.bits()),
            )
        };
        pair.c = conn.proto;
        let by_c = Told::by_c(verdict, &conn, expires);

        let l4 = L4 {
            proto: 132,
            offset: 20,
        };
        let bytes = Bytes(&pkt);
        let outcome = match Sctp::read(&bytes, &l4, Family::Ipv4, false) {
            Ok(read) => sctp::track(
                &mut pair.rust.proto,
                &read,
                &bytes,
                &l4,
                &input,
                &timeouts.sctp,
            ),
            Err(reason) => Outcome::invalid(reason),
        };
        let told = Told::by_rust(&outcome);

        prop_assert_eq!(
            &told,
            &by_c,
            "step {}: {:?}, {:?}",
            index,
            outcome,
            pair.rust.proto
        );
        if told.action != "invalid" || input.confirmed() {
            prop_assert_eq!(
                pair.rust.proto,
                pair.c.proto,
                "step {}: {:?}",
                index,
                outcome
            );
        }
        pair.follow(&told, dir);
    }
    Ok(())
}

proptest! {
    /// TCP: the same state and the same word to the rest of the kernel after each segment.
    #[test]
    fn tcp_is_the_kernels(setting in settings(), steps in steps()) {
        compare_tcp(setting, &steps)?;
    }

    /// SCTP: the same.
    #[test]
    fn sctp_is_the_kernels(
        packets in prop::collection::vec(
            (any::<bool>(), 0..4u32, prop::collection::vec(any_chunk(), 1..4)),
            1..80,
        ),
    ) {
        compare_sctp(&packets)?;
    }
}
