// SPDX-License-Identifier: GPL-2.0

//! Who begins connections: each CPU remembers the last ones that it has confirmed.
//!
//! It is what a flood shows itself by, also where its connections do not last. The memory is that
//! of all namespaces: one that begins many makes it reach less far back, for others as well.

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
