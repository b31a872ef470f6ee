// SPDX-License-Identifier: GPL-2.0

//! Shifting the sequence numbers of packets on their way out, where a helper has changed the length
//! of what one side says.

use crate::{
    conn::Conn,
    l4proto::seqadj::{
        self,
        CHECKSUM, //
    },
    packet::Bytes,
    sys::{
        hook::State,
        skb::Skb, //
    },
    tuple::Direction,
    wire::{
        self,
        Family, //
    },
};

/// Shifts the numbers in a segment of a connection. `None` if the packet cannot be written to, or
/// its header is broken: it is to be dropped. Softirq or process context.
///
/// A packet that is no longer a whole segment, a fragment, passes as it is.
/// Source: net/netfilter/nf_conntrack_proto.c, nf_confirm().
pub(crate) fn adjust(conn: &Conn, dir: Direction, skb: &mut Skb, state: &State) -> Option<()> {
    let family = Family::from_nfproto(state.nfproto().into())?;
    let nhoff = u32::try_from(skb.network_offset()).ok()?;
    let Ok(l4) = wire::l4(&Bytes::of(skb, state), nhoff, family) else {
        return Some(());
    };
    let mut locked = conn.lock();
    let (this_way, other_way) = (locked.shift(dir), locked.shift(dir.other()));
    drop(locked);

    let edits = seqadj::edits(&Bytes::of(skb, state), &l4, &this_way, &other_way)?;
    let sum = l4.offset.checked_add(CHECKSUM)?;
    let last = edits.get().iter().map(|edit| edit.offset).max()?;
    skb.make_writable(last.max(sum).checked_add(4)?)?;
    for edit in edits.get() {
        skb.replace(edit.offset, edit.old, edit.new, sum)?;
    }
    Some(())
}
