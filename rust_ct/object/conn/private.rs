// SPDX-License-Identifier: GPL-2.0

//! The private state of a connection's protocol, where the rest of the kernel reads it.
//!
//! Rules and flow tables look at some of its fields without the lock, and traffic control
//! (net/sched/act_ct.c, tcf_ct_flow_table_add()) sets a flag of TCP's without it. So there is no
//! Rust reference to it: a tracker works on a copy, which is written back in units of 32 bits:
//! those that have changed, and of TCP those that only the lock's holder writes as they are.

use super::{
    Conn,
    Locked, //
};
use crate::{
    bindings,
    pure::{
        l4proto::{
            L4Proto,
            Plain, //
        },
        tuple::Direction, //
    },
};
use core::mem::MaybeUninit;
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// Where the private states of all protocols are kept.
type Place = bindings::nf_conntrack_proto;

/// How many units a `T` has, which must fit into a connection.
const fn units<T>() -> usize {
    assert!(size_of::<T>() <= size_of::<Place>());
    assert!(align_of::<T>() <= align_of::<Place>());
    assert!(size_of::<T>() % size_of::<u32>() == 0);
    size_of::<T>() / size_of::<u32>()
}

/// How many units a protocol keeps of either end.
const fn ends<P: Plain>() -> usize {
    assert!(P::END % size_of::<u32>() == 0);
    assert!(2 * P::END <= size_of::<P::Private>());
    // A word is read as a whole.
    assert!(P::END == 0 || size_of::<P::Private>() > size_of::<usize>());
    P::END / size_of::<u32>()
}

/// The units of a private state.
fn units_of<T: IntoBytes + Immutable>(private: &T) -> impl Iterator<Item = u32> + '_ {
    let units = private.as_bytes().chunks_exact(size_of::<u32>());
    units.filter_map(|unit| Some(u32::from_ne_bytes(*unit.first_chunk()?)))
}

/// The position of unit `i` of a private state in which both ends have `end` units each, the
/// sender's first, where that of the original direction comes first.
#[inline(always)]
const fn unit(i: usize, end: usize, dir: Direction) -> usize {
    let shift = match dir {
        Direction::Original => 0,
        Direction::Reply => end,
    };
    if i < end {
        i + shift
    } else if i < 2 * end {
        i - shift
    } else {
        i
    }
}

impl Conn {
    /// A copy of the private state as the sender in a direction sees it: the sender's end comes
    /// first.
    #[inline(always)]
    pub(crate) fn private_seen<P: Plain>(&self, dir: Direction) -> P::Private {
        self.copy_private(const { ends::<P>() }, dir)
    }

    /// As [`Conn::replace_private`], after [`Plain::renew`], with both as the sender in a direction
    /// sees them.
    #[inline(always)]
    pub(crate) fn replace_private_seen<P: Plain>(
        &self,
        mut old: P::Private,
        new: &P::Private,
        dir: Direction,
    ) {
        let end = const { ends::<P>() };
        // SAFETY: The field is inside the connection.
        let to = unsafe { (&raw mut (*self.ct()).proto).cast::<u32>() };
        for (at, value) in P::take_over(&mut old, new) {
            let i = at / size_of::<u32>();
            if i < const { units::<P::Private>() } {
                // SAFETY: The index is within the private state, and thus within the field. Other
                // CPUs read by one access.
                unsafe { to.add(unit(i, end, dir)).write_volatile(value) };
            }
        }
        self.write_private(&old, new, end, dir);
    }

    /// A copy of the private state, which is laid out as `T`. Without the lock, a state that
    /// packets change may be of different moments in its parts.
    #[inline]
    pub(crate) fn private<T: FromBytes>(&self) -> T {
        self.copy_private(0, Direction::Original)
    }

    #[inline(always)]
    fn copy_private<T: FromBytes>(&self, end: usize, dir: Direction) -> T {
        let units = const { units::<T>() };
        let mut private = MaybeUninit::<T>::uninit();
        if const { size_of::<T>() == size_of::<usize>() && align_of::<T>() == align_of::<usize>() }
        {
            // SAFETY: The field is inside the connection, and holds a word, which is written before
            // confirmation only. Any bytes are a `T`.
            unsafe {
                let word = (&raw const (*self.ct()).proto)
                    .cast::<usize>()
                    .read_volatile();
                private.as_mut_ptr().cast::<usize>().write(word);
                return private.assume_init();
            }
        }
        for i in 0..units {
            // SAFETY: The field is inside the connection, and the index within `T` and thus within
            // the field. Other CPUs write by one access.
            unsafe {
                let from = (&raw const (*self.ct()).proto).cast::<u32>();
                let to = private.as_mut_ptr().cast::<u32>();
                to.add(i)
                    .write_unaligned(from.add(unit(i, end, dir)).read_volatile());
            }
        }
        // SAFETY: All bytes are there, and any bytes are a `T`.
        unsafe { private.assume_init() }
    }

    /// A copy of the private state of a connection of a protocol.
    pub(crate) fn private_of<P: L4Proto>(&self) -> P::Private {
        let _guard = P::LOCKED.then(|| self.lock());
        self.private()
    }

    /// Writes what is other in the private state than in `old`, of which `new` was made. The caller
    /// holds the lock since `old` was copied, or the connection is not confirmed.
    #[inline]
    pub(crate) fn replace_private<T: IntoBytes + Immutable>(&self, old: &T, new: &T) {
        self.write_private(old, new, 0, Direction::Original);
    }

    /// Writes the private state of a connection that is not confirmed: no other code writes to it.
    #[inline(always)]
    pub(crate) fn store_private<T: IntoBytes + Immutable>(&self, new: &T) {
        const { units::<T>() };
        // SAFETY: The field is inside the connection.
        let to = unsafe { (&raw mut (*self.ct()).proto).cast::<u32>() };
        for (i, new) in units_of(new).enumerate() {
            // SAFETY: The index is within `T`, and thus within the field. Other CPUs may read.
            unsafe { to.add(i).write_volatile(new) };
        }
    }

    #[inline(always)]
    fn write_private<T: IntoBytes + Immutable>(
        &self,
        old: &T,
        new: &T,
        end: usize,
        dir: Direction,
    ) {
        const { units::<T>() };
        // SAFETY: The field is inside the connection.
        let to = unsafe { (&raw mut (*self.ct()).proto).cast::<u32>() };
        for (i, (old, new)) in units_of(old).zip(units_of(new)).enumerate() {
            if old != new {
                // SAFETY: The index is within `T`, and thus within the field. Other CPUs read by
                // one access. What one of them sets meanwhile, without the lock, is lost only if it
                // comes between these two.
                unsafe {
                    let to = to.add(unit(i, end, dir));
                    to.write_volatile(to.read_volatile() ^ old ^ new);
                }
            }
        }
    }
}

impl Locked<'_> {
    /// A copy of the private state, which is laid out as `T`.
    #[inline]
    pub(crate) fn private<T: FromBytes>(&self) -> T {
        self.conn.private()
    }

    /// Changes the private state, which is laid out as `T`.
    #[inline]
    pub(crate) fn change<T: Copy + FromBytes + IntoBytes + Immutable, R>(
        &mut self,
        change: impl FnOnce(&mut T) -> R,
    ) -> R {
        let old = self.conn.private();
        let mut new = old;
        let result = change(&mut new);
        self.conn.replace_private(&old, &new);
        result
    }
}
