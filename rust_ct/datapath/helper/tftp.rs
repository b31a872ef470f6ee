// SPDX-License-Identifier: GPL-2.0

//! The helper of TFTP: the server answers a request from another port.
//!
//! Source: net/netfilter/nf_conntrack_tftp.c, tftp_help().

use crate::{
    datapath::{
        bytes::Bytes,
        helper::refuse, //
    },
    object::{
        conn::Conn,
        expect::{
            self,
            Wanted, //
        },
        helper::builtin::Builtin, //
    },
    pure::{
        payload::tftp::{
            self,
            Kind, //
        },
        state::CtInfo,
        tuple::Direction,
        wire::ipproto, //
    },
    sys::{
        hook::{
            Place,
            Verdict, //
        },
        rcu::ReadSide,
        skb::Skb, //
    },
};

/// Length of the UDP header in bytes.
const UDP_HEADER: u32 = 8;

/// The helper of TFTP.
pub(crate) struct Tftp;

impl Builtin for Tftp {
    const NAME: &'static [u8] = b"tftp";
    const PROTO: u8 = ipproto::UDP;

    /// Reads a packet whose UDP header is at `offset`. A hook runs.
    fn help(skb: &Skb, offset: u32, conn: &Conn, _info: CtInfo, rcu: ReadSide<'_>) -> Verdict {
        let bytes = Bytes::at(skb, Place::PostRouting);
        let kind = offset
            .checked_add(UDP_HEADER)
            .and_then(|payload| tftp::read(&bytes, payload));
        if kind != Some(Kind::Request) || expect_answer(conn, rcu).is_some() {
            return Verdict::ACCEPT;
        }
        refuse(conn)
    }
}

/// Expects the answer of the server, from any of its ports. `None` if there is no room for it.
fn expect_answer(conn: &Conn, rcu: ReadSide<'_>) -> Option<()> {
    let answer = conn.tuple(Direction::Reply);
    let wanted = Wanted {
        class: 0,
        l3num: answer.l3num(),
        src: Some(answer.src()),
        src_id: None,
        dst: answer.dst(),
        dst_id: answer.dst_id(),
        proto: ipproto::UDP,
    };
    expect::expect_related(conn, &wanted, rcu)
}
