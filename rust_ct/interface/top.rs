// SPDX-License-Identifier: GPL-2.0

//! /proc/net/rust_ct_top: what fills the table. The initial namespace sees all, another namespace
//! its own part.
//!
//! It is found out when the file is read: by a walk through the table, which holds nothing between
//! two connections, and from what CPUs remember of the last beginnings ([`recent`]). However many
//! connections there are, no more memory is taken than that of the counts ([`Counts`]).

use crate::{
    object::{
        conn::Conn,
        netns::{
            Netns,
            NETNS, //
        },
        recent,
        table::{
            Cursor,
            Which,
            TABLE, //
        },
    },
    pure::{
        counts::{
            Counts,
            Slot, //
        },
        l4proto::{
            dispatch,
            L4Proto, //
        },
        source::Source,
        top::{
            Class,
            Someone,
            Space,
            Top,
            LONGEST,
            SLOTS, //
        },
        tuple::Direction, //
    },
    sys::{
        call,
        net::Net,
        percpu,
        proc::{
            self,
            Output,
            Walk, //
        },
        rcu::ReadSide,
        time, //
    },
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// How long ago a beginning may be that counts, in jiffies.
const WINDOW: u32 = 10 * time::HZ;

/// The text, in one piece: all of it is of one walk.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    is_read: bool,
}

impl Walk for Text {
    type Item = ();

    fn begin() -> Self {
        Self { is_read: false }
    }

    fn current(&mut self, _net: &Net) -> Option<()> {
        (!self.is_read).then_some(())
    }

    fn advance(&mut self, _net: &Net) -> Option<()> {
        self.is_read = true;
        None
    }

    fn show(&self, (): &(), net: &Net, out: &mut Output) -> Result {
        if out.has_room(LONGEST) {
            write_top(net, out)?;
        }
        Ok(())
    }
}

/// Memory for counts.
fn slots<K: Clone>() -> Result<KVVec<Slot<K>>> {
    Ok(KVVec::from_elem(Slot::EMPTY, SLOTS, GFP_KERNEL)?)
}

/// Writes what fills the table, as a namespace may see it. Process context, sleeps.
///
/// # Errors
///
/// `ENOMEM`, or `ERESTARTSYS` if a signal waits for the reader.
pub(crate) fn write_top(net: &Net, out: &mut dyn Write) -> Result {
    let (mut spaces, mut classes) = (slots()?, slots()?);
    let (mut holders, mut beginners) = (slots()?, slots()?);
    let mut top = Top {
        spaces: Counts::new(&mut spaces),
        classes: Counts::new(&mut classes),
        holders: Counts::new(&mut holders),
        beginners: Counts::new(&mut beginners),
    };
    let whose = (!net.is_init()).then_some(net);
    match whose.map(|net| (net, NETNS.get(net))) {
        Some((net, Some(netns))) => add_space(&mut top, net, netns),
        Some((_, None)) => (),
        None => NETNS.for_each(|net, netns| add_space(&mut top, net, netns)),
    }
    let mut at = Some(Cursor::BEGIN);
    while let Some((conn, cursor)) = at.and_then(|at| TABLE.seek(at, Which::All, whose)) {
        add_conn(&mut top, &conn);
        at = cursor.next();
        if proc::is_interrupted() {
            return Err(ERESTARTSYS);
        }
        call::rct_cond_resched();
    }
    let window = whose.map_or(WINDOW, |net| WINDOW.min(age(net)));
    for cpu in 0..percpu::cpus() {
        let guard = rcu::read_lock();
        if let Some(last) = recent::of_cpu(cpu, ReadSide::of(&guard)) {
            top.add_beginnings(last, time::now(), window, time::HZ, whose.map(Net::inum));
        }
        drop(guard);
        call::rct_cond_resched();
    }
    // What does not fit is asked for again; there was room.
    let _ = write!(out, "{top}");
    Ok(())
}

/// How long ago connections of a namespace can have begun, in jiffies: what is remembered under its
/// number from before is that of another namespace, which is gone.
fn age(net: &Net) -> u32 {
    let age = NETNS.get(net).map_or(0, Netns::age);
    u32::try_from(age.saturating_sub(1)).unwrap_or(u32::MAX)
}

fn add_space(top: &mut Top<'_>, net: &Net, netns: &Netns) {
    let (netns, connections) = (space(net, netns), netns.connections());
    if connections > 0 {
        top.spaces.add(netns, connections.into());
    }
}

fn space(net: &Net, netns: &Netns) -> Space {
    Space {
        netns: net.inum(),
        max: netns.limit(),
    }
}

fn add_conn(top: &mut Top<'_>, conn: &Conn) {
    let (original, status) = (conn.tuple(Direction::Original), conn.status());
    let (netns, proto) = (conn.net().inum(), original.proto());
    let shown = dispatch!(proto, P => P::show(&conn.private_of::<P>(), status, time::HZ));
    let class = Class {
        netns,
        zone: conn.zone().id,
        proto,
        state: Class::state(shown, status),
    };
    let source = Source::of(&original);
    top.classes.add(class, 1);
    top.holders.add(Someone { netns, source }, 1);
}
