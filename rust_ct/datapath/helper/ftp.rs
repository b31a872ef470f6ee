// SPDX-License-Identifier: GPL-2.0

//! The helper of FTP: a control connection announces data connections.
//!
//! What it says is read by [`crate::pure::payload::ftp`]; what is refused is counted by name. A
//! packet is dropped where there is no room for what it announces, so that it is sent again.
//!
//! Source: net/netfilter/nf_conntrack_ftp.c, help().

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
        payload::ftp::{
            self,
            Event,
            Expected,
            MOST_EVENTS, //
        },
        state::CtInfo,
        tuple::Direction,
        wire::{
            ipproto,
            Packet, //
        },
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

/// Where things are in TCP's header.
const SEQ: u32 = 4;
const DATA_OFFSET: u32 = 12;

/// Whether a data connection may go to any address: never.
const LOOSE: bool = false;

/// The helper of FTP.
pub(crate) struct Ftp;

impl Builtin for Ftp {
    const NAME: &'static [u8] = b"ftp";
    const PROTO: u8 = ipproto::TCP;

    /// Reads a packet of a control connection whose TCP header is at `offset`. A hook runs.
    fn help(skb: &Skb, offset: u32, conn: &Conn, info: CtInfo, rcu: ReadSide<'_>) -> Verdict {
        // Before both sides have spoken, nothing is said.
        if !matches!(info, CtInfo::Established | CtInfo::EstablishedReply) {
            return Verdict::ACCEPT;
        }
        let bytes = Bytes::at(skb, Place::PostRouting);
        let Some((seq, data)) = segment(&bytes, offset) else {
            return Verdict::ACCEPT;
        };
        match conn.begin_session(rcu) {
            Ok(true) => (),
            // The helper is just being registered, or unregistered.
            Ok(false) => return Verdict::ACCEPT,
            Err(_) => return refuse(conn),
        }
        let mut events = [None; MOST_EVENTS];
        let mut locked = conn.lock();
        let Some(session) = locked.session(rcu) else {
            return Verdict::ACCEPT;
        };
        let mut free = events.iter_mut();
        session.feed(info.direction(), seq, &bytes, data, |event| {
            if let Some(slot) = free.next() {
                *slot = Some(event);
            }
        });
        // The lock of expectations is not taken below that of a connection.
        drop(locked);

        for event in events.iter().flatten() {
            if announce(conn, event, rcu).is_none() {
                return refuse(conn);
            }
        }
        Verdict::ACCEPT
    }
}

/// Sequence number and place of the data of a segment; `None` if it has none.
fn segment(pkt: &Bytes<'_>, offset: u32) -> Option<(u32, u32)> {
    let seq = u32::from_be_bytes(pkt.read(offset.checked_add(SEQ)?)?);
    let [words] = pkt.read(offset.checked_add(DATA_OFFSET)?)?;
    let data = offset.checked_add(u32::from(words >> 4) << 2)?;
    (data < pkt.len()).then_some((seq, data))
}

/// Expects what was announced, or counts why not. `None` if there is no room for it.
fn announce(conn: &Conn, event: &Event, rcu: ReadSide<'_>) -> Option<()> {
    let tuples = Direction::BOTH.map(|dir| conn.tuple(dir));
    let opened = event
        .outcome
        .and_then(|announced| ftp::check(&announced, &tuples, LOOSE));
    match opened {
        Ok(expected) => expect_data(conn, &expected, rcu),
        Err(refused) => {
            conn.netns()?.stats.count_refused(refused);
            Some(())
        }
    }
}

fn expect_data(conn: &Conn, expected: &Expected, rcu: ReadSide<'_>) -> Option<()> {
    let wanted = Wanted {
        class: 0,
        l3num: conn.tuple(Direction::Original).l3num(),
        src: Some(&expected.src),
        src_id: None,
        dst: &expected.dst,
        dst_id: expected.port.to_be_bytes(),
        proto: ipproto::TCP,
    };
    expect::expect_related(conn, &wanted, rcu)
}
