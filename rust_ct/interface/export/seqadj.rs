// SPDX-License-Identifier: GPL-2.0

//! What NAT and the SYN proxy call that have changed the length of what one side says, or its
//! beginning.

use crate::{
    bindings,
    object::conn::{
        Conn,
        Flag, //
    },
    pure::{
        l4proto::seqadj::SeqAdj,
        state::CtInfo,
        tuple::Direction, //
    },
};
use kernel::ffi::c_int;

/// nf_ct_seqadj_set(): what follows a segment, whose sequence number is in network order, is
/// shifted by so many bytes more; see [`SeqAdj::shift_from`]. Without the
/// extension nothing is. Any context.
#[no_mangle]
extern "C" fn rust_ct_seqadj_set(
    conn: &Conn,
    info: bindings::ip_conntrack_info,
    seq: u32,
    by: i32,
) -> c_int {
    // CAST: There are eight.
    let Some(info) = CtInfo::from_bits(info as u8) else {
        return 0;
    };
    shift(conn, info.direction(), u32::from_be(seq), by);
    0
}

/// nf_ct_seqadj_init(): everything that a side says is shifted by so many bytes; see
/// [`SeqAdj::shift_all`]. Any context.
#[no_mangle]
extern "C" fn rust_ct_seqadj_init(
    conn: &Conn,
    info: bindings::ip_conntrack_info,
    by: i32,
) -> c_int {
    // CAST: There are eight.
    if let Some(info) = CtInfo::from_bits(info as u8) {
        change(conn, info.direction(), by, |shift| shift.shift_all(by));
    }
    0
}

/// What follows a segment of a direction is shifted by so many bytes more.
pub(super) fn shift(conn: &Conn, dir: Direction, seq: u32, by: i32) {
    change(conn, dir, by, |shift| shift.shift_from(seq, by));
}

/// Changes the shift of a direction, if the connection may have one, unless it is by nothing.
fn change(conn: &Conn, dir: Direction, by: i32, change: impl FnOnce(&mut SeqAdj)) {
    if by == 0 {
        return;
    }
    conn.lock().change_shift(dir, |shift| {
        conn.set_status(Flag::SeqAdjust);
        change(shift);
    });
}
