// SPDX-License-Identifier: GPL-2.0

//! What the tracepoints tell of packets, connections and expectations.
//!
//! Each of these is one instruction that does nothing while the tracepoint is off, see
//! [`crate::sys::trace`]; what is told is put together behind it.

use crate::{
    object::{
        conn::{
            Conn,
            NewConn, //
        },
        helper::{
            self,
            Name, //
        },
    },
    pure::{
        line::{
            Ends,
            Short, //
        },
        tuple::{
            Direction,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        hook::State,
        net::Net,
        skb::Skb,
        trace::{
            Device,
            Facts,
            Point, //
        },
    },
};
use core::{
    fmt::Write,
    ptr, //
};

/// Room for both ends of a tuple as text.
const ENDS: usize = 128;

/// The ends of a tuple as text; nothing, if there is none.
fn text(tuple: Option<&Tuple>) -> Short<ENDS> {
    let mut text = Short::new();
    if let Some(tuple) = tuple {
        // There is room.
        let _ = write!(text, "{}", Ends(tuple));
    }
    text
}

/// What is told of a tuple but its text.
fn numbers(tuple: &Tuple) -> Facts<'static> {
    Facts {
        saddr: tuple.src().v6_octets(),
        daddr: tuple.dst().v6_octets(),
        sport: tuple.src_port(),
        dport: tuple.dst_port(),
        family: tuple.l3num(),
        proto: tuple.proto(),
        ..Facts::default()
    }
}

/// Tells of a packet of a namespace that has a tuple, as far as it can be read. RCU is held.
#[inline(always)]
pub(crate) fn packet<P: Point>(
    skb: &Skb,
    state: Option<&State>,
    net: &Net,
    tuple: impl FnOnce() -> Option<Tuple>,
    reason: &'static str,
) {
    if P::is_on() {
        tell_of_packet::<P>(skb, state, net, tuple(), reason);
    }
}

#[cold]
#[inline(never)]
fn tell_of_packet<P: Point>(
    skb: &Skb,
    state: Option<&State>,
    net: &Net,
    tuple: Option<Tuple>,
    reason: &str,
) {
    P::tell(&Facts {
        about: ptr::from_ref(skb).addr(),
        device: Device::of(skb, state),
        reason,
        tuple: text(tuple.as_ref()).as_str(),
        netns: net.inum(),
        ..tuple.as_ref().map(numbers).unwrap_or_default()
    });
}

/// Tells of a connection. Any context.
#[inline(always)]
pub(crate) fn conn<P: Point>(conn: &Conn, reason: &'static str) {
    if P::is_on() {
        tell_of_conn::<P>(conn, reason);
    }
}

#[cold]
#[inline(never)]
fn tell_of_conn<P: Point>(conn: &Conn, reason: &str) {
    let [original, reply] = Direction::BOTH.map(|dir| conn.tuple(dir));
    let about = ptr::from_ref(conn).addr();
    tell_of_ends::<P>(about, conn.net(), &conn.zone(), &original, &reply, reason);
}

/// Tells of a connection that would be made in a namespace. Any context.
#[inline(always)]
pub(crate) fn new_conn<P: Point>(net: &Net, new_conn: &NewConn<'_>, reason: &'static str) {
    if P::is_on() {
        let NewConn {
            original,
            reply,
            zone,
            ..
        } = new_conn;
        tell_of_ends::<P>(0, net, zone, original, reply, reason);
    }
}

#[cold]
#[inline(never)]
fn tell_of_ends<P: Point>(
    about: usize,
    net: &Net,
    zone: &Zone,
    original: &Tuple,
    reply: &Tuple,
    reason: &str,
) {
    P::tell(&Facts {
        about,
        reason,
        tuple: text(Some(original)).as_str(),
        other: text(Some(reply)).as_str(),
        zone: zone.id,
        netns: net.inum(),
        ..numbers(original)
    });
}

/// Tells of an expectation for a tuple, which a connection has announced. Any context.
#[inline(always)]
pub(crate) fn expectation<P: Point>(
    tuple: impl FnOnce() -> Tuple,
    master: &Conn,
    helper: impl FnOnce() -> Option<Name>,
    reason: &'static str,
) {
    if P::is_on() {
        tell_of_expectation::<P>(&tuple(), master, helper(), reason);
    }
}

#[cold]
#[inline(never)]
fn tell_of_expectation<P: Point>(tuple: &Tuple, master: &Conn, helper: Option<Name>, reason: &str) {
    P::tell(&Facts {
        about: ptr::from_ref(master).addr(),
        reason,
        tuple: text(Some(tuple)).as_str(),
        other: text(Some(&master.tuple(Direction::Original))).as_str(),
        helper: helper
            .as_ref()
            .map(|name| helper::text(name))
            .unwrap_or_default(),
        zone: master.zone().id,
        netns: master.net().inum(),
        ..numbers(tuple)
    });
}
