// SPDX-License-Identifier: GPL-2.0

//! What is around a packet that a tracker judges: its connection, and the settings of its
//! namespace.

use crate::{
    object::{
        conn::{
            Conn,
            Locked, //
        },
        netns::{
            Netns,
            NETNS, //
        },
        setting, //
    },
    pure::{
        l4proto::{
            seqadj::SeqAdj,
            tcp,
            Context, //
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
    },
    sys::net::Net,
};

/// What is around a packet that a tracker judges.
pub(super) struct Surroundings<'a, P> {
    pub(super) pkt: &'a P,
    pub(super) l4: &'a L4,
    pub(super) family: Family,
    pub(super) net: &'a Net,
    pub(super) conn: &'a Conn,
    pub(super) locked: Option<Locked<'a>>,
}

impl<P: Packet> Context for Surroundings<'_, P> {
    type Packet = P;

    #[inline(always)]
    fn packet(&self) -> &P {
        self.pkt
    }

    #[inline(always)]
    fn l4(&self) -> &L4 {
        self.l4
    }

    #[inline(always)]
    fn family(&self) -> Family {
        self.family
    }

    #[inline(always)]
    fn original(&self) -> Tuple {
        self.conn.tuple(Direction::Original)
    }

    #[inline(always)]
    fn tuning(&self) -> tcp::Tuning {
        tcp_tuning(self.net)
    }

    #[inline(always)]
    fn max_retrans(&self) -> u8 {
        setting::TCP_MAX_RETRANS.get(self.net)
    }

    #[inline(always)]
    fn leaves_to_receiver(&self) -> bool {
        leaves_to_receiver(self.net, self.conn)
    }

    #[inline(always)]
    fn met(&self) -> tcp::Proto {
        self.conn.private()
    }

    #[inline(always)]
    fn synproxy(&self) -> bool {
        self.conn.is_proxied()
    }

    #[inline(always)]
    fn shift(&mut self, dir: Direction) -> SeqAdj {
        let locked = self.locked.as_ref();
        locked.map(|locked| locked.shift(dir)).unwrap_or_default()
    }

    #[inline(always)]
    fn offset(&mut self, dir: Direction, seq: u32) -> u32 {
        self.conn.seq_offset(dir, seq)
    }
}

/// Returns whether a namespace leaves the segments of a TCP connection to their receivers.
#[cold]
#[inline(never)]
fn leaves_to_receiver(net: &Net, conn: &Conn) -> bool {
    NETNS.get(net).is_some_and(Netns::leaves_to_receiver) && !conn.is_behind_proxy()
}

/// What the settings of a namespace say of TCP.
#[inline]
pub(super) fn tcp_tuning(net: &Net) -> tcp::Tuning {
    tcp::Tuning {
        loose: setting::TCP_LOOSE.get(net) != 0,
        be_liberal: setting::TCP_BE_LIBERAL.get(net) != 0,
        ignore_invalid_rst: setting::TCP_IGNORE_INVALID_RST.get(net) != 0,
        max_retrans: setting::TCP_MAX_RETRANS.get(net),
    }
}
