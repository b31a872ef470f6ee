// SPDX-License-Identifier: GPL-2.0

//! By how much the sequence numbers of a connection are shifted.

use crate::{
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
};
use core::cell::UnsafeCell;

/// The shifts of both directions, `struct nf_conn_seqadj`. The lock of the connection covers them.
#[repr(transparent)]
pub(super) struct Shifts(UnsafeCell<[SeqAdj; 2]>);

// SAFETY: That is what this extension is. What changes in it is atomic, or in an `UnsafeCell`.
unsafe impl Part for Shifts {
    const KIND: Kind = Kind::SeqAdj;
}

impl Conn {
    /// By how much the number of a segment of a direction is shifted; a writer may be at it. Any
    /// context, with or without the lock.
    ///
    /// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seq_offset().
    pub(crate) fn seq_offset(&self, dir: Direction, seq: u32) -> u32 {
        self.part::<Shifts>().map_or(0, |shifts| {
            // SAFETY: Any bytes are shifts: those of different moments are as good as either.
            let shifts = unsafe { shifts.0.get().read_volatile() };
            shifts[dir.index()].offset(seq)
        })
    }
}

impl Locked<'_> {
    /// By how much the sequence numbers of both directions are shifted, if they may be.
    #[inline]
    pub(crate) fn seqadj(&mut self) -> Option<&mut [SeqAdj; 2]> {
        let shifts = self.conn.part::<Shifts>()?;
        // SAFETY: The lock of the connection is held, under which everybody writes them.
        Some(unsafe { &mut *shifts.0.get() })
    }

    /// The shift of one direction; none without the extension.
    #[inline]
    pub(crate) fn shift(&mut self, dir: Direction) -> SeqAdj {
        self.seqadj()
            .and_then(|shifts| shifts.get(dir.index()).copied())
            .unwrap_or_default()
    }
}
