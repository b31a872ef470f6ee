// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers are shifted as nf_ct_seq_adjust() does, and nothing else of a packet is.

use crate::{
    packet::Bytes,
    pure::{
        l4proto::seqadj::{
            edits,
            SeqAdj, //
        },
        wire::{
            ipproto,
            L4, //
        },
    },
};
use proptest::prelude::*;

/// The second side of a connection has spoken 100 bytes more since its number 5000, and the first
/// side 7 less since its number 1000, 3 of which it was short before.
const THIS: SeqAdj = SeqAdj {
    correction_pos: 1000,
    offset_before: -3,
    offset_after: -7,
};
const OTHER: SeqAdj = SeqAdj {
    correction_pos: 5000,
    offset_before: 0,
    offset_after: 100,
};

const FLAG_ACK: u8 = 0x10;

/// A TCP header at an offset, with options.
fn segment(at: usize, seq: u32, ack: u32, flags: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xee; at];
    bytes.extend([0, 1, 0, 2]);
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([((20 + options.len()) as u8 / 4) << 4, flags]);
    bytes.extend([0; 6]);
    bytes.extend(options);
    bytes
}

fn l4(offset: u32) -> L4 {
    L4 {
        proto: ipproto::TCP,
        offset,
    }
}

/// The numbers that are replaced: where, what was there, what is to be there.
fn changes(packet: &[u8], offset: u32, this: &SeqAdj, other: &SeqAdj) -> Option<Vec<[u32; 3]>> {
    let edits = edits(&Bytes(packet), &l4(offset), this, other)?;
    Some(
        edits
            .get()
            .iter()
            .map(|edit| [edit.offset, edit.old, edit.new])
            .collect(),
    )
}

/// A change shifts what comes behind its segment; the same segment, or an older segment, is no
/// second change; what lies before the last change has the shift of the change before.
#[test]
fn changes_add_up() {
    let mut shift = SeqAdj::default();
    // The segment, by how much its data has grown, and what is then shifted by how much.
    let rows: [(u32, i32, [(u32, i32); 3]); 7] = [
        (1000, 3, [(1000, 0), (1001, 3), (1500, 3)]),
        (1000, 3, [(1000, 0), (1001, 3), (1500, 3)]),
        (900, 9, [(1000, 0), (1001, 3), (1500, 3)]),
        (2000, -5, [(1500, 3), (2000, 3), (2001, -2)]),
        // Around the end of the numbers.
        (
            2000 + 0x7fff_0000,
            7,
            [
                (2001, -2),
                (2000 + 0x7fff_0000, -2),
                (2001 + 0x7fff_0000, 5),
            ],
        ),
        (
            0xfffe_0000,
            -1,
            [(0xfffd_0000, 5), (0xfffe_0000, 5), (0xfffe_0001, 4)],
        ),
        (100, 2, [(90, 4), (100, 4), (101, 6)]),
    ];
    for (seq, by, after) in rows {
        shift.shift_from(seq, by);
        for (at, want) in after {
            assert_eq!(
                shift.offset(at) as i32,
                want,
                "behind {seq} by {by}, at {at}"
            );
        }
    }
}

/// Before the last change the old shift holds, behind it the new one; the change's own number is
/// before it. What is acknowledged is counted from the number that the peer was told.
#[test]
fn shifts_around_the_last_change() {
    // (seq, ack, shifted seq, shifted ack)
    let rows = [
        (1000, 5000, 997, 5000),
        (1001, 5001, 994, 4901),
        (0, 0, u32::MAX - 2, 0),
        (2, 5100, u32::MAX, 5000),
        (3, 5101, 0, 5001),
        (1000 + (1 << 31) - 1, 1, 0x8000_03e0, 1),
    ];
    for (seq, ack, new_seq, new_ack) in rows {
        let packet = segment(24, seq, ack, FLAG_ACK, &[]);
        assert_eq!(
            changes(&packet, 24, &THIS, &OTHER),
            Some(vec![[28, seq, new_seq], [32, ack, new_ack]]),
            "seq {seq}, ack {ack}"
        );
    }
}

/// Without the flag there is no acknowledgment, and no SACK option.
#[test]
fn no_acknowledgment() {
    let packet = segment(0, 1, 2, 0x02, &[5, 10, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0]);
    assert_eq!(
        changes(&packet, 0, &THIS, &OTHER),
        Some(vec![[4, 1, u32::MAX - 1]])
    );
}

