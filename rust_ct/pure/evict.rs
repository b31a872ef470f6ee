// SPDX-License-Identifier: GPL-2.0

//! Which connection makes room, of those that were met.

use crate::pure::{
    counts::{
        Counts,
        Slot, //
    },
    source::Source,
    state::Status, //
};
use core::ops::ControlFlow;

/// What is lost with a connection: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// No reply was seen, as with most of a flood.
    Unanswered,
    /// It is over but for the last packets.
    Closing,
    /// It is answered, but not assured.
    Answered,
}

impl Rank {
    /// That of a connection with a status; `None` if it may not go. Whether it is closing is asked
    /// where that makes a difference.
    pub(crate) fn of(status: Status, is_closing: impl FnOnce() -> bool) -> Option<Self> {
        let is_assured = status.contains(Status::ASSURED);
        if status.contains(Status::DYING) {
            None
        } else if !is_assured && !status.contains(Status::SEEN_REPLY) {
            Some(Self::Unanswered)
        } else if is_closing() {
            Some(Self::Closing)
        } else {
            (!is_assured).then_some(Self::Answered)
        }
    }

    /// The word of the tracepoints.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Closing => "closing",
            Self::Answered => "answered",
        }
    }
}

/// What a thorough search has shown, of a namespace or of all namespaces above their share, for the
/// moments after it: not every packet of a flood is to cost such a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Nothing.
    Unknown,
    /// No connection can be removed.
    Nobody,
    /// There are enough without a reply, each of another source: the first connection will do.
    Even,
}

impl Outlook {
    /// The bits of a time, in jiffies, that change within a moment, which is 16 ms with 250 jiffies
    /// a second.
    const MOMENT: u32 = 3;

    /// In one word, with when it was found out.
    pub(crate) const fn pack(self, now: u32) -> u32 {
        now & !Self::MOMENT | self as u32
    }

    /// What the word says now.
    pub(crate) const fn unpack(word: u32, now: u32) -> Self {
        match (word ^ now) & !Self::MOMENT {
            0 if word & Self::MOMENT == Self::Nobody as u32 => Self::Nobody,
            0 if word & Self::MOMENT == Self::Even as u32 => Self::Even,
            _ => Self::Unknown,
        }
    }
}

/// So many connections of the lowest rank are enough to choose from, and of so many sources it is
/// known how many they have.
pub(crate) const ENOUGH: usize = 16;

/// The choice among the connections that are met: one of the lowest rank, of the source that has
/// most of them.
pub(crate) struct Choice<T> {
    /// The connection so far, and how many of its rank and source there were.
    best: Option<(T, Rank, u64)>,
    /// How many of that rank each source has.
    sources: Counts<[Slot<Source>; ENOUGH]>,
    /// How many of the lowest rank are enough.
    enough: u64,
}

impl<T> Choice<T> {
    /// No connection was met yet.
    pub(crate) const fn new(outlook: Outlook) -> Self {
        Self {
            best: None,
            sources: Counts::new([Slot::EMPTY; ENOUGH]),
            enough: match outlook {
                Outlook::Even => 1,
                Outlook::Unknown | Outlook::Nobody => ENOUGH as u64,
            },
        }
    }

    /// A connection is met. Breaks when there are enough.
    pub(crate) fn offer(&mut self, one: T, rank: Rank, source: Source) -> ControlFlow<()> {
        let (best, most) = match &self.best {
            Some((_, best, most)) if rank >= *best => (*best, *most),
            _ => {
                // Connections of a higher rank were met in vain.
                self.sources.clear();
                (rank, 0)
            }
        };
        if rank > best {
            return ControlFlow::Continue(());
        }
        // A source for which no slot was left begins at one.
        let count = self.sources.add(source, 1);
        if count > most {
            self.best = Some((one, rank, count));
        }
        if rank == Rank::Unanswered && self.sources.total() >= self.enough {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Returns whether no connection was met that may go.
    pub(crate) fn is_empty(&self) -> bool {
        self.best.is_none()
    }

    /// What a thorough search has shown.
    pub(crate) fn outlook(&self) -> Outlook {
        match self.best {
            None => Outlook::Nobody,
            Some((_, Rank::Unanswered, 1)) if self.sources.total() >= ENOUGH as u64 => {
                Outlook::Even
            }
            Some(_) => Outlook::Unknown,
        }
    }

    /// The connection to remove.
    pub(crate) fn chosen(self) -> Option<T> {
        self.best.map(|(one, ..)| one)
    }
}
