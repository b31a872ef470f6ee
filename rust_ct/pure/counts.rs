// SPDX-License-Identifier: GPL-2.0

//! The keys that have most of something, in bounded memory.
//!
//! This is the Space-Saving algorithm (Metwally, Agrawal, El Abbadi: Efficient computation of
//! frequent and top-k elements in data streams, 2005). A key that comes when all slots are in use
//! takes over the slot with the lowest count, and that count is its own from then on, as what may
//! be an error. A key that has more than the total divided by the number of slots has a slot, and
//! has no more than the slot's count, and no less than the count without the error.

/// What a key has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<K> {
    /// The key that the slot belongs to.
    key: Option<K>,
    /// How much it has at most.
    pub(crate) count: u64,
    /// How much of that may be an error.
    pub(crate) error: u64,
}

impl<K> Slot<K> {
    /// A slot without a key.
    pub(crate) const EMPTY: Self = Self {
        key: None,
        count: 0,
        error: 0,
    };

    /// How much it has at least.
    pub(crate) const fn at_least(&self) -> u64 {
        self.count.saturating_sub(self.error)
    }
}

/// What each of the keys has that have most, in an array of slots.
pub(crate) struct Counts<S> {
    /// Slots in use come first, the highest count first.
    slots: S,
    used: usize,
    total: u64,
}

impl<S> Counts<S> {
    /// No key has anything.
    pub(crate) const fn new(slots: S) -> Self {
        Self {
            slots,
            used: 0,
            total: 0,
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        (self.used, self.total) = (0, 0);
    }

    /// How much all keys have together, with those that have no slot.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Adds to what a key has; returns how much it has at least.
    pub(crate) fn add<K>(&mut self, key: K, weight: u64) -> u64
    where
        K: Copy + PartialEq,
        S: AsMut<[Slot<K>]>,
    {
        self.total = self.total.saturating_add(weight);
        let slots = self.slots.as_mut();
        let mut used = slots.iter().take(self.used);
        let new = Slot {
            key: Some(key),
            ..Slot::EMPTY
        };
        let (at, mut slot) = match used.position(|slot| slot.key == new.key) {
            Some(at) => (at, slots.get(at).copied().unwrap_or(new)),
            None if self.used < slots.len() => {
                self.used = self.used.saturating_add(1);
                (self.used.saturating_sub(1), new)
            }
            None => {
                let least = slots.last().map_or(0, |slot| slot.count);
                let slot = Slot {
                    count: least,
                    error: least,
                    ..new
                };
                (slots.len().saturating_sub(1), slot)
            }
        };
        slot.count = slot.count.saturating_add(weight);

        // The slot comes before all that have less.
        let before = slots.get(..at).unwrap_or_default();
        let to = before.partition_point(|other| other.count >= slot.count);
        if let Some(moved) = slots.get_mut(to..=at) {
            match moved {
                // Of equal slots, the first goes where this one was; most are equal.
                [first, .., last, own] if first.count == last.count => *own = *first,
                _ => moved.rotate_right(1),
            }
            if let Some(first) = moved.first_mut() {
                *first = slot;
            }
        }
        slot.at_least()
    }

    /// The keys that have most, each with its slot, the highest count first.
    pub(crate) fn most<K>(&self) -> impl Iterator<Item = (K, &Slot<K>)>
    where
        K: Copy + 'static,
        S: AsRef<[Slot<K>]>,
    {
        let used = self.slots.as_ref().iter().take(self.used);
        used.filter_map(|slot| Some((slot.key?, slot)))
    }
}
