// SPDX-License-Identifier: GPL-2.0

//! By how much the sequence numbers of a connection are shifted.

use crate::{
    bindings,
    object::conn::{
        ext::{
            Kind,
            Part, //
        },
        Conn,
        Locked, //
    },
    pure::{
        l4proto::seqadj::SeqAdj,
        tuple::Direction, //
    },
    sys::field::{
        field,
        Field,
        Memory, //
    },
};

/// The shifts of both directions. They are written under the lock of the connection, by netlink,
/// too, and read with or without it: so no code has a Rust reference to one.
#[repr(transparent)]
pub(super) struct Shifts(Memory<bindings::nf_conn_seqadj>);

// SAFETY: That is what this extension is, all whose fields may be zero. What changes in it is in
// `Memory`.
unsafe impl Part for Shifts {
    const KIND: Kind = Kind::SeqAdj;
}

impl Shifts {
    /// A copy of the shift of a direction. Without the lock, it may be of different moments in its
    /// parts.
    #[inline]
    fn get(&self, dir: Direction) -> SeqAdj {
        let dir = dir.index();
        SeqAdj {
            correction_pos: field!(self.0, seq[dir].correction_pos as Field<_>).load(),
            offset_before: field!(self.0, seq[dir].offset_before as Field<_>).load(),
            offset_after: field!(self.0, seq[dir].offset_after as Field<_>).load(),
        }
    }
}

impl Conn {
    /// By how much the number of a segment of a direction is shifted; a writer may be at it. Any
    /// context, with or without the lock.
    ///
    /// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seq_offset().
    #[inline(always)]
    pub(crate) fn seq_offset(&self, dir: Direction, seq: u32) -> u32 {
        // Shifts of different moments are as good as either.
        self.part::<Shifts>()
            .map_or(0, |shifts| shifts.get(dir).offset(seq))
    }
}

impl Locked<'_> {
    /// By how much the sequence numbers of a direction are shifted; none without the extension.
    #[inline]
    pub(crate) fn shift(&self, dir: Direction) -> SeqAdj {
        let shifts = self.conn.part::<Shifts>();
        shifts.map_or_else(SeqAdj::default, |shifts| shifts.get(dir))
    }

    /// Changes by how much they are, if the connection has the extension.
    pub(crate) fn change_shift(&mut self, dir: Direction, change: impl FnOnce(&mut SeqAdj)) {
        let Some(shifts) = self.conn.part::<Shifts>() else {
            return;
        };
        let mut new = shifts.get(dir);
        change(&mut new);
        let dir = dir.index();
        field!(shifts.0, seq[dir].correction_pos as Field<_>).store(new.correction_pos);
        field!(shifts.0, seq[dir].offset_before as Field<_>).store(new.offset_before);
        field!(shifts.0, seq[dir].offset_after as Field<_>).store(new.offset_after);
    }
}
