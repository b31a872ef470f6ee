// SPDX-License-Identifier: GPL-2.0

//! Payloads: what helpers read of the data that a connection carries.
//!
//! There is one file for each protocol. A protocol that talks in lines of text over TCP has
//! [`Lines`] for each direction, which find the lines again however they were cut into segments.

pub(crate) mod ftp;
pub(crate) mod tftp;

use crate::pure::wire::{
    tcp::before,
    Packet, //
};

/// How many bytes of a line are kept, from its first one on.
pub(crate) const LINE: usize = 120;

/// The longest data of a segment that is read, in bytes; none of a control connection is near it.
const MOST: u32 = 1 << 16;

/// The data of a TCP segment.
pub(crate) struct Data<'a, P> {
    pkt: &'a P,
    /// Where the data begins, in bytes from the start of the packet.
    offset: u32,
    /// Sequence number of the first byte, in host order.
    seq: u32,
}

impl<'a, P: Packet> Data<'a, P> {
    /// The data from `offset` to the end of a packet, whose first byte has the sequence number
    /// `seq`.
    pub(crate) const fn new(pkt: &'a P, offset: u32, seq: u32) -> Self {
        Self { pkt, offset, seq }
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> u32 {
        self.pkt.len().saturating_sub(self.offset)
    }

    /// Returns whether the stream has `text` at the sequence number `seq`, and all of it is in
    /// here.
    ///
    /// Data that comes again may be other data, whether by mistake or on purpose.
    pub(crate) fn holds(&self, seq: u32, text: &[u8]) -> bool {
        let mut next = self.offset.checked_add(self.position(seq));
        text.iter().all(|byte| {
            let Some(at) = next else {
                return false;
            };
            next = at.checked_add(1);
            self.pkt.read(at) == Some([*byte])
        })
    }

    /// How many bytes from the beginning on a sequence number is; a number before the beginning is
    /// far behind the end.
    const fn position(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.seq)
    }

    /// Sequence number behind the last byte.
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len())
    }

    /// Returns whether the last byte ends a line.
    fn ends_line(&self) -> bool {
        let last = self.len().checked_sub(1);
        last.and_then(|last| self.pkt.read(self.offset.checked_add(last)?)) == Some([b'\n'])
    }

    /// Gives all bytes from a position on to `each`.
    fn for_each(&self, position: u32, mut each: impl FnMut(u8)) {
        let mut at = self.offset.saturating_add(position);
        while self.copy::<64>(&mut at, &mut each) {}
        while self.copy::<8>(&mut at, &mut each) {}
        while self.copy::<1>(&mut at, &mut each) {}
    }

    /// Gives the next `N` bytes to `each`; false if there are not so many.
    fn copy<const N: usize>(&self, at: &mut u32, each: &mut impl FnMut(u8)) -> bool {
        let (Some(bytes), Some(next)) = (self.pkt.read::<N>(*at), at.checked_add(N as u32)) else {
            return false;
        };
        bytes.into_iter().for_each(each);
        *at = next;
        true
    }
}

/// A line of a stream, whole or cut short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The bytes before the "\n", at most [`LINE`] of them.
    pub(crate) text: &'a [u8],
    /// Sequence number of the first byte, in host order.
    pub(crate) seq: u32,
    /// There is more of the line than the text.
    pub(crate) cut: bool,
}

/// A place in a stream up to which it was read, and the line that the place is in.
///
/// # Invariants
///
/// `len` is at most [`LINE`], and the bytes kept are those just before `next`, unless the line is
/// `cut`.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Sequence number of the next byte, in host order.
    next: u32,
    /// How many bytes of the line are kept.
    len: u8,
    /// The line is longer than what can be kept, and was told so far.
    cut: bool,
    text: [u8; LINE],
}

impl Place {
    /// The beginning of a line.
    const fn new(next: u32) -> Self {
        Self {
            next,
            len: 0,
            cut: false,
            text: [0; LINE],
        }
    }

    /// Goes on by a byte. Tells the line if it ends there, or if it has become too long.
    fn push(&mut self, byte: u8, found: &mut impl FnMut(Line<'_>)) {
        let at = self.next;
        self.next = at.wrapping_add(1);
        if byte == b'\n' {
            if !self.cut {
                found(self.line(at, false));
            }
            // INVARIANT: Nothing is kept.
            self.len = 0;
            self.cut = false;
        } else if !self.cut {
            match self.text.get_mut(usize::from(self.len)) {
                // INVARIANT: There was room for one more.
                Some(room) => {
                    *room = byte;
                    self.len = self.len.saturating_add(1);
                }
                None => {
                    found(self.line(at, true));
                    self.cut = true;
                }
            }
        }
    }

    /// The line that is kept, which `end` is just behind.
    fn line(&self, end: u32, cut: bool) -> Line<'_> {
        Line {
            text: self.text.get(..usize::from(self.len)).unwrap_or(&[]),
            seq: end.wrapping_sub(self.len.into()),
            cut,
        }
    }
}

/// Finds the lines in one direction of a TCP connection.
///
/// A line counts only where its beginning is known: behind the end of another line, or where
/// [`Lines::begin`] says so. There are two such places, as after a loss the data goes on behind the
/// gap before what was lost comes again. A segment that holds none of them is not read; if it ends
/// a line, there is a place behind it.
///
/// Source: net/netfilter/nf_conntrack_ftp.c, find_nl_seq() and update_nl_seq(); they know
/// beginnings only, nothing of a line that goes on in the next segment, and note an older place
/// while they know no two.
///
/// # Invariants
///
/// The two places are not the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines {
    places: [Option<Place>; 2],
}

impl Lines {
    /// Nothing was seen yet.
    pub(crate) const fn new() -> Self {
        Self {
            places: [None, None],
        }
    }

    /// Forgets all places but this one: a line begins at the sequence number `seq`.
    pub(crate) const fn begin(&mut self, seq: u32) {
        self.places = [Some(Place::new(seq)), None];
    }

    /// Reads a segment, and gives each line that ends in it to `found`, or becomes too long in it.
    ///
    /// Data that comes again is read again only from the first place on that is in it. More than
    /// 64 KiB are not read.
    pub(crate) fn feed<P: Packet>(&mut self, data: &Data<'_, P>, mut found: impl FnMut(Line<'_>)) {
        let len = data.len();
        let known = self.places.iter().flatten();
        let positions = known.map(|place| data.position(place.next));
        let Some(first) = positions.filter(|at| *at < len && len <= MOST).min() else {
            if data.ends_line() {
                self.note(data.end());
            }
            return;
        };
        for slot in &mut self.places {
            let Some(place) = slot else {
                continue;
            };
            let at = data.position(place.next);
            if at == first {
                data.for_each(at, |byte| place.push(byte, &mut found));
            } else if at <= len {
                // INVARIANT: The place that was read is now here, or further.
                *slot = None;
            }
        }
    }

    /// Notes that a line begins at the sequence number `seq`, unless a place is known there or
    /// further on: then it was read before, or is of somebody who does not know where the
    /// connection is. The place that is further behind makes room.
    fn note(&mut self, seq: u32) {
        let is_new = |place: &Place| before(place.next, seq);
        if !self.places.iter().flatten().all(is_new) {
            return;
        }
        let second = match &self.places {
            [Some(one), Some(two)] => before(two.next, one.next),
            [one, _] => one.is_some(),
        };
        let [one, two] = &mut self.places;
        // INVARIANT: No place is the same, as all are before it.
        *(if second { two } else { one }) = Some(Place::new(seq));
    }
}