/// Both ends of each block of a SACK option are acknowledgments.
#[test]
fn selective_acknowledgments() {
    let mut options = vec![1, 1, 5, 18];
    for number in [5000u32, 5001, 6000, 4999] {
        options.extend(number.to_be_bytes());
    }
    let packet = segment(0, 0, 5000, FLAG_ACK, &options);
    assert_eq!(
        changes(&packet, 0, &SeqAdj::default(), &OTHER),
        Some(vec![
            [4, 0, 0],
            [8, 5000, 5000],
            [24, 5000, 5000],
            [28, 5001, 4901],
            [32, 6000, 5900],
            [36, 4999, 4999],
        ])
    );
}

/// Options that are broken before a SACK is found have the packet dropped; options that
/// only are of no use do not.
#[test]
fn broken_options() {
    let rows: [(&[u8], bool); 9] = [
        (&[0, 5, 10, 0], true),
        (&[1, 1, 1, 1], true),
        (&[5, 4, 0, 0], true),
        (&[5, 2, 1, 1], true),
        (&[8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], true),
        (&[1, 1, 1, 5], false),
        (&[5, 1, 1, 1], false),
        (&[5, 0, 1, 1], false),
        (&[5, 10, 0, 0], false),
    ];
    for (options, right) in rows {
        let packet = segment(0, 1, 1, FLAG_ACK, options);
        let found = changes(&packet, 0, &THIS, &OTHER);
        assert_eq!(found.is_some(), right, "{options:?}");
        assert!(found.is_none_or(|found| found.len() == 2), "{options:?}");
    }
}

/// A header that the packet does not hold is not touched.
#[test]
fn cut_off() {
    let packet = segment(4, 1, 1, FLAG_ACK, &[1; 8]);
    for len in 0..packet.len() {
        assert_eq!(changes(&packet[..len], 4, &THIS, &OTHER), None, "{len}");
    }
    assert!(changes(&packet, 4, &THIS, &OTHER).is_some());
    assert!(changes(&packet, u32::MAX, &THIS, &OTHER).is_none());
}

proptest! {
    /// Whatever the bytes are: what is replaced lies in the header, is what is there, and there are
    /// never more numbers than a header has.
    #[test]
    fn any_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        fixed in any::<[u32; 3]>(),
        sack in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if let (true, Some(option)) = (sack, bytes.get_mut(20..22)) {
            option.copy_from_slice(&[5, 34]);
        }
        let shift = SeqAdj {
            correction_pos: fixed[0],
            offset_before: fixed[1] as i32,
            offset_after: fixed[2] as i32,
        };
        if let Some(found) = changes(&bytes, 0, &shift, &shift) {
            let header = usize::from(bytes[12] >> 4) * 4;
            prop_assert!(found.len() <= 12);
            for [at, old, _] in found {
                let at = at as usize;
                prop_assert!(at + 4 <= header.max(20));
                prop_assert_eq!(bytes[at..at + 4].to_vec(), old.to_be_bytes());
            }
        }
    }

    /// A shift is undone by the acknowledgment of what was shifted, just around the last change and
    /// as far away from it as a sequence number can be told to be before or behind.
    #[test]
    fn there_and_back(
        pos in any::<u32>(),
        distance in prop_oneof![-64i32..64, -(1i32 << 30)..1 << 30],
        off in 0i32..64,
    ) {
        let seq = pos.wrapping_add_signed(distance);
        let shift = SeqAdj { correction_pos: pos, offset_before: 0, offset_after: off };
        let there = seq.wrapping_add(shift.offset(seq));
        prop_assert_eq!(there.wrapping_sub(shift.offset_of_ack(there)), seq);
    }
}

/// An acknowledgment is compared as the other end has counted, before the shift.
#[test]
fn acknowledgments_count_the_shift_already() {
    let shift = SeqAdj {
        correction_pos: 1000,
        offset_before: 10,
        offset_after: 30,
    };
    for (ack, expected) in [(995, 10), (1005, 10), (1010, 10), (1011, 30), (1030, 30)] {
        assert_eq!(shift.offset_of_ack(ack), expected, "{ack}");
    }
}

/// What is shifted from the beginning on is shifted everywhere.
#[test]
fn all_is_shifted() {
    let mut shift = SeqAdj::default();
    shift.shift_all(-7);
    for seq in [0, 1, 1 << 31, u32::MAX] {
        assert_eq!(shift.offset(seq), 7u32.wrapping_neg(), "{seq}");
    }
}
