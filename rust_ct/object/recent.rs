// SPDX-License-Identifier: GPL-2.0

//! The sources of new connections: each CPU remembers the last connections that it has confirmed.
//!
//! A flood shows in it, also where its connections do not last. All namespaces share the memory: if
//! one begins many connections, it reaches less far back, for the other namespaces as well.

use crate::{
    object::conn::Conn,
    pure::{
        source::Beginning,
        tuple::Direction, //
    },
    sys::{
        rcu::ReadSide,
        rcu_box::RcuBox,
        rings::Rings,
        time, //
    },
};
use kernel::prelude::*;

/// How many beginnings a CPU remembers.
const LAST: usize = 512;

static RECENT: RcuBox<Rings<LAST>> = RcuBox::new();

/// Beginnings are remembered while this lives.
pub(crate) struct SetUp(());

/// Makes room to remember beginnings. Process context.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn set_up() -> Result<SetUp> {
    let rings = KBox::new(Rings::new()?, GFP_KERNEL)?;
    drop(RECENT.replace(Some(rings)));
    Ok(SetUp(()))
}

impl Drop for SetUp {
    /// Process context, sleeps.
    fn drop(&mut self) {
        drop(RECENT.replace(None));
    }
}

/// Notes that a connection has just come into the table. Any context.
#[inline]
pub(crate) fn note(conn: &Conn, rcu: ReadSide<'_>) {
    if let Some(rings) = RECENT.get(rcu) {
        let original = conn.tuple(Direction::Original);
        let begun = Beginning::of(&original, conn.net().inum(), time::now());
        rings.note(begun.pack());
    }
}

/// What a CPU remembers, in no order; `None` if there is no such CPU. Any context.
pub(crate) fn of_cpu<'a>(
    cpu: u32,
    rcu: ReadSide<'a>,
) -> Option<impl Iterator<Item = Option<Beginning>> + Clone + 'a> {
    let notes = RECENT.get(rcu)?.of_cpu(cpu)?;
    Some(notes.map(Beginning::unpack))
}
