// SPDX-License-Identifier: GPL-2.0

//! Connections met in the table.

use crate::{
    bindings,
    object::conn::{
        key::Words,
        Conn,
        Key, //
    },
    pure::{
        l4proto::{
            dispatch,
            L4Proto, //
        },
        source::Source,
        state::Status,
        tuple::Direction,
        zone::Zone, //
    },
    sys::{
        field::Field,
        net::Net,
        nulls,
        slab, //
    },
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::sync::aref::ARef;

/// A connection met in the table without a reference. It may be freed and given out anew at any
/// time, so nothing that is read from it counts until [`Candidate::get`] succeeds and it is read
/// again.
///
/// # Invariants
///
/// The link is a connection's, and the memory is that of a connection throughout `'a`, in which RCU
/// or the lock of a list that it is in is held.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    node: NonNull<nulls::Node>,
    _conn: PhantomData<&'a Conn>,
}

/// Where the two links are in a connection. Which of them it is, a link's address tells, as a
/// connection begins at a multiple of `ALIGN`: nothing of the connection is read.
const ORIGINAL: usize = offset_of!(bindings::nf_conn, tuplehash);
const REPLY: usize = ORIGINAL + size_of::<bindings::nf_conntrack_tuple_hash>();
/// The bit of an address that tells.
const TELLS: usize = {
    let other = (ORIGINAL ^ REPLY) % slab::ALIGN;
    assert!(other != 0);
    1 << other.trailing_zeros()
};

/// A direction of a connection that was met without a reference, as a [`Candidate`] is.
#[derive(Clone, Copy)]
pub(crate) struct Half<'a> {
    conn: &'a Conn,
    dir: Direction,
    words: &'a [Field<u64>; 5],
}

impl Half<'_> {
    #[inline(always)]
    pub(crate) fn dir(&self) -> Direction {
        self.dir
    }

    /// The status bits now, if packets of this direction have the key, and the connection is in the
    /// table.
    #[inline(always)]
    pub(crate) fn status_by(&self, key: &Key<'_>) -> Option<Status> {
        self.status_with(&key.words, &key.zone, key.net)
    }

    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_key_equal().
    #[inline(always)]
    fn status_with(&self, words: &Words, zone: &Zone, net: &Net) -> Option<Status> {
        let has = self.conn.zone();
        let same = Words::load(self.words).same_key(words)
            && (has == *zone || has.equal(zone, self.dir))
            && self.conn.is_of(net);
        let status = same.then(|| self.conn.status())?;
        status.contains(Status::CONFIRMED).then_some(status)
    }

    /// Takes a reference, unless the last reference is gone. What is read from now on counts.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<ARef<Conn>> {
        self.conn.try_get()
    }
}

impl<'a> Candidate<'a> {
    /// The connection that a link belongs to.
    ///
    /// # Safety
    ///
    /// The link must be one of a connection's, met in a list of the table with RCU, or the lock of
    /// the list, held for `'a`.
    #[inline]
    pub(crate) unsafe fn new(node: NonNull<nulls::Node>) -> Self {
        // INVARIANT: As the caller says.
        Self {
            node,
            _conn: PhantomData,
        }
    }

