// SPDX-License-Identifier: GPL-2.0

//! What most packets of a protocol are, and what becomes of those: what [`L4Proto`] says of them as
//! well, in fewer words. Tests compare the two.

use crate::pure::{
    l4proto::{
        Context,
        Input,
        L4Proto, //
    },
    reason::Reason,
    wire::{
        Family,
        Packet,
        L4, //
    },
};
use core::iter;

/// A transport protocol of which most packets only renew their connection, or begin one in the
/// usual way.
pub(crate) trait Plain: L4Proto {
    /// How many bytes the private state has of each end: it begins with those of the end that sends
    /// in the original direction, then come those of the other end.
    const END: usize = 0;

    /// As [`L4Proto::read`], of what most packets of the protocol are, but for the checksum. `None`
    /// for other packets, even if they can be read.
    fn read_plain<P: Packet>(pkt: &P, l4: &L4) -> Option<Self::Header>;

    /// As [`Plain::read_plain`], of what most packets are that begin a connection.
    fn read_first<P: Packet>(pkt: &P, l4: &L4) -> Option<Self::Header>;

    /// Verifies the checksum of a packet whose header was read so.
    ///
    /// # Errors
    ///
    /// The reason for which the packet is INVALID.
    fn verify<P: Packet>(
        pkt: &P,
        header: &Self::Header,
        l4: &L4,
        family: Family,
    ) -> Result<(), Reason>;

    /// As [`L4Proto::track`], of a packet that only lets a confirmed connection live on, for so
    /// many jiffies, and perhaps changes the private state in what no event tells of. `None` for
    /// other packets: then the private state is as good as lost, and [`L4Proto::track`] is to be
    /// asked.
    ///
    /// `timeout` gives the timeout of an index, in jiffies. Of a protocol that keeps something of
    /// each [`Plain::END`], the private state begins with the sender's.
    fn renew<C: Context>(
        private: &mut Self::Private,
        header: &Self::Header,
        input: &Input,
        timeout: impl Fn(usize) -> u32,
        context: &mut C,
    ) -> Option<u32>;

    /// Takes over into `old` from `new`, what [`Plain::renew`] has made of it, the numbers of 32
    /// bits that most packets change, and that only the holder of the lock writes to. Gives each
    /// with its place in bytes.
    fn take_over(
        _old: &mut Self::Private,
        _new: &Self::Private,
    ) -> impl Iterator<Item = (usize, u32)> {
        iter::empty()
    }

    /// As [`L4Proto::track`], of a packet that begins a connection, in the original direction, and
    /// whose header [`Plain::read_first`] has read. `now` is in jiffies, of which `hz` are a
    /// second; `timeout` gives the timeout of an index, in jiffies.
    fn begin(
        header: &Self::Header,
        now: usize,
        hz: u32,
        timeout: impl Fn(usize) -> u32,
    ) -> Beginning<Self::Private>;
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beginning<P> {
    /// The private state.
    pub(crate) private: P,
    /// For how many jiffies it lives.
    pub(crate) jiffies: u32,
    /// The private state is told of (the event `IPCT_PROTOINFO`).
    pub(crate) protoinfo_changed: bool,
}
