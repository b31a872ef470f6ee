// SPDX-License-Identifier: GPL-2.0

//! Shifting the sequence numbers of packets on their way out, where a helper has changed the length
//! of what one side says.

use crate::{
    datapath::bytes::Bytes,
    object::conn::Conn,
    pure::{
        l4proto::seqadj::{
            self,
            CHECKSUM, //
        },
        tuple::Direction,
        wire::L4, //
    },
    sys::{
        hook::Place,
        skb::Skb, //
    },
};

/// Shifts the numbers in a segment of a connection. `None` if the packet cannot be written to, or
/// its header is broken: it is to be dropped. Softirq or process context.
///
/// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seq_adjust().
pub(crate) fn adjust(conn: &Conn, dir: Direction, skb: &mut Skb, l4: &L4) -> Option<()> {
    let locked = conn.lock();
    let (this_way, other_way) = (locked.shift(dir), locked.shift(dir.other()));
    drop(locked);

    let edits = seqadj::edits(
        &Bytes::at(skb, Place::PostRouting),
        l4,
        &this_way,
        &other_way,
    )?;
    let sum = l4.offset.checked_add(CHECKSUM)?;
    let last = edits.get().iter().map(|edit| edit.offset).max()?;
    let mut packet = skb.make_writable(last.max(sum).checked_add(4)?)?;
    for edit in edits.get() {
        packet.replace(edit.offset, edit.old, edit.new, sum)?;
    }
    Some(())
}
