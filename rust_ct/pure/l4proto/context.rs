// SPDX-License-Identifier: GPL-2.0

//! What a tracker may ask for: it costs something, and not every tracker needs all of it.

use crate::pure::{
    l4proto::{
        seqadj::SeqAdj,
        tcp::{
            Proto,
            Tuning, //
        },
    },
    tuple::{
        Direction,
        Tuple, //
    },
    wire::{
        Family,
        Packet,
        L4, //
    },
};

/// The surroundings of a packet that is judged.
pub(crate) trait Context {
    /// Its bytes.
    type Packet: Packet;

    /// The packet.
    fn packet(&self) -> &Self::Packet;

    /// Where its transport header is.
    fn l4(&self) -> &L4;

    /// Its family.
    fn family(&self) -> Family;

    /// The connection's tuple in the original direction.
    fn original(&self) -> Tuple;

    /// What the namespace has set for TCP.
    fn tuning(&self) -> Tuning;

    /// What [`Context::tuning`] says of retransmissions, alone.
    #[inline(always)]
    fn max_retrans(&self) -> u8 {
        self.tuning().max_retrans
    }

    /// Returns whether the namespace leaves segments to their receivers (`tcp_rfc5961`), and the
    /// connection is not behind a SYN proxy, which believes whatever goes with it. Asked for those
    /// segments only that are INVALID else.
    fn leaves_to_receiver(&self) -> bool;

    /// The private state of a TCP connection as the segment met it.
    fn met(&self) -> Proto;

    /// Returns whether the connection may go through a SYN proxy: it has the extension.
    fn synproxy(&self) -> bool;

    /// The shift of the connection's sequence numbers in a direction, for a protocol whose tracker
    /// has the lock.
    fn shift(&mut self, dir: Direction) -> SeqAdj;

    /// By how much a sequence number of a direction is shifted, as [`Context::shift`] says, for a
    /// protocol whose tracker has the lock.
    #[inline(always)]
    fn offset(&mut self, dir: Direction, seq: u32) -> u32 {
        self.shift(dir).offset(seq)
    }
}
