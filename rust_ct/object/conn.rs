// SPDX-License-Identifier: GPL-2.0

//! Connections: the object that a packet carries, and what its owner or the holder of a reference
//! may do with it.
//!
//! A connection is the kernel's `struct nf_conn`, because the rest of the kernel reads it, with a
//! few words of ours behind it. Its life:
//!
//! - [`UniqueConn`]: just allocated, with no reference; one owner, which may still fail and drop
//!   it.
//! - unconfirmed: a packet holds the only reference ([`attach`]). It is in no table, and if the
//!   packet is dropped, it is gone.
//! - confirmed: the table holds a reference too, and so does every packet of the connection on its
//!   way.
//! - dying: out of the table. A holder of a reference may use it to the end.
//!
//! The memory is that of a connection until a grace period after the last reference was given back,
//! but it may be that of another connection by then: see [`Candidate`].

mod attached;
mod candidate;
pub(crate) mod event;
pub(crate) mod ext;
pub(crate) mod help;
mod key;
pub(crate) mod label;
pub(crate) mod nat;
mod private;
mod release;
pub(crate) mod session;
mod status;
pub(crate) mod template;
mod unique;

pub(crate) use attached::{
    attach,
    attach_answer,
    attach_untracked,
    attached,
    carried,
    detach,
    Attached, //
};
pub(crate) use candidate::{
    Candidate,
    Half, //
};
pub(crate) use key::{
    Key,
    HASH_KEY, //
};
pub(crate) use status::{
    Dying,
    Flag, //
};
pub(crate) use unique::{
    Alone,
    Last,
    NewConn,
    UniqueConn, //
};

