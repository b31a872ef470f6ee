// SPDX-License-Identifier: GPL-2.0

//! Adjustment of TCP's sequence numbers, where a helper has made the data of one side longer or
//! shorter.
//!
//! Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seq_adjust().

use crate::pure::wire::{
    tcp::before,
    Packet,
    L4, //
};

/// Length of a header without options, in bytes.
const HEADER: u32 = 20;
/// Where things are in the header.
const SEQ: u32 = 4;
const ACK: u32 = 8;
const DATA_OFFSET: u32 = 12;
/// The flag that says that there is an acknowledgment.
const FLAG_ACK: u8 = 0x10;
/// Where the checksum is in the header.
pub(crate) const CHECKSUM: u32 = 16;

/// Options (RFC 9293 section 3.1, RFC 2018).
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_SACK: u8 = 5;
/// Length of a block of selective acknowledgment.
const BLOCK: u32 = 8;

/// The most numbers that a header can hold: two, and what fits into 40 bytes of options.
const MOST: usize = 2 + 10;

/// By how much a helper has shifted the sequence numbers of one direction, laid out as the kernel's
/// `struct nf_ct_seqadj`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct SeqAdj {
    /// The sequence number of the last change.
    pub(crate) correction_pos: u32,
    /// The shift before it.
    pub(crate) offset_before: i32,
    /// The shift after it.
    pub(crate) offset_after: i32,
}

impl SeqAdj {
    /// Notes that what follows the segment with a sequence number is shifted by so many bytes more:
    /// the data of the segment has become so much longer. A retransmission of it is no second
    /// change.
    ///
    /// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seqadj_set().
    pub(crate) const fn shift_from(&mut self, seq: u32, by: i32) {
        if self.offset_before == self.offset_after || before(self.correction_pos, seq) {
            self.correction_pos = seq;
            self.offset_before = self.offset_after;
            self.offset_after = self.offset_after.wrapping_add(by);
        }
    }

    /// Shifts everything by so many bytes, from the beginning on.
    ///
    /// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seqadj_init().
    pub(crate) const fn shift_all(&mut self, by: i32) {
        self.offset_before = by;
        self.offset_after = by;
    }

    /// The shift at an acknowledgment number, which counts the shift already
    /// (nf_ct_seq_adjust() in net/netfilter/nf_conntrack_seqadj.c).
    pub(crate) const fn offset_of_ack(&self, ack: u32) -> u32 {
        // CAST: The shift is subtracted modulo 2^32, so its sign does not matter.
        self.offset(ack.wrapping_sub(self.offset_before as u32))
    }

    /// The shift at a sequence number (nf_ct_seq_offset() in net/netfilter/nf_conntrack_seqadj.c).
    pub(crate) const fn offset(&self, seq: u32) -> u32 {
        // CAST: The shift is added modulo 2^32, so its sign does not matter.
        if before(self.correction_pos, seq) {
            self.offset_after as u32
        } else {
            self.offset_before as u32
        }
    }
}

/// A number in the packet that is to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Where it is, from the start of the packet.
    pub(crate) offset: u32,
    /// What it is.
    pub(crate) old: u32,
    /// What it is to be.
    pub(crate) new: u32,
}

/// All numbers in a packet that are to be changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Edits {
    list: [Edit; MOST],
    len: usize,
}

impl Edits {
    /// The numbers.
    pub(crate) fn get(&self) -> &[Edit] {
        self.list.get(..self.len).unwrap_or(&[])
    }

    /// Notes that the number at an offset is to be what `new` makes of it; `None` if the packet
    /// ends before.
    fn note<P: Packet>(&mut self, pkt: &P, offset: u32, new: impl Fn(u32) -> u32) -> Option<()> {
        let old = u32::from_be_bytes(pkt.read(offset)?);
        *self.list.get_mut(self.len)? = Edit {
            offset,
            old,
            new: new(old),
        };
        self.len = self.len.saturating_add(1);
        Some(())
    }
}

/// What is to be changed in a packet whose direction is shifted by `this_way`, and whose
/// acknowledgments are for a direction that is shifted by `other_way`. `None` if its header is
/// broken.
pub(crate) fn edits<P: Packet>(
    pkt: &P,
    l4: &L4,
    this_way: &SeqAdj,
    other_way: &SeqAdj,
) -> Option<Edits> {
    let at = |offset: u32| l4.offset.checked_add(offset);
    let [data_offset, flags] = pkt.read(at(DATA_OFFSET)?)?;
    // The header is whole.
    let [] = pkt.read::<0>(at(HEADER)?)?;

    let mut edits = Edits::default();
    edits.note(pkt, at(SEQ)?, |seq| seq.wrapping_add(this_way.offset(seq)))?;
    if flags & FLAG_ACK == 0 {
        return Some(edits);
    }
    let acked = |ack: u32| ack.wrapping_sub(other_way.offset_of_ack(ack));
    edits.note(pkt, at(ACK)?, acked)?;

    let end = at(u32::from(data_offset >> 4) << 2)?;
    let [] = pkt.read::<0>(end)?;
    sack_edits(pkt, at(HEADER)?, end, acked, &mut edits)?;
    Some(edits)
}

/// What is to be changed in the options between two places; `None` if an option is broken.
fn sack_edits<P: Packet>(
    pkt: &P,
    mut at: u32,
    end: u32,
    acked: impl Fn(u32) -> u32,
    edits: &mut Edits,
) -> Option<()> {
    while at < end {
        let [kind] = pkt.read(at)?;
        match kind {
            OPTION_END => return Some(()),
            OPTION_NOP => {
                at = at.checked_add(1)?;
                continue;
            }
            _ => (),
        }
        let [len] = pkt.read(at.checked_add(1).filter(|at| *at < end)?)?;
        let next = at.checked_add(len.into()).filter(|next| *next <= end)?;
        let blocks = u32::from(len).checked_sub(2)?;
        if kind == OPTION_SACK && blocks % BLOCK == 0 {
            // Each block is two numbers.
            for number in (at.checked_add(2)?..next).step_by(4) {
                edits.note(pkt, number, &acked)?;
            }
        }
        at = next;
    }
    Some(())
}
