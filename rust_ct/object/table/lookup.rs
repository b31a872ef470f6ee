// SPDX-License-Identifier: GPL-2.0

//! Lookups: the connection that has a key. Any context, under RCU.
//!
//! A lookup meets connections that have expired, which are not found. It hands them to `overdue`,
//! which may end them.

use super::Table;
use crate::{
    object::{
        conn::{
            Candidate,
            Conn,
            Half,
            Key, //
        },
        netns::NETNS,
        stat::Stat, //
    },
    pure::{
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        }, //
    },
    sys::{
        barrier,
        net::Net,
        rcu::ReadSide, //
    },
};
use core::{
    ops::ControlFlow,
    ptr, //
};
use kernel::sync::aref::ARef;

/// A connection that was found, with a reference.
pub(crate) struct Found {
    pub(crate) conn: ARef<Conn>,
    /// The direction of the packets with the key.
    pub(crate) dir: Direction,
    /// The status when the reference was taken.
    pub(crate) status: Status,
    /// Jiffies until it expires.
    pub(crate) remaining: u32,
}

/// What one look has found. A tag of its own costs less than one inside of [`Found`].
#[repr(u8)]
pub(crate) enum Looked {
    /// The connection.
    Found(Found),
    /// There is none.
    Nothing,
    /// The connection has to be looked for again.
    Astray,
}

impl Table {
    /// Finds the connection with a key, by the key's hash, and takes a reference to it.
    #[inline]
    pub(crate) fn find(
        &self,
        key: &Key<'_>,
        hash: u32,
        rcu: ReadSide<'_>,
        overdue: impl Fn(Candidate<'_>),
    ) -> Option<(ARef<Conn>, Direction)> {
        self.search(key.net, hash, rcu, |candidate| {
            if candidate.is_expired() {
                overdue(candidate);
                return ControlFlow::Continue(());
            }
            examine(candidate, key)
        })
    }

    /// Looks once for the connection with a key, by the key's hash, and takes a reference to it.
    ///
    /// That there is none is known where the end of the list was that of the bucket, and the table
    /// neither was being resized nor has been meanwhile: [`Table::next`] and [`Table::is_current`]
    /// have the barriers. What is met that has expired is not found, and stays.
    #[inline(always)]
    pub(crate) fn find_at_once(
        &self,
        key: &Key<'_>,
        hash: u32,
        now: u32,
        rcu: ReadSide<'_>,
    ) -> Looked {
        let Some(buckets) = self.buckets.get(rcu) else {
            return Looked::Astray;
        };
        let met = buckets
            .of(hash)
            .and_then(|bucket| bucket.find(rcu, |candidate| candidate.resembles(key)));
        match met {
            Some(Some(half)) => match hold(half, key) {
                Some((conn, status)) => match conn.remaining_at(now) {
                    0 => Looked::Astray,
                    remaining => Looked::Found(Found {
                        conn,
                        dir: half.dir(),
                        status,
                        remaining,
                    }),
                },
                None => Looked::Astray,
            },
            Some(None) if self.next(rcu).is_none() && self.is_current(buckets) => Looked::Nothing,
            _ => Looked::Astray,
        }
    }

    /// Returns whether a connection of the table has packets with `reply`, a tuple that the replies
    /// to `conn` might get. A connection that begins with the same packet as `conn` does not count:
    /// it is the same connection, of which two packets came at once, and confirmation knows what to
    /// do.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_tuple_taken().
    pub(crate) fn is_taken(
        &self,
        reply: &Tuple,
        conn: &Conn,
        rcu: ReadSide<'_>,
        overdue: impl Fn(Candidate<'_>),
    ) -> bool {
        let key = Key::new(reply, conn.zone(), conn.net());
        let hash = key.hash(Direction::Reply);
        let taken = self.search(key.net, hash, rcu, |candidate| {
            if candidate.is(conn) {
                ControlFlow::Continue(())
            } else if candidate.is_expired() {
                overdue(candidate);
                ControlFlow::Continue(())
            } else if candidate.half_of(&key).is_some() && !candidate.begins_as(conn) {
                ControlFlow::Break(Some(()))
            } else {
                ControlFlow::Continue(())
            }
        });
        if let (Some(()), Some(netns)) = (taken, conn.netns()) {
            netns.stats.count(Stat::Found);
        }
        taken.is_some()
    }

    /// Calls `f` for each connection in the bucket of a hash until it breaks: with what was found,
    /// or with nothing, to begin anew. Begins anew too where it may have missed a connection.
    #[inline]
    fn search<R>(
        &self,
        net: &Net,
        hash: u32,
        rcu: ReadSide<'_>,
        mut f: impl FnMut(Candidate<'_>) -> ControlFlow<Option<R>>,
    ) -> Option<R> {
        let mut current = self.buckets.get(rcu)?;
        let mut buckets = current;
        loop {
            match buckets.of(hash)?.walk(rcu, &mut f) {
                Some(ControlFlow::Break(Some(found))) => return Some(found),
                Some(ControlFlow::Continue(())) => match self.next(rcu) {
                    // The connection may have left for there.
                    Some(next) if ptr::eq(buckets, current) && !ptr::eq(next, current) => {
                        buckets = next;
                        continue;
                    }
                    // Not there, unless the table has got other buckets since.
                    _ if self.is_current(current) => return None,
                    _ => (),
                },
                // A connection was reused while we looked at it, or led us astray.
                Some(ControlFlow::Break(None)) | None => {
                    if let Some(netns) = NETNS.get(net) {
                        netns.stats.count(Stat::SearchRestart);
                    }
                    self.astray();
                }
            }
            current = self.buckets.get(rcu)?;
            buckets = current;
        }
    }
}

/// Looks whether a connection has the key: breaks with it, or with nothing if it had, until its
/// memory was given out anew.
#[inline]
fn examine(
    candidate: Candidate<'_>,
    key: &Key<'_>,
) -> ControlFlow<Option<(ARef<Conn>, Direction)>> {
    let Some(half) = candidate.half_of(key) else {
        return ControlFlow::Continue(());
    };
    ControlFlow::Break(hold(half, key).map(|(conn, _)| (conn, half.dir())))
}

/// Takes a reference to a connection whose packets of a direction had the key, unless they have it
/// no more, and returns the status that it had then.
///
/// What is read of it from now on is what was there when it was confirmed, or newer: its extensions
/// are where they stay, its timeout is a moment. The reference alone does not see to that, as it
/// acquires what was done before [`UniqueConn::publish`], and extensions are added, and move, until
/// confirmation. A reader that comes here by a link that the confirmation made needs no more than
/// the address dependency. But we may have met the memory when it was another connection's with the
/// same key, and read CONFIRMED of this one.
///
/// [`UniqueConn::publish`]: crate::object::conn::UniqueConn::publish
#[inline(always)]
fn hold(half: Half<'_>, key: &Key<'_>) -> Option<(ARef<Conn>, Status)> {
    let conn = half.get()?;
    let status = half.status_by(key)?;
    // Pairs with the barrier of the bit that confirmation sets.
    barrier::read();
    Some((conn, status))
}
