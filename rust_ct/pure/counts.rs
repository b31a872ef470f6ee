// SPDX-License-Identifier: GPL-2.0

//! Who has most of something, in bounded memory.
//!
//! This is the Space-Saving algorithm (Metwally, Agrawal, El Abbadi: Efficient computation of
//! frequent and top-k elements in data streams, 2005). Where there is no slot left for one that has
//! none, it takes over the slot of the least one, and what that one had counts for it from then on,
//! as what may be an error. Whoever has more than the total divided by the number of slots has a
//! slot, and has no more than that says, and no less than that says without the error.

/// What one has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<K> {
    /// Whose it is.
    key: Option<K>,
    /// How much it has at most.
    pub(crate) count: u64,
    /// How much of that may be an error.
    pub(crate) error: u64,
}

impl<K> Slot<K> {
    /// Nobody's.
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

/// What each has of those that have most, in an array of slots.
pub(crate) struct Counts<S> {
    /// Those in use come first, and who has most comes first of them.
    slots: S,
    used: usize,
    total: u64,
}

impl<S> Counts<S> {
    /// Nobody has anything.
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

    /// How much all have together, with those that have no slot.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Adds to what one has; returns how much it has at least.
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

        // It comes before all that have less.
        let before = slots.get(..at).unwrap_or_default();
        let to = before.partition_point(|other| other.count >= slot.count);
        if let Some(moved) = slots.get_mut(to..=at) {
            match moved {
                // Of equals, one goes where it was; most are equals.
                [first, .., last, own] if first.count == last.count => *own = *first,
                _ => moved.rotate_right(1),
            }
            if let Some(first) = moved.first_mut() {
                *first = slot;
            }
        }
        slot.at_least()
    }

    /// Those that have most, each with what it has, who has most first.
    pub(crate) fn most<K>(&self) -> impl Iterator<Item = (K, &Slot<K>)>
    where
        K: Copy + 'static,
        S: AsRef<[Slot<K>]>,
    {
        let used = self.slots.as_ref().iter().take(self.used);
        used.filter_map(|slot| Some((slot.key?, slot)))
    }
}
