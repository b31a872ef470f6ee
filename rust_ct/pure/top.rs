// SPDX-License-Identifier: GPL-2.0

//! What fills the table: what is counted, and the lines of /proc/rust_ct_top.

use crate::pure::{
    counts::{
        Counts,
        Slot, //
    },
    l4proto::{
        self,
        Shown, //
    },
    source::{
        Beginning,
        Source, //
    },
    state::Status, //
};
use core::fmt::{
    self,
    Display,
    Formatter, //
};

/// How many slots each of the counts has: a key that has more than the 256th part is among them.
pub(crate) const SLOTS: usize = 256;

/// How many lines are written of namespaces, and of sources.
const LINES: usize = 32;

/// How many lines are written of protocols and states.
const STATES: usize = 96;

/// No text is longer than this.
pub(crate) const LONGEST: usize = 32768;

/// A namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Its number.
    pub(crate) netns: u32,
    /// How many connections it may hold.
    pub(crate) max: u32,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// The number of the namespace.
    pub(crate) netns: u32,
    /// The number of the zone.
    pub(crate) zone: u16,
    /// The transport protocol.
    pub(crate) proto: u8,
    /// The name of the state.
    pub(crate) state: &'static str,
}

impl Class {
    /// The name of a connection's state: that of the protocol, or where it has none, what has been
    /// seen of the connection.
    pub(crate) fn state(shown: Shown, status: Status) -> &'static str {
        match shown {
            Shown::State(name) => name,
            _ if status.contains(Status::ASSURED) => "ASSURED",
            _ if status.contains(Status::SEEN_REPLY) => "REPLIED",
            _ => "UNREPLIED",
        }
    }
}

/// A source in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Someone {
    /// The number of the namespace.
    pub(crate) netns: u32,
    /// Where the connections come from.
    pub(crate) source: Source,
}

/// Slots that the caller lends.
pub(crate) type Lent<'a, K> = Counts<&'a mut [Slot<K>]>;

/// What fills the table.
pub(crate) struct Top<'a> {
    /// Connections of each namespace, confirmed or not.
    pub(crate) spaces: Lent<'a, Space>,
    /// Entries of each namespace, zone, protocol and state.
    pub(crate) classes: Lent<'a, Class>,
    /// Entries of each source.
    pub(crate) holders: Lent<'a, Someone>,
    /// How many connections each source begins, in thousandths of one in a second.
    pub(crate) beginners: Lent<'a, Someone>,
}

impl Top<'_> {
    /// Takes in what one CPU knows of the connections that have begun there: the last ones, in any
    /// order. Those count that are no older than `window`, and if a namespace is given, those of
    /// that namespace. If all that the CPU knows are no older, there may have been more, and a rate
    /// is that of the time since the oldest connection: not for a namespace, which would learn by
    /// it how many connections begin elsewhere. (It learns a little of that from how soon its own
    /// are no longer among the last.) `second` is how long a second is.
    pub(crate) fn add_beginnings(
        &mut self,
        last: impl Iterator<Item = Option<Beginning>> + Clone,
        now: u32,
        window: u32,
        second: u32,
        whose: Option<u32>,
    ) {
        let age = |begun: &Beginning| now.wrapping_sub(begun.when);
        let recent = |begun: &Option<Beginning>| begun.filter(|begun| age(begun) <= window);
        let mut oldest = 0;
        let mut is_whole = whose.is_some();
        for begun in last.clone() {
            match recent(&begun) {
                Some(begun) => oldest = age(&begun).max(oldest),
                None => is_whole = true,
            }
        }
        let span = if is_whole { window } else { oldest }.max(1);
        let rate = u64::from(second) * 1000 / u64::from(span);
        for begun in last.filter_map(|begun| recent(&begun)) {
            if whose.is_none_or(|netns| begun.netns == netns) {
                let someone = Someone {
                    netns: begun.netns,
                    source: begun.source,
                };
                self.beginners.add(someone, rate);
            }
        }
    }
}

/// A number of thousandths.
struct Thousandths(u64);

impl Display for Thousandths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 100)
    }
}

/// A protocol, by its name if it has one.
struct Protocol(u8);

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match l4proto::name(self.0) {
            "unknown" => self.0.fmt(f),
            name => f.write_str(name),
        }
    }
}

impl Display for Top<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "table entries={} begins_per_second={}",
            self.holders.total(),
            Thousandths(self.beginners.total())
        )?;
        for (space, slot) in self.spaces.most().take(LINES) {
            let Space { netns, max } = space;
            let Slot { count, error, .. } = slot;
            writeln!(
                f,
                "namespace netns={netns} connections={count} max={max} error={error}"
            )?;
        }
        for (class, slot) in self.classes.most().take(STATES) {
            let Class {
                netns, zone, state, ..
            } = class;
            let (proto, Slot { count, error, .. }) = (Protocol(class.proto), slot);
            writeln!(
                f,
                "state netns={netns} zone={zone} proto={proto} state={state} entries={count} \
                 error={error}"
            )?;
        }
        for (Someone { netns, source }, slot) in self.holders.most().take(LINES) {
            let Slot { count, error, .. } = slot;
            writeln!(
                f,
                "holds netns={netns} src={source} entries={count} error={error}"
            )?;
        }
        for (Someone { netns, source }, slot) in self.beginners.most().take(LINES) {
            let [count, error] = [slot.count, slot.error].map(Thousandths);
            writeln!(
                f,
                "begins netns={netns} src={source} per_second={count} error={error}"
            )?;
        }
        Ok(())
    }
}