    #[inline(always)]
    fn conn(&self) -> &'a Conn {
        let offset = match self.link() {
            Direction::Original => ORIGINAL,
            Direction::Reply => REPLY,
        };
        // SAFETY: By the type invariant; that far is the link into the connection.
        unsafe { self.node.byte_sub(offset).cast().as_ref() }
    }

    /// The half of the connection for packets in a direction.
    #[inline(always)]
    fn half(&self, dir: Direction) -> Half<'a> {
        let conn = self.conn();
        Half {
            conn,
            dir,
            words: conn.tuple_words(dir),
        }
    }

    /// The first half for whose words `is_it` holds. A link of the reply direction stands for its
    /// own half only; that of the original direction for both, as the other may have no link. The
    /// other one has a link where the zone differs for replies: they are looked for by that link
    /// only.
    #[inline(always)]
    fn find_half(&self, is_it: impl Fn(&[Field<u64>; 5]) -> bool) -> Option<Half<'a>> {
        // A branch for each, in which all offsets are constants.
        match self.link() {
            Direction::Original => {
                let half = self.half(Direction::Original);
                if is_it(half.words) {
                    return Some(half);
                }
                let half = self.half(Direction::Reply);
                (is_it(half.words) && !half.conn.zone().is_one_way()).then_some(half)
            }
            Direction::Reply => Some(self.half(Direction::Reply)).filter(|half| is_it(half.words)),
        }
    }

    /// The connection itself.
    ///
    /// # Safety
    ///
    /// There must be a reference to it for `'a`, such as that of a list whose lock is held.
    pub(in super::super) unsafe fn held(self) -> &'a Conn {
        self.conn()
    }

    /// The direction of the link by which the connection was met.
    #[inline(always)]
    pub(crate) fn link(&self) -> Direction {
        match self.node.addr().get() & TELLS == ORIGINAL & TELLS {
            true => Direction::Original,
            false => Direction::Reply,
        }
    }

    /// Returns whether the connection is in the table by its replies alone, because the tuple of
    /// its first packet was taken.
    pub(crate) fn has_lost_clash(&self) -> bool {
        self.status().contains(Status::NAT_CLASH)
    }

    /// The half whose packets have the key, if the connection is in the table.
    #[inline(always)]
    pub(crate) fn half_of(&self, key: &Key<'_>) -> Option<Half<'a>> {
        let half = self.find_half(|words| Words::load(words).same_key(&key.words))?;
        half.status_by(key).map(|_| half)
    }

    /// Returns whether packets of the connection have the key that those of `conn` have in a
    /// direction, and the connection is in the table.
    #[inline(always)]
    pub(crate) fn has_key_of(&self, conn: &Conn, dir: Direction) -> bool {
        let (words, zone, net) = (conn.words(dir), conn.zone(), conn.net());
        self.find_half(|of| Words::load(of).same_key(&words))
            .is_some_and(|half| half.status_with(&words, &zone, net).is_some())
    }

    /// The half whose packets most likely have the key: ports and the like, protocol, family, and a
    /// part of an address are the same.
    #[inline(always)]
    pub(crate) fn resembles(&self, key: &Key<'_>) -> Option<Half<'a>> {
        self.find_half(|[_, _, middle, _, last]| key.words.resemble(middle.load(), last.load()))
    }

    /// Returns whether this is that connection.
    pub(crate) fn is(&self, conn: &Conn) -> bool {
        core::ptr::eq(self.conn(), conn)
    }

    /// Returns whether the connection begins with the same packet as `conn`.
    pub(crate) fn begins_as(&self, conn: &Conn) -> bool {
        let original = Direction::Original;
        self.conn().words(original).same_key(&conn.words(original))
            && self.conn().zone().equal(&conn.zone(), original)
    }

    /// Returns whether the connection belongs to a namespace.
    #[inline]
    pub(crate) fn is_of(&self, net: &Net) -> bool {
        self.conn().is_of(net)
    }

    /// Returns whether the connection belongs to a namespace, or to any if there is none.
    #[inline]
    pub(crate) fn is_of_any(&self, net: Option<&Net>) -> bool {
        net.is_none_or(|net| self.is_of(net))
    }

    /// Returns whether the connection has expired.
    #[inline]
    pub(crate) fn is_expired(&self) -> bool {
        self.remaining() == 0
    }

    /// Jiffies until the connection expires; zero if it has.
    #[inline]
    pub(crate) fn remaining(&self) -> u32 {
        self.conn().remaining()
    }

    /// The status bits now.
    pub(crate) fn status(&self) -> Status {
        self.conn().status()
    }

    /// The protocol, and the number of the state that its tracker keeps.
    pub(crate) fn state(&self) -> (u8, u8) {
        let conn = self.conn();
        let proto = conn.proto();
        // One unit is compared, so that it is of one moment; without a reference its lock may not
        // be taken.
        (proto, dispatch!(proto, P => P::state(&conn.private())))
    }

    /// Where the connection comes from.
    pub(crate) fn source(&self) -> Source {
        Source::of(&self.conn().tuple(Direction::Original))
    }

    /// The hash by which the link has its place.
    #[inline]
    pub(crate) fn hash(&self) -> u32 {
        self.conn().hash(self.link())
    }

    /// A number that no other connection has while this one lives.
    pub(crate) fn addr(&self) -> usize {
        core::ptr::from_ref(self.conn()).addr()
    }

    /// Takes a reference, unless the last reference is gone. What is read from now on counts.
    #[inline]
    pub(crate) fn get(&self) -> Option<ARef<Conn>> {
        self.conn().try_get()
    }
}