use self::key::Words;
use crate::{
    bindings,
    pure::{
        evict::Rank,
        l4proto::{
            self,
            dispatch,
            L4Proto, //
        },
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        barrier,
        call,
        field::{
            field,
            place,
            Field,
            Fixed,
            Memory,
            Mirrors, //
        },
        lock::{
            Lock,
            RawGuard, //
        },
        net::Net,
        nulls,
        refcount,
        siphash,
        slab,
        time, //
    },
};
use core::{
    iter,
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Where connections are allocated.
pub(crate) static CACHE: slab::Cache<Conn> = slab::Cache::new();

/// The offset in a connection of the pointer that the allocator may use while the connection is
/// free.
///
/// A reader without a reference to a connection does not look at its master.
pub(crate) const FREE_POINTER: usize = offset_of!(bindings::nf_conn, master);

/// How many masters may be above a connection. The last reference to the lowest one gives all their
/// references back, without a pause, wherever that is. H.323 has three: gatekeeper, Q.931, H.245.
pub(crate) const MASTERS: usize = 8;

/// A connection.
///
/// # Invariants
///
/// - The fields that a [`Candidate`] reads are written with volatile accesses.
/// - `hash` holds the hash of both directions' keys while the connection is in the table.
/// - The tuple in slot `d` of `tuplehash` has direction `d`, from the allocation of the memory on.
#[repr(C)]
pub(crate) struct Conn {
    ct: Memory<bindings::nf_conn>,
    hash: [Field<u32>; 2],
}

// SAFETY: Tuples and zones have the kernel's layout, as asserted below, and any bytes are one.
unsafe impl Mirrors<bindings::nf_conntrack_tuple> for Fixed<Tuple> {}
// SAFETY: As above.
unsafe impl Mirrors<bindings::nf_conntrack_zone> for Field<Zone> {}

// The layouts that pure code and the kernel share.
const _: () = {
    use bindings::{
        nf_conn,
        nf_conntrack_tuple,
        nf_conntrack_tuple_hash,
        nf_conntrack_zone, //
    };
    assert!(size_of::<Tuple>() == size_of::<nf_conntrack_tuple>());
    assert!(offset_of!(nf_conntrack_tuple, src.u) == 16);
    assert!(offset_of!(nf_conntrack_tuple, src.l3num) == 18);
    assert!(offset_of!(nf_conntrack_tuple, dst.u3) == 20);
    assert!(offset_of!(nf_conntrack_tuple, dst.u) == 36);
    assert!(offset_of!(nf_conntrack_tuple, dst.protonum) == 38);
    assert!(offset_of!(nf_conntrack_tuple, dst.dir) == Tuple::KEY_LEN);
    assert!(size_of::<Zone>() == size_of::<nf_conntrack_zone>());
    assert!(offset_of!(nf_conntrack_zone, flags) == 2 && offset_of!(nf_conntrack_zone, dir) == 3);
    // Tuples are read word by word, and what fits the kernel's slab size of today stays within it.
    assert!((offset_of!(nf_conn, tuplehash) + offset_of!(nf_conntrack_tuple_hash, tuple)) % 8 == 0);
    assert!(size_of::<nf_conntrack_tuple_hash>() % 8 == 0);
    assert!(size_of::<nf_conn>() != 248 || size_of::<Conn>() == 256);
};

impl Conn {
    fn ct(&self) -> *mut bindings::nf_conn {
        self.ct.get()
    }

    /// The part of a connection that counts references.
    #[inline]
    fn nfct(&self) -> &Memory<bindings::nf_conntrack> {
        field!(self.ct, ct_general as Memory<_>)
    }

    /// The tuple of packets in a direction. NAT may change that of the replies until confirmation.
    #[inline]
    pub(crate) fn tuple(&self, dir: Direction) -> Tuple {
        self.words(dir).tuple()
    }

    #[inline]
    fn words(&self, dir: Direction) -> Words {
        Words::load(self.tuple_words(dir))
    }

    #[inline]
    fn tuple_words(&self, dir: Direction) -> &[Field<u64>; 5] {
        let tuple = ptr::from_ref(field!(
            self.ct,
            tuplehash[dir.index()].tuple as Fixed<Tuple>
        ));
        // SAFETY: A tuple is five words, aligned as asserted above.
        unsafe { &*tuple.cast() }
    }

    /// The transport protocol.
    #[inline]
    pub(crate) fn proto(&self) -> u8 {
        self.tuple(Direction::Original).proto()
    }

    /// The zone.
    #[inline]
    pub(crate) fn zone(&self) -> Zone {
        field!(self.ct, zone as Field<Zone>).load()
    }

    /// The namespace, which lives as long as one of its connections.
    #[inline]
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: A namespace waits for its connections before it goes away.
        unsafe { Net::from_raw(field!(self.ct, ct_net.net).load()) }
    }

    /// Returns whether the namespace is `net`.
    #[inline(always)]
    fn is_of(&self, net: &Net) -> bool {
        // The pointer is compared, not followed.
        ptr::eq(field!(self.ct, ct_net.net).load(), net.as_ptr())
    }

    /// The key of packets in a direction.
    pub(crate) fn key(&self, dir: Direction) -> Key<'_> {
        Key::new(&self.tuple(dir), self.zone(), self.net())
    }

    /// When the connection expires, in jiffies; from confirmation until then, before it.
    #[inline]
    pub(crate) fn timeout(&self) -> u32 {
        field!(self.ct, timeout).load()
    }

    #[inline]
    fn store_timeout(&self, jiffies: u32) {
        field!(self.ct, timeout).store(jiffies);
    }

    /// Lets the connection expire `jiffies` from now, or from its confirmation, unless its timeout
    /// is fixed. Writers may race: each of them is right.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, __nf_ct_refresh_acct().
    #[inline]
    pub(crate) fn refresh(&self, jiffies: u32) {
        self.refresh_at(time::now(), jiffies);
    }

    /// As [`Conn::refresh`], for a caller that knows what time it is.
    #[inline]
    pub(crate) fn refresh_at(&self, now: u32, jiffies: u32) {
        let status = self.status();
        if status.contains(Status::FIXED_TIMEOUT) {
            return;
        }
        let timeout = if status.contains(Status::CONFIRMED) {
            jiffies.wrapping_add(now)
        } else {
            jiffies
        };
        // The connection's line is left alone where nothing changes.
        if self.timeout() != timeout {
            self.store_timeout(timeout);
        }
    }

    /// As [`Conn::refresh_at`], of a confirmed connection. The line is written to in any case: the
    /// caller has taken a reference.
    #[inline(always)]
    pub(crate) fn refresh_confirmed(&self, now: u32, jiffies: u32) {
        // Read just before: user space or a rule that fixes a timeout writes it first, and it is to
        // stay.
        if !self.status().contains(Status::FIXED_TIMEOUT) {
            self.store_timeout(jiffies.wrapping_add(now));
        }
    }

    /// As [`Conn::refresh`], even if the timeout is fixed; a span that is too long is cut.
    ///
    /// Source: include/net/netfilter/nf_conntrack_core.h, __nf_ct_set_timeout().
    pub(crate) fn set_timeout(&self, jiffies: u64) {
        /// The longest span.
        const MAX: u32 = i32::MAX as u32;

        let span = u32::try_from(jiffies).map_or(MAX, |span| span.min(MAX));
        self.store_timeout(match self.status().contains(Status::CONFIRMED) {
            true => span.wrapping_add(time::now()),
            false => span,
        });
    }

    /// Turns the timeout from a span into a moment, at confirmation. The caller holds the bucket
    /// locks, or has the connection alone.
    pub(crate) fn begin_timeout(&self) {
        self.store_timeout(self.timeout().wrapping_add(time::now()));
    }

    /// Jiffies until the connection expires; zero if it has.
    #[inline]
    pub(crate) fn remaining(&self) -> u32 {
        self.remaining_at(time::now())
    }

    /// As [`Conn::remaining`], for a caller that knows what time it is.
    #[inline]
    pub(crate) fn remaining_at(&self, now: u32) -> u32 {
        time::between(now, self.timeout()).max(0).unsigned_abs()
    }

    /// Returns whether the connection has expired and is to be removed by the caller that notices.
    ///
    /// CONFIRMED is looked at first: before, the timeout is a span.
    /// Source: include/net/netfilter/nf_conntrack.h, nf_ct_should_gc().
    pub(crate) fn is_overdue(&self) -> bool {
        let status = self.status();
        if !status.contains(Status::CONFIRMED) || status.contains(Status::DYING) {
            return false;
        }
        // Pairs with the barrier of the bit that confirmation sets behind the timeout.
        barrier::read();
        time::until(self.timeout()) <= 0
    }

    /// The mark that rules gave the connection.
    pub(crate) fn mark(&self) -> u32 {
        field!(self.ct, mark).load()
    }

    /// The security mark that rules gave the connection.
    #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
    pub(crate) fn secmark(&self) -> u32 {
        field!(self.ct, secmark).load()
    }

    /// No connection has a security mark.
    #[cfg(not(CONFIG_NF_CONNTRACK_SECMARK))]
    pub(crate) fn secmark(&self) -> u32 {
        0
    }

    /// How many references there are.
    pub(crate) fn use_count(&self) -> u32 {
        call::rct_conntrack_use(self.nfct())
    }

    /// The hash of the key of packets in a direction, if the connection is in the table.
    #[inline]
    pub(crate) fn hash(&self, dir: Direction) -> u32 {
        self.hash[dir.index()].load()
    }

    /// The hash of the key of answers, which NAT may have changed since the connection was made.
    #[inline]
    pub(crate) fn hash_of_replies(&self) -> u32 {
        let (original, reply) = (Direction::Original, Direction::Reply);
        // The hash of the first packet's key, unless NAT, the zone or the protocol makes it differ.
        if !self.zone().is_one_way() && self.words(original).mirrors(&self.words(reply)) {
            return self.hash(original);
        }
        self.key(reply).hash(reply)
    }

    /// Returns whether packets in both directions have the same tuple: a host talks to itself, from
    /// and to the same port.
    #[inline]
    pub(crate) fn answers_itself(&self) -> bool {
        let (original, reply) = (Direction::Original, Direction::Reply);
        let ([first, ..], [other, ..]) = (self.tuple_words(original), self.tuple_words(reply));
        // Nearly all come from elsewhere than they go to.
        first.load() == other.load() && self.words(original).same_key(&self.words(reply))
    }

    /// The half of the connection for packets in a direction, as the kernel knows it.
    #[inline]
    pub(crate) fn tuplehash(&self, dir: Direction) -> *mut bindings::nf_conntrack_tuple_hash {
        place!(self.ct, tuplehash[dir.index()]).as_ptr()
    }

    /// Remembers the hash of the key of packets in a direction.
    ///
    /// # Safety
    ///
    /// The caller must hold the bucket locks of a connection that is not in the table, or have it
    /// alone.
    pub(super) unsafe fn store_hash(&self, dir: Direction, value: u32) {
        self.hash[dir.index()].store(value);
    }

    /// The link of a direction.
    #[inline]
    pub(crate) fn node(&self, dir: Direction) -> NonNull<nulls::Node> {
        place!(self.ct, tuplehash[dir.index()].hnnode).cast()
    }

    /// The private state of the connection's protocol, to be changed.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked {
            conn: self,
            _guard: field!(self.ct, lock as Lock).lock(),
        }
    }

    /// Returns whether the connection may be removed early although it is assured, because it is
    /// closing.
    pub(crate) fn is_closing(&self) -> bool {
        l4proto::can_early_drop(self.proto(), self.lock().state())
    }

    /// What was lost with the connection, which has made room: as when it was chosen, before it was
    /// dying, and perhaps ASSURED.
    pub(crate) fn lost(&self) -> Option<Rank> {
        let status = self.status().without(Status::DYING.with(Status::ASSURED));
        Rank::of(status, || self.is_closing())
    }

    /// Returns whether the connection may be removed to make room.
    pub(crate) fn may_go(&self) -> bool {
        let status = self.status();
        status.contains(Status::CONFIRMED) && Rank::of(status, || self.is_closing()).is_some()
    }

    /// The connection that has announced this one.
    pub(crate) fn master(&self) -> Option<&Conn> {
        let master = field!(self.ct, master).load().cast::<Conn>();
        // SAFETY: The field is constant while there is a reference to the connection, which has a
        // reference to its master.
        unsafe { master.as_ref() }
    }

    /// How many masters are above the connection: its own, that one's, and so on. No more are
    /// counted than one above [`MASTERS`].
    pub(crate) fn masters(&self) -> usize {
        iter::successors(self.master(), |master| master.master())
            .take(MASTERS + 1)
            .count()
    }

    /// Takes a reference to a connection whose memory is known to be there, unless the last one is
    /// gone.
    #[inline]
    pub(crate) fn try_get(&self) -> Option<ARef<Conn>> {
        // This acquires what `UniqueConn::publish` released.
        let taken = refcount::try_get_conntrack(self.nfct());
        // SAFETY: The reference is the one just taken.
        taken.then(|| unsafe { ARef::from_raw(NonNull::from(self)) })
    }

    /// The number by which user space knows the connection, made with a key of its own.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_get_id(): what goes into it does not change
    /// while the connection lives.
    pub(crate) fn id(&self, key: &siphash::Key) -> u32 {
        let master = field!(self.ct, master).load();
        let Words([a, b, c, d, e]) = self.words(Direction::Original);
        let tuple = key.hash4(key.hash4(a, b, c, d), e, 0, 0);
        // CAST: Pointers are words, and one half of the hash is as good as the other.
        key.hash4(
            ptr::from_ref(self).addr() as u64,
            master.addr() as u64,
            self.net().as_ptr().addr() as u64,
            tuple,
        ) as u32
    }
}

/// The private state of a connection's protocol, with its lock held.
pub(crate) struct Locked<'a> {
    conn: &'a Conn,
    _guard: RawGuard<'a>,
}

impl Locked<'_> {
    /// The number of the state that the protocol's tracker keeps.
    pub(crate) fn state(&self) -> u8 {
        dispatch!(self.conn.proto(), P => P::state(&self.private()))
    }
}
